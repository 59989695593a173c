//! A small world of phones, Dial and transfers: it plays a plan and yields what the dialplan tells of it, and what must
//! be told of it.
//!
//! The world knows what channels do (who is dialled, which handlers run in which order, when a linkedid changes), as
//! `docs/dialplan.md` and real Asterisks have it. It knows nothing of how a call is folded.

use std::rc::Rc;

use calljournal::event::{Arrival, Event, Feed};
use jiff::{SignedDuration, Timestamp};

use super::plan::{Fate, Next, Plan, Talk, Who};

/// The second in which every world begins.
pub const BEGINNING: i64 = 1_795_390_723;

/// What must be told of one call. Times are milliseconds from the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// The linkedid that it began with.
    pub linkedid: String,
    pub ended_ms: u64,
    pub answered_by: Option<String>,
    /// Attended or not, by whom, to whom.
    pub transfers: Vec<(bool, String, String)>,
    pub talks: Vec<Talked>,
    /// Each phone that was rung, and what came of it.
    pub rung: Vec<(String, &'static str)>,
}

/// Two people who talked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talked {
    /// Their numbers, sorted: who called whom says little after a transfer.
    pub between: [String; 2],
    pub from_ms: u64,
    pub to_ms: u64,
}

/// A call: what was told, in the order in which it happened, and what is true.
#[derive(Debug, Clone, Default)]
pub struct Played {
    pub events: Vec<Event>,
    pub truth: Truth,
}

/// Plays `plan` on the Asterisk `pbx`: somebody calls in, and what it says happens. The first call is his, the others are
/// those that phones made on their second lines meanwhile.
pub fn play(plan: &Plan, pbx: &str) -> Vec<Played> {
    let mut world = World { pbx: pbx.to_owned(), ..World::default() };
    let mut caller = world.channel("79190000000", "trunk", None);
    let call = world.open(&caller);
    world.tell(call, &mut caller, "start", "dir=in,num=79190000000,exten=73512020318,trunk=73512020318");
    world.dial(call, caller, plan);
    world.calls
}

/// A channel and what it knows.
#[derive(Debug, Clone)]
struct Channel {
    uid: String,
    name: String,
    number: String,
    linkedid: String,
    root: String,
    /// The channel that had it dialled.
    caller: Option<Rc<str>>,
    told: u32,
}

#[derive(Default)]
struct World {
    pbx: String,
    ms: u64,
    serial: u32,
    calls: Vec<Played>,
}

impl World {
    /// A call that begins with `first`; its place.
    fn open(&mut self, first: &Channel) -> usize {
        let truth = Truth { linkedid: first.uid.clone(), ..Truth::default() };
        self.calls.push(Played { truth, ..Played::default() });
        self.calls.len() - 1
    }

    fn truth(&mut self, call: usize) -> &mut Truth {
        &mut self.calls[call].truth
    }

    /// A new channel; one that is dialled has the linkedid and the root of who dials.
    fn channel(&mut self, number: &str, endpoint: &str, dialled_by: Option<&Channel>) -> Channel {
        let second = BEGINNING + (self.ms / 1000) as i64;
        let uid = format!("{second}.{}", self.serial);
        let name = format!("PJSIP/{endpoint}-{:08x}", self.serial);
        self.serial += 1;
        let own = |of: fn(&Channel) -> &String| dialled_by.map_or(uid.clone(), |by| of(by).clone());
        Channel {
            linkedid: own(|by| &by.linkedid),
            root: own(|by| &by.root),
            caller: dialled_by.map(|by| Rc::from(by.uid.as_str())),
            uid,
            name,
            number: number.to_owned(),
            told: 0,
        }
    }

    /// A phone that is dialled; phones have numbers of their own.
    fn phone(&mut self, by: &Channel) -> Channel {
        let number = (101 + self.serial).to_string();
        self.channel(&number, &number, Some(by))
    }

    /// The dialplan tells an event of `channel`. A millisecond passes.
    fn tell(&mut self, call: usize, channel: &mut Channel, kind: &str, facts: &str) {
        self.ms += 1;
        channel.told += 1;
        let Channel { uid, name, linkedid, root, told, .. } = &*channel;
        let pbx = &self.pbx;
        let second = BEGINNING + (self.ms / 1000) as i64;
        let time = format!("{second}.{:03}000", self.ms % 1000);
        let caller = channel.caller.as_deref().unwrap_or_default();
        let arguments = format!(
            "v=1,token={uid}-{told}-{kind}-{time},pbx={pbx},uid={uid},lid={linkedid},root={root},seq={told},t={time},\
             chan={name},{facts},caller={caller}"
        );
        let received = at(self.ms) + SignedDuration::from_millis(2);
        let arrival = Arrival { feed: Feed::Agi, pbx, at: received };
        let arguments = arguments.split(',').map(str::as_bytes);
        self.calls[call].events.push(Event::from_args(kind.parse().unwrap(), arguments, arrival).unwrap());
    }

    /// Both nets tell the end of a channel.
    fn hang_up(&mut self, call: usize, channel: &mut Channel, facts: &str) {
        self.tell(call, channel, "hangup", &format!("{facts},via=handler"));
    }

    /// `by` dials the phones of a plan. What comes of it ends the call at last.
    fn dial(&mut self, call: usize, mut by: Channel, plan: &Plan) {
        let mut phones: Vec<Channel> = plan.phones.iter().map(|_| self.phone(&by)).collect();
        for phone in &mut phones {
            let number = format!("num={}", phone.number);
            self.tell(call, phone, "ring", &number);
        }
        let winner = plan.answered.as_ref().map(|(place, _)| place % phones.len());
        for (place, fate) in plan.phones.iter().enumerate().filter(|(place, _)| Some(*place) != winner) {
            if let Some((cause, outcome)) = fate.by_itself() {
                self.ms += 20;
                self.hang_up(call, &mut phones[place], &format!("state=Ringing,cause={cause}"));
                self.truth(call).rung.push((phones[place].number.clone(), outcome));
            }
        }
        self.ms += plan.rings_ms;
        let left = |place: usize| plan.phones[place] == Fate::Rings && Some(place) != winner;
        let (cause, outcome) = match (winner, plan.given_up) {
            (Some(_), _) => (26, "elsewhere"),
            (None, true) => (127, "cancelled"),
            (None, false) => (0, "no_answer"),
        };
        for place in (0..phones.len()).filter(|place| left(*place)) {
            self.hang_up(call, &mut phones[place], &format!("state=Ringing,cause={cause}"));
            self.truth(call).rung.push((phones[place].number.clone(), outcome));
        }
        if let (Some(winner), Some((_, talk))) = (winner, &plan.answered) {
            let mut phone = phones.swap_remove(winner);
            self.tell(call, &mut phone, "answer", "");
            self.truth(call).rung.push((phone.number.clone(), "answered"));
            self.truth(call).answered_by.get_or_insert_with(|| phone.number.clone());
            return self.talk(call, by, phone, self.ms, talk);
        }
        let (status, source) =
            if plan.given_up { ("CANCEL", by.name.clone()) } else { ("NOANSWER", "dialplan/builtin".into()) };
        self.hang_up(call, &mut by, &format!("state=Up,cause=16,dialstatus={status},hangupsource={source}"));
        self.truth(call).ended_ms = self.ms;
    }

    /// Two talk since `from_ms`, and then what `talk` says.
    fn talk(&mut self, call: usize, mut one: Channel, mut other: Channel, from_ms: u64, talk: &Talk) {
        self.ms += talk.ms;
        match &talk.next {
            Next::End(who) => {
                let by = if *who == Who::Caller { &one } else { &other }.name.clone();
                let facts = format!("state=Up,cause=16,hangupsource={by}");
                self.hang_up(call, &mut other, &facts);
                self.talked(call, &one, &other, from_ms, self.ms);
                self.hang_up(call, &mut one, &format!("{facts},dialstatus=ANSWER"));
                self.truth(call).ended_ms = self.ms;
            }
            Next::Blind(who, plan) => {
                let (mut goes, mut stays) = if *who == Who::Caller { (one, other) } else { (other, one) };
                let target = (101 + self.serial).to_string();
                let sent = format!("how=blind,by={},exten={target},num={}", goes.name, stays.number);
                self.tell(call, &mut stays, "transfer", &sent);
                self.talked(call, &goes, &stays, from_ms, self.ms);
                self.truth(call).transfers.push((false, goes.number.clone(), target));
                let left = format!("state=Up,cause=16,dialstatus=ANSWER,blindtransfer={}", stays.name);
                self.hang_up(call, &mut goes, &left);
                self.dial(call, stays, plan);
            }
            Next::Attended(who, consults_ms, then) => {
                let (goes, stays) = asks(*who, one, other);
                self.attended(call, goes, stays, from_ms, *consults_ms, then);
            }
            Next::ByCode(who, consults_ms, then) => {
                let (goes, stays) = if *who == Who::Caller { (one, other) } else { (other, one) };
                self.by_code(call, goes, stays, from_ms, *consults_ms, then);
            }
            Next::Back(who, rings_ms, then) => {
                let (goes, stays) = if *who == Who::Caller { (one, other) } else { (other, one) };
                self.back(call, goes, stays, from_ms, *rings_ms, then);
            }
            Next::InVain(who, rings_ms, then) => {
                let (goes, stays) = asks(*who, one, other);
                self.in_vain(&goes, *rings_ms);
                self.talk(call, stays, goes, from_ms, then);
            }
        }
    }

    /// `goes` asks somebody on its second line, joins him with `stays` and leaves.
    fn attended(
        &mut self,
        call: usize,
        mut goes: Channel,
        stays: Channel,
        from_ms: u64,
        consults_ms: u64,
        then: &Talk,
    ) {
        let mut second = self.second_line(&goes);
        let mut target = self.phone(&second);
        self.talked(call, &goes, &stays, from_ms, self.ms);
        self.calls_on(call, &mut second, &mut target);
        self.ms += 700;
        self.tell(call, &mut target, "answer", "");
        self.truth(call).rung.push((target.number.clone(), "answered"));
        let asked = self.ms;
        self.ms += consults_ms;
        self.hang_up(call, &mut second, "state=Up,cause=16,dialstatus=ANSWER");
        self.talked(call, &second, &target, asked, self.ms);
        self.hang_up(call, &mut goes, &format!("state=Up,cause=16,attendedtransfer={}", stays.name));
        self.truth(call).transfers.push((true, goes.number.clone(), target.number.clone()));
        target.linkedid.clone_from(&stays.linkedid);
        self.talk(call, stays, target, self.ms, then);
    }

    /// `goes` asks somebody by feature code, joins him with `stays` and leaves. The Local channel that Asterisk made for it
    /// ends a little later.
    fn by_code(
        &mut self,
        call: usize,
        mut goes: Channel,
        stays: Channel,
        from_ms: u64,
        consults_ms: u64,
        then: &Talk,
    ) {
        let (mut local, mut target) = self.local(call, &goes);
        self.talked(call, &goes, &stays, from_ms, self.ms);
        self.ms += 700;
        self.tell(call, &mut target, "answer", "");
        self.truth(call).rung.push((target.number.clone(), "answered"));
        let asked = self.ms;
        self.ms += consults_ms;
        let left = format!("state=Up,cause=16,hangupsource={}", goes.name);
        self.hang_up(call, &mut goes, &left);
        self.talked(call, &goes, &target, asked, self.ms);
        self.truth(call).transfers.push((true, goes.number.clone(), target.number.clone()));
        let joined = self.ms;
        self.ms += 250;
        self.hang_up(
            call,
            &mut local,
            &format!("state=Up,cause=16,dialstatus=ANSWER,dialedpeername={}", target.name),
        );
        self.talk(call, stays, target, joined, then);
    }

    /// `goes` asks somebody by feature code, who does not answer, and is back with `stays` when the Local channel ends.
    fn back(&mut self, call: usize, goes: Channel, stays: Channel, from_ms: u64, rings_ms: u64, then: &Talk) {
        let (mut local, mut target) = self.local(call, &goes);
        self.talked(call, &goes, &stays, from_ms, self.ms);
        self.ms += rings_ms;
        self.hang_up(call, &mut target, "state=Ringing,cause=16");
        self.truth(call).rung.push((target.number.clone(), "no_answer"));
        self.hang_up(
            call,
            &mut local,
            &format!("state=Ring,cause=16,dialstatus=CANCEL,attendedtransfer={}", goes.name),
        );
        self.talk(call, stays, goes, self.ms, then);
    }

    /// The Local channel of an attended transfer by feature code, and the phone that it dials.
    fn local(&mut self, call: usize, goes: &Channel) -> (Channel, Channel) {
        let mut local = self.channel("", "", Some(goes));
        // What the dialplan knows of it is inherited from who asks.
        local.caller = Some(goes.caller.clone().unwrap_or_else(|| Rc::from(goes.uid.as_str())));
        let mut target = self.phone(&local);
        local.name = format!("Local/{}@from-internal-{:08x};2", target.number, self.serial);
        let sent = format!("how=attended,by={},exten={}", goes.name, target.number);
        self.tell(call, &mut local, "transfer", &sent);
        let number = format!("num={}", target.number);
        self.tell(call, &mut target, "ring", &number);
        (local, target)
    }

    /// `who` calls somebody on its second line, who does not answer: a call of its own.
    fn in_vain(&mut self, who: &Channel, rings_ms: u64) {
        let mut second = self.second_line(who);
        let mut target = self.phone(&second);
        let call = self.open(&second);
        self.calls_on(call, &mut second, &mut target);
        self.ms += rings_ms;
        self.hang_up(call, &mut target, "state=Ringing,cause=127");
        self.truth(call).rung.push((target.number.clone(), "cancelled"));
        let gave_up = format!("state=Up,cause=127,dialstatus=CANCEL,hangupsource={}", second.name);
        self.hang_up(call, &mut second, &gave_up);
        self.truth(call).ended_ms = self.ms;
    }

    /// Another channel of the same phone, that begins a call of its own.
    fn second_line(&mut self, who: &Channel) -> Channel {
        self.channel(&who.number, &who.number, None)
    }

    fn calls_on(&mut self, call: usize, second: &mut Channel, target: &mut Channel) {
        let facts = format!("dir=int,num={},exten={}", second.number, target.number);
        self.tell(call, second, "start", &facts);
        let number = format!("num={}", target.number);
        self.tell(call, target, "ring", &number);
    }

    fn talked(&mut self, call: usize, one: &Channel, other: &Channel, from_ms: u64, to_ms: u64) {
        let mut between = [one.number.clone(), other.number.clone()];
        between.sort();
        self.truth(call).talks.push(Talked { between, from_ms, to_ms });
    }
}

/// Who asks a third, and who waits. The caller's phone is far away, and its second line unknown here.
fn asks(who: Who, one: Channel, other: Channel) -> (Channel, Channel) {
    let (asks, waits) = if who == Who::Caller { (one, other) } else { (other, one) };
    if asks.name.starts_with("PJSIP/trunk-") { (waits, asks) } else { (asks, waits) }
}

/// A time of the world.
fn at(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(BEGINNING * 1000 + ms as i64).unwrap()
}
