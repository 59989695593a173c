//! One line of CSV, and what keeps a spreadsheet from running what is in it.
//!
//! A caller chooses his own name, and a spreadsheet runs a cell that begins like a formula. Where a cell begins is
//! for the spreadsheet to say: in Russia and half of Europe it parts cells at `;`, whatever quotes stand around
//! the text. So each place where some spreadsheet begins a cell is looked at, not only where we do.

use std::io::{self, Write};

/// What a formula begins with; the wide ones count in East Asia.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// What parts cells or lines in some spreadsheet. The comma is ours: a cell that holds one is quoted.
const PARTS: [char; 4] = [';', '\t', '\r', '\n'];

/// The cell with an apostrophe in front of everything that a spreadsheet would take for a formula.
pub(super) fn defused(cell: &str) -> String {
    let mut safe = String::with_capacity(cell.len() + 1);
    let mut begins = true;
    for (at, c) in cell.char_indices() {
        // What was in front of a line break is gone for some readers.
        if begins && is_formula(&cell[at..]) || at == 0 && PARTS[1..].contains(&c) {
            safe.push('\'');
        }
        safe.push(c);
        begins = PARTS.contains(&c);
    }
    safe
}

/// Blanks and quotes in front of it are taken off before it is looked at.
fn is_formula(cell: &str) -> bool {
    let is_in_front = |c: char| c == '"' || c.is_whitespace() && !PARTS.contains(&c);
    cell.trim_start_matches(is_in_front).starts_with(FORMULA)
}

/// Writes one line. In quotes stands what any reader might take for more than one cell.
pub(super) fn write_line(
    out: &mut impl Write,
    cells: impl IntoIterator<Item = impl AsRef<str>>,
) -> io::Result<()> {
    for (n, cell) in cells.into_iter().enumerate() {
        let cell = cell.as_ref();
        if n > 0 {
            out.write_all(b",")?;
        }
        if cell.contains([',', '"']) || cell.contains(PARTS) {
            write!(out, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            out.write_all(cell.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The cells of one line, as a spreadsheet sees them that parts them at `separator`.
    fn seen(line: &[u8], separator: u8) -> Vec<String> {
        let mut reader = ::csv::ReaderBuilder::new();
        reader.delimiter(separator).has_headers(false).flexible(true);
        let records = reader.from_reader(line).into_records().map(Result::unwrap).collect::<Vec<_>>();
        records.iter().flatten().map(str::to_owned).collect()
    }

    fn line(cells: &[String]) -> Vec<u8> {
        let mut line = Vec::new();
        write_line(&mut line, cells).unwrap();
        line
    }

    #[test]
    fn a_cell_that_would_be_run_is_defused_and_others_stay() {
        for cell in ["=1+1", "+79190000000", "-1", "@SUM(A1)", "\tx", "\rx", " =1", "\"=1", "＝1"] {
            assert_eq!(defused(cell), format!("'{cell}"));
        }
        for cell in ["", "79190000000", "Anna", "a=b", "'x", "a;b", "ООО \"Ромашка\"; склад", ";"]
        {
            assert_eq!(defused(cell), cell);
        }
    }

    #[test]
    fn what_is_a_cell_of_its_own_to_another_spreadsheet_is_defused_too() {
        for (name, safe) in [
            ("x;=cmd|'/C calc'!A0;", "x;'=cmd|'/C calc'!A0;"),
            ("x\t=1", "x\t'=1"),
            ("x\n@1\r\n+2", "x\n'@1\r\n'+2"),
            ("a;b; \"=1", "a;b;' \"=1"),
            ("=1;=2", "'=1;'=2"),
        ] {
            assert_eq!(defused(name), safe);
        }
    }

    #[test]
    fn quotes_stand_around_what_holds_more_than_plain_text() {
        let cells = ["Anna", "a,b", "a;b", "a\tb", "say \"a\"", ""].map(str::to_owned);
        let written = String::from_utf8(line(&cells)).unwrap();
        assert_eq!(written, "Anna,\"a,b\",\"a;b\",\"a\tb\",\"say \"\"a\"\"\",\n");
    }

    proptest! {
        #[test]
        fn no_spreadsheet_finds_a_formula_and_ours_finds_each_cell(
            cells in proptest::collection::vec("[;,\t\r\n \"'=+@a-]{0,9}", 2..5)
        ) {
            let safe: Vec<String> = cells.iter().map(|cell| defused(cell)).collect();
            let line = line(&safe);
            prop_assert_eq!(seen(&line, b','), safe);
            for separator in [b',', b';', b'\t'] {
                for cell in seen(&line, separator) {
                    prop_assert!(!is_formula(&cell), "{:?} of {:?}", cell, String::from_utf8_lossy(&line));
                }
            }
        }
    }
}
