//! Our own JSON, in the envelope that standardwebhooks.com describes.
//!
//! The body is the same at each attempt, and so is the id, by which a receiver tells that it has the notice already. It
//! holds what was written down with the notice, and of its story the receiver's language alone.
//! Where there is a secret, all of it is signed.

use serde_json::Value;

use super::super::sign::signatures;
use super::{Message, Step, Task, USER_AGENT};
use crate::config::signing_key;

pub(super) fn next(task: &Task<'_>) -> Result<Step, String> {
    let (id, body) = (&task.letter.id, body(task).to_string());
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", task.at.as_second().to_string()),
    ];
    if !task.endpoint.secret.is_empty() {
        let keys: Result<Vec<_>, _> = task.endpoint.secret.iter().map(signing_key).collect();
        headers.push(("webhook-signature", signatures(&keys?, id, task.at, &body)));
    }
    Ok(Step::Send(Message {
        method: "POST".to_owned(),
        url: task.endpoint.url.clone(),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body,
    }))
}

/// What is told, in the receiver's language.
pub(super) fn body(task: &Task<'_>) -> Value {
    let mut body = task.letter.body.clone();
    if let Some(story) = body.get_mut("story").filter(|story| story.is_object()) {
        // `ru`, `ru-RU` and `ru_RU.UTF-8` are one language; where it has no story, English is told.
        let locale = task.endpoint.locale.as_deref().unwrap_or_default();
        let language = locale.split(['_', '-', '.', '@']).next().unwrap_or_default().to_ascii_lowercase();
        let language = if story.get(&language).is_some() { language.as_str() } else { "en" };
        *story = story[language].take();
    }
    body
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Letter, Memory};
    use super::*;
    use crate::config::{Endpoint, Secret};
    use jiff::Timestamp;

    fn sent(at: i64) -> Message {
        sent_to(Endpoint::default(), at)
    }

    fn sent_to(endpoint: Endpoint, at: i64) -> Message {
        let endpoint = Endpoint { name: "crm".into(), url: "http://crm/".into(), ..endpoint };
        let letter = Letter {
            id: "id-1".into(),
            call: "call-1".into(),
            kind: "call.ended".into(),
            created: Timestamp::UNIX_EPOCH,
            body: serde_json::json!({ "type": "call.ended", "story": { "en": ["Hello"], "ru": ["Привет"] } }),
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

    #[test]
    fn the_story_is_told_in_the_receiver_s_language() {
        for (locale, story) in
            [(None, "Hello"), (Some("en"), "Hello"), (Some("ru"), "Привет"), (Some("ru_RU.UTF-8"), "Привет")]
        {
            let told = sent_to(Endpoint { locale: locale.map(Into::into), ..Endpoint::default() }, 10);
            assert_eq!(told.body, format!(r#"{{"type":"call.ended","story":["{story}"]}}"#));
        }
    }

    #[test]
    fn what_is_sent_is_signed_by_each_secret_at_each_attempt_anew() {
        let secret =
            ["whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u", "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1v"].map(Secret::new);
        let endpoint = Endpoint { secret: secret.into(), ..Endpoint::default() };
        let signature = |at| sent_to(endpoint.clone(), at).headers.remove(4);
        let (name, first) = signature(10);
        assert_eq!((name.as_str(), first.matches("v1,").count()), ("webhook-signature", 2));
        assert_ne!(first, signature(20).1);
        assert_eq!(sent(10).headers.len(), 4);
    }
}
