//! Who talked with whom, read from the bridges of Asterisk's channel event log.
//!
//! Two people talk while their channels are in one bridge, or in bridges that a Local channel ties together. Somebody
//! with two calls talks in the younger one alone, from the moment he begins it: the elder is on hold, which the log does
//! not say. Nobody talks in a bridge for waiting (parking).

use std::collections::{BTreeMap, BTreeSet};

use crate::cel::{Row, number};

/// The same people talking, without interruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Microseconds since 1970.
    pub from: i64,
    pub until: i64,
    /// The uniqueids of their channels.
    pub channels: BTreeSet<String>,
}

/// All of them in order of time. Those of no length are not told.
pub fn talks(rows: &[Row]) -> Vec<Talk> {
    let mut in_order: Vec<&Row> = rows.iter().collect();
    in_order.sort_by_key(|row| row.at);
    let mut floor = Floor::default();
    let mut running: BTreeMap<BTreeSet<String>, i64> = BTreeMap::new();
    let mut talks = Vec::new();
    for row in in_order {
        floor.take(row);
        let now = floor.talking();
        for (channels, from) in std::mem::take(&mut running) {
            if now.contains(&channels) {
                running.insert(channels, from);
            } else if from < row.at {
                talks.push(Talk { from, until: row.at, channels });
            }
        }
        for channels in now {
            running.entry(channels).or_insert(row.at);
        }
    }
    talks.sort_by_key(|talk| talk.from);
    talks
}

/// Which channels there are, and where, at one moment.
#[derive(Default)]
struct Floor<'r> {
    /// The first row of each living channel, the eldest first.
    living: Vec<&'r Row>,
    /// The bridge that a channel is in.
    bridges: BTreeMap<&'r str, &'r str>,
}

impl<'r> Floor<'r> {
    fn take(&mut self, row: &'r Row) {
        match row.event.as_str() {
            "CHAN_START" => self.living.push(row),
            "CHAN_END" => {
                self.living.retain(|one| one.uniqueid != row.uniqueid);
                self.bridges.remove(row.uniqueid.as_str());
            }
            "BRIDGE_ENTER" if row.says("bridge_technology") != Some("holding_bridge") => {
                self.bridges.extend(row.says("bridge_id").map(|bridge| (row.uniqueid.as_str(), bridge)));
            }
            "BRIDGE_EXIT" => {
                self.bridges.remove(row.uniqueid.as_str());
            }
            _ => {}
        }
    }

    /// Each group of people who hear each other.
    fn talking(&self) -> BTreeSet<BTreeSet<String>> {
        let mut rooms: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for channel in self.living.iter().filter(|one| !one.is_plumbing() && !self.is_on_hold(one)) {
            if let Some(bridge) = self.bridges.get(channel.uniqueid.as_str()) {
                rooms.entry(self.room(bridge)).or_default().insert(channel.uniqueid.clone());
            }
        }
        rooms.into_values().filter(|people| people.len() > 1).collect()
    }

    /// One name for all bridges that Local channels tie to this one.
    fn room(&self, bridge: &'r str) -> &'r str {
        let mut room = BTreeSet::from([bridge]);
        loop {
            let before = room.len();
            for half in self.living.iter().filter(|one| one.is_plumbing()) {
                let other = self.living.iter().find(|one| is_other_half(&half.channel, &one.channel));
                let bridge = |one: &Row| self.bridges.get(one.uniqueid.as_str()).copied();
                let ties = bridge(half).zip(other.and_then(|one| bridge(one)));
                room.extend(ties.filter(|(here, _)| room.contains(here)).map(|(_, there)| there));
            }
            if room.len() == before {
                return room.first().copied().unwrap_or(bridge);
            }
        }
    }

    /// Whether whoever sits here has begun another call since. (A trunk is not somebody.)
    fn is_on_hold(&self, channel: &Row) -> bool {
        let who = number(&channel.channel);
        let since = self.living.iter().skip_while(|one| one.uniqueid != channel.uniqueid).skip(1);
        !who.starts_with("trunk")
            && since.filter(|one| one.is_somebody_calling()).any(|one| number(&one.channel) == who)
    }
}

/// Whether the two are the halves of one Local channel.
fn is_other_half(one: &str, other: &str) -> bool {
    let halves = one.rsplit_once(';').zip(other.rsplit_once(';'));
    halves.is_some_and(|((name, half), (of, other))| name == of && half != other)
}
