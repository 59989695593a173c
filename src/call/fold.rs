//! Events to a call.
//!
//! Each event, at its place, changes the part that its channel has in the call, and may pin what is decided at
//! the start. What the parts come to (legs, conversations, disposition, the end) is worked out from them
//! afterwards, in `dials.rs`, `legs.rs` and `outcome.rs`. Knows nothing of the present: whether a silent call is lost is
//! judged by [`Standing`].

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::consulting::ByCode;
use super::dials::{Dial, unheard};
use super::forwarded;
use super::hearsay;
use super::holds::Holds;
use super::identity::earlier;
use super::order::{Placed, has_gap, in_order};
use super::origin::{self, RangFirst};
use super::outcome::finish;
use super::records;
use super::sent::sent_on;
use super::steps::Saying;
use super::taken::{self, Taken};
use super::talks::Move;
use super::witness::{ByAmi, tells_its_end, weigh};
use super::{Call, Direction, How, Landing, Numbering, Outcome, Party, Remark, Role, Standing, Transfer};
use crate::event::{Event, Kind};

/// What the events of one call come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The call.
    pub call: Call,
    /// Whether it may be over.
    pub standing: Standing,
    /// For each event, in the order handed in, what it did to the call.
    pub notes: Vec<String>,
}

/// Folds the events of one call; `None` where there are none. Any order, with or without duplicates, gives the
/// same call. `numbering` decides which way it goes where the dialplan does not say.
#[must_use]
pub fn fold(events: &[Event], numbering: &Numbering) -> Option<Folded> {
    let mut parts = Parts::default();
    let mut notes = vec!["duplicate: told before".to_owned(); events.len()];
    let (recorded, heard, told) = records::parted(in_order(events));
    let (told, repeated) = weigh(told);
    origin::pin(&mut parts.pinned, &told);
    for placed in &told {
        notes[placed.index] = parts.take(*placed);
    }
    for placed in &repeated {
        notes[placed.index] = parts.repeat(placed.event);
    }
    parts.stop_ringing(&told);
    hearsay::fill_in(&mut parts, &heard, &mut notes);
    records::fill_in(&mut parts, &recorded, &mut notes);
    if let (true, Some(seen)) = (parts.list.is_empty(), told.first()) {
        // What the channel told itself is still to come.
        parts.part(seen.event, seen.at);
    }
    let standing = Standing {
        all_ended: parts.all_ended(),
        gap: has_gap(events),
        last_heard: records::last_live(events),
    };
    unheard(&mut parts);
    origin::add_silent(&mut parts);
    origin::put_right(&mut parts);
    taken::arrange(&mut parts);
    forwarded::arrange(&mut parts);
    sent_on(&mut parts);
    Some(Folded { call: finish(parts, numbering)?, standing, notes })
}

/// The part that one channel has in the call, as its events tell it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub uniqueid: String,
    pub channel: String,
    /// The linkedid that it was first told under; empty where it told nothing itself.
    pub linkedid: String,
    /// Another one that it was told under later: its call was joined to that one.
    pub joined: Option<String>,
    /// `None` until an event says how the channel came into the call.
    pub role: Option<Role>,
    pub party: Party,
    pub group: Option<String>,
    pub caller: Option<String>,
    pub accountcode: Option<String>,
    pub started: Timestamp,
    pub answered: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub farewell: Farewell,
    /// Whether ast-ami alone told of the channel.
    pub heard: bool,
    /// What AMI alone told of it.
    pub by_ami: ByAmi,
    /// Whether it was ast-ami that told of its end.
    pub end_heard: bool,
    /// When it was told that its phone would ring.
    pub rang: Option<Timestamp>,
    /// What came of it, where the channel that dialled it said so.
    pub outcome: Option<Outcome>,
    /// Whether the channel told nothing itself, and is known from the one that dialled it.
    pub made_up: bool,
    /// Each `Dial()` it ran, as far as it told.
    pub dials: Vec<Dial>,
    /// Each time it entered the dialplan, by itself or by a transfer.
    pub entries: Vec<Entry>,
    /// Whether Asterisk made it by itself, and its phone rang before it entered the dialplan.
    pub originated: bool,
    /// Whether it took a call that rang at another phone.
    pub picked_up: bool,
    /// The channel of the phone that sent the call on, of a Local channel that Asterisk made for that.
    pub forwarder: Option<String>,
    /// What it said of menus, queues, voicemail and the like.
    pub sayings: Vec<Saying>,
}

/// A channel enters the dialplan.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub at: Timestamp,
    pub exten: Option<String>,
    pub context: Option<String>,
    pub transferred: bool,
}

/// What a channel said when it ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Farewell {
    pub cause: Option<u16>,
    pub dialstatus: Option<String>,
    /// Whether it was up.
    pub up: bool,
    /// The channel that hung up, or `dialplan/…` (Asterisk's `CHANNEL(hangupsource)`).
    pub source: Option<String>,
    /// The channel that its attended transfer put through.
    pub connected: Option<String>,
    /// The number that the Dial which rang it had dialled (`DIALEDPEERNUMBER`).
    pub dialled: Option<String>,
    /// Where it was parked when nobody took it back (`PARKING_SPACE`).
    pub parked: Option<String>,
    /// Where it was parked when it ended, which AMI tells.
    pub waited_at: Option<String>,
    /// The other channel of its last blind transfer, whichever of the two made it.
    pub sent: Option<String>,
}

/// All parts of a call, and what its first events pinned.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub pbx: String,
    pub list: Vec<Part>,
    pub linkedids: BTreeSet<String>,
    pub pinned: Pinned,
    pub moves: Vec<Move>,
    /// The attended transfers that were begun by feature code.
    pub by_code: Vec<ByCode>,
    pub remarks: Vec<Remark>,
    pub holds: Holds,
    /// What somebody took off another phone, or out of parking.
    pub taken: Vec<Taken>,
    /// The caller's own phone, where it rang before he called anybody.
    pub rang_first: Option<RangFirst>,
    index: HashMap<String, usize>,
    /// Channels that are known to report, whether or not they have.
    hooked: HashSet<String>,
    /// Those of them whose end is not known.
    pub open: HashSet<String>,
    /// Those that ended at a time that nobody told, and when they were seen to be gone.
    gone: HashMap<String, Timestamp>,
}

/// What comes from the first event that knows it and never changes. Calls that became one by a transfer have what the
/// eldest of them said.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    linkedid: Option<String>,
    pub key: Option<String>,
    pub direction: Option<Direction>,
    pub org: Option<String>,
    pub trunk: Option<String>,
    /// The channel that `source` speaks of: a name is never taken from another one.
    pub source_channel: Option<String>,
    pub source: Party,
    pub destination: Option<String>,
    pub context: Option<String>,
}

impl Parts {
    pub fn take(&mut self, placed: Placed<'_>) -> String {
        let event = placed.event;
        self.belongs(event);
        for uniqueid in tells_its_end(event) {
            self.hook(uniqueid);
        }
        let at = placed.at;
        match event.kind {
            Kind::Start => self.start(event, at),
            Kind::Ring => self.ring(event, at),
            Kind::Answer => self.answer(event, at),
            Kind::Transfer => self.transfer(event, at),
            Kind::Note if event.fact("step").is_some() => self.step(event, at),
            Kind::Note if event.fact("hold").is_some() => self.hold(event, at),
            Kind::Note => self.remark(event, at, "text", false),
            Kind::Record => self.remark(event, at, "file", true),
            Kind::Hangup => self.hangup(event, at),
            Kind::Seen => self.seen(placed),
        }
    }

    /// An event of this call: whose it is, and by which names it is known.
    pub fn belongs(&mut self, event: &Event) {
        if self.pbx.is_empty() {
            self.pbx.clone_from(&event.pbx);
        }
        for linkedid in [Some(&event.linkedid), event.root.as_ref()].into_iter().flatten() {
            if !self.linkedids.contains(linkedid) {
                self.linkedids.insert(linkedid.clone());
            }
        }
    }

    /// A channel that is known to report its end.
    pub fn hook(&mut self, uniqueid: &str) {
        if !self.hooked.contains(uniqueid) {
            self.hooked.insert(uniqueid.to_owned());
        }
        let ended = self.by_uniqueid(uniqueid).is_some_and(|p| p.ended.is_some());
        if ended || self.gone.contains_key(uniqueid) {
            self.open.remove(uniqueid);
        } else if !self.open.contains(uniqueid) {
            self.open.insert(uniqueid.to_owned());
        }
    }

    /// Whether a channel is known to report.
    pub fn is_hooked(&self, uniqueid: &str) -> bool {
        self.hooked.contains(uniqueid)
    }

    /// Where there is nothing but halves of Local channels, they report.
    pub fn hook_someone(&mut self) {
        if self.hooked.is_empty() {
            let all: Vec<String> = self.list.iter().map(|part| part.uniqueid.clone()).collect();
            all.iter().for_each(|uniqueid| self.hook(uniqueid));
        }
    }

    fn start(&mut self, event: &Event, at: Timestamp) -> String {
        self.pinned.learn(event);
        let part = self.part(event, at);
        let known = !part.entries.is_empty();
        if let (false, Some(born)) = (known, origin::born(event, at)) {
            part.started = part.started.min(born);
        }
        part.originated |= event.fact("origin").is_some();
        fill(&mut part.forwarder, event.fact("forwarder").filter(|_| is_plumbing(&event.channel)));
        part.enters(event, at, false);
        let (who, to) = (part.who(), event.fact("exten").unwrap_or("the dialplan"));
        if known {
            format!("no change: {who} had entered the dialplan before")
        } else {
            format!("{who} calls {to}")
        }
    }

    fn ring(&mut self, event: &Event, at: Timestamp) -> String {
        let part = self.part(event, at);
        if let Some(numbers) = event.fact("dials") {
            part.role.get_or_insert(Role::Caller);
            part.names(event);
            part.dials(event, at);
            if numbers.trim_matches('&').is_empty() {
                return format!("{} dials phones that are told of elsewhere", part.who());
            }
            return format!("{} dials {numbers}", part.who());
        }
        part.role.get_or_insert(Role::Called);
        part.rang.get_or_insert(at);
        part.by_ami.rings(event);
        fill(&mut part.group, event.fact("group"));
        fill(&mut part.caller, event.fact("caller"));
        part.names(event);
        format!("leg {} rings", part.who())
    }

    fn answer(&mut self, event: &Event, at: Timestamp) -> String {
        let part = self.part(event, at);
        if taken::is_pickup(part, event) {
            (part.picked_up, part.role, part.caller) = (true, Some(Role::Called), None);
        }
        part.role.get_or_insert(Role::Called);
        fill(&mut part.caller, event.fact("caller"));
        part.names(event);
        let who = part.who();
        if part.answered.is_some() {
            return format!("no change: leg {who} had answered before");
        }
        part.answered = Some(at);
        part.by_ami.answers(event);
        format!("leg {who} answered; call talking")
    }

    fn transfer(&mut self, event: &Event, at: Timestamp) -> String {
        self.pinned.learn(event);
        let name = event.fact("by").unwrap_or_default();
        let transferor = self.list.iter().find(|p| p.channel == name);
        let by = match transferor {
            Some(part) => part.party.clone(),
            None => Party { number: endpoint(name).map(Into::into), name: None },
        };
        let to = event.fact("exten");
        let who = by.number.clone().unwrap_or_else(|| "somebody".into());
        let whom = to.unwrap_or("the dialplan");
        let how = if event.fact("how") == Some("attended") { How::Attended } else { How::Blind };
        let consults = how == How::Attended && is_plumbing(&event.channel);
        let spoken = how == How::Attended;
        let transfer = Transfer { at, how, by, to: to.map(Into::into), spoken, outcome: Landing::Open };
        let note = if consults {
            format!("{who} consults {whom}")
        } else {
            format!("{who} transferred the call to {whom}")
        };
        if consults {
            self.by_code.push(ByCode { by: name.to_owned(), via: event.uid.clone(), transfer });
        } else {
            let (channel, by) = (Some(event.uid.clone()), Some(name.to_owned()));
            self.moves.push(Move { transfer, channel, by, given_up: None });
        }
        self.part(event, at).enters(event, at, true);
        note
    }

    fn remark(&mut self, event: &Event, at: Timestamp, fact: &str, recording: bool) -> String {
        self.part(event, at);
        match event.fact(fact) {
            // A call that is transferred passes the line that records it again.
            Some(text) if recording && self.remarks.iter().any(|r| r.recording && r.text == text) => {
                "no change: recording known".into()
            }
            Some(text) => {
                self.remarks.push(Remark { at, text: text.to_owned(), recording });
                if recording { "recording noted".into() } else { "line for the story".into() }
            }
            None => format!("no change: {fact} is empty"),
        }
    }

    fn hangup(&mut self, event: &Event, at: Timestamp) -> String {
        let part = self.part(event, at);
        // `h` and the hangup handler both tell, and what one does not know the other may.
        part.farewell.learn(event);
        part.dial_left(event, at);
        part.says(event, at);
        let who = part.who();
        if part.ended.is_some() {
            return format!("no change: channel of {who} had ended before");
        }
        part.ended = Some(at);
        self.open.remove(&event.uid);
        if self.all_ended() {
            format!("channel of {who} ended; it was the last")
        } else {
            format!("channel of {who} ended")
        }
    }

    /// The pbx was asked about the channel. That it lives changes nothing but the call that it is known to be in; that it
    /// is gone ends it, at a time that nobody knows.
    fn seen(&mut self, placed: Placed<'_>) -> String {
        let (event, uniqueid) = (placed.event, &placed.event.uid);
        let who = self.by_uniqueid(uniqueid).map_or_else(|| "a channel".to_owned(), Part::who);
        if self.by_uniqueid(uniqueid).is_some_and(|p| p.ended.is_some()) {
            return format!("no change: channel of {who} had ended before");
        }
        if event.fact("told") != Some("gone") {
            if self.gone.remove(uniqueid).is_some() {
                self.hook(uniqueid);
            }
            return format!("no change: the pbx says that the channel of {who} lives");
        }
        // A channel that told something afterwards was not gone: two pbxes may have one name.
        if placed.at > event.at || !self.hooked.contains(uniqueid) {
            return format!("no change: the pbx does not know the channel of {who}");
        }
        self.gone.entry(uniqueid.clone()).or_insert(placed.at);
        self.open.remove(uniqueid);
        format!("channel of {who} is gone, its end was never told")
    }

    /// The part of the event's channel; where there is none yet, it begins at `at`.
    pub fn part(&mut self, event: &Event, at: Timestamp) -> &mut Part {
        let index = match self.index.get(&event.uid) {
            Some(&known) => known,
            None => {
                self.add(Part::new(event, at));
                self.list.len() - 1
            }
        };
        let part = &mut self.list[index];
        if part.channel.is_empty() {
            part.channel.clone_from(&event.channel);
        }
        if part.linkedid.is_empty() {
            part.linkedid.clone_from(&event.linkedid);
        } else if part.linkedid != event.linkedid {
            fill(&mut part.joined, Some(&event.linkedid));
        }
        fill(&mut part.accountcode, event.fact("acct"));
        part
    }

    /// Adds a part that no event of its own told of.
    pub fn add(&mut self, part: Part) {
        self.index.insert(part.uniqueid.clone(), self.list.len());
        self.list.push(part);
    }

    /// Whether every channel that is known to report has reported its end.
    pub fn all_ended(&self) -> bool {
        self.open.is_empty()
    }

    /// When a channel was seen to be gone whose end nobody told.
    pub fn gone(&self, part: &Part) -> Option<Timestamp> {
        if part.ended.is_some() { None } else { self.gone.get(&part.uniqueid).copied() }
    }

    /// When the call ended, once every channel has; `None` in it where that is not known: a channel whose end nobody told
    /// may have been the last one.
    pub fn ended_at(&self) -> Option<Option<Timestamp>> {
        let known = self.list.iter().filter_map(|p| p.ended).max();
        let told = |p: &&Part| p.ended.is_some();
        let silent = self.gone.iter().filter(|(uid, _)| self.by_uniqueid(uid).filter(told).is_none());
        let seen = silent.map(|(_, at)| *at).max();
        self.all_ended().then(|| known.filter(|known| seen.is_none_or(|seen| *known >= seen)))
    }

    pub fn by_uniqueid(&self, uniqueid: &str) -> Option<&Part> {
        self.place(uniqueid).and_then(|place| self.list.get(place))
    }

    /// Where in `list` the part of this channel is.
    pub fn place(&self, uniqueid: &str) -> Option<usize> {
        self.index.get(uniqueid).copied()
    }

    pub fn by_uniqueid_mut(&mut self, uniqueid: &str) -> Option<&mut Part> {
        self.place(uniqueid).and_then(|place| self.list.get_mut(place))
    }

    /// The channel that began the call: that of the earliest linkedid, else the first that called.
    pub fn first(&self) -> Option<&Part> {
        let eldest = self.eldest().and_then(|linkedid| self.by_uniqueid(linkedid));
        eldest.or_else(|| self.list.iter().find(|p| p.role == Some(Role::Caller))).or(self.list.first())
    }

    /// Whoever asks for the channel `uniqueid` is told of the part at `place` from now on.
    pub fn stand_in(&mut self, uniqueid: &str, place: usize) {
        self.index.insert(uniqueid.to_owned(), place);
    }

    pub fn eldest(&self) -> Option<&str> {
        self.linkedids.iter().map(String::as_str).min_by(|a, b| earlier(a, b))
    }
}

impl Part {
    fn new(event: &Event, at: Timestamp) -> Part {
        let mut part = Part::empty(event.uid.clone(), at);
        part.channel.clone_from(&event.channel);
        part
    }

    /// A called phone that told nothing itself.
    pub fn made_up(uniqueid: String, started: Timestamp) -> Part {
        Part { role: Some(Role::Called), made_up: true, ..Part::empty(uniqueid, started) }
    }

    fn empty(uniqueid: String, started: Timestamp) -> Part {
        Part {
            uniqueid,
            channel: String::new(),
            linkedid: String::new(),
            joined: None,
            role: None,
            party: Party::default(),
            group: None,
            caller: None,
            accountcode: None,
            started,
            answered: None,
            ended: None,
            farewell: Farewell::default(),
            heard: false,
            by_ami: ByAmi::default(),
            end_heard: false,
            rang: None,
            outcome: None,
            made_up: false,
            dials: Vec::new(),
            entries: Vec::new(),
            originated: false,
            picked_up: false,
            forwarder: None,
            sayings: Vec::new(),
        }
    }

    fn enters(&mut self, event: &Event, at: Timestamp, transferred: bool) {
        self.role.get_or_insert(Role::Caller);
        self.names(event);
        let text = |name: &str| event.fact(name).map(Into::into);
        self.entries.push(Entry { at, exten: text("exten"), context: text("ctx"), transferred });
    }

    /// A phone's own number is in its channel's name; `CALLERID(num)` of a called channel is the number that was
    /// dialled where the endpoint sets none, so it counts for lines and for phones that are named otherwise.
    pub fn names(&mut self, event: &Event) {
        if let Some(caller) = origin::caller(event) {
            fill(&mut self.party.number, caller.number.as_deref());
            fill(&mut self.party.name, caller.name.as_deref());
            return;
        }
        let own = endpoint(&self.channel);
        let told = event.fact("num").filter(|n| *n != "unknown");
        let number = match self.role {
            Some(Role::Called) => own.filter(|n| is_number(n)).or(told).or(own),
            _ => told.or(own),
        };
        fill(&mut self.party.number, number.map(ToOwned::to_owned).as_deref());
        fill(&mut self.party.name, event.fact("name"));
    }

    /// A Local channel is plumbing between two channels, and nobody sits at it.
    pub fn is_plumbing(&self) -> bool {
        is_plumbing(&self.channel)
    }

    pub fn who(&self) -> String {
        self.party.number.clone().unwrap_or_else(|| endpoint(&self.channel).unwrap_or("a channel").to_owned())
    }
}

impl Pinned {
    /// The first event that knows a value decides it.
    pub fn learn(&mut self, event: &Event) {
        if self.linkedid.get_or_insert_with(|| event.linkedid.clone()) != &event.linkedid {
            return;
        }
        fill(&mut self.key, event.fact("key"));
        fill(&mut self.org, event.fact("org"));
        fill(&mut self.trunk, event.fact("trunk"));
        fill(&mut self.destination, event.fact("exten"));
        fill(&mut self.context, event.fact("ctx"));
        if self.source_channel.get_or_insert_with(|| event.uid.clone()) == &event.uid {
            let caller = origin::caller(event).unwrap_or_else(|| Party {
                number: event.fact("num").filter(|n| *n != "unknown").map(Into::into),
                name: event.fact("name").map(Into::into),
            });
            fill(&mut self.source.number, caller.number.as_deref());
            fill(&mut self.source.name, caller.name.as_deref());
        }
        self.direction = self.direction.or_else(|| match event.fact("dir")? {
            "in" => Some(Direction::Inbound),
            "out" => Some(Direction::Outbound),
            "int" => Some(Direction::Internal),
            _ => None,
        });
    }
}

/// Whether a channel of this name is half of a Local channel.
pub(super) fn is_plumbing(channel: &str) -> bool {
    channel.starts_with("Local/")
}

/// `PJSIP/101-0000002a` to `101`: the technology in front and the serial behind it fall away.
pub(super) fn endpoint(channel: &str) -> Option<&str> {
    let name = channel.split_once('/').map_or(channel, |(_, name)| name);
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    (!name.is_empty()).then_some(name)
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'+')
}

/// Filled in once, never replaced.
pub(super) fn fill(field: &mut Option<String>, value: Option<&str>) {
    if field.is_none() {
        *field = value.map(ToOwned::to_owned);
    }
}
