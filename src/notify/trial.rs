//! A notice for trying a receiver: made up, marked as such, sent as the real ones are, and kept nowhere.

use serde_json::{Value, json};

use super::attempt::converse;
use super::command::Runner;
use super::format::Letter;
use super::http::Reply;
use super::way::Clients;
use crate::clock::Clock;
use crate::config::Endpoint;

/// The call that it tells of.
const CALL: &str = include_str!("../asset/trial-call.json");

/// Sends one `call.ended` that has `"test": true` beside its data, of a call on the pbx `test`, and answers with what came
/// back. One attempt, and no other follows.
pub async fn send(endpoint: &Endpoint, clock: &Clock) -> Reply {
    let client = match Clients::default().of(endpoint) {
        Ok(client) => client,
        Err(why) => return Reply::nothing(why),
    };
    converse(endpoint, (&client, &Runner::default()), &letter(clock), clock, None).await
}

fn letter(clock: &Clock) -> Letter {
    let created = clock.now();
    let mut call: Value = serde_json::from_str(CALL).unwrap_or_default();
    call["pbx"] = json!("test");
    let id = call["id"].as_str().unwrap_or_default().to_owned();
    let body = json!({ "type": "call.ended", "timestamp": created, "test": true, "data": call });
    let name = format!("test-{}", created.as_microsecond());
    Letter { id: name, call: id, kind: "call.ended".to_owned(), created, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_says_so() {
        let letter = letter(&Clock::manual(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!((&letter.body["test"], &letter.body["data"]["pbx"]), (&json!(true), &json!("test")));
        assert!(!letter.call.is_empty() && letter.id == "test-0");
    }
}
