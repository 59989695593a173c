//! Black-box tests, one binary.
#![allow(clippy::unwrap_used, missing_docs)]

mod agi;
mod cli;
mod intake;
mod layout;
mod serve;
mod server;
mod store;
