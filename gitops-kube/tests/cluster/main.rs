//! The applier, its inventory and its watches against a fake cluster, and against answers that
//! only a broken server gives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is a failure that names its line"
)]

mod discovery;
mod errors;
mod inventory;
mod reads;
mod settle;
mod support;
mod watches;
mod writes;
