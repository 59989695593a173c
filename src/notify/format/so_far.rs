//! What a receiver of call events was told of a call so far, kept from one notice to the next.
//!
//! Under which name and numbers a call was told first stays so, whatever becomes known later; an event that says
//! nothing new is not sent, and nothing is sent after the end.

use serde::{Deserialize, Serialize};

use super::{Memory, mark};

/// Under which name it is remembered.
const MARK: &str = "told";

/// What was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SoFar {
    /// The call's name for the receiver.
    pub call_id: String,
    /// Who called.
    pub src: String,
    /// What was called.
    pub dst: String,
    /// Who was told last to talk.
    pub talker: Option<String>,
    /// Whether it was told that an own phone calls out.
    pub out: bool,
    /// How much of a voice message was told.
    pub mail: usize,
    /// Whether its end was told.
    pub ended: bool,
}

impl SoFar {
    /// What was told of the call itself.
    pub fn of(memory: &Memory) -> Option<SoFar> {
        read(memory, MARK)
    }

    /// What was told of `from`, which became part of the call after both had been told.
    pub fn of_merged(memory: &Memory, from: &str) -> Option<SoFar> {
        read(memory, &mark(MARK, Some(from)))
    }

    /// To be remembered of the call, or of `from`.
    pub fn kept(&self, from: Option<&str>) -> Vec<(String, String)> {
        serde_json::to_string(self).map(|value| vec![(mark(MARK, from), value)]).unwrap_or_default()
    }
}

fn read(memory: &Memory, mark: &str) -> Option<SoFar> {
    serde_json::from_str(memory.get(mark)?).ok()
}
