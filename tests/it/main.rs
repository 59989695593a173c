//! Black-box tests, one binary.
#![allow(clippy::unwrap_used, missing_docs)]
// The same tests on both backends, see both.rs.
#![allow(clippy::duplicate_mod)]

mod agi;
mod ami;
mod chaos;
mod cluster;
mod dialplan;
mod file;
mod formats;
mod freepbx;
mod layout;
mod libraries;
mod mariadb;
mod model;
mod nodes;
mod notices;
mod outage;
#[path = "both.rs"]
mod postgres;
mod recorded;
mod records;
mod schema;
#[path = "both.rs"]
mod sqlite;
mod story;
mod trace;

// For tests that are about one backend, or about none.
pub use sqlite::{intake, server};
