//! What is promised of the one door for writing.

use calljournal::call::Rules;
use calljournal::clock::Clock;
use calljournal::event::{Arrival, Event, Feed, Kind};
use calljournal::intake::{Intake, Receipt};
use calljournal::store::Store;
use jiff::{SignedDuration, Timestamp};

const T0: i64 = 1_795_390_723;

pub fn clock() -> Clock {
    Clock::manual(Timestamp::from_second(T0 + 1).unwrap())
}

pub fn rules() -> Rules {
    Rules {
        grace: SignedDuration::from_millis(1500),
        gap: SignedDuration::from_secs(30),
        lost: SignedDuration::from_secs(14_400),
    }
}

/// An event `at` seconds into the test, received a little later.
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

#[tokio::test(flavor = "multi_thread")]
async fn an_event_told_twice_is_kept_once_and_answered_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}/j.db", dir.path().display())).unwrap();
    let intake = Intake::start(store, clock(), rules(), Vec::new());
    let start = event(Kind::Start, "1795390723.0", "1795390723.0", 1, 0, &[]);
    assert_eq!(intake.accept(vec![start.clone()]).await, Ok(Receipt { fresh: 1, duplicates: 0 }));
    assert_eq!(intake.accept(vec![start]).await, Ok(Receipt { fresh: 0, duplicates: 1 }));
}
