//! What happened to a caller between ringing phones: menus, queues, voicemail, conferences, announcements, and phones
//! that sent him on.
//!
//! The dialplan says when such a step begins (`note` with `step`). What it came to is known from what came next on the
//! same channel, which carries what Asterisk left there (`QUEUESTATUS`, `VMSTATUS`), and from the phones that rang
//! meanwhile. Knows nothing of how a step is told to people: that is `story.rs`.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Party;
use super::fold::{Part, Parts};
use super::forwarded;
use super::holds;
use super::legs::{Conversation, Leg, Outcome, Role, gave_up, millis};
use super::taken::{Parking, Taken};
use crate::event::{Event, Kind};

/// One thing that was done with a caller on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When it began.
    pub at: Timestamp,
    /// When it was over; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
    /// The uniqueid of the channel that it was done with.
    pub leg: String,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What was done, and what it came to. Names are the dialplan's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum What {
    /// A menu was played.
    Menu {
        /// Which one.
        name: Option<String>,
        /// What the caller chose.
        #[serde(flatten)]
        choice: Choice,
    },
    /// The caller waited in a queue.
    Queue {
        /// Which one.
        name: Option<String>,
        /// The caller's place when he joined, from 1.
        position: Option<u32>,
        /// How the waiting ended.
        left: Left,
        /// From joining to leaving, in milliseconds; `None` while the caller waits.
        wait_ms: Option<i64>,
    },
    /// The caller reached a voicemail box.
    Voicemail {
        /// Whose.
        mailbox: Option<String>,
        /// Whether a message was left; `None` where that is not known, or not yet.
        message: Option<bool>,
    },
    /// The caller entered a conference room.
    Conference {
        /// Which one.
        room: Option<String>,
    },
    /// An announcement was played.
    Announcement {
        /// Which one.
        name: Option<String>,
    },
    /// The caller's own phone rang first: Asterisk was asked to make the call.
    RangFirst {
        /// Whose phone.
        who: Party,
        /// For how long, in milliseconds, where it is known.
        ring_ms: Option<i64>,
    },
    /// Somebody took the call off a phone that rang.
    PickedUp {
        /// Who.
        by: Party,
        /// Whose phone rang.
        from: Option<Party>,
    },
    /// The caller was parked.
    Parked {
        /// Who parked him.
        by: Option<Party>,
        /// Where: the number to dial for him.
        place: Option<String>,
        /// What came of it.
        back: Back,
        /// Who took him back.
        taken_by: Option<Party>,
    },
    /// Somebody put whoever he talked with on hold.
    Held {
        /// Who.
        by: Party,
    },
    /// A phone sent the call on by itself.
    Forwarded {
        /// Whose phone.
        by: Party,
        /// To which number, where the dialplan told.
        to: Option<String>,
    },
}

/// What a caller chose in a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "choice", content = "digits", rename_all = "snake_case")]
pub enum Choice {
    /// The dialplan did not say.
    Unknown,
    /// Nothing, until the menu gave up.
    Nothing,
    /// Something that the menu does not have.
    Wrong,
    /// These digits.
    Digits(String),
}

/// How waiting in a queue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// Not yet.
    Waiting,
    /// An agent answered.
    Answered,
    /// The caller hung up.
    Abandoned,
    /// The time was up.
    Timeout,
    /// The queue takes nobody in, or keeps nobody, while no agent is there.
    Unmanned,
    /// Too many were waiting.
    Full,
    /// By a key, or as the dialplan wanted.
    Elsewhere,
}

/// How parking ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    /// Somebody took the caller back.
    Taken,
    /// Nobody did: the caller went back to who had parked him.
    Returned,
    /// Nobody did, and the caller hung up.
    GaveUp,
}

/// Whether a call went to voicemail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voicemail {
    /// It did, and no message is known to have been left.
    Reached,
    /// A message was left.
    Left,
}

/// What a channel says of its steps: that one begins, and what Asterisk has left of earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Saying {
    at: Timestamp,
    begins: Option<Begins>,
    queuestatus: Option<String>,
    vmstatus: Option<String>,
}

/// A step begins.
#[derive(Debug, Clone)]
struct Begins {
    word: String,
    name: Option<String>,
    digits: Option<String>,
    position: Option<u32>,
}

impl Part {
    /// Where it said that somebody is parked, and when.
    pub(super) fn parked(&self) -> Option<(Option<String>, Timestamp)> {
        let said = self.sayings.iter().filter_map(|said| Some((said.begins.as_ref()?, said.at)));
        said.filter(|(begins, _)| begins.word == "parked")
            .map(|(begins, at)| (begins.name.clone(), at))
            .next()
    }

    /// Whether something else was done with it at `at` or later.
    pub(super) fn goes_on(&self, at: Timestamp) -> bool {
        self.sayings.iter().any(|said| said.begins.is_some() && said.at >= at)
    }

    /// Keeps what `event` says of steps.
    pub(super) fn says(&mut self, event: &Event, at: Timestamp) {
        let text = |name: &str| event.fact(name).map(ToOwned::to_owned);
        let begins = text("step").map(|word| Begins {
            word,
            name: text("name"),
            digits: text("digits"),
            position: event.fact("position").and_then(|p| p.parse().ok()).filter(|&p| p > 0),
        });
        let (queuestatus, vmstatus) = (text("queuestatus"), text("vmstatus"));
        if begins.is_some() || event.kind == Kind::Hangup {
            self.sayings.push(Saying { at, begins, queuestatus, vmstatus });
        }
    }
}

impl Parts {
    /// Something else is done with a channel from now on.
    pub(super) fn step(&mut self, event: &Event, at: Timestamp) -> String {
        let part = self.part(event, at);
        part.says(event, at);
        part.dialled_before(at);
        format!("{} goes on to {}", part.who(), step_name(event))
    }
}

/// What a `note` calls the step that begins, in the words that have a form in `note.*.ftl`.
fn step_name(event: &Event) -> &'static str {
    match event.fact("step") {
        Some("menu") => "a menu",
        Some("queue") => "a queue",
        Some("voicemail") => "voicemail",
        Some("conference") => "a conference",
        Some("announcement") => "an announcement",
        Some("parked") => "a parked call",
        _ => "a step that is not known",
    }
}

/// The steps of a call, in order of time.
pub(super) fn steps(parts: &Parts, legs: &[Leg], conversations: &[Conversation]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for part in &parts.list {
        for n in 0..part.sayings.len() {
            let told = Told { parts, part, n, legs, conversations };
            let Some(step) = told.step() else { continue };
            let last = steps.last_mut().filter(|last| last.leg == step.leg);
            if !last.is_some_and(|last| goes_on(last, &step)) {
                steps.push(step);
            }
        }
    }
    steps.extend(parts.taken.iter().map(|taken| taken_step(parts, taken)));
    steps.extend(holds::steps(parts));
    steps.extend(parts.rang_first.iter().map(|first| Step {
        at: first.at,
        ended_at: first.ring_ms.and_then(|ms| first.at.checked_add(SignedDuration::from_millis(ms)).ok()),
        leg: first.leg.clone(),
        what: What::RangFirst { who: first.who.clone(), ring_ms: first.ring_ms },
    }));
    steps.extend(
        legs.iter().filter(|l| l.outcome == Outcome::Forwarded).map(|leg| forwarded::step(parts, leg)),
    );
    steps.sort_by_key(|step| step.at);
    steps
}

/// A menu that was said to be played and then said what was chosen is one step; so is a queue that a dialplan leaves and
/// enters again, to say something in between.
fn goes_on(last: &mut Step, next: &Step) -> bool {
    match (&mut last.what, &next.what) {
        (What::Menu { name, choice }, What::Menu { name: again, choice: chosen }) => {
            let same = name == again && *choice == Choice::Unknown;
            if same {
                choice.clone_from(chosen);
                (last.at, last.ended_at) = (next.at, next.ended_at);
            }
            same
        }
        (What::Queue { name, left, wait_ms, .. }, What::Queue { name: again, left: then, .. }) => {
            let same = name == again && *left == Left::Timeout;
            if same {
                (*left, last.ended_at) = (*then, next.ended_at);
                *wait_ms = last.ended_at.map(|end| millis(last.at, end));
            }
            same
        }
        _ => false,
    }
}

/// One saying of a channel, and what is asked to find out what it came to.
struct Told<'a> {
    parts: &'a Parts,
    part: &'a Part,
    n: usize,
    legs: &'a [Leg],
    conversations: &'a [Conversation],
}

impl Told<'_> {
    fn step(&self) -> Option<Step> {
        let (said, begins) = (self.said(), self.said().begins.as_ref()?);
        let name = begins.name.clone();
        let mut ended_at = self.until();
        let what = match begins.word.as_str() {
            "menu" => {
                ended_at = Some(said.at);
                What::Menu { name, choice: choice(begins.digits.as_deref()) }
            }
            "queue" => {
                let left = self.left(name.as_deref());
                ended_at = self.left_at(left, name.as_deref());
                let wait_ms = ended_at.map(|end| millis(said.at, end));
                What::Queue { name, position: begins.position, left, wait_ms }
            }
            "voicemail" => What::Voicemail { mailbox: name, message: self.message() },
            "conference" => What::Conference { room: name },
            "announcement" => What::Announcement { name },
            _ => return None,
        };
        Some(Step { at: said.at, ended_at, leg: self.part.uniqueid.clone(), what })
    }

    fn said(&self) -> &Saying {
        &self.part.sayings[self.n]
    }

    fn next(&self) -> Option<&Saying> {
        self.part.sayings.get(self.n + 1)
    }

    /// When something else was done with the channel, or it ended.
    fn until(&self) -> Option<Timestamp> {
        let moved = self.part.entries.iter().filter(|e| e.transferred).map(|e| e.at);
        let later = moved.filter(|&at| at > self.said().at);
        later.chain(self.next().map(|next| next.at)).chain(self.part.ended).min()
    }

    /// What the next saying has that this one had not. The same word twice is this step's, unless the caller hung up in it:
    /// Asterisk does not wipe what an earlier queue has left.
    fn fresh(&self, of: impl Fn(&Saying) -> Option<&str>) -> Option<&str> {
        let now = of(self.next()?)?;
        let stale = of(self.said()) == Some(now) && self.ends_here() && gave_up(self.part);
        (!stale).then_some(now)
    }

    fn ends_here(&self) -> bool {
        self.next().is_none_or(|next| next.begins.is_none())
    }

    fn left(&self, queue: Option<&str>) -> Left {
        let status = self.fresh(|s| s.queuestatus.as_deref());
        match status {
            Some("TIMEOUT") => return Left::Timeout,
            Some("FULL") => return Left::Full,
            Some("JOINEMPTY" | "LEAVEEMPTY" | "JOINUNAVAIL" | "LEAVEUNAVAIL") => return Left::Unmanned,
            _ => {}
        }
        if self.answer(queue).is_some() {
            Left::Answered
        } else if self.until().is_none() {
            Left::Waiting
        } else if self.ends_here() && self.stranger(queue).is_none() && gave_up(self.part) {
            Left::Abandoned
        } else {
            Left::Elsewhere
        }
    }

    /// When an agent of the queue answered. Whose phone rings in a group of another name is none.
    fn answer(&self, queue: Option<&str>) -> Option<Timestamp> {
        let first = self
            .conversations
            .iter()
            .find(|c| c.caller_leg == self.part.uniqueid && self.is_meanwhile(c.began_at))?;
        let leg = self.legs.iter().find(|leg| leg.uniqueid == first.called_leg)?;
        (self.is_agent(leg, queue) || !self.knows_agents(queue))
            .then_some(leg.answered_at.unwrap_or(first.began_at))
    }

    fn left_at(&self, left: Left, queue: Option<&str>) -> Option<Timestamp> {
        if left == Left::Answered {
            return self.answer(queue);
        }
        let until = self.until()?;
        let stranger = self.stranger(queue).map(|leg| leg.started_at);
        let agents = self.meanwhile().filter(|leg| self.is_agent(leg, queue));
        let given_up = agents.filter_map(|leg| leg.ended_at).max().filter(|_| left == Left::Timeout);
        Some(given_up.or(stranger).unwrap_or(until).min(until))
    }

    /// The phones that rang while this was the channel's last step. (Legs are in order of time.)
    fn meanwhile(&self) -> impl Iterator<Item = &Leg> {
        let from = self.legs.partition_point(|leg| leg.started_at < self.said().at);
        let later = self.legs.get(from..).unwrap_or_default().iter();
        later.take_while(|leg| self.is_meanwhile(leg.started_at)).filter(|leg| leg.role == Role::Called)
    }

    fn is_meanwhile(&self, at: Timestamp) -> bool {
        at >= self.said().at && self.until().is_none_or(|until| at < until)
    }

    /// Whom an agent's phone sends the call on to stands for the agent.
    fn is_agent(&self, leg: &Leg, queue: Option<&str>) -> bool {
        let own = leg.group.as_deref();
        own.or_else(|| forwarded::group_behind(self.parts, leg)) == queue
    }

    /// Whether the phones of the queue are known by its name: then those without it were rung by something that came
    /// after it.
    fn knows_agents(&self, queue: Option<&str>) -> bool {
        let named = || self.meanwhile().any(|leg| leg.group.is_some() && self.is_agent(leg, queue));
        self.fresh(|s| s.queuestatus.as_deref()).is_some() || named()
    }

    fn stranger(&self, queue: Option<&str>) -> Option<&Leg> {
        self.meanwhile().find(|leg| !self.is_agent(leg, queue)).filter(|_| self.knows_agents(queue))
    }

    fn message(&self) -> Option<bool> {
        match self.fresh(|s| s.vmstatus.as_deref()) {
            Some("SUCCESS") => Some(true),
            Some(_) => Some(false),
            None => None,
        }
    }
}

fn choice(digits: Option<&str>) -> Choice {
    match digits {
        None => Choice::Unknown,
        Some("t") => Choice::Nothing,
        Some("i") => Choice::Wrong,
        Some(digits) => Choice::Digits(digits.to_owned()),
    }
}

fn taken_step(parts: &Parts, taken: &Taken) -> Step {
    let party = |uid: &String| parts.by_uniqueid(uid).map(|part| part.party.clone()).unwrap_or_default();
    match taken {
        Taken::Ringing { by, from, at } => {
            let what = What::PickedUp { by: party(by), from: from.as_ref().map(party) };
            Step { at: *at, ended_at: Some(*at), leg: by.clone(), what }
        }
        Taken::Parked(Parking { who, parker, place, since, until, by, back }) => {
            let back = *back;
            let (taken_by, parker) = (by.as_ref().map(party), parker.as_ref().map(party));
            let what = What::Parked { by: parker, place: place.clone(), back, taken_by };
            Step { at: *since, ended_at: *until, leg: by.as_ref().unwrap_or(who).clone(), what }
        }
    }
}
