//! Who is told of calls: the receivers of the configuration, and those that subscribed over HTTP.
//!
//! Both those who write notices and those who send them are handed the same list, whenever it changes. Another node's
//! subscribers are found by looking, within a second.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::api::endpoints::{self, Desk};
use crate::clock::Clock;
use crate::config::{self, Config, Endpoint};
use crate::intake::Intake;
use crate::notify::Endpoints;
use crate::store::endpoints::{self as table, Subscribed};
use crate::store::{Store, StoreError};

/// How often what other nodes wrote is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everybody who is told.
pub(super) struct Receivers {
    store: Store,
    configured: Vec<Endpoint>,
    subscribe: config::Subscribe,
    call: config::Call,
    /// What was found the last time, once it was looked for.
    stored: Mutex<Option<Vec<Subscribed>>>,
    known: watch::Sender<Endpoints>,
}

impl Receivers {
    /// Those of `config`, and those that have subscribed so far. Asked before anything is settled: what ended while
    /// nobody ran is told to both.
    pub async fn find(store: Store, config: &Config) -> Result<Receivers, StoreError> {
        let (known, _) = watch::channel(Endpoints::default());
        let receivers = Receivers {
            store,
            configured: config.notify.clone(),
            subscribe: config.subscribe.clone(),
            call: config.call.clone(),
            stored: Mutex::default(),
            known,
        };
        receivers.know(receivers.stored().await?);
        Ok(receivers)
    }

    /// The list as it is at any time.
    pub fn known(&self) -> watch::Receiver<Endpoints> {
        self.known.subscribe()
    }

    async fn stored(&self) -> Result<Vec<Subscribed>, StoreError> {
        self.store.read("endpoints", table::all).await
    }

    /// Makes the list out of what is stored; whether it is another one.
    fn know(&self, found: Vec<Subscribed>) -> bool {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.as_ref() == Some(&found) {
            return false;
        }
        let mut all = self.configured.clone();
        // A name that the configuration has taken since is the configuration's.
        let names: BTreeSet<&str> = self.configured.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let mut subscribed = endpoints::receivers(&found, &self.subscribe);
        subscribed.retain(|endpoint| !names.contains(endpoint.name.as_str()));
        subscribed.iter_mut().for_each(|endpoint| endpoint.inherit(&self.call));
        all.extend(subscribed);
        self.known.send_replace(Arc::new(all));
        *stored = Some(found);
        true
    }

    /// Looks who has subscribed, and tells `intake` where that has changed.
    async fn look(&self, intake: &Intake) -> Result<(), StoreError> {
        if self.know(self.stored().await?) {
            intake.subscribe(super::subscriptions(&self.known.borrow()));
        }
        Ok(())
    }

    /// Looks now and then, until `stop`.
    pub async fn run(self: Arc<Self>, intake: Intake, stop: CancellationToken) {
        let mut failing = false;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let looked = self.look(&intake).await;
            if let (Err(error), false) = (&looked, failing) {
                warn!(%error, "who subscribed on another node is not known at present");
            }
            failing = looked.is_err();
        }
    }

    /// What the routes for who subscribes need.
    pub fn desk(self: &Arc<Self>, intake: &Intake, clock: Clock) -> Desk {
        let (this, intake) = (self.clone(), intake.clone());
        Desk {
            store: self.store.clone(),
            clock,
            subscribe: self.subscribe.clone(),
            taken: Arc::new(self.configured.iter().map(|endpoint| endpoint.name.clone()).collect()),
            changed: Arc::new(move || {
                let (this, intake) = (this.clone(), intake.clone());
                Box::pin(async move {
                    // Where it cannot be read now it is a second later.
                    let _ = this.look(&intake).await;
                })
            }),
        }
    }
}
