//! What is promised of the one door for writing.

use std::time::Duration;

use calljournal::call::{CallId, Rules, State};
use calljournal::clock::Clock;
use calljournal::event::{Arrival, Event, Feed, Kind};
use calljournal::intake::{Intake, Policy, Receipt, Refused, Subscription};
use calljournal::store::{Db, Lane, Store};
use diesel::connection::SimpleConnection;
use jiff::{SignedDuration, Timestamp};

/// The second of the first linkedid, and the start of the tests' clock.
pub const T0: i64 = 1_795_390_723;

/// A journal in a directory of its own, with a clock moved by hand.
pub struct Journal {
    pub dir: tempfile::TempDir,
    pub clock: Clock,
    pub store: Store,
    pub intake: Intake,
}

impl Journal {
    /// Opened, with deadlines released.
    pub fn open() -> Journal {
        let journal = Journal::unreleased(tempfile::tempdir().unwrap(), T0);
        journal.intake.release_deadlines();
        journal
    }

    pub fn unreleased(dir: tempfile::TempDir, second: i64) -> Journal {
        let clock = Clock::manual(Timestamp::from_second(second).unwrap());
        let store = Store::open(&super::url(dir.path())).unwrap();
        let crm = Subscription {
            endpoint: "crm".into(),
            kinds: vec!["call.ended".into()],
            corrections: true,
            ..Subscription::default()
        };
        let ask_after = Some(SignedDuration::from_secs(300));
        let policy = Policy { subscriptions: vec![crm], ask_after, ..RULES.into() };
        let intake = Intake::start(store.clone(), clock.clone(), policy);
        Journal { dir, clock, store, intake }
    }

    /// Another node on the same database, with the same clock.
    pub fn another_node(&self) -> Intake {
        let store = Store::open(&super::url(self.dir.path())).unwrap();
        let crm = Subscription {
            endpoint: "crm".into(),
            kinds: vec!["call.ended".into()],
            corrections: true,
            ..Subscription::default()
        };
        let node =
            Intake::start(store, self.clock.clone(), Policy { subscriptions: vec![crm], ..RULES.into() });
        node.release_deadlines();
        node
    }

    /// Ends this process's part and begins again on the same file, `later` seconds on.
    pub async fn restart(self, later: i64) -> Journal {
        self.intake.stop().await;
        let second = self.clock.now().as_second() + later;
        let Journal { dir, store, intake, .. } = self;
        drop((store, intake));
        Journal::unreleased(dir, second)
    }

    pub async fn accept(&self, events: &[Event]) -> Receipt {
        self.intake.accept(events.to_vec()).await.unwrap()
    }

    /// Moves the clock and waits until nothing is unsettled and no deadline is overdue.
    pub async fn pass(&self, seconds: f64) {
        self.clock.advance(SignedDuration::from_secs_f64(seconds));
        for _ in 0..500 {
            let now = self.clock.now().as_microsecond();
            let waiting = self.number(&format!(
                "SELECT (SELECT COUNT(*) FROM events WHERE NOT settled)
                      + (SELECT COUNT(*) FROM calls WHERE due_us <= {now}) AS n"
            ));
            if waiting == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never settled");
    }

    /// The database, past the door.
    pub fn sql(&self) -> Db {
        super::database(self.dir.path())
    }

    pub fn run(&self, sql: &str) {
        self.sql().batch_execute(sql).unwrap();
    }

    pub fn number(&self, sql: &str) -> i64 {
        super::number(&mut self.sql(), sql)
    }

    pub fn texts(&self, sql: &str) -> Vec<String> {
        super::texts(&mut self.sql(), sql)
    }

    pub fn notices(&self) -> Vec<String> {
        self.texts("SELECT kind AS s FROM notices ORDER BY created_us, kind")
    }

    /// Makes the database refuse rows of `table` for which `condition` holds.
    fn poison(&self, table: &str, condition: &str) {
        self.run(&if super::on_postgres() {
            format!("ALTER TABLE {table} ADD CONSTRAINT poison CHECK (NOT ({condition})) NOT VALID")
        } else {
            format!("CREATE TRIGGER poison BEFORE INSERT ON {table} WHEN NEW.{condition} BEGIN SELECT RAISE(ABORT, 'poison'); END")
        });
    }

    fn cure(&self, table: &str) {
        self.run(&if super::on_postgres() {
            format!("ALTER TABLE {table} DROP CONSTRAINT poison")
        } else {
            "DROP TRIGGER poison".to_owned()
        });
    }
}

pub const RULES: Rules = Rules {
    grace: SignedDuration::from_millis(1500),
    gap: SignedDuration::from_secs(30),
    lost: SignedDuration::from_secs(14_400),
};

/// An event that happened and reached us `at` seconds into the test.
pub fn event(kind: Kind, uid: &str, lid: &str, seq: u32, at: i64, more: &[&str]) -> Event {
    let fixed = [
        "v=1".to_owned(),
        format!("token={uid}-{seq}-{kind}-{at}"),
        "pbx=office".to_owned(),
        format!("uid={uid}"),
        format!("lid={lid}"),
        format!("root={lid}"),
        format!("seq={seq}"),
        format!("t={}.000000", T0 + at),
        format!("chan=PJSIP/x-{uid}"),
    ];
    let args = fixed.iter().map(|a| a.as_bytes()).chain(more.iter().map(|a| a.as_bytes()));
    let arrival = Arrival { feed: Feed::Agi, pbx: "x", at: Timestamp::from_second(T0 + at).unwrap() };
    Event::from_args(kind, args, arrival).unwrap()
}

/// Channel `n` of the tests.
pub fn uid(n: u32) -> String {
    format!("{T0}.{n}")
}

/// Caller on channel `n`, called on `n + 1`; from 0 to 20 seconds.
pub fn answered(n: u32) -> Vec<Event> {
    let (a, b) = (uid(n), uid(n + 1));
    let caller = format!("caller={a}");
    vec![
        event(Kind::Start, &a, &a, 1, 0, &["num=79990000000", "exten=100", "dir=in"]),
        event(Kind::Ring, &b, &a, 1, 1, &[&caller, "num=101"]),
        event(Kind::Answer, &b, &a, 2, 5, &[&caller, "num=101"]),
        event(Kind::Hangup, &b, &a, 3, 20, &["cause=16"]),
        event(Kind::Hangup, &a, &a, 2, 20, &["cause=16", "dialstatus=ANSWER"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_told_twice_is_kept_once_and_answered_twice() {
    let j = Journal::open();
    let start = event(Kind::Start, &uid(0), &uid(0), 1, 0, &[]);
    assert_eq!(j.accept(&[start.clone(), start.clone()]).await, Receipt { fresh: 1, duplicates: 1 });
    assert_eq!(j.accept(&[start]).await, Receipt { fresh: 0, duplicates: 1 });
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_its_order_and_is_told_what_was_there_before() {
    let j = Journal::open();
    // By their tokens they come in another order.
    let [a, b, c] = [9, 5, 7].map(|n| event(Kind::Start, &uid(n), &uid(n), 1, 0, &[]));
    assert_eq!(j.accept(std::slice::from_ref(&b)).await, Receipt { fresh: 1, duplicates: 0 });
    let mut again = a.clone();
    again.channel = "told twice".into();
    let told = [a.clone(), b.clone(), c.clone(), again];
    assert_eq!(j.accept(&told).await, Receipt { fresh: 2, duplicates: 2 });
    let tokens = [b, a, c].map(|e| e.token.to_string());
    assert_eq!(j.texts("SELECT token AS s FROM events ORDER BY id"), tokens);
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events WHERE channel = 'told twice'"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_event_costs_only_its_own_ack() {
    let j = Journal::open();
    j.poison("events", &format!("uid = '{}'", uid(66)));
    let asked: Vec<_> = (60..80)
        .map(|n| {
            let intake = j.intake.clone();
            tokio::spawn(async move {
                (n, intake.accept(vec![event(Kind::Start, &uid(n), &uid(n), 1, 0, &[])]).await)
            })
        })
        .collect();
    for task in asked {
        let (n, answer) = task.await.unwrap();
        assert_eq!(answer.is_ok(), n != 66, "event {n}: {answer:?}");
    }
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), 19);
    let mixed = [65, 66, 90].map(|n| event(Kind::Note, &uid(n), &uid(n), 2, 1, &[]));
    assert!(matches!(j.intake.accept(mixed.to_vec()).await, Err(Refused::Store(_))));
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_as_ended_once_after_the_grace_and_not_before() {
    let j = Journal::open();
    j.accept(&answered(0)).await;
    j.pass(21.0).await;
    assert_eq!(j.notices(), [""; 0]);
    j.pass(1.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
    let call = j.store.call(&uid(1)).await.unwrap().unwrap();
    assert_eq!((call.call.state, call.told, call.corrections), (State::Ended, true, 0));
    assert_eq!(call.cdr.len(), 1);
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM deliveries WHERE endpoint = 'crm'"), 1);
    let body = j.texts("SELECT body AS s FROM notices").remove(0);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["type"], "call.ended");
    assert_eq!(body["data"], serde_json::to_value(&call.call).unwrap());
    let events = j.store.events(&call.call.id.to_string()).await.unwrap();
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|e| e.note.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_corrects_what_was_told_only_where_it_differs() {
    let j = Journal::open();
    let mut events = answered(0);
    let cause = events.pop().unwrap();
    let bare = event(Kind::Hangup, &uid(0), &uid(0), 2, 20, &["cause=16", "dialstatus=ANSWER"]);
    assert_eq!(bare, cause);
    events.push(bare);
    j.accept(&events).await;
    j.pass(30.0).await;
    assert_eq!(j.notices(), ["call.ended"]);

    // `h` and the handler both tell: the second one says nothing new.
    j.accept(&[event(Kind::Hangup, &uid(0), &uid(0), 3, 31, &["cause=16", "dialstatus=ANSWER"])]).await;
    j.pass(5.0).await;
    assert_eq!(j.notices(), ["call.ended"]);

    j.accept(&[event(Kind::Note, &uid(0), &uid(0), 4, 36, &["text=asked%20for%20an%20invoice"])]).await;
    j.pass(5.0).await;
    assert_eq!(j.notices(), ["call.ended", "call.corrected"]);
    let told = "SELECT COUNT(*) AS n FROM deliveries WHERE endpoint = 'crm'";
    assert_eq!(j.number(told), 2, "who wants call.ended wants its corrections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_answered_whole_and_settled_behind_it() {
    let j = Journal::open();
    let asked: Vec<_> = (0..300)
        .map(|n| {
            let intake = j.intake.clone();
            tokio::spawn(async move { intake.accept(answered(10 * n)).await })
        })
        .collect();
    for task in asked {
        assert_eq!(task.await.unwrap(), Ok(Receipt { fresh: 5, duplicates: 0 }));
    }
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), 1500);
    j.pass(30.0).await;
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM calls"), 300);
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM notices WHERE kind = 'call.ended'"), 300);
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM notices"), 300);
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM legs"), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unsettled_at_the_end_is_settled_after_the_next_start() {
    let j = Journal::open();
    // As a process leaves it that was killed between the two steps.
    let events = answered(0);
    j.accept(&events).await;
    j.pass(0.0).await;
    let j = j.restart(0).await;
    j.intake.stop().await;
    j.run("UPDATE events SET settled = FALSE, call_id = NULL, note = NULL; DELETE FROM calls; DELETE FROM members");
    let j = j.restart(60).await;
    j.intake.release_deadlines();
    j.pass(0.0).await;
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM calls"), 1);
    assert_eq!(j.notices(), ["call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_survive_a_restart_and_wait_until_they_are_released() {
    let j = Journal::open();
    j.accept(&answered(0)).await;
    j.pass(20.0).await;
    let j = j.restart(60).await;
    j.accept(&[event(Kind::Start, &uid(50), &uid(50), 1, 80, &[])]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(j.notices(), [""; 0], "the spool was not looked through yet");
    j.intake.release_deadlines();
    j.pass(0.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_which_nothing_is_heard_ends_with_its_end_unknown() {
    let j = Journal::open();
    j.accept(&answered(0)[..3]).await;
    j.pass(14_000.0).await;
    assert_eq!(j.notices(), [""; 0]);
    j.pass(500.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
    let call = j.store.call(&uid(0)).await.unwrap().unwrap().call;
    assert_eq!((call.state, call.ended_at, call.end_time_known), (State::Ended, None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ties_two_calls_together_moves_everything_to_one() {
    let j = Journal::open();
    j.accept(&answered(0)[..3]).await;
    j.pass(6.0).await;
    j.accept(&answered(10)[..3]).await;
    j.pass(0.0).await;
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM calls"), 2);
    let (first, second) = (CallId::of("office", &uid(0)), CallId::of("office", &uid(10)));

    // The far leg of the second call ends under the linkedid of the first.
    let mut tie = event(Kind::Hangup, &uid(11), &uid(0), 3, 20, &["cause=16"]);
    tie.root = Some(uid(10));
    j.accept(&[tie]).await;
    j.pass(0.0).await;
    assert_eq!(j.texts("SELECT id AS s FROM calls"), [first.to_string()]);
    for table in ["events", "members", "legs", "cdr"] {
        let strays = format!("SELECT COUNT(*) AS n FROM {table} WHERE call_id <> '{first}'");
        assert_eq!(j.number(&strays), 0, "{table}");
    }
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), 7);
    for name in [second.to_string(), uid(11)] {
        assert_eq!(j.store.call(&name).await.unwrap().unwrap().call.id, first);
    }
    assert_eq!(j.notices(), [""; 0], "no id was told outside yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_two_told_calls_turn_out_to_be_one_the_merge_is_told_and_no_second_end() {
    let j = Journal::open();
    j.accept(&answered(0)).await;
    j.accept(&answered(10)).await;
    j.pass(30.0).await;
    assert_eq!(j.notices(), ["call.ended", "call.ended"]);
    let mut tie = event(Kind::Note, &uid(11), &uid(0), 4, 31, &["text=x"]);
    tie.root = Some(uid(10));
    j.accept(&[tie]).await;
    j.pass(10.0).await;
    let mut told = j.notices();
    told.sort();
    assert_eq!(told, ["call.corrected", "call.ended", "call.ended", "call.merged"]);
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM deliveries"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_settled_is_set_aside_and_stops_no_other() {
    let j = Journal::open();
    j.poison("calls", &format!("linkedid = '{}'", uid(10)));
    for n in [0, 10, 20] {
        j.accept(&answered(n)).await;
    }
    j.pass(30.0).await;
    assert_eq!(j.notices(), ["call.ended", "call.ended"]);
    assert_eq!(j.store.counts().await.unwrap().set_aside, 1);

    // Whatever was wrong is put right, and the next event of the call brings all of it back.
    j.cure("calls");
    j.accept(&[event(Kind::Note, &uid(10), &uid(10), 3, 31, &["text=x"])]).await;
    j.pass(10.0).await;
    assert_eq!(j.notices(), ["call.ended"; 3]);
    let call = j.store.call(&uid(10)).await.unwrap().unwrap();
    assert_eq!((call.call.legs.len(), call.set_aside), (2, None));
    assert_eq!(j.store.counts().await.unwrap().set_aside, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_split_and_order_of_a_calls_events_tells_its_end_once() {
    for turn in 0..5 {
        let j = Journal::open();
        let mut events = answered(0);
        events.rotate_left(turn);
        events.push(events[1].clone());
        for one in events {
            j.accept(&[one]).await;
        }
        j.pass(60.0).await;
        assert_eq!(j.notices(), ["call.ended"], "turn {turn}");
        assert_eq!(j.store.calls(10).await.unwrap()[0].talk_ms, 15_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_what_is_queued_and_refuses_what_comes_after() {
    let j = Journal::open();
    let asked: Vec<_> = (0..50)
        .map(|n| {
            let intake = j.intake.clone();
            tokio::spawn(async move { intake.accept(answered(10 * n)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    j.intake.stop().await;
    let mut kept = 0;
    for task in asked {
        match task.await.unwrap() {
            Ok(receipt) => kept += receipt.fresh as i64,
            Err(refused) => assert_eq!(refused, Refused::Stopping),
        }
    }
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), kept);
    assert_eq!(j.intake.accept(answered(1000)).await, Err(Refused::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn tied_calls_come_to_the_same_in_whatever_order_and_portions_they_are_told() {
    // Three groups; the last event of each names a channel of the next one.
    let mut events: Vec<Event> = [0, 10, 20].into_iter().flat_map(answered).collect();
    for n in [10, 20] {
        let mut tie = event(Kind::Note, &uid(n), &uid(n - 10), 3, 21, &["text=tie"]);
        tie.root = Some(uid(n));
        events.push(tie);
    }
    let mut docs = std::collections::BTreeSet::new();
    for seed in 1u64..9 {
        let mut order = events.clone();
        let mut dice = seed;
        for i in (1..order.len()).rev() {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(i, (dice >> 33) as usize % (i + 1));
        }
        let j = Journal::open();
        for portion in order.chunks(1 + seed as usize % 5) {
            j.accept(portion).await;
            j.pass(0.0).await;
        }
        j.pass(60.0).await;
        assert_eq!(
            j.number("SELECT COUNT(*) AS n FROM members WHERE call_id NOT IN (SELECT id FROM calls)"),
            0
        );
        assert_eq!(j.notices().iter().filter(|kind| *kind == "call.ended").count(), 1, "seed {seed}");
        docs.extend(j.texts("SELECT doc AS s FROM calls"));
    }
    assert_eq!(docs.len(), 1, "{docs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_mark_moves_with_its_events_and_past_a_poisonous_one() {
    use calljournal::intake::SpoolMark;
    let j = Journal::open();
    let mark = |offset| SpoolMark {
        device: u64::MAX,
        inode: 7,
        offset,
        head: "abc".into(),
        name: "office.spool".into(),
        seen: Timestamp::from_second(T0).unwrap(),
        garbage: 3,
    };
    j.intake.accept_marked(answered(0), mark(100)).await.unwrap();
    assert_eq!(j.intake.spool_marks().await.unwrap(), [mark(100)]);
    j.poison("events", "kind = 'ring'");
    let receipt = j.intake.accept_marked(answered(10), mark(200)).await.unwrap();
    assert_eq!(receipt, Receipt { fresh: 4, duplicates: 0 });
    assert_eq!(j.intake.spool_marks().await.unwrap(), [mark(200)]);
    j.intake.forget_mark(&mark(200)).await.unwrap();
    assert_eq!(j.intake.spool_marks().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_has_no_answer_but_the_event_counts_once() {
    let j = Journal::open();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    j.store.post(Lane::Accept, move |_| gate.recv().unwrap()).unwrap();
    assert_eq!(j.intake.oldest_wait(), None);
    let late = tokio::time::timeout(Duration::from_millis(50), j.intake.accept(answered(0))).await;
    assert!(late.is_err());
    assert!(j.intake.oldest_wait().unwrap() >= Duration::from_millis(50));
    go.send(()).unwrap();
    assert_eq!(j.accept(&answered(0)).await, Receipt { fresh: 0, duplicates: 5 });
    // The answer comes a moment before the batch is put away.
    while j.intake.oldest_wait().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_is_refused_at_once() {
    let j = Journal::open();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    j.store.post(Lane::Accept, move |_| gate.recv().unwrap()).unwrap();
    let waiting: Vec<_> = (0..16)
        .map(|part| {
            let events =
                (0..1024).map(|n| event(Kind::Note, &uid(part), &uid(part), 1 + n, 0, &[])).collect();
            let intake = j.intake.clone();
            tokio::spawn(async move { intake.accept(events).await })
        })
        .collect();
    // Refused once all that may wait have their place.
    let one_more: Vec<Event> = (0..1024).map(|n| event(Kind::Note, &uid(99), &uid(99), n, 0, &[])).collect();
    let refused = async {
        loop {
            let answer = j.intake.accept(one_more.clone());
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(20), answer).await {
                return answer;
            }
        }
    };
    assert_eq!(refused.await, Err(Refused::Busy));
    go.send(()).unwrap();
    let mut kept = 0;
    for task in waiting {
        kept += task.await.unwrap().map_or(0, |receipt| receipt.fresh);
    }
    assert!(kept >= 14 * 1024, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_tried_again_at_the_next_start() {
    let j = Journal::open();
    j.poison("calls", "id <> ''");
    j.accept(&answered(0)).await;
    j.pass(30.0).await;
    assert_eq!(j.store.counts().await.unwrap().set_aside, 1);
    let j = j.restart(0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(j.store.counts().await.unwrap().set_aside, 1, "nothing has changed");
    j.cure("calls");
    let j = j.restart(0).await;
    j.intake.release_deadlines();
    while j.store.counts().await.unwrap().set_aside > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(j.notices(), ["call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_lives_on_after_it_was_told_is_corrected_at_its_real_end() {
    let j = Journal::open();
    j.accept(&answered(0)).await;
    j.pass(40.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
    let (a, c) = (uid(0), uid(5));
    let caller = format!("caller={a}");
    j.accept(&[
        event(Kind::Ring, &c, &a, 1, 40, &[&caller, "num=105"]),
        event(Kind::Answer, &c, &a, 2, 42, &[&caller, "num=105"]),
    ])
    .await;
    j.pass(10.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
    assert_ne!(j.store.call(&a).await.unwrap().unwrap().call.state, State::Ended);
    j.accept(&[event(Kind::Hangup, &c, &a, 3, 50, &["cause=16"])]).await;
    j.pass(10.0).await;
    assert_eq!(j.notices(), ["call.ended", "call.corrected"]);
    let call = j.store.call(&c).await.unwrap().unwrap();
    assert_eq!((call.call.state, call.corrections), (State::Ended, 1));
}
