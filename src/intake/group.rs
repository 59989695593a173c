//! Which calls new events touch, by the names that they have in common with each other and with what is stored.
//!
//! Knows names alone: what of a group really is one call is decided when all of its events are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::CallId;
use crate::event::Event;
use crate::store::ledger::Entry;

/// Events and calls that are one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub pbx: String,
    /// Ids under which parts of it are stored.
    pub calls: BTreeSet<String>,
    /// Names of its events that are in no call yet.
    pub strangers: BTreeSet<String>,
    /// Its unsettled events.
    pub fresh: Vec<(Entry, Event)>,
    /// Whether nothing more may join it: another call that it names has too many events already.
    pub alone: bool,
}

pub(super) fn by_pbx(fresh: &[(Entry, Event)]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, event) in fresh {
        named.entry(&event.pbx).or_default().extend(channels(event));
    }
    named
}

/// Sorts events into the calls that they make up, together with what is stored: events that name a channel in
/// common, or channels of one call, are one call. `homes` leads from a channel of a pbx to its stored call.
pub(super) fn join(events: Vec<(Entry, Event)>, homes: &BTreeMap<(String, String), String>) -> Vec<Group> {
    // By channel and by stored call, where the group is that has it; a group that joined another one is empty.
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (entry, event) in events {
        let mut keys: BTreeSet<(String, String)> =
            own_channels(&event).map(|c| (event.pbx.clone(), c.to_owned())).collect();
        let calls: BTreeSet<String> = keys.iter().filter_map(|k| homes.get(k).cloned()).collect();
        // An id of a call is no uniqueid and no pbx is called "".
        keys.extend(calls.iter().map(|id| (String::new(), id.clone())));
        let met: BTreeSet<usize> = keys.iter().filter_map(|k| places.get(k).copied()).collect();
        let place = met.first().copied().unwrap_or_else(|| {
            groups.push(Group { pbx: event.pbx.clone(), ..Group::default() });
            groups.len() - 1
        });
        for other in met.into_iter().skip(1) {
            let other_group = std::mem::take(&mut groups[other]);
            groups[place].calls.extend(other_group.calls);
            groups[place].fresh.extend(other_group.fresh);
            places.values_mut().filter(|at| **at == other).for_each(|at| *at = place);
        }
        groups[place].calls.extend(calls);
        groups[place].fresh.push((entry, event));
        places.extend(keys.into_iter().map(|k| (k, place)));
    }
    join_by_key(&mut groups, &mut places, homes);
    groups.retain(|g| !g.fresh.is_empty());
    for group in &mut groups {
        let known = |name: &&str| homes.contains_key(&(group.pbx.clone(), (*name).to_owned()));
        let named: BTreeSet<&str> = group.fresh.iter().flat_map(|(_, event)| channels(event)).collect();
        let strangers = named.into_iter().filter(|name| !known(name)).map(ToOwned::to_owned);
        group.strangers = strangers.collect();
    }
    groups
}

/// Gives each call key to the first group of channels that names it near its time, together with what is known
/// by that key alone. A second one has nothing of it: two callers to one number within one second make the same
/// key, and what is joined stays joined.
fn join_by_key(
    groups: &mut [Group],
    places: &mut BTreeMap<(String, String), usize>,
    homes: &BTreeMap<(String, String), String>,
) {
    for place in 0..groups.len() {
        let named: BTreeSet<String> =
            groups[place].fresh.iter().filter_map(|(_, e)| e.link().map(ToOwned::to_owned)).collect();
        for key in named {
            let key = (groups[place].pbx.clone(), key);
            if groups[place].fresh.iter().all(|(_, e)| e.knows_key_alone()) {
                break;
            }
            // The id of a call of which a channel is known comes from that channel.
            let id_of_key = CallId::of(&key.0, &key.1).to_string();
            if homes.get(&key).is_some_and(|home| *home != id_of_key && !groups[place].calls.contains(home)) {
                continue;
            }
            match places.get(&key).copied() {
                None => {}
                Some(other) if other == place => continue,
                Some(other) if groups[other].fresh.iter().any(|(_, e)| !e.knows_key_alone()) => continue,
                Some(other) => {
                    let other = std::mem::take(&mut groups[other]);
                    groups[place].calls.extend(other.calls);
                    groups[place].fresh.extend(other.fresh);
                }
            }
            groups[place].calls.extend(homes.get(&key).cloned());
            places.insert(key, place);
        }
    }
}

/// Every name that an event knows its call by.
pub(super) fn channels(event: &Event) -> impl Iterator<Item = &str> {
    own_channels(event).chain(event.link())
}

/// Every channel that an event names; or the key, where it knows no more.
pub(super) fn own_channels(event: &Event) -> impl Iterator<Item = &str> {
    std::iter::once(event.uid.as_str()).chain(event.ties())
}
