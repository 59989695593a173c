//! The journal held against Asterisk's own records of the same days: what it does not have is added, what broke off is
//! told to its end, and what the records do not know is named.
//!
//! - [`records`]: out of a source into the journal, whoever asks for it
//! - [`living`]: calls that still go on, which are left alone
//! - [`ours`]: which calls of the journal a source does not have, and of which it says otherwise
//! - [`Source`]: what is configured under `[[reconcile]]`, and one run of it
//!
//! Nothing that was told live is overwritten, and a row counts once: a run that is repeated changes nothing.

mod living;
pub mod ours;
pub mod records;

use std::path::Path;

use anyhow::bail;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use living::{Living, written};
pub use ours::{Known, Ours};
pub use records::{Journal, Taken};

use crate::config::{Config, Reconcile};
use crate::event::Event;
use crate::feed::cdr::row::Reading;
use crate::feed::cdr::{Place, rotated};

/// A source of records, and whose they are.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    /// The pbx that wrote them, by the name that it has in the journal.
    pub pbx: String,
    zone: TimeZone,
    look_back: SignedDuration,
}

/// What came of one source.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was taken in.
    pub taken: Taken,
    /// Which of its calls the source knows.
    pub known: Known,
}

/// Rows of the last minute are left for the next run: what the dialplan has to tell of them may be on its way.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);

/// Of its name, in characters.
const LONGEST_NAME: usize = 500;

impl Source {
    /// What is configured; what it does not say of itself is as the rest of the configuration has it.
    #[must_use]
    pub fn of(one: &Reconcile, config: &Config) -> Source {
        let own = one.timezone.as_deref().filter(|zone| *zone != "system");
        let zone = own.and_then(|zone| TimeZone::get(zone).ok()).or_else(|| match one.timezone {
            Some(_) => Some(TimeZone::system()),
            None => config.call.zone(),
        });
        Source {
            place: Place {
                name: one.source.clone(),
                columns: one.columns.clone(),
                tables: one.table.clone(),
                zone_is_named: one.timezone.is_some(),
                since: None,
                grows: true,
            },
            pbx: one.pbx.clone().unwrap_or_else(|| config.pbx.default.clone()),
            zone: zone.unwrap_or_else(TimeZone::system),
            look_back: SignedDuration::from_hours(24 * i64::from(one.look_back_days)),
        }
    }

    /// Its name as it may be shown.
    #[must_use]
    pub fn shown(&self) -> String {
        self.place.shown()
    }

    /// What it is known by among all: two databases on one host differ, two pbxes in one database too.
    #[must_use]
    pub fn name(&self) -> String {
        let parts = [self.pbx.as_str(), &self.place.shown(), &self.place.tables.join(",")];
        parts.join(" ").chars().take(LONGEST_NAME).collect()
    }

    /// Whether somebody means it by `name`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.place.name == name || self.shown() == name
    }

    /// From when on it is read at `now`, where nobody says otherwise.
    #[must_use]
    pub fn since(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.look_back).unwrap_or(Timestamp::MIN)
    }

    /// Takes in what it has since then.
    ///
    /// # Errors
    /// In words for an administrator. What was taken in by then stays.
    pub async fn run(
        &self,
        journal: &Journal<'_>,
        since: Timestamp,
        progress: impl Fn(u64, u64) + Clone + Send + 'static,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let places = self.places(since);
        if places.is_empty() {
            bail!("{}: there is no such file", self.shown());
        }
        // Before any row is read: what begins later is too young.
        let living = Living::of(journal, &self.pbx).await?;
        let latest = journal.now.saturating_sub(YOUNG).unwrap_or(journal.now);
        for place in places {
            let reading = Reading { pbx: self.pbx.clone(), zone: self.zone.clone(), at: journal.now };
            let known = &mut outcome.known;
            let look = |events: &mut Vec<Event>| {
                known.see(events)?;
                events.retain(|event| !living.has(event) && written(event) < latest);
                Ok(())
            };
            let taken = journal.take_in(place, reading, look, progress.clone()).await?;
            outcome.taken.rows += taken.rows;
            outcome.taken.unreadable += taken.unreadable;
            outcome.taken.tally.add(taken.tally);
        }
        Ok(outcome)
    }

    /// The files that hold what it has since then, or the database itself.
    fn places(&self, since: Timestamp) -> Vec<Place> {
        let place = Place { since: Some(since), ..self.place.clone() };
        if place.is_database() {
            return vec![place];
        }
        let named =
            |file: std::path::PathBuf| Place { name: file.to_string_lossy().into_owned(), ..place.clone() };
        rotated::since(Path::new(&place.name), since).into_iter().map(named).collect()
    }
}
