//! What does a reconciler made of the SDK do, from the first commit to the lost cluster?
//!
//! `cargo run --example quickstart`. Needs Rust and git; no cluster and no network. Everything in it
//! is real but the cluster: a Git repository served over HTTP, the reconciler, and a fake API
//! server that behaves like kube-apiserver.

mod screen;
mod shop;
mod story;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match story::tell().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::broken(&error);
            ExitCode::FAILURE
        }
    }
}
