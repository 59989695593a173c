//! CSV: `cdr-csv/Master.csv`, `cdr-custom/Master.csv`, `cel-custom/*.csv`.
//!
//! A file with headings is read by them. One without, which is what Asterisk writes, is known by where its times are;
//! what an administrator arranged otherwise is named column by column. A line that is no row costs itself alone, also
//! where it opens a quote and never closes it. What gzip compressed is read as well, from its beginning.

use std::io::{self, BufRead, Read};
use std::path::Path;

use csv_core::ReadRecordResult;
use jiff::{SignedDuration, Timestamp};

use super::packed::Text;
use super::row::{Layout, Reading};
use super::{Broken, Portion};

/// Longest line that is read, in bytes: a row has two dozen columns of 1,024 at most.
const LONGEST: u64 = 64 << 10;

const CELLS: usize = 64;

/// How exactly a place in a file is looked for, in bytes: so much is read faster than looked through.
const NEAR: u64 = 256 << 10;

/// Lines that are looked at for one that has a time.
const LOOKED_AT: usize = 100;

/// A row is written when its call is over; none lasts longer, and no clock is set back further.
const LONGEST_CALL: SignedDuration = SignedDuration::from_hours(24);

/// Columns of `cdr_csv`. What it is told to add comes behind them, in this order: uniqueid, userfield, and the three
/// of `newcdrcolumns`.
const CDR_CSV: [&str; 16] = [
    "accountcode",
    "src",
    "dst",
    "dcontext",
    "clid",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "start",
    "answer",
    "end",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
];
const NEW_COLUMNS: [&str; 3] = ["peeraccount", "linkedid", "sequence"];

/// Columns of `cdr_custom` as its sample has them.
const CDR_CUSTOM: [&str; 19] = [
    "clid",
    "src",
    "dst",
    "dcontext",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "start",
    "answer",
    "end",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
    "accountcode",
    "uniqueid",
    "userfield",
    "sequence",
];

/// Columns of `cel_custom` as its sample has them.
const CEL_CUSTOM: [&str; 20] = [
    "eventtype",
    "eventtime",
    "cidname",
    "cidnum",
    "cidani",
    "cidrdnis",
    "ciddnid",
    "exten",
    "context",
    "channame",
    "appname",
    "appdata",
    "amaflags",
    "accountcode",
    "uniqueid",
    "linkedid",
    "peer",
    "userfield",
    "userdeftype",
    "eventextra",
];

/// A file of CSV, and how far it is read.
pub struct Csv {
    lines: Text,
    parser: csv_core::Reader,
    layout: Layout,
    /// Whether somebody said what the columns are: in headings, or when it was opened.
    is_told: bool,
    /// Where the first row is.
    begin: u64,
    length: u64,
    done: u64,
    /// What was written before is not wanted.
    passing: Option<Timestamp>,
    /// Why there is no more behind the rows that were read.
    broken: Option<Broken>,
}

impl Csv {
    /// Opens `path`; `columns` where they were typed, else its headings or what its first line shows.
    ///
    /// # Errors
    /// [`Broken`] where it cannot be read, or its columns are not known.
    pub fn open(path: &Path, columns: Option<&[String]>) -> Result<Csv, Broken> {
        let (mut lines, length) = Text::open(path)?;
        let mut first = Vec::new();
        line(&mut lines, &mut first)?;
        let mark: &[u8] = "\u{feff}".as_bytes();
        let mut parser = csv_core::Reader::new();
        let texts = texts(&mut parser, first.strip_prefix(mark).unwrap_or(&first));
        let has_headings = texts.len() > 2 && texts.iter().all(|text| Layout::is_name(text));
        let layout = match columns {
            Some(columns) => Layout::of(columns),
            None if has_headings => Layout::of(&texts),
            // Nobody has called since it was begun.
            None if first.is_empty() => Layout::of(CDR_CSV),
            None => by_place(&texts),
        };
        let layout = layout.ok_or(Broken::Columns(texts.len()))?;
        let begin = if has_headings { first.len() as u64 } else { 0 };
        if !has_headings {
            lines.rewind()?;
        }
        let is_told = has_headings || columns.is_some();
        Ok(Csv { lines, parser, layout, is_told, begin, length, done: begin, passing: None, broken: None })
    }

    /// Passes over what was written more than a day before `since`, in a file whose rows come in the order of time;
    /// not in one that is compressed.
    pub fn pass_over(&mut self, since: Timestamp) {
        self.passing = since.checked_sub(LONGEST_CALL).ok().filter(|_| !self.lines.is_packed());
    }

    /// The next rows, `most` at most; `None` behind the last.
    ///
    /// # Errors
    /// [`Broken::Read`], or [`Broken::Packed`] behind the last row that could be unpacked.
    pub fn next(&mut self, most: usize, reading: &Reading) -> Result<Option<Portion>, Broken> {
        if let Some(since) = self.passing.take() {
            self.seek(since, reading)?;
        }
        let mut portion = Portion::default();
        let mut text = Vec::new();
        while portion.rows < most && self.broken.is_none() {
            let read = match line(&mut self.lines, &mut text) {
                Ok(0) => break,
                Ok(read) => read,
                // Half a row is none.
                Err(error) => {
                    self.broken = Some(error);
                    break;
                }
            };
            self.done += read as u64;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let cells = cells(&mut self.parser, &text).unwrap_or_default();
            let cells: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
            portion.put(&self.layout, &cells, reading);
        }
        self.done = self.lines.unpacked().unwrap_or(self.done);
        match self.broken.take_if(|_| portion.rows == 0) {
            Some(broken) => Err(broken),
            None => Ok((portion.rows > 0).then_some(portion)),
        }
    }

    /// Goes to the rows of `since` by halves, as one finds a word in a dictionary: in a file of gigabytes it takes a
    /// dozen looks.
    fn seek(&mut self, since: Timestamp, reading: &Reading) -> Result<(), Broken> {
        let (mut before, mut behind) = (self.begin, self.length);
        while behind.saturating_sub(before) > NEAR {
            let middle = before + (behind - before) / 2;
            match self.row_behind(middle, behind, reading)? {
                Some((row, written)) if written < since => before = row,
                _ => behind = middle,
            }
        }
        self.lines.seek(before)?;
        if !self.is_told && before > self.begin {
            // Asterisk may have been told to write more columns since the file was begun.
            let mut text = Vec::new();
            line(&mut self.lines, &mut text)?;
            if let Some(layout) = by_place(&texts(&mut self.parser, &text)) {
                self.layout = layout;
            }
            self.lines.seek(before)?;
        }
        self.done = before;
        Ok(())
    }

    /// Where the first row between two places begins, and when it was written.
    fn row_behind(
        &mut self,
        from: u64,
        until: u64,
        reading: &Reading,
    ) -> Result<Option<(u64, Timestamp)>, Broken> {
        self.lines.seek(from)?;
        let mut text = Vec::new();
        let mut place = from;
        for looked in 0..LOOKED_AT {
            let read = line(&mut self.lines, &mut text)?;
            if read == 0 || place >= until {
                break;
            }
            // The first is the rest of a row.
            if looked > 0 {
                let cells = cells(&mut self.parser, &text).unwrap_or_default();
                let cells: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
                if let Ok(event) = self.layout.event(&cells, reading) {
                    let end =
                        event.fact("end").and_then(|end| Timestamp::from_microsecond(end.parse().ok()?).ok());
                    return Ok(Some((place, end.unwrap_or(event.at))));
                }
            }
            place += read as u64;
        }
        Ok(None)
    }

    /// Bytes that are read, and all there were when it was opened.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.min(self.length), self.length)
    }
}

/// The next line, of at most [`LONGEST`] bytes, in place of what is in `into`; answers with its length.
fn line(lines: &mut Text, into: &mut Vec<u8>) -> Result<usize, Broken> {
    into.clear();
    let read = lines.by_ref().take(LONGEST).read_until(b'\n', into);
    read.map_err(
        |error: io::Error| if lines.is_packed() { Broken::Packed(error) } else { Broken::Read(error) },
    )
}

/// The layout of a file that has no headings.
fn by_place(first: &[String]) -> Option<Layout> {
    let is_time = |place: usize| {
        first
            .get(place)
            .is_some_and(|cell| cell.len() >= 10 && cell.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is_event =
        first.first().is_some_and(|cell| cell.contains('_') || ["ANSWER", "HANGUP"].contains(&cell.as_str()));
    match first.len() {
        18..=20 if is_event && is_time(1) => Layout::of(CEL_CUSTOM),
        18..=19 if is_time(8) && is_time(10) => Layout::of(CDR_CUSTOM),
        width @ 16..=21 if is_time(9) && is_time(11) => {
            let more: &[&str] = match width {
                16 => &[],
                17 => &["uniqueid"],
                18 => &["uniqueid", "userfield"],
                19 => &NEW_COLUMNS,
                20 => &["uniqueid"],
                _ => &["uniqueid", "userfield"],
            };
            let newer: &[&str] = if width > 19 { &NEW_COLUMNS } else { &[] };
            Layout::of(CDR_CSV.iter().chain(more).chain(newer))
        }
        _ => None,
    }
}

fn texts(parser: &mut csv_core::Reader, line: &[u8]) -> Vec<String> {
    let cells = cells(parser, line).unwrap_or_default();
    cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
}

/// The cells of one line; `None` where it has too many.
fn cells(parser: &mut csv_core::Reader, line: &[u8]) -> Option<Vec<Vec<u8>>> {
    parser.reset();
    let (mut text, mut ends) = (vec![0; line.len() + 1], [0; CELLS]);
    let (mut read, mut written, mut count) = (0, 0, 0);
    loop {
        let input = line.get(read..).unwrap_or_default();
        let (result, n, out, found) = parser.read_record(input, &mut text[written..], &mut ends[count..]);
        (read, written, count) = (read + n, written + out, count + found);
        match result {
            ReadRecordResult::Record | ReadRecordResult::End => break,
            ReadRecordResult::InputEmpty if read >= line.len() && input.is_empty() => break,
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return None,
        }
    }
    let mut from = 0;
    let mut cells = Vec::with_capacity(count);
    for end in ends.iter().take(count) {
        cells.push(text.get(from..*end)?.to_vec());
        from = *end;
    }
    Some(cells)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fmt::Write;

    use jiff::tz::TimeZone;

    use super::*;

    const FIRST: i64 = 1_795_000_000;

    /// A row of each minute, as `cdr_csv` writes it: of the older half without its uniqueid.
    fn row(minute: i64) -> String {
        let at =
            |second: i64| Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
        let (start, end) = (FIRST + minute * 60, FIRST + minute * 60 + 30);
        let uid = if minute < 5000 { String::new() } else { format!(",\"{start}.1\"") };
        format!(
            "\"\",\"100\",\"101\",\"ctx\",\"\"\"A, B\"\" <100>\",\"PJSIP/100-1\",\"\",\"Dial\",\"PJSIP/101\",\
             \"{}\",,\"{}\",30,0,\"NO ANSWER\",\"DOCUMENTATION\"{uid}\n",
            at(start),
            at(end)
        )
    }

    fn read(path: &Path, since: i64) -> (Vec<i64>, u64) {
        let reading =
            Reading { pbx: "a".into(), zone: TimeZone::UTC, at: Timestamp::from_second(FIRST * 2).unwrap() };
        let mut csv = Csv::open(path, None).unwrap();
        csv.pass_over(Timestamp::from_second(since).unwrap());
        let mut minutes = Vec::new();
        let mut begun = 0;
        while let Some(portion) = csv.next(1000, &reading).unwrap() {
            begun = if minutes.is_empty() { csv.done } else { begun };
            assert_eq!(portion.unreadable, 0);
            minutes.extend(portion.events.iter().map(|event| (event.at.as_second() - FIRST) / 60));
        }
        (minutes, begun)
    }

    #[test]
    fn of_a_large_file_that_grows_only_the_end_is_read_and_no_row_of_it_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Master.csv");
        let mut text = String::new();
        (0..10_000).for_each(|minute| write!(text, "{}", row(minute)).unwrap());
        std::fs::write(&path, &text).unwrap();
        for wanted in [0, 1, 3000, 7000, 9999, 20_000] {
            let (minutes, begun) = read(&path, FIRST + wanted * 60);
            let all: Vec<i64> = (*minutes.first().unwrap()..10_000).collect();
            assert_eq!(minutes, all, "{wanted}");
            let day_before = wanted - 24 * 60;
            assert!(minutes[0] <= day_before.max(0), "{wanted}: from {}", minutes[0]);
            if wanted == 9999 {
                assert!(begun > text.len() as u64 / 2, "it was read from {begun}");
            }
        }
    }

    #[test]
    fn columns_that_were_added_since_the_file_was_begun_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Master.csv");
        let text: String = (0..10_000).map(row).collect();
        std::fs::write(&path, text).unwrap();
        let reading =
            Reading { pbx: "a".into(), zone: TimeZone::UTC, at: Timestamp::from_second(FIRST * 2).unwrap() };
        let mut csv = Csv::open(&path, None).unwrap();
        csv.pass_over(Timestamp::from_second(FIRST + 9999 * 60).unwrap());
        let portion = csv.next(10, &reading).unwrap().unwrap();
        assert!(portion.events.iter().all(|event| !event.uid.starts_with("cdr-")));
    }

    #[test]
    fn a_file_that_was_just_begun_has_no_rows_and_is_not_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Master.csv");
        for empty in [Vec::new(), super::super::packed::tests::packed(b"")] {
            std::fs::write(&path, empty).unwrap();
            assert_eq!(read(&path, FIRST).0, Vec::<i64>::new());
        }
    }

    #[test]
    fn a_file_that_was_compressed_has_the_same_rows_and_one_that_is_cut_those_before_the_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Master.csv.1.gz");
        let text: String = (0..10_000).map(row).collect();
        let packed = super::super::packed::tests::packed(text.as_bytes());
        std::fs::write(&path, &packed).unwrap();
        // From its beginning, whatever is wanted of it.
        let all: Vec<i64> = (0..10_000).collect();
        assert_eq!(read(&path, FIRST + 9999 * 60).0, all);
        let headed = format!("{}\n{}", CDR_CSV.join(","), text);
        std::fs::write(&path, super::super::packed::tests::packed(headed.as_bytes())).unwrap();
        assert_eq!(read(&path, FIRST).0, all);

        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let mut csv = Csv::open(&path, None).unwrap();
        let reading =
            Reading { pbx: "a".into(), zone: TimeZone::UTC, at: Timestamp::from_second(FIRST * 2).unwrap() };
        let mut rows = 0;
        let error = loop {
            match csv.next(1000, &reading) {
                Ok(portion) => rows += portion.expect("it ends as if it were whole").rows,
                Err(error) => break error.to_string(),
            }
        };
        assert!((3000..7000).contains(&rows), "{rows} rows before the cut");
        assert!(error.contains("cannot be unpacked to its end"), "{error}");
        assert_eq!(csv.progress().0, csv.progress().1);
    }
}
