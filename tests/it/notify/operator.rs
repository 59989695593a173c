//! What the operator sees and does, with the real program on the database of a server that runs.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use uuid::Uuid;

use super::super::server::{calljournal, said};
use super::{Receiver, Site, delivered, raw};

impl Site {
    /// Runs `calljournal notify …`; answers with what it said and whether all is well.
    fn operator(&self, arguments: &[&str]) -> (String, bool) {
        let endpoints: Vec<String> =
            self.endpoints.iter().map(|e| format!("{{ name = {:?}, url = {:?} }}", e.name, e.url)).collect();
        let ended = calljournal(self.dir.path(), &[&["notify"], arguments].concat())
            .env("CALLJOURNAL_NOTIFY", format!("[{}]", endpoints.join(", ")))
            .output()
            .unwrap();
        (said(&ended), ended.status.success())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_what_was_refused_tries_it_again_pauses_and_goes_on() {
    let receiver = Receiver::answering(400).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("it is refused", |s| s.outcomes("crm") == [Some("refused".to_owned())]).await;
    let (list, _) = site.operator(&["ls", "--state", "refused", "--endpoint", "crm", "--kind", "call.ended"]);
    assert!(list.contains("refused") && list.contains("answered 400"), "{list}");
    assert!(site.operator(&["ls", "--state", "waiting"]).0.contains("no such notices"));
    let id = Uuid::from_u128(1).to_string();
    let (page, _) = site.operator(&["show", &id]);
    assert!(page.contains("400") && page.contains("\"call\": \"c1\""), "{page}");
    let (json, _) = site.operator(&["show", &id, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["attempts"][0]["status"], &json["deliveries"][0]["outcome"]),
        (&400.into(), &"refused".into())
    );

    receiver.status.store(200, Ordering::SeqCst);
    assert!(site.operator(&["pause", "crm"]).1);
    assert!(site.operator(&["retry", "--endpoint", "crm"]).0.contains("one notice is due again"));
    site.settle_down().await;
    assert_eq!(receiver.got().len(), 1, "it is paused");
    assert!(site.operator(&["ls"]).0.contains("crm is paused since"));
    assert!(site.operator(&["resume", "crm"]).1);
    site.until("it is delivered", delivered).await;
    site.stop().await;
    assert_eq!(site.deliveries()[0].attempts, 1, "its schedule began anew");
    let (page, _) = site.operator(&["show", &id]);
    assert!(page.contains("400") && page.contains("200"), "both attempts are kept: {page}");
    for wrong in [&["show", "ffff"][..], &["pause", "nobody"], &["retry"], &["test", "nobody"]] {
        assert!(!site.operator(wrong).1, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_next_attempt_is_tried_at_once_where_the_operator_says_so() {
    let receiver = Receiver::answering(503).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("the first attempt fails", |s| s.deliveries()[0].detail.is_some()).await;
    receiver.status.store(200, Ordering::SeqCst);
    assert!(site.operator(&["retry", &Uuid::from_u128(1).to_string()]).1);
    site.clock.advance(SignedDuration::from_secs(1));
    site.until("it is delivered", delivered).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_goes_to_the_receiver_marked_and_its_answer_is_printed() {
    let receiver = Receiver::answering(200).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.sends_to("down", &raw(async |socket| drop(socket)).await, 5000);
    let (told, well) = site.operator(&["test", "crm"]);
    assert!(well && told.contains("it arrived") && told.contains("200"), "{told}");
    let got = receiver.got().remove(0);
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!((&body["test"], &body["data"]["pbx"]), (&true.into(), &"test".into()));
    assert!(site.deliveries().is_empty(), "it is kept nowhere");
    let (told, well) = site.operator(&["test", "down"]);
    assert!(!well && told.contains("it did not arrive"), "{told}");
}
