//! `calljournal spool send`: brings the spool of a host where only Asterisk runs to a server elsewhere.
//!
//! Keeps nothing of its own: how far a file is taken in is asked of the server, which writes it down together with the
//! events. So it may be killed at any moment and started again, by a timer too. Whole lines alone are sent, also of the
//! file that Asterisk writes at present; a file is only deleted when the server has all of it and Asterisk has long begun
//! another. Knows files and what is asked of the server; not what an event is.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::paper::Paper;
use crate::clock::Clock;
use crate::config::{self, Auth, Endpoint, Secret, is_plain_name};
use crate::feed::spool::file::{self, Id, Seen};
use crate::feed::spool::frames;
use crate::notify::http::{Client, Reply};
use crate::notify::{Clients, retry};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How often a request is tried by who does not follow, and the longest pause between two tries by who does.
const TRIES: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often the directory is looked at with `--follow`.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Half a line is given up when nothing was written to its file for so long, as the server does with its own.
const QUIET: SignedDuration = SignedDuration::from_hours(1);

/// How often in a row the server may say that it is elsewhere in a file.
const CONFLICTS: u32 = 10;

/// Bytes from which on a bar shows how far it is.
const MUCH: u64 = 1 << 20;

/// What is to be done with a spool.
#[derive(Debug, Subcommand)]
pub enum Spool {
    /// Bring the spool of this host, where only Asterisk runs, to a server elsewhere.
    ///
    /// Each event arrives once, whatever breaks on the way: the server remembers how far it has a file. Files that it
    /// has wholly are deleted after --delete-after hours.
    #[command(after_help = EXAMPLES)]
    Send(Send),
}

const EXAMPLES: &str = "\
Examples:
  calljournal spool send --to https://journal.example.com --token-file /etc/calljournal/spool.token
  calljournal spool send --to http://10.0.0.5:8573 --dir /var/spool/asterisk/calljournal --follow
  CALLJOURNAL_SEND_TOKEN=… calljournal spool send --to https://journal.example.com --ca-file /etc/ssl/office.pem

On the server: [[token]] with name, secret and may = [\"spool\"].
Exit codes: 0 the server has all whole lines, 1 it does not, 2 the command line was wrong.";

/// From where to where.
#[derive(Debug, Clone, Args)]
pub struct Send {
    /// The server's HTTP address.
    #[arg(long, value_name = "URL", env = "CALLJOURNAL_SEND_TO", value_hint = ValueHint::Url)]
    to: String,
    /// Where Asterisk leaves the files; else `[spool] dir`.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// The server's token for this host. Others on this machine can see a command line: better in the environment or a file.
    #[arg(long, value_name = "TOKEN", env = "CALLJOURNAL_SEND_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file whose first line is the token.
    #[arg(long, value_name = "FILE", conflicts_with = "token", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// What this host is called, should two have one machine id.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The pbx, where neither CALLJOURNAL_PBX nor systemname is set in Asterisk.
    #[arg(long, value_name = "NAME")]
    pbx: Option<String>,
    /// A certificate authority of your own, as PEM.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,
    /// A proxy on the way: http://host:port.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Hours without a new line after which a file that the server has wholly is deleted; 0 keeps all.
    #[arg(long, value_name = "HOURS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(..=87_600))]
    delete_after: u32,
    /// Go on, and send what comes as it comes, until a signal.
    #[arg(long)]
    follow: bool,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    fresh: usize,
    known: usize,
    garbage: u64,
    half: usize,
    deleted: usize,
}

/// What the server answers.
#[derive(Debug, Deserialize)]
struct Taken {
    taken: u64,
    garbage: u64,
    fresh: usize,
    duplicates: usize,
}

/// Sends what is there, or what comes until `stop`; answers with what to print, and whether all is well.
///
/// # Errors
/// What keeps it from sending, in words for who runs that host.
pub async fn send(
    asked: &Send,
    configured: &Path,
    paper: &Paper,
    stop: &CancellationToken,
    clock: &Clock,
) -> anyhow::Result<String> {
    let mut courier = Courier::new(asked, configured, stop, clock)?;
    let _alone = courier.alone()?;
    loop {
        let passed = courier.pass().await;
        let tally = std::mem::take(&mut courier.tally);
        courier.bar.finish_and_clear();
        if stop.is_cancelled() && asked.follow {
            return Ok(String::new());
        }
        let stays = "what is left stays where it is, and is sent next time";
        passed.with_context(|| match tally.fresh + tally.known {
            0 => stays.to_owned(),
            sent => format!("{sent} events were sent before that; {stays}"),
        })?;
        if stop.is_cancelled() {
            bail!("stopped; {stays}");
        }
        if !asked.follow {
            return Ok(told(paper, tally));
        }
        if tally != Tally::default() {
            writeln!(std::io::stdout().lock(), "{}", told(paper, tally))?;
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return Ok(String::new());
        }
    }
}

fn told(paper: &Paper, tally: Tally) -> String {
    let say = |id: &str, count: usize| paper.words.say(id, &[("count", count.into())]);
    let mut lines = vec![say("send-events", tally.fresh)];
    let garbage = usize::try_from(tally.garbage).unwrap_or(usize::MAX);
    let rest = [
        ("send-known", tally.known),
        ("send-garbage", garbage),
        ("send-half", tally.half),
        ("send-deleted", tally.deleted),
    ];
    lines.extend(rest.into_iter().filter(|(_, count)| *count > 0).map(|(id, count)| say(id, count)));
    lines.join("\n")
}

/// Who carries the files.
struct Courier<'a> {
    asked: &'a Send,
    stop: &'a CancellationToken,
    clock: &'a Clock,
    dir: PathBuf,
    client: Client,
    auth: Option<Auth>,
    /// All of the address but the file.
    address: String,
    /// Files of which there was nothing more to send, as they looked then, with the bytes of a half line at their end.
    done: HashMap<Id, (Seen, u64)>,
    tally: Tally,
    bar: ProgressBar,
}

impl<'a> Courier<'a> {
    fn new(
        asked: &'a Send,
        configured: &Path,
        stop: &'a CancellationToken,
        clock: &'a Clock,
    ) -> anyhow::Result<Courier<'a>> {
        let host = asked.host.clone().map_or_else(host_of_this_machine, Ok)?;
        for (option, name) in [("--host", Some(&host)), ("--pbx", asked.pbx.as_ref())] {
            if name.is_some_and(|name| !is_plain_name(name)) {
                bail!("{option} must be 1 to 64 of A-Z a-z 0-9 . _ -");
            }
        }
        if asked.to.contains(['?', '#']) {
            bail!(
                "--to is the server's address alone, as https://journal.example.com or http://10.0.0.5:8573"
            );
        }
        let pbx = asked.pbx.as_ref().map(|pbx| format!("&pbx={pbx}")).unwrap_or_default();
        let to =
            Endpoint { ca_file: asked.ca_file.clone(), proxy: asked.proxy.clone(), ..Endpoint::default() };
        let token = match &asked.token_file {
            Some(path) => Some(token_in(path)?),
            None => asked.token.clone().filter(|token| !token.is_empty()),
        };
        Ok(Courier {
            asked,
            stop,
            clock,
            dir: asked.dir.clone().unwrap_or_else(|| configured.to_owned()),
            client: Clients::default().of(&to).map_err(anyhow::Error::msg)?,
            auth: token.map(|token| Auth::Bearer { token: Secret::new(token) }),
            address: format!("{}/api/v1/spool?host={host}{pbx}", asked.to.trim_end_matches('/')),
            done: HashMap::new(),
            tally: Tally::default(),
            bar: ProgressBar::hidden(),
        })
    }

    /// Two at once would do no harm and all work twice.
    fn alone(&self) -> anyhow::Result<std::fs::File> {
        let dir = std::fs::File::open(&self.dir).with_context(|| {
            let make = config::make_spool(&self.dir);
            format!(
                "{} cannot be read; where Asterisk is to write there, make it: {make}",
                self.dir.display()
            )
        })?;
        match dir.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => {
                bail!("another `calljournal spool send` is at work on {}", self.dir.display())
            }
            // Where the file system knows no locks, who starts two has to know.
            _ => Ok(dir),
        }
    }

    /// Sends all that is there now.
    async fn pass(&mut self) -> anyhow::Result<()> {
        let dir = self.dir.display().to_string();
        let files = file::list(&self.dir).with_context(|| format!("{dir} cannot be read"))?;
        let waiting =
            files.iter().filter(|seen| seen.regular && !self.is_done(seen)).map(|seen| seen.size).sum();
        if waiting > MUCH && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}  {eta}");
            self.bar =
                ProgressBar::new(waiting).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        for seen in &files {
            let stem = seen.name.strip_suffix(".spool").unwrap_or_default();
            if self.stop.is_cancelled() {
                break;
            }
            if !seen.regular || !is_plain_name(stem) {
                // Said once, as long as it looks like that.
                if self.done.insert(seen.id, (seen.clone(), 0)).is_none() {
                    eprintln!("{dir}/{:?} is none of the dialplan's files and stays here", seen.name);
                }
                continue;
            }
            if !self.is_done(seen) {
                let left = self.carry(seen).await.with_context(|| format!("{dir}/{}", seen.name))?;
                if let Some(left) = left {
                    self.done.insert(seen.id, (seen.clone(), left));
                }
            }
            self.clear_away(seen);
        }
        self.done.retain(|id, _| files.iter().any(|seen| seen.id == *id));
        Ok(())
    }

    fn is_done(&self, seen: &Seen) -> bool {
        self.done.get(&seen.id).is_some_and(|(then, _)| then == seen)
    }

    /// Sends all whole lines of a file; answers with the bytes of a half line behind them, where the server has all else.
    async fn carry(&mut self, seen: &Seen) -> anyhow::Result<Option<u64>> {
        let path = self.dir.join(&seen.name);
        let first = file::read(&path, 0, "")?;
        if first.id != seen.id {
            return Ok(None);
        }
        let Some(head) = frames::head_of(&first.bytes) else { return Ok(Some(first.bytes.len() as u64)) };
        let fingerprint = first.fingerprint(u64::MAX);
        let address = format!("{}&file={}&head={head}", self.address, seen.name);
        let mut taken = self.ask(&address, None).await?.taken;
        self.bar.inc(taken.min(seen.size));
        let mut conflicts = 0;
        while !self.stop.is_cancelled() {
            let chunk = file::read(&path, taken, &fingerprint)?;
            if chunk.id != seen.id || chunk.offset != taken {
                eprintln!("{} is not the file that it was; it is looked at again next time", path.display());
                return Ok(None);
            }
            let whole = frames::whole(&chunk.bytes);
            if whole == 0 {
                return Ok(Some(chunk.bytes.len() as u64));
            }
            let bytes = chunk.bytes.get(..whole).unwrap_or_default().to_vec();
            let answer = self.ask(&format!("{address}&offset={taken}"), Some(bytes)).await?;
            if answer.taken > taken && answer.taken <= taken + whole as u64 {
                conflicts = 0;
                self.bar.inc(answer.taken - taken);
            } else {
                conflicts += 1;
            }
            if conflicts > CONFLICTS {
                bail!("the server does not know how far it has this file ({} bytes of it?)", answer.taken);
            }
            self.tally.fresh += answer.fresh;
            self.tally.known += answer.duplicates;
            if answer.taken >= seen.size {
                self.tally.garbage += answer.garbage;
            }
            taken = answer.taken;
        }
        Ok(None)
    }

    /// Deletes a file that the server has wholly, when Asterisk has long begun another one.
    fn clear_away(&mut self, seen: &Seen) {
        let Some((then, left)) = self.done.get(&seen.id) else { return };
        let age = self.clock.now().duration_since(seen.modified);
        let hours = i64::from(self.asked.delete_after);
        if then != seen || hours == 0 || age < SignedDuration::from_hours(hours) || (*left > 0 && age < QUIET)
        {
            return;
        }
        let half = *left > 0;
        match file::delete(&self.dir.join(&seen.name), seen) {
            Ok(()) => {
                self.tally.deleted += 1;
                self.tally.half += usize::from(half);
                self.done.remove(&seen.id);
            }
            Err(error) => tracing::debug!(%error, file = seen.name, "a spool file that was sent stays"),
        }
    }

    /// Asks the server, and again while it is away.
    async fn ask(&self, address: &str, body: Option<Vec<u8>>) -> anyhow::Result<Taken> {
        let mut tries = 0;
        loop {
            let reply = self.client.bring(address, body.clone(), self.auth.as_ref(), LIMIT).await;
            let why = match reply.status {
                Some(200 | 409) => {
                    return serde_json::from_slice(&reply.body)
                        .with_context(|| format!("what answers at {} is no calljournal", self.asked.to));
                }
                None | Some(408 | 429 | 500..=599) => reply.what.clone(),
                Some(status) => bail!("{}", self.explain(status, &reply)),
            };
            tries += 1;
            if tries >= TRIES && !self.asked.follow {
                bail!("{why}");
            }
            if tries == 1 {
                eprintln!("{why}; it is tried again");
            }
            let pause = Duration::from_secs(1 << (tries - 1).min(6));
            let told = reply.retry_after.and_then(|after| retry::retry_after(&after, self.clock.now()));
            let pause = told.map_or(pause, |told| pause.max(told)).min(LONGEST_PAUSE);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                bail!("{why}");
            }
        }
    }

    /// Why the server will not take it however often it is asked.
    fn explain(&self, status: u16, reply: &Reply) -> String {
        match status {
            401 => {
                let token = if self.auth.is_some() { "does not know this token" } else { "wants a token" };
                format!("{} {token}: name the one of its [[token]] that has may = [\"spool\"]", self.asked.to)
            }
            403 => format!("{}: the token is known, but may = [\"spool\"] is not set for it", self.asked.to),
            404 | 405 => format!(
                "{} takes no spools: is that calljournal's HTTP address ([http] listen), and its version not older?",
                self.asked.to
            ),
            _ => format!("{} {}", reply.what, reply.text).trim().to_owned(),
        }
    }
}

/// The first line of a file.
fn token_in(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("--token-file {}", path.display()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.is_empty() {
        bail!("--token-file {}: its first line is empty", path.display());
    }
    Ok(token.to_owned())
}

/// A name that another host does not have, made of the machine's id, which is not for others to know.
fn host_of_this_machine() -> anyhow::Result<String> {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if id.trim().is_empty() {
        bail!("this machine has no /etc/machine-id: name it with --host");
    }
    let hash = Sha256::digest(format!("calljournal spool {}", id.trim()));
    Ok(hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
