//! What receivers of ast-cdr are used to: `call_event`s at `{url}/event/push`, now once each and with the true end.
//!
//! As with ast-cdr they hear of calls from outside alone, and a number of more than four digits is no own phone.
//! There are no words for a correction; a call that turned out to be part of another one ends.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::so_far::SoFar;
use super::told::{self, Told, Way};
use super::{Heard, Reply, Step, Task};

/// Where events go, below the endpoint's `url`.
const PATH: &str = "event/push";

/// Asterisk's word for a caller who hides his number; ast-lite has it in its call keys.
const UNKNOWN: &str = "<unknown>";

/// Most digits of an own phone's number.
const LOCAL: usize = 4;

/// One event, and what the receiver was told once it has it.
struct Event {
    name: &'static str,
    /// The own phone that it is about.
    local: Option<String>,
    after: SoFar,
    /// The call that it is the end of, where that is not the notice's.
    from: Option<String>,
}

pub(super) fn next(task: &Task<'_>) -> Result<Step, String> {
    let event = match event(task) {
        Ok(event) => event,
        Err(why) => return Ok(Step::Nothing(why)),
    };
    let mut params = Map::new();
    let mut say = |key: &str, value: Value| params.insert(key.to_owned(), value);
    say("src_phone", json!(event.after.src));
    say("call_id", json!(event.after.call_id));
    say("dst_phone", json!(event.after.dst));
    if let Some(local) = &event.local {
        say("real_local_number", json!(local));
    }
    say("event_name", json!(event.name));
    say("evt_id", json!(number(&task.letter.id)));
    let url = super::below(&task.endpoint.url, PATH);
    Ok(Step::Send(super::post(url, &json!({ "type": "call_event", "params": params }))))
}

/// These receivers answer 200 and say in the body what went wrong: `ERR: …` in a word, or the JSON of ast-cdr.
pub(super) fn heard(task: &Task<'_>, reply: &Reply) -> Heard {
    if !reply.arrived() {
        return Heard::default();
    }
    if let Some(means) = refusal(&reply.body) {
        return Heard { means: Some(means), ..Heard::default() };
    }
    let Ok(Event { after, from, .. }) = event(task) else { return Heard::default() };
    Heard { remember: after.kept(from.as_deref()), ..Heard::default() }
}

/// What an error inside of the answer means: what could not be saved now may be saved later, what was not understood
/// never is.
fn refusal(body: &[u8]) -> Option<u16> {
    let (later, never) = (Some(503), Some(422));
    if let Some(error) = body.trim_ascii_start().strip_prefix(b"ERR:") {
        return if error.trim_ascii_start().starts_with(b"Error") { later } else { never };
    }
    let answer: Value = serde_json::from_slice(body).ok()?;
    match (answer["error"].as_str(), answer["code"].as_i64()) {
        (Some("ERROR"), Some(10)) => later,
        (Some("ERROR"), _) => never,
        _ => None,
    }
}

fn event(task: &Task<'_>) -> Result<Event, &'static str> {
    let told = Told::of(task.letter);
    if task.letter.kind == "call.merged" {
        return merged(task, told);
    }
    if !from_outside(told) {
        return Err("this format tells of calls from outside alone");
    }
    let mut after = SoFar::of(task.memory).unwrap_or_else(|| first(task, told));
    if after.ended {
        return Err("its end was told, and this format has no words for what comes later");
    }
    let (name, local) = match task.letter.kind.as_str() {
        "call.started" => ("start.call", None),
        "call.ringing" => {
            let leg = told.leg().ok_or("nobody is said to ring")?;
            ("local.in.call", Some(told::text(&leg["number"]).filter(local).ok_or("no own phone rings")?))
        }
        "call.answered" | "call.transferred" => {
            let talker = if task.letter.kind == "call.answered" { told.answerer() } else { told.talker() };
            let talker = talker.ok_or("nobody talks yet")?;
            if after.talker.replace(talker.to_owned()).as_deref() == Some(talker) {
                return Err("it was told that they talk");
            }
            match local(&talker) {
                true => ("start.talk", Some(talker)),
                false => ("answer.call", None),
            }
        }
        "call.ended" | "call.corrected" => {
            after.ended = true;
            ("end.call", last_phone(told))
        }
        _ => return Err("this format has no words for it"),
    };
    Ok(Event { name, local: local.map(ToOwned::to_owned), after, from: None })
}

/// The call that is no more ends, where it was told under a name of its own.
fn merged(task: &Task<'_>, told: Told<'_>) -> Result<Event, &'static str> {
    let (from, _) = told.merge().ok_or("which calls are one is not said")?;
    let mut after = SoFar::of_merged(task.memory, from).ok_or("nothing was told of it")?;
    let into = SoFar::of(task.memory).unwrap_or_default();
    if after.ended || after.call_id == into.call_id {
        return Err("there is nothing to end");
    }
    after.ended = true;
    let local = after.talker.clone().filter(|talker| local(&talker.as_str()));
    Ok(Event { name: "end.call", local, after, from: Some(from.to_owned()) })
}

fn from_outside(told: Told<'_>) -> bool {
    match told.way() {
        Way::In => true,
        Way::Unknown => told.source().is_some_and(|source| !local(&source)) && told.dialled().is_some(),
        Way::Out | Way::Local => false,
    }
}

/// Under which name and numbers the call is told.
fn first(task: &Task<'_>, told: Told<'_>) -> SoFar {
    let src = told.source().unwrap_or(UNKNOWN).to_owned();
    let dst = told.dialled().unwrap_or_default().to_owned();
    let made = || {
        let began = told.at("started_at").unwrap_or(task.letter.created);
        key(began, &src, &dst, task)
    };
    let call_id = told.text("key").map_or_else(made, ToOwned::to_owned);
    SoFar { call_id, src, dst, ..SoFar::default() }
}

/// A key as ast-lite would have made it. Receivers name files after it, so numbers are without what paths are made of.
fn key(began: Timestamp, src: &str, dst: &str, task: &Task<'_>) -> String {
    let stamp = began.to_zoned(told::zone(task.endpoint)).strftime("%Y%m%d-%H%M%S").to_string();
    let plain = |number: &str| -> String {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "+*#_<>".contains(*c);
        number.chars().filter(plain).take(64).collect()
    };
    format!("{stamp}-{}-IN-{}", plain(src), plain(dst))
}

/// Whoever had the call last: who talked, or whose phone rang.
fn last_phone(told: Told<'_>) -> Option<&str> {
    let rang = || told.called().rev().filter_map(|leg| told::text(&leg["number"])).find(local);
    told.talker().filter(local).or_else(rang)
}

fn local(number: &&str) -> bool {
    (1..=LOCAL).contains(&number.chars().count())
}

/// The event's number, the same at each attempt: receivers keep it in a numeric column.
fn number(notice: &str) -> u64 {
    Sha256::digest(notice).iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sample::{self, Post, about, ended, incoming, leg, letter, merged, rung, talking};
    use super::*;
    use crate::config::{Endpoint, Format};
    use proptest::prelude::*;

    fn endpoint() -> Endpoint {
        sample::endpoint(Format::AstCdr)
    }

    fn ringing(call: &Value, number: &str) -> super::super::Letter {
        about("call.ringing", call, leg(number, "called", "open"))
    }

    /// As ast-cdr has it, but for the number of the event.
    fn said(name: &str, local: Option<&str>) -> Value {
        let mut params = json!({
            "src_phone": "79190000001",
            "call_id": "20261122-222140-79190000001-IN-73510000001",
            "dst_phone": "73510000001",
        });
        if let Some(local) = local {
            params["real_local_number"] = json!(local);
        }
        params["event_name"] = json!(name);
        json!({ "type": "call_event", "params": params })
    }

    fn without_number(mut event: Value) -> Value {
        assert!(event["params"]["evt_id"].as_u64().is_some(), "{event}");
        event["params"].as_object_mut().unwrap().remove("evt_id");
        event
    }

    /// What one receiver hears of these notices.
    fn heard_of(letters: &[super::super::Letter]) -> Vec<Value> {
        let mut post = Post::default();
        letters.iter().filter_map(|l| post.well(&endpoint(), l)).map(without_number).collect()
    }

    #[test]
    fn an_answered_call_is_told_as_ast_cdr_told_it_and_its_end_once() {
        let rings = rung(incoming(), "101");
        let talks = talking(rings.clone(), "101");
        let over = ended(talks.clone(), 2000);
        let heard = heard_of(&[
            letter("call.started", &incoming()),
            ringing(&rings, "101"),
            letter("call.answered", &talks),
            letter("call.recorded", &over),
            letter("call.ended", &over),
            letter("call.corrected", &over),
        ]);
        let phone = Some("101");
        assert_eq!(
            heard,
            [
                said("start.call", None),
                said("local.in.call", phone),
                said("start.talk", phone),
                said("end.call", phone)
            ]
        );
        let keys: Vec<&String> = heard[1]["params"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["src_phone", "call_id", "dst_phone", "real_local_number", "event_name"]);
    }

    /// What a real ast-ami posted of a call, each event once and no end but the last.
    fn recorded(name: &str) -> Vec<Value> {
        let path = format!("{}/tests/it/push/fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let posts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut events: Vec<Value> = posts
            .filter(|post| post["path"] == "/json/events/push")
            .map(|post| serde_json::from_str(post["body"].as_str().unwrap()).unwrap())
            .collect();
        events.dedup();
        let last = events.len() - 1;
        let mut at = 0..;
        events.retain(|event| at.next() == Some(last) || event["params"]["event_name"] != "end.call");
        events
    }

    #[test]
    fn it_is_what_a_real_ast_ami_posted_of_the_same_calls_but_once_and_at_the_true_end() {
        let endpoint = Endpoint { timezone: Some("UTC".into()), ..endpoint() };
        for (name, started, phones, answered) in [
            ("abandoned", "2026-11-22T22:21:44Z", &["101"][..], false),
            ("answered", "2026-11-22T22:21:40Z", &["101"], true),
            ("blind", "2026-11-22T22:21:48Z", &["101", "102"], true),
        ] {
            let mut call = incoming();
            call["started_at"] = json!(started);
            let mut letters = vec![letter("call.started", &call)];
            for phone in phones {
                call = rung(call, phone);
                letters.push(ringing(&call, phone));
                if answered {
                    call = talking(call, phone);
                    letters.push(letter("call.answered", &call));
                }
            }
            letters.push(letter("call.ended", &ended(call, 1000)));
            let mut post = Post::default();
            let told = letters.iter().filter_map(|l| post.well(&endpoint, l)).map(without_number);
            assert_eq!(told.collect::<Vec<_>>(), recorded(name), "{name}");
        }
    }

    #[test]
    fn a_transferred_call_goes_on_until_it_ends() {
        let first = talking(rung(incoming(), "101"), "101");
        let second = rung(first.clone(), "102");
        let talks = talking(second.clone(), "102");
        let heard = heard_of(&[
            letter("call.answered", &first),
            letter("call.transferred", &first),
            ringing(&second, "102"),
            letter("call.transferred", &talks),
            letter("call.answered", &talks),
            letter("call.ended", &ended(talks, 6000)),
        ]);
        let wanted =
            [("start.talk", "101"), ("local.in.call", "102"), ("start.talk", "102"), ("end.call", "102")];
        assert_eq!(heard, wanted.map(|(name, phone)| said(name, Some(phone))));
    }

    #[test]
    fn who_picked_up_talks_also_before_it_is_known_with_whom() {
        let answered = about(
            "call.answered",
            &rung(incoming(), "101"),
            json!({ "leg": leg("101", "called", "answered") }),
        );
        assert_eq!(heard_of(&[answered]), [said("start.talk", Some("101"))]);
    }

    #[test]
    fn an_abandoned_call_ends_at_the_phone_that_rang() {
        let rings = rung(incoming(), "101");
        assert_eq!(heard_of(&[letter("call.ended", &ended(rings, 0))]), [said("end.call", Some("101"))]);
    }

    #[test]
    fn a_phone_outside_is_no_own_one() {
        let mobile = talking(rung(incoming(), "79001112233"), "79001112233");
        let heard = heard_of(&[
            ringing(&mobile, "79001112233"),
            letter("call.answered", &mobile),
            letter("call.ended", &ended(mobile, 1)),
        ]);
        assert_eq!(heard, [said("answer.call", None), said("end.call", None)]);
    }

    #[test]
    fn the_key_of_the_dialplan_is_the_name_of_the_call() {
        let mut call = incoming();
        call["key"] = json!("20261122-222139-x-IN-1");
        let heard = heard_of(&[letter("call.started", &call)]);
        assert_eq!(heard[0]["params"]["call_id"], "20261122-222139-x-IN-1");
        assert_eq!(heard[0]["params"]["src_phone"], "79190000001");
    }

    #[test]
    fn a_call_is_told_under_one_name_even_when_its_numbers_become_known_late() {
        let mut unknown = incoming();
        unknown["source"] = json!({ "number": null, "name": null });
        let heard =
            heard_of(&[letter("call.started", &unknown), letter("call.ended", &ended(incoming(), 0))]);
        assert_eq!(heard[0]["params"]["call_id"], "20261122-222140-<unknown>-IN-73510000001");
        assert_eq!(heard[0]["params"]["call_id"], heard[1]["params"]["call_id"]);
    }

    #[test]
    fn calls_that_do_not_come_from_outside_are_not_told() {
        for direction in ["outbound", "internal"] {
            let mut call = incoming();
            call["direction"] = json!(direction);
            assert!(heard_of(&[letter("call.started", &call), letter("call.ended", &call)]).is_empty());
        }
    }

    #[test]
    fn a_call_that_became_part_of_another_ends_once() {
        let mut post = Post::default();
        post.well(&endpoint(), &letter("call.started", &incoming()));
        // What both have been told under one name is called by the old id, see `Memory`.
        let other = post.memory["told"].replace("222140", "222200");
        post.memory.insert("old/told".into(), other);
        let end = without_number(post.well(&endpoint(), &merged("old")).unwrap());
        assert_eq!(
            (&end["params"]["event_name"], &end["params"]["call_id"]),
            (&json!("end.call"), &json!("20261122-222200-79190000001-IN-73510000001"))
        );
        assert_eq!(post.well(&endpoint(), &merged("old")), None);
        assert_eq!(post.well(&endpoint(), &merged("never")), None);
        assert!(
            post.well(&endpoint(), &letter("call.ended", &incoming())).is_some(),
            "the other one still ends"
        );
    }

    #[test]
    fn an_error_inside_of_the_answer_is_one() {
        let tell = |body: &str| {
            let mut post = Post::default();
            let status =
                post.tell(&endpoint(), &letter("call.ended", &incoming()), |_| (200, body.to_owned()));
            (status.unwrap().unwrap(), post.memory.len())
        };
        assert_eq!(tell("OK: all ok"), (200, 1));
        assert_eq!(tell(r#"{"error":"OK","code":0}"#), (200, 1));
        assert_eq!(tell("<html>"), (200, 1));
        assert_eq!(tell("ERR: Error pushing data to the database"), (503, 0));
        assert_eq!(tell("ERR: JSON format error"), (422, 0));
        assert_eq!(tell(r#"{"error":"ERROR","code":10}"#), (503, 0));
        assert_eq!(tell(r#"{"error":"ERROR","code":5}"#), (422, 0));
    }

    #[test]
    fn events_go_below_the_address_and_have_a_number_of_their_own() {
        let mut post = Post::default();
        let (started, over) = (letter("call.started", &incoming()), letter("call.ended", &incoming()));
        let numbers = [&started, &started, &over]
            .map(|l| Post::default().well(&endpoint(), l).unwrap()["params"]["evt_id"].as_u64().unwrap());
        assert!(numbers[0] == numbers[1] && numbers[0] != numbers[2] && numbers[0] < 1 << 48);
        post.well(&endpoint(), &started);
        assert_eq!(post.sent[0].url, "http://crm.example.com/hook/event/push");
    }

    proptest! {
        #[test]
        fn whatever_a_call_holds_an_event_is_sound_json(letter in sample::any_letter()) {
            let mut post = Post::default();
            for _ in 0..2 {
                if let Some(event) = post.well(&endpoint(), &letter) {
                    prop_assert!(event["params"]["call_id"].is_string() && event["params"]["src_phone"].is_string());
                }
            }
            prop_assert!(post.sent.iter().all(sample::is_sound));
        }

        #[test]
        fn a_made_key_is_one_and_names_no_path(src in ".{0,80}", dst in ".{0,80}") {
            let mut call = incoming();
            (call["source"]["number"], call["destination"], call["trunk"]) = (json!(src), json!(dst), Value::Null);
            let heard = heard_of(&[letter("call.started", &call)]);
            let key = heard[0]["params"]["call_id"].as_str().unwrap();
            prop_assert!(crate::event::key::CallKey::parse(key).is_some() && !key.contains(['/', '.', '\\']));
        }
    }
}
