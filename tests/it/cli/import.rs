//! Calls from Asterisk's own records: what two real Asterisks wrote of the calls of the tests, read as they wrote it.
//!
//! `tests/fixtures/records/NAME.csv` is a `Master.csv`, `NAME.txt` what the journal makes of it. It was held against what
//! the dialplan told of the same calls: who called, who answered and the disposition are the same in each of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::super::server::{Server, calljournal, count, output, plain_call, said};
use super::super::{database, texts};
use super::{json, told};

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records");

fn record(name: &str) -> String {
    format!("{RECORDS}/{name}.csv")
}

/// What each call came to, the oldest first.
fn calls(dir: &Path) -> String {
    let Value::Array(calls) = json(dir, &["calls", "--json", "-n", "1000"]) else { panic!("no list") };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |call: &Value| {
        let list = |name: &str, of: &dyn Fn(&Value) -> String| -> String {
            call[name].as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(", ")
        };
        let talks = list("conversations", &|talk| {
            format!(
                "{}-{} {} s",
                text(&talk["caller"]["number"]),
                text(&talk["called"]["number"]),
                talk["talk_ms"].as_i64().unwrap() / 1000
            )
        });
        let moved = list("transfers", &|one| {
            format!("{} by {} to {}", text(&one["how"]), text(&one["by"]["number"]), text(&one["to"]))
        });
        format!(
            "{} {} to {}: {} [{talks}] [{moved}]\n",
            text(&call["linkedid"]),
            text(&call["source"]["number"]),
            text(&call["destination"]),
            text(&call["disposition"]),
        )
    };
    calls.iter().rev().map(one).collect()
}

#[test]
fn the_calls_of_real_records_are_told_as_far_as_they_tell() {
    for name in ["asterisk16", "freepbx-on-22"] {
        let dir = tempfile::tempdir().unwrap();
        told(dir.path(), &["import", &record(name), "--timezone", "UTC"]);
        let (told, file) = (calls(dir.path()), PathBuf::from(record(name)).with_extension("txt"));
        if std::env::var_os("CALLJOURNAL_RETELL").is_some() {
            std::fs::write(&file, &told).unwrap();
        }
        assert_eq!(told, std::fs::read_to_string(file).unwrap(), "{name}");
        let noted = "SELECT COUNT(*) AS n FROM notices";
        assert_eq!(count(dir.path(), noted), 0, "somebody would be told of history");
        assert_eq!(count(dir.path(), "SELECT COUNT(*) AS n FROM calls WHERE state <> 'ended'"), 0);
    }
}

#[test]
fn a_row_counts_once_however_often_and_from_wherever_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let first = told(dir.path(), &["import", &record("asterisk16"), "--timezone", "UTC"]);
    assert!(first.contains("added: 55 calls"), "{first}");
    let (before, events) = (calls(dir.path()), count(dir.path(), "SELECT COUNT(*) AS n FROM events"));
    // The same rows by headings, in another order of columns, with times of another zone.
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_path(record("asterisk16")).unwrap();
    let other = dir.path().join("other.csv");
    let mut out = csv::Writer::from_path(&other).unwrap();
    let columns = [
        ("calldate", 9),
        ("clid", 4),
        ("src", 1),
        ("dst", 2),
        ("dcontext", 3),
        ("channel", 5),
        ("dstchannel", 6),
        ("lastapp", 7),
        ("lastdata", 8),
        ("duration", 12),
        ("billsec", 13),
        ("disposition", 14),
        ("uniqueid", 16),
        ("linkedid", 19),
    ];
    out.write_record(columns.map(|(name, _)| name)).unwrap();
    for row in rows.records() {
        let row = row.unwrap();
        out.write_record(columns.map(|(name, at)| {
            if name == "calldate" { row[at].replace(" 00:", " 01:") } else { row[at].to_owned() }
        }))
        .unwrap();
    }
    out.flush().unwrap();
    let wrong = output(dir.path(), &["import", "other.csv", "--timezone", "UTC"]);
    assert!(!wrong.status.success() && said(&wrong).contains("--timezone"), "{}", said(&wrong));
    let again = told(dir.path(), &["import", &record("asterisk16"), "--timezone", "UTC"]);
    assert!(again.contains("same: 55 calls\nadded: 0 calls\ncorrected: 0 calls"), "{again}");
    assert_eq!(count(dir.path(), "SELECT COUNT(*) AS n FROM events"), events);
    told(dir.path(), &["import", "other.csv", "--timezone", "Europe/Berlin"]);
    assert_eq!(calls(dir.path()), before);
}

#[test]
fn a_trial_says_what_would_be_done_and_does_nothing() {
    let dir = super::journal();
    let asked = ["import", &record("freepbx-on-22"), "--timezone", "UTC", "--dry-run"];
    let trial = told(dir.path(), &asked);
    assert!(trial.contains("would be added: 25 calls"), "{trial}");
    assert_eq!(told(dir.path(), &asked), trial);
    assert_eq!(count(dir.path(), "SELECT COUNT(*) AS n FROM calls"), 2);
    let russian = told(dir.path(), &[&["--locale", "ru"], asked.as_slice()].concat());
    assert!(russian.contains("было бы добавлено: 25 звонков"), "{russian}");
    let nowhere = tempfile::tempdir().unwrap();
    assert!(!output(nowhere.path(), &asked).status.success());
    assert!(!nowhere.path().join("calljournal.db").exists());
}

/// What logrotate has gzip do.
fn gzip(file: &Path) -> PathBuf {
    assert!(std::process::Command::new("gzip").arg("-9").arg(file).status().unwrap().success());
    PathBuf::from(format!("{}.gz", file.display()))
}

#[test]
fn what_logrotate_compressed_is_read_and_what_is_cut_short_is_told_with_what_came_before_it_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let aside = dir.path().join("Master.csv.1");
    std::fs::copy(record("asterisk16"), &aside).unwrap();
    let packed = gzip(&aside);
    let whole = std::fs::read(&packed).unwrap();
    // While it is still being written.
    std::fs::write(&packed, &whole[..whole.len() * 2 / 3]).unwrap();
    let cut = output(dir.path(), &["import", "Master.csv.1.gz", "--timezone", "UTC"]);
    assert!(!cut.status.success(), "{}", said(&cut));
    assert!(
        said(&cut).contains("Master.csv.1.gz: it is compressed and cannot be unpacked"),
        "{}",
        said(&cut)
    );
    let before = count(dir.path(), "SELECT COUNT(*) AS n FROM calls");
    assert!((1..55).contains(&before), "{before} calls");
    std::fs::write(&packed, [&[0x1f, 0x8b][..], &[0xff; 500]].concat()).unwrap();
    let garbage = output(dir.path(), &["import", "Master.csv.1.gz"]);
    assert!(!garbage.status.success() && said(&garbage).contains("cannot be unpacked"), "{}", said(&garbage));
    std::fs::write(&packed, &whole).unwrap();
    told(dir.path(), &["import", "Master.csv.1.gz", "--timezone", "UTC"]);
    assert_eq!(calls(dir.path()), std::fs::read_to_string(format!("{RECORDS}/asterisk16.txt")).unwrap());
}

#[test]
fn reconcile_finds_what_was_put_aside_and_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let aside = dir.path().join("Master.csv-20261125");
    std::fs::copy(record("asterisk16"), &aside).unwrap();
    gzip(&aside);
    // The new one holds nothing yet.
    std::fs::write(dir.path().join("Master.csv"), "").unwrap();
    let source = "[{ source = \"Master.csv\", timezone = \"UTC\" }]";
    let reconcile = || {
        let mut command =
            calljournal(dir.path(), &["reconcile", "--since", "2000-01-01", "--format", "json"]);
        let output = command.env("CALLJOURNAL_RECONCILE", source).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["total"].clone()
    };
    assert_eq!(reconcile()["added"], 55);
    let again = reconcile();
    assert_eq!((&again["added"], &again["same"]), (&Value::from(0), &Value::from(55)), "{again}");
}

const COLUMNS: &str =
    "start,clid,src,dst,dcontext,channel,dstchannel,lastapp,duration,billsec,disposition,uniqueid,linkedid";

/// What Asterisk would write of a [`plain_call`], and of one nobody told.
fn master() -> String {
    let row = |second: i64, uid: &str, phone: &str| {
        let at = jiff::Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
        format!(
            "{at},\"\"\"Ivan\"\" <79190000000>\",79190000000,73512020318,from-trunk,PJSIP/{uid},PJSIP/{phone},Dial,30,27,ANSWERED,{uid},{uid}\n"
        )
    };
    let broken = "2026-11-22 23:50:00,\"never closed,\n\n\u{0}nonsense\n";
    format!(
        "{COLUMNS}\n{}{broken}{}",
        row(1_795_390_723, "1795390723.0", "1795390723.1"),
        row(1_795_394_000, "1795394000.1", "1795394000.9")
    )
}

#[test]
fn a_call_whose_telling_broke_off_is_told_to_its_end_and_one_that_was_told_whole_stays() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    // Of the first call only the beginning is told, the second one whole.
    let begun = plain_call(0, 1_795_390_723).into_iter().take(3);
    for telling in begun.chain(plain_call(8, 1_795_390_800)) {
        assert!(telling.tell(server.agi));
    }
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    server.stop();
    let shown = |linkedid: &str| json(dir.path(), &["show", linkedid, "--json"])["call"].clone();
    let (open, whole) = (shown("1795390723.0"), shown("1795390800.8"));
    assert_ne!(open["state"], "ended");
    let other = master()
        .replace("1795394000.1", "1795390800.8")
        .replace("2026-11-23 00:33:20", "2026-11-22 23:40:00");
    std::fs::write(dir.path().join("Master.csv"), master() + &other).unwrap();
    let said = told(dir.path(), &["import", "Master.csv", "--pbx", "test"]);
    assert!(said.contains("2 of them cannot be understood") || said.contains("of them cannot"), "{said}");
    assert!(said.contains("same: one call\n") && said.contains("added: one call\n"), "{said}");
    assert!(said.contains("corrected: one call") && said.contains("one call is told otherwise"), "{said}");
    let told_now = shown("1795390723.0");
    assert_eq!(told_now["state"], "ended");
    assert_eq!(told_now["ended_at"], "2026-11-22T23:39:13Z");
    for known in ["source", "destination", "direction", "answered_at", "answered_by", "started_at"] {
        assert_eq!(told_now[known], open[known], "{known}");
    }
    assert_eq!(shown("1795390800.8"), whole);
    let events = told(dir.path(), &["show", "1795390800.8", "--events"]);
    assert!(events.contains("no change: Asterisk's own record ends"), "{events}");
    assert_eq!(shown("1795394000.1")["answered_by"]["number"], "73512020318");
}

/// All that is written down of calls, but for what counts up, and for the call that stands in the way.
fn rows(dir: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, columns) in [
        (
            "events",
            "pbx,token,kind,feed,uid,linkedid,root,seq,at_us,timed,channel,facts,agi,call_id,note,settled",
        ),
        ("members", "pbx,channel,call_id"),
        (
            "calls",
            "id,pbx,linkedid,call_key,state,direction,org,trunk,src,src_name,dst,started_us,answered_us,ended_us,\
             end_time_known,answered_by,disposition,hung_up_by,cause,wait_ms,talk_ms,abandoned,doc,due_us,told_print,\
             corrections",
        ),
        (
            "legs",
            "call_id,n,uniqueid,channel,number,name,role,outcome,started_us,answered_us,ended_us,cause,ring_ms,talk_ms",
        ),
        (
            "cdr",
            "call_id,n,calldate,clid,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,duration,billsec,disposition,\
             amaflags,accountcode,uniqueid,userfield,peeraccount,linkedid,sequence,calldate_us",
        ),
        ("endings", "pbx,linkedid,notice_id"),
        ("call_aliases", "alias,call_id"),
        ("guests", "pbx,host,call_id"),
        ("notices", "id,call_id,kind,body"),
    ] {
        let cells: Vec<String> =
            columns.split(',').map(|name| format!("COALESCE(CAST({name} AS TEXT), '-')")).collect();
        let sql = format!("SELECT '{table} ' || {} AS s FROM {table} ORDER BY 1", cells.join(" || ' ' || "));
        rows.extend(texts(&mut database(dir), &sql));
    }
    rows.retain(|row| !row.contains("1500000000.1"));
    rows
}

/// A call that waits to be settled, which has no part in any other: then none is written whole.
fn let_one_wait(dir: &Path) {
    let row =
        "2017-07-14 02:40:00,one,1,2,from-internal,PJSIP/1,,Dial,3,2,ANSWERED,1500000000.1,1500000000.1";
    std::fs::write(dir.join("waits.csv"), format!("{COLUMNS}\n{row}\n")).unwrap();
    told(dir, &["import", "waits.csv", "--timezone", "UTC"]);
    let of_one = "uid = '1500000000.1'";
    let wait = format!(
        "UPDATE events SET settled = FALSE, received_us = received_us + 3153600000000000 WHERE {of_one}"
    );
    diesel::RunQueryDsl::execute(diesel::sql_query(wait), &mut database(dir)).unwrap();
}

#[test]
fn calls_that_are_written_whole_are_what_they_are_when_they_are_settled_event_by_event() {
    for files in [
        &["asterisk16"][..],
        &["freepbx-on-22"],
        &["asterisk22", "asterisk22-cel"],
        &["asterisk22-cel", "asterisk22"],
    ] {
        let (whole, by_event) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let_one_wait(by_event.path());
        for (dir, name) in
            [whole.path(), by_event.path()].iter().flat_map(|dir| files.iter().map(move |name| (dir, name)))
        {
            told(dir, &["import", &record(name), "--timezone", "UTC"]);
        }
        let (whole, by_event) = (rows(whole.path()), rows(by_event.path()));
        assert!(whole.len() > 100, "{}", whole.len());
        for (one, other) in whole.iter().zip(&by_event) {
            assert_eq!(one, other, "{files:?}");
        }
        assert_eq!(whole.len(), by_event.len());
    }
}

/// Rows of as many calls, a minute apart.
fn history(calls: i64) -> String {
    let row = |n: i64| {
        let second = 1_700_000_000 + n * 60;
        let at = jiff::Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d %H:%M:%S");
        format!(
            "{at},one,101,102,from-internal,PJSIP/101-{n},PJSIP/102-{n},Dial,30,27,ANSWERED,{second}.{n},{second}.{n}\n"
        )
    };
    format!("{COLUMNS}\n") + &(0..calls).map(row).collect::<String>()
}

#[test]
fn while_years_are_imported_a_server_beside_it_has_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    std::fs::write(dir.path().join("Master.csv"), history(20_000)).unwrap();
    let mut import = calljournal(dir.path(), &["import", "Master.csv", "--timezone", "UTC"]);
    let mut import = import.stdout(Stdio::null()).spawn().unwrap();
    let begun = || count(dir.path(), "SELECT COUNT(*) AS n FROM calls") > 0;
    while !begun() {
        assert!(import.try_wait().unwrap().is_none(), "it is over already");
    }
    // On a slow machine the answer may come too late, and the next is refused; what was told first is written all the same.
    let told = || count(dir.path(), "SELECT COUNT(*) AS n FROM events WHERE feed = 'agi'");
    for telling in (0..).flat_map(|n| plain_call(n * 8, 1_795_390_800 + n)) {
        telling.tell(server.agi);
        if told() > 0 {
            break;
        }
        assert!(
            import.try_wait().unwrap().is_none(),
            "the server could not write before the import was over"
        );
    }
    assert!(import.wait().unwrap().success());
    assert_eq!(
        count(dir.path(), "SELECT COUNT(*) AS n FROM calls WHERE started_us < 1790000000000000"),
        20_000
    );
}
