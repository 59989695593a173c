//! What stands in the fields of a message: texts, uniqueids, times.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::session::time;
use super::wire::Message;
use crate::event::{clean, key};

/// How far ahead of ours a pbx's clock may be before it is not believed.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// When a message came.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// By our clock.
    pub here: Timestamp,
    /// By the pbx's clock, as far as that is known.
    pub there: Timestamp,
}

/// When something happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// By the pbx's clock.
    pub at: Timestamp,
    /// Whether the pbx said so.
    pub timed: bool,
    pub arrived: Arrived,
}

impl Now {
    pub fn of(message: &Message, arrived: Arrived) -> Now {
        let latest = arrived.here.saturating_add(MAX_AHEAD).unwrap_or(Timestamp::MAX);
        let told = message.get("Timestamp").and_then(time).filter(|at| *at <= latest && at.as_second() > 0);
        Now { at: told.unwrap_or(arrived.there), timed: told.is_some(), arrived }
    }

    /// The name of what a channel may do more than once.
    pub fn name(&self, word: &str) -> String {
        format!("{word}-{}", self.at.as_microsecond())
    }
}

/// A field's text, unless that is Asterisk's word for not knowing.
pub(super) fn text(message: &Message, field: &str) -> Option<String> {
    let known = message.get(field).filter(|text| *text != "<unknown>")?;
    let told = if field.ends_with("CallerIDName") { unescaped(known) } else { known.into() };
    Some(clean(told.as_bytes()))
}

/// A person's name, which Asterisk writes as a C string would be written (`manager_channels.c`, `ast_escape_c`).
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    let (mut plain, mut letters) = (String::with_capacity(name.len()), name.chars());
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next() } else { None };
        plain.push(match escaped {
            None => letter,
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(other) => other,
        });
    }
    Cow::Owned(plain)
}

/// The uniqueid of the channel that `whose` stands before.
pub(super) fn uid_of(message: &Message, whose: &str) -> Option<String> {
    text(message, &format!("{whose}Uniqueid")).filter(|uid| !key::is_key(uid))
}

pub(super) fn is_plumbing(channel: &str) -> bool {
    channel.starts_with("Local/")
}

/// `101` of `PJSIP/101-0000002a`.
pub(super) fn endpoint(channel: &str) -> Option<&str> {
    let (_, name) = channel.split_once('/')?;
    name.rsplit_once('-').map(|(name, _)| name)
}

/// `79161234567` of `79161234567@trunk` and of `trunk/79161234567`.
pub(super) fn number_in(dialled: &str) -> Option<String> {
    let dialled = dialled.split('@').next()?;
    let number = dialled.rsplit('/').next()?;
    number
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'+')
        .then(|| number.to_owned())
        .filter(|n| !n.is_empty())
}

/// `01:02:03`, and minutes and seconds below 2.
pub(super) fn duration(text: &str) -> Option<SignedDuration> {
    let mut seconds: i64 = 0;
    for part in text.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(part.parse::<u32>().ok()?.into())?;
    }
    (seconds >= 0).then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_dialled_number_is_found_in_what_is_dialled() {
        for (dialled, number) in [
            ("79161234567@trunk", Some("79161234567")),
            ("trunk/79161234567", Some("79161234567")),
            ("101", Some("101")),
            ("PJSIP/101", Some("101")),
            ("101/sip:101@127.0.0.1:5060", None),
            ("", None),
        ] {
            assert_eq!(number_in(dialled).as_deref(), number, "{dialled}");
        }
    }

    #[test]
    fn a_name_is_read_as_asterisk_escaped_it_and_no_other_field_is() {
        for (told, name) in [
            ("Ivan", "Ivan"),
            (r#"\\\"Ivan\\\", ${SHELL(x)} a;b <x>"#, r#"\"Ivan\", ${SHELL(x)} a;b <x>"#),
            (r"O\'Neill\?", "O'Neill?"),
            // What no text should hold is shown, as in all that comes from a call.
            (r"a\tb\\", r"a\tb\"),
            (r"\", r"\"),
        ] {
            let message = [("CallerIDName", told), ("DestCallerIDName", told), ("Exten", told)].into_iter();
            let message: Message = message.collect();
            assert_eq!(text(&message, "CallerIDName").as_deref(), Some(name), "{told}");
            assert_eq!(text(&message, "DestCallerIDName").as_deref(), Some(name), "{told}");
            assert_eq!(text(&message, "Exten").as_deref(), Some(told));
        }
    }

    #[test]
    fn a_list_says_how_long_a_channel_has_lived() {
        assert_eq!(duration("01:02:03"), Some(SignedDuration::from_secs(3723)));
        for odd in ["", "x", "-1:00:00", "99999999999:1", "1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1"] {
            assert!(duration(odd).is_none_or(|d| d >= SignedDuration::ZERO), "{odd}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_replaced_by_the_arrival() {
        let here = Timestamp::from_second(1_795_390_800).unwrap();
        let arrived = Arrived { here, there: Timestamp::from_second(1_795_390_790).unwrap() };
        for (told, timed) in [("1795390795.5", true), ("0", false), ("x", false), ("99999999999.0", false)] {
            let now = Now::of(&[("Timestamp", told)].into_iter().collect(), arrived);
            assert_eq!(now.timed, timed, "{told}");
            assert!(timed || now.at == arrived.there);
        }
    }
}
