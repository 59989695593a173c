//! How answers look: times in the reader's zone, durations in words, tables, colour where it is wanted.
//!
//! Text from outside comes here without control characters (see [`crate::event::clean`]); nothing here puts any
//! in but the colours of [`Paper`] itself.

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What an answer is written on.
#[derive(Debug, Clone)]
pub struct Paper {
    /// Whether to write in colour, and to fit the width of a terminal.
    pub terminal: bool,
    /// Whether colours are wanted there.
    pub colour: bool,
    /// In which zone times are told.
    pub zone: TimeZone,
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
    /// Paper without colour or width, times in UTC.
    #[cfg(test)]
    pub fn plain() -> Paper {
        Paper { terminal: false, colour: false, zone: TimeZone::UTC }
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

    /// A table without lines; wraps on a terminal and is as wide as need be elsewhere.
    #[must_use]
    pub fn table(&self, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        if self.colour {
            table.enforce_styling();
        } else if !self.terminal {
            table.force_no_tty();
        }
        let head = |text: &&str| {
            let cell = Cell::new(text);
            if self.colour { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(heads.iter().map(head).collect::<Vec<_>>());
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }
}

/// A duration as a person says it: `6 s`, `2 min 31 s`, `1 h 02 min`.
#[must_use]
pub fn duration(ms: i64) -> String {
    let seconds = ms.max(0).saturating_add(500) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, 0) => format!("{min} min"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_says_them() {
        let said: Vec<String> =
            [-1, 0, 499, 5_700, 60_000, 151_000, 3_720_000].into_iter().map(duration).collect();
        assert_eq!(said, ["0 s", "0 s", "0 s", "6 s", "1 min", "2 min 31 s", "1 h 02 min"]);
    }

    #[test]
    fn times_are_told_in_the_readers_zone() {
        let at = Timestamp::from_second(1_795_390_723).unwrap();
        let berlin = Paper { zone: TimeZone::get("Europe/Berlin").unwrap(), ..Paper::plain() };
        assert_eq!(Paper::plain().date(at), "2026-11-22 23:38:43");
        assert_eq!(berlin.time(at), "00:38:43");
    }

    #[test]
    fn a_table_is_plain_text_unless_colour_is_wanted() {
        let rows = || [vec!["1".to_owned(), "long text".to_owned()]];
        assert_eq!(Paper::plain().table(&["a", "b"], rows()), "a  b\n1  long text");
        let colour = Paper { colour: true, ..Paper::plain() };
        assert!(colour.table(&["a", "b"], rows()).contains("\u{1b}[1m"));
    }
}
