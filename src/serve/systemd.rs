//! What systemd wants to hear: ready, stopping, and that the program still does its work.
//!
//! Without systemd nobody listens and nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Start-up is complete.
pub fn ready() {
    say(NotifyState::Ready);
}

/// The stop has begun.
pub fn stopping() {
    say(NotifyState::Stopping);
}

/// Says that all is well, twice in each interval that systemd allows, while the thread that writes answers: a
/// server that takes connections and writes nothing down is better started again.
pub async fn watchdog(store: Store, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let pause = (limit / 2).max(Duration::from_millis(10));
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        match tokio::time::timeout(limit, store.prove_alive()).await {
            Ok(Ok(())) => say(NotifyState::Watchdog),
            Ok(Err(error)) => {
                tracing::error!(%error, "the writing thread does not answer; systemd will restart us")
            }
            Err(_) => tracing::error!("the writing thread is stuck; systemd will restart us"),
        }
    }
}

fn say(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot talk to systemd");
    }
}
