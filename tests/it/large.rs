//! A call of many events, of which the server keeps those of the last time in memory.

use calljournal::event::{Event, Kind};

use super::intake::{Journal, answered, event, uid};
use super::texts;

/// A queue that rings phone after phone: so many channels that ring and are given up on.
fn queue(phones: u32) -> Vec<Event> {
    let caller = uid(0);
    let said = format!("caller={caller}");
    let mut told =
        vec![event(Kind::Start, &caller, &caller, 1, 0, &["num=79990000000", "exten=100", "dir=in"])];
    for n in 1..=phones {
        let at = i64::from(n);
        told.push(event(Kind::Ring, &uid(n), &caller, 1, at, &[&said, "num=101"]));
        told.push(event(Kind::Hangup, &uid(n), &caller, 2, at, &["cause=0"]));
    }
    told
}

/// All that follows from the events.
fn outcome(journal: &Journal) -> Vec<String> {
    let mut db = journal.sql();
    let of = [
        "SELECT doc AS s FROM calls",
        "SELECT token || ' ' || note AS s FROM events ORDER BY token",
        "SELECT uniqueid || ' ' || outcome AS s FROM legs ORDER BY n",
        "SELECT channel AS s FROM members ORDER BY channel",
    ];
    of.iter().flat_map(|sql| texts(&mut db, sql)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_call_comes_out_the_same_whether_told_event_by_event_or_at_once() {
    let told = queue(303);
    let (most, last) = told.split_at(600);
    let (slowly, at_once) = (Journal::open(), Journal::open());
    slowly.accept(most).await;
    slowly.pass(0.0).await;
    for event in last {
        slowly.accept(std::slice::from_ref(event)).await;
        slowly.pass(0.0).await;
    }
    at_once.accept(&told).await;
    at_once.pass(0.0).await;
    assert_eq!(outcome(&slowly), outcome(&at_once));
    assert_eq!(outcome(&slowly).len(), 1 + told.len() + 304 + 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_large_call_is_not_believed_when_the_log_says_otherwise() {
    let told = queue(303);
    let journal = Journal::open();
    journal.accept(&told[..605]).await;
    journal.pass(0.0).await;
    // As when somebody else took an event away, and put nothing in its place.
    let gone = "DELETE FROM events WHERE kind = 'start'";
    diesel::connection::SimpleConnection::batch_execute(&mut journal.sql(), gone).unwrap();
    journal.accept(&told[605..]).await;
    journal.pass(0.0).await;
    let known = texts(&mut journal.sql(), "SELECT doc AS s FROM calls").concat();
    assert!(!known.contains("79990000000"), "the caller was remembered: {:.400}", known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_call_that_gets_an_older_name_keeps_its_legs() {
    let mut told = queue(303);
    told.push(event(Kind::Note, &uid(1), "1600000000.1", 3, 400, &["text=joined"]));
    let (most, last) = told.split_at(607);
    let (slowly, at_once) = (Journal::open(), Journal::open());
    slowly.accept(most).await;
    slowly.pass(0.0).await;
    slowly.accept(last).await;
    slowly.pass(0.0).await;
    at_once.accept(&told).await;
    at_once.pass(0.0).await;
    assert_eq!(outcome(&slowly), outcome(&at_once));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_too_many_events_takes_no_more_and_no_other_calls() {
    let journal = Journal::open();
    journal.accept(&queue(3)).await;
    journal.pass(0.0).await;
    let more = "WITH RECURSIVE many (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 20000)
         INSERT INTO events (pbx, token, kind, feed, uid, linkedid, root, seq, at_us, timed, received_us, channel, facts,
                             call_id, note, settled)
         SELECT pbx, token || '-' || i, kind, feed, uid, linkedid, root, NULL, at_us, timed, received_us, channel, facts,
                call_id, note, settled FROM events, many WHERE kind = 'start'";
    diesel::connection::SimpleConnection::batch_execute(&mut journal.sql(), more).unwrap();
    assert_eq!(journal.number("SELECT COUNT(*) AS n FROM events"), 20_007);
    let mut other = answered(100);
    other.iter_mut().filter(|e| e.kind == Kind::Hangup).for_each(|e| e.linkedid = uid(0));
    journal.accept(&other).await;
    let late = event(Kind::Ring, &uid(9), &uid(0), 1, 30, &["num=101"]);
    journal.accept(&[late]).await;
    journal.pass(40.0).await;
    let calls =
        texts(&mut journal.sql(), "SELECT linkedid || ' ' || state AS s FROM calls ORDER BY linkedid");
    assert_eq!(calls, [format!("{} started", uid(0)), format!("{} ended", uid(100))]);
    let note = format!("SELECT note AS s FROM events WHERE uid = '{}'", uid(9));
    assert_eq!(texts(&mut journal.sql(), &note), ["not told: the call has more than 20000 events"]);
    assert_eq!(journal.notices(), ["call.ended"]);
}
