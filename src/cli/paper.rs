//! How answers look: in the reader's language and zone, as tables, with colour where it is wanted.
//!
//! Text from outside comes here without control characters (see [`crate::event::clean`]); nothing here puts any
//! in but the colours of [`Paper`] itself.

use comfy_table::{Attribute, Cell, Color, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::call::words::{Language, Texts, Value, Words};
use crate::call::{cause, note, story};

/// The sentences of the command line.
pub const TEXTS: Texts =
    Texts { en: include_str!("../asset/cli.en.ftl"), ru: include_str!("../asset/cli.ru.ftl") };

/// What an answer is written on.
#[derive(Debug)]
pub struct Paper {
    /// Whether to write in colour.
    pub colour: bool,
    /// In which zone times are told.
    pub zone: TimeZone,
    /// In which words.
    pub words: Words,
}

/// How a piece of text stands out, as the parameter of the SGR sequence.
#[derive(Debug, Clone, Copy)]
pub enum Ink {
    /// A heading.
    Bold,
    /// What matters less.
    Dim,
    /// Good.
    Green,
    /// Worth a look.
    Yellow,
    /// Bad.
    Red,
}

impl Paper {
    /// Paper for who reads `language`.
    #[must_use]
    pub fn new(colour: bool, zone: TimeZone, language: Language) -> Paper {
        Paper {
            colour,
            zone,
            words: Words::new(language, &[&TEXTS, &story::TEXTS, &note::TEXTS, &cause::TEXTS]),
        }
    }

    /// Paper without colour, times in UTC.
    #[cfg(test)]
    pub fn plain(language: Language) -> Paper {
        Paper::new(false, TimeZone::UTC, language)
    }

    /// The sentence `id`.
    #[must_use]
    pub fn word(&self, id: &str) -> String {
        self.words.plain(id)
    }

    /// The sentence `id` with one text in it.
    #[must_use]
    pub fn with(&self, id: &str, name: &str, text: &str) -> String {
        self.words.say(id, &[(name, Value::Text(text))])
    }

    /// A length of time as a person says it; nothing for one that is none.
    #[must_use]
    pub fn duration(&self, ms: Option<i64>) -> String {
        ms.map(|ms| self.words.duration(ms)).unwrap_or_default()
    }

    /// `text`, standing out where colours are wanted.
    #[must_use]
    pub fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Red => "31",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Date and time, `2026-11-23 20:58:01`.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// The time of day, `20:58:01`.
    #[must_use]
    pub fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// The time of day with milliseconds, for events.
    #[must_use]
    pub fn exact(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S.%3f").to_string()
    }

    /// A cell of a table, standing out where colours are wanted.
    #[must_use]
    pub fn cell(&self, ink: Ink, text: &str) -> Cell {
        let cell = Cell::new(text);
        match ink {
            _ if !self.colour => cell,
            Ink::Bold => cell.add_attribute(Attribute::Bold),
            Ink::Dim => cell.add_attribute(Attribute::Dim),
            Ink::Green => cell.fg(Color::DarkGreen),
            Ink::Yellow => cell.fg(Color::DarkYellow),
            Ink::Red => cell.fg(Color::DarkRed),
        }
    }

    /// A table without lines. Its cells are never broken, so that ids can be copied; a narrow terminal breaks
    /// whole lines by itself. `heads` are names of sentences.
    #[must_use]
    pub fn table(&self, heads: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        if self.colour {
            table.enforce_styling();
        }
        table.set_header(heads.iter().map(|head| self.cell(Ink::Bold, &self.word(head))).collect::<Vec<_>>());
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_sentences() {
        crate::call::words::check::same_in_all_languages(&TEXTS);
    }

    /// What stands in quotes after `before` in the code of the command line.
    fn quoted(before: &str) -> Vec<String> {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
        let mut dirs = vec![dir];
        let mut found = Vec::new();
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let code = std::fs::read_to_string(path).unwrap();
                let ends = code.match_indices(before).map(|(at, _)| at + before.len());
                found.extend(ends.filter_map(|at| Some(code[at..].split_once('"')?.0.to_owned())));
            }
        }
        found
    }

    #[test]
    fn every_sentence_is_used_and_every_one_that_is_used_is_there() {
        let names: Vec<&str> = TEXTS
            .en
            .lines()
            .filter(|l| !l.starts_with([' ', '#', '}']))
            .filter_map(|l| Some(l.split_once(" =")?.0))
            .collect();
        let used = quoted("\"");
        for name in &names {
            assert!(used.iter().any(|used| used == name), "nobody says {name}");
        }
        let said = ["word(\"", ".with(\"", "say(\"", "said(\"", "plain(\"", "\"head-"].map(quoted);
        let [words, withs, says, saids, plains, heads] = said;
        let heads = heads.into_iter().map(|head| ["head-", &head].concat());
        for name in [words, withs, says, saids, plains]
            .concat()
            .into_iter()
            .chain(heads)
            .filter(|name| name.len() > 3 && !name.ends_with(['-', '{']))
        {
            assert!(names.contains(&name.as_str()), "there is no sentence {name}");
        }
    }

    #[test]
    fn times_are_told_in_the_readers_zone() {
        let at = Timestamp::from_second(1_795_390_723).unwrap();
        let berlin = Paper { zone: TimeZone::get("Europe/Berlin").unwrap(), ..Paper::plain(Language::En) };
        assert_eq!(Paper::plain(Language::En).date(at), "2026-11-22 23:38:43");
        assert_eq!(berlin.time(at), "00:38:43");
    }

    #[test]
    fn a_table_is_plain_text_unless_colour_is_wanted() {
        let rows = || [vec![Cell::new("1"), Cell::new("long text")]];
        assert_eq!(Paper::plain(Language::En).table(&["a", "b"], rows()), "a  b\n1  long text");
        let colour = Paper { colour: true, ..Paper::plain(Language::En) };
        assert!(colour.table(&["a", "b"], rows()).contains("\u{1b}[1m"));
        // A colour takes no room.
        let red = colour.table(&["a", "b"], [vec![colour.cell(Ink::Red, "x"), Cell::new("y")]]);
        let bare: String =
            red.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, text)| text)).collect();
        assert_eq!(bare.lines().last(), Some("x  y"));
    }
}
