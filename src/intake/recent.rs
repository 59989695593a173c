//! The large call that was settled last, with its events and legs, kept in memory for its next event.
//!
//! A queue that rings for hours makes a call of thousands of events with another one every second, and to read all
//! of it again takes longer than all the rest of settling. It is no second truth: what is kept counts only while
//! the log has just as many events of that call, and only where nobody else writes to the database.

use std::sync::{Mutex, PoisonError};

use crate::call::Leg;
use crate::event::Event;

/// Events from which a call is large. Below, reading them is a matter of microseconds.
const LARGE: usize = 500;

/// What settling knows of an event beside what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Its place in the log.
    pub id: i64,
    /// What it did to the call when that was folded last.
    pub note: Option<String>,
    /// Whether the call was folded with it.
    pub settled: bool,
    /// The call that it is stored with.
    pub call: Option<String>,
}

/// Room for one call.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    call: String,
    large: Large,
}

/// A large call as it was settled last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Large {
    /// In the order of acceptance.
    pub events: Vec<(Known, Event)>,
    /// As they are stored.
    pub legs: Vec<Leg>,
}

impl Recent {
    /// Hands out `call` with its events, of which the log has `stored`; `None` where others are kept, or not as many.
    /// What is kept is forgotten either way, so that a transaction that fails leaves nothing behind.
    pub fn take(&self, call: &str, stored: usize) -> Option<Large> {
        if stored < LARGE {
            return None;
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        (kept.call == call && kept.large.events.len() == stored).then_some(kept.large)
    }

    /// Keeps `call` with its legs and events, all of them settled with these notes, where it is large.
    pub fn keep(
        &self,
        call: &str,
        known: Vec<Known>,
        notes: Vec<String>,
        events: Vec<Event>,
        legs: Vec<Leg>,
    ) {
        if events.len() >= LARGE {
            let known = known.into_iter().zip(notes);
            let known = known.map(|(k, note)| Known {
                id: k.id,
                note: Some(note),
                settled: true,
                call: Some(call.to_owned()),
            });
            let large = Large { events: known.zip(events).collect(), legs };
            let kept = Kept { call: call.to_owned(), large };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::{Arrival, Feed, Kind};
    use jiff::Timestamp;

    fn keep(recent: &Recent, call: &str, events: usize) {
        let arrival = Arrival { feed: Feed::Agi, pbx: "p", at: Timestamp::UNIX_EPOCH };
        let args = [b"v=1".as_slice(), b"token=a", b"uid=1.1"];
        let event = Event::from_args(Kind::Note, args, arrival).unwrap();
        let known =
            (0..events).map(|n| Known { id: n as i64, note: None, settled: false, call: None }).collect();
        recent.keep(call, known, vec!["noted".to_owned(); events], vec![event; events], Vec::new());
    }

    #[test]
    fn a_large_call_is_handed_out_once_and_as_settled() {
        let recent = Recent::default();
        keep(&recent, "a", LARGE);
        let Large { events, .. } = recent.take("a", LARGE).unwrap();
        assert!(events.iter().all(|(known, _)| known.settled && known.note.as_deref() == Some("noted")));
        assert_eq!(recent.take("a", LARGE), None);
    }

    #[test]
    fn what_the_log_counts_otherwise_or_calls_otherwise_is_forgotten() {
        let recent = Recent::default();
        keep(&recent, "a", LARGE);
        assert_eq!(recent.take("a", LARGE + 1), None);
        assert_eq!(recent.take("a", LARGE), None);
        keep(&recent, "a", LARGE);
        assert_eq!(recent.take("b", LARGE), None);
        keep(&recent, "a", LARGE - 1);
        assert_eq!(recent.take("a", LARGE - 1), None);
    }
}
