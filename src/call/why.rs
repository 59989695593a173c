//! Which events make a line of the story.
//!
//! Nothing is noted down for this while a call is folded. A line is asked for again with fewer and fewer events, and
//! what cannot be left out makes it: so this is true of every rule of the fold, also of one that is written tomorrow.
//! Of two events that say the same (`h` and the hangup handler), the earlier one is named. Knows nothing of what events
//! or lines mean.

use std::cell::Cell;

use super::story::{self, Line};
use super::words::Words;
use super::{Numbering, fold};
use crate::event::Event;

/// Events that are folded for one line, over all tries: what cannot be found out with so many is left in. A second or two
/// where a call has thousands of events.
const MOST_FOLDED: usize = 300_000;

/// For each line of a story, the places in `events` of those that it follows from, in their order. None for a line
/// that follows from no event: that a call is given up as lost follows from silence.
///
/// Folds parts of the call some dozen times for each line: for a reader who waits, not for every call.
#[must_use]
pub fn why(lines: &[Line], events: &[Event], numbering: &Numbering, words: &Words) -> Vec<Vec<usize>> {
    let most = MOST_FOLDED.max(2 * events.len());
    lines.iter().map(|line| makers(line, events, numbering, words, most)).collect()
}

fn makers(line: &Line, events: &[Event], numbering: &Numbering, words: &Words, most: usize) -> Vec<usize> {
    let folded = Cell::new(0);
    let tells = |kept: &[usize]| {
        folded.set(folded.get() + kept.len());
        if folded.get() > most {
            return false;
        }
        let kept: Vec<Event> = kept.iter().map(|&n| events[n].clone()).collect();
        fold(&kept, numbering).is_some_and(|folded| story::tell_in(&folded.call, words).contains(line))
    };
    let all: Vec<usize> = (0..events.len()).collect();
    if tells(&all) { least(all, tells) } else { Vec::new() }
}

/// Leaves out as much of `kept` as it can, later ones first, while `enough` holds: halves, then quarters, down to one
/// by one until nothing more can go.
fn least(mut kept: Vec<usize>, enough: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let mut size = kept.len().div_ceil(2);
    loop {
        let before = kept.len();
        let mut end = kept.len();
        while end > 0 {
            let begin = end.saturating_sub(size);
            let without = [&kept[..begin], &kept[end..]].concat();
            if enough(&without) {
                kept = without;
            }
            end = begin;
        }
        match size {
            0 | 1 if kept.len() == before => return kept,
            0 | 1 => {}
            _ => size = size.div_ceil(2),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::tests::{Told, ring_group};
    use super::super::words::Language;
    use super::*;
    use crate::event::Kind;

    /// Each line with the kinds and the channels' serials of the events that make it.
    fn reasons(told: &Told) -> Vec<(String, Vec<(Kind, String)>)> {
        let words = Words::new(Language::En, &[&story::TEXTS]);
        let events = told.events();
        let lines = story::tell_in(&told.fold().call, &words);
        let why = why(&lines, events, &Numbering::default(), &words);
        let named = |n: &usize| (events[*n].kind, events[*n].uid.rsplit('.').next().unwrap().to_owned());
        lines.into_iter().zip(&why).map(|(line, why)| (line.text, why.iter().map(named).collect())).collect()
    }

    #[test]
    fn each_line_names_the_events_that_it_cannot_do_without() {
        let of = |kind: Kind, serial: &str| (kind, serial.to_owned());
        let reasons = reasons(&ring_group());
        assert_eq!(reasons[0].1, [of(Kind::Start, "0")]);
        assert_eq!(reasons[1].1, [of(Kind::Ring, "1"), of(Kind::Ring, "2")]);
        let (answered, ended) = (&reasons[2].1, &reasons[3].1);
        assert!(answered.contains(&of(Kind::Ring, "2")) && answered.contains(&of(Kind::Answer, "2")));
        assert!(!answered.contains(&of(Kind::Start, "0")), "{reasons:?}");
        assert!(ended.contains(&of(Kind::Hangup, "0")) && ended.contains(&of(Kind::Answer, "2")));
    }

    #[test]
    fn of_two_that_say_the_same_the_earlier_one_is_named() {
        let told = Told::default().comes_in().ends(5.0, 0, "trunk", "cause=16,via=h").ends(
            5.001,
            0,
            "trunk",
            "cause=16,via=handler",
        );
        let (_, ended) = reasons(&told).pop().unwrap();
        assert_eq!(ended.iter().filter(|(kind, _)| *kind == Kind::Hangup).count(), 1);
    }

    #[test]
    fn what_takes_too_long_to_find_out_is_left_in() {
        let words = Words::new(Language::En, &[&story::TEXTS]);
        let (told, numbering) = (ring_group(), Numbering::default());
        let (events, line) = (told.events(), &story::tell_in(&told.fold().call, &words)[0]);
        let (all, few) = (events.len(), MOST_FOLDED);
        assert_eq!(makers(line, events, &numbering, &words, all), (0..all).collect::<Vec<_>>());
        assert_eq!(makers(line, events, &numbering, &words, few), [0]);
    }

    #[test]
    fn a_line_that_no_event_tells_has_no_reason() {
        let words = Words::new(Language::En, &[&story::TEXTS]);
        let told = Told::default().comes_in();
        let mut call = told.fold().call;
        call.end_time_known = false;
        let lines = story::tell_in(&call, &words);
        let why = why(&lines, told.events(), &Numbering::default(), &words);
        assert_eq!((why[0].len(), why[1].len()), (1, 0));
    }

    proptest! {
        #[test]
        fn what_is_left_is_just_what_is_needed(
            wanted in proptest::collection::btree_set(0usize..200, 0..6),
            count in 1usize..200,
        ) {
            let wanted: BTreeSet<usize> = wanted.into_iter().filter(|n| *n < count).collect();
            let enough = |kept: &[usize]| wanted.iter().all(|n| kept.contains(n));
            let left = least((0..count).collect(), enough);
            prop_assert_eq!(left, wanted.into_iter().collect::<Vec<_>>());
        }
    }
}
