//! `calljournal export`: calls or CDR rows as CSV or as lines of JSON, oldest first.
//!
//! Read page by page, so that any number of calls takes the same memory. CSV is for spreadsheets: times are in
//! the reader's zone, and nothing in it is run as a formula.

mod csv;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::filter::Asked;
use super::paper::Paper;
use crate::call::{Call, Side, cdr};
use crate::store::Store;
use crate::store::filter::Page;

/// Calls that are held in memory at one time.
const CALLS_A_PAGE: usize = 500;

/// By this a spreadsheet knows that a file is UTF-8; Excel takes it for the system's old code page otherwise.
const UTF8_MARK: &str = "\u{feff}";

/// Where to and in which form.
#[derive(Debug, Clone, Args)]
pub struct Form {
    /// CSV, or one JSON object a line; without it, by the end of the file's name: `.jsonl` is JSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Rows with the columns of Asterisk's CDR, one for each conversation, instead of calls.
    #[arg(long)]
    cdr: bool,
    /// The file; without it, standard output.
    ///
    /// It is there when it is whole. A file of CSV begins with the mark of UTF-8 (BOM), without which Excel shows
    /// Cyrillic names as noise. Where a program reads there is no mark: on standard output, in a pipe, with --raw.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Cells of CSV as they are: for programs.
    ///
    /// Else what begins with `=`, `+`, `-` or `@` gets an apostrophe in front, since a caller's name may be a
    /// formula that a spreadsheet would run, and `+79190000000` a sum that it would show as 7,919E+10. So does
    /// what stands behind a `;`, a tab or a line break in a cell: to some spreadsheets that is the next cell.
    /// JSON is never changed.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    #[value(alias = "jsonl")]
    Json,
}

impl Form {
    fn format(&self) -> Format {
        let end = self.output.as_deref().and_then(Path::extension).and_then(|end| end.to_str());
        let json = || end.is_some_and(|end| ["jsonl", "ndjson", "json"].contains(&end));
        self.format.unwrap_or_else(|| if json() { Format::Json } else { Format::Csv })
    }

    fn is_for_a_spreadsheet(&self) -> bool {
        self.format() == Format::Csv && !self.raw
    }
}

/// Writes what was asked for; answers with a sentence where it went into a file.
pub async fn export(store: &Store, paper: &Paper, asked: &Asked, form: &Form) -> anyhow::Result<String> {
    let total = store.count_calls(&asked.filter).await?;
    let written = match &form.output {
        Some(file) if !is_stream(file) => return to_file(store, paper, asked, form, total, file).await,
        Some(stream) => {
            let failed = || format!("cannot write {}", stream.display());
            let opened = OpenOptions::new().write(true).open(stream).with_context(failed)?;
            copy(store, paper, asked, form, total, opened).await.with_context(failed)
        }
        None => copy(store, paper, asked, form, total, std::io::stdout().lock()).await,
    };
    match written {
        // A reader that has seen enough is a happy one.
        Err(e) if is_broken_pipe(&e) => Ok(String::new()),
        written => written.map(|_| String::new()),
    }
}

/// Writes a file that is not there before it is whole.
async fn to_file(
    store: &Store,
    paper: &Paper,
    asked: &Asked,
    form: &Form,
    total: usize,
    file: &Path,
) -> anyhow::Result<String> {
    let failed = || format!("cannot write {}", file.display());
    let part = part_of(file);
    let mut made = File::create(&part).with_context(failed)?;
    if form.is_for_a_spreadsheet() {
        made.write_all(UTF8_MARK.as_bytes()).with_context(failed)?;
    }
    let count = copy(store, paper, asked, form, total, made).await.with_context(failed)?;
    std::fs::rename(&part, file).with_context(failed)?;
    let name = file.display().to_string();
    Ok(paper.words.say("exported", &[("count", count.into()), ("file", (&name).into())]))
}

/// Whether something reads there while we write: a pipe, or a device. A file in its place would take it away.
fn is_stream(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|known| !known.is_file())
}

/// Where a file is made. Its whole name is in it: calls.csv and calls.jsonl are not made in one place.
fn part_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".part");
    name.into()
}

/// Copies all pages to `out`; answers with the number of calls.
async fn copy(
    store: &Store,
    paper: &Paper,
    asked: &Asked,
    form: &Form,
    total: usize,
    out: impl Write,
) -> anyhow::Result<usize> {
    let mut sheet = Sheet::new(BufWriter::new(out), paper, form)?;
    let bar = bar(total, form.output.is_none());
    let (mut page, mut count) = (Page::oldest(CALLS_A_PAGE), 0);
    loop {
        let calls = store.find_calls(&asked.filter, page.clone()).await?;
        let Some(last) = calls.last() else { break };
        page = page.behind(last);
        for call in &calls {
            sheet.put(call)?;
        }
        count += calls.len();
        bar.set_position(count as u64);
    }
    sheet.end()?;
    bar.finish_and_clear();
    Ok(count)
}

/// On the terminal of who waits, unless what is exported goes there too.
fn bar(total: usize, to_stdout: bool) -> ProgressBar {
    if !std::io::stderr().is_terminal() || (to_stdout && std::io::stdout().is_terminal()) {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {eta}");
    ProgressBar::new(total as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What is written on.
struct Sheet<'a, W: Write> {
    paper: &'a Paper,
    cdr: bool,
    raw: bool,
    lines: Lines<W>,
}

enum Lines<W: Write> {
    Csv(W),
    Json(W),
}

impl<'a, W: Write> Sheet<'a, W> {
    /// A sheet of CSV has its headings, also where no call follows.
    fn new(mut out: W, paper: &'a Paper, form: &Form) -> anyhow::Result<Sheet<'a, W>> {
        let lines = match form.format() {
            Format::Json => Lines::Json(out),
            Format::Csv => {
                let heads = if form.cdr { CDR_COLUMNS.as_slice() } else { CALL_COLUMNS.as_slice() };
                csv::write_line(&mut out, heads)?;
                Lines::Csv(out)
            }
        };
        Ok(Sheet { paper, cdr: form.cdr, raw: form.raw, lines })
    }

    fn put(&mut self, call: &Call) -> anyhow::Result<()> {
        let rows = if self.cdr { cdr::rows(call) } else { Vec::new() };
        match &mut self.lines {
            Lines::Json(out) if self.cdr => rows.iter().try_for_each(|row| json_line(out, row))?,
            Lines::Json(out) => json_line(out, call)?,
            Lines::Csv(_) if self.cdr => {
                rows.iter().try_for_each(|row| self.record(cdr_cells(row, self.paper)))?;
            }
            Lines::Csv(_) => self.record(call_cells(call, self.paper))?,
        }
        Ok(())
    }

    fn record(&mut self, cells: Vec<String>) -> anyhow::Result<()> {
        let raw = self.raw;
        if let Lines::Csv(out) = &mut self.lines {
            csv::write_line(out, cells.into_iter().map(|cell| if raw { cell } else { csv::defused(&cell) }))?;
        }
        Ok(())
    }

    /// Writes what is held back.
    fn end(self) -> anyhow::Result<()> {
        match self.lines {
            Lines::Csv(mut out) | Lines::Json(mut out) => out.flush()?,
        }
        Ok(())
    }
}

fn json_line(out: &mut impl Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    Ok(out.write_all(b"\n")?)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            || cause.to_string().contains("Broken pipe")
    })
}

const CALL_COLUMNS: [&str; 23] = [
    "id",
    "pbx",
    "linkedid",
    "key",
    "direction",
    "org",
    "trunk",
    "source_number",
    "source_name",
    "destination",
    "started",
    "answered",
    "ended",
    "disposition",
    "answered_by",
    "answered_by_name",
    "hung_up_by",
    "cause",
    "wait_seconds",
    "talk_seconds",
    "abandoned",
    "transfers",
    "state",
];

fn call_cells(call: &Call, paper: &Paper) -> Vec<String> {
    let time = |at: Option<Timestamp>| at.map(|at| paper.date(at)).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let by = call.answered_by.clone().unwrap_or_default();
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    vec![
        call.id.to_string(),
        call.pbx.clone(),
        call.linkedid.clone(),
        text(&call.key),
        call.direction.as_str().to_owned(),
        text(&call.org),
        text(&call.trunk),
        text(&call.source.number),
        text(&call.source.name),
        text(&call.destination),
        time(Some(call.started_at)),
        time(call.answered_at),
        time(call.ended_at),
        call.disposition.as_str().to_owned(),
        text(&by.number),
        text(&by.name),
        call.hung_up_by.map(side).unwrap_or_default().to_owned(),
        call.cause.map(|cause| cause.to_string()).unwrap_or_default(),
        call.wait_ms.map(seconds).unwrap_or_default(),
        seconds(call.talk_ms),
        call.abandoned.to_string(),
        call.transfers.len().to_string(),
        call.state.as_str().to_owned(),
    ]
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Caller => "caller",
        Side::Called => "called",
        Side::Pbx => "pbx",
    }
}

const CDR_COLUMNS: [&str; 19] = [
    "calldate",
    "clid",
    "src",
    "dst",
    "dcontext",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
    "accountcode",
    "uniqueid",
    "userfield",
    "peeraccount",
    "linkedid",
    "sequence",
];

fn cdr_cells(row: &cdr::Row, paper: &Paper) -> Vec<String> {
    vec![
        paper.date(row.calldate),
        row.clid.clone(),
        row.src.clone(),
        row.dst.clone(),
        row.dcontext.clone(),
        row.channel.clone(),
        row.dstchannel.clone(),
        row.lastapp.clone(),
        row.lastdata.clone(),
        row.duration.to_string(),
        row.billsec.to_string(),
        row.disposition.clone(),
        row.amaflags.to_string(),
        row.accountcode.clone(),
        row.uniqueid.clone(),
        row.userfield.clone(),
        row.peeraccount.clone(),
        row.linkedid.clone(),
        row.sequence.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::call::words::Language;

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let (call, paper) = (sample::transferred(), Paper::plain(Language::En));
        assert_eq!(call_cells(&call, &paper).len(), CALL_COLUMNS.len());
        assert_eq!(cdr_cells(&cdr::rows(&call)[0], &paper).len(), CDR_COLUMNS.len());
    }
}
