//! Whether AMI and the dialplan of one Asterisk go by one name, without which each of its calls is there twice.
//!
//! A channel that both tell of under one name is as it should be. The same channel, by uniqueid and by name, told by AMI as of
//! one pbx and by the dialplan as of another, is most probably one with a typo in `[[ami]] pbx`. Two Asterisks may give a
//! channel the same uniqueid by chance, so once is not enough. Pure and bounded. All this is suspicion: nothing is joined by it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::call::SIMULATED;
use crate::event::{Event, Feed};

/// So many channels must have been told apart.
const TIMES: u32 = 3;

/// Channels that are remembered: a call's events come seconds apart.
const MOST_CHANNELS: usize = 4096;

/// Pairs of names that are remembered.
const MOST_PAIRS: usize = 64;

/// Two names that one Asterisk seems to go by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Apart {
    /// That of its `[[ami]]`.
    pub ami: String,
    /// That which its dialplan sends.
    pub dialplan: String,
}

/// Who told of a channel, under which pbx.
#[derive(Debug, Default)]
struct Told {
    channel: String,
    ami: Option<String>,
    dialplan: Option<String>,
}

/// Which channels were told of lately, and which names did not meet.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    told: HashMap<String, Told>,
    turns: VecDeque<String>,
    apart: BTreeMap<Apart, u32>,
}

impl Meetings {
    /// An event came; answers with two names the moment that they are enough for a suspicion.
    pub fn hear(&mut self, event: &Event) -> Option<Apart> {
        let by_ami = match event.feed {
            Feed::Ami => true,
            Feed::Agi | Feed::Spool => false,
            _ => return None,
        };
        if event.channel.is_empty() || event.pbx == SIMULATED {
            return None;
        }
        let told = self.of(event);
        let side = if by_ami { &mut told.ami } else { &mut told.dialplan };
        if side.is_some() || told.channel != event.channel {
            return None;
        }
        *side = Some(event.pbx.clone());
        let pair = Apart { ami: told.ami.clone()?, dialplan: told.dialplan.clone()? };
        if pair.ami == pair.dialplan {
            self.apart.retain(|apart, _| apart.ami != pair.ami);
            return None;
        }
        if self.apart.len() >= MOST_PAIRS && !self.apart.contains_key(&pair) {
            return None;
        }
        let times = self.apart.entry(pair.clone()).or_default();
        *times = times.saturating_add(1);
        (*times == TIMES).then_some(pair)
    }

    /// The names under which AMI and the dialplan of one Asterisk seem to miss each other.
    pub fn apart(&self) -> Vec<Apart> {
        let enough = self.apart.iter().filter(|(_, times)| **times >= TIMES);
        enough.map(|(pair, _)| pair.clone()).collect()
    }

    fn of(&mut self, event: &Event) -> &mut Told {
        if !self.told.contains_key(&event.uid) {
            if self.turns.len() >= MOST_CHANNELS {
                self.turns.pop_front().and_then(|eldest| self.told.remove(&eldest));
            }
            self.turns.push_back(event.uid.clone());
        }
        let new = || Told { channel: event.channel.clone(), ..Told::default() };
        self.told.entry(event.uid.clone()).or_insert_with(new)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::{Arrival, Kind};

    /// Channel `n`, as this feed tells of it.
    fn told(feed: Feed, pbx: &str, n: usize) -> Event {
        named(feed, pbx, n, &format!("PJSIP/101-{n:08x}"))
    }

    fn named(feed: Feed, pbx: &str, n: usize, channel: &str) -> Event {
        let args =
            format!("v=1,token={n}-{feed},pbx={pbx},uid=1795390723.{n},lid=1795390723.{n},chan={channel}");
        let arrival = Arrival { feed, pbx, at: Timestamp::from_second(1_795_390_723).unwrap() };
        Event::from_args(Kind::Start, args.split(',').map(str::as_bytes), arrival).unwrap()
    }

    fn after(events: impl IntoIterator<Item = Event>) -> Meetings {
        let mut meetings = Meetings::default();
        events.into_iter().for_each(|event| drop(meetings.hear(&event)));
        meetings
    }

    fn typo() -> Apart {
        Apart { ami: "offce".to_owned(), dialplan: "office".to_owned() }
    }

    #[test]
    fn channels_that_ami_and_the_dialplan_tell_under_two_names_are_of_one_asterisk_and_said_once() {
        let mut meetings = Meetings::default();
        let mut said = Vec::new();
        for n in 0..5 {
            // Whoever comes first, and however often.
            let (ami, dialplan) = (told(Feed::Ami, "offce", n), told(Feed::Spool, "office", n));
            let both = if n % 2 == 0 { [&ami, &dialplan, &ami] } else { [&dialplan, &ami, &dialplan] };
            said.extend(both.into_iter().filter_map(|event| meetings.hear(event)).map(|pair| (n, pair)));
        }
        assert_eq!(said, [(2, typo())]);
        assert_eq!(meetings.apart(), [typo()]);
    }

    #[test]
    fn one_name_for_both_is_no_suspicion_and_ends_one() {
        let right = |n| [told(Feed::Ami, "office", n), told(Feed::Agi, "office", n)];
        assert_eq!(after((0..10).flat_map(right)).apart(), []);
        let wrong = |n| [told(Feed::Ami, "offce", n), told(Feed::Agi, "office", n)];
        let renamed = [told(Feed::Ami, "offce", 20), told(Feed::Agi, "offce", 20)];
        assert_eq!(after((0..10).flat_map(wrong).chain(renamed)).apart(), []);
    }

    #[test]
    fn two_asterisks_that_were_started_in_one_second_are_two() {
        // Each has its AMI and its dialplan, and their uniqueids are alike.
        let both = (0..10).flat_map(|n| {
            let channel = |pbx: &str| format!("PJSIP/{pbx}-{n:08x}");
            [(Feed::Agi, "a"), (Feed::Ami, "b"), (Feed::Ami, "a"), (Feed::Agi, "b")]
                .map(|(feed, pbx)| named(feed, pbx, n, &channel(pbx)))
        });
        assert_eq!(after(both).apart(), []);
        // By chance, twice.
        let chance = (0..2).flat_map(|n| [told(Feed::Ami, "a", n), told(Feed::Agi, "b", n)]);
        assert_eq!(after(chance).apart(), []);
    }

    #[test]
    fn any_number_of_channels_and_names_is_remembered_in_bounded_memory() {
        let channels = (0..MOST_CHANNELS + 100).map(|n| told(Feed::Ami, "a", n));
        let meetings = after(channels);
        assert_eq!((meetings.told.len(), meetings.turns.len()), (MOST_CHANNELS, MOST_CHANNELS));
        let names = (0..MOST_PAIRS + 100)
            .flat_map(|n| [told(Feed::Ami, "a", n), told(Feed::Agi, &format!("b{n}"), n)]);
        assert_eq!(after(names).apart.len(), MOST_PAIRS);
    }
}
