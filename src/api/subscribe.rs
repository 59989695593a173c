//! `/events/subscribe`: subscriptions in the shape that programs for virtual pbxes use already.
//!
//! One subscription is one event of one holder of a token, and becomes a receiver of the format `vpbx`. Knows that
//! shape alone; receivers are kept by [`super::endpoints`].

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::endpoints::{Desk, Kept};
use super::who::Who;
use super::{Problem, body_of, json as answer, problem};

/// The events that can be subscribed to, with the notice that each comes of and the directions that it is of.
const EVENTS: [(&str, &str, &[&str]); 5] = [
    ("start.call", "call.started", &[]),
    ("local.in.call", "call.ringing", &["inbound", "internal", "unknown"]),
    ("local.out.call", "call.ringing", &["outbound"]),
    ("start.talk", "call.answered", &[]),
    ("end.call", "call.ended", &[]),
];

/// What is sent to subscribe.
#[derive(Debug, Deserialize)]
struct Wish {
    event_name: String,
    webhook_url: String,
    #[serde(default)]
    auth_type: Option<String>,
    #[serde(default)]
    auth_string: Option<String>,
    #[serde(default)]
    auth_field: Option<String>,
}

/// What says which subscription is meant.
#[derive(Debug, Deserialize)]
struct Which {
    event_name: String,
}

pub(super) fn router() -> Router<Desk> {
    Router::new().route("/events/subscribe", get(list).post(subscribe).delete(unsubscribe))
}

async fn list(State(desk): State<Desk>, Extension(who): Extension<Who>) -> Result<Response, Problem> {
    let mine = desk.of(&who).await?;
    let shown: Vec<Value> = mine.iter().filter_map(|(_, kept)| shown(kept)).collect();
    Ok(answer(StatusCode::OK, &json!(shown)))
}

async fn subscribe(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let wish: Wish = serde_json::from_value(body_of(request).await?)
        .map_err(|error| problem(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let event = wish.event_name.clone();
    let wish = receiver(wish).map_err(|why| problem(StatusCode::UNPROCESSABLE_ENTITY, &why))?;
    let kept = Kept { owner: who.name().to_owned(), event: Some(event.clone()), wish };
    // A second one of this event has the same name, and is refused as what it is.
    desk.add(&who, name(&who, &event), &kept).await?;
    Ok(answer(StatusCode::OK, &shown(&kept).unwrap_or_default()))
}

async fn unsubscribe(
    State(desk): State<Desk>,
    Extension(who): Extension<Who>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let name = name(&who, &which.event_name);
    let Ok((_, kept)) = desk.find(&who, &name).await else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    desk.remove(name).await?;
    Ok(answer(StatusCode::OK, &shown(&kept).unwrap_or_default()))
}

fn name(who: &Who, event: &str) -> String {
    format!("{}.{event}", who.name())
}

/// The keys of a receiver that does what is wished.
fn receiver(wish: Wish) -> Result<Value, String> {
    let Some((_, notice, directions)) = EVENTS.iter().find(|(event, ..)| *event == wish.event_name) else {
        let known: Vec<&str> = EVENTS.iter().map(|(event, ..)| *event).collect();
        return Err(format!("event_name: there are {}", known.join(", ")));
    };
    let mut keys = Map::new();
    keys.insert("url".to_owned(), wish.webhook_url.clone().into());
    keys.insert("format".to_owned(), "vpbx".into());
    keys.insert("notices".to_owned(), json!([notice]));
    if !directions.is_empty() {
        keys.insert("direction".to_owned(), json!(directions));
    }
    if let Some(auth) = auth(wish)? {
        keys.insert("auth".to_owned(), auth);
    }
    Ok(Value::Object(keys))
}

fn auth(wish: Wish) -> Result<Option<Value>, String> {
    let text = wish.auth_string.filter(|text| !text.is_empty());
    match (wish.auth_type.as_deref().unwrap_or("None"), text) {
        ("None" | "", _) => Ok(None),
        ("BasicHttpAuth", Some(text)) => {
            let (user, password) = text.split_once(':').ok_or("auth_string: write user:password")?;
            Ok(Some(json!({ "type": "basic", "user": user, "password": password })))
        }
        ("BearerTokenAuth", Some(token)) => Ok(Some(json!({ "type": "bearer", "token": token }))),
        ("RequestBodyAuth", Some(value)) => {
            let name = wish.auth_field.filter(|name| !name.is_empty());
            let name = name.ok_or("auth_field: write the name of the field that auth_string goes into")?;
            Ok(Some(json!({ "type": "body", "name": name, "value": value })))
        }
        ("BasicHttpAuth" | "BearerTokenAuth" | "RequestBodyAuth", None) => {
            Err("auth_string is missing".to_owned())
        }
        _ => Err("auth_type: there are BasicHttpAuth, BearerTokenAuth, RequestBodyAuth, None".to_owned()),
    }
}

/// A subscription as it is listed: without its `auth_string`. `None` for a receiver that was made another way.
fn shown(kept: &Kept) -> Option<Value> {
    let event = kept.event.as_ref()?;
    let kind = kept.wish.pointer("/auth/type").and_then(Value::as_str);
    let auth = match kind {
        Some("basic") => "BasicHttpAuth",
        Some("bearer") => "BearerTokenAuth",
        Some("body") => "RequestBodyAuth",
        _ => "None",
    };
    let mut shown = json!({ "event_name": event, "webhook_url": kept.wish.get("url"), "auth_type": auth });
    if let (Some(field), Some(shown)) = (kept.wish.pointer("/auth/name"), shown.as_object_mut()) {
        shown.insert("auth_field".to_owned(), field.clone());
    }
    Some(shown)
}
