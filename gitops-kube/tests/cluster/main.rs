//! The applier, its inventory and its watches against a fake cluster, and against answers that
//! only a broken server gives.

mod discovery;
mod errors;
mod inventory;
mod reads;
mod settle;
mod support;
mod watches;
mod writes;
