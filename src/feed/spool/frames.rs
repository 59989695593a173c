//! What bytes of a spool file tell: events, and garbage between them that costs only itself.
//!
//! Pure but for counting. Knows the frames of [`wire`](super::wire) and what an event is; not where the bytes come from.

use metrics::counter;
use sha2::{Digest, Sha256};

use super::wire::{self, Frame, MAX_LINE, Piece};
use crate::event::{Arrival, Event, Kind, NotAnEvent};
use crate::intake::Receipt;

/// Events that are handed in at one time: calls wait for the same disk.
pub const BATCH: usize = 200;

/// What bytes hold.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events, in their order.
    pub events: Vec<Event>,
    /// Bytes that are settled by them.
    pub length: usize,
    /// What was no event.
    pub garbage: Vec<Garbage>,
}

/// Bytes that are no event.
#[derive(Debug)]
pub struct Garbage {
    /// Where in the file they begin.
    pub offset: u64,
    /// How many they are.
    pub length: usize,
    /// In one word, for counting.
    pub reason: &'static str,
    /// For people.
    pub why: String,
}

impl Batch {
    /// The events that `bytes` begin with, `most` at most; they stand at `offset` of their file.
    #[must_use]
    pub fn scan(bytes: &[u8], offset: u64, most: usize, arrival: Arrival<'_>) -> Batch {
        let mut batch = Batch::default();
        while batch.events.len() < most
            && let Ok((piece, length)) = wire::piece(&bytes[batch.length..])
        {
            let refused = match piece {
                Piece::LineEnd => None,
                Piece::Garbage(garbage) => Some((garbage.as_str(), garbage.to_string())),
                Piece::Frame(frame) => match read_frame(&frame, arrival) {
                    Ok(event) => {
                        batch.events.push(event);
                        None
                    }
                    Err(refused) => Some(refused),
                },
            };
            if let Some((reason, why)) = refused {
                let offset = offset + batch.length as u64;
                batch.garbage.push(Garbage { offset, length, reason, why });
            }
            batch.length += length;
        }
        batch
    }

    /// Takes `length` bytes at `offset` as the half line that they are.
    pub fn give_up(&mut self, length: usize, offset: u64) {
        if length > 0 {
            self.length = length;
            let why = "the line was never completed".to_owned();
            self.garbage.push(Garbage { offset, length, reason: "half", why });
        }
    }

    /// Bytes that were no event.
    #[must_use]
    pub fn wasted(&self) -> u64 {
        self.garbage.iter().map(|garbage| garbage.length as u64).sum()
    }
}

/// How many of `bytes` are whole pieces: behind them stands nothing, or what may still be written.
#[must_use]
pub fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Ok((_, length)) = wire::piece(&bytes[at..]) {
        at += length;
    }
    at
}

/// The fingerprint of a file's first line, 32 hexadecimal digits: it holds a token, so no two files of a host share it.
/// `None` while the line is not complete.
#[must_use]
pub fn head_of(bytes: &[u8]) -> Option<String> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let line = match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => &window[..=end],
        None if window.len() == MAX_LINE => window,
        None => return None,
    };
    Some(Sha256::digest(line).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// Counts what was no event.
pub(super) fn count(garbage: &[Garbage]) {
    for piece in garbage {
        counter!("calljournal_spool_garbage_total", "reason" => piece.reason).increment(1);
    }
}

/// Counts what was taken in.
pub(super) fn count_taken(receipt: Receipt) {
    let count = |outcome| counter!("calljournal_spool_events_total", "outcome" => outcome);
    count("fresh").increment(receipt.fresh as u64);
    count("duplicate").increment(receipt.duplicates as u64);
}

/// The event of a frame, or why it is none: in one word, and for people.
fn read_frame(frame: &Frame<'_>, arrival: Arrival<'_>) -> Result<Event, (&'static str, String)> {
    let kind: Kind = String::from_utf8_lossy(frame.kind).parse().map_err(told)?;
    let event = Event::from_args(kind, frame.args.split(|&b| b == b','), arrival).map_err(told)?;
    if event.token.as_str().as_bytes() == frame.token {
        Ok(event)
    } else {
        Err(("token", "the token before the arguments is not the one in them".to_owned()))
    }
}

fn told(refused: NotAnEvent) -> (&'static str, String) {
    let reason = match refused {
        NotAnEvent::Kind(_) => "kind",
        NotAnEvent::Version(_) => "version",
        NotAnEvent::Token => "token",
        NotAnEvent::Uid => "uid",
    };
    (reason, refused.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_line_and_only_once_that_is_complete() {
        let known = head_of(b"cj1 a\nb").unwrap();
        assert_eq!(known.len(), 32);
        assert_eq!(head_of(b"cj1 a\n").unwrap(), known);
        assert_ne!(head_of(b"cj1 b\n").unwrap(), known);
        assert_eq!(head_of(b"cj1 a"), None);
        assert_eq!(head_of(b""), None);
        assert!(head_of(&[b'x'; MAX_LINE]).is_some(), "garbage without an end holds up nothing");
    }

    #[test]
    fn only_whole_lines_are_counted_as_whole() {
        let line = b"cj1 a start v=1 3 .\n";
        assert_eq!(whole(line), line.len());
        assert_eq!(whole(&[&line[..], b"cj1 b sta"].concat()), line.len());
        assert_eq!(whole(b"cj1 b sta"), 0);
    }
}
