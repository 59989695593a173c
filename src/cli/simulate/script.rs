//! What happens in a played call: its events as a dialplan would send them.
//!
//! Pure: chance and the time of the beginning are handed in. The arguments are those of `docs/dialplan.md`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::SIMULATED;
use crate::event::Kind;

/// What `URIENCODE` leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Callers: number and name.
const CALLERS: [(&str, &str); 8] = [
    ("79000000001", "Иванов Пётр"),
    ("79000000002", "ООО \"Ромашка\""),
    ("+79000000003", ""),
    ("79000000004", "Smith, John (mobile)"),
    ("89000000005", "Анна"),
    ("+4930000000", "Müller GmbH"),
    ("79000000007", "O'Brien"),
    ("", ""),
];

/// The company's own phones: number and name.
const PHONES: [(&str, &str); 5] =
    [("101", "Анна"), ("102", "Борис"), ("103", "Вера"), ("104", "Глеб"), ("105", "Дарья")];

const LINE: &str = "73510000000";

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// From outside, answered.
    Inbound,
    /// From outside, the caller gives up.
    Missed,
    /// To the outside.
    Outbound,
    /// Between two phones.
    Internal,
    /// Answered, then sent on to another phone.
    Transfer,
    /// Four phones ring together, one is picked up.
    Group,
    /// From outside, the phone is busy.
    Busy,
}

impl Scene {
    /// Every kind, with its name on the command line.
    pub const ALL: [(&'static str, Scene); 7] = [
        ("inbound", Scene::Inbound),
        ("missed", Scene::Missed),
        ("outbound", Scene::Outbound),
        ("internal", Scene::Internal),
        ("transfer", Scene::Transfer),
        ("group", Scene::Group),
        ("busy", Scene::Busy),
    ];
}

/// One event of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, in milliseconds from the call's beginning.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
    uid: String,
    lid: String,
    seq: u32,
    channel: String,
    facts: Vec<(&'static str, String)>,
}

impl Step {
    /// The event's token and its arguments in the order of the contract, at `at_us` microseconds of the epoch.
    pub fn arguments(&self, at_us: i64) -> (String, Vec<String>) {
        let time = format!("{}.{:06}", at_us / 1_000_000, at_us % 1_000_000);
        let token = format!("{}-{}-{}-{time}", self.uid, self.seq, self.kind);
        let fixed = [
            ("v", "1".to_owned()),
            ("token", token.clone()),
            ("pbx", SIMULATED.to_owned()),
            ("uid", self.uid.clone()),
            ("lid", self.lid.clone()),
            ("root", self.lid.clone()),
            ("seq", self.seq.to_string()),
            ("t", time),
            ("chan", self.channel.clone()),
        ];
        let all = fixed.iter().chain(&self.facts);
        let arguments = all.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)));
        (token, arguments.collect())
    }
}

/// Chance that can be had again: the same seed gives the same numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// A number from `from` up to `to`, both included.
    pub fn roll(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (mixed ^ (mixed >> 31)) % (to - from + 1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(0, all.len() as u64 - 1) as usize]
    }
}

/// A channel that has begun to speak.
struct Channel {
    uid: String,
    name: String,
    seq: u32,
}

/// A call that is being written.
struct Script {
    steps: Vec<Step>,
    channels: Vec<Channel>,
    second: i64,
    serial: u64,
    notify: bool,
}

/// The caller's channel; the others follow in the order in which they are rung.
const CALLER: usize = 0;

/// Writes a call that begins at `second` of the epoch; `serial` and the numbers behind it name its channels, at
/// most eight. With `notify` it asks to be told to others like a real one.
pub fn write(scene: Scene, dice: &mut Dice, second: i64, serial: u64, notify: bool) -> Vec<Step> {
    let mut script = Script { steps: Vec::new(), channels: Vec::new(), second, serial, notify };
    let (wait, talk) = (dice.roll(2_000, 15_000), dice.roll(10_000, 240_000));
    let &(number, name) = dice.one_of(&CALLERS);
    let first = dice.roll(0, 3) as usize;
    match scene {
        Scene::Inbound => {
            script.comes_in(number, name);
            let phone = script.rings(60, first, "");
            script.talks(wait, talk, phone, dice.roll(0, 1) == 0);
        }
        Scene::Missed => {
            script.comes_in(number, name);
            let phones = [script.rings(60, first, ""), script.rings(80, first + 1, "")];
            script.ends(wait + 10_000, &phones, "127");
            script.caller_ends(wait + 10_010, "CANCEL", true);
        }
        Scene::Outbound => {
            let (own, own_name) = PHONES[first];
            let number = if number.is_empty() { "79000000009" } else { number };
            script.begins(own, &[("dir", "out"), ("exten", number), ("num", own), ("name", own_name)]);
            let line = script.channel("trunk");
            script.say(
                60,
                line,
                Kind::Ring,
                &[("group", ""), ("caller", "*"), ("num", number), ("name", "")],
            );
            script.talks(wait, talk, line, true);
        }
        Scene::Internal => {
            let ((own, own_name), other) = (PHONES[first], (first + 1) % PHONES.len());
            let to = PHONES[other].0;
            script.begins(own, &[("dir", "int"), ("exten", to), ("num", own), ("name", own_name)]);
            let phone = script.rings(60, other, "");
            script.talks(wait, talk, phone, false);
        }
        Scene::Transfer => {
            script.comes_in(number, name);
            let phone = script.rings(60, first, "");
            script.answers(wait, phone);
            let then = wait + dice.roll(5_000, 30_000);
            let (by, to) = (script.channels[phone].name.clone(), PHONES[4].0);
            let moved =
                [("how", "blind"), ("by", by.as_str()), ("exten", to), ("ctx", "office"), ("num", number)];
            script.say(then, CALLER, Kind::Transfer, &moved);
            script.ends(then + 15, &[phone], "16");
            let other = script.rings(then + 80, 4, "");
            script.talks(then + wait, talk, other, true);
        }
        Scene::Group => {
            script.comes_in(number, name);
            let phones: Vec<usize> = (0..4).map(|n| script.rings(60 + 15 * n as u64, n, "sales")).collect();
            let winner = phones[first];
            let others: Vec<usize> = phones.into_iter().filter(|phone| *phone != winner).collect();
            script.ends(wait - 40, &others, "26");
            script.talks(wait, talk, winner, true);
        }
        Scene::Busy => {
            script.comes_in(number, name);
            let phone = script.rings(60, first, "");
            script.ends(400, &[phone], "17");
            script.caller_ends(3_000, "BUSY", false);
        }
    }
    script.steps.sort_by_key(|step| step.at_ms);
    script.steps
}

impl Script {
    fn channel(&mut self, endpoint: &str) -> usize {
        let serial = self.serial + self.channels.len() as u64;
        let name = format!("PJSIP/{endpoint}-{serial:08x}");
        self.channels.push(Channel { uid: format!("{}.{serial}", self.second), name, seq: 0 });
        self.channels.len() - 1
    }

    /// Writes an event down. A value `*` stands for the caller's uniqueid.
    fn say(&mut self, at_ms: u64, channel: usize, kind: Kind, facts: &[(&'static str, &str)]) {
        let lid = self.channels[CALLER].uid.clone();
        let speaker = &mut self.channels[channel];
        speaker.seq += 1;
        let value = |text: &str| if text == "*" { lid.clone() } else { text.to_owned() };
        let facts = facts.iter().map(|&(name, text)| (name, value(text))).collect();
        let (uid, seq, channel) = (speaker.uid.clone(), speaker.seq, speaker.name.clone());
        self.steps.push(Step { at_ms, kind, uid, lid, seq, channel, facts });
    }

    fn comes_in(&mut self, number: &str, name: &str) {
        let facts = [("dir", "in"), ("trunk", LINE), ("exten", LINE), ("num", number), ("name", name)];
        self.begins("trunk", &facts);
    }

    fn begins(&mut self, endpoint: &str, facts: &[(&'static str, &str)]) {
        self.channel(endpoint);
        let mut all = vec![("org", "demo")];
        all.extend(facts);
        all.extend([("ctx", "office"), ("state", "Ring")]);
        all.extend(self.notify.then_some(("notify", "1")));
        self.say(0, CALLER, Kind::Start, &all);
    }

    fn rings(&mut self, at_ms: u64, phone: usize, group: &str) -> usize {
        let (number, name) = PHONES[phone % PHONES.len()];
        let channel = self.channel(number);
        let facts = [("group", group), ("caller", "*"), ("num", number), ("name", name)];
        self.say(at_ms, channel, Kind::Ring, &facts);
        channel
    }

    fn answers(&mut self, at_ms: u64, channel: usize) {
        self.say(at_ms, channel, Kind::Answer, &[("caller", "*")]);
    }

    /// Picked up, talked, hung up: by the caller or by the other side.
    fn talks(&mut self, at_ms: u64, talk_ms: u64, channel: usize, by_caller: bool) {
        self.answers(at_ms, channel);
        self.ends(at_ms + talk_ms, &[channel], "16");
        self.caller_ends(at_ms + talk_ms + 20, "ANSWER", by_caller);
    }

    fn ends(&mut self, at_ms: u64, channels: &[usize], cause: &str) {
        for (n, &channel) in channels.iter().enumerate() {
            let uid = &self.channels[channel].uid;
            let answered = self.steps.iter().any(|step| step.kind == Kind::Answer && step.uid == *uid);
            let state = if answered { "Up" } else { "Ringing" };
            let facts = [("state", state), ("cause", cause), ("via", "handler")];
            self.say(at_ms + 5 * n as u64, channel, Kind::Hangup, &facts);
        }
    }

    /// Twice, as a dialplan does: in `h`, and in the hangup handler.
    fn caller_ends(&mut self, at_ms: u64, dialstatus: &str, by_caller: bool) {
        let source = if by_caller { self.channels[CALLER].name.clone() } else { String::new() };
        for via in ["h", "handler"] {
            let facts =
                [("cause", "16"), ("hangupsource", &source), ("dialstatus", dialstatus), ("via", via)];
            self.say(at_ms, CALLER, Kind::Hangup, &facts);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::call::{Call, Direction, Disposition, Numbering, fold};
    use crate::event::{Arrival, Event, Feed};

    const SECOND: i64 = 1_795_390_723;

    fn played(scene: Scene, seed: u64) -> Call {
        let steps = write(scene, &mut Dice(seed), SECOND, 40, false);
        let events: Vec<Event> = steps
            .iter()
            .map(|step| {
                let at_us = SECOND * 1_000_000 + step.at_ms as i64 * 1000;
                let arrival = Arrival {
                    feed: Feed::Agi,
                    pbx: "x",
                    at: jiff::Timestamp::from_second(SECOND + 9_000).unwrap(),
                };
                let (_, arguments) = step.arguments(at_us);
                Event::from_args(step.kind, arguments.iter().map(String::as_bytes), arrival).unwrap()
            })
            .collect();
        let folded = fold(&events, &Numbering::default()).unwrap();
        assert!(folded.standing.all_ended && !folded.standing.gap, "{scene:?}");
        folded.call
    }

    #[test]
    fn each_scene_is_the_call_that_its_name_says() {
        for seed in 0..50 {
            for (_, scene) in Scene::ALL {
                let call = played(scene, seed);
                let answered = call.disposition == Disposition::Answered;
                let wanted = match scene {
                    Scene::Inbound => call.direction == Direction::Inbound && answered,
                    Scene::Missed => call.abandoned && call.legs.len() == 3,
                    Scene::Outbound => call.direction == Direction::Outbound && answered,
                    Scene::Internal => call.direction == Direction::Internal && answered,
                    Scene::Transfer => call.transfers.len() == 1 && call.conversations.len() == 2,
                    Scene::Group => call.legs.len() == 5 && answered,
                    Scene::Busy => call.disposition == Disposition::Busy,
                };
                assert!(wanted, "{scene:?} with seed {seed}: {call:#?}");
                assert_eq!(call.pbx, SIMULATED);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_call() {
        let write = |seed| write(Scene::Group, &mut Dice(seed), SECOND, 1, false);
        assert_eq!(write(7), write(7));
        assert_ne!(write(7), write(8));
    }
}
