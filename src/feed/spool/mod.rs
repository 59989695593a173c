//! Takes in what the dialplan wrote down while the server was away, too slow, or refused.
//!
//! Every poll looks through the directory and hands the new frames of each file to intake, together with a mark
//! of how far the file is taken in: both are written in one transaction, so each frame is taken in once, whenever
//! the process dies. What is refused is tried again later from the mark. A file is read again from its
//! beginning when in doubt: events have tokens, and count once.
//!
//! - this file: the files of this machine, pass by pass
//! - [`sent`]: those of another host, as its `calljournal spool send` brings them
//! - [`frames`]: bytes as events; [`wire`]: bytes as frames
//! - [`file`](mod@file): the file system
//!
//! Knows nothing of what becomes of the events.

pub mod file;
pub mod frames;
pub mod sent;
pub mod wire;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use metrics::gauge;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::file::waiting;
use self::file::{Chunk, Id, Seen};
use self::frames::{BATCH, Batch, Garbage};
use crate::clock::{Clock, Stopwatch};
use crate::config;
use crate::event::{Arrival, Feed};
use crate::intake::{Intake, Refused, SpoolMark};

/// Files that are read at the same time, so that their transactions become one.
const AT_ONCE: usize = 8;

/// A half line is given up when nothing was written to its file for so long.
const QUIET: SignedDuration = SignedDuration::from_hours(1);

/// How often the first pass is tried while the store refuses, and the pause between; then calls go first.
const FIRST_TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// At most one line about garbage in so long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The spool directory, and how far its files are taken in.
pub struct Spool {
    shared: Arc<Shared>,
    /// `None` until the marks are read from the store.
    files: tokio::sync::Mutex<Option<HashMap<Id, Tracked>>>,
}

struct Shared {
    intake: Intake,
    clock: Clock,
    dir: PathBuf,
    pbx: String,
    poll: Duration,
    /// `None` keeps the files.
    delete_after: Option<SignedDuration>,
    complaints: Mutex<Complaints>,
}

/// A file that is known.
#[derive(Debug, Clone)]
struct Tracked {
    mark: SpoolMark,
    /// How the file was when all that could be taken in was: until it looks otherwise there is nothing to do.
    settled: Option<Seen>,
    /// The store refused some of its events: they are handed in one by one, so that a bad one holds up the least.
    careful: bool,
    /// It may not be deleted, which is no error.
    kept: bool,
}

#[derive(Default)]
struct Complaints {
    /// Files, and the directory as the empty name, of which trouble was told.
    told: HashSet<String>,
    garbage: Option<Stopwatch>,
    held_back: u64,
}

impl Spool {
    /// The spool at `config.dir`. Events that name no pbx are taken as `pbx`'s.
    #[must_use]
    pub fn new(intake: Intake, clock: Clock, config: &config::Spool, pbx: &str) -> Spool {
        let hours = i64::try_from(config.delete_after_hours).ok().filter(|&h| (1..1_000_000).contains(&h));
        let shared = Shared {
            intake,
            clock,
            dir: config.dir.clone(),
            pbx: pbx.to_owned(),
            poll: Duration::from_millis(config.poll_ms.max(10)),
            delete_after: hours.map(SignedDuration::from_hours),
            complaints: Mutex::default(),
        };
        Spool { shared: Arc::new(shared), files: tokio::sync::Mutex::default() }
    }

    /// Takes in all that is there. To be awaited before any deadline fires: a call that looks over may have
    /// gone on in a file. Gives up after a few seconds where the store refuses; [`Spool::run`] goes on.
    pub async fn first_pass(&self) {
        let never = CancellationToken::new();
        for _ in 0..FIRST_TRIES {
            if self.pass(&never).await {
                return;
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        warn!("the spool could not be taken in before the start; it is tried again while running");
    }

    /// Takes in what comes, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.shared.poll)).await.is_some() {
            self.pass(&stop).await;
        }
    }

    /// Looks through the directory once; `false` where the store refused something.
    async fn pass(&self, stop: &CancellationToken) -> bool {
        let mut files = self.files.lock().await;
        let files = match &mut *files {
            Some(files) => files,
            unknown => match self.shared.intake.spool_marks().await {
                Ok(marks) => {
                    unknown.insert(marks.into_iter().map(|m| (id_of(&m), Tracked::new(m))).collect())
                }
                Err(error) => {
                    self.shared
                        .complain("marks", || warn!(%error, "it is not known how far the spool is taken in"));
                    return false;
                }
            },
        };
        let dir = self.shared.dir.clone();
        let seen = match blocking(move || file::list(&dir)).await {
            Ok(seen) => seen,
            Err(error) => {
                self.shared.complain("", || self.shared.explain(&error));
                return true;
            }
        };
        self.shared.forgive("");
        let done = self.take_in_all(files, &seen, stop).await;
        self.forget_the_gone(files, &seen).await;
        let waiting = |s: &Seen| s.size.saturating_sub(files.get(&s.id).map_or(0, |t| t.mark.offset));
        let waiting: u64 = seen.iter().filter(|s| s.regular).map(waiting).sum();
        gauge!("calljournal_spool_waiting_bytes").set(waiting as f64);
        done
    }

    async fn take_in_all(
        &self,
        files: &mut HashMap<Id, Tracked>,
        seen: &[Seen],
        stop: &CancellationToken,
    ) -> bool {
        let (mut tasks, mut done, mut begun) = (JoinSet::new(), true, HashSet::new());
        for seen in seen {
            if !seen.regular {
                let dir = self.shared.dir.display();
                self.shared.complain(&seen.name, || {
                    warn!("{dir}/{} is no regular file and is not opened; remove it", seen.name);
                });
                continue;
            }
            // One file under two names is read once.
            if !begun.insert(seen.id) || stop.is_cancelled() {
                continue;
            }
            let tracked = files.entry(seen.id).or_insert_with(|| Tracked::fresh(seen));
            if !tracked.wants(seen, &self.shared) {
                continue;
            }
            while tasks.len() >= AT_ONCE {
                done &= collect(files, tasks.join_next().await);
            }
            if !done {
                break;
            }
            let tracked = files.get(&seen.id).cloned().unwrap_or_else(|| Tracked::fresh(seen));
            let task = take_in(self.shared.clone(), seen.clone(), tracked, stop.clone());
            tasks.spawn(task);
        }
        while let Some(finished) = tasks.join_next().await {
            done &= collect(files, Some(finished));
        }
        done
    }

    /// A file that is gone may come back under the same inode as another one.
    async fn forget_the_gone(&self, files: &mut HashMap<Id, Tracked>, seen: &[Seen]) {
        let there: HashSet<Id> = seen.iter().map(|s| s.id).collect();
        let gone: Vec<Id> = files.keys().filter(|id| !there.contains(id)).copied().collect();
        for id in gone {
            let Some(tracked) = files.get(&id) else { continue };
            // One that was never marked needs no transaction to be forgotten.
            if tracked.mark.offset > 0
                && let Err(error) = self.shared.intake.forget_mark(&tracked.mark).await
            {
                debug!(%error, file = tracked.mark.name, "a spool file that is gone is forgotten later");
                continue;
            }
            files.remove(&id);
        }
        let names: HashSet<&str> = seen.iter().map(|s| s.name.as_str()).collect();
        self.shared.complaints().told.retain(|n| n.is_empty() || n == "store" || names.contains(n.as_str()));
    }
}

type Finished = (Id, Tracked, bool);

fn collect(
    files: &mut HashMap<Id, Tracked>,
    finished: Option<Result<Finished, tokio::task::JoinError>>,
) -> bool {
    match finished {
        Some(Ok((id, tracked, done))) => {
            files.insert(id, tracked);
            done
        }
        // It panicked, which the log says; its mark is where it was.
        Some(Err(_)) => false,
        None => true,
    }
}

/// Takes in one file as far as it goes; `false` where the store refused.
async fn take_in(shared: Arc<Shared>, seen: Seen, mut tracked: Tracked, stop: CancellationToken) -> Finished {
    let id = seen.id;
    if tracked.has_served(&seen, &shared) {
        tracked.kept = !shared.delete(seen).await;
        return (id, tracked, true);
    }
    // Nothing new has come for long: a half line at the end will stay one.
    let give_up = tracked.settled.is_some() && shared.is_older(&seen, QUIET);
    while !stop.is_cancelled() {
        let path = shared.dir.join(&seen.name);
        let (offset, head) = (tracked.mark.offset, tracked.mark.head.clone());
        let chunk = match blocking(move || file::read(&path, offset, &head)).await {
            Ok(chunk) if chunk.id == id => chunk,
            // Replaced or gone since the directory was read: the next poll sees what there is.
            Ok(_) => return (id, tracked, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (id, tracked, true),
            Err(error) => {
                shared.complain(&seen.name, || {
                    let path = shared.dir.join(&seen.name);
                    warn!(%error, "spool file {} cannot be read; let this server's user into Asterisk's group: \
                        usermod -aG asterisk calljournal", path.display());
                });
                return (id, tracked, true);
            }
        };
        shared.forgive(&seen.name);
        if chunk.offset < tracked.mark.offset {
            info!(file = seen.name, "a spool file is not the one it was; it is read from its beginning");
            tracked.mark.garbage = 0;
        }
        let arrival = Arrival { feed: Feed::Spool, pbx: &shared.pbx, at: shared.clock.now() };
        let most = if tracked.careful { 1 } else { BATCH };
        let mut batch = Batch::scan(&chunk.bytes, chunk.offset, most, arrival);
        if batch.length == 0 && give_up && chunk.at_end {
            batch.give_up(chunk.bytes.len(), chunk.offset);
        }
        if batch.length == 0 {
            // A truncated file is nothing to read, but its mark must not hide what will be written there.
            tracked.mark.offset = chunk.offset;
            tracked.settled = Some(seen);
            return (id, tracked, true);
        }
        let mark = tracked.mark_after(&chunk, &batch, &seen.name, &shared.clock);
        match shared.intake.accept_marked(batch.events, mark.clone()).await {
            Ok(receipt) => {
                frames::count_taken(receipt);
                shared.report(&seen.name, &batch.garbage);
                shared.forgive("store");
                (tracked.mark, tracked.settled, tracked.careful) = (mark, None, false);
            }
            Err(refused) => {
                tracked.careful = matches!(refused, Refused::Store(_));
                shared.complain("store", || {
                    let file = &seen.name;
                    warn!(file, offset = chunk.offset, %refused, "the spool waits: nothing is lost, it is tried again");
                });
                return (id, tracked, false);
            }
        }
    }
    (id, tracked, true)
}

impl Tracked {
    fn new(mark: SpoolMark) -> Tracked {
        Tracked { mark, settled: None, careful: false, kept: false }
    }

    fn fresh(seen: &Seen) -> Tracked {
        Tracked::new(SpoolMark {
            device: seen.id.device,
            inode: seen.id.inode,
            offset: 0,
            head: String::new(),
            name: seen.name.clone(),
            seen: seen.modified,
            garbage: 0,
        })
    }

    /// Whether there may be something to do with it.
    fn wants(&self, seen: &Seen, shared: &Shared) -> bool {
        if self.settled.as_ref() != Some(seen) {
            true
        } else if self.mark.offset < seen.size {
            shared.is_older(seen, QUIET)
        } else {
            self.has_served(seen, shared)
        }
    }

    /// Whether it is wholly taken in and old enough to be deleted.
    fn has_served(&self, seen: &Seen, shared: &Shared) -> bool {
        let whole = self.settled.as_ref() == Some(seen) && self.mark.offset >= seen.size;
        whole && !self.kept && shared.delete_after.is_some_and(|after| shared.is_older(seen, after))
    }

    fn mark_after(&self, chunk: &Chunk, batch: &Batch, name: &str, clock: &Clock) -> SpoolMark {
        let offset = chunk.offset + batch.length as u64;
        SpoolMark {
            offset,
            head: chunk.fingerprint(offset),
            name: name.to_owned(),
            seen: clock.now(),
            garbage: self.mark.garbage + batch.wasted(),
            ..self.mark
        }
    }
}

fn id_of(mark: &SpoolMark) -> Id {
    Id { device: mark.device, inode: mark.inode }
}

impl Shared {
    /// Deletes a file that has served; `false` where that is not allowed, which is no error.
    async fn delete(&self, seen: Seen) -> bool {
        let (path, name) = (self.dir.join(&seen.name), seen.name.clone());
        match blocking(move || file::delete(&path, &seen)).await {
            Ok(()) => debug!(file = name, "a spool file that was taken in is deleted"),
            Err(error) => {
                debug!(%error, file = name, "a spool file that was taken in stays");
                return false;
            }
        }
        true
    }

    fn is_older(&self, seen: &Seen, age: SignedDuration) -> bool {
        self.clock.now().duration_since(seen.modified) > age
    }

    /// Counts what was no event; tells of it now and then.
    fn report(&self, file: &str, garbage: &[Garbage]) {
        frames::count(garbage);
        let Some(first) = garbage.first() else { return };
        let mut complaints = self.complaints();
        complaints.held_back += garbage.len() as u64 - 1;
        if complaints.garbage.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            complaints.held_back += 1;
            return;
        }
        complaints.garbage = Some(Stopwatch::start());
        let others = std::mem::take(&mut complaints.held_back);
        warn!(
            file,
            offset = first.offset,
            bytes = first.length,
            reason = first.reason,
            others,
            "a part of a spool file is no event: {}",
            first.why
        );
    }

    /// Tells of trouble with a file once, until it is over.
    fn complain(&self, name: &str, tell: impl FnOnce()) {
        let mut complaints = self.complaints();
        if complaints.told.insert(name.to_owned()) {
            drop(complaints);
            tell();
        }
    }

    fn forgive(&self, name: &str) {
        self.complaints().told.remove(name);
    }

    fn complaints(&self) -> MutexGuard<'_, Complaints> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, error: &io::Error) {
        let make = config::make_spool(&self.dir);
        warn!(
            %error,
            "the spool directory cannot be read, so events that this server does not take in time may be lost; \
             make it: {make} (and this server's user a member of that group)"
        );
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}
