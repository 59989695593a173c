//! What a person would call one call, and how it follows from events.
//!
//! A [`Call`] is a pure function of the set of its events: the same events in any order, doubled or late, give
//! the same call. Nothing here reads a clock, a socket or a database; nothing is patched in place, a late event
//! means that the whole call is folded again.
//!
//! - `partition`: which events are one call
//! - `fold`: events to [`Call`], with a short note on what each event did
//! - `talks`: who talked with whom, through every transfer
//! - `hearsay`, `records`: what others say of it, put under what the dialplan told
//! - [`ending`]: whether the call is over, and when to look again
//! - [`identity`]: the call's id, computed from its linkedids
//! - `sent`: blind transfers of which only the end of who made them tells
//! - `steps`: what was done with a caller between ringing phones: menus, queues, voicemail
//! - `forwarded`: phones that sent their caller on
//! - `origin`: calls that Asterisk was asked to make; `taken`: calls that somebody picked up or took out of parking
//! - [`story`]: the call told line by line, for people
//! - [`note`]: what one event did, for people
//! - [`why`]: which events make a line of the story
//! - [`cause`]: why a channel ended, for people
//! - [`words`]: texts in the reader's language
//! - [`cdr`]: rows with the columns of Asterisk's own CDR

pub mod cause;
pub mod cdr;
mod consulting;
mod dials;
pub mod ending;
mod fold;
mod forwarded;
mod hearsay;
mod holds;
pub mod identity;
mod legs;
pub mod note;
mod numbering;
mod order;
mod origin;
mod outcome;
mod partition;
mod records;
mod sent;
mod steps;
pub mod story;
mod taken;
mod talks;
#[cfg(test)]
mod tests;
pub mod why;
mod witness;
pub mod words;

pub use ending::{Rules, Standing, Verdict};
pub use fold::{Folded, fold};
pub use identity::CallId;
pub use legs::{Conversation, Leg, Outcome, Role};
pub use numbering::{BadPattern, Numbering};
pub use partition::{Partition, partition};
pub use steps::{Back, Choice, Left, Step, Voicemail, What};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The pbx of calls that never happened: `calljournal simulate` plays them. Nobody is told of them unless their
/// first event says so, and they can be taken out again.
pub const SIMULATED: &str = "simulate";

/// One call, from its first channel to its last, whatever was transferred on the way.
///
/// Its JSON is what `calls --json`, `show --json` and the notices carry. All durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Computed from the earliest linkedid; sorts by time.
    pub id: CallId,
    /// This id and the ids of all other linkedids of the call: each of them leads here.
    pub ids: Vec<CallId>,
    /// The Asterisk that it happened on.
    pub pbx: String,
    /// The earliest linkedid.
    pub linkedid: String,
    /// The name that other systems know it by, where the dialplan has one (ast-lite's `CallUUID`).
    pub key: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Pinned at the start, as are org, trunk and source.
    pub direction: Direction,
    /// Whose call it is, on a pbx shared by several.
    pub org: Option<String>,
    /// The outside number or line.
    pub trunk: Option<String>,
    /// Who called.
    pub source: Party,
    /// The number that was dialled first.
    pub destination: Option<String>,
    /// The context in which it was dialled.
    pub context: Option<String>,
    /// When the first channel started.
    pub started_at: Timestamp,
    /// When somebody first picked up.
    pub answered_at: Option<Timestamp>,
    /// When the last channel ended. `None` while the call goes on, and where it cannot be known.
    pub ended_at: Option<Timestamp>,
    /// `false` where the call is told as ended though nothing was heard of its end.
    pub end_time_known: bool,
    /// What came of it, in the words of Asterisk's CDR.
    pub disposition: Disposition,
    /// Who first picked up.
    pub answered_by: Option<Party>,
    /// Who ended it.
    pub hung_up_by: Option<Side>,
    /// Who that was, where a person ended it: after a transfer it may be neither who called nor who was called first.
    #[serde(default)]
    pub ended_by: Option<Party>,
    /// Why it ended, as Q.850 cause.
    pub cause: Option<u16>,
    /// From the start to the first answer, or to the end where nobody answered.
    pub wait_ms: Option<i64>,
    /// Talking in all its parts, the lengths of `conversations` together; 0 where nobody answered. Consultations count.
    pub talk_ms: i64,
    /// Whether the caller gave up before anybody answered.
    pub abandoned: bool,
    /// The first queue that the caller waited in.
    #[serde(default)]
    pub queue: Option<String>,
    /// Waiting in all queues, in milliseconds; `None` where there was none.
    #[serde(default)]
    pub queue_wait_ms: Option<i64>,
    /// Whether the caller reached a voicemail box.
    #[serde(default)]
    pub voicemail: Option<Voicemail>,
    /// In order of time.
    pub transfers: Vec<Transfer>,
    /// What was done with the caller on the way, in order of time.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Calls to a third one while somebody waited, in order of time.
    #[serde(default)]
    pub consultations: Vec<Consultation>,
    /// Texts from the dialplan, in order of time.
    pub remarks: Vec<Remark>,
    /// Who talked with whom, in order of time.
    pub conversations: Vec<Conversation>,
    /// Each channel that a person sat at, in order of appearance.
    pub legs: Vec<Leg>,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In the dialplan: nobody rings yet, or nobody any more.
    Started,
    /// Somebody's phone rings.
    Ringing,
    /// Two people talk.
    Talking,
    /// Every channel has ended.
    Ended,
}

/// Which way a call goes, seen from the company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From outside.
    Inbound,
    /// To the outside.
    Outbound,
    /// Between the company's own phones.
    Internal,
    /// The dialplan did not say.
    Unknown,
}

/// What came of a call: the words of Asterisk's `CDR(disposition)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disposition {
    /// Somebody picked up.
    #[serde(rename = "ANSWERED")]
    Answered,
    /// Nobody picked up, everybody declined, or the caller gave up first.
    #[serde(rename = "NO ANSWER")]
    NoAnswer,
    /// All that were rung were busy.
    #[serde(rename = "BUSY")]
    Busy,
    /// It could not be put through.
    #[serde(rename = "FAILED")]
    Failed,
    /// No line was free.
    #[serde(rename = "CONGESTION")]
    Congestion,
}

/// A person's number and name, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Party {
    /// The number, as the pbx has it.
    pub number: Option<String>,
    /// The name, as the pbx has it: never trust it as markup.
    pub name: Option<String>,
}

/// One side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Who called.
    Caller,
    /// Who was called, or came in by a transfer.
    Called,
    /// The dialplan: a time-out, or its own `Hangup()`.
    Pbx,
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// When the transferred channel entered the dialplan again, or was put through.
    pub at: Timestamp,
    /// Blind or attended.
    pub how: How,
    /// Who transferred.
    pub by: Party,
    /// The number it was transferred to.
    pub to: Option<String>,
    /// Whether who transferred had spoken with the target: an attended transfer may be made while it still rings.
    #[serde(default)]
    pub spoken: bool,
    /// What came of it.
    #[serde(default)]
    pub outcome: Landing,
}

/// What came of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Landing {
    /// The target has not picked up yet.
    #[default]
    Open,
    /// The target picked up, or had before.
    Answered,
    /// The call came back to who had transferred it.
    Returned,
    /// Nobody picked up: the call was transferred on, given up, or ended.
    Unanswered,
    /// Nobody picked up, and Asterisk called back who had transferred (`atxfercallbackretries`), or the target tells
    /// nothing: nobody knows what came of it.
    Unknown,
}

/// Somebody calls a third one while the other side waits. It ends in an attended transfer, or comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consultation {
    /// When the third one was called.
    pub at: Timestamp,
    /// Who asks.
    pub by: Party,
    /// The number that was called.
    pub to: Option<String>,
    /// Who waits.
    pub waiting: Party,
    /// When the two who talked before were together again.
    pub returned_at: Option<Timestamp>,
    /// When the one who waited hung up.
    #[serde(default)]
    pub left_at: Option<Timestamp>,
    /// Whether the one who waited was put through.
    pub transferred: bool,
}

/// How a call was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Without a word to the target.
    Blind,
    /// The target was called first, see [`Transfer::spoken`].
    Attended,
}

/// A text that the dialplan put into the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// When.
    pub at: Timestamp,
    /// The text, or the file of a recording.
    pub text: String,
    /// Whether `text` names a recording.
    pub recording: bool,
}

impl Disposition {
    /// The word, as Asterisk writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Disposition::Answered => "ANSWERED",
            Disposition::NoAnswer => "NO ANSWER",
            Disposition::Busy => "BUSY",
            Disposition::Failed => "FAILED",
            Disposition::Congestion => "CONGESTION",
        }
    }
}

impl Direction {
    /// The word, as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
            Direction::Unknown => "unknown",
        }
    }
}

impl State {
    /// The word, as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Started => "started",
            State::Ringing => "ringing",
            State::Talking => "talking",
            State::Ended => "ended",
        }
    }
}
