//! Which of the events that hang together by the names of their channels are one call.
//!
//! A channel names its call twice: by its root, which the call's first channel handed down to it, and by the linkedid
//! that Asterisk gives it at that moment. Those of one root are a *family*, and one call. A linkedid joins a family, the
//! guest, to that of another root, the host, as transfers and pickups do; with two exceptions. A linkedid that is older
//! than a day joins nobody new. And a *resident* channel (an agent's, an operator's) stays up alone and is bridged with
//! one caller after another, to all of whom Asterisk gives its linkedid: such a channel links legs, not calls. It shows
//! when a guest comes after another one has ended, and from then on each of them is a call of his own.
//!
//! A pure function of the set of events: order and repetition change nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::identity::earlier;
use crate::event::uniqueid::born;
use crate::event::{Event, Kind};

/// How old a linkedid may be to join calls.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Events parted into calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The linkedid that each call is named by, and its events by their index; the eldest call first.
    pub calls: Vec<(String, Vec<usize>)>,
    /// By the index of its event, what stands in place of a linkedid that is another call's.
    pub linkedids: HashMap<usize, String>,
}

/// Parts `events`, all of one pbx, into calls.
#[must_use]
pub fn partition(events: &[Event]) -> Partition {
    // As it is nearly always.
    if let Some(whole) = of_one_name(events) {
        return whole;
    }
    let live: Vec<usize> = (0..events.len()).filter(|&index| !events[index].is_record()).collect();
    if live.is_empty() || live.len() == events.len() {
        return by_names(events);
    }
    with_records(events, &live)
}

/// What was told live decides what is a call; Asterisk's records, which know no roots, go where their channel is.
fn with_records(events: &[Event], live: &[usize]) -> Partition {
    let told: Vec<Event> = live.iter().map(|&index| events[index].clone()).collect();
    let Partition { mut calls, linkedids } = by_names(&told);
    let mut linkedids: HashMap<usize, String> =
        linkedids.into_iter().map(|(index, name)| (live[index], name)).collect();
    let mut homes: HashMap<&str, usize> = HashMap::new();
    for (call, (_, of_call)) in calls.iter_mut().enumerate() {
        of_call.iter_mut().for_each(|index| *index = live[*index]);
        for &index in of_call.iter() {
            homes.insert(&events[index].uid, call);
        }
    }
    for (index, event) in events.iter().enumerate().filter(|(_, event)| event.is_record()) {
        let found = homes.get(event.uid.as_str()).or_else(|| homes.get(event.linkedid.as_str())).copied();
        let home = found.or_else(|| calls.iter().position(|(name, _)| *name == event.linkedid));
        let home = home.unwrap_or_else(|| {
            calls.push((event.linkedid.clone(), Vec::new()));
            calls.len() - 1
        });
        let (name, of_call) = &mut calls[home];
        of_call.push(index);
        let linked = homes.get(event.linkedid.as_str()).is_none_or(|other| *other == home);
        if !linked {
            linkedids.insert(index, name.clone());
        }
    }
    calls.sort_by(|(a, _), (b, _)| earlier(a, b));
    Partition { calls, linkedids }
}

fn by_names(events: &[Event]) -> Partition {
    let mut names = Names::default();
    for event in events {
        names.family(event);
    }
    let families = Families::of(events, &mut names);
    let mut hosts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for event in events {
        let (guest, host) = (names.place(&event.uid), names.place(&event.linkedid));
        let young = born(&event.linkedid).is_none_or(|born| event.at.duration_since(born) <= DAY);
        if guest != host && young {
            hosts.entry(host).or_default().insert(guest);
        }
    }
    for (host, guests) in hosts.iter().filter(|(host, guests)| !families.is_resident(**host, guests)) {
        guests.iter().for_each(|guest| names.join(*guest, *host));
    }
    parted(events, &mut names)
}

/// All of them, where none names a second root or linkedid.
fn of_one_name(events: &[Event]) -> Option<Partition> {
    let name = &events.first()?.linkedid;
    let is_of_it =
        |event: &Event| event.linkedid == *name && event.root.as_ref().is_none_or(|root| root == name);
    let whole =
        || Partition { calls: vec![(name.clone(), (0..events.len()).collect())], linkedids: HashMap::new() };
    events.iter().all(is_of_it).then(whole)
}

/// The events by the roots of their names, as those are joined now.
fn parted<'e>(events: &'e [Event], names: &mut Names<'e>) -> Partition {
    let mut calls: BTreeMap<usize, (Option<&'e str>, Vec<usize>)> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let (call, linked) = (names.place(&event.uid), names.place(&event.linkedid));
        let (eldest, of_call) = calls.entry(call).or_default();
        of_call.push(index);
        let linkedid = (linked == call).then_some(event.linkedid.as_str());
        for name in [event.root.as_deref(), linkedid].into_iter().flatten() {
            if eldest.is_none_or(|eldest| earlier(name, eldest).is_lt()) {
                *eldest = Some(name);
            }
        }
    }
    let mut linkedids = HashMap::new();
    for (eldest, of_call) in calls.values() {
        for &index in of_call {
            let event = &events[index];
            if names.place(&event.uid) != names.place(&event.linkedid) {
                let own = event.root.as_deref().or(*eldest).unwrap_or(&event.uid);
                linkedids.insert(index, own.to_owned());
            }
        }
    }
    let named = calls.into_values().map(|(eldest, of_call)| {
        let own = || of_call.first().map_or("", |&first| events[first].uid.as_str());
        (eldest.unwrap_or_else(own).to_owned(), of_call)
    });
    let mut calls: Vec<_> = named.collect();
    calls.sort_by(|(a, _), (b, _)| earlier(a, b));
    Partition { calls, linkedids }
}

/// Names of channels, and which of them go together.
#[derive(Default)]
struct Names<'e> {
    places: HashMap<&'e str, usize>,
    /// Where each name leads; one that leads to itself stands for all.
    leads: Vec<usize>,
}

impl<'e> Names<'e> {
    /// What the event says of its own family.
    fn family(&mut self, event: &'e Event) {
        let own = self.place(&event.uid);
        let linkedid = (event.root.is_none() && event.kind != Kind::Seen).then_some(event.linkedid.as_str());
        let ties = [event.root.as_deref(), event.fact("caller"), event.link(), linkedid];
        for name in ties.into_iter().flatten() {
            let other = self.place(name);
            self.join(own, other);
        }
        self.place(&event.linkedid);
    }

    /// What stands for all that the name goes together with.
    fn place(&mut self, name: &'e str) -> usize {
        let next = self.leads.len();
        let place = *self.places.entry(name).or_insert(next);
        if place == next {
            self.leads.push(next);
        }
        self.root(place)
    }

    fn root(&mut self, mut place: usize) -> usize {
        while let Some(&next) = self.leads.get(place).filter(|next| **next != place) {
            let beyond = self.leads[next];
            self.leads[place] = beyond;
            place = next;
        }
        place
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.leads[a.max(b)] = a.min(b);
    }
}

/// When families began and ended, and when they were more than one channel.
struct Families(HashMap<usize, Family>);

#[derive(Default)]
struct Family {
    /// When each of its channels first told something.
    channels: HashMap<usize, Timestamp>,
    ended: BTreeSet<usize>,
    last: Option<Timestamp>,
    /// When one of them first dialled somebody, who may tell nothing himself.
    dialled: Option<Timestamp>,
}

impl Family {
    fn began(&self) -> Option<Timestamp> {
        self.channels.values().min().copied()
    }

    /// Since when it was more than one channel.
    fn company(&self) -> Option<Timestamp> {
        let mut began: Vec<Timestamp> = self.channels.values().copied().collect();
        began.sort_unstable();
        began.get(1).copied().into_iter().chain(self.dialled).min()
    }

    /// When its last channel ended, where all have.
    fn ended(&self) -> Option<Timestamp> {
        self.last.filter(|_| self.channels.len() == self.ended.len())
    }
}

impl Families {
    fn of<'e>(events: &'e [Event], names: &mut Names<'e>) -> Families {
        let mut families: HashMap<usize, Family> = HashMap::new();
        for event in events.iter().filter(|event| event.kind != Kind::Seen) {
            let family = families.entry(names.place(&event.uid)).or_default();
            family.last = family.last.max(Some(event.at));
            let channel = names.places.get(event.uid.as_str()).copied().unwrap_or_default();
            family.channels.entry(channel).and_modify(|at| *at = event.at.min(*at)).or_insert(event.at);
            if event.kind == Kind::Hangup {
                family.ended.insert(channel);
            }
            if event.fact("dials").is_some() {
                family.dialled = Some(family.dialled.map_or(event.at, |at| at.min(event.at)));
            }
        }
        Families(families)
    }

    /// Whether the host is a channel that stays up alone, and of its guests one came after another had ended.
    fn is_resident(&self, host: usize, guests: &BTreeSet<usize>) -> bool {
        let family = |name: &usize| self.0.get(name);
        let first = guests.iter().filter_map(|guest| family(guest)?.began()).min();
        let last = guests.iter().filter_map(|guest| family(guest)?.began()).max();
        let over = guests.iter().filter_map(|guest| family(guest)?.ended()).min();
        let company = family(&host).and_then(Family::company);
        let alone = company.is_none_or(|since| first.is_some_and(|first| since >= first));
        alone && over.zip(last).is_some_and(|(over, last)| over < last)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::{Arrival, Feed};
    use proptest::prelude::*;

    const BORN: i64 = 1_795_390_000;

    /// What a channel tells, by its number: its root, its linkedid, when, and what.
    fn tell(n: usize, root: usize, linkedid: usize, at: i64, kind: Kind, more: &str) -> Event {
        let name = |n: usize| format!("{}.{n}", BORN + n as i64);
        let args = format!(
            "v=1,token={n}-{kind}-{at},uid={},root={},lid={},t={},{more}",
            name(n),
            name(root),
            name(linkedid),
            BORN + at
        );
        let arrival = Arrival { feed: Feed::Agi, pbx: "p", at: Timestamp::from_second(BORN + at).unwrap() };
        Event::from_args(kind, args.split(',').map(str::as_bytes), arrival).unwrap()
    }

    /// A channel that lives from `begins` to `ends`, under the linkedid of `linked` at its end.
    fn channel(n: usize, root: usize, linked: usize, begins: i64, ends: i64) -> [Event; 2] {
        let first = if n == root { Kind::Start } else { Kind::Ring };
        [tell(n, root, root, begins, first, ""), tell(n, root, linked, ends, Kind::Hangup, "")]
    }

    /// The channels of each call.
    fn calls(events: &[Event]) -> Vec<Vec<u32>> {
        let parted = partition(events);
        let channels = |(_, of_call): &(String, Vec<usize>)| {
            let numbers = of_call.iter().map(|i| events[*i].uid.rsplit_once('.').unwrap().1.parse().unwrap());
            numbers.collect::<BTreeSet<u32>>().into_iter().collect()
        };
        parted.calls.iter().map(channels).collect()
    }

    #[test]
    fn a_transfer_joins_two_calls_that_overlap() {
        let told = [
            channel(0, 0, 0, 0, 90),
            channel(1, 0, 0, 1, 60),
            channel(5, 5, 5, 50, 60),
            channel(6, 5, 0, 51, 90),
        ];
        assert_eq!(calls(&told.concat()), [[0, 1, 5, 6]]);
    }

    #[test]
    fn a_resident_channel_that_talks_with_one_caller_after_another_joins_none_of_them() {
        let resident = [tell(0, 0, 0, 0, Kind::Start, "")];
        let callers = [channel(3, 3, 0, 10, 30), channel(4, 4, 0, 25, 50), channel(5, 5, 0, 31, 60)];
        let told = [&resident[..], &callers.concat()].concat();
        assert_eq!(calls(&told), [[0], [3], [4], [5]]);
        let parted = partition(&told);
        let own: BTreeSet<&String> = parted.linkedids.values().collect();
        assert_eq!(own, callers.iter().map(|told| &told[0].uid).collect());
        // What tells nothing itself is the same, and those of one time may be one call.
        assert_eq!(calls(&callers.concat()), [[3], [4], [5]]);
        assert_eq!(calls(&told[..5]), [[0, 3, 4]]);
    }

    #[test]
    fn who_takes_back_a_parked_call_belongs_to_it_also_after_another_one_did() {
        let told = [
            channel(0, 0, 0, 0, 90),
            channel(1, 0, 0, 1, 20),
            channel(5, 5, 0, 30, 40),
            channel(6, 6, 0, 50, 90),
        ];
        assert_eq!(calls(&told.concat()), [[0, 1, 5, 6]]);
        let dials = [tell(0, 0, 0, 1, Kind::Ring, "dials=101")];
        let told =
            [&channel(0, 0, 0, 0, 90)[..], &dials, &channel(5, 5, 0, 30, 40), &channel(6, 6, 0, 50, 90)];
        assert_eq!(calls(&told.concat()), [[0, 5, 6]]);
    }

    #[test]
    fn a_linkedid_of_more_than_a_day_ago_joins_nobody_new() {
        let old = [tell(0, 0, 0, 0, Kind::Start, ""), tell(1, 0, 0, 90_000, Kind::Ring, "")];
        let told = [&old[..], &channel(5, 5, 0, 86_395, 86_400), &channel(6, 6, 0, 86_399, 86_402)].concat();
        assert_eq!(calls(&told), [vec![0, 1, 5], vec![6]]);
    }

    #[test]
    fn what_a_pbx_answers_joins_like_what_it_tells() {
        let told = [channel(0, 0, 0, 0, 90), channel(5, 5, 5, 50, 60)];
        let mut seen = tell(5, 5, 0, 55, Kind::Seen, "");
        seen.root = None;
        assert_eq!(calls(&[&told.concat()[..], &[seen]].concat()), [[0, 5]]);
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(
            (told, again) in proptest::collection::vec((0..4usize, 0..4usize, 0..50i64, 1..40i64), 1..8).prop_flat_map(|all| {
                let told: Vec<Event> = all.iter().enumerate().flat_map(|(n, (root, linked, begins, lives))| {
                    channel(n, (*root).min(n), *linked, *begins, begins + lives)
                }).collect();
                let more = [told.clone(), told[..told.len() / 2].to_vec()].concat();
                (Just(told), Just(more).prop_shuffle())
            })
        ) {
            prop_assert_eq!(calls(&told), calls(&again));
        }
    }
}
