//! One thing that one feed says about one channel.
//!
//! An [`Event`] is plain data and is valid before it goes anywhere: its text is UTF-8 without control
//! characters, every value is bounded, its time is within reason. Whatever a call, a peer or a file may
//! contain is made harmless here, once, for every feed. This file knows the argument form that the dialplan
//! sends (`name=value`, percent-encoded) and nothing about sockets, files, calls or the database. [`key`] takes apart
//! the name that other systems know a call by, [`uniqueid`] Asterisk's own of a channel.

pub mod key;
pub mod uniqueid;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};

use key::CallKey;
pub use uniqueid::born;

/// The only version of the argument form there is: the dialplan sends it as `v=1`.
pub const CONTRACT: &str = "1";

/// Longest value that is kept, in bytes of UTF-8; the rest is cut. Asterisk cuts a variable at 4,091 bytes.
pub const MAX_VALUE: usize = 1024;

/// Most facts that are kept of one event. Asterisk sends at most 127 arguments.
pub const MAX_FACTS: usize = 128;

/// How far ahead of our clock a pbx may be before its time is not believed.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Nothing happened before 2000-01-01: Asterisk is younger. Seconds of the Unix epoch.
const EARLIEST: i64 = 946_684_800;

/// What an event knows beside its fixed part: `name` to value, both clean and bounded.
pub type Facts = BTreeMap<String, String>;

/// One thing that one feed says about one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The event's own name: the same event told twice, on whatever way, has the same token.
    pub token: Token,
    /// How it reached us.
    pub feed: Feed,
    /// What it says.
    pub kind: Kind,
    /// The Asterisk that it came from. With `uid` it names the channel.
    pub pbx: String,
    /// The channel's `${UNIQUEID}`.
    pub uid: String,
    /// The channel's `${CHANNEL(linkedid)}` at that moment.
    pub linkedid: String,
    /// The linkedid under which the call's first channel started; inherited, so it survives a masquerade.
    pub root: Option<String>,
    /// Place among the events of its channel, from 1. `None` where the feed does not count.
    pub seq: Option<u32>,
    /// When it happened, by the pbx's clock; the time of arrival where `timed` is false.
    pub at: Timestamp,
    /// Whether `at` is the pbx's own time.
    pub timed: bool,
    /// When it reached us, by our clock.
    pub received: Timestamp,
    /// The channel's name, `PJSIP/101-0000002a`.
    pub channel: String,
    /// What belongs to the kind, and whatever else was sent: unknown names are kept.
    pub facts: Facts,
    /// The `agi_*` lines of the session, for debugging only: no decision is ever based on them.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub agi: Facts,
}

/// What an event says of its channel. The names are those of the FastAGI path, `agi://host:port/start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A channel entered the dialplan: somebody calls.
    Start,
    /// A channel is about to be dialled: somebody's phone will ring.
    Ring,
    /// The dialled channel was picked up.
    Answer,
    /// The channel was transferred and enters the dialplan again.
    Transfer,
    /// A line that the dialplan wants in the journal.
    Note,
    /// A recording of the call exists.
    Record,
    /// The channel ended.
    Hangup,
    /// The pbx, asked about a channel, said whether it lives and in which call it is. It comes from no dialplan: it is
    /// made of an answer here, and nobody has done anything.
    Seen,
}

/// The way on which an event reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// A FastAGI session of the dialplan.
    Agi,
    /// A line that the dialplan wrote to the spool while the server was away.
    Spool,
    /// A post of ast-ami, which hears it from Asterisk's manager interface.
    Push,
    /// Asterisk's manager interface, over a connection of our own.
    Ami,
    /// A row of Asterisk's own CDR, read after the call.
    Cdr,
    /// A row of Asterisk's channel event log, read after the call.
    Cel,
}

/// An event's name, `uid-seq-kind-time`: 1 to 96 of `A-Z a-z 0-9 . _ -`.
///
/// It is the only text from outside that is ever sent to an Asterisk, and this type has no other way in than
/// the check of its characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

/// In whose session a pbx was asked about a channel.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The pbx.
    pub pbx: &'a str,
    /// The time of the event that the session told.
    pub at: Timestamp,
    /// Whether that was the pbx's own time.
    pub timed: bool,
}

/// What the receiving side knows of an event that the event does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The way on which it came.
    pub feed: Feed,
    /// The pbx to assume where the event names none.
    pub pbx: &'a str,
    /// When it came, by our clock.
    pub at: Timestamp,
}

/// Why bytes from outside are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// The path of the request is no kind.
    #[error("unknown kind of event {0:?}; known are start, ring, answer, transfer, note, record and hangup")]
    Kind(String),
    /// The arguments are of another version than ours.
    #[error("argument v is {0:?}, this server speaks v=1: use the calljournal.conf that came with it")]
    Version(String),
    /// There is no token, or one that no calljournal.conf makes.
    #[error("argument token is missing or is not 1 to 96 of A-Z a-z 0-9 . _ -")]
    Token,
    /// There is no uniqueid.
    #[error("argument uid is missing: the event belongs to no channel")]
    Uid,
}

impl Event {
    /// Reads the argument form: each argument is `name=value` with the value percent-encoded.
    ///
    /// Bytes that are no UTF-8 are replaced, control characters are written out, long values are cut: a call is
    /// never refused for the name of its caller. The first of two arguments with one name counts, since
    /// `calljournal.conf` sends the fixed ones first and text of a caller could only come after them.
    ///
    /// # Errors
    /// [`NotAnEvent`] where the version, the token or the uniqueid is missing or wrong.
    pub fn from_args<'a>(
        kind: Kind,
        args: impl IntoIterator<Item = &'a [u8]>,
        arrival: Arrival<'_>,
    ) -> Result<Event, NotAnEvent> {
        let mut facts = read_facts(args);
        let version = facts.remove("v").unwrap_or_default();
        if version != CONTRACT {
            return Err(NotAnEvent::Version(version.chars().take(16).collect()));
        }
        let token = facts.remove("token").unwrap_or_default().parse()?;
        let uid = take(&mut facts, "uid").ok_or(NotAnEvent::Uid)?;
        let told = take(&mut facts, "t").and_then(|t| time_within_reason(&t, arrival.at));
        Ok(Event {
            token,
            feed: arrival.feed,
            kind,
            pbx: take(&mut facts, "pbx").unwrap_or_else(|| clean(arrival.pbx.as_bytes())),
            linkedid: take(&mut facts, "lid").unwrap_or_else(|| uid.clone()),
            root: take(&mut facts, "root"),
            seq: take(&mut facts, "seq").and_then(|s| s.parse().ok()).filter(|&s| s > 0),
            at: told.unwrap_or(arrival.at),
            timed: told.is_some(),
            received: arrival.at,
            channel: take(&mut facts, "chan").unwrap_or_default(),
            uid,
            facts: said(facts),
            agi: Facts::new(),
        })
    }

    /// The value of a fact, `None` where it was not sent or is empty.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The names of channels that this event ties together: linkedid, root, and the channel that had this one
    /// called. All are uniqueids of the same pbx, since a linkedid is the uniqueid of its first channel.
    pub fn ties(&self) -> impl Iterator<Item = &str> {
        [Some(self.linkedid.as_str()), self.root.as_deref(), self.fact("caller")].into_iter().flatten()
    }

    /// The call key that the event carries, where it has one with a time stamp.
    #[must_use]
    pub fn key(&self) -> Option<CallKey<'_>> {
        CallKey::parse(self.fact("key")?)
    }

    /// The call key, where it names the call at hand: a channel may have inherited it from an earlier one. It was
    /// made when the call began, which the linkedid tells by the pbx's own clock, or just now.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        let key = self.key()?;
        let near = key.is_near(self.at) || born(&self.linkedid).is_some_and(|born| key.is_near(born));
        near.then(|| key.as_str())
    }

    /// What the pbx answered when it was asked about the channel `uid`: whether it is `alive`, and its linkedid at that
    /// moment. `asked` is the event in whose session it was asked; the answer has its time, by the pbx's clock.
    ///
    /// `None` where the uniqueid makes no token: nobody is asked about such a one.
    #[must_use]
    pub fn seen(
        asked: &Asked<'_>,
        uid: &str,
        linkedid: &str,
        channel: &str,
        alive: bool,
        received: Timestamp,
    ) -> Option<Event> {
        let told = if alive { "alive" } else { "gone" };
        let name = uid.get(uid.len().saturating_sub(60)..)?;
        Some(Event {
            token: format!("{name}-seen-{told}-{}", asked.at.as_microsecond()).parse().ok()?,
            feed: Feed::Agi,
            kind: Kind::Seen,
            pbx: asked.pbx.to_owned(),
            uid: uid.to_owned(),
            linkedid: linkedid.to_owned(),
            root: None,
            seq: None,
            at: asked.at,
            timed: asked.timed,
            received,
            channel: channel.to_owned(),
            facts: Facts::from([("told".to_owned(), told.to_owned())]),
            agi: Facts::new(),
        })
    }

    /// Whether the event is about a call of which only the key is known, and no channel.
    #[must_use]
    pub fn knows_key_alone(&self) -> bool {
        key::is_key(&self.uid)
    }

    /// Whether the event was told by somebody who heard of it, without its time and out of order. Such a word fills
    /// in what the dialplan did not say, and never goes before its own.
    #[must_use]
    pub fn is_hearsay(&self) -> bool {
        self.feed == Feed::Push
    }

    /// Whether the event is a row that Asterisk wrote about a call that was over: the last word to be asked for.
    #[must_use]
    pub fn is_record(&self) -> bool {
        matches!(self.feed, Feed::Cdr | Feed::Cel)
    }
}

/// Text from outside as we keep it: invalid UTF-8 replaced, control characters and those that reverse the
/// direction of writing spelled out (`\u{1b}`), cut at [`MAX_VALUE`] bytes.
#[must_use]
pub fn clean(bytes: &[u8]) -> String {
    // What is longer than the bound by far need not be decoded to be cut.
    let told = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX_VALUE)]);
    let hides = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if told.len() <= MAX_VALUE && !told.chars().any(hides) {
        return told.into_owned();
    }
    let mut text = String::with_capacity(told.len().min(MAX_VALUE));
    for c in told.chars() {
        let before = text.len();
        if hides(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        if text.len() > MAX_VALUE {
            text.truncate(before);
            break;
        }
    }
    text
}

fn read_facts<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> Facts {
    let mut facts = Facts::new();
    for arg in args {
        if facts.len() == MAX_FACTS {
            break;
        }
        let (name, value) = match arg.iter().position(|&b| b == b'=') {
            Some(at) => (&arg[..at], &arg[at + 1..]),
            None => (arg, &[][..]),
        };
        let value: Cow<'_, [u8]> = percent_decode(value).into();
        facts.entry(clean(name)).or_insert_with(|| clean(&value));
    }
    facts
}

/// What is empty says no more than what was not sent, and is most of what a hangup sends.
fn said(mut facts: Facts) -> Facts {
    facts.retain(|_, value| !value.is_empty());
    facts
}

fn take(facts: &mut Facts, name: &str) -> Option<String> {
    facts.remove(name).filter(|v| !v.is_empty())
}

/// Seconds and microseconds as `${STRFTIME(,,%s.%6q)}` writes them, where a clock could have said so.
fn time_within_reason(text: &str, received: Timestamp) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let seconds: i64 = seconds.parse().ok().filter(|&s| s >= EARLIEST)?;
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let at = Timestamp::from_microsecond(seconds.checked_mul(1_000_000)?.checked_add(micros)?).ok()?;
    (at <= received.saturating_add(MAX_AHEAD).ok()?).then_some(at)
}

impl Token {
    /// The token's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = NotAnEvent;

    fn from_str(text: &str) -> Result<Self, NotAnEvent> {
        Token::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Token {
    type Error = NotAnEvent;

    fn try_from(text: String) -> Result<Self, NotAnEvent> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=96).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Token(text))
        } else {
            Err(NotAnEvent::Token)
        }
    }
}

impl From<Token> for String {
    fn from(token: Token) -> String {
        token.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind {
    /// Every kind that may be told from outside, in the order in which a call usually tells them.
    pub const ALL: [Kind; 7] =
        [Kind::Start, Kind::Ring, Kind::Answer, Kind::Transfer, Kind::Note, Kind::Record, Kind::Hangup];

    /// The kind's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Start => "start",
            Kind::Ring => "ring",
            Kind::Answer => "answer",
            Kind::Transfer => "transfer",
            Kind::Note => "note",
            Kind::Record => "record",
            Kind::Hangup => "hangup",
            Kind::Seen => "seen",
        }
    }
}

impl FromStr for Kind {
    type Err = NotAnEvent;

    fn from_str(text: &str) -> Result<Self, NotAnEvent> {
        Kind::ALL
            .into_iter()
            .find(|k| k.as_str() == text)
            .ok_or_else(|| NotAnEvent::Kind(clean(&text.as_bytes()[..text.len().min(64)])))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Feed {
    /// All there are.
    pub const ALL: [Feed; 6] = [Feed::Agi, Feed::Spool, Feed::Push, Feed::Ami, Feed::Cdr, Feed::Cel];

    /// The feed's name as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Feed::Agi => "agi",
            Feed::Spool => "spool",
            Feed::Push => "push",
            Feed::Ami => "ami",
            Feed::Cdr => "cdr",
            Feed::Cel => "cel",
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_390_800;

    fn read(args: &[&str]) -> Result<Event, NotAnEvent> {
        let arrival = Arrival { feed: Feed::Agi, pbx: "office", at: Timestamp::from_second(NOW).unwrap() };
        Event::from_args(Kind::Start, args.iter().map(|a| a.as_bytes()), arrival)
    }

    #[test]
    fn what_is_empty_is_not_kept_and_hides_what_comes_after_it() {
        let event = read(&["v=1", "token=a", "uid=1.1", "key=", "org=acme", "key=forged"]).unwrap();
        assert_eq!(event.facts.keys().collect::<Vec<_>>(), ["org"]);
    }

    #[test]
    fn the_fixed_arguments_become_fields_and_the_rest_are_facts() {
        let event = read(&[
            "v=1",
            "token=1.0-1-start-2",
            "pbx=",
            "uid=1795390723.0",
            "lid=1795390723.0",
            "root=",
            "seq=1",
            "t=1795390723.872815",
            "chan=PJSIP%2Ftrunk-00000000",
            "name=%D0%98%2C%20x",
            "new=kept",
        ])
        .unwrap();
        assert_eq!(event.pbx, "office");
        assert_eq!(event.channel, "PJSIP/trunk-00000000");
        assert_eq!(event.at.as_microsecond(), 1_795_390_723_872_815);
        assert!(event.timed);
        assert_eq!(event.seq, Some(1));
        assert_eq!(event.root, None);
        assert_eq!(event.fact("name"), Some("И, x"));
        assert_eq!(event.fact("new"), Some("kept"));
    }

    #[test]
    fn a_name_cut_inside_a_character_is_kept_with_a_replacement() {
        let event = read(&["v=1", "token=a", "uid=1.1", "name=%D0%98%D0"]).unwrap();
        assert_eq!(event.fact("name"), Some("И\u{fffd}"));
    }

    #[test]
    fn control_and_direction_characters_are_spelled_out() {
        assert_eq!(clean("a\0b\n\u{1b}[31m\u{202e}".as_bytes()), r"a\u{0}b\n\u{1b}[31m\u{202e}");
    }

    #[test]
    fn a_time_that_no_clock_could_say_is_replaced_by_the_arrival() {
        for t in
            ["", "x", "-5", "1.2.3", "99999999999999999999", "12.5", "1896390800.0", "1795390723.1234567"]
        {
            let event = read(&["v=1", "token=a", "uid=1.1", &format!("t={t}")]).unwrap();
            assert!(!event.timed, "{t} was believed");
            assert_eq!(event.at, event.received);
        }
    }

    #[test]
    fn the_first_of_two_arguments_with_one_name_counts() {
        let event = read(&["v=1", "token=a", "uid=1.1", "uid=2.2"]).unwrap();
        assert_eq!(event.uid, "1.1");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(read(&["token=a", "uid=1.1"]), Err(NotAnEvent::Version(String::new())));
        assert_eq!(read(&["v=1", "uid=1.1"]), Err(NotAnEvent::Token));
        assert_eq!(read(&["v=1", "token=a\"b", "uid=1.1"]), Err(NotAnEvent::Token));
        assert_eq!(read(&["v=1", "token=a"]), Err(NotAnEvent::Uid));
        assert!(matches!("restart".parse::<Kind>(), Err(NotAnEvent::Kind(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_become_clean_bounded_text(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            let text = clean(&bytes);
            prop_assert!(text.len() <= MAX_VALUE);
            prop_assert!(!text.chars().any(char::is_control));
        }

        #[test]
        fn any_arguments_give_a_bounded_event_or_a_refusal(
            args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..200)
        ) {
            let fixed: [&[u8]; 3] = [b"v=1", b"token=a", b"uid=1.1"];
            let all = fixed.into_iter().chain(args.iter().map(Vec::as_slice));
            let arrival = Arrival { feed: Feed::Spool, pbx: "p", at: Timestamp::from_second(NOW).unwrap() };
            let event = Event::from_args(Kind::Note, all, arrival).unwrap();
            prop_assert!(event.facts.len() <= MAX_FACTS);
            prop_assert!(event.facts.iter().all(|(k, v)| k.len() <= MAX_VALUE && v.len() <= MAX_VALUE));
        }

        #[test]
        fn only_plain_characters_make_a_token(text in ".{0,120}") {
            let plain = !text.is_empty() && text.len() <= 96
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            prop_assert_eq!(text.parse::<Token>().is_ok(), plain);
        }
    }
}
