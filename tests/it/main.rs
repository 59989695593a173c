//! Black-box tests, one binary.
#![allow(clippy::unwrap_used, missing_docs)]

mod crash;
mod intake;
mod notify;
mod spool;
mod store;
