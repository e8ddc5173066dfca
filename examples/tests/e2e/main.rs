//! The SDK from end to end: what a commit in a real Git repository does to a cluster, through
//! every part as a program composes them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic in a test names its line"
)]

mod bad_input;
mod cluster;
mod command;
mod corpus;
mod gitopsctl;
mod ignore;
mod world;
