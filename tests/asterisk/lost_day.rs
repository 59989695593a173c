//! A day is missing: calls are made while no server runs, and what the dialplan wrote of them is deleted. Asterisk has written
//! them down, and `calljournal reconcile` brings them back: first from its CDR, then from CEL too.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::journal::Journal;
use crate::pbx::Pbx;
use crate::phone::Step;
use crate::scenario::{PLAIN, Played, Scenario};
use crate::webhook::Webhook;

const TALKED: Scenario = Scenario {
    name: "lost day: talked",
    caller: &[Step::Answered, Step::Wait(3000), Step::HangUp],
    phones: &[(101, &[Step::Ring(1500), Step::Answer])],
    ..PLAIN
};

const UNANSWERED: Scenario = Scenario {
    name: "lost day: nobody answered",
    caller: &[Step::Ringing, Step::Wait(2000), Step::GiveUp],
    phones: &[(101, &[Step::RingOn])],
    ..PLAIN
};

/// The columns of `etc/cel_custom.conf`, which are not those of Asterisk's sample.
const CEL: &str = r#"columns = ["eventtype", "eventtime", "cidnum", "cidname", "exten", "context", "channame", "appname", "uniqueid",
    "linkedid", "peer", "eventextra"]"#;

/// Rows of the last minute are left for the next run.
const YOUNG: Duration = Duration::from_secs(62);

/// The CDR has whole seconds.
const NEAR: i64 = 1_500_000;

/// Plays calls that nobody hears; answers with what came back of them.
pub fn brought_back(
    pbx: &Pbx,
    journal: &mut Journal,
    webhook: &Webhook,
    spool: &Path,
    logs: &Path,
) -> Result<String> {
    journal.stop()?;
    let mut played = Vec::new();
    for scenario in [TALKED, UNANSWERED] {
        played.push(scenario.play(pbx, logs.join(scenario.name))?);
    }
    let mut lines = 0;
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        lines += fs::read_to_string(&path).unwrap_or_default().lines().count();
        fs::remove_file(path)?;
    }
    ensure!(lines >= 8, "the dialplan wrote {lines} lines, so the calls were not lost");
    thread::sleep(YOUNG);
    // At midnight logrotate comes.
    let aside = pbx.cdr().with_extension("csv.1");
    fs::rename(pbx.cdr(), &aside)?;
    ensure!(Command::new("gzip").arg(&aside).status()?.success(), "gzip failed");
    fs::write(pbx.cdr(), "")?;

    journal.reconcile_with(&pbx.name, &pbx.cdr(), "")?;
    let by_cdr = journal.reconcile()?;
    ensure!(by_cdr["total"]["added"] == 2, "{by_cdr}");
    let mut seen = vec![format!("by the CDR: {}", told(journal, &played)?)];
    journal.reconcile_with(&pbx.name, &pbx.cel(), CEL)?;
    let by_both = journal.reconcile()?;
    let total = &by_both["total"];
    ensure!(total["added"] == 0 && total["only_ours"] == 0 && total["refused"] == 0, "{by_both}");
    seen.push(format!("with CEL: {}", told(journal, &played)?));
    journal.start()?;
    thread::sleep(Duration::from_secs(3));
    for one in &played {
        let posts = webhook.posts();
        let told = posts.iter().filter(|post| post.tells("call.ended", &pbx.name, &one.truth.linkedid));
        ensure!(told.count() == 0, "somebody was told of a call that records alone tell");
    }
    Ok(seen.join(" · "))
}

/// What the journal has of the calls is what Asterisk's CEL says.
fn told(journal: &Journal, played: &[Played]) -> Result<String> {
    let mut hung_up = Vec::new();
    for one in played {
        let truth = &one.truth;
        let call = journal.show(&truth.linkedid)?["call"].clone();
        let at = |name: &str| call[name].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let near = |name: &str, meant: Option<i64>| match (at(name), meant) {
            (Some(at), Some(meant)) => (at.as_microsecond() - meant).abs() <= NEAR,
            (at, meant) => at.is_none() && meant.is_none(),
        };
        let winner = truth.winner();
        ensure!(near("started_at", Some(truth.started)), "started: {call}");
        ensure!(near("answered_at", winner.and_then(|leg| leg.answered)), "answered: {call}");
        ensure!(near("ended_at", Some(truth.ended)), "ended: {call}");
        let who = winner.map_or(Value::Null, |leg| leg.number.as_str().into());
        ensure!(call["answered_by"]["number"] == who, "answered by: {call}");
        let meant = if winner.is_some() { "ANSWERED" } else { "NO ANSWER" };
        ensure!(call["disposition"] == meant, "disposition: {call}");
        let talked = winner.map_or(0, |leg| leg.talked);
        let off = call["talk_ms"].as_i64().context("no talking")? * 1000 - talked;
        ensure!(off.abs() <= NEAR, "talking is {off} µs off: {call}");
        hung_up.push(call["hung_up_by"].to_string());
    }
    Ok(format!(
        "times, who answered and dispositions of {} calls; hung up by {}",
        played.len(),
        hung_up.join(", ")
    ))
}
