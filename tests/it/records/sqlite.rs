//! `master.db`, as `cdr_sqlite3_custom` and `cel_sqlite3_custom` make it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use calljournal::feed::cdr::{Place, Source};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use super::{Table, alike, comes_to_what_its_files_come_to, count, events, import, journal, refused};
use crate::server::calljournal;

/// The module makes its tables itself: a number, and columns without a type.
fn made(tables: &[(&str, &Table)]) -> String {
    let made = |(name, table): &(&str, &Table)| {
        let columns: Vec<String> = table.columns.iter().map(|name| format!("\"{name}\"")).collect();
        let made = format!("CREATE TABLE {name} (AcctId INTEGER PRIMARY KEY, {});", columns.join(", "));
        made + &table.inserts(name, '"')
    };
    tables.iter().map(made).collect()
}

/// Both tables, with what Asterisk wrote in them.
pub fn asterisk() -> String {
    made(&[("cdr", &Table::cdr()), ("cel", &Table::cel())])
}

/// The file in `dir` that `made` makes.
pub fn file(dir: &Path, made: &str) -> PathBuf {
    let path = dir.join("master.db");
    let mut db = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    db.batch_execute(&format!("BEGIN; {made} COMMIT")).unwrap();
    path
}

fn master(dir: &Path, tables: &[(&str, &Table)]) -> PathBuf {
    file(dir, &made(tables))
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[test]
fn the_tables_of_a_file_come_to_what_csv_comes_to_and_a_row_counts_once_in_both() {
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path(), &[("cdr", &Table::cdr()), ("cel", &Table::cel())]);
    comes_to_what_its_files_come_to(&url(&master));
    // The file is known by how it begins, too.
    let plain = tempfile::tempdir().unwrap();
    let told = import(plain.path(), &[master.to_str().unwrap()]);
    assert!(told.contains("added: 27 calls"), "{told}");
}

/// The sample's columns: there is no number of who called, nor who was called, nor a linkedid.
#[test]
fn the_sample_of_asterisk_tells_what_it_has_and_adds_nothing_to_what_its_csv_told() {
    let names = [
        ("calldate", "start"),
        ("clid", "clid"),
        ("dcontext", "dcontext"),
        ("channel", "channel"),
        ("dstchannel", "dstchannel"),
        ("lastapp", "lastapp"),
        ("lastdata", "lastdata"),
        ("duration", "duration"),
        ("billsec", "billsec"),
        ("disposition", "disposition"),
        ("amaflags", "amaflags"),
        ("accountcode", "accountcode"),
        ("uniqueid", "uniqueid"),
        ("userfield", "userfield"),
        ("test", "nothing"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let master = master(dir.path(), &[("cdr", &Table::cdr().arranged(&names))]);
    let told = import(dir.path(), &[&url(&master)]);
    assert!(told.contains("94 rows read"), "{told}");
    let calls = journal(dir.path());
    assert!(calls.len() >= 27, "{}", calls.len());
    let known = |name: &str| calls.iter().filter(|call| !call[name]["number"].is_null()).count();
    assert_eq!((calls.len(), known("source"), known("answered_by")), (38, 35, 25));

    let csv = tempfile::tempdir().unwrap();
    import(csv.path(), &[&super::cdr()]);
    let before = (journal(csv.path()), events(csv.path()));
    import(csv.path(), &[&url(&master)]);
    assert_eq!((journal(csv.path()), events(csv.path())), before);
}

#[test]
fn asterisk_writes_while_its_file_is_read_and_what_it_adds_meanwhile_is_left_for_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::cel();
    let master = master(dir.path(), &[("cel", &table)]);
    let mut source = Source::open(&Place { name: url(&master), ..Place::default() }).unwrap();
    let reading = super::hostile::reading();
    let first = source.next(10, &reading).unwrap().unwrap();
    assert_eq!(first.rows, 10);
    // Without patience: it waits for nobody.
    let mut asterisk = SqliteConnection::establish(master.to_str().unwrap()).unwrap();
    asterisk.batch_execute(&format!("BEGIN; {} COMMIT", table.inserts("cel", '"'))).unwrap();
    let mut rows = first.rows;
    while let Some(portion) = source.next(100, &reading).unwrap() {
        rows += portion.rows;
        let (done, all) = source.progress();
        assert!(done <= all && all == 565, "{done} of {all}");
    }
    assert_eq!((rows, source.progress()), (565, (565, 565)));
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_words_of_what_to_do_and_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let none = refused(dir.path(), &["sqlite://none.db"]);
    assert!(none.contains("there is no file none.db"), "{none}");
    assert!(!dir.path().join("none.db").exists());
    std::fs::write(dir.path().join("text.db"), "calldate,clid\n".repeat(100)).unwrap();
    let text = refused(dir.path(), &["sqlite://text.db"]);
    assert!(text.contains("not a database"), "{text}");
    let mut db = SqliteConnection::establish(dir.path().join("master.db").to_str().unwrap()).unwrap();
    db.batch_execute("CREATE TABLE calls_of_ours (a, b)").unwrap();
    let missing = refused(dir.path(), &["master.db"]);
    assert!(
        missing.contains("no table cdr; it has calls_of_ours") && missing.contains("--table"),
        "{missing}"
    );
    let useless = refused(dir.path(), &["master.db", "--table", "calls_of_ours"]);
    let columns = refused(dir.path(), &["master.db", "--columns", "start,channel"]);
    assert!(columns.contains("--columns is for files"), "{columns}");
    let table = refused(dir.path(), &[&super::cdr(), "--table", "cdr"]);
    assert!(table.contains("--table is for databases"), "{table}");
    assert!(useless.contains("neither CDR") && useless.contains("its columns are a, b"), "{useless}");
}

/// Many days of the same calls.
fn many(days: i64) -> Table {
    let once = Table::cdr();
    let mut all = Table { columns: once.columns.clone(), rows: Vec::new() };
    for day in 1..=days {
        let mut of_day = once.clone();
        let uid = |uid: &str| {
            let (second, serial) = uid.split_once('.').unwrap();
            format!("{}.{serial}", second.parse::<i64>().unwrap() - day * 86_400)
        };
        let date = |time: &str| match time.parse::<jiff::civil::DateTime>() {
            Ok(at) => {
                (at - jiff::SignedDuration::from_hours(24 * day)).strftime("%Y-%m-%d %H:%M:%S").to_string()
            }
            Err(_) => String::new(),
        };
        ["uniqueid", "linkedid"].iter().for_each(|name| of_day.change(name, uid));
        ["start", "answer", "end"].iter().for_each(|name| of_day.change(name, date));
        all.rows.splice(0..0, of_day.rows);
    }
    all
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_stood() {
    let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let master = master(dir.path(), &[("cdr", &many(60))]);
    let mut process = calljournal(dir.path(), &["import", &url(&master), "--timezone", "UTC"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    while !dir.path().join("calljournal.db").exists()
        || count(dir.path(), "SELECT COUNT(*) AS n FROM sqlite_master WHERE name = 'endings'") == 0
        || events(dir.path()) == 0
    {
        assert!(patience.elapsed() < Duration::from_secs(60), "nothing was imported");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let stood = events(dir.path());
    assert!((1..60 * 94).contains(&stood), "{stood}");
    import(dir.path(), &[&url(&master)]);
    import(whole.path(), &[&url(&master)]);
    alike(&journal(dir.path()), &journal(whole.path()));
    assert_eq!((events(dir.path()), events(whole.path())), (60 * 94, 60 * 94));
}
