//! AMI's lines as bytes: the banner, messages of `Key: Value` lines, and the few actions that are ever sent.
//!
//! Pure and total: any bytes give messages or [`NotAmi`], in whatever pieces they come, and each byte is looked at
//! once. What an Asterisk sends may hold anything that a caller wrote: a line, a field or a message that is too long is
//! cut, bytes that are no UTF-8 are replaced, a line without a colon is passed over. Knows nothing of log-ins, of what
//! events mean, and of sockets.

use nom::bytes::complete::{tag, take_until};
use nom::combinator::{opt, rest};
use nom::sequence::{preceded, separated_pair};
use nom::{IResult, Parser};

/// Bytes of a line that are kept; Asterisk cuts what it sends at 4,096 or so, and the rest is skipped.
pub const MAX_LINE: usize = 4 * 1024;

/// Fields of a message that are kept. The richest event has about fifty, channel variables aside.
pub const MAX_FIELDS: usize = 128;

/// Most bytes of a name or a value in an action.
const MAX_VALUE: usize = 256;

/// What an Asterisk greets with, before the version of the protocol.
const BANNER: &str = "Asterisk Call Manager/";

/// Whoever answers there does not speak AMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer did not greet as an Asterisk's manager interface does")]
pub struct NotAmi;

/// A text that would be more than one line of an action, or is too long for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user or a secret may have no line ends and at most {MAX_VALUE} bytes")]
pub struct Unsendable;

/// What comes from an Asterisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The greeting, with the version of the protocol: `7.0.3`.
    Banner(String),
    /// An event or a response.
    Message(Message),
}

/// Fields in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<(String, String)>);

impl Message {
    /// The first field of this name, where it is not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Message {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(fields: T) -> Message {
        Message(fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Pieces in, messages out; holds one message at most.
#[derive(Debug, Default)]
pub struct Reader {
    greeted: bool,
    /// The line that has not ended yet, as far as it is kept.
    line: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Reader {
    /// Takes in the next piece and hands out what is whole by now.
    ///
    /// # Errors
    /// [`NotAmi`] where the first line is not the greeting.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Heard>, NotAmi> {
        let mut heard = Vec::new();
        let mut left = piece;
        while let Some(end) = left.iter().position(|&byte| byte == b'\n') {
            self.keep(&left[..end]);
            left = &left[end + 1..];
            heard.extend(self.line()?);
        }
        self.keep(left);
        if !self.greeted && !may_be_banner(&self.line) {
            return Err(NotAmi);
        }
        Ok(heard)
    }

    fn keep(&mut self, bytes: &[u8]) {
        // One more than counts, for the carriage return.
        let room = (MAX_LINE + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What the line means that has just ended.
    fn line(&mut self) -> Result<Option<Heard>, NotAmi> {
        let bytes = std::mem::take(&mut self.line);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LINE)]);
        if !self.greeted {
            let version = text.strip_prefix(BANNER).ok_or(NotAmi)?;
            self.greeted = true;
            return Ok(Some(Heard::Banner(version.chars().take(32).collect())));
        }
        if text.is_empty() {
            let fields = std::mem::take(&mut self.fields);
            return Ok((!fields.is_empty()).then_some(Heard::Message(Message(fields))));
        }
        if let Some((name, value)) = field(&text).filter(|_| self.fields.len() < MAX_FIELDS) {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
        Ok(None)
    }
}

/// Whether the bytes are the beginning of a greeting, as far as they go.
fn may_be_banner(line: &[u8]) -> bool {
    let known = line.len().min(BANNER.len());
    line[..known] == BANNER.as_bytes()[..known]
}

/// Splits at the first colon: values hold more of them.
fn field(line: &str) -> Option<(&str, &str)> {
    let colon = preceded(tag(":"), opt(tag(" ")));
    let parsed: IResult<_, _> = separated_pair(take_until(":"), colon, rest).parse(line);
    parsed.ok().map(|(_, pair)| pair)
}

/// Everything that is ever sent to an Asterisk. None of it changes a call, and there is no other way to send anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Asks for the text that the secret is to be hashed with.
    Challenge,
    /// Logs in with the hash, and says which classes of events are wanted.
    Login {
        /// The user's name.
        user: String,
        /// MD5 of the challenge and the secret, as 32 letters.
        key: String,
    },
    /// Asks which channels there are. The id comes back with each of them.
    CoreShowChannels {
        /// Tells one list from another.
        id: u32,
    },
    /// Asks what time it is there, and whether anybody is.
    Ping,
    /// Says goodbye.
    Logoff,
}

/// The classes of events that are wanted, by AMI's words.
const EVENTS: &str = "call,agent";

impl Action {
    /// The action's lines.
    ///
    /// # Errors
    /// [`Unsendable`] where a text would break out of its line.
    pub fn bytes(&self) -> Result<Vec<u8>, Unsendable> {
        let id;
        let fields: &[(&str, &str)] = match self {
            Action::Challenge => &[("Action", "Challenge"), ("AuthType", "MD5")],
            Action::Login { user, key } => &[
                ("Action", "Login"),
                ("AuthType", "MD5"),
                ("Username", user),
                ("Key", key),
                ("Events", EVENTS),
            ],
            Action::CoreShowChannels { id: number } => {
                id = number.to_string();
                &[("Action", "CoreShowChannels"), ("ActionID", &id)]
            }
            Action::Ping => &[("Action", "Ping")],
            Action::Logoff => &[("Action", "Logoff")],
        };
        let mut bytes = Vec::new();
        for (name, value) in fields {
            if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
                return Err(Unsendable);
            }
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GREETING: &[u8] = b"Asterisk Call Manager/7.0.3\r\n";

    fn read(bytes: &[u8]) -> Result<Vec<Heard>, NotAmi> {
        Reader::default().take(bytes)
    }

    fn messages(bytes: &[u8]) -> Vec<Message> {
        let heard = read(&[GREETING, bytes].concat()).unwrap();
        heard.into_iter().filter_map(|h| if let Heard::Message(m) = h { Some(m) } else { None }).collect()
    }

    #[test]
    fn a_greeting_and_messages_are_read() {
        let heard = read(
            &[GREETING, b"Event: Hangup\r\nCause-txt: a: b\r\nEmpty:\r\n\r\nResponse: Success\n\n"].concat(),
        );
        let heard = heard.unwrap();
        assert_eq!(heard[0], Heard::Banner("7.0.3".to_owned()));
        let Heard::Message(event) = &heard[1] else { panic!("{heard:?}") };
        assert_eq!((event.get("event"), event.get("Cause-txt")), (Some("Hangup"), Some("a: b")));
        assert_eq!((event.get("Empty"), event.get("Absent")), (None, None));
        assert_eq!(heard.len(), 3);
    }

    #[test]
    fn whoever_greets_otherwise_is_no_ami() {
        for greeting in ["SSH-2.0-OpenSSH_9.2\r\n", "Asterisk Call Manage\n", "\r\n", "A\n", "HTTP"] {
            assert_eq!(read(greeting.as_bytes()), Err(NotAmi), "{greeting}");
        }
        assert_eq!(read(b"Asterisk Call"), Ok(vec![]));
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_comes_after_it_is_read() {
        let long = "x".repeat(3 * MAX_LINE);
        let many: String = (0..2 * MAX_FIELDS).map(|n| format!("F{n}: {n}\r\n")).collect();
        let read = messages(format!("Long: {long}\r\nNext: 1\r\n\r\n{many}\r\nEvent: X\r\n\r\n").as_bytes());
        assert_eq!(read[0].get("Long").unwrap().len(), MAX_LINE - "Long: ".len());
        assert_eq!(read[0].get("Next"), Some("1"));
        assert_eq!(read[1].fields().count(), MAX_FIELDS);
        assert_eq!(read[2].get("Event"), Some("X"));
    }

    #[test]
    fn lines_that_are_no_fields_and_bytes_that_are_no_text_do_no_harm() {
        let read = messages(b"no field\r\n\r\n\r\n\xff\xfe: \xd0\r\nEvent: X\r\n\r\n");
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].get("Event"), Some("X"));
    }

    #[test]
    fn no_action_holds_more_than_its_own_lines() {
        for text in ["a\r\nAction: Originate", "a\nb", "a\0", &"a".repeat(MAX_VALUE + 1)] {
            let login = Action::Login { user: text.to_owned(), key: String::new() };
            assert_eq!(login.bytes(), Err(Unsendable), "{text:?}");
        }
        let login = Action::Login { user: "journal".to_owned(), key: "k".to_owned() }.bytes().unwrap();
        let text = String::from_utf8(login).unwrap();
        assert!(text.ends_with("Events: call,agent\r\n\r\n"), "{text}");
    }

    /// Bytes with line ends, colons and messages among them.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"Event: Newchannel\r\n".to_vec()),
            Just(b"Key:".to_vec()),
            Just(vec![b'y'; MAX_LINE - 3]),
            proptest::collection::vec(any::<u8>(), 0..40),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_messages(bytes in stream(), cuts in proptest::collection::vec(1_usize..50, 1..40)) {
            let bytes = [GREETING, &bytes].concat();
            let whole = read(&bytes);
            let (mut reader, mut left, mut heard) = (Reader::default(), bytes.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if left.is_empty() {
                    break;
                }
                let (piece, more) = left.split_at((*cut).min(left.len()));
                heard.extend(reader.take(piece).unwrap());
                left = more;
            }
            prop_assert_eq!(whole.unwrap(), heard);
        }

        #[test]
        fn any_bytes_are_read_in_bounded_memory(bytes in proptest::collection::vec(any::<u8>(), 0..4000), greeted in any::<bool>()) {
            let mut reader = Reader::default();
            let greeting: &[u8] = if greeted { GREETING } else { b"" };
            let _ = reader.take(greeting);
            for piece in bytes.chunks(7) {
                let Ok(heard) = reader.take(piece) else { return Ok(()) };
                prop_assert!(reader.line.len() <= MAX_LINE + 1 && reader.fields.len() <= MAX_FIELDS);
                for one in heard {
                    if let Heard::Message(message) = one {
                        // A byte that is no UTF-8 is replaced by three.
                        prop_assert!(message.fields().all(|(n, v)| n.len() + v.len() <= 3 * MAX_LINE));
                    }
                }
            }
        }
    }
}
