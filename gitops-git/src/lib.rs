#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod cache;
mod commit;
mod credentials;
mod error;
mod filter;
#[cfg(feature = "github-app")]
mod github;
mod http;
mod local;
mod objects;
mod operation;
mod pattern;
mod reference;
mod remote;
mod remote_url;
mod source;
mod ssh;
mod tags;
mod tls;
mod tree;
mod trigger;
mod trust;
#[cfg(feature = "webhook")]
mod webhook;

pub use builder::GitSourceBuilder;
pub use credentials::{CredentialProvider, Credentials, CredentialsByPrefix};
pub use error::GitError;
#[cfg(feature = "github-app")]
#[cfg_attr(docsrs, doc(cfg(feature = "github-app")))]
pub use github::GitHubApp;
pub use reference::Reference;
pub use remote_url::RemoteUrl;
pub use source::GitSource;
pub use tags::{SemverRange, TagPattern};
pub use tls::install_crypto_provider;
pub use trigger::Trigger;
pub use trust::{
    Accepted, AcceptedStore, FileAccepted, KeyValidity, MemoryAccepted, PathRule, SignatureError,
    Trust, TrustMode,
};
#[cfg(feature = "webhook")]
#[cfg_attr(docsrs, doc(cfg(feature = "webhook")))]
pub use webhook::{Hook, WebhookReceiver, WebhookReceiverBuilder};
