//! CSV: `cdr-csv/Master.csv`, `cdr-custom/Master.csv`, `cel-custom/*.csv`.
//!
//! A file with headings is read by them. One without, which is what Asterisk writes, is known by where its times are;
//! what an administrator arranged otherwise is named column by column. A line that is no row costs itself alone, also
//! where it opens a quote and never closes it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use csv_core::ReadRecordResult;

use super::row::{Layout, Reading};
use super::{Broken, Portion};

/// Longest line that is read, in bytes: a row has two dozen columns of 1,024 at most.
const LONGEST: u64 = 64 << 10;

const CELLS: usize = 64;

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
    lines: BufReader<File>,
    parser: csv_core::Reader,
    layout: Layout,
    length: u64,
    done: u64,
}

impl Csv {
    /// Opens `path`; `columns` where they were typed, else its headings or what its first line shows.
    ///
    /// # Errors
    /// [`Broken`] where it cannot be read, or its columns are not known.
    pub fn open(path: &Path, columns: Option<&[String]>) -> Result<Csv, Broken> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut lines = BufReader::new(file);
        let mut first = Vec::new();
        lines.by_ref().take(LONGEST).read_until(b'\n', &mut first)?;
        let mark: &[u8] = "\u{feff}".as_bytes();
        let mut parser = csv_core::Reader::new();
        let cells = cells(&mut parser, first.strip_prefix(mark).unwrap_or(&first)).unwrap_or_default();
        let texts: Vec<String> =
            cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
        let has_headings = texts.len() > 2 && texts.iter().all(|text| Layout::is_name(text));
        let layout = match columns {
            Some(columns) => Layout::of(columns),
            None if has_headings => Layout::of(&texts),
            None => by_place(&texts),
        };
        let layout = layout.ok_or(Broken::Columns(texts.len()))?;
        if !has_headings {
            lines.seek(SeekFrom::Start(0))?;
        }
        Ok(Csv { lines, parser, layout, length, done: 0 })
    }

    /// The next rows, `most` at most; `None` behind the last.
    ///
    /// # Errors
    /// [`Broken::Read`].
    pub fn next(&mut self, most: usize, reading: &Reading) -> Result<Option<Portion>, Broken> {
        let mut portion = Portion::default();
        let mut line = Vec::new();
        while portion.rows < most {
            line.clear();
            let read = self.lines.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.done += read as u64;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let cells = cells(&mut self.parser, &line).unwrap_or_default();
            let cells: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
            portion.put(&self.layout, &cells, reading);
        }
        Ok((portion.rows > 0).then_some(portion))
    }

    /// Bytes that are read, and all there were when it was opened.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.min(self.length), self.length)
    }
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
