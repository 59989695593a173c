//! Calls that were made on real Asterisks, as both told them: the dialplan, and the manager interface.
//!
//! `tests/fixtures/ami/<pbx>/<call>.ami` is what the manager interface sent while the call was made (without the fields
//! that nobody reads), `<call>.jsonl` what the dialplan told of it. Whoever tells, it is one call; both together are
//! what the better of them knows; and a pbx whose dialplan tells nothing is told of wholly by AMI.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calljournal::call::{Call, Folded, fold};
use calljournal::event::Event;
use calljournal::feed::ami::field::Arrived;
use calljournal::feed::ami::session::{Listed, time};
use calljournal::feed::ami::translate::Translator;
use calljournal::feed::ami::wire::{Heard, Message, Reader};
use jiff::{SignedDuration, Timestamp};

use crate::recorded::{numbering, recorded, retold};

const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ami");

/// How late a message comes.
const LATE: SignedDuration = SignedDuration::from_millis(2);

/// How far apart two may be about how long somebody rang or talked, in milliseconds: the dialplan tells an end when its
/// subroutine runs, and Asterisk when the channel is gone.
const APART_MS: i64 = 150;

/// A call as each of the two told it.
struct Both {
    name: String,
    stream: Vec<u8>,
    ami: Vec<Event>,
    dialplan: Vec<Event>,
}

fn calls() -> Vec<Both> {
    let read = |file: PathBuf| {
        let pbx = file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let lines = fs::read_to_string(&file).unwrap();
        let stream = fs::read(file.with_extension("ami")).unwrap();
        Both {
            name: format!("{pbx}/{}", file.file_stem().unwrap().to_str().unwrap()),
            ami: by_ami(&pbx, &stream, true),
            dialplan: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            stream,
        }
    };
    let calls: Vec<Both> = recorded(Path::new(CALLS)).into_iter().map(read).collect();
    assert!(!calls.is_empty());
    calls
}

/// The events that a stream comes to; where it is not `timed`, as if the pbx sent no times.
fn by_ami(pbx: &str, stream: &[u8], timed: bool) -> Vec<Event> {
    let mut translator = Translator::new(pbx);
    let mut events = Vec::new();
    for message in messages(stream) {
        let here = message.get("Timestamp").and_then(time).unwrap().checked_add(LATE).unwrap();
        let fields = message.fields().filter(|(name, _)| timed || *name != "Timestamp");
        events.extend(translator.hear(&fields.collect(), Arrived { here, there: here }));
    }
    assert_eq!(translator.channels(), 0, "every channel that ended is forgotten");
    events
}

fn messages(stream: &[u8]) -> impl Iterator<Item = Message> {
    let heard = Reader::default().take(stream).unwrap();
    heard.into_iter().filter_map(|heard| match heard {
        Heard::Message(message) => Some(message),
        Heard::Banner(_) => None,
    })
}

fn folded(events: &[Event]) -> Folded {
    fold(events, &numbering()).unwrap()
}

/// What a call comes to, but for times and for what the dialplan alone can know: the names of groups, the organisation,
/// and which way a call goes to a number of which nobody said whose it is.
fn known(call: &Call) -> String {
    let who =
        |party: Option<&calljournal::call::Party>| party.and_then(|p| p.number.clone()).unwrap_or_default();
    let talks = call.conversations.iter();
    let talks: Vec<_> =
        talks.map(|t| (who(Some(&t.caller)), who(Some(&t.called)), t.dialled.clone())).collect();
    let moves: Vec<_> =
        call.transfers.iter().map(|t| (t.how, who(Some(&t.by)), t.to.clone(), t.spoken, t.outcome)).collect();
    let asked: Vec<_> = call
        .consultations
        .iter()
        .map(|c| (who(Some(&c.by)), c.to.clone(), c.returned_at.is_some(), c.transferred))
        .collect();
    let mut legs: Vec<_> = call.legs.iter().map(|l| (who(Some(&l.party)), l.role, l.outcome)).collect();
    legs.sort_by_key(|leg| format!("{leg:?}"));
    // Of holds and of who waits in which queue AMI alone tells.
    let steps = call.steps.iter().map(|step| format!("{:?}", step.what));
    let steps: Vec<String> = steps
        .map(|step| step.split([' ', '(']).next().unwrap_or_default().to_owned())
        .filter(|step| step != "Held" && step != "Queue")
        .collect();
    format!(
        "{:?} to {:?}: {:?}, by {:?}, ended by {:?} {:?}, abandoned {}\nsteps {steps:?}\nlegs {legs:?}\ntalks {talks:?}\nmoves {moves:?}\nasked {asked:?}\n",
        who(Some(&call.source)),
        call.destination,
        call.disposition,
        who(call.answered_by.as_ref()),
        call.hung_up_by,
        who(call.ended_by.as_ref()),
        call.abandoned,
    )
}

/// Where the times of two tellings of one call lie too far apart.
fn apart(one: &Call, other: &Call) -> Option<String> {
    let times = |call: &Call| -> Vec<i64> {
        let talks = call.conversations.iter().map(|talk| talk.talk_ms);
        let rang = call.legs.iter().filter_map(|leg| leg.ring_ms);
        [call.wait_ms.unwrap_or(-1), call.talk_ms].into_iter().chain(talks).chain(rang).collect()
    };
    let (one, other) = (times(one), times(other));
    let far = one.len() != other.len() || one.iter().zip(&other).any(|(a, b)| (a - b).abs() > APART_MS);
    far.then(|| format!("{one:?} and {other:?}"))
}

/// Compares each recorded call as `told` has it with what the dialplan told.
fn differences(told: impl Fn(&Both) -> Vec<Event>) -> Vec<String> {
    let compare = |both: &Both| {
        let (theirs, ours) = (folded(&both.dialplan).call, folded(&told(both)));
        let mut wrong = Vec::new();
        if known(&ours.call) != known(&theirs) {
            wrong.push(format!("{}\nand the dialplan\n{}", known(&ours.call), known(&theirs)));
        }
        wrong.extend(apart(&ours.call, &theirs));
        if !ours.standing.all_ended {
            wrong.push("it never ends".to_owned());
        }
        (!wrong.is_empty()).then(|| format!("{}: {}", both.name, wrong.join("\n")))
    };
    calls().iter().filter_map(compare).collect()
}

fn all(both: &Both) -> Vec<Event> {
    both.dialplan.iter().chain(&both.ami).cloned().collect()
}

#[test]
fn ami_alone_tells_the_whole_call() {
    let wrong = differences(|both| both.ami.clone());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn ami_without_its_times_tells_the_same() {
    let untimed = |both: &Both| by_ami(both.name.split('/').next().unwrap(), &both.stream, false);
    let wrong = differences(untimed);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_both_told_is_told_once() {
    let wrong = differences(all);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A phone of which the dialplan tells nothing is waited for until AMI is back, since it may live on by a transfer.
#[test]
fn ami_that_is_cut_in_the_middle_takes_nothing_from_what_the_dialplan_tells() {
    for piece in 1..4 {
        let cut = |both: &Both| {
            let heard = both.ami.len() * piece / 4;
            both.dialplan.iter().chain(&both.ami[..heard]).cloned().collect()
        };
        let mut wrong = differences(cut);
        wrong.retain(|wrong| !wrong.contains("whose-phones-tell-nothing"));
        assert!(wrong.is_empty(), "{piece}/4: {}", wrong.join("\n\n"));
    }
}

/// The channels that live, as Asterisk would list them.
#[derive(Default)]
struct Living(BTreeMap<String, BTreeMap<&'static str, String>>);

impl Living {
    fn hear(&mut self, message: &Message) {
        let of = |name: &str| message.get(name).unwrap_or_default().to_owned();
        match of("Event").as_str() {
            "Newchannel" => {
                let fields =
                    ["Uniqueid", "Channel", "CallerIDNum", "CallerIDName", "Exten", "Context", "Timestamp"];
                let known = fields.map(|name| (name, of(name)));
                self.0
                    .insert(of("Uniqueid"), known.into_iter().filter(|(_, text)| !text.is_empty()).collect());
            }
            "DialBegin" => self.set(&of("DestUniqueid"), "Application", "AppDial".to_owned()),
            "BridgeEnter" => self.set(&of("Uniqueid"), "BridgeId", of("BridgeUniqueid")),
            "BridgeLeave" => self.set(&of("Uniqueid"), "BridgeId", String::new()),
            "Rename" => self.set(&of("Uniqueid"), "Channel", of("Newname")),
            "Hangup" => drop(self.0.remove(&of("Uniqueid"))),
            _ => {}
        }
        for name in ["Linkedid", "ChannelStateDesc"] {
            if let Some(text) = message.get(name) {
                self.set(&of("Uniqueid"), name, text.to_owned());
            }
        }
    }

    fn set(&mut self, uid: &str, name: &'static str, text: String) {
        if let Some(channel) = self.0.get_mut(uid) {
            channel.insert(name, text);
        }
    }

    fn listed(&self, now: Timestamp) -> Listed {
        let row = |fields: &BTreeMap<&'static str, String>| {
            let made = time(&fields["Timestamp"]).unwrap();
            let lasted = now.duration_since(made).as_secs();
            let lasted = format!("{:02}:{:02}:{:02}", lasted / 3600, lasted / 60 % 60, lasted % 60);
            let told = fields.iter().filter(|(name, text)| **name != "Timestamp" && !text.is_empty());
            let told = told.map(|(name, text)| (*name, text.as_str()));
            told.chain([("Duration", lasted.as_str())]).collect()
        };
        Listed { asked: now, there: Some(now), channels: self.0.values().map(row).collect(), cut: false }
    }
}

/// What AMI tells where nothing is heard of the messages from `cut` to `back`, when the connection comes up again.
fn with_a_gap(both: &Both, cut: usize, back: usize) -> Vec<Event> {
    let (mut translator, mut living) =
        (Translator::new(both.name.split('/').next().unwrap()), Living::default());
    let mut events = Vec::new();
    for (n, message) in messages(&both.stream).enumerate() {
        let here = message.get("Timestamp").and_then(time).unwrap().checked_add(LATE).unwrap();
        let arrived = Arrived { here, there: here };
        if n == back {
            events.extend(translator.compare(&living.listed(here), arrived));
        }
        living.hear(&message);
        if n < cut || n >= back {
            events.extend(translator.hear(&message, arrived));
        }
    }
    events
}

#[test]
fn ami_that_comes_and_goes_takes_nothing_from_what_the_dialplan_tells() {
    let mut wrong = Vec::new();
    for (cut, back) in (0..24).step_by(2).flat_map(|cut| [(cut, cut + 2), (cut + 1, cut + 10)]) {
        let gap = |both: &Both| {
            let all = messages(&both.stream).count();
            both.dialplan.iter().cloned().chain(with_a_gap(both, all * cut / 24, all * back / 24)).collect()
        };
        let found = differences(gap).into_iter().filter(|wrong| !wrong.contains("whose-phones-tell-nothing"));
        wrong.extend(found.map(|wrong| format!("{cut}/24 to {back}/24: {wrong}")));
    }
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn ami_that_comes_back_ends_what_ended_meanwhile() {
    for both in calls() {
        let pbx = both.name.split('/').next().unwrap();
        let (mut translator, mut told) = (Translator::new(pbx), Vec::new());
        let mut last = None;
        let half = &both.stream[..both.stream.len() / 2];
        for message in messages(half) {
            let here = message.get("Timestamp").and_then(time).unwrap();
            told.extend(translator.hear(&message, Arrived { here, there: here }));
            last = Some(here);
        }
        let back = last.unwrap().checked_add(SignedDuration::from_secs(60)).unwrap();
        let listed = Listed { asked: back, there: Some(back), channels: Vec::new(), cut: false };
        told.extend(translator.compare(&listed, Arrived { here: back, there: back }));
        let folded = folded(&told);
        assert!(folded.standing.all_ended, "{}", both.name);
        assert!(!folded.call.end_time_known, "{}: nobody told when", both.name);
    }
}

#[test]
fn whoever_tells_and_in_whatever_order_it_is_the_same_call() {
    for both in calls() {
        for (who, events) in [("ami", both.ami.clone()), ("both", all(&both))] {
            let call = folded(&events).call;
            for order in 0..12 {
                let again = folded(&retold(&events, order)).call;
                assert!(again == call, "{} by {who} in order {order}", both.name);
            }
        }
    }
}

#[test]
fn ami_under_another_name_than_the_dialplans_is_seen_in_real_calls_and_under_the_same_it_is_not() {
    let calls = calls();
    let events = |name: Option<&str>| -> Vec<Event> {
        let ami = calls.iter().flat_map(|both| &both.ami).cloned();
        let ami = ami.map(|event| Event { pbx: name.map_or(event.pbx.clone(), str::to_owned), ..event });
        calls.iter().flat_map(|both| both.dialplan.iter().cloned()).chain(ami).collect()
    };
    assert_eq!(calljournal::intake::names_apart(&events(None)), []);
    let found = calljournal::intake::names_apart(&events(Some("typo")));
    assert!(!found.is_empty() && found.iter().all(|apart| apart.ami == "typo"), "{found:?}");
}
