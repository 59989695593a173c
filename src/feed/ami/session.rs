//! One connection to a manager interface, as decisions: what to send next, what was heard, when to give up.
//!
//! Greeting, challenge, log-in, the time there, the list of channels, and from then on events, with a `Ping` now and
//! then. Pure: messages and the time are handed in. The secret never leaves this file but as a hash with the challenge.
//! Knows nothing of what events say of calls, and of sockets.

use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};

use super::wire::{Action, Heard, Message};

/// Most channels of a list that are kept. An Asterisk of this size has other troubles.
pub const MOST_LISTED: usize = 20_000;

/// What is to be done about what was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Send this.
    Send(Action),
    /// Something happened on the pbx.
    Tell(Message),
    /// These are the channels that live there: all of them that lived when the list was asked for.
    Compare(Listed),
    /// It makes no sense to go on with this connection.
    GiveUp(Trouble),
}

/// The channels of a pbx at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// When they were asked for, by our clock.
    pub asked: Timestamp,
    /// The same by the pbx's clock, where it told the time.
    pub there: Option<Timestamp>,
    /// One message for each channel.
    pub channels: Vec<Message>,
    /// Whether there were more than are kept: then nothing follows from a channel's absence.
    pub cut: bool,
}

/// Why a connection comes to nothing, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Something else listens there.
    #[error("it is no manager interface: compare [[ami]] host with port in [general] of manager.conf")]
    NotAmi,
    /// User or secret is wrong, or the address may not log in.
    #[error(
        "the log-in was refused ({0}): compare user and secret, and permit/deny, with the user's section of manager.conf"
    )]
    Refused(String),
    /// The user may not ask for the list.
    #[error("the user may not list channels: write write = reporting into its section of manager.conf")]
    NoList,
    /// Our own user or secret cannot be sent.
    #[error("[[ami]] user must be one line of at most 256 bytes")]
    Unsendable,
    /// It said goodbye.
    #[error("Asterisk ended the connection")]
    Goodbye,
}

impl Trouble {
    /// Whether somebody must change something before it can get better.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !matches!(self, Trouble::Goodbye)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Challenge,
    LogIn,
    Up,
}

/// A connection.
pub struct Session {
    user: String,
    secret: String,
    stage: Stage,
    /// The version of the protocol.
    version: String,
    /// The list that is on its way: since when, and the channels so far.
    list: Option<Listed>,
    lists: u32,
    /// Since when the answer to a `Ping` is waited for.
    pinged: Option<Timestamp>,
    /// How far the pbx's clock is ahead of ours.
    ahead: Option<SignedDuration>,
}

impl Session {
    /// A connection on which nothing was heard yet.
    #[must_use]
    pub fn new(user: &str, secret: &str) -> Session {
        Session {
            user: user.to_owned(),
            secret: secret.to_owned(),
            stage: Stage::Greeting,
            version: String::new(),
            list: None,
            lists: 0,
            pinged: None,
            ahead: None,
        }
    }

    /// Whether the log-in is done and events come.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// The version of the protocol: 5.0.x of Asterisk 16, 11.0.x of 22. It differs in nothing that matters here.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a list of channels is on its way.
    #[must_use]
    pub fn waits_for_list(&self) -> bool {
        self.list.is_some()
    }

    /// What an event's time of arrival is by the pbx's own clock, as far as that is known.
    #[must_use]
    pub fn there(&self, arrived: Timestamp) -> Timestamp {
        self.ahead.and_then(|ahead| arrived.checked_add(ahead).ok()).unwrap_or(arrived)
    }

    /// Asks whether anybody is there, and what time it is.
    pub fn ping(&mut self, now: Timestamp) -> Do {
        self.pinged = Some(now);
        Do::Send(Action::Ping)
    }

    /// Takes in what came at `now`.
    pub fn hear(&mut self, heard: Heard, now: Timestamp) -> Vec<Do> {
        match (heard, self.stage) {
            (Heard::Banner(version), Stage::Greeting) => {
                self.version = version;
                self.stage = Stage::Challenge;
                vec![Do::Send(Action::Challenge)]
            }
            (Heard::Banner(_), _) => vec![Do::GiveUp(Trouble::NotAmi)],
            (Heard::Message(message), Stage::Up) => self.up(message, now),
            // FullyBooted and others come before the answer to the log-in on some versions, and say nothing.
            (Heard::Message(message), _) if message.get("Response").is_none() => Vec::new(),
            (Heard::Message(message), Stage::Challenge) => self.challenged(&message),
            (Heard::Message(message), _) => self.logged_in(&message, now),
        }
    }

    fn challenged(&mut self, message: &Message) -> Vec<Do> {
        let Some(challenge) = message.get("Challenge").filter(|_| succeeded(message)) else {
            return vec![Do::GiveUp(Trouble::Refused(reason(message)))];
        };
        self.stage = Stage::LogIn;
        let hash = Md5::digest(format!("{challenge}{}", self.secret));
        let key = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let login = Action::Login { user: self.user.clone(), key };
        vec![if login.bytes().is_ok() { Do::Send(login) } else { Do::GiveUp(Trouble::Unsendable) }]
    }

    fn logged_in(&mut self, message: &Message, now: Timestamp) -> Vec<Do> {
        if !succeeded(message) {
            return vec![Do::GiveUp(Trouble::Refused(reason(message)))];
        }
        self.stage = Stage::Up;
        // The time first: what is missing in the list is gone by then.
        let mut doings = vec![self.ping(now)];
        doings.extend(self.ask_for_list(now));
        doings
    }

    fn ask_for_list(&mut self, now: Timestamp) -> Option<Do> {
        if self.list.is_some() {
            return None;
        }
        self.lists += 1;
        self.list = Some(Listed { asked: now, there: None, channels: Vec::new(), cut: false });
        Some(Do::Send(Action::CoreShowChannels { id: self.lists }))
    }

    fn up(&mut self, message: Message, now: Timestamp) -> Vec<Do> {
        let of_list = message.get("ActionID") == Some(self.lists.to_string().as_str());
        match message.get("Event") {
            None => self.answered(&message, of_list, now),
            Some("CoreShowChannel") if of_list => {
                if let Some(list) = &mut self.list {
                    list.cut |= list.channels.len() >= MOST_LISTED;
                    if !list.cut {
                        list.channels.push(message);
                    }
                }
                Vec::new()
            }
            Some("CoreShowChannelsComplete") if of_list => {
                self.list.take().map(Do::Compare).into_iter().collect()
            }
            Some("CoreShowChannel" | "CoreShowChannelsComplete") => Vec::new(),
            // A start of Asterisk without a new connection does not exist; a full boot may come after the log-in.
            Some("FullyBooted") => Vec::new(),
            Some("Shutdown") => vec![Do::GiveUp(Trouble::Goodbye)],
            Some(_) => vec![Do::Tell(message)],
        }
    }

    fn answered(&mut self, message: &Message, of_list: bool, now: Timestamp) -> Vec<Do> {
        match message.get("Response") {
            Some("Goodbye") => vec![Do::GiveUp(Trouble::Goodbye)],
            Some("Success") if message.get("Ping").is_some() => {
                self.told_the_time(message, now);
                Vec::new()
            }
            Some("Error") if of_list => vec![Do::GiveUp(Trouble::NoList)],
            _ => Vec::new(),
        }
    }

    /// The answer was made between the question and now: in the middle of that, as far as anybody knows.
    fn told_the_time(&mut self, message: &Message, now: Timestamp) {
        let (Some(asked), Some(there)) = (self.pinged.take(), message.get("Timestamp").and_then(time)) else {
            return;
        };
        let here = asked.saturating_add(now.duration_since(asked) / 2).unwrap_or(now);
        self.ahead = Some(there.duration_since(here));
        if let Some(list) = &mut self.list {
            list.there.get_or_insert(there);
        }
    }
}

fn succeeded(message: &Message) -> bool {
    message.get("Response") == Some("Success")
}

/// What Asterisk says of a refusal, short and without anything that could confuse a log.
fn reason(message: &Message) -> String {
    let text = message.get("Message").unwrap_or("no reason given");
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// `1795390723.872815` of a `Timestamp`, whatever number of digits it has behind the point.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || seconds.len() > 12 || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    Timestamp::from_microsecond(seconds.checked_mul(1_000_000)?.checked_add(micros)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_390_800 + second).unwrap()
    }

    fn message(fields: &[(&str, &str)]) -> Heard {
        Heard::Message(fields.iter().copied().collect())
    }

    /// A connection that is up, with its list on the way.
    fn up() -> Session {
        let mut session = Session::new("journal", "s3cret");
        session.hear(Heard::Banner("7.0.3".to_owned()), at(0));
        session.hear(message(&[("Response", "Success"), ("Challenge", "149512345")]), at(0));
        session.hear(message(&[("Response", "Success"), ("Message", "Authentication accepted")]), at(0));
        session
    }

    #[test]
    fn a_log_in_sends_the_hash_of_the_challenge_and_the_secret_and_never_the_secret() {
        let mut session = Session::new("journal", "s3cret");
        assert_eq!(session.hear(Heard::Banner("7.0.3".to_owned()), at(0)), [Do::Send(Action::Challenge)]);
        // What comes before the answer says nothing.
        assert_eq!(session.hear(message(&[("Event", "FullyBooted")]), at(0)), []);
        let said = session.hear(message(&[("Response", "Success"), ("Challenge", "149512345")]), at(0));
        // printf 149512345s3cret | md5sum
        let key = "8c1352bba662d1678570b24e62232feb".to_owned();
        let [Do::Send(Action::Login { user, key: sent })] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(user, "journal");
        assert_eq!(*sent, key);
        assert!(!session.is_up());
        let said = session.hear(message(&[("Response", "Success")]), at(0));
        assert_eq!(said, [Do::Send(Action::Ping), Do::Send(Action::CoreShowChannels { id: 1 })]);
        assert!(session.is_up());
    }

    #[test]
    fn a_refusal_says_what_to_look_at() {
        let mut session = Session::new("journal", "wrong");
        session.hear(Heard::Banner("7.0.3".to_owned()), at(0));
        session.hear(message(&[("Response", "Success"), ("Challenge", "1")]), at(0));
        let refused = message(&[("Response", "Error"), ("Message", "Authentication failed\u{1b}[31m")]);
        let said = session.hear(refused, at(0));
        let [Do::GiveUp(trouble)] = said.as_slice() else { panic!("{said:?}") };
        assert!(trouble.lasts() && trouble.to_string().contains("compare user and secret"), "{trouble}");
        assert!(!trouble.to_string().contains('\u{1b}'));
        let said = up().hear(
            message(&[("Response", "Error"), ("ActionID", "1"), ("Message", "Permission denied")]),
            at(0),
        );
        assert_eq!(said, [Do::GiveUp(Trouble::NoList)]);
    }

    #[test]
    fn a_user_that_would_break_out_of_its_line_is_never_sent() {
        let mut session = Session::new("a\r\nAction: Originate", "x");
        session.hear(Heard::Banner("7.0.3".to_owned()), at(0));
        let said = session.hear(message(&[("Response", "Success"), ("Challenge", "1")]), at(0));
        assert_eq!(said, [Do::GiveUp(Trouble::Unsendable)]);
    }

    #[test]
    fn the_list_is_compared_when_it_is_whole_and_with_the_pbxs_own_time() {
        let mut session = up();
        assert!(session.waits_for_list());
        assert_eq!(session.there(at(5)), at(5), "nothing is known of the other clock");
        session.hear(
            message(&[("Response", "Success"), ("Ping", "Pong"), ("Timestamp", "1795390710.5")]),
            at(1),
        );
        let channel = [("Event", "CoreShowChannel"), ("ActionID", "1"), ("Uniqueid", "1.1")];
        assert_eq!(session.hear(message(&channel), at(1)), []);
        // Somebody else's list.
        assert_eq!(
            session.hear(message(&[("Event", "CoreShowChannelsComplete"), ("ActionID", "7")]), at(1)),
            []
        );
        let said = session.hear(message(&[("Event", "CoreShowChannelsComplete"), ("ActionID", "1")]), at(1));
        let [Do::Compare(listed)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!((listed.channels.len(), listed.asked, listed.cut), (1, at(0), false));
        assert_eq!(listed.there.unwrap().as_microsecond(), 1_795_390_710_500_000);
        assert!(!session.waits_for_list());
        // Half a second of the way there and back.
        assert_eq!(session.there(at(10)).as_microsecond(), at(10 - 90).as_microsecond());
    }

    #[test]
    fn events_are_told_and_a_shutdown_ends_the_connection() {
        let mut session = up();
        let said = session.hear(message(&[("Event", "Hangup"), ("Uniqueid", "1.1")]), at(1));
        assert!(matches!(said.as_slice(), [Do::Tell(_)]), "{said:?}");
        assert_eq!(session.hear(message(&[("Event", "FullyBooted")]), at(1)), []);
        for end in [[("Event", "Shutdown")], [("Response", "Goodbye")]] {
            assert_eq!(session.hear(message(&end), at(1)), [Do::GiveUp(Trouble::Goodbye)]);
        }
        assert!(!Trouble::Goodbye.lasts());
    }

    #[test]
    fn a_list_is_bounded_and_says_that_it_was_cut() {
        let mut session = up();
        for n in 0..=MOST_LISTED {
            let uid = format!("1.{n}");
            let channel = [("Event", "CoreShowChannel"), ("ActionID", "1"), ("Uniqueid", uid.as_str())];
            session.hear(message(&channel), at(1));
        }
        let said = session.hear(message(&[("Event", "CoreShowChannelsComplete"), ("ActionID", "1")]), at(1));
        let [Do::Compare(listed)] = said.as_slice() else { panic!("no list") };
        assert_eq!((listed.channels.len(), listed.cut), (MOST_LISTED, true));
    }
}
