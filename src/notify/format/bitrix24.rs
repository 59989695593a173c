//! The telephony of Bitrix24, over the REST interface of an incoming webhook: a call is registered when the first own
//! phone has to do with it, finished at its end, and its recording attached.
//!
//! The name that Bitrix24 gives a call is remembered before anything else is done. Calls between own phones are none of
//! a CRM's. What the error inside of an answer means is decided here: its status says little.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::told::{self, Told, Way};
use super::{Heard, Memory, Reply, Step, Task, mark};

/// Under which name it is remembered what Bitrix24 knows of a call.
const MARK: &str = "bitrix24";

/// Errors that pass by themselves.
const BUSY: [&str; 3] = ["query_limit_exceeded", "overload_limit", "operation_time_limit"];

/// Errors that pass when the administrator has mended the webhook or its rights.
const LOCKED: [&str; 11] = [
    "expired_token",
    "invalid_token",
    "invalid_credentials",
    "invalid_grant",
    "invalid_client",
    "no_auth_found",
    "insufficient_scope",
    "access_denied",
    "user_access_error",
    "application_not_found",
    "payment_required",
];

/// What Bitrix24 knows of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Card {
    /// Its name there.
    call_id: String,
    /// The own phone that it was registered for.
    phone: Option<String>,
    /// When it was registered.
    since: Timestamp,
    /// Whether it is finished.
    finished: bool,
    /// The recording that it has.
    recording: Option<String>,
}

/// One of the methods, and what Bitrix24 knows once it has answered well.
struct Ask {
    method: Method,
    params: Map<String, Value>,
    after: Card,
    /// The call that it is about, where that is not the notice's.
    from: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Register,
    Finish,
    Attach,
}

impl Method {
    fn path(self) -> &'static str {
        match self {
            Method::Register => "telephony.externalcall.register.json",
            Method::Finish => "telephony.externalcall.finish.json",
            Method::Attach => "telephony.externalCall.attachRecord.json",
        }
    }
}

pub(super) fn next(task: &Task<'_>) -> Result<Step, String> {
    Ok(match ask(task) {
        Ok(ask) => {
            let url = super::below(&task.endpoint.url, ask.method.path());
            Step::Send(super::post(url, &Value::Object(ask.params)))
        }
        Err(why) => Step::Nothing(why),
    })
}

pub(super) fn heard(task: &Task<'_>, reply: &Reply) -> Heard {
    let (Some(status), Ok(ask)) = (reply.status, ask(task)) else { return Heard::default() };
    let mut after = ask.after;
    match understood(status, &reply.body, ask.method) {
        Ok(answer) if ask.method == Method::Register => match told::text(&answer["result"]["CALL_ID"]) {
            Some(call_id) => after.call_id = call_id.chars().take(200).collect(),
            None => return Heard { means: Some(502), ..Heard::default() },
        },
        Ok(_) => {}
        Err(means) => return Heard { means: Some(means), ..Heard::default() },
    }
    let mark = mark(MARK, ask.from.as_deref());
    let remember: Vec<(String, String)> =
        serde_json::to_string(&after).map(|value| vec![(mark, value)]).unwrap_or_default();
    let mut memory = task.memory.clone();
    memory.extend(remember.iter().cloned());
    let more = self::ask(&Task { memory: &memory, ..*task }).is_ok();
    Heard { remember, more, means: Some(200) }
}

/// A good answer, or the status that says what a bad one means.
fn understood(status: u16, body: &[u8], method: Method) -> Result<Value, u16> {
    let good = (200..300).contains(&status);
    let answer: Value = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        // Finishing answers with more than is read of it.
        Err(_) if good && body.starts_with(b"{\"result\":") => return Ok(Value::Null),
        // A page for people instead of an answer: the portal is being worked on.
        Err(_) => return Err(if good { 502 } else { status }),
    };
    let Some(error) = answer["error"].as_str() else { return if good { Ok(answer) } else { Err(status) } };
    let (error, description) =
        (error.to_ascii_lowercase(), answer["error_description"].as_str().unwrap_or_default());
    let unknown = description.to_ascii_lowercase().contains("not found");
    match method {
        _ if BUSY.contains(&error.as_str()) => Err(429),
        _ if LOCKED.contains(&error.as_str()) => Err(503),
        _ if status >= 500 || [408, 429].contains(&status) => Err(status),
        // It was finished before, and the answer was lost; or another call of the same numbers had the same name.
        Method::Finish if unknown => Ok(Value::Null),
        // Bitrix24 tries once to fetch the recording, which may not lie there yet.
        Method::Attach => Err(503),
        _ => Err(422),
    }
}

fn ask(task: &Task<'_>) -> Result<Ask, &'static str> {
    let told = Told::of(task.letter);
    let kind = task.letter.kind.as_str();
    if kind == "call.merged" {
        return merged(task, told);
    }
    match told.way() {
        Way::In | Way::Out => {}
        Way::Local => return Err("a call between own phones is none of a CRM's"),
        Way::Unknown => return Err("whether the call came in or went out is not known"),
    }
    let over = ["call.ended", "call.corrected"].contains(&kind);
    match card(task.memory, MARK) {
        None => register(task, told, over),
        Some(card) if !card.finished && over => finish(task, told, card),
        Some(card) if card.finished && (over || kind == "call.recorded") => attach(task, told, card),
        Some(_) => Err("Bitrix24 knows it already"),
    }
}

fn register(task: &Task<'_>, told: Told<'_>, over: bool) -> Result<Ask, &'static str> {
    let phone = phone(told);
    let user = task.endpoint.bitrix24.as_ref().and_then(|own| own.user_id).filter(|_| over);
    let whose = person(phone, user).ok_or(match over {
        false => "no phone of ours has to do with it yet",
        true => "no phone of ours had to do with it, and bitrix24.user_id names nobody",
    })?;
    let number =
        number(told).ok_or("the number outside is hidden, and Bitrix24 takes no call without one")?;
    let began = told.at("started_at").unwrap_or(task.letter.created).to_zoned(told::zone(task.endpoint));
    let mut params = Map::from_iter([
        whose,
        ("PHONE_NUMBER".to_owned(), json!(number)),
        ("CALL_START_DATE".to_owned(), json!(began.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())),
        (
            "CRM_CREATE".to_owned(),
            json!(i32::from(task.endpoint.bitrix24.as_ref().is_some_and(|own| own.crm_create))),
        ),
        // The card of a call that is over is of no use to anybody.
        ("SHOW".to_owned(), json!(i32::from(!over))),
        ("TYPE".to_owned(), json!(kind_of(told))),
    ]);
    if let Some(line) = told.text("trunk") {
        params.insert("LINE_NUMBER".to_owned(), json!(line));
    }
    let after = Card { phone: phone.map(ToOwned::to_owned), since: task.at, ..Card::default() };
    Ok(Ask { method: Method::Register, params, after, from: None })
}

fn finish(task: &Task<'_>, told: Told<'_>, card: Card) -> Result<Ask, &'static str> {
    let talker = told.talker().filter(|number| told::is_own(number));
    let user = task.endpoint.bitrix24.as_ref().and_then(|own| own.user_id);
    let params = Map::from_iter(
        [
            ("CALL_ID".to_owned(), json!(card.call_id)),
            ("DURATION".to_owned(), json!(told.seconds("talk_ms"))),
            ("STATUS_CODE".to_owned(), json!(status_code(told))),
        ]
        .into_iter()
        .chain(person(talker.or(card.phone.as_deref()), user)),
    );
    Ok(Ask { method: Method::Finish, params, after: Card { finished: true, ..card }, from: None })
}

fn attach(task: &Task<'_>, told: Told<'_>, card: Card) -> Result<Ask, &'static str> {
    let file = told.recording().ok_or("there is no recording")?;
    let url = told::record_url(file, task.endpoint)
        .ok_or("the recording can be fetched nowhere: set record_url")?;
    if card.recording.as_deref() == Some(&url) {
        return Err("Bitrix24 has the recording already");
    }
    let name = file.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let known = [".wav", ".mp3"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    let name = if known { name.to_owned() } else { format!("{name}.wav") };
    let params = Map::from_iter([
        ("CALL_ID".to_owned(), json!(card.call_id)),
        ("FILENAME".to_owned(), json!(name)),
        ("RECORD_URL".to_owned(), json!(url)),
    ]);
    Ok(Ask { method: Method::Attach, params, after: Card { recording: Some(url), ..card }, from: None })
}

/// A call that was registered under a name of its own is finished when it became part of another one.
fn merged(task: &Task<'_>, told: Told<'_>) -> Result<Ask, &'static str> {
    let (from, _) = told.merge().ok_or("which calls are one is not said")?;
    let card = card(task.memory, &mark(MARK, Some(from))).ok_or("Bitrix24 does not know it")?;
    let same = self::card(task.memory, MARK).is_some_and(|into| into.call_id == card.call_id);
    if card.finished || same {
        return Err("there is nothing to finish");
    }
    let lasted = task.letter.created.duration_since(card.since).as_secs().max(0);
    let params = Map::from_iter(
        [
            ("CALL_ID".to_owned(), json!(card.call_id)),
            ("DURATION".to_owned(), json!(lasted)),
            ("STATUS_CODE".to_owned(), json!("200")),
        ]
        .into_iter()
        .chain(person(card.phone.as_deref(), task.endpoint.bitrix24.as_ref().and_then(|own| own.user_id))),
    );
    Ok(Ask {
        method: Method::Finish,
        params,
        after: Card { finished: true, ..card },
        from: Some(from.to_owned()),
    })
}

fn card(memory: &Memory, mark: &str) -> Option<Card> {
    serde_json::from_str(memory.get(mark)?).ok()
}

/// Whose call it is: the user who has this extension, else the one that is configured.
fn person(phone: Option<&str>, user: Option<u64>) -> Option<(String, Value)> {
    let phone = phone.map(|phone| ("USER_PHONE_INNER".to_owned(), json!(phone)));
    phone.or_else(|| user.map(|user| ("USER_ID".to_owned(), json!(user))))
}

/// The own phone that has to do with the call: who called out, who talks, whose phone rings.
fn phone<'a>(told: Told<'a>) -> Option<&'a str> {
    if told.way() == Way::Out {
        return told.source().filter(|number| told::is_own(number));
    }
    let number = |leg: &'a Value| told::text(&leg["number"]).filter(|number| told::is_own(number));
    let rings = told.leg().filter(|leg| leg["role"] != "caller").and_then(number);
    told.talker()
        .filter(|number| told::is_own(number))
        .or(rings)
        .or_else(|| told.called().rev().find_map(number))
}

/// The number outside.
fn number(told: Told<'_>) -> Option<String> {
    let number = if told.way() == Way::In { told.source() } else { told.dialled() };
    let plain = |c: &char| c.is_ascii_digit() || "+*#".contains(*c);
    let number: String = number?.chars().filter(plain).take(32).collect();
    number.contains(|c: char| c.is_ascii_digit()).then_some(number)
}

/// 1 went out, 2 came in, 4 called back.
fn kind_of(told: Told<'_>) -> i32 {
    match told.way() {
        Way::In => 2,
        _ if told.list("steps").any(|step| step["step"] == "rang_first") => 4,
        _ => 1,
    }
}

/// What came of the call, in Bitrix24's codes; a call from outside that nobody answered is a missed one.
fn status_code(told: Told<'_>) -> &'static str {
    match (told.way(), told.text("disposition")) {
        (_, Some("ANSWERED")) => "200",
        (Way::In, _) => "304",
        (_, Some("BUSY")) => "486",
        (_, Some("CONGESTION" | "FAILED")) => "503",
        _ if told.is("abandoned") => "603-S",
        _ => "480",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sample::{self, Post, about, ended, incoming, leg, letter, merged, rung, talking};
    use super::super::{Letter, Message};
    use super::*;
    use crate::config::{Bitrix24, Endpoint, Format};
    use proptest::prelude::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            url: "https://acme.bitrix24.com/rest/1/s3cret/".into(),
            ..sample::endpoint(Format::Bitrix24)
        }
    }

    fn ringing(call: &Value, number: &str) -> Letter {
        about("call.ringing", call, leg(number, "called", "open"))
    }

    fn answer(message: &Message) -> (u16, String) {
        let register = message.url.contains("register");
        (
            200,
            if register { r#"{"result":{"CALL_ID":"externalCall.1"}}"# } else { r#"{"result":{}}"# }
                .to_owned(),
        )
    }

    /// The methods that were asked, with what was said.
    fn asked(post: &Post) -> Vec<(String, Value)> {
        let method = |url: &str| url.rsplit('/').next().unwrap().trim_end_matches(".json").to_owned();
        post.sent.iter().map(|m| (method(&m.url), serde_json::from_str(&m.body).unwrap())).collect()
    }

    fn methods(post: &Post) -> Vec<String> {
        asked(post).into_iter().map(|(method, _)| method.rsplit('.').next().unwrap().to_owned()).collect()
    }

    fn recorded(mut call: Value) -> Value {
        call["remarks"] = json!([{ "text": "/var/spool/asterisk/monitor/2026/a.wav", "recording": true }]);
        call
    }

    #[test]
    fn a_call_is_registered_when_a_phone_rings_finished_at_its_end_and_its_recording_attached() {
        let rings = rung(incoming(), "101");
        let over = recorded(ended(talking(rung(rings.clone(), "102"), "102"), 61_500));
        let mut post = Post::default();
        for letter in [
            letter("call.started", &incoming()),
            ringing(&rings, "101"),
            ringing(&rings, "102"),
            letter("call.answered", &over),
            letter("call.recorded", &recorded(rings)),
            letter("call.ended", &over),
            letter("call.recorded", &over),
        ] {
            post.tell(&endpoint(), &letter, answer).unwrap();
        }
        let asked = asked(&post);
        assert_eq!(
            asked,
            [
                (
                    "telephony.externalcall.register".to_owned(),
                    json!({ "USER_PHONE_INNER": "101", "PHONE_NUMBER": "79190000001",
                            "CALL_START_DATE": "2026-11-22T22:21:40+05:00", "CRM_CREATE": 0, "SHOW": 1, "TYPE": 2,
                            "LINE_NUMBER": "73510000001" })
                ),
                (
                    "telephony.externalcall.finish".to_owned(),
                    json!({ "CALL_ID": "externalCall.1", "DURATION": 61, "STATUS_CODE": "200", "USER_PHONE_INNER": "102" })
                ),
                (
                    "telephony.externalCall.attachRecord".to_owned(),
                    json!({ "CALL_ID": "externalCall.1", "FILENAME": "a.wav",
                            "RECORD_URL": "https://pbx.example.com/rec/2026/a.wav" })
                ),
            ]
        );
        assert_eq!(
            post.sent[0].url,
            "https://acme.bitrix24.com/rest/1/s3cret/telephony.externalcall.register.json"
        );
    }

    #[test]
    fn a_call_of_which_the_end_is_the_first_thing_heard_is_registered_then() {
        let mut post = Post::default();
        post.tell(&endpoint(), &letter("call.ended", &ended(rung(incoming(), "101"), 0)), answer).unwrap();
        assert_eq!(methods(&post), ["register", "finish"]);
        let asked = asked(&post);
        assert_eq!((&asked[0].1["SHOW"], &asked[1].1["STATUS_CODE"]), (&json!(0), &json!("304")));
    }

    #[test]
    fn a_call_that_rang_nobody_belongs_to_the_user_that_is_configured() {
        let over = letter("call.ended", &ended(incoming(), 0));
        let mut post = Post::default();
        assert_eq!(post.tell(&endpoint(), &over, answer), Ok(None));
        let own = Some(Bitrix24 { user_id: Some(7), crm_create: true });
        post.tell(&Endpoint { bitrix24: own, ..endpoint() }, &over, answer).unwrap();
        let asked = asked(&post);
        assert!(asked.len() == 2 && asked.iter().all(|(_, said)| said["USER_ID"] == 7), "{asked:?}");
        assert_eq!(asked[0].1["CRM_CREATE"], 1);
    }

    #[test]
    fn an_outgoing_call_belongs_to_who_made_it() {
        let mut call = incoming();
        (call["direction"], call["source"], call["destination"]) =
            (json!("outbound"), json!({ "number": "101" }), json!("+7 (900) 111-22-33"));
        let mut post = Post::default();
        post.tell(&endpoint(), &letter("call.started", &call), answer).unwrap();
        let mut over = ended(call.clone(), 0);
        (over["disposition"], over["abandoned"]) = (json!("NO ANSWER"), json!(true));
        post.tell(&endpoint(), &letter("call.ended", &over), answer).unwrap();
        let asked = asked(&post);
        assert_eq!(
            (&asked[0].1["USER_PHONE_INNER"], &asked[0].1["PHONE_NUMBER"], &asked[0].1["TYPE"]),
            (&json!("101"), &json!("+79001112233"), &json!(1))
        );
        assert_eq!(asked[1].1["STATUS_CODE"], "603-S");
    }

    #[test]
    fn calls_between_own_phones_and_hidden_numbers_are_not_registered() {
        let mut local = rung(incoming(), "101");
        local["direction"] = json!("internal");
        let mut hidden = rung(incoming(), "101");
        hidden["source"]["number"] = json!("anonymous");
        for call in [local, hidden] {
            let mut post = Post::default();
            assert_eq!(post.tell(&endpoint(), &letter("call.ended", &ended(call, 0)), answer), Ok(None));
        }
    }

    /// The status that an answer to a method comes to, and whether something was remembered.
    fn comes_to(method: &str, status: u16, body: &str) -> (u16, bool) {
        let call = recorded(ended(rung(incoming(), "101"), 0));
        let mut post = Post::default();
        let mut before = 0;
        let status = post.tell(&endpoint(), &letter("call.ended", &call), |message| {
            if message.url.contains(method) {
                (status, body.to_owned())
            } else {
                before += 1;
                answer(message)
            }
        });
        let kept = post.memory.get(MARK).map_or(0, |mark| {
            let card: Card = serde_json::from_str(mark).unwrap();
            1 + usize::from(card.finished) + usize::from(card.recording.is_some())
        });
        (status.unwrap().unwrap(), kept > before)
    }

    #[test]
    fn an_error_inside_of_the_answer_says_whether_to_try_again() {
        let error = |code: &str| format!(r#"{{"error":"{code}","error_description":"for some reason"}}"#);
        for (status, body, means) in [
            (401, error("expired_token"), 503),
            (401, error("INVALID_CREDENTIALS"), 503),
            (200, error("NO_AUTH_FOUND"), 503),
            (503, error("QUERY_LIMIT_EXCEEDED"), 429),
            (200, error("OVERLOAD_LIMIT"), 429),
            (400, error("ERROR_CORE"), 422),
            (200, error(""), 422),
            (500, error("INTERNAL_SERVER_ERROR"), 500),
            (200, "<html>in repair</html>".to_owned(), 502),
            (200, r#"{"result":{}}"#.to_owned(), 502),
            (404, "<html>".to_owned(), 404),
        ] {
            assert_eq!(comes_to("register", status, &body), (means, false), "{status} {body}");
        }
        let unknown = r#"{"error":"","error_description":"Call is not found (call should be registered prior to finishing"}"#;
        assert_eq!(comes_to("finish", 400, unknown), (200, true), "it is finished");
        assert_eq!(comes_to("finish", 400, &error("ERROR_CORE")), (422, false));
        let long = format!(r#"{{"result":{{"a":"{}"#, "x".repeat(8000));
        assert_eq!(comes_to("finish", 200, &long), (200, true), "more than is read of an answer");
        assert_eq!(
            comes_to("attachRecord", 400, &error("")),
            (503, false),
            "the recording may not be there yet"
        );
    }

    #[test]
    fn a_recording_that_cannot_be_fetched_anywhere_is_not_attached() {
        let call = recorded(ended(rung(incoming(), "101"), 0));
        let mut post = Post::default();
        let nowhere = Endpoint { record_url: None, ..endpoint() };
        post.tell(&nowhere, &letter("call.ended", &call), answer).unwrap();
        assert_eq!(methods(&post), ["register", "finish"]);
    }

    #[test]
    fn a_correction_finishes_what_was_not_finished_and_changes_nothing_else() {
        let over = ended(rung(incoming(), "101"), 0);
        let mut post = Post::default();
        post.tell(&endpoint(), &letter("call.ended", &over), answer).unwrap();
        assert_eq!(post.tell(&endpoint(), &letter("call.corrected", &over), answer), Ok(None));
        let mut post = Post::default();
        post.tell(&endpoint(), &ringing(&over, "101"), answer).unwrap();
        post.tell(&endpoint(), &letter("call.corrected", &over), answer).unwrap();
        assert_eq!(methods(&post), ["register", "finish"]);
    }

    #[test]
    fn a_call_that_became_part_of_another_is_finished_once() {
        let mut post = Post::default();
        post.tell(&endpoint(), &ringing(&rung(incoming(), "101"), "101"), answer).unwrap();
        let other = post.memory[MARK].replace("externalCall.1", "externalCall.2");
        post.memory.insert(format!("old/{MARK}"), other);
        for _ in 0..2 {
            post.tell(&endpoint(), &merged("old"), answer).unwrap();
        }
        assert_eq!(methods(&post), ["register", "finish"]);
        assert_eq!(asked(&post)[1].1["CALL_ID"], "externalCall.2");
    }

    proptest! {
        #[test]
        fn whatever_a_call_and_an_answer_hold_a_message_is_sound_json(
            letter in sample::any_letter(), status in 100_u16..600, body in ".{0,40}|\\{\"(error|result)\":[\"{}A-Z_]{0,9}\\}",
        ) {
            let mut post = Post::default();
            for _ in 0..2 {
                let _ = post.tell(&endpoint(), &letter, answer);
            }
            let _ = Post::default().tell(&endpoint(), &letter, |_| (status, body.clone()));
            prop_assert!(post.sent.iter().all(sample::is_sound));
            for (_, said) in asked(&post) {
                prop_assert!(said["CALL_ID"].is_string() || said["PHONE_NUMBER"].is_string());
            }
        }
    }
}
