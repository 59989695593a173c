//! A call as rows with the columns of Asterisk's own CDR.
//!
//! One row per conversation, so that nobody's talking is counted twice or under another's name, and one row for
//! a call that nobody answered. The rows' `billsec` add up to the call's talking time in whole seconds. As with
//! Asterisk's own, a call that goes on has no rows yet.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::legs::{Conversation, Leg, Role, millis};
use super::{Call, Party, State};

/// Asterisk's AMA flag "documentation": the row is for reading, not for billing by itself.
const DOCUMENTATION: i32 = 3;

/// One row. Columns as in Asterisk's `cdr` table; durations are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the columns are Asterisk's and keep its names
pub struct Row {
    pub calldate: Timestamp,
    pub clid: String,
    pub src: String,
    pub dst: String,
    pub dcontext: String,
    pub channel: String,
    pub dstchannel: String,
    pub lastapp: String,
    pub lastdata: String,
    pub duration: i64,
    pub billsec: i64,
    pub disposition: String,
    pub amaflags: i32,
    pub accountcode: String,
    pub uniqueid: String,
    pub userfield: String,
    pub peeraccount: String,
    pub linkedid: String,
    pub sequence: i32,
}

/// The rows of a call, in order of time; none while it goes on.
#[must_use]
pub fn rows(call: &Call) -> Vec<Row> {
    if call.state != State::Ended {
        return Vec::new();
    }
    if call.conversations.is_empty() {
        return vec![unanswered(call)];
    }
    let mut talked_ms = 0;
    let conversations = call.conversations.iter().enumerate();
    conversations
        .map(|(n, conversation)| {
            // Whole seconds of the sum so far: what one row's rounding loses the next one has.
            let before = talked_ms / 1000;
            talked_ms += conversation.talk_ms;
            answered(call, n, conversation, talked_ms / 1000 - before)
        })
        .collect()
}

fn answered(call: &Call, n: usize, conversation: &Conversation, billsec: i64) -> Row {
    let leg = |uniqueid: &str| call.legs.iter().find(|l| l.uniqueid == uniqueid);
    let began = if n == 0 { call.started_at } else { conversation.dialled_at };
    let until = conversation.ended_at.unwrap_or(conversation.answered_at);
    Row {
        calldate: began,
        dst: conversation.dialled.clone().unwrap_or_default(),
        dcontext: conversation.context.clone().unwrap_or_default(),
        duration: millis(began, until) / 1000,
        billsec,
        sequence: i32::try_from(n).unwrap_or(i32::MAX),
        ..row(call, &conversation.caller, leg(&conversation.caller_leg), leg(&conversation.called_leg))
    }
}

fn unanswered(call: &Call) -> Row {
    let caller = call.legs.iter().find(|l| l.role == Role::Caller);
    let rang = call.legs.iter().rfind(|l| l.role == Role::Called);
    Row {
        duration: call.ended_at.map_or(0, |end| millis(call.started_at, end) / 1000),
        ..row(call, &call.source, caller, rang)
    }
}

fn row(call: &Call, source: &Party, caller: Option<&Leg>, called: Option<&Leg>) -> Row {
    let number = source.number.clone().unwrap_or_default();
    let text = |leg: Option<&Leg>, field: fn(&Leg) -> &str| leg.map(field).unwrap_or_default().to_owned();
    let account = |leg: &Leg| leg.accountcode.clone();
    Row {
        calldate: call.started_at,
        clid: match &source.name {
            Some(name) => format!("\"{name}\" <{number}>"),
            None => number.clone(),
        },
        src: number,
        dst: call.destination.clone().unwrap_or_default(),
        dcontext: call.context.clone().unwrap_or_default(),
        channel: text(caller, |l| &l.channel),
        dstchannel: text(called, |l| &l.channel),
        lastapp: if called.is_some() { "Dial".to_owned() } else { String::new() },
        lastdata: String::new(),
        duration: 0,
        billsec: 0,
        disposition: call.disposition.as_str().to_owned(),
        amaflags: DOCUMENTATION,
        accountcode: caller.and_then(account).unwrap_or_default(),
        uniqueid: text(caller, |l| &l.uniqueid),
        userfield: String::new(),
        peeraccount: called.and_then(account).unwrap_or_default(),
        linkedid: call.linkedid.clone(),
        sequence: 0,
    }
}
