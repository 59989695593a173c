//! What ast-ami posts over HTTP: the routes and answers of ast-cdr, which it was made for.
//!
//! ast-ami waits for each answer and handles no other event meanwhile, so the answer comes within a budget, and
//! a post is small or refused. Who may post is decided before a byte of the body is read. Knows nothing of what
//! a post means: that is [`post`]; and of the server it is part of no more than the address of the peer.

pub mod post;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post as on_post};
use http_body_util::BodyExt;
use metrics::{counter, histogram};
use tokio::time::timeout;
use tracing::{debug, warn};

use self::post::{Answer, Read, Route};
use super::agi::complaints::Complaints;
use crate::caller::{self, problem};
use crate::clock::{Clock, Stopwatch};
use crate::config;
use crate::event::{Event, Feed};
use crate::intake::{Intake, Refused};

const POSTS_TOTAL: &str = "calljournal_push_posts_total";
const ANSWER_SECONDS: &str = "calljournal_push_answer_seconds";

/// Bytes of a post. An AMI event has less than one thousand.
const LIMIT: usize = 64 * 1024;

/// Bytes that are read and thrown away behind the limit, so that the peer hears the answer: a socket that is
/// closed with unread data is reset.
const MOST_UNREAD: usize = 4 << 20;

/// In which a body comes. curl and PHP send it at once.
const BODY_TIME: Duration = Duration::from_secs(2);

/// What the routes need.
pub struct Desk {
    /// The one door for writing.
    pub intake: Intake,
    /// What is set about this feed.
    pub push: config::Push,
    /// Names of pbxes, where the feed has none of its own.
    pub pbx: config::Pbx,
    /// When a post came.
    pub clock: Clock,
}

/// What all requests share.
struct Shared {
    desk: Desk,
    up: Stopwatch,
    complaints: Mutex<Complaints>,
}

/// ast-cdr's routes; once for who may call by his address, once under the secret. Needs the peer's address as
/// `ConnectInfo<SocketAddr>`: without one, nobody may call.
pub fn router(desk: Desk) -> Router {
    let shared = Arc::new(Shared { desk, up: Stopwatch::start(), complaints: Mutex::default() });
    routes("")
        .merge(routes("/push/{secret}"))
        .route_layer(from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

fn routes(prefix: &str) -> Router<Arc<Shared>> {
    let mut routes = Router::new();
    for path in ["/json/events/push", "/json/events", "/json"] {
        routes = routes.route(&format!("{prefix}{path}"), on_post(calls));
    }
    for path in ["/json/chans/push", "/json/chan-events/push"] {
        routes = routes.route(&format!("{prefix}{path}"), on_post(channels));
    }
    for path in ["/json/events/test", "/json/chans/test"] {
        routes = routes.route(&format!("{prefix}{path}"), get(test));
    }
    routes
}

/// ast-ami asks before it starts and now and then; anything that does not begin with `OK:` makes it start anew.
async fn test(State(shared): State<Arc<Shared>>, peer: ConnectInfo<SocketAddr>) -> &'static str {
    shared.desk.intake.beat(shared.pbx_of(peer.0.ip().to_canonical()), Feed::Push);
    "OK: test OK"
}

async fn calls(State(shared): State<Arc<Shared>>, peer: ConnectInfo<SocketAddr>, body: Body) -> Response {
    shared.take(Route::Calls, peer.0, body).await
}

async fn channels(State(shared): State<Arc<Shared>>, peer: ConnectInfo<SocketAddr>, body: Body) -> Response {
    shared.take(Route::Channels, peer.0, body).await
}

/// Lets a request in, or turns it away before its body is read.
async fn admit(
    State(shared): State<Arc<Shared>>,
    path: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let secret = path.iter().find(|(name, _)| *name == "secret").map(|(_, told)| told);
    let may = match secret {
        Some(told) => {
            let ours = shared.desk.push.secret.as_ref();
            ours.is_some_and(|ours| caller::same_secret(ours.reveal(), told))
        }
        None => peer.is_some_and(|peer| may_by_address(peer, &shared.desk.push.allow, request.headers())),
    };
    if may {
        return next.run(request).await;
    }
    count("forbidden");
    shared.complain(peer, "forbidden", || {
        warn!(?peer, "a post was turned away: set [push] allow or [push] secret, if this is your ast-ami");
    });
    problem(
        StatusCode::FORBIDDEN,
        "posts are taken from this machine, from the networks in [push] allow, or under /push/SECRET/json/…",
    )
}

/// Whether a peer may post without the secret.
fn may_by_address(peer: IpAddr, allow: &[ipnet::IpNet], headers: &HeaderMap) -> bool {
    caller::is_local(peer, headers)
        || (caller::speaks_for_itself(headers) && allow.iter().any(|network| network.contains(&peer)))
}

impl Shared {
    async fn take(&self, route: Route, peer: SocketAddr, body: Body) -> Response {
        let body = match timeout(BODY_TIME, read(body)).await {
            Ok(body) => body,
            Err(_) => {
                count("slow");
                return problem(StatusCode::REQUEST_TIMEOUT, "the body did not come within two seconds");
            }
        };
        let came = Stopwatch::start();
        let peer = peer.ip().to_canonical();
        let answer = match body {
            Some(body) => self.answer(route, peer, &body).await,
            None => counted("garbage", Answer::UNREADABLE),
        };
        histogram!(ANSWER_SECONDS).record(came.elapsed());
        if answer.code != 0 {
            self.complain(Some(peer), answer.description, || {
                warn!(%peer, code = answer.code, "a post of ast-ami was not taken: {}", answer.description);
            });
        }
        ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], answer.json()).into_response()
    }

    /// The pbx that a peer tells of.
    fn pbx_of(&self, peer: IpAddr) -> &str {
        let names = &self.desk.pbx;
        self.desk.push.pbx.as_ref().or_else(|| names.peers.get(&peer)).unwrap_or(&names.default)
    }

    async fn answer(&self, route: Route, peer: IpAddr, body: &[u8]) -> Answer {
        match post::read(route, body, self.pbx_of(peer), self.desk.clock.now()) {
            Read::Event(event) => self.keep(*event).await,
            Read::Noise => counted("noise", Answer::SAVED),
            Read::Refused(answer) => counted("garbage", answer),
        }
    }

    /// Answers when the event is durable, or when the time is over: it may be kept after that all the same, and
    /// counts once.
    async fn keep(&self, event: Event) -> Answer {
        let budget = Duration::from_millis(self.desk.push.ack_timeout_ms);
        if self.desk.intake.oldest_wait().is_some_and(|wait| wait > budget) {
            return counted("late", Answer::NOT_SAVED);
        }
        let (call, channel) = (event.linkedid.clone(), event.channel.clone());
        match timeout(budget, self.desk.intake.accept(vec![event])).await {
            Ok(Ok(receipt)) => {
                debug!(call, channel, fresh = receipt.fresh, "a post was taken");
                counted(if receipt.fresh > 0 { "saved" } else { "duplicate" }, Answer::SAVED)
            }
            Ok(Err(refused @ (Refused::Busy | Refused::Stopping | Refused::Store(_)))) => {
                debug!(call, channel, "a post could not be kept: {refused}");
                counted("failed", Answer::NOT_SAVED)
            }
            Err(_) => counted("late", Answer::NOT_SAVED),
        }
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

/// The whole body; `None` where it is longer than the limit or was cut off.
async fn read(mut body: Body) -> Option<Vec<u8>> {
    let (mut kept, mut came) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.ok()?.into_data() else { continue };
        came += piece.len();
        if came <= LIMIT {
            kept.extend_from_slice(&piece);
        } else if came > MOST_UNREAD {
            break;
        }
    }
    (came <= LIMIT).then_some(kept)
}

/// The answer, counted under `outcome`.
fn counted(outcome: &'static str, answer: Answer) -> Answer {
    count(outcome);
    answer
}

fn count(outcome: &'static str) {
    counter!(POSTS_TOTAL, "outcome" => outcome).increment(1);
}
