//! The wider event format that providers of virtual pbxes send: `call_event` and `vm_event`, posted to `url` itself.
//!
//! Calls of all directions are told. A correction is the end told again under the same `call_id`; a call that turned
//! out to be part of another one ends.

use jiff::Timestamp;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::so_far::SoFar;
use super::told::{self, Told, Way};
use super::{Heard, Reply, Step, Task};

/// What is told of a voice message, in this order.
const MAIL: [&str; 3] = ["vm.record.start", "vm.record.end", "vm.record.new"];

/// One event, and what the receiver was told once it has it.
struct Event {
    kind: &'static str,
    name: &'static str,
    at: Option<Timestamp>,
    /// What it says beside the numbers.
    more: Map<String, Value>,
    after: SoFar,
    /// The call that it is the end of, where that is not the notice's.
    from: Option<String>,
    /// Whether the notice has another event after it.
    goes_on: bool,
}

pub(super) fn next(task: &Task<'_>) -> Result<Step, String> {
    let event = match event(task) {
        Ok(event) => event,
        Err(why) => return Ok(Step::Nothing(why)),
    };
    let at = event.at.unwrap_or(task.letter.created).to_zoned(told::zone(task.endpoint));
    let mut params = Map::new();
    params.insert("call_id".to_owned(), json!(event.after.call_id));
    params.insert("event_date".to_owned(), json!(at.strftime("%Y-%m-%d %H:%M:%S").to_string()));
    params.insert("src_phone".to_owned(), json!(event.after.src));
    params.insert("dst_phone".to_owned(), json!(event.after.dst));
    params.extend(event.more);
    let body = json!({ "type": event.kind, "event_name": event.name, "params": params });
    Ok(Step::Send(super::post(task.endpoint.url.clone(), &body)))
}

pub(super) fn heard(task: &Task<'_>, reply: &Reply) -> Heard {
    let Some(event) = event(task).ok().filter(|_| reply.arrived()) else { return Heard::default() };
    Heard { remember: event.after.kept(event.from.as_deref()), more: event.goes_on, means: None }
}

fn event(task: &Task<'_>) -> Result<Event, &'static str> {
    let told = Told::of(task.letter);
    if task.letter.kind == "call.merged" {
        return merged(task, told);
    }
    let so_far = SoFar::of(task.memory).unwrap_or_else(|| first(task, told));
    let corrects = task.letter.kind == "call.corrected";
    if so_far.ended && !corrects {
        return Err("its end was told already");
    }
    let mut event = Event {
        kind: "call_event",
        name: "",
        at: Some(task.letter.created),
        more: Map::new(),
        after: so_far,
        from: None,
        goes_on: false,
    };
    match task.letter.kind.as_str() {
        "call.started" => starts(&mut event, told),
        "call.ringing" => rings(&mut event, told)?,
        "call.answered" => talks(&mut event, told.answerer())?,
        "call.transferred" => talks(&mut event, told.talker())?,
        "call.ended" | "call.corrected" => ends(&mut event, told, task),
        _ => return Err("this format has no words for it"),
    }
    Ok(event)
}

fn starts(event: &mut Event, told: Told<'_>) {
    event.name = "start.call";
    event.at = told.at("started_at");
    let called_back = told.list("steps").any(|step| step["step"] == "rang_first");
    let direction = match told.way() {
        Way::In => 1,
        Way::Out if called_back => 3,
        Way::Out => 2,
        // The format knows calls over a line to the outside alone.
        Way::Local | Way::Unknown => return,
    };
    event.more.insert("direction".to_owned(), json!(direction));
}

fn rings(event: &mut Event, told: Told<'_>) -> Result<(), &'static str> {
    let leg = told.leg().ok_or("nobody is said to ring")?;
    let phone = if told.way() == Way::Out {
        if std::mem::replace(&mut event.after.out, true) {
            return Err("it was told that it rings outside");
        }
        event.name = "local.out.call";
        told.source()
    } else {
        event.name = "local.in.call";
        told::text(&leg["number"])
    };
    event.local(phone.filter(|number| told::is_own(number)).ok_or("no own phone rings")?);
    Ok(())
}

fn talks(event: &mut Event, talker: Option<&str>) -> Result<(), &'static str> {
    let talker = talker.ok_or("nobody talks yet")?;
    if event.after.talker.replace(talker.to_owned()).as_deref() == Some(talker) {
        return Err("it was told that they talk");
    }
    event.name = "start.talk";
    event.local(talker);
    Ok(())
}

fn ends(event: &mut Event, told: Told<'_>, task: &Task<'_>) {
    let mail = told.list("steps").find(|step| step["step"] == "voicemail" && step["message"] == true);
    if let (Some(step), Some(name)) = (mail, MAIL.get(event.after.mail)) {
        event.kind = "vm_event";
        event.name = name;
        event.at = told::time(&step[if event.after.mail == 0 { "at" } else { "ended_at" }]);
        event.after.mail += 1;
        event.goes_on = true;
        if let Some(mailbox) = told::text(&step["mailbox"]) {
            event.local(mailbox);
        }
        return;
    }
    event.name = "end.call";
    event.at = told.at("ended_at");
    event.after.ended = true;
    let mut say = |key: &str, value: Value| event.more.insert(key.to_owned(), value);
    say("disposition", json!(disposition(told)));
    if let (Some(began), Some(ended)) = (told.at("started_at"), told.at("ended_at")) {
        say("duration", json!(ended.duration_since(began).as_secs().max(0)));
    }
    say("billsec", json!(told.seconds("talk_ms")));
    say("wait_time", json!(told.seconds("wait_ms")));
    if let Some(talker) = told.talker() {
        say("real_local_number", json!(talker));
    }
    if let Some(record) = told.recording().and_then(|file| told::record_url(file, task.endpoint)) {
        say("record", json!(record));
    }
}

/// The call that is no more ends, where it was told under a name of its own.
fn merged(task: &Task<'_>, told: Told<'_>) -> Result<Event, &'static str> {
    let (from, _) = told.merge().ok_or("which calls are one is not said")?;
    let mut after = SoFar::of_merged(task.memory, from).ok_or("nothing was told of it")?;
    if after.ended {
        return Err("there is nothing to end");
    }
    after.ended = true;
    let disposition = if after.talker.is_some() { "ANSWER" } else { "HANGUP" };
    let more = Map::from_iter([("disposition".to_owned(), json!(disposition))]);
    let (at, from) = (Some(task.letter.created), Some(from.to_owned()));
    Ok(Event { kind: "call_event", name: "end.call", at, more, after, from, goes_on: false })
}

impl Event {
    fn local(&mut self, number: &str) {
        self.more.insert("real_local_number".to_owned(), json!(number));
    }
}

/// Under which name and numbers the call is told.
fn first(task: &Task<'_>, told: Told<'_>) -> SoFar {
    let name = format!(
        "{}{}",
        told.text("pbx").unwrap_or_default(),
        told.text("linkedid").unwrap_or(&task.letter.call)
    );
    let hash = Md5::digest(name);
    let call_id = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let (src, dst) = (e164(told.source()), e164(told.dialled()));
    SoFar { call_id, src, dst, ..SoFar::default() }
}

/// The digits alone; nothing where there are none, as with a caller who hides his number.
fn e164(number: Option<&str>) -> String {
    number.unwrap_or_default().chars().filter(char::is_ascii_digit).take(32).collect()
}

/// What came of the call, in the words of `DIALSTATUS`.
fn disposition(told: Told<'_>) -> &'static str {
    match told.text("disposition") {
        Some("ANSWERED") => "ANSWER",
        Some("BUSY") => "BUSY",
        Some("CONGESTION") => "CONGESTION",
        Some("FAILED") => "CHANUNAVAIL",
        _ if !told.is("abandoned") => "NOANSWER",
        _ if told.called().next().is_some() => "CANCEL",
        _ => "HANGUP",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sample::{self, Post, about, ended, incoming, leg, letter, merged, rung, talking};
    use super::*;
    use crate::config::{Endpoint, Format};
    use proptest::prelude::*;

    fn endpoint() -> Endpoint {
        sample::endpoint(Format::Vpbx)
    }

    fn events(post: &Post) -> Vec<Value> {
        post.sent.iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    fn names(post: &Post) -> Vec<String> {
        events(post).iter().map(|event| event["event_name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_end_of_an_answered_call_says_how_long_and_where_the_recording_is() {
        let mut call = ended(talking(rung(incoming(), "101"), "101"), 2100);
        call["remarks"] = json!([
            { "at": "2026-11-22T17:21:42Z", "text": "/var/spool/asterisk/monitor/2026/11/22/in.wav", "recording": true },
            { "at": "2026-11-22T17:21:42Z", "text": "a note", "recording": false },
        ]);
        let mut post = Post::default();
        let end = post.well(&endpoint(), &letter("call.ended", &call)).unwrap();
        assert_eq!(
            end,
            json!({
                "type": "call_event", "event_name": "end.call",
                "params": {
                    // md5 of "office1795386100.6"
                    "call_id": "59d5bf0417f88e60d19291695b92efbe",
                    "event_date": "2026-11-22 22:21:43",
                    "src_phone": "79190000001", "dst_phone": "73510000001",
                    "disposition": "ANSWER", "duration": 3, "billsec": 2, "wait_time": 1,
                    "real_local_number": "101",
                    "record": "https://pbx.example.com/rec/2026/11/22/in.wav",
                }
            })
        );
        assert_eq!(post.sent[0].url, "http://crm.example.com/hook/");
    }

    #[test]
    fn a_call_is_told_from_its_start_over_each_phone_to_its_end() {
        let rings = rung(incoming(), "101");
        let talks = talking(rings.clone(), "101");
        let on = talking(talks.clone(), "102");
        let mut post = Post::default();
        for letter in [
            letter("call.started", &incoming()),
            about("call.ringing", &rings, leg("101", "called", "open")),
            letter("call.answered", &talks),
            letter("call.transferred", &talks),
            letter("call.answered", &on),
            letter("call.recorded", &on),
            letter("call.ended", &ended(on.clone(), 1)),
            letter("call.ended", &ended(on.clone(), 1)),
            about("call.ringing", &rings, leg("101", "called", "open")),
        ] {
            post.well(&endpoint(), &letter);
        }
        assert_eq!(names(&post), ["start.call", "local.in.call", "start.talk", "start.talk", "end.call"]);
        let events = events(&post);
        assert_eq!(events[0]["params"]["direction"], 1);
        assert_eq!(events[0]["params"]["event_date"], "2026-11-22 22:21:40");
        assert_eq!(events[1]["params"]["real_local_number"], "101");
        assert_eq!(events[3]["params"]["real_local_number"], "102");
        let ids: std::collections::BTreeSet<&str> =
            events.iter().map(|e| e["params"]["call_id"].as_str().unwrap()).collect();
        assert!(ids.len() == 1 && ids.first().unwrap().len() == 32, "{ids:?}");
    }

    #[test]
    fn an_outgoing_call_is_told_by_the_phone_that_made_it() {
        let mut call = incoming();
        (call["direction"], call["source"], call["destination"]) =
            (json!("outbound"), json!({ "number": "101", "name": null }), json!("+7 (900) 111-22-33"));
        let mut post = Post::default();
        post.well(&endpoint(), &letter("call.started", &call));
        for _ in 0..2 {
            post.well(&endpoint(), &about("call.ringing", &call, leg("79001112233", "called", "open")));
        }
        post.well(&endpoint(), &letter("call.answered", &talking(call.clone(), "79001112233")));
        assert_eq!(names(&post), ["start.call", "local.out.call", "start.talk"]);
        let events = events(&post);
        assert_eq!(
            (&events[0]["params"]["direction"], &events[0]["params"]["dst_phone"]),
            (&json!(2), &json!("79001112233"))
        );
        assert!(events[1..].iter().all(|e| e["params"]["real_local_number"] == "101"));
        call["steps"] = json!([{ "step": "rang_first", "at": "2026-11-22T17:21:40Z" }]);
        let back = Post::default().well(&endpoint(), &letter("call.started", &call)).unwrap();
        assert_eq!(back["params"]["direction"], 3);
    }

    #[test]
    fn what_came_of_a_call_is_said_in_the_words_of_dial() {
        let rings = rung(incoming(), "101");
        for (base, disposition, abandoned, word) in [
            (&rings, "NO ANSWER", false, "NOANSWER"),
            (&rings, "NO ANSWER", true, "CANCEL"),
            (&incoming(), "NO ANSWER", true, "HANGUP"),
            (&rings, "BUSY", false, "BUSY"),
            (&rings, "CONGESTION", false, "CONGESTION"),
            (&rings, "FAILED", false, "CHANUNAVAIL"),
        ] {
            let mut call = ended(base.clone(), 0);
            (call["disposition"], call["abandoned"]) = (json!(disposition), json!(abandoned));
            let end = Post::default().well(&endpoint(), &letter("call.ended", &call)).unwrap();
            assert_eq!(end["params"]["disposition"], word);
        }
    }

    #[test]
    fn an_end_that_nobody_heard_has_no_length() {
        let mut call = ended(incoming(), 0);
        call["ended_at"] = Value::Null;
        let end = Post::default().well(&endpoint(), &letter("call.ended", &call)).unwrap();
        assert_eq!(
            (&end["params"]["duration"], &end["params"]["event_date"]),
            (&Value::Null, &json!("2026-11-22 22:21:45"))
        );
    }

    #[test]
    fn a_voice_message_is_told_before_the_end_and_goes_on_where_it_was_interrupted() {
        let mut call = ended(incoming(), 0);
        call["steps"] = json!([
            { "step": "voicemail", "mailbox": "9", "message": false, "at": "2026-11-22T17:21:40Z" },
            { "step": "voicemail", "mailbox": "101", "message": true, "at": "2026-11-22T17:21:41Z",
              "ended_at": "2026-11-22T17:21:43Z" },
        ]);
        let mut post = Post::default();
        let status = post.tell(&endpoint(), &letter("call.ended", &call), |message| {
            (if message.body.contains("vm.record.end") { 500 } else { 200 }, String::new())
        });
        assert_eq!(status, Ok(Some(500)));
        post.tell(&endpoint(), &letter("call.ended", &call), |_| (200, String::new())).unwrap();
        assert_eq!(
            names(&post),
            ["vm.record.start", "vm.record.end", "vm.record.end", "vm.record.new", "end.call"]
        );
        let events = events(&post);
        assert_eq!((&events[0]["type"], &events[4]["type"]), (&json!("vm_event"), &json!("call_event")));
        assert_eq!(events[0]["params"]["event_date"], "2026-11-22 22:21:41");
        assert_eq!(events[3]["params"]["real_local_number"], "101");
    }

    #[test]
    fn a_correction_is_the_end_told_again_under_the_same_id() {
        let mut post = Post::default();
        let first = post.well(&endpoint(), &letter("call.ended", &ended(incoming(), 0))).unwrap();
        let longer = ended(talking(incoming(), "101"), 9000);
        let second = post.well(&endpoint(), &letter("call.corrected", &longer)).unwrap();
        assert_eq!(second["event_name"], "end.call");
        assert_eq!(first["params"]["call_id"], second["params"]["call_id"]);
        assert_eq!(second["params"]["billsec"], 9);
    }

    #[test]
    fn a_call_that_became_part_of_another_ends_once() {
        let mut post = Post::default();
        post.well(&endpoint(), &letter("call.started", &incoming()));
        let told = post.memory["told"].clone();
        post.memory.insert("old/told".into(), told);
        let end = post.well(&endpoint(), &merged("old")).unwrap();
        assert_eq!(
            (&end["event_name"], &end["params"]["disposition"]),
            (&json!("end.call"), &json!("HANGUP"))
        );
        assert_eq!(post.well(&endpoint(), &merged("old")), None);
    }

    proptest! {
        #[test]
        fn whatever_a_call_holds_an_event_is_sound_json(letter in sample::any_letter()) {
            let mut post = Post::default();
            for _ in 0..2 {
                post.well(&endpoint(), &letter);
            }
            for event in events(&post) {
                let digits = |key: &str| event["params"][key].as_str().unwrap().bytes().all(|b| b.is_ascii_digit());
                prop_assert!(digits("src_phone") && digits("dst_phone"));
                prop_assert_eq!(event["params"]["call_id"].as_str().unwrap().len(), 32);
            }
            prop_assert!(post.sent.iter().all(sample::is_sound));
        }
    }
}
