//! What a configuration must hold beyond its types, each with a sentence that says what to change.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::{Endpoint, Format, Loaded, signing_key};

/// The notices that this version sends.
pub const NOTICES: [&str; 10] = [
    "call.started",
    "call.ringing",
    "call.answered",
    "call.transferred",
    "call.recorded",
    "call.ended",
    "call.corrected",
    "call.merged",
    "feed.down",
    "feed.up",
];

/// The ways that a call goes.
const DIRECTIONS: [&str; 4] = ["inbound", "outbound", "internal", "unknown"];

/// What comes of a call, in the words of Asterisk's CDR.
const DISPOSITIONS: [&str; 5] = ["ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"];

/// Whose things are that were made from this machine, without a token.
pub const LOCAL: &str = "local";

/// Attempts of a schedule, and its longest pause in seconds.
const MOST_TRIES: usize = 32;
const A_WEEK: u64 = 604_800;

/// A hundred years.
const MOST_DAYS: u32 = 36_500;

/// Adds a complaint for each thing that cannot work.
pub(super) fn check(loaded: &Loaded, complaints: &mut Vec<String>) {
    let config = &loaded.config;
    let mut refuse = |key: &str, why: String| complaints.push(format!("{}: {why}", loaded.place(key)));

    let agi = &config.agi;
    if agi.allow.is_empty() {
        refuse("agi.allow", "nobody may connect; name the networks of your Asterisks".to_owned());
    }
    if agi.secret.as_ref().is_some_and(|secret| secret.reveal().is_empty()) {
        refuse("agi.secret", "is empty; leave it out where none is wanted".to_owned());
    }
    if agi.max_connections == 0 {
        refuse("agi.max_connections", "must be at least 1".to_owned());
    }
    if agi.ack_timeout_ms == 0 || agi.ack_timeout_ms >= agi.session_timeout_ms {
        refuse("agi.ack_timeout_ms", "must be at least 1 and below agi.session_timeout_ms".to_owned());
    }
    if agi.prelude_timeout_ms == 0 || agi.prelude_timeout_ms > agi.session_timeout_ms {
        refuse(
            "agi.prelude_timeout_ms",
            "must be at least 1 and not above agi.session_timeout_ms".to_owned(),
        );
    }
    if agi.listen == config.http.listen && agi.listen.port() != 0 {
        refuse("http.listen", format!("{} is agi.listen already; take another port", agi.listen));
    }
    let (scheme, path) = config.store.url.split_once("://").unwrap_or(("sqlite", &config.store.url));
    if !["sqlite", "postgres", "postgresql"].contains(&scheme) || path.is_empty() {
        let why = "must be sqlite:// and the path of a file, as in sqlite://calljournal.db, or \
                   postgres://user:password@host/database";
        refuse("store.url", why.to_owned());
    }
    if config.store.keep_days > MOST_DAYS {
        refuse("store.keep_days", format!("must be at most {MOST_DAYS}; 0 keeps all calls"));
    }
    if config.spool.poll_ms == 0 || config.spool.poll_ms >= config.call.grace_ms {
        let grace = config.call.grace_ms;
        refuse(
            "spool.poll_ms",
            format!(
                "must be at least 1 and below call.grace_ms ({grace}), or a call ends before its spool is read"
            ),
        );
    }
    if config.call.lost_after_s == 0 {
        refuse("call.lost_after_s", "must be at least 1; 14400 is four hours".to_owned());
    }
    if config.call.zone().is_none() {
        let zone = &config.call.timezone;
        refuse(
            "call.timezone",
            format!("no such time zone: {zone}; write \"system\" or a name such as \"Europe/Berlin\""),
        );
    }
    if config.pbx.default.is_empty() || config.pbx.peers.values().any(String::is_empty) {
        refuse("pbx.default", "and the names under pbx.peers may not be empty".to_owned());
    }
    for pattern in &config.numbers.internal {
        if let Err(e) = regex_lite::Regex::new(pattern) {
            refuse("numbers.internal", format!("{pattern:?} is no regular expression: {e}"));
        }
    }
    for trunk in &config.trunk {
        if trunk.channel.is_empty() || trunk.name.is_empty() {
            let what = format!("{:?} named {:?}", trunk.channel, trunk.name);
            refuse("trunk", format!("{what}: give each a channel and a name"));
        }
    }
    let push = &config.push;
    let plain = |secret: &str| secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b));
    if push.secret.as_ref().is_some_and(|s| s.reveal().len() < 16 || !plain(s.reveal())) {
        refuse("push.secret", "is part of an address: write 16 or more of A-Z a-z 0-9 . _ ~ -".to_owned());
    }
    if push.ack_timeout_ms == 0 || push.ack_timeout_ms > 10_000 {
        refuse("push.ack_timeout_ms", "must be from 1 to 10000".to_owned());
    }
    if push.pbx.as_ref().is_some_and(String::is_empty) {
        refuse("push.pbx", "is empty; leave it out where the name is that of [pbx]".to_owned());
    }
    let schedule = &config.delivery.schedule_s;
    if schedule.len() > MOST_TRIES || schedule.iter().any(|s| *s == 0 || *s > A_WEEK) {
        let why = format!("must be {MOST_TRIES} numbers at most, each from 1 to {A_WEEK} (a week)");
        refuse("delivery.schedule_s", why);
    }
    if config.delivery.late_after_s == 0 {
        refuse("delivery.late_after_s", "must be at least 1; 3600 is an hour".to_owned());
    }
    check_amis(loaded, complaints);
    check_sources(loaded, complaints);
    check_endpoints(loaded, complaints);
    check_tokens(loaded, complaints);
}

fn check_amis(loaded: &Loaded, complaints: &mut Vec<String>) {
    let config = &loaded.config;
    let mut names = BTreeSet::new();
    for ami in &config.ami {
        let pbx = ami.pbx.as_ref().unwrap_or(&config.pbx.default);
        let mut refuse = |why: String| complaints.push(format!("[[ami]] {:?}: {why}", ami.host));
        if ami.host.is_empty() || ami.user.is_empty() || ami.secret.reveal().is_empty() {
            refuse("host, user and secret may not be empty".to_owned());
        }
        if pbx.is_empty() || !names.insert(pbx) {
            refuse(format!(
                "there are two for the pbx {pbx:?}; give each its own pbx, as its dialplan names it"
            ));
        }
    }
}

fn check_sources(loaded: &Loaded, complaints: &mut Vec<String>) {
    let mut sources = BTreeSet::new();
    for (n, one) in (1..).zip(&loaded.config.reconcile) {
        // Not by its source, which may hold a password.
        let mut refuse = |why: String| complaints.push(format!("[[reconcile]], the {n}. one: {why}"));
        if one.source.is_empty() || one.pbx.as_ref().is_some_and(String::is_empty) {
            refuse("source and pbx may not be empty".to_owned());
        }
        if !sources.insert((&one.source, &one.table)) {
            refuse("there are two of this source".to_owned());
        }
        if let Some(zone) = one.timezone.as_deref().filter(|zone| !is_zone(zone)) {
            refuse(format!(
                "no such time zone: {zone}; write \"system\" or a name such as \"Europe/Berlin\""
            ));
        }
        if !(60..=A_WEEK).contains(&one.every_s) {
            refuse(format!("every_s must be from 60 to {A_WEEK} (a week)"));
        }
        if one.look_back_days == 0 || one.look_back_days > 366 {
            refuse("look_back_days must be from 1 to 366".to_owned());
        }
    }
}

fn check_tokens(loaded: &Loaded, complaints: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for token in &loaded.config.token {
        let name = &token.name;
        let mut refuse = |why: &str| complaints.push(format!("[[token]] {name:?}: {why}"));
        if !is_plain_name(name) || name == LOCAL {
            refuse("name must be 1 to 64 of A-Z a-z 0-9 . _ - and not \"local\"");
        }
        if !names.insert(name) {
            refuse("there are two of this name; give each its own");
        }
        if token.may.is_empty() {
            refuse("may must name what it is good for: \"subscribe\", \"spool\"");
        }
        if token.secret.reveal().len() < 16 || token.secret.reveal().contains(char::is_whitespace) {
            refuse("secret must have 16 characters or more and no spaces: openssl rand -hex 16");
        }
    }
}

/// Whether a name can stand in an address as it is: 1 to 64 letters, digits, dots, lines and dashes.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn check_endpoints(loaded: &Loaded, complaints: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for endpoint in &loaded.config.notify {
        let name = &endpoint.name;
        let mut refuse = |why: String| complaints.push(format!("[[notify]] {name:?}: {why}"));
        if !names.insert(name) {
            refuse(
                "there are two of this name; deliveries are kept by name, so give each its own".to_owned(),
            );
        }
        complaints_of(endpoint).into_iter().for_each(refuse);
    }
}

/// What cannot work about one receiver, wherever it was written down.
#[must_use]
pub fn complaints_of(endpoint: &Endpoint) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut refuse = |why: String| complaints.push(why);
    if endpoint.name.is_empty() {
        refuse("name must not be empty".to_owned());
    }
    if endpoint.format != Format::Command && !is_absolute(&endpoint.url) {
        refuse("url must be http:// or https:// and a host".to_owned());
    }
    if endpoint.record_url.as_deref().is_some_and(|url| !is_absolute(url)) {
        refuse("record_url must be http:// or https:// and a host".to_owned());
    }
    if let Some(zone) = endpoint.timezone.as_deref().filter(|zone| !is_zone(zone)) {
        refuse(format!("no such time zone: {zone}; write \"system\" or a name such as \"Europe/Berlin\""));
    }
    complaints_of_format(endpoint, &mut refuse);
    if endpoint.timeout_ms == 0 {
        refuse("timeout_ms must be at least 1".to_owned());
    }
    if let Some(why) = endpoint.secret.iter().find_map(|secret| signing_key(secret).err()) {
        refuse(why.to_owned());
    }
    // A word that no call has would have nothing told, and nobody would notice.
    let words: [(&str, &[String], &[&str]); 3] = [
        ("notice", &endpoint.notices, &NOTICES),
        ("direction", &endpoint.direction, &DIRECTIONS),
        ("disposition", &endpoint.disposition, &DISPOSITIONS),
    ];
    for (what, given, known) in words {
        for word in given.iter().filter(|word| !known.contains(&word.as_str())) {
            refuse(format!("no such {what}: {word}; there are {}", known.join(", ")));
        }
    }
    complaints
}

/// What a format needs, and what is of use to another one alone.
fn complaints_of_format(endpoint: &Endpoint, refuse: &mut impl FnMut(String)) {
    let format = endpoint.format;
    let program = endpoint.command.first().is_some_and(|program| !program.is_empty());
    match format {
        Format::Command if !program => {
            refuse("the format \"command\" needs command = [\"/path/of/program\", \"argument\"]".to_owned());
        }
        Format::Command if !endpoint.url.is_empty() => {
            refuse("the format \"command\" posts nothing: leave url out".to_owned());
        }
        Format::Template if endpoint.body.is_none() && !fetches(endpoint) => {
            refuse("the format \"template\" needs body, or method = \"GET\"".to_owned());
        }
        Format::Bitrix24 if !endpoint.url.contains("/rest/") => {
            let how = "https://name.bitrix24.com/rest/1/secret/";
            refuse(format!("url must be that of an incoming webhook, {how}"));
        }
        _ => {}
    }
    if format != Format::Command && !endpoint.command.is_empty() {
        refuse("command is of use with format = \"command\" alone".to_owned());
    }
    let of_template = endpoint.body.is_some() || endpoint.method.is_some() || !endpoint.headers.is_empty();
    if format != Format::Template && of_template {
        refuse("body, method and headers are of use with format = \"template\" alone".to_owned());
    }
}

/// Whether a request carries no body.
fn fetches(endpoint: &Endpoint) -> bool {
    endpoint
        .method
        .as_deref()
        .is_some_and(|method| ["GET", "DELETE"].contains(&method.to_ascii_uppercase().as_str()))
}

/// Whether it is an address with a host.
fn is_absolute(url: &str) -> bool {
    let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

fn is_zone(name: &str) -> bool {
    name == "system" || TimeZone::get(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(change: impl FnOnce(&mut super::super::Config)) -> String {
        let mut loaded = Loaded::default();
        change(&mut loaded.config);
        let mut complaints = Vec::new();
        check(&loaded, &mut complaints);
        complaints.join("\n")
    }

    fn endpoint(name: &str, url: &str, notice: &str) -> super::super::Endpoint {
        let (name, url, notices) = (name.to_owned(), url.to_owned(), vec![notice.to_owned()]);
        super::super::Endpoint { name, url, notices, timeout_ms: 1, ..Default::default() }
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert_eq!(complaints(|_| {}), "");
    }

    #[test]
    fn the_spool_is_read_within_the_grace() {
        let said = complaints(|c| c.spool.poll_ms = 1500);
        assert!(said.starts_with("spool.poll_ms (the default): must be"), "{said}");
    }

    #[test]
    fn what_cannot_work_is_said() {
        assert!(complaints(|c| c.agi.allow.clear()).contains("agi.allow"));
        assert!(complaints(|c| c.agi.ack_timeout_ms = 9000).contains("agi.ack_timeout_ms"));
        assert!(complaints(|c| c.http.listen = c.agi.listen).contains("http.listen"));
        assert!(complaints(|c| c.store.url = "mysql://x".into()).contains("store.url"));
        assert!(complaints(|c| c.store.url = "sqlite://".into()).contains("store.url"));
        assert!(complaints(|c| c.push.ack_timeout_ms = 0).contains("push.ack_timeout_ms"));
        assert!(complaints(|c| c.push.pbx = Some(String::new())).contains("push.pbx"));
        assert!(complaints(|c| c.store.keep_days = 40_000).contains("store.keep_days"));
        assert!(complaints(|c| c.delivery.schedule_s = vec![5, 0]).contains("delivery.schedule_s"));
        assert!(complaints(|c| c.delivery.late_after_s = 0).contains("delivery.late_after_s"));
        assert!(complaints(|c| c.call.timezone = "Mars/Base".into()).contains("Mars/Base"));
        assert!(complaints(|c| c.numbers.internal = vec!["^(1".into()]).contains("numbers.internal"));
        let nameless = super::super::Trunk { channel: "PJSIP/a-*".into(), name: String::new() };
        assert!(complaints(|c| c.trunk = vec![nameless]).contains("PJSIP/a-*"));
    }

    #[test]
    fn each_manager_interface_is_that_of_another_pbx() {
        let ami = |pbx: Option<&str>, user: &str| super::super::Ami {
            host: "127.0.0.1".into(),
            user: user.into(),
            secret: super::super::Secret::new("x"),
            pbx: pbx.map(Into::into),
        };
        let (office, branch) = (ami(None, "journal"), ami(Some("branch"), "journal"));
        assert_eq!(complaints(|c| c.ami = vec![office.clone(), branch]), "");
        assert!(complaints(|c| c.ami = vec![office.clone(), office]).contains("two for the pbx \"default\""));
        assert!(complaints(|c| c.ami = vec![ami(None, "")]).contains("may not be empty"));
    }

    #[test]
    fn a_source_of_records_is_there_once_and_never_shown() {
        let source = |change: &dyn Fn(&mut super::super::Reconcile)| {
            let mut one = super::super::Reconcile::plain("mysql://u:geheim@db/asteriskcdrdb");
            change(&mut one);
            one
        };
        let good = source(&|_| {});
        assert_eq!(complaints(|c| c.reconcile = vec![good.clone()]), "");
        let said = complaints(|c| c.reconcile = vec![good.clone(), good.clone()]);
        assert!(said.contains("two of this source") && !said.contains("geheim"), "{said}");
        assert!(complaints(|c| c.reconcile = vec![source(&|s| s.every_s = 5)]).contains("every_s"));
        assert!(
            complaints(|c| c.reconcile = vec![source(&|s| s.look_back_days = 0)]).contains("look_back_days")
        );
        assert!(
            complaints(|c| c.reconcile = vec![source(&|s| s.source.clear())]).contains("may not be empty")
        );
        let zone = source(&|s| s.timezone = Some("Mars/Base".into()));
        assert!(complaints(|c| c.reconcile = vec![zone.clone()]).contains("Mars/Base"));
    }

    #[test]
    fn a_token_has_a_name_of_its_own_and_cannot_be_guessed() {
        let token = |name: &str, secret: &str| super::super::Token {
            name: name.into(),
            secret: super::super::Secret::new(secret),
            may: vec![super::super::Right::Spool],
        };
        let good = token("crm", "0123456789abcdef");
        assert_eq!(complaints(|c| c.token = vec![good.clone()]), "");
        assert!(complaints(|c| c.token = vec![good.clone(), good.clone()]).contains("two of this name"));
        for bad in [token("crm", "short"), token("crm", "0123456789 abcdef")] {
            assert!(complaints(|c| c.token = vec![bad]).contains("secret must"));
        }
        let useless = super::super::Token { may: Vec::new(), ..good.clone() };
        assert!(complaints(|c| c.token = vec![useless]).contains("may must name"));
        for name in ["", "local", "a b", "../x", &"a".repeat(65)] {
            assert!(complaints(|c| c.token = vec![token(name, "0123456789abcdef")]).contains("name must"));
        }
    }

    #[test]
    fn receivers_have_their_own_names_real_addresses_and_known_notices() {
        let good = endpoint("crm", "https://crm.example.com/x", "call.ended");
        assert_eq!(complaints(|c| c.notify = vec![good.clone()]), "");
        assert!(complaints(|c| c.notify = vec![good.clone(), good.clone()]).contains("two of this name"));
        for secret in ["", "whsec_", "hunter2", "whsec_c2hvcnQ="] {
            let short =
                super::super::Endpoint { secret: vec![super::super::Secret::new(secret)], ..good.clone() };
            let said = complaints(|c| c.notify = vec![short]);
            assert!(said.contains("secret must be whsec_") && !said.contains("hunter2"), "{said}");
        }
        for url in ["ftp://x/", "http://", "https:///x", "crm"] {
            assert!(
                complaints(|c| c.notify = vec![endpoint("a", url, "call.ended")]).contains("url"),
                "{url}"
            );
        }
        assert!(
            complaints(|c| c.notify = vec![endpoint("a", "http://a/", "call.over")]).contains("call.over")
        );
        for word in ["incoming", "NOANSWER"] {
            let mut wrong = good.clone();
            match word {
                "incoming" => wrong.direction = vec![word.to_owned()],
                _ => wrong.disposition = vec![word.to_owned()],
            }
            let said = complaints(|c| c.notify = vec![wrong]);
            assert!(said.contains(word) && said.contains("there are"), "{said}");
        }
    }

    #[test]
    fn a_format_gets_what_it_needs_and_nothing_of_another_one() {
        let said = |change: &dyn Fn(&mut Endpoint)| {
            let mut given = endpoint("a", "https://a/", "call.ended");
            change(&mut given);
            complaints_of(&given).join("; ")
        };
        let command = |e: &mut Endpoint| (e.format, e.url) = (Format::Command, String::new());
        assert!(said(&command).contains("needs command"));
        let program = |e: &mut Endpoint| e.command = vec!["/bin/true".to_owned()];
        assert_eq!(said(&|e| (command(e), program(e)).0), "");
        assert!(said(&|e| (program(e), e.format = Format::Command).0).contains("leave url out"));
        assert!(said(&program).contains("format = \"command\" alone"));
        assert!(said(&|e| e.format = Format::Template).contains("needs body"));
        assert_eq!(said(&|e| (e.format, e.method) = (Format::Template, Some("get".to_owned()))), "");
        assert!(said(&|e| e.body = Some("x".to_owned())).contains("format = \"template\" alone"));
        assert!(said(&|e| e.format = Format::Bitrix24).contains("incoming webhook"));
        assert!(said(&|e| e.record_url = Some("/rec".to_owned())).contains("record_url"));
        assert!(said(&|e| e.timezone = Some("Mars/Base".to_owned())).contains("Mars/Base"));
    }
}
