//! The order in which the events of a call are told, whatever order they came in.
//!
//! Within a channel the dialplan's own count decides, never the clock, unless the count began anew: the variables that
//! hold it are another channel's after a masquerade. Across channels the clock decides, held so that no channel runs
//! backwards. The same event told twice is told once. Knows nothing of what events mean.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::identity::earlier;
use super::witness::Witness;
use crate::event::Event;

/// An event at its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    /// Its index in the slice that was handed in.
    pub index: usize,
    /// The event.
    pub event: &'a Event,
    /// Its time, not before that of the channel's event before it.
    pub at: Timestamp,
}

/// Each event once, in the order of the call.
pub(super) fn in_order(events: &[Event]) -> Vec<Placed<'_>> {
    // Each who tells has an order of his own: what one does not count, or tells without a time, holds back no other.
    let mut channels: HashMap<(Witness, &str, &str), Vec<Placed<'_>>> = HashMap::new();
    for placed in once(events) {
        let event = placed.event;
        channels.entry((Witness::of(event), &event.pbx, &event.uid)).or_default().push(placed);
    }
    let mut all = Vec::with_capacity(events.len());
    for (_, mut channel) in channels {
        channel.sort_by(|a, b| within_a_channel(a.event, b.event));
        if channel
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.event.seq.is_some() && a.event.seq == b.event.seq))
        {
            channel.sort_by_key(|placed| placed.event.at);
        }
        let mut latest = Timestamp::MIN;
        for mut placed in channel {
            latest = latest.max(placed.at);
            placed.at = latest;
            all.push(placed);
        }
    }
    // The sort is stable: within a channel nothing changes places.
    all.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| between_channels(a.event, b.event)));
    all
}

/// Of two channels at one time the elder one goes first.
fn between_channels(a: &Event, b: &Event) -> Ordering {
    earlier(&a.uid, &b.uid).then_with(|| (Witness::of(a), &a.pbx).cmp(&(Witness::of(b), &b.pbx)))
}

/// Whether the dialplan counted an event of some channel that is not here.
pub(super) fn has_gap(events: &[Event]) -> bool {
    let mut counts: HashMap<(&str, &str), BTreeSet<u32>> = HashMap::new();
    for event in events {
        if let Some(seq) = event.seq {
            counts.entry((&event.pbx, &event.uid)).or_default().insert(seq);
        }
    }
    counts.values().any(|seen| seen.last().is_some_and(|&last| last as usize != seen.len()))
}

/// The copies of one event differ in how and when they came: the first to come stands for all.
fn once(events: &[Event]) -> impl Iterator<Item = Placed<'_>> {
    let mut first: HashMap<(&str, &str), Placed<'_>> = HashMap::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let placed = Placed { index, event, at: event.at };
        first
            .entry((&event.pbx, event.token.as_str()))
            .and_modify(|kept| {
                if copy_order(event, kept.event) == Ordering::Less {
                    *kept = placed;
                }
            })
            .or_insert(placed);
    }
    first.into_values()
}

/// Honest copies differ in arrival alone; what else may differ only keeps the order total.
fn copy_order(a: &Event, b: &Event) -> Ordering {
    (a.received, a.feed as u8, a.kind, a.at, &a.uid, &a.linkedid, &a.root, a.seq, &a.channel, &a.facts).cmp(
        &(b.received, b.feed as u8, b.kind, b.at, &b.uid, &b.linkedid, &b.root, b.seq, &b.channel, &b.facts),
    )
}

/// An event without a count stands behind those that have one.
fn within_a_channel(a: &Event, b: &Event) -> Ordering {
    let place = |e: &Event| (e.seq.unwrap_or(u32::MAX), e.at);
    place(a).cmp(&place(b)).then_with(|| a.token.cmp(&b.token))
}
