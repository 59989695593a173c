//! Records out of a source into the journal, portion by portion.
//!
//! Rows are read in a thread of their own, and a portion is made ready while the one before it is written: a few portions
//! ahead of the database and no more, so that a year takes the memory of a minute.

use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::event::Event;
use crate::feed::cdr::row::Reading;
use crate::feed::cdr::{Broken, Place, Portion, Source, shifted};
use crate::intake::Policy;
use crate::intake::history::{self, Ready, Tally};
use crate::store::{Db, Lane, Store, StoreError, feeds};

/// Rows that are read and written together.
const ROWS_AT_ONCE: usize = 2000;

/// Portions that are read ahead.
const AHEAD: usize = 2;

/// Where calls are written, and how they are judged.
#[derive(Clone, Copy)]
pub struct Journal<'a> {
    /// Where calls are written.
    pub store: &'a Store,
    /// What they are judged by.
    pub policy: &'a Policy,
    /// The present.
    pub now: Timestamp,
    /// Everything is done, and undone again.
    pub trial: bool,
}

/// What came of one source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// Rows that were read.
    pub rows: usize,
    /// Those of them that cannot be understood.
    pub unreadable: usize,
    /// What they came to.
    pub tally: Tally,
}

impl Journal<'_> {
    /// Takes in what `place` has since it wants it. `look` sees each portion before, and may leave some of it out;
    /// `progress` is told how far it is, and how far there is to go.
    ///
    /// # Errors
    /// In words for who named the place: it cannot be read, its times are of another zone, `look` refuses it, or the
    /// database does. What was taken in by then stays.
    pub async fn take_in(
        &self,
        place: Place,
        reading: Reading,
        mut look: impl FnMut(&mut Vec<Event>) -> anyhow::Result<()>,
        progress: impl Fn(u64, u64) + Send + 'static,
    ) -> anyhow::Result<Taken> {
        let (name, since, pbx) = (place.shown(), place.since, reading.pbx.clone());
        let (mut portions, reader) = read_ahead(place, reading.clone(), progress);
        let mut taken = Taken::default();
        let mut before = None;
        while let Some(portion) = portions.recv().await {
            let Portion { mut events, rows, unreadable, .. } = match portion {
                Ok(portion) => portion,
                Err(broken) => {
                    // What came before is read and waits to be written.
                    self.written(before).await?;
                    return Err(broken).with_context(|| name.clone());
                }
            };
            if let (0, Some(off)) = (taken.rows, shifted(&events)) {
                bail!(
                    "the times of {name} are {off:#} off from the channels that they tell of: name the zone in which \
                     they were written, --timezone UTC or --timezone Europe/Berlin (read as {})",
                    reading.zone.iana_name().unwrap_or("the system's"),
                );
            }
            look(&mut events).with_context(|| name.clone())?;
            (taken.rows, taken.unreadable) = (taken.rows + rows, taken.unreadable + unreadable);
            events.retain(|event| since.is_none_or(|since| event.at >= since));
            let (ready, tally) = tokio::join!(self.made_ready(events), self.written(before.take()));
            taken.tally.add(tally?);
            before = Some(ready.with_context(|| name.clone())?);
        }
        taken.tally.add(self.written(before).await?);
        // One that died ends the portions as one that is at the end does.
        reader.await.with_context(|| format!("{name}: not all of it was read"))?;
        let now = self.now;
        if !self.trial {
            let read = move |db: &mut Db| feeds::read_records(db, &pbx, now);
            self.store.write(Lane::Settle, "records read", read).await?;
        }
        Ok(taken)
    }

    async fn made_ready(&self, events: Vec<Event>) -> Result<Ready, JoinError> {
        let (policy, now) = (self.policy.clone(), self.now);
        tokio::task::spawn_blocking(move || history::ready(events, &policy, now)).await
    }

    async fn written(&self, ready: Option<Ready>) -> Result<Tally, StoreError> {
        match ready {
            Some(ready) => history::take_in(self.store, self.policy, ready, self.now, self.trial).await,
            None => Ok(Tally::default()),
        }
    }
}

/// Reads in a thread of its own, which ends when nobody takes any more.
fn read_ahead(
    place: Place,
    reading: Reading,
    progress: impl Fn(u64, u64) + Send + 'static,
) -> (mpsc::Receiver<Result<Portion, Broken>>, JoinHandle<bool>) {
    let (give, take) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        let mut source = match Source::open(&place) {
            Ok(source) => source,
            Err(e) => return give.blocking_send(Err(e)).is_ok(),
        };
        while let Some(portion) = source.next(ROWS_AT_ONCE, &reading).transpose() {
            let (done, all) = source.progress();
            progress(done, all);
            let failed = portion.is_err();
            if give.blocking_send(portion).is_err() || failed {
                break;
            }
        }
        true
    });
    (take, reader)
}
