//! Events to a call.

use super::{Call, Standing};
use crate::event::Event;

/// What the events of one call come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The call.
    pub call: Call,
    /// Whether it may be over.
    pub standing: Standing,
    /// For each event, in the order handed in, what it did to the call.
    pub notes: Vec<String>,
}

/// Folds the events of one call; `None` where there are none. Any order, with or without duplicates, gives the
/// same call.
#[must_use]
pub fn fold(events: &[Event]) -> Option<Folded> {
    let _ = events;
    None
}
