//! What a receiver is told, in the form that it reads: one file for each format.
//!
//! Pure. A notice and what is remembered of its call come in, the next step comes out; what was answered comes in,
//! what follows from it comes out. Nothing here knows sockets, processes, the outbox or the schedule.

mod ast_cdr;
mod bitrix24;
mod command;
#[cfg(test)]
mod sample;
mod so_far;
mod standard;
mod template;
mod told;
mod vpbx;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::http::Reply;
use crate::config::{Auth, Endpoint, Format, Secret};

/// Who we say we are.
pub const USER_AGENT: &str = concat!("calljournal/", env!("CARGO_PKG_VERSION"));

/// Most steps that one attempt takes: a format that asks for more is broken.
pub const MOST_STEPS: usize = 4;

/// A notice as it lies in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The same at each attempt.
    pub id: String,
    /// The call's id at present.
    pub call: String,
    /// `call.ended` and so on.
    pub kind: String,
    /// When its cause was settled.
    pub created: Timestamp,
    /// What was written down with it: `type`, `timestamp`, `data`.
    pub body: Value,
}

/// What a format remembers of a call, from one notice to the next, over restarts. Where a call became part of another,
/// what both have under one name is that of the other; its own is then called by its old id, a slash and the name.
pub type Memory = BTreeMap<String, String>;

/// One notice that is to be told to one receiver.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// To whom.
    pub endpoint: &'a Endpoint,
    /// What.
    pub letter: &'a Letter,
    /// What is remembered of its call.
    pub memory: &'a Memory,
    /// The time of the attempt.
    pub at: Timestamp,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This format has no words for this notice, or all is said; why.
    Nothing(&'static str),
    /// Send this.
    Send(Message),
    /// Run the endpoint's program with this on its standard input.
    Run(String),
}

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `POST` mostly.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Names and values; the receiver's authorization is added by who sends.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: String,
}

/// What follows from an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// To be remembered of the call, before anything else is done.
    pub remember: Vec<(String, String)>,
    /// Whether there is one more step for this notice.
    pub more: bool,
    /// A status that says better what the receiver meant than the one it sent: some answer 200 and an error inside.
    pub means: Option<u16>,
}

/// Whether a format remembers anything of a call; where not, nothing is looked up for it.
#[must_use]
pub fn remembers(format: Format) -> bool {
    matches!(format, Format::AstCdr | Format::Vpbx | Format::Bitrix24)
}

/// The next step for a notice.
///
/// # Errors
/// Why it cannot be told in this format, and what to change.
pub fn next(task: &Task<'_>) -> Result<Step, String> {
    let Some(Auth::Body { name, value }) = &task.endpoint.auth else { return say(task) };
    if task.endpoint.format == Format::Standard {
        // What is signed has the field already.
        let mut letter = task.letter.clone();
        identify(&mut letter.body, name, value)?;
        return say(&Task { letter: &letter, ..*task });
    }
    match say(task)? {
        Step::Send(message) => {
            let mut body: Value = serde_json::from_str(&message.body).unwrap_or_default();
            identify(&mut body, name, value)?;
            Ok(Step::Send(Message { body: body.to_string(), ..message }))
        }
        other => Ok(other),
    }
}

fn say(task: &Task<'_>) -> Result<Step, String> {
    if task.letter.kind.starts_with("feed.") && remembers(task.endpoint.format) {
        return Ok(Step::Nothing("this format has words for calls alone, and none for feeds"));
    }
    match task.endpoint.format {
        Format::Standard => standard::next(task),
        Format::AstCdr => ast_cdr::next(task),
        Format::Vpbx => vpbx::next(task),
        Format::Bitrix24 => bitrix24::next(task),
        Format::Template => template::next(task),
        Format::Command => Ok(command::next(task)),
    }
}

/// Whether a notice of this kind tells of a call as a whole.
fn has_a_call(kind: &str) -> bool {
    kind != "call.merged" && !kind.starts_with("feed.")
}

/// Puts the field by which the receiver knows us on top of the JSON.
fn identify(body: &mut Value, name: &str, value: &Secret) -> Result<(), String> {
    let object = body.as_object_mut();
    let object = object.ok_or("auth: the type \"body\" needs a body that is a JSON object")?;
    object.insert(name.to_owned(), value.reveal().into());
    Ok(())
}

/// What follows from the answer to a step.
#[must_use]
pub fn heard(task: &Task<'_>, reply: &Reply) -> Heard {
    match task.endpoint.format {
        Format::AstCdr => ast_cdr::heard(task, reply),
        Format::Vpbx => vpbx::heard(task, reply),
        Format::Bitrix24 => bitrix24::heard(task, reply),
        Format::Template => template::heard(),
        _ => Heard::default(),
    }
}

/// What can be seen to be wrong with what an endpoint sends before any notice is there.
#[must_use]
pub fn complaints(endpoint: &Endpoint) -> Vec<String> {
    match endpoint.format {
        Format::Template => template::complaints(endpoint),
        _ => Vec::new(),
    }
}

/// Under which name something is remembered: of the call itself, or of `from`, which became part of it.
fn mark(name: &str, from: Option<&str>) -> String {
    from.map_or_else(|| name.to_owned(), |from| format!("{from}/{name}"))
}

/// A post of JSON.
fn post(url: String, body: &Value) -> Message {
    let headers = [("content-type", "application/json"), ("user-agent", USER_AGENT)];
    Message {
        method: "POST".to_owned(),
        url,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: body.to_string(),
    }
}

/// An address below `url`, whose query stays where it is.
fn below(url: &str, path: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{path}{query}", place.trim_end_matches('/'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sent(format: Format, body: Option<&str>) -> Result<Value, String> {
        let auth = Some(Auth::Body { name: "auth_token".into(), value: Secret::new("s3\"cret") });
        let endpoint = Endpoint { auth, body: body.map(ToOwned::to_owned), ..sample::endpoint(format) };
        let call = sample::ended(sample::rung(sample::incoming(), "101"), 0);
        let mut post = sample::Post::default();
        post.tell(&endpoint, &sample::letter("call.ended", &call), |_| (503, String::new()))?;
        Ok(serde_json::from_str(&post.sent[0].body).unwrap())
    }

    #[test]
    fn a_receiver_that_wants_to_know_us_by_a_field_finds_it_on_top_in_each_format() {
        for format in [Format::Standard, Format::AstCdr, Format::Vpbx, Format::Bitrix24] {
            assert_eq!(sent(format, None).unwrap()["auth_token"], "s3\"cret", "{format:?}");
        }
        assert_eq!(sent(Format::Template, Some("{}")).unwrap()["auth_token"], "s3\"cret");
        assert!(sent(Format::Template, Some("[]")).unwrap_err().contains("a JSON object"));
    }

    #[test]
    fn a_feed_that_is_down_is_told_in_the_formats_that_have_words_for_it() {
        let down = serde_json::json!({ "pbx": "office", "feed": "ami", "state": "down", "reason": "away" });
        let letter = sample::letter("feed.down", &down);
        let step = |format: Format| {
            let body = Some("{{ call.reason | tojson }}".to_owned());
            let endpoint = Endpoint { body, notices: vec!["feed.down".into()], ..sample::endpoint(format) };
            assert_eq!(complaints(&endpoint), Vec::<String>::new(), "{format:?}");
            let task =
                Task { endpoint: &endpoint, letter: &letter, memory: &Memory::new(), at: letter.created };
            next(&task).unwrap()
        };
        for format in [Format::AstCdr, Format::Vpbx, Format::Bitrix24] {
            assert!(matches!(step(format), Step::Nothing(_)), "{format:?}");
        }
        assert!(matches!(step(Format::Standard), Step::Send(Message { body, .. }) if body.contains("away")));
        assert!(matches!(step(Format::Template), Step::Send(Message { body, .. }) if body == "\"away\""));
        assert!(matches!(step(Format::Command), Step::Run(input) if input.contains("away")));
    }

    #[test]
    fn what_goes_below_an_address_keeps_its_query() {
        assert_eq!(below("https://a/b/?c=/d", "e"), "https://a/b/e?c=/d");
        assert_eq!(below("https://a", "e"), "https://a/e");
    }
}
