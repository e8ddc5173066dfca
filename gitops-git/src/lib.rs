#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod commit;
mod credentials;
mod error;
mod http;
mod local;
mod objects;
mod operation;
mod reference;
mod remote;
mod remote_url;
mod source;
mod ssh;
mod tls;
mod tree;
mod trigger;

pub use credentials::Credentials;
pub use error::GitError;
pub use reference::Reference;
pub use remote_url::RemoteUrl;
pub use source::{GitSource, GitSourceBuilder};
pub use tls::install_crypto_provider;
pub use trigger::Trigger;
