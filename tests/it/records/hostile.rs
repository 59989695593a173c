//! Cells that no Asterisk wrote, or one whose callers are not friends.

use calljournal::event::Event;
use calljournal::feed::cdr::row::Reading;
use calljournal::feed::cdr::{Place, Source};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};

use super::bare;
use crate::cluster;

/// As by somebody in UTC, a day after Asterisk wrote what is in the tests.
pub fn reading() -> Reading {
    Reading {
        pbx: "default".to_owned(),
        zone: jiff::tz::TimeZone::UTC,
        at: "2026-11-27T00:00:00Z".parse().unwrap(),
    }
}

/// All that is read at `url`, and how many rows were nothing.
pub fn read(url: &str) -> (Vec<Event>, usize) {
    let mut source = Source::open(&Place { name: url.to_owned(), ..Place::default() }).unwrap();
    let reading = reading();
    let (mut events, mut unreadable) = (Vec::new(), 0);
    while let Some(portion) = source.next(7, &reading).unwrap() {
        assert!(portion.rows <= 7);
        events.extend(portion.events);
        unreadable += portion.unreadable;
    }
    (events, unreadable)
}

#[test]
fn cells_of_any_kind_and_size_in_a_file_cost_themselves_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.db");
    let mut db = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let row = |id: &str, time: &str, clid: &str, duration: &str| {
        format!(
            "INSERT INTO cdr VALUES ({id}, {time}, {clid}, '101', '102', 'PJSIP/101-1', 'PJSIP/102-1', {duration},
                                     'ANSWERED', '1795652185.0', '1795652185.0');"
        )
    };
    let whole = "'2026-11-26 00:16:25'";
    let rows = [
        row("-9223372036854775808", whole, "x'ff00fe41'", "5"),
        row("1", whole, "'a' || char(0) || 'b'", "6.5"),
        row("2", whole, "CAST(zeroblob(5000000) AS TEXT)", "'7'"),
        row("3", whole, "replace(hex(zeroblob(2000000)), '00', 'Ж')", "8"),
        row("4", "1795652185", "'an epoch'", "NULL"),
        row("5", "1795652185.5", "'an epoch with a fraction'", "-1"),
        row("6", "NULL", "'no time'", "1"),
        row("7", "'0000-00-00 00:00:00'", "'never'", "1"),
        row("8", "x'ffff'", "'noise for a time'", "1"),
        row("9", "9223372036854775807", "'after the end of time'", "1"),
        row("9223372036854775807", whole, "'\u{1b}[2J\u{202e}''\"<script>${SHELL(reboot)}'", "1e99"),
    ];
    db.batch_execute(
        "CREATE TABLE cdr (rowid, calldate, clid, src, dst, channel, dstchannel, duration, disposition, uniqueid,
                           linkedid)",
    )
    .unwrap();
    db.batch_execute(&rows.concat()).unwrap();
    let (events, unreadable) = read(&format!("sqlite://{}", path.display()));
    assert_eq!((events.len(), unreadable), (7, 4));
    let clids: Vec<&str> = events.iter().map(|event| event.fact("clid").unwrap_or_default()).collect();
    assert!(clids.iter().all(|clid| clid.len() <= 4096 && !clid.contains('\u{0}')), "{clids:?}");
    assert!(clids.iter().any(|clid| clid.starts_with('\u{fffd}')), "{clids:?}");
    assert!(
        clids.iter().any(|clid| clid.contains("\\u{1b}") && clid.contains("${SHELL(reboot)}")),
        "{clids:?}"
    );
    assert!(clids.contains(&"an epoch"), "{clids:?}");
    assert!(events.iter().all(|event| event.at.as_second() == 1_795_652_185), "{events:?}");
}

#[test]
fn cells_of_any_kind_and_size_on_a_server_cost_themselves_alone() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cluster) = cluster::shared() else { return };
    let url = cluster.database(dir.path());
    let name = format!("cj_ascii_{}", std::process::id());
    // Without an encoding it keeps whatever bytes it is given.
    PgConnection::establish(&url)
        .unwrap()
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'"))
        .unwrap();
    let own = url.split(['/', '?']).nth(3).unwrap();
    let url = url.replace(&format!("/{own}"), &format!("/{name}"));
    let mut db = PgConnection::establish(&url).unwrap();
    let row = |time: &str, clid: &str, duration: &str| {
        format!(
            "INSERT INTO cdr VALUES ({time}, {clid}, 'PJSIP/101-1', {duration}, 'ANSWERED', '1795652185.0');"
        )
    };
    let whole = "'2026-11-26 00:16:25'";
    let rows = [
        row(whole, "E'\\xff\\xfeA'", "5"),
        row(whole, "repeat('x', 5000000)", "6.5"),
        row(whole, "repeat(E'\\xd0\\x96', 1000000)", "NULL"),
        row(whole, "E'\\x1b[2J''\"<script>${SHELL(reboot)}'", "'NaN'"),
        row("'infinity'", "'never ends'", "1"),
        row("'-infinity'", "'never began'", "1"),
        row("'0044-03-15 12:00:00 BC'", "'long ago'", "1"),
        row("NULL", "'no time'", "1"),
    ];
    let made =
        "CREATE TABLE cdr (calldate timestamp, clid text, channel text, duration numeric, disposition text,
                                  uniqueid text);";
    db.batch_execute(&format!("BEGIN; {made}{} COMMIT", rows.concat())).unwrap();
    let (events, unreadable) = read(&url);
    assert_eq!((events.len(), unreadable), (4, 4));
    let clids: Vec<&str> = events.iter().map(|event| event.fact("clid").unwrap_or_default()).collect();
    assert!(clids.iter().all(|clid| clid.len() <= 4096), "{clids:?}");
    assert!(clids.iter().any(|clid| clid.starts_with('\u{fffd}')), "{clids:?}");
    assert!(clids.iter().any(|clid| clid.contains("${SHELL(reboot)}")), "{clids:?}");
    let different: std::collections::BTreeSet<_> = events.iter().map(|event| bare(event).0).collect();
    assert_eq!(different.len(), 3, "rows that differ by their clid alone, and by their length");
}
