//! Who called and who was rung, and what came of it. Who talked with whom is in `talks.rs`.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::fold::{Part, Parts};
use super::{Numbering, Party};

/// How long before a caller's channel the phones end that he gave up on: no queue tries again sooner, and no person
/// leaves an announcement before it was heard.
const GIVES_UP_WITHIN: SignedDuration = SignedDuration::from_secs(1);

/// How long two phones ring at one time at least where one of them may be picked up for both: nobody is quicker, and
/// FollowMe() begins with the next one some milliseconds before the last has ended.
const TOGETHER: SignedDuration = SignedDuration::from_millis(100);

/// One channel's part in a call: who called, who was rung, who talked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The channel's uniqueid. A phone that told nothing itself has the uniqueid of the channel that dialled it, `>`
    /// and a number.
    pub uniqueid: String,
    /// The channel's name, `PJSIP/101-0000002a`; empty where it is not known.
    pub channel: String,
    /// Whose phone or line it is.
    #[serde(flatten)]
    pub party: Party,
    /// Caller or called.
    pub role: Role,
    /// The group that was rung, where the dialplan named one.
    pub group: Option<String>,
    /// The line to the outside that it is on, by its channel's name.
    pub trunk: Option<String>,
    /// The uniqueid of the channel that had this one called.
    pub caller: Option<String>,
    /// `CHANNEL(accountcode)`.
    pub accountcode: Option<String>,
    /// When the channel appeared: for a called leg, when it was about to be dialled.
    pub started_at: Timestamp,
    /// When it was picked up.
    pub answered_at: Option<Timestamp>,
    /// When it ended, `None` while it lives or where that is not known.
    pub ended_at: Option<Timestamp>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it ended, as Q.850 cause.
    pub cause: Option<u16>,
    /// From being dialled to the answer or the end, in milliseconds; called legs alone.
    pub ring_ms: Option<i64>,
    /// From the answer to the end, in milliseconds; 0 where it was never picked up.
    pub talk_ms: i64,
}

/// On which side of the call a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It entered the dialplan by itself.
    Caller,
    /// The pbx dialled it.
    Called,
}

/// What came of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Still in the dialplan, or ringing.
    Open,
    /// Picked up.
    Answered,
    /// Rang until the pbx gave up.
    NoAnswer,
    /// Another phone was picked up first.
    Elsewhere,
    /// Was busy.
    Busy,
    /// The person declined.
    Rejected,
    /// The caller gave up while it rang.
    Cancelled,
    /// Could not be reached.
    Unreachable,
    /// The phone sent its caller on to another number.
    Forwarded,
    /// A calling channel that ended before anybody answered.
    Unanswered,
}

/// Two people talking, without interruption. Nobody is in two conversations of a call at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Who called, or was transferred.
    pub caller: Party,
    /// Who picked up.
    pub called: Party,
    /// The uniqueid of the caller's leg.
    pub caller_leg: String,
    /// The uniqueid of the called leg.
    pub called_leg: String,
    /// The number that led to it: after a transfer, the number it was transferred to.
    pub dialled: Option<String>,
    /// The context in which that number was dialled.
    pub context: Option<String>,
    /// When that number was dialled; where a transfer or the end of a consultation put the two through, when that was.
    pub dialled_at: Timestamp,
    /// When the two were put through. The phone may have been picked up before: Dial first hangs up the others
    /// of a group, one after another.
    pub began_at: Timestamp,
    /// When the two were parted; `None` while they talk.
    pub ended_at: Option<Timestamp>,
    /// Its length in milliseconds, 0 while it goes on.
    pub talk_ms: i64,
}

/// The channel that had this one called: the one it names, where that is a person's, else the call's first.
fn caller_of<'a>(parts: &'a Parts, first: Option<&'a Part>, called: &Part) -> Option<&'a Part> {
    let named = called.caller.as_deref().and_then(|uid| parts.by_uniqueid(uid));
    named.filter(|p| !p.is_plumbing()).or(first).filter(|p| p.uniqueid != called.uniqueid)
}

/// Each channel that a person sat at, in order of appearance.
pub(super) fn legs(parts: &Parts, conversations: &[Conversation], numbering: &Numbering) -> Vec<Leg> {
    let others = Others::of(parts, conversations);
    let mut legs: Vec<Leg> = people(parts).map(|part| leg(parts, part, &others, numbering)).collect();
    // Those that are known from another channel alone were added last.
    legs.sort_by_key(|leg| leg.started_at);
    legs
}

/// What is asked of all the others for each leg, worked out once: a queue may ring thousands of times.
struct Others<'a> {
    first: Option<&'a Part>,
    /// By the channel that had them called.
    rivals: HashMap<Option<&'a str>, Rivals>,
    /// How long each channel has talked, in milliseconds, where it has at all.
    talked_ms: HashMap<&'a str, i64>,
}

/// Phones that one channel had called.
#[derive(Default)]
struct Rivals {
    /// Of each that was picked up: since when it rang, and when that was.
    won: Vec<(Timestamp, Timestamp)>,
    /// When each ended that was told to be picked up elsewhere (cause 26).
    lost: Vec<Timestamp>,
}

impl<'a> Others<'a> {
    fn of(parts: &'a Parts, conversations: &'a [Conversation]) -> Others<'a> {
        let mut rivals: HashMap<Option<&str>, Rivals> = HashMap::new();
        for part in people(parts) {
            let rivals = rivals.entry(part.caller.as_deref()).or_default();
            rivals.won.extend(part.answered.map(|at| (part.started, at)));
            rivals.lost.extend(part.ended.filter(|_| part.farewell.cause == Some(26)));
        }
        let mut talked_ms = HashMap::new();
        for talk in conversations {
            for leg in [talk.caller_leg.as_str(), talk.called_leg.as_str()] {
                *talked_ms.entry(leg).or_default() += talk.talk_ms;
            }
        }
        Others { first: parts.first(), rivals, talked_ms }
    }

    fn rivals(&self, part: &'a Part) -> Option<&Rivals> {
        self.rivals.get(&part.caller.as_deref())
    }
}

fn leg<'a>(parts: &'a Parts, part: &'a Part, others: &Others<'a>, numbering: &Numbering) -> Leg {
    let role = part.role.unwrap_or(Role::Called);
    let talked_ms = others.talked_ms.get(part.uniqueid.as_str());
    let answered_at = picked_up(part, others);
    let until = answered_at.or(part.ended);
    Leg {
        uniqueid: part.uniqueid.clone(),
        channel: part.channel.clone(),
        party: part.party.clone(),
        role,
        group: part.group.clone(),
        trunk: numbering.trunk_of(&part.channel).map(ToOwned::to_owned),
        caller: part.caller.clone(),
        accountcode: part.accountcode.clone(),
        started_at: part.started,
        answered_at,
        ended_at: part.ended,
        outcome: match role {
            Role::Called => called_outcome(parts, part, others),
            Role::Caller => caller_outcome(parts, part, talked_ms.is_some()),
        },
        cause: part.farewell.cause,
        ring_ms: until.filter(|_| role == Role::Called).map(|end| millis(part.started, end)),
        talk_ms: talked_ms.copied().unwrap_or(0),
    }
}

/// When a phone was picked up. Dial hangs up the others of a group (cause 26) before the winner's channel may tell
/// (Asterisk: `app_dial`, `hanguptree`), so the first loser's end is nearer to the truth.
fn picked_up<'a>(part: &'a Part, others: &Others<'a>) -> Option<Timestamp> {
    let told = part.answered?;
    let ends = others.rivals(part).into_iter().flat_map(|rivals| &rivals.lost);
    Some(ends.filter(|at| (part.started..=told).contains(at)).min().copied().unwrap_or(told))
}

fn caller_outcome(parts: &Parts, part: &Part, talked: bool) -> Outcome {
    match (talked, part.ended.or(parts.gone(part))) {
        (true, _) => Outcome::Answered,
        (false, None) => Outcome::Open,
        (false, Some(_)) => Outcome::Unanswered,
    }
}

/// What the Q.850 cause does not say follows from what the others of the same call did.
fn called_outcome<'a>(parts: &'a Parts, part: &'a Part, others: &Others<'a>) -> Outcome {
    if part.answered.is_some() {
        return Outcome::Answered;
    }
    if let Some(known) = part.outcome {
        return known;
    }
    let Some(ended) = part.ended.or(parts.gone(part)) else { return Outcome::Open };
    match part.farewell.cause {
        Some(17) => return Outcome::Busy,
        Some(21) => return Outcome::Rejected,
        Some(26) => return Outcome::Elsewhere,
        Some(23) => return Outcome::Forwarded,
        Some(18 | 19) => return Outcome::NoAnswer,
        Some(1..=15 | 20 | 22 | 24 | 25 | 27..=30 | 32..=111) => return Outcome::Unreachable,
        _ => {}
    }
    // A phone that ends its own ringing without a cause has sent the caller on (302); later Asterisks say cause 23.
    if part.farewell.source.as_deref() == Some(&part.channel) && part.farewell.cause.is_none() {
        return Outcome::Forwarded;
    }
    // Dial hangs up the losers one after another before the winner is told: both rang at one time.
    let won = |&(started, at): &(Timestamp, Timestamp)| {
        ended.duration_since(started) >= TOGETHER && at >= part.started
    };
    if others.rivals(part).is_some_and(|rivals| rivals.won.iter().any(won)) {
        Outcome::Elsewhere
    } else if caller_of(parts, others.first, part).is_some_and(|caller| {
        if part.end_heard { gave_up(caller) } else { gave_up_on(caller, part.started, ended) }
    }) {
        Outcome::Cancelled
    } else {
        Outcome::NoAnswer
    }
}

/// Whether a calling channel was hung up by the person at it while it waited.
pub(super) fn gave_up(caller: &Part) -> bool {
    let said = &caller.farewell;
    said.dialstatus.as_deref() == Some("CANCEL") || said.source.as_deref() == Some(&caller.channel)
}

/// Whether the caller gave up, and the phone that rang from `rang` to `ended` was one of those that rang then. An end that
/// was merely heard of has no time to compare. AMI may tell of the phone's end just after the caller went on.
pub(super) fn gave_up_on(caller: &Part, rang: Timestamp, ended: Timestamp) -> bool {
    let until = ended.saturating_add(GIVES_UP_WITHIN).unwrap_or(ended);
    let then = caller.end_heard || caller.ended.is_none_or(|end| (rang..=until).contains(&end));
    let went_on = ended.saturating_sub(TOGETHER).unwrap_or(ended).max(rang);
    then && gave_up(caller) && !caller.goes_on(went_on)
}

fn people(parts: &Parts) -> impl Iterator<Item = &Part> {
    parts.list.iter().filter(|p| !p.is_plumbing())
}

/// Whole milliseconds from one time to another, never below 0.
pub(super) fn millis(from: Timestamp, to: Timestamp) -> i64 {
    ((to.as_microsecond() - from.as_microsecond()) / 1000).max(0)
}
