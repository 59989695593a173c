//! A call told to a person, line by line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Call;

/// One thing that a person cares for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What, in the language asked for.
    pub text: String,
}

/// Tells `call` in the language of `locale`; English where that one is not there.
#[must_use]
pub fn tell(call: &Call, locale: &str) -> Vec<Line> {
    let _ = (call, locale);
    Vec::new()
}
