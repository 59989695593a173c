//! What gets lost: an Asterisk that is killed, a dialplan that is loaded again, a server that is away, an end that nobody
//! tells, a phone that falls off the network. Each Asterisk has a journal of its own here, that asks soon.
//!
//! Where Asterisk still knows how a call ended, it is judged as all others are. Where it does not, the call must be told
//! as over once, and its end as unknown.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::addresses;
use crate::cel;
use crate::hold;
use crate::journal::Journal;
use crate::lost_day;
use crate::manager;
use crate::pbx::{House, Pbx, Root};
use crate::phone::{Phone, Step};
use crate::scenario::{ANSWERED, Expect, OUTSIDE, PLAIN, SINGLE, Scenario};
use crate::teller::Teller;
use crate::verdict::{Row, judge};
use crate::webhook::Webhook;

/// How long a channel is silent here before it is asked about, in seconds.
const ASK_AFTER: &str = "2";

/// Five seconds of talking, in which something happens.
const TALKS: Scenario = Scenario {
    name: "loss: no server",
    caller: &[Step::Answered, Step::Wait(5000), Step::HangUp],
    phones: &[(101, &[Step::Ring(1500), Step::Answer])],
    ..PLAIN
};

/// Nobody tells anything for longer than a channel may be silent, and another call comes meanwhile.
const LONG: Scenario = Scenario {
    name: "loss: a long call that is asked about lives on",
    caller: &[Step::Answered, Step::Wait(7000), Step::HangUp],
    ..TALKS
};

/// The phone is gone, and media with it.
const VANISHES: Scenario = Scenario {
    name: "loss: the phone falls off the network",
    caller: &[Step::Answered, Step::Over],
    phones: &[(101, &[Step::Ring(700), Step::Answer, Step::Wait(1500), Step::Vanish])],
    expect: Expect { hung_up_by: None, ..ANSWERED },
    ..PLAIN
};

/// What happens while a call goes on, and when, in milliseconds after its begin.
enum Deed {
    /// The dialplan is loaded again.
    Reload,
    /// The server is stopped, and started.
    Stop,
    Start,
    /// Another call comes, and is refused.
    Other,
}

use Deed::{Other, Reload, Start, Stop};

const PLAYS: &[(Scenario, &[(u64, Deed)])] = &[
    (Scenario { name: "loss: the dialplan is loaded again while they talk", ..TALKS }, &[(3000, Reload)]),
    (Scenario { name: "loss: no server while it begins", ..TALKS }, &[(0, Stop), (3000, Start)]),
    (Scenario { name: "loss: no server while it is answered", ..TALKS }, &[(800, Stop), (3500, Start)]),
    (Scenario { name: "loss: no server while it ends", ..TALKS }, &[(3000, Stop), (8000, Start)]),
    (LONG, &[(6000, Other)]),
    (VANISHES, &[]),
];

const SILENT: &str = "loss: an end that nobody tells";
const KILLED: &str = "loss: Asterisk is killed and started again";
const RESIDENT: &str = "loss: one caller after another on a line that stays up";
const HOLD: &str = "hold: who holds and for how long";
const DEAD: &str = "loss: the first servers of a list are dead";
const DAY: &str = "loss: a lost day";
const CHECK: &str = "check: who may do what at the manager interface";
const JOINED: &str = "loss: a phone's attended transfer is one call at once";

/// Whether anything here is named like that.
pub fn named(filter: &str) -> bool {
    let mut names = PLAYS
        .iter()
        .map(|(scenario, _)| scenario.name)
        .chain([SILENT, KILLED, JOINED, RESIDENT, DEAD, HOLD, DAY, CHECK]);
    names.any(|name| crate::scenario::is_named(name, filter))
}

/// Plays what the filter leaves, the Asterisks side by side; `url` names the database of a directory.
pub fn rows(
    roots: &[Root],
    directory: &Path,
    filter: &str,
    told_by: Teller,
    url: &(dyn Fn(&Path) -> String + Sync),
) -> Result<Vec<Row>> {
    if !named(filter) {
        return Ok(Vec::new());
    }
    thread::scope(|scope| {
        let houses: Vec<_> = roots
            .iter()
            .map(|root| {
                scope
                    .spawn(move || Loss::of(root, directory, told_by, url).map(|mut loss| loss.plays(filter)))
            })
            .collect();
        let mut rows = Vec::new();
        for one in houses {
            rows.extend(one.join().map_err(|_| anyhow::anyhow!("the test itself panicked"))??);
        }
        Ok(rows)
    })
}

/// One Asterisk and its journal.
struct Loss {
    pbx: Pbx,
    journal: Journal,
    webhook: Webhook,
    logs: PathBuf,
    told_by: Teller,
}

/// Answers with what was seen.
type Attempt = fn(&mut Loss) -> Result<String>;

impl Loss {
    fn of(
        root: &Root,
        directory: &Path,
        told_by: Teller,
        url: &(dyn Fn(&Path) -> String + Sync),
    ) -> Result<Loss> {
        let directory = directory.join("loss").join(&root.version);
        let spool = directory.join("spool");
        fs::create_dir_all(&spool)?;
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o2770))?;
        let webhook = Webhook::listen()?;
        let mut journal = Journal::configured(&directory, &url(&directory), &spool, &webhook.url())?;
        journal.set("CALLJOURNAL_CALL__ASK_AFTER_S", ASK_AFTER);
        let server = if told_by.by_dialplan() { journal.agi.clone() } else { "127.0.0.1:1".to_owned() };
        let written = if told_by.by_dialplan() { spool } else { directory.join("unread") };
        let pbx = Pbx::start(root, House::Plain, &directory, &written, &server)?;
        if told_by.by_ami() {
            told_by.connect(&journal, &pbx)?;
        }
        journal.start()?;
        println!("Asterisk {} is up to lose something", pbx.version);
        // Here a phone that sends nothing is gone.
        let phones = directory.join(&pbx.name).join("etc/pjsip.conf");
        let text = fs::read_to_string(&phones)?
            .replace("rtp_symmetric = yes", "rtp_symmetric = yes\nrtp_timeout = 2");
        fs::write(&phones, text)?;
        pbx.console("module reload res_pjsip.so")?;
        Ok(Loss { pbx, journal, webhook, logs: directory.join("phones"), told_by })
    }

    fn plays(&mut self, filter: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        let wanted = |name: &str| crate::scenario::is_named(name, filter) && self.told_by.can_tell(name);
        let plays: Vec<_> = PLAYS.iter().filter(|(scenario, _)| wanted(scenario.name)).collect();
        let tried: [(&str, Attempt); 8] = [
            (HOLD, Loss::hold),
            (DEAD, Loss::dead),
            (DAY, Loss::day),
            (CHECK, Loss::check),
            (JOINED, Loss::joined),
            (RESIDENT, Loss::resident),
            (SILENT, Loss::silent),
            (KILLED, Loss::killed),
        ];
        let tried: Vec<_> = tried.into_iter().filter(|(name, _)| wanted(name)).collect();
        for (scenario, deeds) in plays {
            println!("{:<8} {}", self.pbx.version, scenario.name);
            let row = self.during(scenario, deeds);
            rows.push(row.unwrap_or_else(|error| self.failed(scenario.name, &error)));
        }
        for (name, attempt) in tried {
            println!("{:<8} {name}", self.pbx.version);
            let row = match attempt(self) {
                Ok(seen) => {
                    println!("{:<8} {name}: {seen}", self.pbx.version);
                    let mut row = Row::failed(name, &self.pbx, String::new(), String::new());
                    row.wrong.clear();
                    row
                }
                Err(error) => self.failed(name, &error),
            };
            rows.push(row);
        }
        rows
    }

    fn failed(&self, name: &str, error: &anyhow::Error) -> Row {
        let log = self.journal.log_text();
        let log = log.get(log.len().saturating_sub(3000)..).unwrap_or(&log);
        let evidence = format!("{}--- calljournal\n{log}", cel::latest(&self.pbx.cel()));
        Row::failed(name, &self.pbx, format!("{error:#}"), evidence)
    }

    /// Plays a call while something happens. Its notices are counted here, by this journal's own webhook.
    fn during(&mut self, scenario: &Scenario, deeds: &[(u64, Deed)]) -> Result<Row> {
        let Loss { pbx, journal, webhook, logs, .. } = self;
        let (pbx, logs) = (&*pbx, logs.join(scenario.name));
        let played = thread::scope(|scope| {
            let playing = scope.spawn(|| scenario.play(pbx, logs.clone()));
            let begun = Instant::now();
            for (at, deed) in deeds {
                thread::sleep(Duration::from_millis(*at).saturating_sub(begun.elapsed()));
                match deed {
                    Reload => pbx.console("dialplan reload").map(drop)?,
                    Stop => journal.stop()?,
                    Start => journal.start()?,
                    Other => other_call(pbx, &logs)?,
                }
            }
            playing.join().map_err(|_| anyhow::anyhow!("playing panicked"))?
        })?;
        let mut row = judge(scenario, &played.truth, pbx, journal, webhook);
        self.told_by.forgive(&mut row.wrong, &mut BTreeMap::new());
        thread::sleep(Duration::from_secs(2));
        row.recount(&webhook.posts());
        // All that counts the notices of the other calls knows nothing of this webhook.
        row.linkedid.clear();
        if deeds.iter().any(|(_, deed)| matches!(deed, Other)) && journal.answers() == 0 {
            row.wrong.push("Asterisk was asked nothing".into());
        }
        Ok(row)
    }

    /// The dialplan is given a list of servers, the first of which are dead.
    fn dead(&mut self) -> Result<String> {
        if !self.told_by.by_dialplan() {
            return Ok("nobody is told by the dialplan".to_owned());
        }
        addresses::tried(&self.pbx, &self.journal, &self.logs.join("dead"))
    }

    /// Nothing is lost here, but a journal of its own that hears AMI is what it takes.
    fn hold(&mut self) -> Result<String> {
        if !self.told_by.by_ami() || self.told_by.is_cut() {
            return Ok("nobody is there who hears of every hold".to_owned());
        }
        hold::tried(&self.pbx, &self.journal, &self.logs.join("hold"))
    }

    /// Calls that nobody hears come back from what Asterisk writes by itself.
    fn day(&mut self) -> Result<String> {
        if !self.told_by.by_dialplan() {
            return Ok("nobody is told by the dialplan".to_owned());
        }
        let Loss { pbx, journal, webhook, logs, .. } = self;
        let spool = logs.with_file_name("spool");
        lost_day::brought_back(pbx, journal, webhook, &spool, &logs.join("day"))
    }

    /// The manager interface is asked by users who may do all, too little, or nothing.
    fn check(&mut self) -> Result<String> {
        let directory = self.logs.with_file_name("check");
        let tried = manager::tried(&self.pbx, &directory, &self.webhook.url());
        self.pbx.point_to(if self.told_by.by_dialplan() { &self.journal.agi } else { "127.0.0.1:1" })?;
        tried
    }

    /// The caller's channel ends and nobody tells; the next call's session finds it out.
    fn silent(&mut self) -> Result<String> {
        let mark = cel::mark(&self.pbx.cel());
        let logs = self.logs.join("silent");
        let phone = Phone::at(&self.pbx, 101, &[Step::Ring(700), Step::Answer]).start(&self.pbx, &logs)?;
        let act = &[Step::Answered, Step::Wait(300), Step::HangUp];
        Phone::outside(OUTSIDE, "test-silent", SINGLE, act).start(&self.pbx, &logs)?.done()?;
        let truth = cel::wait_for_call(&self.pbx.cel(), mark)?;
        drop(phone);
        thread::sleep(Duration::from_secs(4));
        let call = self.call(&truth.linkedid)?;
        ensure!(call["state"] != "ended", "it was told as over before anybody could know: {call}");
        other_call(&self.pbx, &logs)?;
        self.over_at_an_unknown_time(&truth.linkedid)
    }

    /// One call talks and one rings when Asterisk dies.
    fn killed(&mut self) -> Result<String> {
        let logs = self.logs.join("killed");
        let pbx = &self.pbx;
        let phones = [
            Phone::at(pbx, 101, &[Step::Ring(500), Step::Answer]).start(pbx, &logs)?,
            Phone::at(pbx, 102, &[Step::RingOn]).start(pbx, &logs)?,
            Phone::outside(OUTSIDE, "from-trunk", SINGLE, &[Step::Answered, Step::Over]).start(pbx, &logs)?,
            Phone::inside("103", "102", &[Step::Over]).start(pbx, &logs)?,
        ];
        thread::sleep(Duration::from_millis(2500));
        let open = self.open_calls()?;
        ensure!(open.len() == 2, "{} calls go on, and not two", open.len());
        self.pbx.kill()?;
        drop(phones);
        self.pbx.start_again()?;
        // AMI finds it out by itself, when it is back.
        if !self.told_by.by_ami() {
            ensure!(self.open_calls()? == open, "a call was over before anybody could know");
            other_call(&self.pbx, &logs)?;
        }
        let seen =
            open.iter().map(|linkedid| self.over_at_an_unknown_time(linkedid)).collect::<Result<Vec<_>>>()?;
        Ok(seen.join(" · "))
    }

    /// A phone that has two calls puts them through to each other.
    fn joined(&mut self) -> Result<String> {
        let logs = self.logs.join("joined");
        let (pbx, mark) = (&self.pbx, cel::mark(&self.pbx.cel()));
        let transferor = &[
            Step::Ring(500),
            Step::Answer,
            Step::Wait(500),
            Step::Call("102"),
            Step::Answered,
            Step::Wait(1500),
            Step::Connect,
        ];
        let _phones = [
            Phone::at(pbx, 101, transferor).start(pbx, &logs)?,
            Phone::at(pbx, 102, &[Step::Ring(500), Step::Answer, Step::Over]).start(pbx, &logs)?,
        ];
        let act = &[Step::Answered, Step::Wait(9000), Step::HangUp];
        let mut caller = Phone::outside(OUTSIDE, "from-trunk", SINGLE, act).start(pbx, &logs)?;
        let begun = Instant::now();
        let mut seen = Vec::new();
        while begun.elapsed() < Duration::from_secs(9) {
            let open = self.open_calls()?.len();
            if seen.last().is_none_or(|(_, last)| *last != open) {
                seen.push((begun.elapsed().as_millis(), open));
            }
            thread::sleep(Duration::from_millis(50));
        }
        caller.done()?;
        let truth = cel::wait_for_call(&self.pbx.cel(), mark)?;
        let moved =
            truth.rows.iter().find(|row| row.event == "ATTENDEDTRANSFER").context("no transfer in CEL")?;
        let after = (moved.at - truth.started) / 1000;
        ensure!(
            seen.iter().map(|(_, open)| *open).collect::<Vec<_>>().ends_with(&[1, 2, 1]),
            "open calls: {seen:?}, the transfer after {after} ms"
        );
        self.journal.ended(&truth.linkedid)?;
        Ok(format!("open calls {seen:?}, by CEL transferred after {after} ms"))
    }

    /// An operator's channel, to which Asterisk puts one caller after another and gives all of them its linkedid.
    fn resident(&mut self) -> Result<String> {
        let logs = self.logs.join("resident");
        let act = &[Step::Answered, Step::Wait(9000), Step::HangUp];
        let mut operator = Phone::inside("105", "155", act).start(&self.pbx, &logs)?;
        thread::sleep(Duration::from_secs(1));
        let mut told = Vec::new();
        for caller in ["79190000001", "79190000002"] {
            let act = &[Step::Answered, Step::Wait(1500), Step::HangUp];
            Phone::outside(caller, "test-resident", SINGLE, act).start(&self.pbx, &logs)?.done()?;
            thread::sleep(Duration::from_millis(500));
        }
        thread::sleep(Duration::from_secs(2));
        for caller in ["79190000001", "79190000002"] {
            let calls = self.journal.calls()?;
            let of = |call: &&Value| call["source"]["number"] == caller;
            let call = calls.iter().find(of).with_context(|| format!("no call of {caller}"))?;
            ensure!(call["state"] == "ended", "the call of {caller} goes on: {call}");
            told.push((call["started_at"].clone(), call["ended_at"].clone()));
        }
        let open = self.open_calls()?;
        ensure!(open.len() == 1, "{open:?} go on, and not the operator's call alone");
        operator.done()?;
        self.journal.ended(&open[0])?;
        thread::sleep(Duration::from_secs(2));
        let posts = self.webhook.posts();
        let ended = posts.iter().filter(|post| {
            let number = post.body["data"]["source"]["number"].as_str();
            post.body["type"] == "call.ended" && number.is_some_and(|n| n.starts_with("7919000000"))
        });
        let ended = ended.count();
        ensure!(ended == 2, "{ended} ends of two callers' calls were told");
        Ok(format!("{told:?}"))
    }

    /// The linkedids of the calls that go on.
    fn open_calls(&self) -> Result<Vec<String>> {
        let calls = self.journal.calls()?;
        let open = calls.iter().filter(|call| call["state"] != "ended");
        let mut open: Vec<String> =
            open.filter_map(|call| Some(call["linkedid"].as_str()?.to_owned())).collect();
        open.sort();
        Ok(open)
    }

    fn call(&self, linkedid: &str) -> Result<Value> {
        let calls = self.journal.calls()?;
        calls
            .into_iter()
            .find(|call| call["linkedid"] == linkedid)
            .with_context(|| format!("no call {linkedid}"))
    }

    fn over_at_an_unknown_time(&self, linkedid: &str) -> Result<String> {
        let call = self.journal.ended(linkedid)?;
        ensure!(
            call["ended_at"].is_null() && call["end_time_known"] == false,
            "its end is told as known: {call}"
        );
        thread::sleep(Duration::from_secs(2));
        let count = |kind| {
            self.webhook.posts().iter().filter(|post| post.tells(kind, &self.pbx.name, linkedid)).count()
        };
        let told = (count("call.ended"), count("call.corrected"));
        ensure!(told == (1, 0), "it was told {told:?} times");
        let shown = self.journal.show(call["id"].as_str().unwrap_or_default())?;
        let story =
            shown["story"].as_array().and_then(|story| story.last()?["text"].as_str().map(str::to_owned));
        Ok(story.unwrap_or_default())
    }
}

/// Somebody calls, and is refused.
pub fn other_call(pbx: &Pbx, logs: &Path) -> Result<()> {
    let logs = logs.join("other");
    let mut phone = Phone::at(pbx, 104, &[Step::Ring(100), Step::Refuse(486)]).start(pbx, &logs)?;
    Phone::inside("103", "104", &[Step::Refused]).start(pbx, &logs)?.done()?;
    phone.done().map(drop)
}
