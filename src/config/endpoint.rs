//! `[[notify]]`: one receiver of notices, what it wants to hear, and in which form.
//!
//! Knows the keys alone. What each format sends is `notify`'s, who is told of which call is `intake`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::{Call, Secret};

/// `[[notify]]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The endpoint's name: what was to be delivered is kept under it.
    pub name: String,
    /// Where to post: `http://` or `https://`. Empty for [`Format::Command`] alone.
    #[serde(default)]
    pub url: String,
    /// In which form.
    #[serde(default)]
    pub format: Format,
    /// Kinds of notices that are wanted.
    #[serde(default = "call_ended")]
    pub notices: Vec<String>,
    /// Whether corrections and merges come with `call.ended`.
    #[serde(default = "yes")]
    pub corrections: bool,
    /// Only calls of these organisations; empty for all, as are the next three.
    #[serde(default)]
    pub org: Vec<String>,
    /// Only `inbound`, `outbound`, `internal`, `unknown` ones.
    #[serde(default)]
    pub direction: Vec<String>,
    /// Only calls over these trunks.
    #[serde(default)]
    pub trunk: Vec<String>,
    /// Only calls with these dispositions, in the words of Asterisk's CDR.
    #[serde(default)]
    pub disposition: Vec<String>,
    /// Only calls from outside that nobody answered.
    #[serde(default)]
    pub missed: bool,
    /// Only calls with at least so many seconds of talking.
    #[serde(default)]
    pub min_talk_s: u64,
    /// Language of the story, `en` or `ru`; where it is not set, that of `[call]`.
    #[serde(default)]
    pub locale: Option<String>,
    /// Zone in which the receiver reads times that carry none, `system` or an IANA name; where it is not set, that of
    /// `[call]`.
    #[serde(default)]
    pub timezone: Option<String>,
    /// The address below which recordings can be fetched.
    #[serde(default)]
    pub record_url: Option<String>,
    /// What [`Format::Standard`] signs with: `whsec_` and base64. Of several, while one replaces the other, each signs.
    #[serde(default, deserialize_with = "one_or_more")]
    pub secret: Vec<Secret>,
    /// What the receiver wants to see of us.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// A certificate authority of one's own, as PEM; it counts beside those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// `http://host:port` of a proxy that leads to the receiver.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Time limit of one attempt, in milliseconds.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
    /// [`Format::Bitrix24`]: what it does not say by itself.
    #[serde(default)]
    pub bitrix24: Option<Bitrix24>,
    /// [`Format::Template`]: the request's method.
    #[serde(default)]
    pub method: Option<String>,
    /// [`Format::Template`]: headers, each value a template.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// [`Format::Template`]: the body, a template.
    #[serde(default)]
    pub body: Option<String>,
    /// [`Format::Command`]: the program and its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// The networks that it may be in beside public addresses, for one that subscribed over HTTP. `None`, for those of
    /// the configuration file: it may be anywhere.
    #[serde(skip)]
    pub reach: Option<Vec<IpNet>>,
}

impl Endpoint {
    /// Takes over what is said for all, where it says nothing of its own.
    pub fn inherit(&mut self, call: &Call) {
        self.timezone.get_or_insert_with(|| call.timezone.clone());
        self.locale.get_or_insert_with(|| call.locale.clone());
    }
}

/// In which form a receiver is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Our own JSON, signed as standardwebhooks.com has it.
    #[default]
    Standard,
    /// What receivers of ast-cdr are used to.
    AstCdr,
    /// The wider event format that providers of virtual pbxes send.
    Vpbx,
    /// The telephony methods of Bitrix24's REST interface.
    Bitrix24,
    /// The administrator's own URL, headers and body.
    Template,
    /// A program that is run.
    Command,
}

/// Of [`Format::Bitrix24`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bitrix24 {
    /// The user who gets calls that no own phone had to do with; where it is not set, they are not registered.
    #[serde(default)]
    pub user_id: Option<u64>,
    /// Whether the CRM makes a contact or lead for a number that it does not know.
    #[serde(default)]
    pub crm_create: bool,
}

/// How a receiver knows us.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Basic`
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// `Authorization: Bearer`
    Bearer {
        /// The token.
        token: Secret,
    },
    /// A header of the receiver's choice.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: Secret,
    },
    /// A field at the top of the JSON that is posted.
    Body {
        /// The field's name.
        name: String,
        /// Its value.
        value: Secret,
    },
}

/// Bytes of a key to sign with, as standardwebhooks.com has it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key to sign with that a secret says: base64, mostly behind `whsec_`.
///
/// # Errors
/// What is wrong with it, without showing it.
pub fn signing_key(secret: &Secret) -> Result<Vec<u8>, &'static str> {
    let text = secret.reveal().trim();
    let key = BASE64.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok();
    key.filter(|key| KEY_BYTES.contains(&key.len())).ok_or(
        "secret must be whsec_ and 24 to 64 bytes in base64; to make one: \
         echo whsec_$(head -c 32 /dev/urandom | base64)",
    )
}

fn call_ended() -> Vec<String> {
    vec!["call.ended".to_owned()]
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> u64 {
    10_000
}

/// `secret = "…"`, or several in brackets.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(Secret),
        More(Vec<Secret>),
    }
    Ok(match Given::deserialize(from)? {
        Given::One(secret) => vec![secret],
        Given::More(secrets) => secrets,
    })
}
