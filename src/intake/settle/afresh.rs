//! Calls that Asterisk's records alone make up, folded before the database is asked for anything.
//!
//! Nearly all that a year of records tells is of this kind: rows that have one linkedid in common and nothing with any
//! others. Folding them takes as long as writing them, so it is done ahead, in another thread than the one that writes.
//! Whatever is not as plain as that is settled like all else. Knows nothing of what is stored.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{Policy, others};
use crate::call::{Folded, Partition, fold, partition};
use crate::event::Event;
use crate::intake::group::own_channels;
use crate::intake::telling::{fingerprint, linkedids};
use crate::intake::wanting::ENDED;
use crate::store::whole::{Names, Whole};

/// Records that are taken in together.
pub(super) struct Portion {
    /// Calls that are ready to be written, if nothing is stored of them.
    pub ready: Vec<Whole>,
    /// What is to be settled event by event.
    pub others: Vec<Event>,
}

impl Portion {
    /// Of records that have one linkedid each in common.
    pub fn of(linked: Vec<Vec<Event>>, policy: &Policy, now: Timestamp) -> Portion {
        let mut namers: HashMap<String, usize> = HashMap::new();
        for records in &linked {
            let named: BTreeSet<&str> = records.iter().flat_map(own_channels).collect();
            named.into_iter().for_each(|name| *namers.entry(name.to_owned()).or_default() += 1);
        }
        let mut portion = Portion { ready: Vec::new(), others: Vec::new() };
        for records in linked {
            let alone = records.iter().flat_map(own_channels).all(|name| namers.get(name) == Some(&1));
            match if alone { whole(records, policy, now) } else { Err(records) } {
                Ok(call) => portion.ready.push(call),
                Err(records) => portion.others.extend(records),
            }
        }
        portion
    }
}

/// The call that records make up; they themselves where they may be something else.
fn whole(records: Vec<Event>, policy: &Policy, now: Timestamp) -> Result<Whole, Vec<Event>> {
    if !is_plain(&records) {
        return Err(records);
    }
    let Some(Folded { mut call, standing, notes }) = fold(&records, &policy.numbering) else {
        return Err(records);
    };
    if standing.conclude(&mut call, &policy.rules, now).is_some() || call.ids.iter().any(|id| *id != call.id)
    {
        return Err(records);
    }
    let owned = |names: BTreeSet<&str>| names.into_iter().map(ToOwned::to_owned).collect();
    let channels = owned(records.iter().flat_map(own_channels).collect());
    let names = Names { channels, linkedids: owned(linkedids(&records)) };
    let told = records.iter().cloned().zip(notes).collect();
    Whole::new(&call, told, names, call.id.notice(ENDED, 0), fingerprint).map_err(|_| records)
}

/// Whether nothing but records tell of it, each once, and they are one call by their names alone.
fn is_plain(records: &[Event]) -> bool {
    let tokens: BTreeSet<&str> = records.iter().map(|event| event.token.as_str()).collect();
    let one_call = || {
        let Partition { calls, linkedids } = partition(records);
        calls.len() == 1 && linkedids.is_empty()
    };
    records.iter().all(|event| event.is_record() && event.root.is_none() && event.link().is_none())
        && tokens.len() == records.len()
        && others(records).is_empty()
        && one_call()
}
