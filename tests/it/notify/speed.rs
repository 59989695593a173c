//! How fast a receiver is told, alone and beside a dead one: printed, and asserted to be complete only.

use std::time::Instant;

use calljournal::store::Lane;
use calljournal::store::outbox::{self, Notice};
use uuid::Uuid;

use super::{Receiver, Site, raw, silent};

/// Notices that the receiver is told.
const NOTICES: u128 = 2000;
/// Notices that wait for the dead one.
const WAITING: u128 = 10_000;

/// Writes notices of as many calls for `endpoint`, with a body of the size that a real one has.
async fn write(site: &Site, endpoint: &'static str, ids: std::ops::Range<u128>) {
    let (created, body) = (site.clock.now(), format!(r#"{{"data":"{}"}}"#, "x".repeat(4000)));
    let all = move |db: &mut _| {
        for id in ids.clone() {
            let (id, call, kind) = (Uuid::from_u128(id), format!("call {id}"), "call.ended");
            let notice = Notice { id, call, kind, created, body: body.clone() };
            outbox::create(db, &notice, &[endpoint])?;
        }
        Ok(())
    };
    site.store.write(Lane::Settle, "test", all).await.unwrap();
}

/// Seconds until the receiver has all of so many notices.
async fn told(waiting: u128) -> f64 {
    let receiver = Receiver::answering(200).await;
    let mut site = Site::new();
    site.sends_to("dead", &raw(silent).await, 60_000);
    site.sends_to("crm", &receiver.url(), 5000);
    write(&site, "dead", 1_000_000..1_000_000 + waiting).await;
    write(&site, "crm", 0..NOTICES).await;
    let began = Instant::now();
    site.start();
    while (receiver.got().len() as u128) < NOTICES {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert!(began.elapsed().as_secs() < 300, "{} came", receiver.got().len());
    }
    let took = began.elapsed().as_secs_f64();
    site.die().await;
    took
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints how fast it is, and takes a minute"]
async fn a_receiver_is_told_as_fast_beside_a_dead_one_that_ten_thousand_notices_wait_for() {
    for round in 1..=3 {
        let (alone, beside) = (told(0).await, told(WAITING).await);
        let rate = |took: f64| NOTICES as f64 / took;
        println!(
            "round {round}: {:.0} notices a second alone, {:.0} beside {WAITING} that wait: {:.2}",
            rate(alone),
            rate(beside),
            alone / beside
        );
    }
}
