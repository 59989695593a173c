//! What the program says of itself: its log and its metrics.
//!
//! The log goes to standard error, readable by people unless JSON is asked for. Metrics are recorded in the
//! process and rendered when somebody asks; there is no listener here. Every metric is described here,
//! with its unit in its name.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// What is counted up: name, what it tells.
const COUNTERS: &[(&str, &str)] = &[
    ("calljournal_agi_sessions_total", "FastAGI sessions, by outcome"),
    ("calljournal_agi_questions_total", "Questions that an Asterisk answered"),
    ("calljournal_events_accepted_total", "Events made durable, by feed"),
    ("calljournal_events_duplicate_total", "Events told before"),
    ("calljournal_events_idle_total", "Events that changed nothing of their call"),
    ("calljournal_calls_set_aside_total", "Calls that could not be settled"),
    ("calljournal_push_posts_total", "Posts of ast-ami, by outcome"),
    ("calljournal_ami_connections_total", "Connections to manager interfaces, by outcome"),
    ("calljournal_ami_messages_total", "Events of manager interfaces"),
    ("calljournal_ami_events_lost_total", "Events made of them that could not be kept"),
    ("calljournal_calls_forgotten_total", "Calls deleted because they ended longer ago than store.keep_days"),
    (
        "calljournal_reconcile_calls_total",
        "Calls that a source of Asterisk's own records tells, by what came of them",
    ),
    (
        "calljournal_reconcile_runs_total",
        "Times that a source of Asterisk's own records was read, or could not be",
    ),
    ("calljournal_spool_events_total", "Events taken in from the spool"),
    ("calljournal_spool_garbage_total", "Lines of the spool that are no event, by reason"),
    ("calljournal_feed_missed_calls_total", "Calls that others told and this feed did not, by pbx and feed"),
    ("calljournal_notices_created_total", "Notices written to the outbox, by kind"),
    ("calljournal_notice_attempts_total", "Attempts to deliver a notice, by endpoint and outcome"),
];

/// What goes up and down: name, unit, what it tells.
const GAUGES: &[(&str, Unit, &str)] = &[
    ("calljournal_agi_sessions", Unit::Count, "FastAGI sessions that are open"),
    ("calljournal_ami_up", Unit::Count, "Whether the manager interface of a pbx is listened to"),
    ("calljournal_feed_up", Unit::Count, "Whether a feed of a pbx is not down"),
    (
        "calljournal_reconcile_last_success_seconds",
        Unit::Seconds,
        "When a source of Asterisk's own records was read last, as seconds of the Unix epoch",
    ),
    ("calljournal_feed_event_age_seconds", Unit::Seconds, "Since the last event of a feed of a pbx"),
    ("calljournal_accept_queue", Unit::Count, "Events that wait to be made durable"),
    ("calljournal_events_unsettled", Unit::Count, "Durable events not yet part of a call"),
    ("calljournal_unsettled_age_seconds", Unit::Seconds, "Age of the oldest of them"),
    ("calljournal_pbx_names_shared", Unit::Count, "Names by which two Asterisks seem to go"),
    ("calljournal_spool_waiting_bytes", Unit::Bytes, "Bytes of the spool not yet taken in"),
    ("calljournal_notices_waiting", Unit::Count, "Notices not yet delivered, by endpoint"),
    ("calljournal_notices_oldest_seconds", Unit::Seconds, "Age of the oldest of them, by endpoint"),
];

/// What spreads: name, unit, upper bounds, what it tells.
const HISTOGRAMS: &[(&str, Unit, &[f64], &str)] = &[
    ("calljournal_agi_ack_seconds", Unit::Seconds, &MOMENTS, "From the connection to the ack"),
    ("calljournal_push_answer_seconds", Unit::Seconds, &MOMENTS, "From a post of ast-ami to the answer"),
    ("calljournal_store_seconds", Unit::Seconds, &MOMENTS, "Time of a transaction, by name"),
    ("calljournal_accept_batch", Unit::Count, &NUMBERS, "Events made durable by one commit"),
    (
        "calljournal_notice_delivery_seconds",
        Unit::Seconds,
        &PATIENCE,
        "From a notice's cause to its delivery",
    ),
];

/// A phone call waits for the ack, and 250 ms is its default limit.
const MOMENTS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0];

/// A receiver may be away for a day.
const PATIENCE: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 86400.0];

/// Doubled, up to the largest batch.
const NUMBERS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Everything that was counted.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// How often [`Metrics::upkeep`] is due.
    pub const UPKEEP: Duration = Duration::from_secs(5);

    /// What a Prometheus server reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds the samples of histograms that came since the last time; without it they pile up.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Starts the log. `filter` is a level or a filter such as `info,calljournal::feed=debug`.
///
/// # Errors
/// Where `filter` is none. A log that was started before stays as it is.
pub fn log(json: bool, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        anyhow::anyhow!("log.level: {filter:?} is no level and no filter ({e}); write for instance \"info\"")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A process that serves twice, as a test does, has one log.
    let _started_before = if json {
        lines.json().flatten_event(true).finish().try_init()
    } else {
        lines.with_ansi(colour(std::io::stderr().is_terminal())).with_target(false).finish().try_init()
    };
    Ok(())
}

/// Whether to write in colour: on a terminal, and not where `NO_COLOR` says otherwise (no-color.org).
#[must_use]
pub fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Starts to record, once in a process.
///
/// # Errors
/// Where something else in this process records already.
pub fn metrics() -> anyhow::Result<Metrics> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for &(name, _, bounds, _) in HISTOGRAMS {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds).ok()?;
        }
        let handle = builder.install_recorder().ok()?;
        describe();
        Some(handle)
    });
    handle.clone().map(Metrics).ok_or_else(|| anyhow::anyhow!("the metrics recorder could not be installed"))
}

fn describe() {
    for &(name, tells) in COUNTERS {
        metrics::describe_counter!(name, Unit::Count, tells);
    }
    for &(name, unit, tells) in GAUGES {
        metrics::describe_gauge!(name, unit, tells);
    }
    for &(name, unit, _, tells) in HISTOGRAMS {
        metrics::describe_histogram!(name, unit, tells);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_its_description_and_buckets() {
        let handle = metrics().unwrap();
        metrics::counter!("calljournal_spool_events_total").increment(2);
        metrics::histogram!("calljournal_agi_ack_seconds").record(0.004);
        handle.upkeep();
        let text = metrics().unwrap().render();
        assert!(
            text.contains("# HELP calljournal_spool_events_total Events taken in from the spool"),
            "{text}"
        );
        assert!(text.contains("calljournal_agi_ack_seconds_bucket{le=\"0.005\"} 1"), "{text}");
    }

    #[test]
    fn a_filter_that_is_none_is_refused_by_name() {
        let said = log(false, "calljournal=loud").unwrap_err().to_string();
        assert!(said.starts_with("log.level: \"calljournal=loud\""), "{said}");
    }
}
