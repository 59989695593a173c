//! The frames of a spool file as bytes: `cj1 <token> <kind> <arguments> <length> .`
//!
//! Pure and total: any bytes are frames and garbage, one piece after another, and [`Incomplete`] where a piece
//! may still grow. What a piece is depends on the bytes before its end alone, so a file may be read in any
//! chunks. Values are percent-encoded, so neither a space nor `cj1 ` can come from a caller: wherever `cj1 `
//! stands a frame may begin, and a torn line costs itself alone.
//! Knows nothing of files and events.

use nom::Parser;
use nom::bytes::streaming::{tag, take_while_m_n};
use nom::combinator::recognize;
use nom::error::Error;
use nom::sequence::{preceded, terminated};
use nom::{Err, IResult};

/// Longest frame that is read, in bytes. Asterisk cuts the data of an application at 8,191 (`EXT_DATA_SIZE`).
pub const MAX_LINE: usize = 16 * 1024;

/// What every frame begins with.
const HEAD: &[u8] = b"cj1 ";

/// One event as the dialplan wrote it down; nothing of it is checked but the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The event's token.
    pub token: &'a [u8],
    /// What would be the path of the FastAGI request.
    pub kind: &'a [u8],
    /// `name=value,name=value…`
    pub args: &'a [u8],
}

/// What the bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// The line end between two frames.
    LineEnd,
    /// Bytes that are none.
    Garbage(Garbage),
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// They do not begin like one: the rest of a torn line, or a foreign hand.
    #[error("it does not begin with `cj1`: the rest of a torn line, or written by another program")]
    Fragment,
    /// They begin like one and go on otherwise.
    #[error("the line breaks off, or another begins inside it")]
    Torn,
    /// The arguments are not as long as the frame says.
    #[error("the arguments are not as long as the line says")]
    Length,
    /// No line end within [`MAX_LINE`] bytes.
    #[error("the line is longer than {MAX_LINE} bytes")]
    Long,
}

impl Garbage {
    /// The reason in one word, for counting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Garbage::Fragment => "fragment",
            Garbage::Torn => "torn",
            Garbage::Length => "length",
            Garbage::Long => "long",
        }
    }
}

/// More bytes are needed to tell what these are. Never answered for [`MAX_LINE`] bytes or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete;

/// The piece that `bytes` begin with, and how many bytes it is long: at least one.
///
/// # Errors
/// [`Incomplete`] where the bytes are none or end within a piece.
pub fn piece(bytes: &[u8]) -> Result<(Piece<'_>, usize), Incomplete> {
    // Nothing beyond this window decides anything, however many bytes are at hand.
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let full = window.len() == MAX_LINE;
    if window.first() == Some(&b'\n') {
        return Ok((Piece::LineEnd, 1));
    }
    let reason = match frame(window) {
        Ok((rest, (frame, length))) if length == frame.args.len() => {
            return Ok((Piece::Frame(frame), window.len() - rest.len()));
        }
        Ok(_) => Garbage::Length,
        Err(Err::Incomplete(_)) if full => Garbage::Long,
        Err(Err::Incomplete(_)) => return Err(Incomplete),
        Err(_) if window.starts_with(HEAD) => Garbage::Torn,
        Err(_) => Garbage::Fragment,
    };
    let length = garbage_length(window).ok_or(Incomplete)?;
    Ok((Piece::Garbage(reason), length))
}

/// To the end of the line or to the next place where a frame may begin. `None` where neither is in sight yet.
fn garbage_length(window: &[u8]) -> Option<usize> {
    for at in 1..window.len() {
        if window[at - 1] == b'\n' || window[at..].starts_with(HEAD) {
            return Some(at);
        }
    }
    if window.last() == Some(&b'\n') {
        return Some(window.len());
    }
    // The last bytes of a full window may be the first ones of the next head.
    (window.len() == MAX_LINE).then(|| MAX_LINE - (HEAD.len() - 1))
}

fn frame(input: &[u8]) -> IResult<&[u8], (Frame<'_>, usize)> {
    let (rest, (token, kind, args, length)) = terminated(
        (
            preceded(tag(HEAD), field),
            preceded(tag(&b" "[..]), field),
            preceded(tag(&b" "[..]), field),
            preceded(tag(&b" "[..]), number),
        ),
        tag(&b" ."[..]),
    )
    .parse(input)?;
    Ok((rest, (Frame { token, kind, args }, length)))
}

/// Bytes up to a space or the end of the line.
fn field(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while_m_n(1, MAX_LINE, |b| b != b' ' && b != b'\n').parse(input)
}

fn number(input: &[u8]) -> IResult<&[u8], usize, Error<&[u8]>> {
    recognize(take_while_m_n(1, 5, |b: u8| b.is_ascii_digit()))
        .map(|digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0')))
        .parse(input)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn line(token: &str, args: &str) -> String {
        format!("cj1 {token} start {args} {} .\n", args.len())
    }

    /// All that is in `bytes`: tokens of frames in order, garbage with its length, and what is left at the end.
    fn all(bytes: &[u8]) -> (Vec<String>, Vec<(Garbage, usize)>, usize) {
        let (mut tokens, mut garbage, mut at) = (Vec::new(), Vec::new(), 0);
        while let Ok((piece, length)) = piece(&bytes[at..]) {
            match piece {
                Piece::Frame(f) => tokens.push(String::from_utf8_lossy(f.token).into_owned()),
                Piece::Garbage(reason) => garbage.push((reason, length)),
                Piece::LineEnd => {}
            }
            at += length;
        }
        (tokens, garbage, at)
    }

    /// As [`all`], with the bytes coming in pieces: the tokens, and how far it came.
    fn split(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, usize) {
        let mut ends: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut tokens, mut at) = (Vec::new(), 0);
        for end in ends {
            let (found, _, length) = all(&bytes[at..end]);
            tokens.extend(found);
            at += length;
        }
        (tokens, at)
    }

    #[test]
    fn a_line_is_a_frame_and_a_line_end() {
        let text = line("1.0-1-start-2", "v=1,token=1.0-1-start-2,name=%20");
        let (found, length) = piece(text.as_bytes()).unwrap();
        let Piece::Frame(frame) = found else { panic!("{found:?}") };
        assert_eq!(frame.token, b"1.0-1-start-2");
        assert_eq!(frame.kind, b"start");
        assert_eq!(frame.args, b"v=1,token=1.0-1-start-2,name=%20");
        assert_eq!(length, text.len() - 1);
    }

    #[test]
    fn half_a_line_is_waited_for() {
        let text = line("a", "v=1");
        for end in 0..text.len() - 1 {
            assert_eq!(piece(&text.as_bytes()[..end]), Err(Incomplete), "after {end} bytes");
        }
    }

    #[test]
    fn two_lines_torn_into_each_other_cost_one() {
        let (a, b) = (line("a", "v=1,token=a,uid=1.1"), line("b", "v=1,token=b,uid=1.2"));
        for cut in 1..a.len() - 1 {
            let text = format!("{}{b}{}", &a[..cut], &a[cut..]);
            let (tokens, ..) = all(text.as_bytes());
            assert!(tokens.contains(&"b".to_owned()), "torn at {cut}: {tokens:?}");
        }
    }

    #[test]
    fn a_value_that_ends_like_a_head_is_no_head() {
        let text = line("a", "v=1,name=cj1");
        assert_eq!(all(text.as_bytes()), (vec!["a".to_owned()], vec![], text.len()));
    }

    #[test]
    fn a_wrong_length_is_told_apart_from_a_torn_line() {
        let text = format!("cj1 a start v=1 4 .\ncj1 b start\n\0\0{}", line("c", "v=1"));
        let (tokens, garbage, _) = all(text.as_bytes());
        assert_eq!(tokens, ["c"]);
        let reasons: Vec<Garbage> = garbage.iter().map(|g| g.0).collect();
        assert_eq!(reasons, [Garbage::Length, Garbage::Torn, Garbage::Fragment]);
    }

    #[test]
    fn a_line_without_end_is_thrown_away_and_what_follows_is_found() {
        for head in ["x", "cj1 ", "cj1 a start "] {
            let mut text = head.as_bytes().to_vec();
            text.resize(5 * MAX_LINE + 1, b'x');
            text.extend(line("b", "v=1").bytes());
            let (tokens, garbage, _) = all(&text);
            assert_eq!(tokens, ["b"]);
            assert!(garbage.iter().all(|g| g.1 <= MAX_LINE));
        }
    }

    /// Bytes that often look like parts of frames.
    fn rubble() -> impl Strategy<Value = Vec<u8>> {
        let brick = prop_oneof![
            vec(any::<u8>(), 0..20),
            Just(b"cj1 ".to_vec()),
            Just(b"cj".to_vec()),
            Just(b" start ".to_vec()),
            Just(b"v=1 3 .".to_vec()),
            Just(b" .\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(vec![b'x'; MAX_LINE]),
        ];
        vec(brick, 0..8).prop_map(|bricks| bricks.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in rubble()) {
            let (_, _, at) = all(&bytes);
            prop_assert!(bytes.len() - at < MAX_LINE);
        }

        #[test]
        fn any_split_of_the_same_bytes_holds_the_same_events(
            parts in vec((rubble(), "[a-z]{1,6}"), 0..5),
            cuts in vec(any::<usize>(), 0..12),
        ) {
            let bytes: Vec<u8> =
                parts.iter().flat_map(|(r, t)| [r.clone(), line(t, "v=1").into_bytes()].concat()).collect();
            let (tokens, _, at) = all(&bytes);
            prop_assert_eq!(split(&bytes, &cuts), (tokens, at));
        }

        #[test]
        fn whole_lines_are_found_in_whatever_garbage(
            parts in vec((rubble(), "[a-z0-9.-]{1,9}", "[!-~]{1,90}"), 1..6),
        ) {
            let bytes: Vec<u8> =
                parts.iter().flat_map(|(r, t, a)| [r.clone(), line(t, a).into_bytes()].concat()).collect();
            let (tokens, ..) = all(&bytes);
            let mut left = tokens.iter();
            for (_, token, _) in &parts {
                prop_assert!(left.any(|t| t == token), "{} is not in {:?}", token, tokens);
            }
        }
    }
}
