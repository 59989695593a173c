//! What an event did to its call, in the reader's language.
//!
//! A note is stored with its event as one English line, the same for programs and for people, and old ones stay as
//! they were written. A reader of another language gets it by its form: the English file of [`TEXTS`] says which
//! forms there are and where their values stand.

use std::sync::LazyLock;

use super::words::{Language, Texts, Value, Words};

/// The forms of notes.
pub const TEXTS: Texts =
    Texts { en: include_str!("../asset/note.en.ftl"), ru: include_str!("../asset/note.ru.ftl") };

/// A form as it is stored.
struct Form {
    id: &'static str,
    begin: &'static str,
    /// The name of each value, and what stands behind it.
    values: Vec<(&'static str, &'static str)>,
}

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let lines = TEXTS.en.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = ")).map(|(id, text)| Form::of(id, text)).collect()
});

/// Whether an event with this stored note changed nothing of its call: told before, or known already.
#[must_use]
pub fn is_idle(note: &str) -> bool {
    note.starts_with("no change") || note.starts_with("duplicate")
}

/// Whether this stored note says that Asterisk's own record tells the call otherwise than it is told.
#[must_use]
pub fn is_disagreement(note: &str) -> bool {
    note.contains("own record says") || note.contains("own record ends")
}

/// Tells a stored `note` in words that were made before; [`TEXTS`] must be among them. What has none of the forms
/// stays as it is.
#[must_use]
pub fn tell_in(note: &str, words: &Words) -> String {
    // It is stored in English.
    if words.language() == Language::En {
        return note.to_owned();
    }
    let told = FORMS.iter().find_map(|form| Some((form.id, form.read(note)?)));
    let Some((id, values)) = told else { return note.to_owned() };
    let values: Vec<(&str, String)> =
        values.into_iter().map(|(name, value)| (name, stand_in(value, words))).collect();
    let values: Vec<(&str, Value<'_>)> = values.iter().map(|(name, value)| (*name, value.into())).collect();
    words.say(id, &values)
}

/// What stands for a name that is not known has words of its own; a name has none.
fn stand_in(value: &str, words: &Words) -> String {
    let fixed = FORMS.iter().find(|form| form.values.is_empty() && form.begin == value);
    fixed.map_or(value.to_owned(), |form| words.plain(form.id))
}

impl Form {
    fn of(id: &'static str, text: &'static str) -> Form {
        let mut pieces = text.split("{ $");
        let begin = pieces.next().unwrap_or_default();
        Form { id, begin, values: pieces.filter_map(|piece| piece.split_once(" }")).collect() }
    }

    /// The values of `note`, where it has this form. A name may hold anything, also the words of a form: what is
    /// shown then is all there, parted elsewhere.
    fn read<'n>(&self, note: &'n str) -> Option<Vec<(&'static str, &'n str)>> {
        let mut rest = note.strip_prefix(self.begin)?;
        let mut values = Vec::with_capacity(self.values.len());
        for (n, (name, behind)) in self.values.iter().enumerate() {
            let is_last = n + 1 == self.values.len();
            let (value, left) =
                if is_last { (rest.strip_suffix(behind)?, "") } else { rest.split_once(behind)? };
            values.push((*name, value));
            rest = left;
        }
        rest.is_empty().then_some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::check;
    use super::*;

    fn russian(note: &str) -> String {
        tell_in(note, &Words::new(Language::Ru, &[&TEXTS]))
    }

    #[test]
    fn both_languages_have_the_same_sentences() {
        check::same_in_all_languages(&TEXTS);
    }

    #[test]
    fn what_changed_nothing_begins_so() {
        let idle = |form: &&Form| is_idle(form.begin);
        let named = |form: &Form| form.id;
        let idle: Vec<&str> = FORMS.iter().filter(idle).map(named).collect();
        assert!(idle.contains(&"note-duplicate") && idle.contains(&"note-ended-before"), "{idle:?}");
        assert!(!idle.contains(&"note-ended") && !idle.contains(&"note-aside"), "{idle:?}");
    }

    #[test]
    fn a_note_is_read_back_by_the_form_it_was_written_in() {
        let english = Words::new(Language::En, &[&TEXTS]);
        for form in FORMS.iter() {
            let written: Vec<(&str, String)> =
                form.values.iter().enumerate().map(|(n, (name, _))| (*name, format!("10{n}"))).collect();
            let values: Vec<(&str, Value<'_>)> = written.iter().map(|(name, v)| (*name, v.into())).collect();
            let note = english.say(form.id, &values);
            let read = FORMS.iter().find_map(|form| Some((form.id, form.read(&note)?)));
            let wanted = written.iter().map(|(name, v)| (*name, v.as_str())).collect();
            assert_eq!(read, Some((form.id, wanted)), "{note}");
        }
    }

    #[test]
    fn a_russian_reads_what_an_event_did() {
        for (note, told) in [
            ("79193393655 calls 73512020318", "79193393655 звонит на 73512020318"),
            ("a channel calls the dialplan", "(без имени) входит в диалплан"),
            ("leg 101 rings", "вызывается 101"),
            ("101 dials 102&103", "101 набирает 102&103"),
            ("leg 101 answered; call talking", "101 отвечает, идёт разговор"),
            ("somebody transferred the call to 102", "неизвестный номер переводит звонок на 102"),
            ("channel of 101 ended", "канал 101 закрыт"),
            ("channel of 101 ended; it was the last", "канал 101 закрыт, он был последним"),
            ("no change: channel of 101 had ended before", "без изменений: канал 101 уже закрыт"),
            ("duplicate: told before", "повтор: об этом уже сообщалось"),
            (
                "no change: ast-ami says end.call for 101, also while a call goes on",
                "без изменений: ast-ami сообщает end.call (101) и тогда, когда звонок продолжается",
            ),
        ] {
            assert_eq!(russian(note), told);
        }
    }

    #[test]
    fn what_has_no_form_stays_as_it_is_and_english_always() {
        for note in ["", "of a version to come", "leg 101", "{ $who } calls"] {
            assert_eq!(russian(note), note);
        }
        assert_eq!(tell_in("leg 101 rings", &Words::new(Language::En, &[&TEXTS])), "leg 101 rings");
    }

    #[test]
    fn a_name_that_holds_the_words_of_a_form_is_shown_whole() {
        assert_eq!(russian("a calls b calls 101"), "a звонит на b calls 101");
        assert_eq!(russian("leg { $who } rings"), "вызывается { $who }");
    }

    /// What is written where calls are settled cannot be had here by folding.
    #[test]
    fn what_settling_notes_has_a_form() {
        let settle = include_str!("../intake/settle.rs");
        for (written, read) in [
            ("\"set aside: it cannot be read\"", "set aside: it cannot be read"),
            ("\"set aside: {reason}\"", "set aside: the disk is full"),
            (
                "\"not told: the call has more than {MOST_EVENTS_A_CALL} events\"",
                "not told: the call has more than 9 events",
            ),
        ] {
            assert!(settle.contains(written), "nobody writes {written} any more");
            assert_ne!(russian(read), read);
        }
    }
}
