//! Black-box tests, one binary.
#![allow(clippy::unwrap_used, missing_docs)]

mod agi;
mod cli;
mod crash;
mod freepbx;
mod intake;
mod kill;
mod layout;
mod notify;
mod serve;
mod server;
mod spool;
mod store;
mod trace;
