//! The part that one channel has in a call.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Party;

/// One channel's part in a call: who called, who was rung, who talked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The channel's uniqueid.
    pub uniqueid: String,
    /// The channel's name, `PJSIP/101-0000002a`.
    pub channel: String,
    /// Whose phone or line it is.
    #[serde(flatten)]
    pub party: Party,
    /// Caller or called.
    pub role: Role,
    /// The group that was rung, where the dialplan named one.
    pub group: Option<String>,
    /// The uniqueid of the channel that had this one called.
    pub caller: Option<String>,
    /// The context that it entered the dialplan in; calling legs alone.
    pub context: Option<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A calling channel that ended before anybody answered.
    Unanswered,
}
