//! Black-box tests, one binary.
#![allow(clippy::unwrap_used, missing_docs)]

mod intake;
mod layout;
mod store;
