//! What a phone is told to do, step by step, and what it writes down while it does.

use std::collections::HashMap;

use jiff::Timestamp;

/// What a phone does. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // what no call needs at the moment
pub enum Step {
    /// Is called, and rings for so long.
    Ring(u64),
    /// Is called, and rings until whoever calls gives it up.
    RingOn,
    /// Picks up what rings.
    Answer,
    /// Refuses what rings, with this SIP status: 486 busy, 603 declined, 503 out of order.
    Refuse(u16),
    /// Sends what rings on to another number (302).
    Forward(&'static str),
    /// Calls a number; what it has already is not put on hold by itself.
    Call(&'static str),
    /// Until what it calls rings.
    Ringing,
    /// Until what it calls is answered.
    Answered,
    /// Until what it calls is refused.
    Refused,
    /// Gives up what it calls.
    GiveUp,
    /// Does nothing for so long.
    Wait(u64),
    /// Presses keys, `*1` and the like.
    Press(&'static str),
    /// Puts the call on hold, and takes it back.
    Hold,
    Resume,
    /// Transfers to a number (REFER); until the pbx says yes or no to that.
    Refer(&'static str),
    /// Until the pbx has told how the transfer went.
    Told,
    /// Puts the first of its calls through to the last (REFER with Replaces), and leaves both when that is done.
    Connect,
    /// The same from its last call: puts that through to the first.
    ConnectBack,
    /// Hangs up; nothing where the other side did first.
    HangUp,
    /// Until the call is over.
    Over,
    /// Is gone, without a word.
    Vanish,
}

/// A script. When it is done the phone stays until all of its calls are over.
pub type Act = &'static [Step];

/// When a phone sent or got what: the first time of each word, in microseconds since 1970, and what else was said with it.
#[derive(Debug, Default)]
pub struct Diary(HashMap<String, (i64, String)>);

impl Diary {
    pub fn note(&mut self, word: &str, beside: &str) {
        let now = Timestamp::now().as_microsecond();
        self.0.entry(word.to_owned()).or_insert_with(|| (now, beside.to_owned()));
    }

    /// When the word was first written down, in microseconds since 1970.
    pub fn at(&self, word: &str) -> Option<i64> {
        self.0.get(word).map(|(at, _)| *at)
    }

    /// What was written beside the word.
    pub fn beside(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(|(_, rest)| rest.as_str())
    }
}
