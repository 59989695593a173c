//! Calls that still go on. Asterisk writes a row when one channel is gone, and the other may talk on after a transfer: a
//! row about a living call is no end of it.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Journal;
use crate::call::Call;
use crate::event::Event;
use crate::store::StoreError;

/// Calls that are looked at; no pbx has so many at once.
const MOST: usize = 10_000;

/// The channels of the calls that go on, as the journal has them.
pub(super) struct Living(HashSet<String>);

impl Living {
    /// Those of a pbx. Of a call that was silent for as long as a lost one the records may tell: no server runs that
    /// would have ended it.
    pub(super) async fn of(journal: &Journal<'_>, pbx: &str) -> Result<Living, StoreError> {
        let lost = journal.now.saturating_sub(journal.policy.rules.lost).unwrap_or(Timestamp::MIN);
        let open = journal.store.open_calls(pbx, MOST).await?;
        let living = open.into_iter().filter(|call| last_heard(call) > lost);
        Ok(Living(living.flat_map(names).collect()))
    }

    pub(super) fn has(&self, event: &Event) -> bool {
        self.0.contains(&event.uid) || self.0.contains(&event.linkedid)
    }
}

fn last_heard(call: &Call) -> Timestamp {
    let legs = call.legs.iter().flat_map(|leg| [Some(leg.started_at), leg.answered_at, leg.ended_at]);
    legs.flatten().fold(call.started_at, Timestamp::max)
}

fn names(call: Call) -> impl Iterator<Item = String> {
    [call.linkedid].into_iter().chain(call.legs.into_iter().map(|leg| leg.uniqueid))
}

/// When a row was written: what it tells of was over then.
pub(super) fn written(event: &Event) -> Timestamp {
    let end = event.fact("end").and_then(|end| Timestamp::from_microsecond(end.parse().ok()?).ok());
    end.unwrap_or(event.at)
}
