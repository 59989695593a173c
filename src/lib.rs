//! A call log that a person understands, and one notification when an Asterisk call really ends.

pub mod call;
pub mod clock;
pub mod config;
pub mod event;
