//! Black-box tests, one binary.
#![allow(clippy::unwrap_used, missing_docs)]

mod agi;
mod intake;
mod layout;
mod store;
