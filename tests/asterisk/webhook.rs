//! The receiving end of the notices: an HTTP server that says 200 to everything and remembers it with its time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde_json::Value;

/// One notice as it came.
#[derive(Clone, Debug)]
pub struct Post {
    /// Microseconds since 1970.
    pub at: i64,
    /// The `webhook-id` header.
    pub id: String,
    pub body: Value,
}

impl Post {
    /// Whether it is a notice of this type about this call of this pbx.
    pub fn tells(&self, kind: &str, pbx: &str, linkedid: &str) -> bool {
        self.body["type"] == kind
            && self.body["data"]["pbx"] == pbx
            && self.body["data"]["linkedid"] == linkedid
    }
}

/// `[call] grace_ms`, as it is when nobody sets it.
const GRACE_MS: i64 = 1500;

/// How long after the hangup that ended a call its `call.ended` arrived, beside the grace, which no call is spared: it is
/// what the server and the way took. Calls whose last event is missing, or came late, are in it too.
pub fn print_delay(posts: &[Post]) {
    let ended = posts.iter().filter(|post| post.body["type"] == "call.ended");
    let took = ended.filter_map(|post| {
        let end: jiff::Timestamp = post.body["data"]["ended_at"].as_str()?.parse().ok()?;
        Some((post.at - end.as_microsecond()) / 1000 - GRACE_MS)
    });
    let mut took: Vec<i64> = took.collect();
    took.sort_unstable();
    let calls = took.len();
    let at = |share: usize| took.get(calls.saturating_sub(1) * share / 100);
    if let (Some(half), Some(p90), Some(p99)) = (at(50), at(90), at(99)) {
        println!(
            "from the last hangup to the receiver, beside the grace of {GRACE_MS} ms: p50 {half} ms, p90 {p90} ms, \
             p99 {p99} ms, {calls} calls"
        );
    }
}

/// The receiver. It lives as long as the test program.
#[derive(Clone)]
pub struct Webhook {
    port: u16,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Webhook {
    pub fn listen() -> Result<Webhook> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let webhook = Webhook { port: listener.local_addr()?.port(), posts: Arc::default() };
        let posts = Arc::clone(&webhook.posts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let posts = Arc::clone(&posts);
                thread::spawn(move || {
                    let _ = serve(stream, &posts);
                });
            }
        });
        Ok(webhook)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/crm", self.port)
    }

    /// Everything that has come so far, in the order of arrival.
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().map(|posts| posts.clone()).unwrap_or_default()
    }
}

fn serve(mut stream: TcpStream, posts: &Mutex<Vec<Post>>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut id) = (0_usize, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "webhook-id" => id = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length.min(1 << 20)];
    reader.read_exact(&mut body)?;
    let at = now();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    if let Ok(mut posts) = posts.lock() {
        posts.push(Post { at, id, body });
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(())
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
