//! Forgets calls that ended longer ago than `store.keep_days`: at the start, then once an hour.

use std::time::Duration;

use jiff::SignedDuration;
use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::store::Store;
use crate::store::keep::Doomed;

const EVERY: Duration = Duration::from_secs(3600);

/// Runs until `stop`; not at all where every call is to be kept.
pub(super) async fn run(store: Store, clock: Clock, keep_days: u32, stop: CancellationToken) {
    if keep_days == 0 {
        return;
    }
    loop {
        forget(&store, &clock, keep_days, &stop).await;
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

async fn forget(store: &Store, clock: &Clock, keep_days: u32, stop: &CancellationToken) {
    let Ok(before) = clock.now().checked_sub(SignedDuration::from_hours(24 * i64::from(keep_days))) else {
        return;
    };
    let told = |gone| {
        counter!("calljournal_calls_forgotten_total").increment(gone as u64);
        !stop.is_cancelled()
    };
    match store.forget(&Doomed::EndedBefore(before), told).await {
        Ok(0) => {}
        Ok(calls) => {
            info!(calls, keep_days, %before, "calls that ended before were deleted (store.keep_days)")
        }
        Err(e) => warn!(error = %e, "old calls could not be deleted; tried again in an hour"),
    }
}
