//! The HTTP port: is the process healthy, is it ready, what has it counted; and who subscribes to notices.
//!
//! Knows HTTP and how to bound it: few connections, small heads and bodies, one request a connection and little time
//! for it. What "healthy" means is asked of whoever wires the parts.
//!
//! - this file: the server, health and metrics
//! - [`endpoints`]: receivers that subscribe; `subscribe.rs`: the same in another shape
//! - `who.rs`: who may ask

pub mod endpoints;
mod subscribe;
mod who;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{Request, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caller;
use crate::config::Token;
use crate::observe::Metrics;
use crate::store::StoreError;
use crate::store::feeds::{self, Standing};

/// Requests at one time; more wait in the kernel's queue.
const CONNECTIONS: usize = 32;
/// A request's head in bytes, and the time in which it comes.
const HEAD: usize = 16 * 1024;
const HEAD_TIME: Duration = Duration::from_secs(5);
/// A request's body in bytes, and the time in which it comes.
const BODY: usize = 64 * 1024;
const BODY_TIME: Duration = Duration::from_secs(5);
/// From the connection to its end.
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// A database that takes longer to answer is not healthy.
const PROBE_TIME: Duration = Duration::from_secs(3);
/// After an accept that failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What there is to say of a process that works.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Health {
    /// Events that are durable and not yet part of a call.
    pub unsettled: u64,
    /// The age of the oldest of them, in seconds.
    pub unsettled_age_s: f64,
    /// Notices that wait to be delivered.
    pub notices_waiting: u64,
    /// What somebody should see to, though the process does its work: sentences.
    pub warnings: Vec<String>,
    /// The age of the oldest one for a receiver that is not held, in seconds.
    pub notices_oldest_s: f64,
    /// Receivers for which one waits too long.
    pub late: Vec<String>,
    /// How each feed of each pbx stands.
    pub feeds: Vec<Standing>,
}

impl Health {
    /// Whether something is away that others should see to.
    fn is_degraded(&self) -> bool {
        !self.late.is_empty() || self.feeds.iter().any(|feed| feed.state == feeds::State::Down)
    }
}

/// Asks whether the process does its work; `Err` is the reason why not. May block.
pub type Probe = Arc<dyn Fn() -> Result<Health, String> + Send + Sync>;

/// What the pages need to know.
#[derive(Clone)]
pub struct Pages {
    /// Whether start-up is complete and no stop was asked for.
    pub ready: watch::Receiver<bool>,
    /// What was counted.
    pub metrics: Metrics,
    /// Whether the process does its work.
    pub probe: Probe,
}

/// All routes on one page.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

/// The routes for who subscribes, behind the check of who it is.
pub fn subscriptions(desk: endpoints::Desk, tokens: Vec<Token>) -> Router {
    endpoints::router()
        .merge(subscribe::router())
        .route_layer(from_fn_with_state(Arc::new(tokens), who::admit))
        .with_state(desk)
}

/// Asks whether the process does its work, and does not wait for ever.
async fn health(pages: Pages) -> Result<Health, String> {
    let asked = tokio::task::spawn_blocking(move || (pages.probe)());
    match tokio::time::timeout(PROBE_TIME, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("the check itself failed; the log says more".to_owned()),
        Err(_) => Err(format!("the database did not answer within {} s", PROBE_TIME.as_secs())),
    }
}

/// A receiver or a feed that is away is no reason to start this server again, so it answers 200 and says `degraded`; who watches
/// and wants to know asks for `/healthz?strict`.
async fn healthz(State(pages): State<Pages>, uri: Uri) -> Response {
    let health = health(pages).await;
    let version = env!("CARGO_PKG_VERSION");
    match health {
        Ok(health) => json(
            if health.is_degraded() && uri.query() == Some("strict") {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            },
            &serde_json::json!({
                "status": if health.is_degraded() { "degraded" } else { "ok" },
                "version": version,
                "unsettled": health.unsettled,
                "unsettled_age_s": health.unsettled_age_s,
                "notices_waiting": health.notices_waiting,
                "warnings": health.warnings,
                "notices_oldest_s": health.notices_oldest_s,
                "late": health.late,
                "feeds": health.feeds,
            }),
        ),
        Err(reason) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            &serde_json::json!({ "status": "failing", "version": version, "reason": reason }),
        ),
    }
}

async fn readyz(State(pages): State<Pages>) -> Response {
    if !*pages.ready.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n").into_response();
    }
    match health(pages).await {
        Ok(_) => (StatusCode::OK, "ready\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let version = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (version, pages.metrics.render()).into_response()
}

/// An answer that says what went wrong.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    detail: String,
}

fn problem(status: StatusCode, detail: &str) -> Problem {
    Problem { status, detail: detail.to_owned() }
}

impl Problem {
    /// What the database says is for the log; who asks cannot mend it.
    fn of_store(error: StoreError) -> Problem {
        tracing::warn!(%error, "http: a request could not be answered");
        problem(StatusCode::SERVICE_UNAVAILABLE, "the database did not answer: try again later")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        caller::problem(self.status, &self.detail)
    }
}

/// The JSON that a request carries.
async fn body_of(request: axum::extract::Request) -> Result<Value, Problem> {
    let read = Limited::new(request.into_body(), BODY).collect();
    let Ok(read) = tokio::time::timeout(BODY_TIME, read).await else {
        return Err(problem(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"));
    };
    let Ok(body) = read else {
        let detail = format!("the body was cut off, or has more than {BODY} bytes");
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, &detail));
    };
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| problem(StatusCode::BAD_REQUEST, &format!("the body is no JSON: {error}")))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Serves `router` until `stop`, then waits for the requests that are under way.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let requests = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let place = places.clone().acquire_owned().await;
                listener.accept().await.map(|(socket, peer)| (socket, peer, place))
            } => accepted,
        };
        let (socket, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "http: cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = TowerToHyperService::new(router.clone());
        // Some routes ask who calls.
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        requests.spawn(async move {
            let _place = place;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(socket), service);
            // What goes wrong here is the peer's affair: it went away, sent no HTTP, or was too slow.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
        });
    }
    requests.close();
    requests.wait().await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Serves with `answer` as its health, sends `request`, gives back all that came.
    async fn ask(answer: Result<Health, String>, ready: bool, request: &str) -> String {
        let (_told, ready) = watch::channel(ready);
        let metrics = crate::observe::metrics().unwrap();
        let pages = Pages { ready, metrics, probe: Arc::new(move || answer.clone()) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, router(pages), stop.clone()));
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        let _ = socket.read_to_end(&mut text).await;
        stop.cancel();
        server.await.unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn a_receiver_that_is_away_is_told_and_is_an_error_only_for_who_asks_so() {
        let health = Health { late: vec!["crm".to_owned()], ..Health::default() };
        for (path, status) in [("/healthz", "200"), ("/healthz?strict", "503"), ("/readyz", "200")] {
            let said =
                ask(Ok(health.clone()), true, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {said}");
            assert!(path == "/readyz" || said.contains("\"degraded\"") && said.contains("crm"), "{said}");
        }
    }

    #[tokio::test]
    async fn healthy_is_told_with_numbers_and_failing_with_the_reason() {
        let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let health = Health {
            unsettled: 3,
            unsettled_age_s: 0.5,
            notices_waiting: 7,
            warnings: vec!["two of one name".into()],
            ..Health::default()
        };
        let said = ask(Ok(health), true, get).await;
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"notices_waiting\":7"), "{said}");
        let said = ask(Err("disk full".to_owned()), true, get).await;
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("\"reason\":\"disk full\""), "{said}");
    }

    #[tokio::test]
    async fn ready_is_said_only_when_it_is_so() {
        let get = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(ask(Ok(Health::default()), true, get).await.starts_with("HTTP/1.1 200"));
        assert!(ask(Ok(Health::default()), false, get).await.starts_with("HTTP/1.1 503"));
    }

    #[tokio::test]
    async fn a_head_without_end_is_cut_off() {
        let endless = format!("GET /healthz HTTP/1.1\r\nX: {}", "a".repeat(4 * HEAD));
        assert!(ask(Ok(Health::default()), true, &endless).await.starts_with("HTTP/1.1 431"));
    }
}
