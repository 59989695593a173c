//! What is taken out of the journal, into files that others read.

use std::process::{Command, Stdio};

use super::super::server::{Server, Telling, calljournal, plain_call};
use super::{journal, told};

#[test]
fn calls_come_as_csv_oldest_first_and_in_the_zone_of_the_reader() {
    let dir = journal();
    let text = told(dir.path(), &["export"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("id,pbx,linkedid,key,direction,org,trunk,source_number"), "{text}");
    assert!(lines[1].contains(",test,1795390723.0,,inbound,,73512020318,79190000000,Ivan,"), "{text}");
    assert!(lines[1].contains("2026-11-22 23:38:43"), "{text}");
    assert!(lines[2].contains("ANSWERED,101,") && lines[2].contains(",6.000,false,0,ended"), "{text}");
    let tokyo = calljournal(dir.path(), &["export"]).env("CALLJOURNAL_CALL__TIMEZONE", "Asia/Tokyo").output();
    assert!(String::from_utf8_lossy(&tokyo.unwrap().stdout).contains("2026-11-23 08:38:43"));
}

#[test]
fn conditions_choose_the_calls_and_an_empty_sheet_has_its_headings() {
    let dir = journal();
    assert_eq!(told(dir.path(), &["export", "--since", "2026-11-22 23:40"]).lines().count(), 2);
    assert_eq!(told(dir.path(), &["export", "--missed"]).lines().count(), 1);
    assert_eq!(told(dir.path(), &["export", "--missed", "--format", "json"]), "");
}

#[test]
fn cdr_rows_have_the_columns_of_asterisk() {
    let dir = journal();
    let text = told(dir.path(), &["export", "--cdr"]);
    assert!(text.starts_with("calldate,clid,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,duration,"));
    assert!(
        text.contains("\n2026-11-22 23:38:43,\"\"\"Ivan\"\" <79190000000>\",79190000000,73512020318,"),
        "{text}"
    );
    let line = told(dir.path(), &["export", "--cdr", "--format", "json", "--until", "2026-11-22 23:39"]);
    let row: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((row["src"].as_str(), row["billsec"].as_i64()), (Some("79190000000"), Some(6)));
}

#[test]
fn a_file_is_whole_or_not_there_and_its_name_says_what_is_in_it() {
    let dir = journal();
    let said = told(dir.path(), &["export", "-o", "calls.jsonl"]);
    assert_eq!(said, "2 calls are in calls.jsonl\n");
    let text = std::fs::read_to_string(dir.path().join("calls.jsonl")).unwrap();
    let calls: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(calls[1]["linkedid"], "1795390800.8");
    let said = told(dir.path(), &["--locale", "ru", "export", "-o", "calls.csv"]);
    assert_eq!(said, "В calls.csv выгружено 2 звонка\n");
    let left = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_str().unwrap().contains("part")), "something half is left");
}

#[test]
fn files_that_differ_in_their_ending_alone_are_not_made_in_one_place() {
    let dir = journal();
    // What the other one is made in, while it is made.
    let other = dir.path().join("calls.part");
    std::fs::write(&other, "of another").unwrap();
    told(dir.path(), &["export", "-o", "calls.csv"]);
    told(dir.path(), &["export", "-o", "calls.jsonl"]);
    assert_eq!(std::fs::read_to_string(other).unwrap(), "of another");
}

#[test]
fn a_file_for_a_spreadsheet_has_the_mark_of_utf8_and_what_a_program_reads_has_none() {
    let dir = journal();
    let begins = |arguments: &[&str], file: &str| {
        let said = told(dir.path(), &[&["export"], arguments].concat());
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap_or(said);
        text.starts_with('\u{feff}')
    };
    assert!(begins(&["-o", "calls.csv"], "calls.csv"));
    assert!(begins(&["--cdr", "-o", "cdr.csv"], "cdr.csv"));
    assert!(!begins(&["--raw", "-o", "raw.csv"], "raw.csv"));
    assert!(!begins(&["-o", "calls.jsonl"], "calls.jsonl"));
    assert!(!begins(&[], "nothing"));
}

#[test]
fn a_pipe_that_has_a_name_is_written_into_and_stays_one() {
    let dir = journal();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader =
        Command::new("timeout").args(["40", "cat"]).arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(told(dir.path(), &["export", "-o", "pipe"]), "");
    let read = reader.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(read).unwrap(), told(dir.path(), &["export"]));
    assert!(!std::fs::metadata(&pipe).unwrap().is_file(), "a file took its place");
}

#[test]
fn a_callers_name_is_no_formula() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let more = ["name=%3DHYPERLINK(%22http%3A//x%22)", "num=%2B79190000000", "exten=101"];
    assert!(
        Telling::new("start", "1795390723.0", "1795390723.0", 1, 1_795_390_723_000, &more).tell(server.agi)
    );
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    let text = told(dir.path(), &["export"]);
    assert!(text.contains(",'+79190000000,\"'=HYPERLINK(\"\"http://x\"\")\","), "{text}");
    let raw = told(dir.path(), &["export", "--raw"]);
    assert!(raw.contains(",+79190000000,\"=HYPERLINK("), "{raw}");
    server.stop();
}

#[test]
fn a_callers_name_is_no_formula_where_cells_are_parted_by_semicolons() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let more = ["name=x%3B%3Dcmd%7C%27/C%20calc%27%21A0%3B", "num=%2B79190000000", "exten=101"];
    for (kind, seq, more) in [("start", 1, &more[..]), ("hangup", 2, &["cause=16"])] {
        let (uid, ms) = ("1795390723.0", 1_795_390_723_000 + u64::from(seq));
        assert!(Telling::new(kind, uid, uid, seq, ms, more).tell(server.agi));
    }
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    for form in [&["export"][..], &["export", "--cdr"]] {
        let text = told(dir.path(), form);
        assert!(text.contains("x;'=cmd|'/C calc'!A0;"), "{text}");
        let cells = text.split([';', '\n']).map(|cell| cell.trim_start_matches('"'));
        assert!(!cells.into_iter().any(|cell| cell.starts_with('=')), "{text}");
    }
    server.stop();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for telling in (0..20).flat_map(|n| plain_call(10 * n, 1_795_390_723 + n)) {
        assert!(telling.tell(server.agi));
    }
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    let mut export = calljournal(dir.path(), &["export", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(export.stdout.take());
    let ended = export.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
    server.stop();
}
