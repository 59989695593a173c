//! `calljournal simulate`: plays calls into a running server, over the same FastAGI sessions as a real Asterisk.
//!
//! The calls are of the pbx `simulate`, which tells them from real ones and takes them out again. Their times are
//! those of real calls; only the waiting between the events is shorter. A call ends in the present, so none of
//! its events is from the future.

mod agi;
mod script;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::agi::Unheard;
use self::script::{Dice, Scene, Step};
use super::paper::Paper;
use super::when;
use crate::call::SIMULATED;
use crate::call::words::Value;
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::store::Store;
use crate::store::keep::Doomed;

/// Calls where neither `--count` nor `--for` says how many.
const SOME: u64 = 20;

/// Channels of one call, at most; see `script.rs`.
const CHANNELS: u64 = 8;

/// Calls that go on at one time: each may hold one file descriptor.
const AT_ONCE: usize = 5_000;

/// What is to be played.
#[derive(Debug, Clone, Args)]
pub struct Play {
    /// Kinds of calls and how many of each: inbound, missed, outbound, internal, transfer, group, busy.
    #[arg(long, default_value = "inbound=6,missed=2,outbound=2,internal=1,transfer=1,group=2,busy=1")]
    mix: Mix,
    /// How often a call begins: `5/s`, `100/min`.
    #[arg(long, default_value = "2/s")]
    rate: Rate,
    /// How many calls.
    #[arg(long, short = 'n', value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: Option<u64>,
    /// For how long calls begin: `30s`, `5min`, `2h`.
    #[arg(long = "for", value_name = "TIME", value_parser = when::length)]
    length: Option<Duration>,
    /// How much faster than real calls: 1 waits as long as people would.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    speed: u32,
    /// The server's FastAGI address; else the one of the configuration.
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<SocketAddr>,
    /// The same number gives the same calls.
    #[arg(long)]
    seed: Option<u64>,
    /// Have the receivers of `[[notify]]` told of these calls as of real ones.
    #[arg(long)]
    notify: bool,
    /// Delete every call of the pbx `simulate` from the journal, and play none.
    #[arg(long, conflicts_with_all = ["count", "length", "notify", "server", "seed"])]
    clean: bool,
}

impl Play {
    /// Whether calls are to be taken out and not put in.
    pub fn is_clean(&self) -> bool {
        self.clean
    }
}

/// Kinds of calls with their shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<(Scene, u64)>);

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let names = || Scene::ALL.map(|(name, _)| name).join(", ");
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let scene = Scene::ALL.into_iter().find(|(known, _)| *known == name.trim());
            let (_, scene) = scene.ok_or_else(|| format!("no such kind: {name:?}; there are {}", names()))?;
            let share = share.trim().parse().ok().filter(|share| *share <= 1000);
            shares
                .push((scene, share.ok_or_else(|| format!("{part:?}: write a number up to 1000 behind ="))?));
        }
        let some = shares.iter().any(|(_, share)| *share > 0);
        if some { Ok(Mix(shares)) } else { Err("all shares are 0: no call would be played".to_owned()) }
    }
}

impl Mix {
    fn pick(&self, dice: &mut Dice) -> Scene {
        let all: u64 = self.0.iter().map(|(_, share)| share).sum();
        let mut left = dice.roll(1, all);
        for (scene, share) in &self.0 {
            if left <= *share {
                return *scene;
            }
            left -= share;
        }
        Scene::Inbound
    }
}

/// The time from the begin of one call to that of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Duration);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let refused = || format!("{text:?} is no rate: write calls by time, as in 5/s, 100/min or 30/h");
        let (calls, time) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match time.trim() {
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(refused()),
        };
        let calls: f64 = calls.trim().parse().map_err(|_| refused())?;
        let between = Duration::try_from_secs_f64(seconds / calls).map_err(|_| refused())?;
        let possible = Duration::from_micros(500)..=Duration::from_secs(86_400);
        if possible.contains(&between) { Ok(Rate(between)) } else { Err(refused()) }
    }
}

/// Takes every played call out of the journal.
pub async fn clean(store: &Store, paper: &Paper) -> anyhow::Result<String> {
    let bar = ProgressBar::new_spinner();
    let told = |gone| {
        bar.inc(gone as u64);
        true
    };
    let gone = store.forget(&Doomed::OfPbx(SIMULATED.to_owned()), told).await?;
    bar.finish_and_clear();
    Ok(paper.words.say("cleaned", &[("count", gone.into())]))
}

/// Plays what is asked for; `stop` lets no new call begin and hangs up those that go on.
///
/// # Errors
/// Where nobody answers, or somebody who is not calljournal.
pub async fn play(
    play: &Play,
    config: &Config,
    paper: &Paper,
    stop: &CancellationToken,
) -> anyhow::Result<(String, bool)> {
    let clock = Clock::system();
    let begin = clock.now();
    let stage = Arc::new(Stage {
        server: play.server.unwrap_or_else(|| reachable(config.agi.listen)),
        secret: config.agi.secret.as_ref().map(|secret| secret.reveal().to_owned()),
        speed: play.speed,
        clock,
        stop: stop.clone(),
        tally: Mutex::default(),
    });
    let mut dice = Dice(play.seed.unwrap_or(begin.as_microsecond().cast_unsigned()));
    let count = play.count.unwrap_or(if play.length.is_some() { u64::MAX } else { SOME });
    let bar = ProgressBar::new(planned(play, count));
    // No two runs may name their channels alike.
    let mut serial = begin.as_microsecond().cast_unsigned() / 1000 % 100_000_000 * 10;
    let (mut calls, mut running) = (0, JoinSet::new());
    let watch = Stopwatch::start();
    while calls < count && play.length.is_none_or(|length| watch.elapsed() < length) {
        let scene = play.mix.pick(&mut dice);
        let write = |second| script::write(scene, &mut dice, second, serial, play.notify);
        let call = stage.call(write);
        serial += CHANNELS;
        if calls == 0 {
            stage.audition(&call).await?;
        }
        calls += 1;
        running.spawn(call.run(stage.clone()));
        while running.try_join_next().is_some()
            || running.len() > AT_ONCE && running.join_next().await.is_some()
        {
            bar.inc(1);
        }
        let next =
            Duration::try_from_secs_f64(play.rate.0.as_secs_f64() * calls as f64).unwrap_or(Duration::MAX);
        let wait = tokio::time::sleep(next.saturating_sub(watch.elapsed()));
        if stop.run_until_cancelled(wait).await.is_none() {
            break;
        }
    }
    while running.join_next().await.is_some() {
        bar.inc(1);
    }
    bar.finish_and_clear();
    let tally = std::mem::take(&mut *stage.tally());
    Ok((summary(&tally, calls, paper), tally.unheard == 0))
}

/// For the progress bar.
fn planned(play: &Play, count: u64) -> u64 {
    let by_time = play.length.map(|length| (length.as_secs_f64() / play.rate.0.as_secs_f64()).ceil() as u64);
    by_time.map_or(count, |most| most.min(count))
}

/// The address on which a server on this machine can be reached that listens on `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let own: IpAddr = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(own, listen.port())
}

/// What all calls have in common.
struct Stage {
    server: SocketAddr,
    secret: Option<String>,
    speed: u32,
    clock: Clock,
    stop: CancellationToken,
    tally: Mutex<Tally>,
}

/// What became of the events.
#[derive(Debug, Default)]
struct Tally {
    acks: Vec<Duration>,
    unheard: usize,
    reason: Option<Unheard>,
}

/// A call that is to be played.
struct Call {
    steps: Vec<Step>,
    /// Microseconds of the epoch at which its first event happens, by its own time.
    begins_us: i64,
}

impl Stage {
    /// A call that begins now; its own time began earlier, so that both come to its end together.
    fn call(&self, write: impl FnOnce(i64) -> Vec<Step>) -> Call {
        let now = self.clock.now().as_microsecond();
        let mut steps = write(now / 1_000_000);
        steps.sort_by_key(|step| step.at_ms);
        let length_us = steps.last().map_or(0, |step| micros(step.at_ms));
        let begins_us = now - (length_us - length_us / i64::from(self.speed));
        Call { steps, begins_us }
    }

    /// Tells the first event of a call, to see who listens. It is told again when the call is played.
    async fn audition(&self, call: &Call) -> anyhow::Result<()> {
        let Some(step) = call.steps.first() else { return Ok(()) };
        let server = self.server;
        match self.tell(step, call.begins_us).await {
            Ok(_) => Ok(()),
            Err(Unheard::Unreachable(reason)) => bail!(
                "no server answers on {server}: {reason}\n      start `calljournal serve`, or name it: --server ADDRESS:PORT"
            ),
            Err(e) => Err(anyhow::Error::new(e)).with_context(|| {
                format!(
                    "the server on {server} does not take this call\n      is it calljournal, with the same \
                     agi.secret, and may this machine connect (agi.allow)?"
                )
            }),
        }
    }

    async fn tell(&self, step: &Step, begins_us: i64) -> Result<Duration, Unheard> {
        let (token, mut arguments) = step.arguments(begins_us + micros(step.at_ms));
        arguments.extend(self.secret.iter().map(|secret| format!("secret={secret}")));
        agi::tell(self.server, step.kind, &token, &arguments).await
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    async fn run(self, stage: Arc<Stage>) {
        let watch = Stopwatch::start();
        for step in &self.steps {
            let due = Duration::from_millis(step.at_ms) / stage.speed;
            let wait = tokio::time::sleep(due.saturating_sub(watch.elapsed()));
            // Once it is to stop, the rest is told at once: a call that nobody ends would stand open for hours.
            let _ = stage.stop.run_until_cancelled(wait).await;
            let told = stage.tell(step, self.begins_us).await;
            let mut tally = stage.tally();
            match told {
                Ok(ack) => tally.acks.push(ack),
                Err(e) => {
                    tally.unheard += 1;
                    tally.reason.get_or_insert(e);
                }
            }
        }
    }
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or_default() * 1000
}

fn summary(tally: &Tally, calls: u64, paper: &Paper) -> String {
    let mut acks = tally.acks.clone();
    acks.sort_unstable();
    let ms = |share: f64| {
        let at = ((acks.len() as f64 * share) as usize).min(acks.len().saturating_sub(1));
        format!("{:.1}", acks.get(at).map_or(0.0, |ack| ack.as_secs_f64() * 1000.0))
    };
    let (half, most) = (ms(0.5), ms(0.99));
    let events = paper.words.say("played-events", &[("count", (acks.len() + tally.unheard).into())]);
    let calls = usize::try_from(calls).unwrap_or(usize::MAX);
    let values = [
        ("count", calls.into()),
        ("events", (&events).into()),
        ("half", (&half).into()),
        ("most", (&most).into()),
    ];
    let mut said = vec![paper.words.say("played", &values)];
    if let Some(reason) = &tally.reason {
        let reason = unheard(reason, paper);
        let values = [("count", Value::from(tally.unheard)), ("reason", (&reason).into())];
        said.push(paper.words.say("played-unheard", &values));
    }
    said.push(paper.word("played-next"));
    said.join("\n")
}

fn unheard(reason: &Unheard, paper: &Paper) -> String {
    match reason {
        Unheard::Unreachable(reason) => paper.with("unheard-nobody", "reason", reason),
        Unheard::NoAck(said) => paper.with("unheard-no-ack", "said", &format!("{said:?}")),
        Unheard::Closed => paper.word("unheard-closed"),
        Unheard::TimeOut => paper.with("unheard-late", "seconds", &agi::PATIENCE.as_secs().to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::call::words::Language;

    #[test]
    fn a_mix_and_a_rate_are_read_or_refused_with_what_is_possible() {
        assert_eq!("inbound=6, missed".parse::<Mix>().unwrap().0, [(Scene::Inbound, 6), (Scene::Missed, 1)]);
        for (text, possible) in
            [("x=1", "transfer"), ("inbound=x", "number"), ("inbound=0", "0"), ("", "busy")]
        {
            let refused = text.parse::<Mix>().unwrap_err();
            assert!(refused.contains(possible), "{refused}");
        }
        assert_eq!("5/s".parse::<Rate>().unwrap().0, Duration::from_millis(200));
        assert_eq!("120/min".parse::<Rate>().unwrap().0, Duration::from_millis(500));
        for text in ["", "0/s", "-1/s", "5/day", "x", "1000000/s", "NaN/s"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("5/s"), "{text}");
        }
    }

    #[test]
    fn shares_are_kept() {
        let (mix, mut dice) = ("inbound=3,missed=1".parse::<Mix>().unwrap(), Dice(1));
        let missed = (0..4000).filter(|_| mix.pick(&mut dice) == Scene::Missed).count();
        assert!((900..1100).contains(&missed), "{missed}");
    }

    #[test]
    fn why_an_event_was_not_acknowledged_is_told_in_the_readers_language() {
        let tally = Tally { acks: Vec::new(), unheard: 2, reason: Some(Unheard::NoAck("FAILURE".into())) };
        let english = summary(&tally, 1, &Paper::plain(Language::En));
        assert!(
            english.contains("2 events were not acknowledged: it answers \"FAILURE\" and not"),
            "{english}"
        );
        let russian = summary(&tally, 1, &Paper::plain(Language::Ru));
        assert!(
            russian.contains("Не подтверждено 2 события: вместо подтверждения пришло \"FAILURE\""),
            "{russian}"
        );
    }

    #[test]
    fn no_event_of_a_call_is_from_the_future() {
        let clock = Clock::manual(Timestamp::from_second(1_795_390_723).unwrap());
        let stage = Stage {
            server: reachable("0.0.0.0:4573".parse().unwrap()),
            secret: None,
            speed: 20,
            clock: clock.clone(),
            stop: CancellationToken::new(),
            tally: Mutex::default(),
        };
        let call = stage.call(|second| script::write(Scene::Transfer, &mut Dice(3), second, 1, false));
        let now = clock.now().as_microsecond();
        for step in &call.steps {
            let told = now + micros(step.at_ms) / 20;
            assert!(call.begins_us + micros(step.at_ms) <= told, "{step:?}");
        }
        assert_eq!(stage.server, "127.0.0.1:4573".parse().unwrap());
    }
}
