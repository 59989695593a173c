//! What an Asterisk asks for, read out of its prelude: the event, and the secret that may have to come with it.
//!
//! Pure. Asterisk sends values raw, and a caller chooses some of them: only lines that stand where Asterisk puts them
//! count. Knows nothing of what is answered.

use jiff::Timestamp;
use percent_encoding::percent_decode;

use super::session::{Ending, Outcome, ending};
use super::wire::Prelude;
use crate::config::Secret;
use crate::event::{Arrival, Event, Facts, Feed, Kind, clean};

/// Most `agi_*` lines that are kept with an event. Asterisk sends 22.
pub(super) const MAX_AGI_LINES: usize = 64;

/// What is to be known of a peer to read what it asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// The pbx to assume where the event names none.
    pub pbx: &'a str,
    /// What must be sent with each event, if anything.
    pub secret: Option<&'a Secret>,
    /// Whether the event carries Asterisk's own `agi_*` lines.
    pub keep_lines: bool,
}

impl Terms<'_> {
    /// The event of a whole prelude that came at `now`.
    pub fn read_event(&self, prelude: &Prelude, now: Timestamp) -> Result<Event, Ending> {
        let malformed = |why: String| ending(Outcome::Malformed, why);
        let args = arguments(prelude).ok_or_else(|| {
            malformed("the arguments are not numbered from agi_arg_1: a value holds a line feed".to_owned())
        })?;
        if let Some(wanted) = self.secret {
            let given = args.iter().find_map(|arg| arg.strip_prefix(b"secret="));
            let given: Vec<u8> = percent_decode(given.unwrap_or_default()).collect();
            if !same(&given, wanted.reveal().as_bytes()) {
                let why = "argument secret is missing or wrong: set CALLJOURNAL_SECRET to the server's [agi] secret";
                return Err(ending(Outcome::RefusedSecret, why));
            }
        }
        let kind: Kind = kind(prelude).parse().map_err(|e| malformed(format!("{e}")))?;
        let open = args.into_iter().filter(|arg| !is_secret(arg));
        let arrival = Arrival { feed: Feed::Agi, pbx: self.pbx, at: now };
        let mut event = Event::from_args(kind, open, arrival).map_err(|e| malformed(format!("{e}")))?;
        if self.keep_lines {
            event.agi = agi_lines(prelude);
        }
        Ok(event)
    }
}

/// The values of `agi_arg_1`, `agi_arg_2`, … or `None` where they are not numbered like that.
///
/// Asterisk always does so (`res_agi.c`, `setup_env`). A caller's name with a line feed in it could forge lines
/// that stand before the real arguments; then a number comes twice.
fn arguments(prelude: &Prelude) -> Option<Vec<&[u8]>> {
    let mut args = Vec::new();
    for (name, value) in prelude.headers() {
        if let Some(number) = name.strip_prefix(b"agi_arg_") {
            args.push(value);
            if number != args.len().to_string().as_bytes() {
                return None;
            }
        }
    }
    Some(args)
}

/// The last segment of the request's path without its query, empty where there is none.
///
/// `agi_network_script` is the path (absent when the URL has none), `agi_request` the whole URL. Both come
/// before any line that holds a caller's text, so the first counts.
fn kind(prelude: &Prelude) -> String {
    let header = |wanted: &[u8]| prelude.headers().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let path = header(b"agi_network_script").or_else(|| header(b"agi_request").and_then(path_of_url));
    let path = path.unwrap_or_default().split(|&b| b == b'?').next().unwrap_or_default();
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    String::from_utf8_lossy(last).into_owned()
}

fn path_of_url(url: &[u8]) -> Option<&[u8]> {
    let authority = url.windows(3).position(|w| w == b"://")? + 3;
    let slash = url[authority..].iter().position(|&b| b == b'/')?;
    Some(&url[authority + slash + 1..])
}

/// The lines that are no arguments, made clean. The first of two with one name is kept.
fn agi_lines(prelude: &Prelude) -> Facts {
    let mut kept = Facts::new();
    for (name, value) in prelude.headers().filter(|(name, _)| !name.starts_with(b"agi_arg_")) {
        if kept.len() == MAX_AGI_LINES {
            break;
        }
        kept.entry(clean(name)).or_insert_with(|| clean(value));
    }
    kept
}

/// A secret is taken out of the facts wherever it stands, and also where none is wanted.
fn is_secret(arg: &[u8]) -> bool {
    arg == b"secret" || arg.starts_with(b"secret=")
}

/// Compares in a time that depends on the length of what was given alone.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = given.len() ^ wanted.len();
    for (at, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ wanted.get(at).unwrap_or(&0));
    }
    std::hint::black_box(difference) == 0
}
