//! What an administrator may set, section by section, and what holds where nothing is set.
//!
//! `asset/default.toml` is the documentation of every key and the default at once: it is read first, then the
//! administrator's file, then `CALLJOURNAL_SECTION__KEY` of the environment. Knows nothing of what the keys do.
//!
//! - this file: the keys as types, but for [`Endpoint`]
//! - `load.rs`: the layers, and what is refused with which words
//! - `rules.rs`: what must hold beyond the types
//! - `schema.rs`: which keys there are

mod endpoint;
mod load;
mod rules;
mod schema;

pub use endpoint::{Auth, Bitrix24, Endpoint, Format, signing_key};
pub use load::{Loaded, Refused, load};
pub use rules::{LOCAL, NOTICES, complaints_of, is_plain_name};

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// Every key with its meaning and its default.
pub const DEFAULTS: &str = include_str!("../asset/default.toml");

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The FastAGI listener.
    pub agi: Agi,
    /// Health and metrics.
    pub http: Http,
    /// The database.
    pub store: Store,
    /// The files that the dialplan writes while the server is away.
    pub spool: Spool,
    /// When a call is over.
    pub call: Call,
    /// Which numbers are the company's own.
    pub numbers: Numbers,
    /// The lines to the outside.
    #[serde(default)]
    pub trunk: Vec<Trunk>,
    /// How logs are written.
    pub log: Log,
    /// Names of pbxes that do not name themselves.
    pub pbx: Pbx,
    /// What ast-ami posts.
    pub push: Push,
    /// The manager interfaces that are listened to.
    #[serde(default)]
    pub ami: Vec<Ami>,
    /// When a feed is down.
    pub feeds: Feeds,
    /// Asterisk's own records that the journal is held against.
    #[serde(default)]
    pub reconcile: Vec<Reconcile>,
    /// How notices are delivered.
    pub delivery: Delivery,
    /// Where notices go.
    #[serde(default)]
    pub notify: Vec<Endpoint>,
    /// Receivers that make themselves known over HTTP.
    pub subscribe: Subscribe,
    /// Who may use the HTTP interface from other machines.
    #[serde(default)]
    pub token: Vec<Token>,
}

impl Default for Config {
    /// What holds where nothing is set: `asset/default.toml`.
    fn default() -> Config {
        #[allow(clippy::expect_used)] // the text is part of the program, and a test reads it
        toml::from_str(DEFAULTS).expect("default.toml holds every key")
    }
}

impl Config {
    /// What a receiver does not say for itself is as `[call]` has it.
    fn inherit(&mut self) {
        for endpoint in &mut self.notify {
            endpoint.inherit(&self.call);
        }
    }
}

/// `[agi]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agi {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Networks that may connect.
    pub allow: Vec<IpNet>,
    /// What the dialplan must send as `secret`, where one is wanted.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// From the connection to the ack, in milliseconds; later the peer gets `FAILURE` and writes to its spool.
    pub ack_timeout_ms: u64,
    /// From the connection to the end of the prelude, in milliseconds.
    pub prelude_timeout_ms: u64,
    /// From the connection to the end of the session, in milliseconds.
    pub session_timeout_ms: u64,
    /// Sessions at one time.
    pub max_connections: usize,
    /// Whether Asterisk's own `agi_*` lines are kept with each event.
    pub keep_lines: bool,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
}

/// `[delivery]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Seconds to wait after the first failed attempt, the second, and so on; after one more the notice is dead.
    pub schedule_s: Vec<u64>,
    /// Seconds after which a notice that waits for a receiver that is not held makes the server's health `degraded`.
    pub late_after_s: u64,
}

/// `[feeds]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feeds {
    /// Seconds that a connection is away before its feed is down.
    pub down_after_s: u64,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://path` or `postgres://user:password@host/database`; never shown as it is.
    pub url: String,
    /// Calls that ended more days ago are forgotten; 0 keeps all.
    pub keep_days: u32,
}

/// `[spool]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Directory that the dialplan writes to.
    pub dir: PathBuf,
    /// How often it is looked at, in milliseconds; kept below the grace.
    pub poll_ms: u64,
    /// Files wholly taken in and untouched for so many hours are deleted; 0 keeps them.
    pub delete_after_hours: u64,
}

/// The command that makes the spool directory as it should be: Asterisk and this server both write there, and
/// nobody else.
#[must_use]
pub fn make_spool(dir: &Path) -> String {
    format!("install -d -m 2770 -o asterisk -g asterisk {}", dir.display())
}

/// `[call]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// How long after the last end nothing may join before the call counts as over, in milliseconds.
    pub grace_ms: u64,
    /// How long a missing event of a channel is waited for, in milliseconds.
    pub gap_ms: u64,
    /// A call of which nothing is heard for so many seconds ends as unknown.
    pub lost_after_s: u64,
    /// How long a channel is silent before its Asterisk is asked whether it lives, in seconds; 0 asks nothing.
    pub ask_after_s: u64,
    /// Language of the story.
    pub locale: String,
    /// Time zone in which people read times: `system` or an IANA name.
    pub timezone: String,
}

impl Call {
    /// The time zone that `timezone` names; `None` where there is no such zone.
    #[must_use]
    pub fn zone(&self) -> Option<TimeZone> {
        match self.timezone.as_str() {
            "system" => Some(TimeZone::system()),
            name => TimeZone::get(name).ok(),
        }
    }
}

/// `[numbers]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// Regular expressions for the company's own numbers.
    pub internal: Vec<String>,
}

/// `[[trunk]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// The names of its channels; `*` stands for any text.
    pub channel: String,
    /// The line's name for people.
    pub name: String,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A level or a filter such as `calljournal=debug`.
    pub level: String,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[pbx]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pbx {
    /// The name of a pbx that neither says one nor is listed under `peers`.
    pub default: String,
    /// Names by the address from which a pbx connects.
    #[serde(default)]
    pub peers: std::collections::BTreeMap<IpAddr, String>,
}

/// `[push]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Whether posts are taken at all.
    pub enabled: bool,
    /// The pbx that ast-ami listens to, where that is not the default.
    #[serde(default)]
    pub pbx: Option<String>,
    /// Networks that may post, beside this machine itself.
    pub allow: Vec<IpNet>,
    /// Who knows it may post from anywhere, under `/push/SECRET`.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// From the post to the answer, in milliseconds; later the answer is that it could not be saved.
    pub ack_timeout_ms: u64,
}

/// `[[ami]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ami {
    /// Where it listens: an address or a name, with a port where that is not 5038.
    pub host: String,
    /// The user in manager.conf.
    pub user: String,
    /// The user's secret, which is never sent as it is.
    pub secret: Secret,
    /// The pbx that it is, where that is not the default.
    #[serde(default)]
    pub pbx: Option<String>,
}

/// `[[reconcile]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// A file or the URL of a database; never shown as it is.
    pub source: String,
    /// The pbx that wrote it, where that is not the default.
    #[serde(default)]
    pub pbx: Option<String>,
    /// The zone of its times, where that is not the one of `[call]`.
    #[serde(default)]
    pub timezone: Option<String>,
    /// The names of a file's columns in their order, where they are not known by themselves.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Tables of a database; `cdr` and `cel` where none is named.
    #[serde(default)]
    pub table: Vec<String>,
    /// Seconds from one run of the server to the next.
    #[serde(default = "an_hour")]
    pub every_s: u64,
    /// Days that each run looks back.
    #[serde(default = "two_days")]
    pub look_back_days: u32,
}

fn an_hour() -> u64 {
    3600
}

fn two_days() -> u32 {
    2
}

impl Reconcile {
    /// A source of which nothing is known but where it is.
    #[must_use]
    pub fn plain(source: &str) -> Reconcile {
        Reconcile {
            source: source.to_owned(),
            pbx: None,
            timezone: None,
            columns: None,
            table: Vec::new(),
            every_s: an_hour(),
            look_back_days: two_days(),
        }
    }
}

/// `[subscribe]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Networks that a receiver may be in, beside public addresses.
    pub reach: Vec<IpNet>,
    /// Receivers that one token may have.
    pub most: usize,
}

/// `[[token]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is: what was made with it belongs to this name.
    pub name: String,
    /// What is sent as `Authorization: Bearer`.
    pub secret: Secret,
    /// What it lets its holder do.
    #[serde(default = "subscribing")]
    pub may: Vec<Right>,
}

/// What a token may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// To ask to be told of calls.
    Subscribe,
    /// To bring the spool of another host.
    Spool,
}

fn subscribing() -> Vec<Right> {
    vec![Right::Subscribe]
}

/// A text that never appears in a log, an error or a debug print.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A text that is one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that compares or sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}
