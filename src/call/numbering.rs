//! Which numbers are the company's own, and which channels are its lines to the outside.
//!
//! Knows patterns and nothing of calls. The administrator's configuration makes it; where the dialplan says itself
//! which way a call goes, it is not asked.

use regex_lite::Regex;

/// The company's own numbers and its trunks. The default knows none.
#[derive(Debug, Clone, Default)]
pub struct Numbering {
    internal: Vec<Regex>,
    trunks: Vec<Trunk>,
}

#[derive(Debug, Clone)]
struct Trunk {
    channel: String,
    name: String,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no regular expression: {reason}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Numbering {
    /// `internal` are regular expressions for the company's own numbers; `trunks` are pairs of a channel's name, in
    /// which `*` stands for any text (`PJSIP/provider-*`), and the line's name for people.
    ///
    /// # Errors
    /// [`BadPattern`] for the first expression that cannot be read.
    pub fn new(
        internal: impl IntoIterator<Item = String>,
        trunks: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Numbering, BadPattern> {
        let read =
            |pattern: String| Regex::new(&pattern).map_err(|e| BadPattern { reason: e.to_string(), pattern });
        Ok(Numbering {
            internal: internal.into_iter().map(read).collect::<Result<_, _>>()?,
            trunks: trunks.into_iter().map(|(channel, name)| Trunk { channel, name }).collect(),
        })
    }

    /// Whether anything is known of numbers: without that, no number is foreign either.
    pub(super) fn knows_numbers(&self) -> bool {
        !self.internal.is_empty()
    }

    /// Whether a number is the company's own.
    pub(super) fn is_internal(&self, number: &str) -> bool {
        self.internal.iter().any(|pattern| pattern.is_match(number))
    }

    /// The line that a channel is on, `None` where it is none of the trunks.
    pub(super) fn trunk_of(&self, channel: &str) -> Option<&str> {
        self.trunks.iter().find(|t| matches(&t.channel, channel)).map(|t| t.name.as_str())
    }
}

/// Whether `text` is `pattern` with each `*` replaced by some text. The first part is taken from the front, the
/// last from the end, those between at their first place: what is left over belongs to the stars.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(front) else { return false };
    let (middle, end) = rest.rsplit_once('*').map_or((None, rest), |(middle, end)| (Some(middle), end));
    for part in middle.into_iter().flat_map(|m| m.split('*')) {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, is) in [
            ("PJSIP/provider-*", "PJSIP/provider-0000002a", true),
            ("PJSIP/provider-*", "PJSIP/provider2-0000002a", false),
            ("*/line*-*", "SIP/line7-00", true),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
            ("**", "", true),
            ("PJSIP/101", "PJSIP/101", true),
            ("PJSIP/101", "PJSIP/1011", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let refused = Numbering::new(["^(1".to_owned()], []).unwrap_err();
        assert_eq!(refused.pattern, "^(1");
    }
}
