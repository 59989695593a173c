//! Receivers that mean no good, or have a bad day, and what each of them gets.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Receiver, Site, delivered, raw};

/// A receiver that answers everything with `text` and hangs up.
async fn saying(text: String) -> String {
    raw(move |mut socket: TcpStream| {
        let text = text.clone();
        async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(text.as_bytes()).await;
        }
    })
    .await
}

impl Site {
    /// Waits until an attempt was made and recorded that left the notice waiting, and answers for how long it waits.
    async fn waits(&self) -> SignedDuration {
        let due = |s: &Site| s.deliveries()[0].due_us - s.clock.now().as_microsecond();
        self.until("it is to be tried again", |s| due(s) > 0).await;
        SignedDuration::from_micros(due(self))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_errors_costs_a_handful_of_attempts_and_then_the_notice_arrives() {
    let receiver = Receiver::answering(500).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    let began = site.clock.now();
    site.start();
    while site.clock.now().duration_since(began) < SignedDuration::from_hours(1) {
        let wait = site.waits().await;
        site.clock.advance(wait + SignedDuration::from_secs(2));
        site.settle_down().await;
    }
    let wait = site.waits().await;
    let tried = receiver.got().len();
    assert!((5..=7).contains(&tried), "{tried} attempts in an hour");
    receiver.status.store(200, std::sync::atomic::Ordering::SeqCst);
    site.clock.advance(wait + SignedDuration::from_secs(2));
    site.until("it is delivered", delivered).await;
    site.stop().await;
    let got = receiver.got();
    assert!(got.iter().all(|g| (&g.id, &g.body) == (&got[0].id, &got[0].body)), "the same each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_time_gets_it() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let mut site = Site::new();
        let answer = format!("HTTP/1.1 {status}\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n");
        site.sends_to("crm", &saying(answer).await, 5000);
        site.write(1, "c1").await;
        site.start();
        let wait = site.waits().await;
        assert!(wait >= SignedDuration::from_secs(120) && wait < SignedDuration::from_secs(150), "{wait}");
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_followed_to_another_place() {
    let elsewhere = Receiver::answering(200).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let mut site = Site::new();
        let to = elsewhere.url();
        let answer = format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        site.sends_to("crm", &saying(answer).await, 5000);
        site.write(1, "c1").await;
        site.start();
        site.waits().await;
        site.stop().await;
        let detail = site.deliveries()[0].detail.clone().unwrap();
        assert!(detail.contains("redirects are not followed"), "{detail}");
    }
    assert!(elsewhere.got().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_holds_nobody_up() {
    let drips = raw(|mut socket: TcpStream| async move {
        let _ = socket.read(&mut [0; 4096]).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while socket.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut site = Site::new();
    site.sends_to("crm", &drips, 60_000);
    site.write(1, "c1").await;
    site.start();
    // Far below the time limit of an attempt.
    site.until("it is delivered", delivered).await;
    site.stop().await;
}
