//! What a notice says of its call, read with tolerance: what is missing or of another kind is not known.
//!
//! Formats look at a call through this, since what they tell was written down by whichever version settled the call.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Letter;
use crate::config::Endpoint;

/// Where Asterisk keeps recordings when nobody says otherwise: what lies below is the same on the web.
const MONITOR: &str = "/var/spool/asterisk/monitor/";

/// Most digits of an own phone's number.
const OWN: usize = 6;

/// What stays as it is in a part of an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A notice, as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    body: &'a Value,
    call: &'a Value,
}

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From outside.
    In,
    /// To the outside.
    Out,
    /// Between own phones.
    Local,
    /// Nobody said.
    Unknown,
}

impl<'a> Told<'a> {
    pub fn of(letter: &'a Letter) -> Told<'a> {
        let body = &letter.body;
        Told { body, call: &body["data"] }
    }

    /// A text of the call's own.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        text(&self.call[key])
    }

    /// A time of the call's own.
    pub fn at(&self, key: &str) -> Option<Timestamp> {
        time(&self.call[key])
    }

    /// A length in milliseconds, as whole seconds.
    pub fn seconds(&self, key: &str) -> i64 {
        self.call[key].as_i64().unwrap_or(0).max(0) / 1000
    }

    /// Whether the call says so.
    pub fn is(&self, key: &str) -> bool {
        self.call[key].as_bool().unwrap_or(false)
    }

    /// The elements of one of the call's lists.
    pub fn list(&self, key: &str) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
        self.call[key].as_array().map(Vec::as_slice).unwrap_or_default().iter()
    }

    /// Which way it goes.
    pub fn way(&self) -> Way {
        match self.text("direction") {
            Some("inbound") => Way::In,
            Some("outbound") => Way::Out,
            Some("internal") => Way::Local,
            _ => Way::Unknown,
        }
    }

    /// Who called.
    pub fn source(&self) -> Option<&'a str> {
        text(&self.call["source"]["number"])
    }

    /// The number that was called: of a call from outside the line that it came in on.
    pub fn dialled(&self) -> Option<&'a str> {
        let (destination, trunk) = (self.text("destination"), self.text("trunk"));
        let outside = |number: &&str| number.chars().filter(char::is_ascii_digit).count() > 4;
        match self.way() {
            Way::In => destination.filter(outside).or(trunk.filter(outside)).or(destination).or(trunk),
            _ => destination.or(trunk),
        }
    }

    /// The leg that the notice is about.
    pub fn leg(&self) -> Option<&'a Value> {
        let about = &self.body["about"];
        [&about["leg"], about].into_iter().find(|value| value.is_object())
    }

    /// Who talks at present, or did at last: the own phone of the last conversation, of two the one that was called.
    /// Where both are outside, the one that was called too.
    pub fn talker(&self) -> Option<&'a str> {
        let last = self.list("conversations").next_back()?;
        let sides = if self.way() == Way::Out { ["caller", "called"] } else { ["called", "caller"] };
        let [first, second] = sides.map(|side| text(&last[side]["number"]));
        first.filter(|number| is_own(number)).or(second.filter(|number| is_own(number))).or(first)
    }

    /// Who picked up: the own phone that now talks. Where a line to the outside did, that is who called out.
    pub fn answerer(&self) -> Option<&'a str> {
        let picked_up = self.leg().and_then(|leg| text(&leg["number"]));
        let own = picked_up.filter(|number| is_own(number));
        let caller = || self.source().filter(|number| self.way() == Way::Out && is_own(number));
        own.or_else(|| self.talker()).or_else(caller).or(picked_up)
    }

    /// The legs that were called, in order of time.
    pub fn called(&self) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
        self.list("legs").filter(|leg| leg["role"] == "called")
    }

    /// The last recording, in the words of the dialplan: a file mostly.
    pub fn recording(&self) -> Option<&'a str> {
        self.list("remarks").rev().find(|r| r["recording"] == true).and_then(|r| text(&r["text"]))
    }

    /// The ids of two calls that are one from now on: the one that is no more, and the other.
    pub fn merge(&self) -> Option<(&'a str, &'a str)> {
        let of = |key: &str| text(&self.body["about"][key]).or(text(&self.call[key]));
        Some((of("from")?, of("into")?))
    }
}

/// Whether a number is that of an own phone, as far as its length says so.
pub(super) fn is_own(number: &str) -> bool {
    (1..=OWN).contains(&number.chars().count())
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// A time as notices have it.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The zone in which a receiver reads times.
pub(super) fn zone(endpoint: &Endpoint) -> TimeZone {
    let name = endpoint.timezone.as_deref().filter(|name| *name != "system");
    name.and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(TimeZone::system)
}

/// Where a recording can be fetched: it is named by an address itself, or lies below the endpoint's `record_url`.
pub(super) fn record_url(recording: &str, endpoint: &Endpoint) -> Option<String> {
    if recording.starts_with("https://") || recording.starts_with("http://") {
        let plain = recording.bytes().all(|b| b.is_ascii_graphic());
        return plain.then(|| recording.to_owned());
    }
    let base = endpoint.record_url.as_deref()?;
    let name = recording.rsplit('/').next();
    let below = recording.strip_prefix(MONITOR).or(name)?;
    let parts: Vec<&str> = below.split('/').collect();
    if parts.iter().any(|part| part.is_empty() || [".", ".."].contains(part)) {
        return None;
    }
    let parts: Vec<String> = parts.into_iter().map(|p| utf8_percent_encode(p, PLAIN).to_string()).collect();
    Some(format!("{}/{}", base.trim_end_matches('/'), parts.join("/")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_found_below_the_address_that_is_configured() {
        let endpoint =
            Endpoint { record_url: Some("https://pbx.example.com/rec/".into()), ..Endpoint::default() };
        let url = |recording: &str| record_url(recording, &endpoint);
        for (recording, wanted) in [
            (
                "/var/spool/asterisk/monitor/2026/11/a b.wav",
                Some("https://pbx.example.com/rec/2026/11/a%20b.wav"),
            ),
            ("/home/record/acme/_current/x.wav", Some("https://pbx.example.com/rec/x.wav")),
            ("x?y#.wav", Some("https://pbx.example.com/rec/x%3Fy%23.wav")),
            ("https://other.example.com/1.mp3", Some("https://other.example.com/1.mp3")),
            ("https://other.example.com/a b", None),
            ("/var/spool/asterisk/monitor/../../etc/passwd", None),
            ("/var/spool/asterisk/monitor/", None),
            ("", None),
        ] {
            assert_eq!(url(recording).as_deref(), wanted, "{recording}");
        }
        assert_eq!(record_url("x.wav", &Endpoint::default()), None);
    }
}
