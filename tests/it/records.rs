//! Asterisk's records out of the databases that it writes them to: each comes to what its CSV file comes to.
//!
//! `tests/fixtures/records/asterisk22.csv` and `asterisk22-cel.csv` are what one real Asterisk wrote of 27 calls in its
//! CDR and its CEL. They are put into real databases, in the tables that Asterisk's modules have there.

#[path = "records/hostile.rs"]
mod hostile;
#[path = "records/mariadb.rs"]
pub mod mariadb;
#[path = "records/postgres.rs"]
pub mod postgres;
#[path = "records/sqlite.rs"]
pub mod sqlite;

use std::path::Path;

use calljournal::event::{Event, Facts, Token};
use serde_json::Value;

use crate::server::{count, output, said};

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records");

/// Columns of `asterisk22.csv`, by the names of Asterisk's own variables.
const CDR: [&str; 21] = [
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
    "uniqueid",
    "userfield",
    "peeraccount",
    "linkedid",
    "sequence",
];

fn cdr() -> String {
    format!("{RECORDS}/asterisk22.csv")
}

fn cel() -> String {
    format!("{RECORDS}/asterisk22-cel.csv")
}

/// Rows, and the names of their columns.
#[derive(Clone)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// What Asterisk wrote in its CDR.
    fn cdr() -> Table {
        Table { columns: CDR.map(str::to_owned).to_vec(), rows: lines(&cdr(), false) }
    }

    /// What it wrote in its CEL, with times as databases have them.
    fn cel() -> Table {
        let mut lines = lines(&cel(), false);
        let columns = lines.remove(0);
        let mut table = Table { columns, rows: lines };
        table.change("eventtime", |time| {
            let (seconds, micros) = time.split_once('.').unwrap();
            let at = jiff::Timestamp::from_second(seconds.parse().unwrap()).unwrap();
            format!("{}.{micros}", at.strftime("%Y-%m-%d %H:%M:%S"))
        });
        table
    }

    fn change(&mut self, column: &str, to: impl Fn(&str) -> String) {
        let at = self.columns.iter().position(|name| name == column).unwrap();
        for row in &mut self.rows {
            row[at] = to(&row[at]);
        }
    }

    /// Of each column of the left the one of the right: what a table has another name for.
    fn arranged(&self, columns: &[(&str, &str)]) -> Table {
        let place = |of: &str| self.columns.iter().position(|name| name == of).unwrap_or(usize::MAX);
        let places: Vec<usize> = columns.iter().map(|(_, of)| place(of)).collect();
        let cell = |row: &Vec<String>, at: &usize| row.get(*at).cloned().unwrap_or_default();
        Table {
            columns: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
            rows: self.rows.iter().map(|row| places.iter().map(|at| cell(row, at)).collect()).collect(),
        }
    }

    /// Statements that put the rows into a table; what is empty is NULL.
    fn inserts(&self, table: &str, quote: char) -> String {
        let names: Vec<String> = self.columns.iter().map(|name| format!("{quote}{name}{quote}")).collect();
        let cell = |cell: &String| match cell.as_str() {
            "" => "NULL".to_owned(),
            text => format!("'{}'", text.replace('\'', "''")),
        };
        let row = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().map(cell).collect();
            format!("INSERT INTO {table} ({}) VALUES ({});\n", names.join(", "), cells.join(", "))
        };
        self.rows.iter().map(row).collect()
    }

    /// A file of it, with headings.
    fn file(&self, path: &Path) {
        let mut out = csv::Writer::from_path(path).unwrap();
        out.write_record(&self.columns).unwrap();
        self.rows.iter().for_each(|row| out.write_record(row).unwrap());
        out.flush().unwrap();
    }
}

fn lines(path: &str, headings: bool) -> Vec<Vec<String>> {
    let mut lines = csv::ReaderBuilder::new().has_headers(headings).flexible(true).from_path(path).unwrap();
    lines.records().map(|line| line.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Imports into the journal in `dir`, and answers with what was said.
fn import(dir: &Path, arguments: &[&str]) -> String {
    let done = output(dir, &[&["import", "--timezone", "UTC"], arguments].concat());
    assert!(done.status.success(), "{}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

/// What is said of an import that fails.
fn refused(dir: &Path, arguments: &[&str]) -> String {
    let done = output(dir, &[&["import", "--timezone", "UTC"], arguments].concat());
    assert!(!done.status.success(), "{}", said(&done));
    said(&done)
}

/// All calls of the journal in `dir`, to the field.
fn journal(dir: &Path) -> Vec<Value> {
    let told = output(dir, &["calls", "--json", "-n", "10000"]);
    assert!(told.status.success(), "{}", said(&told));
    let Value::Array(calls) = serde_json::from_slice(&told.stdout).unwrap() else { panic!("no list") };
    calls
}

/// That two journals are the same, to the field.
fn alike(told: &[Value], meant: &[Value]) {
    assert_eq!(told.len(), meant.len());
    for (one, other) in told.iter().zip(meant) {
        for (field, value) in one.as_object().unwrap() {
            assert_eq!(value, &other[field], "{field} of {}", one["linkedid"]);
        }
    }
}

fn events(dir: &Path) -> i64 {
    count(dir, "SELECT COUNT(*) AS n FROM events")
}

/// The journal that comes of files, and how many events it has.
fn from_files(files: &[&str]) -> (Vec<Value>, i64) {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        import(dir.path(), &[file]);
    }
    (journal(dir.path()), events(dir.path()))
}

/// What is promised of every database: the calls of the files, once, whichever is read first.
fn comes_to_what_its_files_come_to(url: &str) {
    let ((both, rows), (alone, _)) = (from_files(&[&cel(), &cdr()]), from_files(&[&cdr()]));
    assert!(both.len() == 27 && both != alone, "{} calls", both.len());
    assert_eq!(rows, 659, "each row is an event");
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert!(output(dir, &["migrate"]).status.success());
    let trial = import(dir, &[url, "--table", "cdr", "--dry-run"]);
    assert!(trial.contains("would be added: 27 calls"), "{trial}");
    assert_eq!(journal(dir), Vec::<Value>::new());
    import(dir, &[url, "--table", "cdr"]);
    alike(&journal(dir), &alone);

    let told = import(dir, &[url]);
    assert!(told.contains("659 rows read"), "{told}");
    assert_eq!(events(dir), rows);
    alike(&journal(dir), &both);
    for again in [url, &cdr(), &cel()] {
        let told = import(dir, &[again]);
        assert!(told.contains("added: 0 calls\ncorrected: 0 calls"), "{again}: {told}");
    }
    assert_eq!(events(dir), rows);
    alike(&journal(dir), &both);

    let at_once = tempfile::tempdir().unwrap();
    let told = import(at_once.path(), &[url]);
    assert!(told.contains("added: 27 calls\ncorrected: 0 calls"), "{told}");
    alike(&journal(at_once.path()), &both);

    let since = tempfile::tempdir().unwrap();
    let told = import(since.path(), &[url, "--since", "2026-11-28"]);
    assert!(told.contains("0 rows read"), "the rows of two days before were asked for: {told}");
    assert_eq!(journal(since.path()), Vec::<Value>::new());
}

/// What of an event says where it came from: nothing that a call is made of.
fn bare(event: &Event) -> (Token, String, String, jiff::Timestamp, String, Facts) {
    let Event { token, uid, linkedid, at, channel, facts, .. } = event.clone();
    (token, uid, linkedid, at, channel, facts)
}
