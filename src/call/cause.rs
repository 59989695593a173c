//! Why a channel ended, in the reader's language: the causes of Q.850 as Asterisk uses them (its `causes.h`).
//!
//! A cause stands as its number, by which it can be looked up anywhere, and in plain words. One that has none stands as
//! its number alone.

use super::words::{Texts, Words};

/// What each cause means.
pub const TEXTS: Texts =
    Texts { en: include_str!("../asset/cause.en.ftl"), ru: include_str!("../asset/cause.ru.ftl") };

/// `17 busy`. [`TEXTS`] must be among the words.
#[must_use]
pub fn tell(cause: u16, words: &Words) -> String {
    let id = format!("cause-{cause}");
    let meaning = words.plain(&id);
    if meaning == id { cause.to_string() } else { format!("{cause} {meaning}") }
}

/// Whether a channel on which somebody talked ended because nothing came from it any more, so that nobody hung up. A
/// phone that sends no sound for too long ends with 44 (Asterisk: `rtp_timeout`).
#[must_use]
pub fn is_loss(cause: u16) -> bool {
    matches!(cause, 18 | 27 | 38 | 41 | 44 | 102)
}

#[cfg(test)]
mod tests {
    use super::super::words::{Language, check};
    use super::*;

    #[test]
    fn both_languages_know_the_same_causes() {
        check::same_in_all_languages(&TEXTS);
    }

    #[test]
    fn a_cause_is_its_number_and_what_it_means() {
        let tell = |cause, language| tell(cause, &Words::new(language, &[&TEXTS]));
        assert_eq!(tell(17, Language::En), "17 busy");
        assert_eq!(tell(17, Language::Ru), "17 занято");
        assert_eq!(tell(12, Language::En), "12");
    }
}
