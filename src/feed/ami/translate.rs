//! What Asterisk's manager interface says, as the events that the dialplan would have told.
//!
//! A channel that comes in starts; one that is dialled rings, under the channel that dialled it; who is put through has
//! answered; who is transferred, joins a queue or takes a parked call says so; and a channel's end carries what was seen
//! on the way: who hung up, what its dialling came to, whom it put through. Local channels are plumbing: whom they dial
//! is dialled by whoever dialled them, and they are told of only where a transfer by code or a click made them.
//! A token is made of what is told and of nothing that differs between two who listen, so what is told twice (by two
//! nodes, or again after a lost connection) is one event. Pure; remembers the channels that live, bounded. Knows nothing
//! of connections, and nothing of calls.

use std::collections::HashMap;

use jiff::Timestamp;

use super::dialling::Dialling;
use super::field::{Arrived, Now, endpoint, is_plumbing, number_in, text, uid_of};
use super::wire::Message;
use crate::event::{Asked, Event, Facts, Feed, Kind, Token, clean, key};

/// Most channels that are remembered; of those above it only what one message says is told.
pub(super) const MOST_CHANNELS: usize = 20_000;

/// Local channels in a row that are seen through.
pub(super) const MOST_HALVES: usize = 8;

/// One pbx.
pub struct Translator {
    pub(super) pbx: String,
    pub(super) channels: HashMap<String, Channel>,
    /// Who is in which bridge.
    pub(super) bridges: HashMap<String, Vec<String>>,
}

/// A channel that lives.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub name: String,
    pub linkedid: String,
    /// The linkedid under which the call of whoever dialled it began, or its own.
    pub root: String,
    pub exten: Option<String>,
    pub context: Option<String>,
    /// When it was made, by the pbx's clock.
    pub made: Timestamp,
    /// When it was first heard of, by ours.
    pub since: Timestamp,
    /// Whether anything was told of it: then its end is told too.
    pub told: bool,
    /// Who dialled it; nobody where Asterisk was asked to make a call.
    pub dialled: Option<Option<String>>,
    /// The queue or nothing that it was dialled for.
    pub group: Option<String>,
    pub answered: bool,
    /// When its state came to be Up.
    pub up: Option<Timestamp>,
    /// When Asterisk, which made it, sends it into the dialplan.
    pub enters: Option<Timestamp>,
    /// The other half of a Local channel.
    pub half: Option<String>,
    pub bridge: Option<String>,
    /// The name of the channel that hung up.
    pub source: Option<String>,
    /// When it stopped ringing, or left by an attended transfer, after which Asterisk may keep the channel for a while.
    pub left: Option<Timestamp>,
    /// The name of the channel that its attended transfer put through.
    pub connected: Option<String>,
    pub queue: Option<String>,
    /// Where it is parked: its transfer there is none.
    pub parked: Option<String>,
    pub dialling: Dialling,
}

/// What is to be told of one channel.
pub(super) struct Told<'a> {
    pub kind: Kind,
    pub uid: &'a str,
    /// What tells it from the channel's other events of the kind.
    pub which: String,
    pub facts: Vec<(&'static str, Option<String>)>,
    pub root: Option<String>,
}

impl<'a> Told<'a> {
    pub fn new(kind: Kind, uid: &'a str, facts: Vec<(&'static str, Option<String>)>) -> Told<'a> {
        Told { kind, uid, which: kind.as_str().to_owned(), facts, root: None }
    }
}

impl Translator {
    /// Nothing is known of `pbx` yet.
    #[must_use]
    pub fn new(pbx: &str) -> Translator {
        Translator { pbx: clean(pbx.as_bytes()), channels: HashMap::new(), bridges: HashMap::new() }
    }

    /// The channels that are remembered.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// What a message tells, mostly nothing.
    pub fn hear(&mut self, message: &Message, arrived: Arrived) -> Vec<Event> {
        let now = Now::of(message, arrived);
        self.moved(message);
        match message.get("Event").unwrap_or_default() {
            "Newchannel" => self.appears(message, now),
            "Newstate" => self.changes(message, now),
            "Rename" => self.renamed(message),
            "LocalBridge" => self.halves(message),
            "DialBegin" => self.dials(message, now),
            "DialEnd" => self.dialled(message, now),
            "BridgeEnter" => self.meets(message, now),
            "BridgeLeave" => self.leaves(message),
            "BlindTransfer" => self.sends_on(message, now),
            "AttendedTransfer" => self.puts_through(message, now),
            "ParkedCall" => self.parks(message, text(message, "ParkingSpace")),
            "UnParkedCall" => self.parked(message, "Retriever", now),
            "ParkedCallTimeOut" => self.parked(message, "Parkee", now),
            "QueueCallerJoin" => self.queues(message, now),
            "QueueCallerLeave" => self.leaves_queue(message),
            "ConfbridgeJoin" => self.confers(message, now),
            "Hold" => self.holds(message, "on", now),
            "Unhold" => self.holds(message, "off", now),
            "HangupRequest" => self.hangs_up(message),
            "Hangup" => self.ends(message, now),
            _ => Vec::new(),
        }
    }

    pub(super) fn remember(&mut self, uid: &str, message: &Message, now: Now) {
        if self.channels.len() >= MOST_CHANNELS {
            return;
        }
        let channel = self.channels.entry(uid.to_owned()).or_default();
        channel.name = text(message, "Channel").unwrap_or_default();
        channel.linkedid = text(message, "Linkedid").unwrap_or_else(|| uid.to_owned());
        channel.root.clone_from(&channel.linkedid);
        (channel.exten, channel.context) = (text(message, "Exten"), text(message, "Context"));
        (channel.made, channel.since) = (now.at, now.arrived.here);
    }

    /// A channel belongs to another linkedid from now on. That is told with what it does next, as the dialplan would: who is
    /// put through to an operator's line that stays up has its linkedid too, and is not one call with those before him.
    fn moved(&mut self, message: &Message) {
        let (Some(uid), Some(linkedid)) = (uid_of(message, ""), text(message, "Linkedid")) else { return };
        if let Some(channel) = self.channels.get_mut(&uid).filter(|_| !key::is_key(&linkedid)) {
            channel.linkedid = linkedid;
        }
    }

    pub(super) fn seen(&self, uid: &str, linkedid: &str, now: Now) -> Option<Event> {
        let name = self.channels.get(uid).map(|c| c.name.as_str()).unwrap_or_default();
        let asked = Asked { pbx: &self.pbx, at: now.at, timed: now.timed };
        let event = Event::seen(&asked, uid, linkedid, name, true, now.arrived.here)?;
        Some(Event { feed: Feed::Ami, ..event })
    }

    fn appears(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let Some(uid) = uid_of(message, "") else { return Vec::new() };
        self.remember(&uid, message, now);
        self.comes_in(&uid, message, now)
    }

    /// A channel whose state is Ring calls the pbx.
    fn comes_in(&mut self, uid: &str, message: &Message, now: Now) -> Vec<Event> {
        let name = message.get("Channel").unwrap_or_default();
        let known = self.channels.get(uid).is_some_and(|c| c.told || c.dialled.is_some());
        if message.get("ChannelStateDesc") != Some("Ring") || is_plumbing(name) || known {
            return Vec::new();
        }
        let facts = self.beginning(message);
        self.told(Told::new(Kind::Start, uid, facts), now).into_iter().collect()
    }

    pub(super) fn beginning(&self, message: &Message) -> Vec<(&'static str, Option<String>)> {
        let from = [
            ("exten", "Exten"),
            ("ctx", "Context"),
            ("num", "CallerIDNum"),
            ("name", "CallerIDName"),
            ("acct", "AccountCode"),
        ];
        from.into_iter().map(|(fact, field)| (fact, text(message, field))).collect()
    }

    fn changes(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let Some(uid) = uid_of(message, "") else { return Vec::new() };
        if message.get("ChannelStateDesc") == Some("Up")
            && let Some(channel) = self.channels.get_mut(&uid)
        {
            channel.up.get_or_insert(now.at);
        }
        self.comes_in(&uid, message, now)
    }

    fn renamed(&mut self, message: &Message) -> Vec<Event> {
        let channel = uid_of(message, "").and_then(|uid| self.channels.get_mut(&uid));
        if let (Some(channel), Some(name)) = (channel, text(message, "Newname")) {
            channel.name = name;
        }
        Vec::new()
    }

    fn halves(&mut self, message: &Message) -> Vec<Event> {
        if let (Some(one), Some(two)) = (uid_of(message, "LocalOne"), uid_of(message, "LocalTwo")) {
            for (half, other) in [(&one, &two), (&two, &one)] {
                if let Some(channel) = self.channels.get_mut(half) {
                    channel.half = Some(other.clone());
                }
            }
        }
        Vec::new()
    }

    fn dials(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let Some(dest) = uid_of(message, "Dest") else { return Vec::new() };
        let caller = uid_of(message, "");
        let mut events = Vec::new();
        if let Some(caller) = &caller {
            events.extend(self.enters(caller, message, now));
        }
        let through = caller.as_deref().map(|caller| self.through(caller));
        let dialler = through.as_deref().and_then(|uid| self.channels.get_mut(uid));
        let queue = dialler.as_ref().and_then(|channel| channel.queue.clone());
        if let (Some(dialler), true) = (dialler, caller == through) {
            dialler.dialling.begins();
        }
        // A Local channel's own group is that of whom it dials.
        let half = caller.as_deref().and_then(|uid| self.channels.get(uid)?.half.clone());
        let group = queue.or_else(|| self.channels.get(half.as_deref()?)?.group.clone());
        let root = through.as_deref().and_then(|uid| Some(self.channels.get(uid)?.root.clone()));
        let Some(channel) = self.channels.get_mut(&dest) else { return events };
        channel.dialled = Some(through.clone());
        channel.root = root.unwrap_or_else(|| channel.root.clone());
        channel.group.clone_from(&group);
        if is_plumbing(&channel.name) || through.is_none() {
            return events;
        }
        let num = text(message, "DestCallerIDNum").or_else(|| number_in(message.get("DialString")?));
        // A line's channel has the name of whoever calls out.
        let own = num.is_some() && num.as_deref() == endpoint(&channel.name);
        let name = text(message, "DestCallerIDName").filter(|_| own);
        let facts = vec![("group", group), ("caller", through), ("num", num), ("name", name)];
        events.extend(self.told(Told::new(Kind::Ring, &dest, facts), now));
        events
    }

    /// A channel that Asterisk made does something in the dialplan: now it is known where it entered.
    fn enters(&mut self, uid: &str, message: &Message, now: Now) -> Vec<Event> {
        let Some(channel) = self.channels.get_mut(uid) else { return Vec::new() };
        let (plumbing, made, half) = (is_plumbing(&channel.name), channel.made, channel.half.clone());
        if let Some(entered) = channel.enters.take() {
            let born = made.as_microsecond();
            let born = format!("{}.{:06}", born.div_euclid(1_000_000), born.rem_euclid(1_000_000));
            let mut facts = self.beginning(message);
            facts.extend([("origin", Some("-".to_owned())), ("born", Some(born))]);
            return self
                .told(Told::new(Kind::Start, uid, facts), Now { at: entered, ..now })
                .into_iter()
                .collect();
        }
        let of_click =
            half.and_then(|half| self.channels.get(&half)).is_some_and(|c| c.dialled == Some(None));
        if plumbing && of_click && !self.channels.get(uid).is_some_and(|c| c.told) {
            let facts = self.beginning(message);
            return self
                .told(Told::new(Kind::Start, uid, facts), Now { at: made, ..now })
                .into_iter()
                .collect();
        }
        Vec::new()
    }

    /// Who really dials where a Local channel does: whoever dialled that.
    fn through(&self, uid: &str) -> String {
        let mut uid = uid.to_owned();
        for _ in 0..MOST_HALVES {
            let dialler =
                self.channels.get(&uid).and_then(|c| self.channels.get(c.half.as_deref()?)?.dialled.clone());
            match dialler.flatten() {
                Some(dialler) => uid = dialler,
                None => break,
            }
        }
        uid
    }

    fn dialled(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let Some(dest) = uid_of(message, "Dest") else { return Vec::new() };
        let caller = uid_of(message, "");
        let status = message.get("DialStatus").unwrap_or_default().to_owned();
        let Some(channel) = self.channels.get_mut(&dest) else { return Vec::new() };
        let dialled = channel.dialled.clone();
        let up = channel.up.unwrap_or(now.at).max(channel.made);
        let first = !channel.answered;
        channel.answered |= status == "ANSWER";
        if status != "ANSWER" && !channel.answered {
            // It rings no more; its channel may be there a moment longer than whatever comes next.
            channel.left.get_or_insert(now.at);
        }
        let plumbing = is_plumbing(&channel.name);
        if status == "ANSWER" && dialled == Some(None) && first {
            channel.enters = Some(now.at);
        }
        let dialler = caller.as_deref().or(dialled.as_ref().and_then(Option::as_deref));
        if let Some(dialler) = dialler.and_then(|uid| self.channels.get_mut(uid)) {
            dialler.dialling.ends(&status);
        }
        if status != "ANSWER" || plumbing || !first {
            return Vec::new();
        }
        let mut told = match (dialled, caller) {
            (Some(Some(caller)), _) => Told::new(Kind::Answer, &dest, vec![("caller", Some(caller))]),
            // Nobody dialled it: it took what rang elsewhere.
            (None, Some(caller)) => {
                let caller = self.through(&caller);
                let root = self.channels.get(&caller).map(|c| c.root.clone()).or(text(message, "Linkedid"));
                let caller = Some(caller);
                Told { root, ..Told::new(Kind::Answer, &dest, vec![("caller", caller)]) }
            }
            _ => return Vec::new(),
        };
        let at = if told.root.is_some() { now.at } else { up };
        told.facts.push(("num", text(message, "DestCallerIDNum")));
        self.told(told, Now { at, ..now }).into_iter().collect()
    }

    fn parks(&mut self, message: &Message, parked: Option<String>) -> Vec<Event> {
        if let Some(channel) = uid_of(message, "Parkee").and_then(|uid| self.channels.get_mut(&uid)) {
            channel.parked = parked;
        }
        Vec::new()
    }

    /// Who takes a parked caller, or a caller whom nobody took.
    fn parked(&mut self, message: &Message, who: &str, now: Now) -> Vec<Event> {
        self.parks(message, None);
        let place = text(message, "ParkingSpace");
        let facts = vec![("step", Some("parked".to_owned())), ("name", place)];
        self.step(uid_of(message, who), "parked", facts, now)
    }

    fn queues(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let uid = uid_of(message, "");
        let queue = text(message, "Queue");
        let mut events = Vec::new();
        if let Some(uid) = &uid {
            events.extend(self.enters(uid, message, now));
            if let Some(channel) = self.channels.get_mut(uid) {
                channel.queue.clone_from(&queue);
            }
        }
        let facts = vec![
            ("step", Some("queue".to_owned())),
            ("name", queue),
            ("position", text(message, "Position")),
        ];
        events.extend(self.step(uid, "queue", facts, now));
        events
    }

    fn leaves_queue(&mut self, message: &Message) -> Vec<Event> {
        if let Some(channel) = uid_of(message, "").and_then(|uid| self.channels.get_mut(&uid)) {
            channel.queue = None;
            // Queue() leaves no DIALSTATUS.
            channel.dialling = Dialling::default();
        }
        Vec::new()
    }

    fn confers(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let facts = vec![("step", Some("conference".to_owned())), ("name", text(message, "Conference"))];
        self.step(uid_of(message, ""), "conference", facts, now)
    }

    /// What somebody does at his phone: a Local channel only passes it on.
    fn holds(&mut self, message: &Message, how: &str, now: Now) -> Vec<Event> {
        let of_phone = |uid: &String| self.channels.get(uid).is_some_and(|c| c.told && !is_plumbing(&c.name));
        let uid = uid_of(message, "").filter(of_phone);
        self.step(uid, &format!("hold-{how}"), vec![("hold", Some(how.to_owned()))], now)
    }

    fn step(
        &mut self,
        uid: Option<String>,
        word: &str,
        facts: Vec<(&'static str, Option<String>)>,
        now: Now,
    ) -> Vec<Event> {
        let Some(uid) = uid.filter(|uid| self.channels.contains_key(uid)) else { return Vec::new() };
        let told = Told { which: now.name(word), ..Told::new(Kind::Note, &uid, facts) };
        self.told(told, now).into_iter().collect()
    }

    fn ends(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let Some(uid) = uid_of(message, "") else { return Vec::new() };
        let mut events = self.enters(&uid, message, now);
        let Some(channel) = self.channels.get_mut(&uid).filter(|channel| channel.told) else {
            self.channels.remove(&uid);
            return events;
        };
        let facts = vec![
            ("state", text(message, "ChannelStateDesc")),
            ("cause", text(message, "Cause")),
            ("hangupsource", channel.source.take()),
            ("dialstatus", channel.dialling.status.map(str::to_owned)),
            ("attendedtransfer", channel.connected.take()),
            ("parked", channel.parked.take()),
        ];
        let at = channel.left.unwrap_or(now.at);
        events.extend(self.told(Told::new(Kind::Hangup, &uid, facts), Now { at, ..now }));
        self.channels.remove(&uid);
        events
    }

    /// The event. `None` where the uniqueid makes no token.
    pub(super) fn told(&mut self, told: Told<'_>, now: Now) -> Option<Event> {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        let name: String = told.uid.chars().filter(plain).take(64).collect();
        let token: Token = format!("{name}-ami-{}", told.which).parse().ok()?;
        let channel = self.channels.get_mut(told.uid);
        let (linkedid, root, channel) = match channel {
            Some(channel) => {
                channel.told = true;
                (channel.linkedid.clone(), Some(channel.root.clone()), channel.name.clone())
            }
            None => (told.uid.to_owned(), None, String::new()),
        };
        let known = told.facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(Event {
            token,
            feed: Feed::Ami,
            kind: told.kind,
            pbx: self.pbx.clone(),
            uid: told.uid.to_owned(),
            linkedid,
            root: told.root.or(root),
            seq: None,
            at: now.at,
            timed: now.timed,
            received: now.arrived.here,
            channel,
            facts: known.collect(),
            agi: Facts::new(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::MAX_VALUE;
    use crate::event::uniqueid::born;
    use proptest::prelude::*;

    fn arrived() -> Arrived {
        let here = born("1795390800.1").unwrap();
        Arrived { here, there: here }
    }

    fn hear(translator: &mut Translator, fields: &[(&str, &str)]) -> Vec<Event> {
        translator.hear(&fields.iter().copied().collect(), arrived())
    }

    fn comes_in(uid: &str) -> [(&str, &str); 6] {
        let name = "CallerIDName";
        [
            ("Event", "Newchannel"),
            ("Uniqueid", uid),
            ("Channel", "PJSIP/trunk-00000001"),
            ("ChannelStateDesc", "Ring"),
            ("Exten", "73512020318"),
            (name, "${SHELL(id)}\u{1b}"),
        ]
    }

    #[test]
    fn what_is_told_again_has_the_same_token() {
        let (mut one, mut other) = (Translator::new("p"), Translator::new("p"));
        let first = hear(&mut one, &comes_in("1795390800.1"));
        assert_eq!(first[0].token.as_str(), "1795390800.1-ami-start");
        assert_eq!(first, hear(&mut other, &comes_in("1795390800.1")));
        assert_eq!(first[0].fact("name"), Some(r"${SHELL(id)}\u{1b}"));
    }

    #[test]
    fn a_call_key_in_place_of_a_uniqueid_names_no_channel() {
        assert_eq!(hear(&mut Translator::new("p"), &comes_in("20261122-222140-1-IN-2")), []);
    }

    #[test]
    fn of_a_channel_that_was_never_told_of_no_end_is_told() {
        let mut translator = Translator::new("p");
        assert_eq!(hear(&mut translator, &[("Event", "Hangup"), ("Uniqueid", "1.1")]), []);
    }

    #[test]
    fn any_number_of_channels_is_remembered_in_bounded_memory() {
        let mut translator = Translator::new("p");
        for n in 0..MOST_CHANNELS + 10 {
            let uid = format!("1795390800.{n}");
            assert_eq!(hear(&mut translator, &comes_in(&uid)).len(), 1);
        }
        assert_eq!(translator.channels(), MOST_CHANNELS);
    }

    proptest! {
        #[test]
        fn any_messages_give_bounded_events(
            told in proptest::collection::vec((0..19_usize, 0..5_u8, 0..5_u8, ".{0,40}", "(Local/)?.{0,8}(;[12])?"), 0..60)
        ) {
            let names = [
                "Newchannel", "Newstate", "Rename", "LocalBridge", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave",
                "BlindTransfer", "AttendedTransfer", "UnParkedCall", "ParkedCallTimeOut", "QueueCallerJoin",
                "QueueCallerLeave", "ConfbridgeJoin", "HangupRequest", "Hangup", "Hold", "Unhold",
            ];
            let mut translator = Translator::new("p");
            for (event, one, two, text, channel) in &told {
                let (one, two, long) = (format!("1.{one}"), format!("1.{two}"), text.repeat(60));
                let fields = [
                    ("Event", names[*event]), ("Uniqueid", one.as_str()), ("DestUniqueid", &two), ("Linkedid", &two),
                    ("Channel", channel), ("ChannelStateDesc", if text.len() % 2 == 0 { "Ring" } else { "Up" }),
                    ("LocalOneUniqueid", &one), ("LocalTwoUniqueid", &two), ("BridgeUniqueid", text),
                    ("TransfereeUniqueid", &one), ("OrigTransfererUniqueid", &one), ("SecondTransfererUniqueid", &two),
                    ("OrigTransfererLinkedid", text), ("Result", "Success"), ("DialStatus", "ANSWER"),
                    ("RetrieverUniqueid", &one), ("ParkeeUniqueid", &two), ("CallerIDName", &long), ("Exten", &long),
                    ("Queue", text), ("Conference", text), ("Newname", channel), ("Timestamp", text),
                ];
                for event in translator.hear(&fields.into_iter().collect(), arrived()) {
                    prop_assert!(event.facts.values().all(|value| value.len() <= MAX_VALUE));
                    prop_assert!(event.channel.len() <= MAX_VALUE && !event.channel.chars().any(char::is_control));
                }
                prop_assert!(translator.bridges.values().all(|members| members.len() <= MOST_HALVES));
                prop_assert!(translator.bridges.len() <= MOST_CHANNELS);
            }
        }
    }
}
