//! FastAGI's lines as bytes: what an Asterisk sends first, what it replies, and the four things said to it.
//!
//! Pure and total: any bytes give a value, [`Stop::Incomplete`] or [`Stop::Malformed`], in whatever pieces they
//! come, and each byte is looked at once for a line end. Asterisk sends values raw (`res_agi.c`, `setup_env`):
//! they may be cut inside a character or hold anything but a line feed, so nothing here is text.
//! Knows nothing of sessions, events and sockets.

use std::ops::Range;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_until};
use nom::bytes::streaming;
use nom::character::complete::i64 as integer;
use nom::combinator::{all_consuming, opt, rest, value};
use nom::sequence::{preceded, separated_pair, terminated};
use nom::{IResult, Parser};

/// Longest line that is read, in bytes. All arguments of one AGI() together are below 8,192 (`EXT_DATA_SIZE`).
pub const MAX_LINE: usize = 16 * 1024;

/// Most bytes that are read of one prelude, and of all replies of one session.
pub const MAX_BLOCK: usize = 64 * 1024;

/// Most lines of one prelude. Asterisk can send 149: 22 of its own and 127 arguments (`MAX_ARGS`).
pub const MAX_LINES: usize = 256;

/// Why there is no value yet, or never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// So far so good: more bytes are needed.
    #[error("more bytes are needed")]
    Incomplete,
    /// No bytes that may follow can make sense of it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What is wrong with bytes that no Asterisk would send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line of the prelude is no `name: value`.
    #[error("a line of the prelude has no colon: the peer does not speak AGI")]
    NoColon,
    /// A line has more than [`MAX_LINE`] bytes.
    #[error("a line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// The prelude, or all replies together, have more than [`MAX_BLOCK`] bytes.
    #[error("more than {MAX_BLOCK} bytes came")]
    LongBlock,
    /// The prelude has more than [`MAX_LINES`] lines.
    #[error("the prelude has more than {MAX_LINES} lines")]
    ManyLines,
    /// A line that should answer a command is none of Asterisk's answers.
    #[error("a line is no reply of an Asterisk")]
    NoReply,
}

/// Bytes in, whole lines out; remembers how far it has looked.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where the line begins that has not ended yet.
    line: usize,
    /// Up to here there is no line end after `line`.
    looked: usize,
}

impl Lines {
    /// The place of the next line, without its line end (`\n` or `\r\n`).
    ///
    /// A limit is judged by where it lies, not by how much came at once: the verdict on the same bytes is the
    /// same in whatever pieces they come.
    fn next(&mut self) -> Result<Range<usize>, Stop> {
        let found = match line(&self.bytes[self.looked..]) {
            Ok((_, fresh)) => Some(self.looked + fresh.len()),
            Err(_) => None,
        };
        let reached = found.unwrap_or(self.bytes.len());
        let long_line = self.line + MAX_LINE;
        if reached > long_line.min(MAX_BLOCK) {
            return Err(
                if long_line <= MAX_BLOCK { Malformed::LongLine } else { Malformed::LongBlock }.into()
            );
        }
        let Some(end) = found else {
            self.looked = reached;
            return Err(Stop::Incomplete);
        };
        let whole = self.line..end;
        self.line = end + 1;
        self.looked = self.line;
        Ok(if self.bytes[whole.clone()].ends_with(b"\r") { whole.start..end - 1 } else { whole })
    }
}

fn line(input: &[u8]) -> IResult<&[u8], &[u8]> {
    terminated(streaming::take_until("\n"), streaming::tag("\n")).parse(input)
}

/// What an Asterisk sends first: lines `agi_x: value`, ended by an empty one.
#[derive(Debug, Default)]
pub struct Prelude {
    lines: Lines,
    /// Where names and values lie among the bytes. Below [`MAX_BLOCK`], so that the list of a usual request is small.
    headers: Vec<(Range<u32>, Range<u32>)>,
}

impl Prelude {
    /// Takes in the next piece and returns how many bytes of it belong to the prelude, once that is whole.
    ///
    /// # Errors
    /// [`Stop::Incomplete`] while the empty line is missing: the piece is taken in whole.
    /// [`Stop::Malformed`] at the first line that makes no sense, or over a limit.
    pub fn take(&mut self, piece: &[u8]) -> Result<usize, Stop> {
        let before = self.lines.bytes.len();
        self.lines.bytes.extend_from_slice(piece);
        loop {
            let place = self.lines.next()?;
            if place.is_empty() {
                return Ok(self.lines.line - before);
            }
            if self.headers.len() == MAX_LINES {
                return Err(Malformed::ManyLines.into());
            }
            let (name, value) = header(&self.lines.bytes[place.clone()]).ok_or(Malformed::NoColon)?;
            let at = |place: usize| u32::try_from(place).map_err(|_| Malformed::LongBlock);
            let name = at(place.start)?..at(place.start + name.len())?;
            self.headers.push((name, at(place.end - value.len())?..at(place.end)?));
        }
    }

    /// Names and values in the order in which they came; names may repeat, values may be empty.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = |place: &Range<u32>| &self.lines.bytes[place.start as usize..place.end as usize];
        self.headers.iter().map(move |(name, value)| (text(name), text(value)))
    }
}

/// Splits at the first colon, since values (`agi_request`) hold more of them.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = (tag(":"), opt(tag(" ")));
    let parsed: IResult<_, _> = separated_pair(take_until(":"), colon, rest).parse(line);
    parsed.ok().map(|(_, pair)| pair)
}

/// What comes from an Asterisk after the prelude.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `200 result=1 (value)`: the command was carried out.
    Done {
        /// The number behind `result=`.
        result: i64,
        /// What stands in parentheses.
        value: Option<Vec<u8>>,
    },
    /// `510` unknown command, `511` not permitted on a dead channel, `520` (of one line or many) wrong usage.
    Refused(u16),
    /// `HANGUP`: the channel hung up. It may come at any time and answers nothing.
    Hangup,
    /// `100 result=0 Trying...`: the reply is still to come.
    Trying,
}

/// Reads replies out of pieces.
#[derive(Debug, Default)]
pub struct Replies {
    lines: Lines,
    /// Inside a `520-` that goes on over several lines.
    usage: bool,
}

impl Replies {
    /// Takes in the next piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.lines.bytes.extend_from_slice(piece);
    }

    /// The next reply among what was taken in.
    ///
    /// # Errors
    /// [`Stop::Incomplete`] where none is whole, [`Stop::Malformed`] where a line is no reply or over a limit.
    pub fn next_reply(&mut self) -> Result<Reply, Stop> {
        loop {
            let place = self.lines.next()?;
            let line = &self.lines.bytes[place];
            if self.usage && !line.starts_with(b"520 ") {
                continue;
            }
            self.usage = line.starts_with(b"520-");
            if !self.usage {
                return Ok(reply(line).ok_or(Malformed::NoReply)?);
            }
        }
    }
}

fn reply(line: &[u8]) -> Option<Reply> {
    let done = |(result, value): (i64, &[u8])| Reply::Done {
        result,
        value: value.strip_prefix(b" (").and_then(|v| v.strip_suffix(b")")).map(<[u8]>::to_vec),
    };
    let refused = |code| value(Reply::Refused(code), rest);
    let parsed: IResult<_, _> = all_consuming(alt((
        value(Reply::Hangup, all_consuming(tag("HANGUP"))),
        preceded(tag("200 result="), (integer, rest)).map(done),
        preceded(tag("510"), refused(510)),
        preceded(tag("511"), refused(511)),
        preceded(tag("520"), refused(520)),
        value(Reply::Trying, (tag("100 "), rest)),
    )))
    .parse(line);
    parsed.ok().map(|(_, reply)| reply)
}

/// A channel's name that may stand in a question: `[systemname-]epoch.serial`, by the form
/// `^([A-Za-z0-9_.-]{1,64}-)?[0-9]{1,12}\.[0-9]{1,10}$`.
///
/// Asterisk executes what it is asked to expand, `${SHELL(…)}` too. This type has no other way in than the check of
/// each byte, and nothing else ever becomes a part of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uniqueid(String);

impl Uniqueid {
    /// `None` where the text has not that form.
    #[must_use]
    pub fn new(text: &str) -> Option<Uniqueid> {
        let (system, own) = match text.rsplit_once('-') {
            Some((system, own)) => (Some(system), own),
            None => (None, text),
        };
        let named = |s: &str| (1..=64).contains(&s.len()) && s.bytes().all(is_plain);
        let digits = |s: &str, most| (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        let (second, serial) = own.split_once('.')?;
        (system.is_none_or(named) && digits(second, 12) && digits(serial, 10))
            .then(|| Uniqueid(text.to_owned()))
    }
}

/// `A-Z a-z 0-9 . _ -`
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// What is said to an Asterisk. There are four such things and no other way to make one, so nothing that a call
/// or a peer brings along can ever become a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(Vec<u8>);

impl Command {
    /// `SET VARIABLE CALLJOURNAL_ACK "token"`: the event is kept. It is permitted on a dead channel too.
    ///
    /// `None` where the token is not 1 to 96 of `A-Z a-z 0-9 . _ -`.
    #[must_use]
    pub fn ack(token: &str) -> Option<Command> {
        let plain = (1..=96).contains(&token.len()) && token.bytes().all(is_plain);
        plain.then(|| Command(format!("SET VARIABLE CALLJOURNAL_ACK \"{token}\"\n").into_bytes()))
    }

    /// `FAILURE`: the event is not kept. Ends the session with `AGISTATUS=FAILURE`; no reply comes.
    #[must_use]
    pub fn failure() -> Command {
        Command(b"FAILURE\n".to_vec())
    }

    /// Whether a channel of that Asterisk lives: the reply's value is `1` or `0`. Permitted on a dead channel too.
    #[must_use]
    pub fn lives(channel: &Uniqueid) -> Command {
        Command(format!("GET FULL VARIABLE ${{CHANNEL_EXISTS({})}}\n", channel.0).into_bytes())
    }

    /// The present linkedid of a channel of that Asterisk; empty where there is no such channel.
    #[must_use]
    pub fn linkedid_of(channel: &Uniqueid) -> Command {
        Command(format!("GET FULL VARIABLE ${{IMPORT({},CHANNEL(linkedid))}}\n", channel.0).into_bytes())
    }

    /// The line as it is sent, with its line end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Headers = Vec<(Vec<u8>, Vec<u8>)>;

    /// The verdict on bytes that come in pieces of these sizes, over and over; what follows the prelude is left.
    fn prelude(bytes: &[u8], sizes: &[usize]) -> Result<(usize, Headers), Stop> {
        let mut prelude = Prelude::default();
        let mut at = 0;
        for size in sizes.iter().cycle() {
            let piece = &bytes[at..bytes.len().min(at + size.max(&1))];
            match prelude.take(piece) {
                Ok(used) => {
                    let headers = prelude.headers().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
                    return Ok((at + used, headers));
                }
                Err(Stop::Incomplete) if at + piece.len() < bytes.len() => at += piece.len(),
                Err(stop) => return Err(stop),
            }
        }
        unreachable!("sizes is never empty")
    }

    fn replies(bytes: &[u8], sizes: &[usize]) -> (Vec<Reply>, Stop) {
        let mut reader = Replies::default();
        let mut seen = Vec::new();
        let mut at = 0;
        let mut last = Stop::Incomplete;
        for size in sizes.iter().cycle() {
            let piece = &bytes[at..bytes.len().min(at + size.max(&1))];
            at += piece.len();
            reader.take(piece);
            loop {
                match reader.next_reply() {
                    Ok(reply) => seen.push(reply),
                    Err(stop) => {
                        last = stop;
                        break;
                    }
                }
            }
            if at == bytes.len() || last != Stop::Incomplete {
                break;
            }
        }
        (seen, last)
    }

    fn render_prelude(headers: &Headers, end: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in headers {
            out.extend([name, b": ".as_slice(), value, end.as_bytes()].concat());
        }
        out.extend(end.as_bytes());
        out
    }

    fn render_reply(reply: &Reply) -> Vec<u8> {
        match reply {
            Reply::Done { result, value: None } => format!("200 result={result}\n").into_bytes(),
            Reply::Done { result, value: Some(value) } => {
                [format!("200 result={result} (").as_bytes(), value, b")\n"].concat()
            }
            Reply::Refused(520) => {
                b"520-Invalid command syntax.  Proper usage follows:\nUsage: SET VARIABLE <a> <b>\n520 End of proper usage.\n".to_vec()
            }
            Reply::Refused(code) => format!("{code} Invalid or unknown command\n").into_bytes(),
            Reply::Hangup => b"HANGUP\n".to_vec(),
            Reply::Trying => b"100 result=0 Trying...\n".to_vec(),
        }
    }

    /// Bytes that look enough like a session to get past the first line.
    fn nearly_agi() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just(b"agi_a: b\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"200 result=1 (x)\n".to_vec()),
            Just(b"520-\n".to_vec()),
            Just(b"520 End\n".to_vec()),
            Just(b"HANGUP\n".to_vec()),
            vec(any::<u8>(), 0..40),
            (1_usize..20_000).prop_map(|n| vec![b':'; n]),
        ];
        vec(word, 0..30).prop_map(|words| words.concat())
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let value = vec(any::<u8>().prop_filter("one line", |b| *b != b'\n'), 0..200);
        prop_oneof![
            (any::<i64>(), proptest::option::of(value))
                .prop_map(|(result, value)| Reply::Done { result, value }),
            prop_oneof![Just(510), Just(511), Just(520)].prop_map(Reply::Refused),
            Just(Reply::Hangup),
            Just(Reply::Trying),
        ]
    }

    proptest! {
        #[test]
        fn the_same_bytes_give_the_same_prelude_in_any_pieces(
            bytes in nearly_agi(), sizes in vec(1_usize..9000, 1..5)
        ) {
            let whole = prelude(&bytes, &[bytes.len().max(1)]);
            prop_assert_eq!(prelude(&bytes, &sizes), whole.clone());
            prop_assert_eq!(prelude(&bytes, &[1]), whole);
        }

        #[test]
        fn the_same_bytes_give_the_same_replies_in_any_pieces(
            bytes in nearly_agi(), sizes in vec(1_usize..9000, 1..5)
        ) {
            let whole = replies(&bytes, &[bytes.len().max(1)]);
            prop_assert_eq!(replies(&bytes, &sizes), whole.clone());
            prop_assert_eq!(replies(&bytes, &[1]), whole);
        }

        #[test]
        fn a_prelude_is_read_as_it_was_written(
            headers in vec(("[a-z_0-9]{1,20}", vec(any::<u8>(), 0..300)), 0..150),
            crlf in any::<bool>(),
            after in vec(any::<u8>(), 0..20),
        ) {
            let headers: Headers = headers
                .into_iter()
                .map(|(name, mut value)| {
                    value.retain(|b| !matches!(b, b'\n' | b'\r'));
                    (name.into_bytes(), value)
                })
                .collect();
            let written = render_prelude(&headers, if crlf { "\r\n" } else { "\n" });
            let sent = [written.as_slice(), &after].concat();
            prop_assert_eq!(prelude(&sent, &[sent.len()]), Ok((written.len(), headers)));
        }

        #[test]
        fn replies_are_read_as_they_were_written(written in vec(any_reply(), 0..20), size in 1_usize..50) {
            let bytes: Vec<u8> = written.iter().flat_map(render_reply).collect();
            prop_assert_eq!(replies(&bytes, &[size]), (written, Stop::Incomplete));
        }

        #[test]
        fn only_plain_characters_make_an_ack(token in "\\PC{0,100}|[A-Za-z0-9._-]{0,98}|[a\"\n${}( ]{0,5}") {
            let plain = (1..=96).contains(&token.len())
                && token.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            let expected = plain.then(|| format!("SET VARIABLE CALLJOURNAL_ACK \"{token}\"\n").into_bytes());
            prop_assert_eq!(Command::ack(&token).map(|c| c.as_bytes().to_vec()), expected);
        }
    }

    proptest! {
        #[test]
        fn only_the_form_of_a_uniqueid_makes_a_question(
            text in prop_oneof![
                "\\PC{0,90}", "([A-Za-z0-9_.-]{0,66}-)?[0-9]{0,13}\\.[0-9]{0,11}",
                "[0-9]{1,3}\\.[0-9]{1,3}[)}${}SHEL(id) \n\"]{0,12}",
            ]
        ) {
            let form = regex_lite::Regex::new(r"\A(?:[A-Za-z0-9_.-]{1,64}-)?[0-9]{1,12}\.[0-9]{1,10}\z").unwrap();
            let uniqueid = Uniqueid::new(&text);
            prop_assert_eq!(uniqueid.is_some(), form.is_match(&text));
            if let Some(uniqueid) = uniqueid {
                let lives = format!("GET FULL VARIABLE ${{CHANNEL_EXISTS({text})}}\n");
                let linkedid = format!("GET FULL VARIABLE ${{IMPORT({text},CHANNEL(linkedid))}}\n");
                prop_assert_eq!(Command::lives(&uniqueid), Command(lives.into_bytes()));
                prop_assert_eq!(Command::linkedid_of(&uniqueid), Command(linkedid.into_bytes()));
            }
        }
    }

    #[test]
    fn values_keep_their_colons_and_may_be_empty() {
        let sent = b"agi_request: agi://127.0.0.1:4573/start\nagi_accountcode: \nx:y\n\nrest";
        let (used, headers) = prelude(sent, &[1]).unwrap();
        assert_eq!(used, sent.len() - 4);
        let text: Vec<_> =
            headers.iter().map(|(n, v)| (str::from_utf8(n).unwrap(), str::from_utf8(v).unwrap())).collect();
        assert_eq!(
            text,
            [("agi_request", "agi://127.0.0.1:4573/start"), ("agi_accountcode", ""), ("x", "y")]
        );
    }

    #[test]
    fn each_limit_is_named() {
        let malformed = |bytes: &[u8]| match prelude(bytes, &[4096]) {
            Err(Stop::Malformed(reason)) => Some(reason),
            _ => None,
        };
        let line = |n: usize| [b"a: ".as_slice(), &vec![b'x'; n - 3], b"\n"].concat();
        assert_eq!(malformed(b"GET / HTTP/1.1\r\n"), Some(Malformed::NoColon));
        assert_eq!(malformed(&line(MAX_LINE)), None);
        assert_eq!(malformed(&line(MAX_LINE + 1)), Some(Malformed::LongLine));
        assert_eq!(malformed(&[b':'; MAX_LINE + 1]), Some(Malformed::LongLine));
        assert_eq!(malformed(&line(MAX_LINE - 1).repeat(5)), Some(Malformed::LongBlock));
        assert_eq!(malformed(&line(10).repeat(MAX_LINES)), None);
        assert_eq!(malformed(&line(10).repeat(MAX_LINES + 1)), Some(Malformed::ManyLines));
    }

    #[test]
    fn a_reply_is_told_from_a_hangup_and_from_nonsense() {
        let (seen, last) =
            replies(b"HANGUP\n200 result=1\n511 Command Not Permitted on a dead channel\nhello\n", &[3]);
        assert_eq!(seen, [Reply::Hangup, Reply::Done { result: 1, value: None }, Reply::Refused(511)]);
        assert_eq!(last, Stop::Malformed(Malformed::NoReply));
    }
}
