//! Who puts a call on hold and takes it back, or does not: where AMI is listened to, the journal knows it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::journal::Journal;
use crate::pbx::Pbx;
use crate::phone::Step::{Answer, Answered, HangUp, Hold, Resume, Ring, Wait};
use crate::scenario::{OUTSIDE, PLAIN, Scenario};

/// How far the times of a hold may be off, in milliseconds.
const OFF_BY: i64 = 150;

/// The calls, who holds in each, and for how many milliseconds: one is taken back, in the other who holds hangs up.
const CALLS: [(Scenario, &str, i64); 2] = [
    (
        Scenario {
            name: "hold: taken back",
            caller: &[Answered, Wait(6000), HangUp],
            phones: &[(101, &[Ring(700), Answer, Wait(1000), Hold, Wait(3000), Resume])],
            ..PLAIN
        },
        "101",
        3000,
    ),
    (
        Scenario {
            name: "hold: the caller hangs up in it",
            caller: &[Answered, Wait(1000), Hold, Wait(2000), HangUp],
            ..PLAIN
        },
        OUTSIDE,
        2000,
    ),
];

/// Plays both; answers with how they are told.
pub fn tried(pbx: &Pbx, journal: &Journal, logs: &Path) -> Result<String> {
    let mut seen = Vec::new();
    for (scenario, who, length) in CALLS {
        let played = scenario.play(pbx, logs.join(scenario.name))?;
        let call = journal.ended(&played.truth.linkedid)?;
        let steps: Vec<&Value> = call["steps"].as_array().into_iter().flatten().collect();
        let [held] = steps[..] else { anyhow::bail!("{}: {steps:?}", scenario.name) };
        ensure!(held["step"] == "held" && held["by"]["number"] == who, "{}: {held}", scenario.name);
        let time = |key: &str| -> Result<Timestamp> {
            Ok(held[key].as_str().with_context(|| format!("no {key} in {held}"))?.parse()?)
        };
        let told = time("ended_at")?.duration_since(time("at")?).as_millis();
        ensure!(
            (told - i128::from(length)).abs() <= i128::from(OFF_BY),
            "{}: held for {told} ms",
            scenario.name
        );
        let story = journal.show(call["id"].as_str().unwrap_or_default())?["story"].to_string();
        ensure!(story.contains("put the call on hold for"), "{}: {story}", scenario.name);
        seen.push(format!("{who} for {told} ms, held for {length}"));
    }
    Ok(seen.join(" · "))
}
