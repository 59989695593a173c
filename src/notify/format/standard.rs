//! Our own JSON, in the envelope that standardwebhooks.com describes.
//!
//! The body is the same at each attempt, and so is the id, by which a receiver tells that it has the notice already.

use super::{Message, Step, Task, USER_AGENT};

pub(super) fn next(task: &Task<'_>) -> Result<Step, String> {
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", task.letter.id.clone()),
        ("webhook-timestamp", task.at.as_second().to_string()),
    ];
    Ok(Step::Send(Message {
        method: "POST".to_owned(),
        url: task.endpoint.url.clone(),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: task.letter.body.to_string(),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Letter, Memory};
    use super::*;
    use crate::config::Endpoint;
    use jiff::Timestamp;

    fn sent(at: i64) -> Message {
        let endpoint = Endpoint { name: "crm".into(), url: "http://crm/".into(), ..Endpoint::default() };
        let letter = Letter {
            id: "id-1".into(),
            call: "call-1".into(),
            kind: "call.ended".into(),
            created: Timestamp::UNIX_EPOCH,
            body: serde_json::json!({ "type": "call.ended" }),
        };
        let at = Timestamp::from_second(at).unwrap();
        let task = Task { endpoint: &endpoint, letter: &letter, memory: &Memory::new(), at };
        let Step::Send(message) = next(&task).unwrap() else { panic!("nothing to send") };
        message
    }

    #[test]
    fn the_id_and_the_body_stay_and_the_time_is_that_of_the_attempt() {
        let (first, second) = (sent(10), sent(20));
        assert_eq!(first.headers[2], ("webhook-id".to_owned(), "id-1".to_owned()));
        assert_eq!((&first.headers[2], &first.body), (&second.headers[2], &second.body));
        assert_eq!(second.headers[3].1, "20");
    }
}
