//! The part of Asterisk in a FastAGI session: asks for one event and looks for its ack.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::clock::Stopwatch;
use crate::event::Kind;

/// From the connection to the ack; a server that takes longer has told its dialplan to go on without it.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that a server may say in one session.
const MOST: u64 = 64 * 1024;

/// Why an event was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Nobody listens, or nobody can be reached.
    #[error("nobody answers: {0}")]
    Unreachable(String),
    /// Somebody answered, but not as calljournal does.
    #[error("it answers {0:?} and not with an ack")]
    NoAck(String),
    /// The connection was closed before anything was said.
    #[error("it closes the connection without an ack")]
    Closed,
    /// It took too long.
    #[error("there is no ack after {} s", PATIENCE.as_secs())]
    TimeOut,
}

/// Tells one event; answers with the time from the connection to the ack.
pub async fn tell(
    server: SocketAddr,
    kind: Kind,
    token: &str,
    arguments: &[String],
) -> Result<Duration, Unheard> {
    let session = session(server, kind, token, arguments);
    tokio::time::timeout(PATIENCE, session).await.unwrap_or(Err(Unheard::TimeOut))
}

async fn session(
    server: SocketAddr,
    kind: Kind,
    token: &str,
    arguments: &[String],
) -> Result<Duration, Unheard> {
    let watch = Stopwatch::start();
    let lost = |e: std::io::Error| Unheard::Unreachable(e.to_string());
    let mut socket = TcpStream::connect(server).await.map_err(lost)?;
    socket.set_nodelay(true).map_err(lost)?;
    for line in prelude(server, kind, arguments) {
        if socket.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let (read, mut write) = socket.split();
    let mut lines = BufReader::new(read.take(MOST)).lines();
    let (mut ack, mut said) = (None, String::new());
    while let Ok(Some(line)) = lines.next_line().await {
        if line == format!("SET VARIABLE CALLJOURNAL_ACK \"{token}\"") {
            ack.get_or_insert(watch.elapsed());
        } else if said.is_empty() {
            said = line.chars().take(80).collect();
        }
        // What comes after the ack may fail: the event counts.
        if write.write_all(b"200 result=1\n").await.is_err() {
            break;
        }
    }
    let _ = write.write_all(b"HANGUP\n").await;
    ack.ok_or(if said.is_empty() { Unheard::Closed } else { Unheard::NoAck(said) })
}

/// What Asterisk sends first, a line at a time.
fn prelude(server: SocketAddr, kind: Kind, arguments: &[String]) -> Vec<String> {
    let fixed = [
        "agi_network: yes\n".to_owned(),
        format!("agi_network_script: {kind}\n"),
        format!("agi_request: agi://{server}/{kind}\n"),
        "agi_channel: simulate\n".to_owned(),
        "agi_language: en\n".to_owned(),
    ];
    let arguments = arguments.iter().enumerate().map(|(n, text)| format!("agi_arg_{}: {text}\n", n + 1));
    fixed.into_iter().chain(arguments).chain(["\n".to_owned()]).collect()
}
