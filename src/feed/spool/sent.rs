//! What `calljournal spool send` brings from a host where only Asterisk runs.
//!
//! A portion is bytes of one spool file from an offset on. It is taken in where the offset is that of the file's mark, and
//! the mark moves in the same transaction as the events: an answer that was lost, on either side, costs a question and
//! doubles nothing. Who may bring something is decided before a byte of it is read. What the files are called is a word
//! to tell them apart and never a path here.
//! Knows frames and HTTP; nothing of files, and nothing of what becomes of the events.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Body};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::time::timeout;
use tracing::warn;

use super::frames::{self, BATCH, Batch};
use super::wire::MAX_LINE;
use crate::caller::{self, problem};
use crate::clock::{Clock, Stopwatch};
use crate::config::{self, Right, is_plain_name};
use crate::event::{Arrival, Feed};
use crate::feed::agi::complaints::Complaints;
use crate::intake::{Intake, Refused, SentFile, SentMark};

/// Bytes of a portion. With [`MAX_LINE`] it always holds a whole line or garbage.
pub const LIMIT: usize = 4 * MAX_LINE;

/// In which a portion comes.
const BODY_TIME: Duration = Duration::from_secs(8);

/// Seconds after which who was refused may ask again.
const LATER: &str = "2";

/// Longest name of a pbx.
const PBX: usize = 40;

/// What the routes need.
pub struct Desk {
    /// The one door for writing.
    pub intake: Intake,
    /// Names of pbxes, where neither the events nor who sends them say one.
    pub pbx: config::Pbx,
    /// Who may.
    pub tokens: Vec<config::Token>,
    /// When a portion came.
    pub clock: Clock,
}

struct Shared {
    desk: Desk,
    up: Stopwatch,
    complaints: Mutex<Complaints>,
}

/// Which bytes of which file.
#[derive(Debug, Deserialize)]
struct Portion {
    host: String,
    file: String,
    head: String,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    pbx: Option<String>,
}

/// `GET /api/v1/spool` says how far a file is taken in, `POST` brings more of it. Needs the peer's address as
/// `ConnectInfo<SocketAddr>`: without one, only a token counts.
pub fn router(desk: Desk) -> Router {
    let shared = Arc::new(Shared { desk, up: Stopwatch::start(), complaints: Mutex::default() });
    Router::new()
        .route("/api/v1/spool", get(so_far).post(bring))
        .route_layer(from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

/// Lets a request in, or turns it away before its body is read.
async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let peer = peer_of(&request);
    let told = caller::bearer(headers);
    let mut tokens = shared.desk.tokens.iter();
    let token = told.and_then(|told| tokens.find(|one| caller::same_secret(one.secret.reveal(), told)));
    let refusal = match (told, token) {
        (None, _) if peer.is_some_and(|peer| caller::is_local(peer, headers)) => None,
        (_, Some(token)) if token.may.contains(&Right::Spool) => None,
        (_, Some(_)) => {
            Some((StatusCode::FORBIDDEN, "this token is good for other things: set may = [\"spool\"]"))
        }
        (_, None) => Some((StatusCode::UNAUTHORIZED, "send a token of [[token]] with may = [\"spool\"]")),
    };
    let Some((status, detail)) = refusal else { return next.run(request).await };
    shared
        .complain(peer, "forbidden", || warn!(?peer, "a spool from another host was turned away: {detail}"));
    let mut answer = problem(status, detail);
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    answer
}

fn peer_of(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical())
}

type Asked = Result<Query<Portion>, QueryRejection>;

async fn so_far(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let answer = async {
        let portion = Portion::read(asked)?;
        let (taken, garbage) = shared.mark_of(&portion).await?;
        Ok::<_, Refusal>(told(StatusCode::OK, &Taken { taken, garbage, ..Taken::default() }))
    };
    answer.await.unwrap_or_else(Refusal::into_response)
}

async fn bring(State(shared): State<Arc<Shared>>, asked: Asked, request: Request) -> Response {
    let peer = peer_of(&request);
    let answer = async {
        let portion = Portion::read(asked)?;
        let bytes = read(request.into_body()).await?;
        let (taken, garbage) = shared.mark_of(&portion).await?;
        if portion.offset != taken {
            return Ok(told(StatusCode::CONFLICT, &Taken { taken, garbage, ..Taken::default() }));
        }
        shared.take(&portion, peer, garbage, &bytes).await.map(|taken| told(StatusCode::OK, &taken))
    };
    answer.await.unwrap_or_else(Refusal::into_response)
}

/// What is answered.
#[derive(Debug, Default, serde::Serialize)]
struct Taken {
    /// Bytes of the file that are wholly taken in.
    taken: u64,
    /// Bytes of them that were no event.
    garbage: u64,
    /// Events of this portion that were new.
    fresh: usize,
    /// Events of this portion that were known.
    duplicates: usize,
}

fn told(status: StatusCode, taken: &Taken) -> Response {
    let body = serde_json::to_string(taken).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

impl Portion {
    /// What is asked for, where it makes sense.
    fn read(asked: Asked) -> Result<Portion, Refusal> {
        let wrong = |detail: &str| Refusal(StatusCode::BAD_REQUEST, detail.to_owned());
        let Query(portion) = asked.map_err(|rejection| wrong(&rejection.body_text()))?;
        let stem = portion.file.strip_suffix(".spool").unwrap_or_default();
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !is_plain_name(&portion.host) {
            return Err(wrong("host must be 1 to 64 of A-Z a-z 0-9 . _ -"));
        }
        if !is_plain_name(stem) {
            return Err(wrong("file must be 1 to 64 of A-Z a-z 0-9 . _ - and end with .spool"));
        }
        if portion.head.len() != 32 || !portion.head.bytes().all(hex) {
            return Err(wrong(
                "head must be the fingerprint of the file's first line, 32 hexadecimal digits",
            ));
        }
        if portion.offset > i64::MAX.unsigned_abs() / 2 {
            return Err(wrong("offset is beyond any file"));
        }
        if portion.pbx.as_ref().is_some_and(|pbx| !is_plain_name(pbx) || pbx.len() > PBX) {
            return Err(wrong("pbx must be 1 to 40 of A-Z a-z 0-9 . _ -"));
        }
        Ok(portion)
    }

    fn of_file(&self) -> SentFile {
        SentFile { host: self.host.clone(), name: self.file.clone(), head: self.head.clone() }
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    match timeout(BODY_TIME, Limited::new(body, LIMIT).collect()).await {
        Ok(Ok(bytes)) => Ok(bytes.to_bytes().to_vec()),
        Ok(Err(_)) => {
            let detail = format!("the body was cut off, or has more than {LIMIT} bytes");
            Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Err(_) => Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
    }
}

impl Shared {
    async fn mark_of(&self, portion: &Portion) -> Result<(u64, u64), Refusal> {
        self.desk.intake.sent_so_far(portion.of_file()).await.map_err(|error| {
            warn!(%error, "it is not known how far a spool of another host is taken in");
            later("the database did not answer: try again later")
        })
    }

    /// Takes in the whole lines that `bytes` begin with. Where the store refuses in the middle, what was taken in is
    /// told, and the rest comes again.
    async fn take(
        &self,
        portion: &Portion,
        peer: Option<IpAddr>,
        garbage: u64,
        bytes: &[u8],
    ) -> Result<Taken, Refusal> {
        let names = &self.desk.pbx;
        let known = || peer.and_then(|peer| names.peers.get(&peer)).unwrap_or(&names.default);
        let pbx = portion.pbx.as_ref().unwrap_or_else(known);
        let mut taken = Taken { taken: portion.offset, garbage, ..Taken::default() };
        let mut at = 0;
        loop {
            let arrival = Arrival { feed: Feed::Spool, pbx, at: self.desk.clock.now() };
            let batch = Batch::scan(&bytes[at..], taken.taken, BATCH, arrival);
            if batch.length == 0 {
                return Ok(taken);
            }
            let mark = SentMark {
                file: portion.of_file(),
                taken: taken.taken + batch.length as u64,
                garbage: taken.garbage + batch.wasted(),
                seen: self.desk.clock.now(),
            };
            let (offset, wasted) = (mark.taken, mark.garbage);
            match self.desk.intake.accept_marked(batch.events, mark).await {
                Ok(receipt) => {
                    frames::count_taken(receipt);
                    self.report(portion, peer, &batch.garbage);
                    (taken.taken, taken.garbage) = (offset, wasted);
                    taken.fresh += receipt.fresh;
                    taken.duplicates += receipt.duplicates;
                    at += batch.length;
                }
                Err(refused) if at == 0 => return Err(refusal(&refused)),
                Err(_) => return Ok(taken),
            }
        }
    }

    fn report(&self, portion: &Portion, peer: Option<IpAddr>, garbage: &[frames::Garbage]) {
        frames::count(garbage);
        let Some(first) = garbage.first() else { return };
        let (host, file, offset, bytes) = (&portion.host, &portion.file, first.offset, first.length);
        let others = garbage.len() - 1;
        self.complain(peer, "garbage", || {
            warn!(
                host,
                file,
                offset,
                bytes,
                reason = first.reason,
                others,
                "a part of a spool file is no event: {}",
                first.why
            );
        });
    }

    fn complain(&self, peer: Option<IpAddr>, reason: &'static str, line: impl FnOnce()) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held_back) = complaints.say(peer, reason, self.up.elapsed()) {
            drop(complaints);
            line();
            if held_back > 0 {
                warn!(reason, held_back, "and as many more like it were not logged");
            }
        }
    }
}

/// Why nothing was taken in.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut answer = problem(self.0, &self.1);
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(LATER));
        }
        answer
    }
}

/// The same without the database's own words.
fn refusal(refused: &Refused) -> Refusal {
    match refused {
        Refused::Busy => later("too much waits to be written: try again later"),
        Refused::Stopping => later("the server is stopping: try again later"),
        Refused::Store(_) => later("the database did not take it: try again later"),
    }
}

fn later(detail: &str) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned())
}
