//! Receivers that subscribe by themselves: `/api/v1/endpoints`.
//!
//! Knows who may see and change which of them. What a receiver may say of itself is [`subscribed`]'s, how it is
//! told is the notifier's, which learns of every change at once.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tracing::info;

use super::who::Who;
use super::{Problem, body_of, json, problem};
use crate::clock::Clock;
use crate::config::{self, Endpoint};
use crate::notify::{subscribed, trial};
use crate::store::endpoints::{self as table, Subscribed};
use crate::store::standing::{self, Held, Standing};
use crate::store::{Db, Lane, Store, StoreError};

/// Longest time that a test takes, in milliseconds: somebody waits for the answer.
const TEST_MS: u64 = 10_000;

/// What the routes need.
#[derive(Clone)]
pub struct Desk {
    /// Where the receivers are kept.
    pub store: Store,
    /// When one subscribed.
    pub clock: Clock,
    /// Where they may be, and how many.
    pub subscribe: config::Subscribe,
    /// Names of the configuration file, which nobody can take.
    pub taken: Arc<BTreeSet<String>>,
    /// Makes whoever tells notices learn of a change, before the answer goes out.
    pub changed: Changed,
}

/// See [`Desk::changed`].
pub type Changed = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What is kept of a receiver: whose it is, and what it said of itself.
pub(super) struct Kept {
    pub owner: String,
    /// The event that `/events/subscribe` was asked for.
    pub event: Option<String>,
    pub wish: Value,
}

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/api/v1/endpoints", get(list).post(create))
        .route("/api/v1/endpoints/{name}", get(one).delete(remove))
        .route("/api/v1/endpoints/{name}/test", post(test))
        .route("/api/v1/endpoints/{name}/pause", post(pause))
        .route("/api/v1/endpoints/{name}/resume", post(resume))
}

async fn list(State(desk): State<Desk>, Extension(who): Extension<Who>) -> Result<Response, Problem> {
    let standing = desk.standing().await?;
    let mine = desk.of(&who).await?;
    let shown: Vec<Value> = mine.iter().map(|(one, kept)| shown(one, kept, &standing)).collect();
    Ok(json(StatusCode::OK, &json!({ "endpoints": shown })))
}

async fn one(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (one, kept) = desk.find(&who, &name).await?;
    Ok(json(StatusCode::OK, &shown(&one, &kept, &desk.standing().await?)))
}

async fn create(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let Value::Object(mut wish) = body_of(request).await? else {
        return Err(problem(StatusCode::BAD_REQUEST, "write a JSON object"));
    };
    let name = match wish.remove("name") {
        Some(Value::String(name)) if config::is_plain_name(&name) => name,
        Some(_) => {
            return Err(problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "name: 1 to 64 of A-Z a-z 0-9 . _ -, or leave it out",
            ));
        }
        None => format!("{}-{}", who.name(), hex(&random::<4>()?)),
    };
    // Who brings no secret is given one: what comes unsigned can be sent by anybody.
    let standard = wish.get("format").is_none_or(|format| format == "standard");
    let made = (standard && !wish.contains_key("secret"))
        .then(|| random::<24>().map(|bytes| format!("whsec_{}", BASE64.encode(bytes))))
        .transpose()?;
    if let Some(secret) = &made {
        wish.insert("secret".to_owned(), secret.as_str().into());
    }
    let kept = Kept { owner: who.name().to_owned(), event: None, wish: Value::Object(wish) };
    let one = desk.add(&who, name, &kept).await?;
    let mut answer = shown(&one, &kept, &[]);
    if let (Some(secret), Some(answer)) = (made, answer.as_object_mut()) {
        // Shown once, here.
        answer.insert("secret".to_owned(), secret.into());
    }
    Ok(json(StatusCode::CREATED, &answer))
}

async fn remove(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    desk.find(&who, &name).await?;
    desk.remove(name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sends a made-up notice at once, and once.
async fn test(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (_, kept) = desk.find(&who, &name).await?;
    let mut endpoint = subscribed::endpoint(&name, &kept.wish, &desk.subscribe.reach)
        .map_err(|why| problem(StatusCode::UNPROCESSABLE_ENTITY, &why))?;
    endpoint.timeout_ms = endpoint.timeout_ms.min(TEST_MS);
    let reply = trial::send(&endpoint, &desk.clock).await;
    // What the receiver says itself is not shown: who subscribes is not to read through this machine.
    let said = json!({ "delivered": reply.arrived(), "status": reply.status, "detail": reply.what });
    Ok(json(StatusCode::OK, &said))
}

/// What is told from now on waits.
async fn pause(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (one, kept) = desk.find(&who, &name).await?;
    let (now, reason) = (desk.clock.now(), format!("paused over HTTP by {}", who.name()));
    desk.hold("pause an endpoint", move |db| standing::hold(db, &name, Held::Paused, now, &reason)).await?;
    Ok(json(StatusCode::OK, &shown(&one, &kept, &desk.standing().await?)))
}

/// What waits is sent.
async fn resume(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (one, kept) = desk.find(&who, &name).await?;
    desk.hold("resume an endpoint", move |db| standing::resume(db, &name).map(drop)).await?;
    Ok(json(StatusCode::OK, &shown(&one, &kept, &desk.standing().await?)))
}

impl Desk {
    /// Who is held at present.
    async fn standing(&self) -> Result<Vec<Standing>, Problem> {
        self.store.read("endpoint states", standing::all).await.map_err(Problem::of_store)
    }

    async fn hold(
        &self,
        name: &'static str,
        change: impl FnOnce(&mut Db) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), Problem> {
        let changed = self.store.write(Lane::Settle, name, change).await;
        changed.map_err(Problem::of_store)
    }

    /// Those that `who` may see.
    pub(super) async fn of(&self, who: &Who) -> Result<Vec<(Subscribed, Kept)>, Problem> {
        let all = self.store.read("endpoints", table::all).await.map_err(Problem::of_store)?;
        let kept = all.into_iter().filter_map(|one| Kept::read(&one.doc).map(|kept| (one, kept)));
        Ok(kept.filter(|(_, kept)| who.owns(&kept.owner)).collect())
    }

    /// The one of this name, where `who` may see it.
    pub(super) async fn find(&self, who: &Who, name: &str) -> Result<(Subscribed, Kept), Problem> {
        let found = self.of(who).await?.into_iter().find(|(one, _)| one.name == name);
        found.ok_or_else(|| problem(StatusCode::NOT_FOUND, "you have no receiver of this name"))
    }

    /// Keeps one more, where it can work and its name is free.
    pub(super) async fn add(&self, who: &Who, name: String, kept: &Kept) -> Result<Subscribed, Problem> {
        subscribed::endpoint(&name, &kept.wish, &self.subscribe.reach)
            .map_err(|why| problem(StatusCode::UNPROCESSABLE_ENTITY, &why))?;
        let mine = |(_, kept): &&(Subscribed, Kept)| kept.owner == who.name();
        if self.of(who).await?.iter().filter(mine).count() >= self.subscribe.most {
            return Err(problem(
                StatusCode::CONFLICT,
                "you have as many receivers as [subscribe] most allows: delete one first",
            ));
        }
        let one = Subscribed { name, doc: kept.doc(), created: self.clock.now() };
        let row = one.clone();
        let free = !self.taken.contains(&one.name);
        let added = free
            && self
                .store
                .write(Lane::Settle, "subscribe", move |db| table::add(db, &row))
                .await
                .map_err(Problem::of_store)?;
        if !added {
            return Err(problem(StatusCode::CONFLICT, "there is a receiver of this name"));
        }
        info!(endpoint = one.name, owner = kept.owner, "a receiver has subscribed");
        (self.changed)().await;
        Ok(one)
    }

    pub(super) async fn remove(&self, name: String) -> Result<(), Problem> {
        let (row, now) = (name.clone(), self.clock.now());
        let gone =
            self.store.write(Lane::Settle, "unsubscribe", move |db| table::remove(db, &row, now)).await;
        if gone.map_err(Problem::of_store)? {
            info!(endpoint = name, "a receiver has unsubscribed");
        }
        (self.changed)().await;
        Ok(())
    }
}

impl Kept {
    fn doc(&self) -> String {
        json!({ "owner": self.owner, "event": self.event, "wish": self.wish }).to_string()
    }

    /// What [`Kept::doc`] wrote; `None` where somebody else did.
    pub fn read(doc: &str) -> Option<Kept> {
        let mut doc: Map<String, Value> = serde_json::from_str(doc).ok()?;
        let mut text = |key| match doc.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (owner, event) = (text("owner")?, text("event"));
        Some(Kept { owner, event, wish: doc.remove("wish")? })
    }
}

/// The receivers that have subscribed, as the notifier needs them. One that a former version took and that can no
/// longer work is left out, and said.
#[must_use]
pub fn receivers(stored: &[Subscribed], subscribe: &config::Subscribe) -> Vec<Endpoint> {
    let read = |one: &Subscribed| {
        let kept = Kept::read(&one.doc).ok_or("its row cannot be read")?;
        subscribed::endpoint(&one.name, &kept.wish, &subscribe.reach)
    };
    let mut receivers = Vec::new();
    for one in stored {
        match read(one) {
            Ok(endpoint) => receivers.push(endpoint),
            Err(why) => {
                tracing::debug!(endpoint = one.name, "a receiver that subscribed is told nothing: {why}")
            }
        }
    }
    receivers
}

/// All that may be shown: no secrets.
fn shown(one: &Subscribed, kept: &Kept, standing: &[Standing]) -> Value {
    let mut shown = Map::new();
    let mut say = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    say("name", json!(one.name));
    say("owner", json!(kept.owner));
    say("created_at", json!(one.created));
    let held = standing.iter().find(|held| held.endpoint == one.name);
    say("state", json!(held.map_or("active", |held| held.held.as_str())));
    if let Some(held) = held {
        say("since", json!(held.since));
        say("reason", json!(held.reason));
    }
    for (key, value) in kept.wish.as_object().into_iter().flatten() {
        let value = match (key.as_str(), value) {
            ("secret", _) => continue,
            ("auth", auth) => json!({ "type": auth.get("type") }),
            (_, value) => value.clone(),
        };
        shown.insert(key.clone(), value);
    }
    Value::Object(shown)
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let source = rustls::crypto::ring::default_provider().secure_random;
    let filled = source.fill(&mut bytes);
    filled.map_err(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "this machine has no random numbers"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Format;

    #[test]
    fn no_secret_is_shown() {
        let kept = Kept {
            owner: "crm".into(),
            event: None,
            wish: json!({
                "url": "https://crm/x",
                "secret": "s3cret",
                "auth": { "type": "bearer", "token": "s3cret" },
            }),
        };
        let one = Subscribed { name: "a".into(), doc: kept.doc(), created: jiff::Timestamp::UNIX_EPOCH };
        let shown = shown(&one, &Kept::read(&one.doc).unwrap(), &[]).to_string();
        assert!(!shown.contains("s3cret") && shown.contains("\"type\":\"bearer\""), "{shown}");
    }

    #[test]
    fn a_row_of_somebody_else_is_left_out() {
        let row = |doc: &str| Subscribed {
            name: "a".into(),
            doc: doc.into(),
            created: jiff::Timestamp::UNIX_EPOCH,
        };
        let subscribe = config::Config::default().subscribe;
        let wish = json!({ "owner": "crm", "event": null, "wish": { "url": "https://crm.example.com/" } });
        let rows = [row("garbage"), row("{}"), row(&wish.to_string())];
        assert_eq!(receivers(&rows, &subscribe).len(), 1);
        assert_eq!(receivers(&rows, &subscribe)[0].format, Format::Standard);
    }
}
