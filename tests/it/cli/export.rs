//! What is taken out of the journal, into files that others read.

use std::process::Stdio;

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
    assert!(!dir.path().join("calls.part").exists());
    let said = told(dir.path(), &["--locale", "ru", "export", "-o", "calls.csv"]);
    assert_eq!(said, "В calls.csv выгружено 2 звонка\n");
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
