//! One row of Asterisk's CDR or of its channel event log (CEL), by the names of its columns, to an event. Pure.
//!
//! Knows which names the backends give a column (`calldate` of FreePBX and `start` of the CSV file are one) and how
//! each writes a time. A column that is not there says nothing; text is cleaned like any other from outside. What
//! rows mean for a call is not known here: that is `call/records.rs`.
//!
//! The token comes from what every backend writes alike, in whole seconds: the same row read from the CSV file and
//! from a database is one event.

use std::collections::HashMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::event::{self, Event, Facts, Feed, Kind, Token, clean};

/// What the rows of a table or a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Call detail records: one row for each pair of channels that had to do with each other.
    Cdr,
    /// Channel events: one row for each thing that happened to a channel.
    Cel,
}

/// Which column is where.
#[derive(Debug, Clone)]
pub struct Layout {
    /// What the rows are.
    pub sort: Sort,
    places: HashMap<&'static str, usize>,
    width: usize,
}

/// Every column that is used, with the names that backends have for it.
const COLUMNS: [(&str, &[&str]); 31] = [
    ("start", &["start", "calldate", "starttime"]),
    ("answer", &["answer", "answerdate"]),
    ("end", &["end", "hangupdate"]),
    ("clid", &["clid", "callerid"]),
    ("src", &["src"]),
    ("dst", &["dst"]),
    ("dcontext", &["dcontext"]),
    ("channel", &["channel", "channame"]),
    ("dstchannel", &["dstchannel"]),
    ("lastapp", &["lastapp"]),
    ("lastdata", &["lastdata"]),
    ("duration", &["duration"]),
    ("billsec", &["billsec"]),
    ("disposition", &["disposition"]),
    ("accountcode", &["accountcode"]),
    ("uniqueid", &["uniqueid"]),
    ("linkedid", &["linkedid"]),
    ("sequence", &["sequence"]),
    ("userfield", &["userfield"]),
    ("did", &["did"]),
    ("recordingfile", &["recordingfile", "recording"]),
    ("cnum", &["cnum"]),
    ("cnam", &["cnam"]),
    ("eventtype", &["eventtype", "event"]),
    ("eventtime", &["eventtime"]),
    ("cidnum", &["cid_num", "cidnum"]),
    ("cidname", &["cid_name", "cidname"]),
    ("exten", &["exten"]),
    ("context", &["context"]),
    ("appname", &["appname"]),
    ("extra", &["extra", "eventextra"]),
];

/// What else rows have, of which nothing is told.
const UNUSED: [&str; 16] = [
    "amaflags",
    "peeraccount",
    "outbound_cnum",
    "outbound_cnam",
    "dst_cnam",
    "id",
    "acctid",
    "cid_ani",
    "cidani",
    "cid_rdnis",
    "cidrdnis",
    "cid_dnid",
    "ciddnid",
    "peer",
    "userdeftype",
    "appdata",
];

/// What a row does not say of itself.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The pbx that wrote it.
    pub pbx: String,
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// When it is read, by our clock.
    pub at: Timestamp,
}

/// Why a row is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its time is missing, or is written in no way that is known.
    #[error("it has no time that can be read")]
    Time,
    /// It is of no channel.
    #[error("it names no channel")]
    Channel,
    /// It has no type of event.
    #[error("it names no event")]
    Event,
}

impl Layout {
    /// The columns of these names, in this order; `None` where they are neither those of a CDR nor of CEL.
    pub fn of<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Option<Layout> {
        let (mut places, mut width) = (HashMap::new(), 0);
        for (place, name) in names.into_iter().enumerate() {
            width = place + 1;
            if let Some(known) = known(name.as_ref()) {
                places.entry(known).or_insert(place);
            }
        }
        let has = |name| places.contains_key(name);
        let sort = if has("eventtype") && has("eventtime") && has("uniqueid") {
            Sort::Cel
        } else if has("start") && has("channel") {
            Sort::Cdr
        } else {
            return None;
        };
        Some(Layout { sort, places, width })
    }

    /// A print of what a row of CEL says beside what its token comes from, and backends write alike; 0 of any other.
    pub(super) fn more(&self, cells: &[&[u8]]) -> u64 {
        let extra = self.places.get("extra").filter(|_| self.sort == Sort::Cel);
        let extra = extra.and_then(|place| cells.get(*place)).filter(|extra| !extra.is_empty());
        extra.map_or(0, |extra| {
            Sha256::digest(extra).iter().take(8).fold(0, |all, b| all << 8 | u64::from(*b))
        })
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether anything is told of a column of this name.
    #[must_use]
    pub fn uses(name: &str) -> bool {
        known(name).is_some()
    }

    /// Where the time of a row is.
    #[must_use]
    pub fn time(&self) -> Option<usize> {
        let name = match self.sort {
            Sort::Cdr => "start",
            Sort::Cel => "eventtime",
        };
        self.places.get(name).copied()
    }

    /// Whether a cell is a name of a column, as in the first line of a file that has headings.
    #[must_use]
    pub fn is_name(cell: &str) -> bool {
        known(cell).is_some() || UNUSED.contains(&cell.trim().to_ascii_lowercase().as_str())
    }

    /// Reads one row of so many cells.
    ///
    /// # Errors
    /// [`Unreadable`] where time or channel are missing.
    pub fn event(&self, cells: &[&[u8]], reading: &Reading) -> Result<Event, Unreadable> {
        let row = Row { layout: self, cells, reading };
        match self.sort {
            Sort::Cdr => row.cdr(),
            Sort::Cel => row.cel(),
        }
    }
}

fn known(name: &str) -> Option<&'static str> {
    let name = name.trim().to_ascii_lowercase();
    COLUMNS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(known, _)| *known)
}

struct Row<'a> {
    layout: &'a Layout,
    cells: &'a [&'a [u8]],
    reading: &'a Reading,
}

impl Row<'_> {
    /// The text of a column; `None` where it is not there, or empty.
    fn text(&self, name: &str) -> Option<String> {
        let cell = self.layout.places.get(name).and_then(|place| self.cells.get(*place))?;
        Some(clean(cell)).filter(|text| !text.is_empty())
    }

    fn seconds(&self, name: &str) -> Option<SignedDuration> {
        let text = self.text(name)?;
        let seconds: f64 = text.parse().ok().filter(|s: &f64| (0.0..=1e8).contains(s))?;
        SignedDuration::try_from_secs_f64(seconds).ok()
    }

    fn time(&self, name: &str, near: Option<Timestamp>) -> Option<Timestamp> {
        let at = time(&self.text(name)?, &self.reading.zone, near)?;
        let latest = self.reading.at.saturating_add(SignedDuration::from_hours(24)).ok()?;
        (at.as_second() >= EARLIEST && at <= latest).then_some(at)
    }

    fn facts(&self, wanted: &[(&str, &str)]) -> Facts {
        wanted.iter().filter_map(|(fact, column)| Some(((*fact).to_owned(), self.text(column)?))).collect()
    }

    fn cdr(&self) -> Result<Event, Unreadable> {
        let channel = self.text("channel").ok_or(Unreadable::Channel)?;
        let own = self.text("uniqueid");
        let born = own.as_deref().and_then(event::born);
        let start = self.time("start", born).ok_or(Unreadable::Time)?;
        let end = self.time("end", Some(start)).or_else(|| start.checked_add(self.seconds("duration")?).ok());
        let end = end.unwrap_or(start).max(start);
        let answered = self.text("disposition").is_some_and(|word| is_answered(&word));
        let answer = answered.then(|| {
            let told = self.time("answer", Some(start));
            let counted = || end.checked_sub(self.seconds("billsec")?).ok();
            told.or_else(counted).unwrap_or(end).clamp(start, end)
        });
        let mut facts = self.facts(&[
            ("src", "src"),
            ("clid", "clid"),
            ("dst", "dst"),
            ("ctx", "dcontext"),
            ("dstchannel", "dstchannel"),
            ("lastapp", "lastapp"),
            ("lastdata", "lastdata"),
            ("billsec", "billsec"),
            ("disposition", "disposition"),
            ("acct", "accountcode"),
            ("sequence", "sequence"),
            ("userfield", "userfield"),
            ("did", "did"),
            ("file", "recordingfile"),
            ("num", "cnum"),
            ("name", "cnam"),
        ]);
        if !self.layout.places.contains_key("src") {
            facts.extend(facts.get("clid").and_then(|clid| number(clid)).map(|src| ("src".to_owned(), src)));
        }
        if let Some(word) = facts.get_mut("disposition") {
            *word = disposition(word).to_owned();
        }
        facts.insert("end".to_owned(), end.as_microsecond().to_string());
        facts.extend(answer.map(|at| ("answer".to_owned(), at.as_microsecond().to_string())));
        let (app, data) = (facts.get("lastapp"), facts.get("lastdata"));
        let step = app.and_then(|app| step(app, data.map_or("", String::as_str)));
        if let Some((step, name)) = step {
            facts.extend([("step".to_owned(), step.to_owned()), ("stepname".to_owned(), name)]);
        }
        // Not the end: a backend that has none has the start and a length, both cut to whole seconds.
        let length = self.seconds("duration").map(|length| length.as_secs().to_string());
        let fact = |name: &str| facts.get(name).map_or("", String::as_str);
        let hash = hash(&[
            own.as_deref().unwrap_or_default(),
            &start.as_second().to_string(),
            length.as_deref().unwrap_or_default(),
            &channel,
            fact("dstchannel"),
            fact("disposition"),
        ]);
        // `cdr_csv` writes no uniqueid unless it is told to: then each row is a call of its own.
        let uid = own.unwrap_or_else(|| made_up(start, &hash));
        let linkedid = self.text("linkedid").unwrap_or_else(|| uid.clone());
        let token = token("cdr", &uid, "0", &hash);
        Ok(self.told(Feed::Cdr, Kind::Note, token, uid, linkedid, channel, start, facts))
    }

    fn cel(&self) -> Result<Event, Unreadable> {
        let uid = self.text("uniqueid").ok_or(Unreadable::Channel)?;
        let what = self.text("eventtype").ok_or(Unreadable::Event)?;
        let what = happened(&what).to_ascii_uppercase();
        let at = self.time("eventtime", event::born(&uid)).ok_or(Unreadable::Time)?;
        let linkedid = self.text("linkedid").unwrap_or_else(|| uid.clone());
        let channel = self.text("channel").unwrap_or_default();
        let extra =
            self.text("extra").and_then(|extra| serde_json::from_str::<serde_json::Value>(&extra).ok());
        let extra = |name: &str| {
            let value = extra.as_ref()?.get(name)?;
            let text =
                value.as_str().map(ToOwned::to_owned).or_else(|| value.as_i64().map(|n| n.to_string()))?;
            Some(clean(text.as_bytes())).filter(|text| !text.is_empty())
        };
        let mut facts = self.facts(&[("num", "cidnum"), ("name", "cidname"), ("acct", "accountcode")]);
        let mut put = |name: &str, value: Option<String>| {
            facts.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("cel", Some(what.clone()));
        let exten = self.text("exten").filter(|exten| exten != "s");
        let (mut of, mut name) = (uid.clone(), channel.clone());
        let (rank, kind) = match what.as_str() {
            "CHAN_START" if exten.is_some() || uid == linkedid => {
                put("exten", exten);
                put("ctx", self.text("context"));
                ("0", Kind::Start)
            }
            "CHAN_START" => {
                // Whoever dialled had this linkedid then, and mostly this uniqueid.
                put("caller", Some(linkedid.clone()));
                ("0", Kind::Ring)
            }
            "ANSWER" if exten.is_none() || uid != linkedid => ("1", Kind::Answer),
            "APP_START" => {
                let step = self.text("appname").and_then(|app| step(&app, ""));
                put("step", step.map(|(step, _)| step.to_owned()));
                ("2", Kind::Note)
            }
            "BLINDTRANSFER" => {
                let whom = extra("transferee_channel_uniqueid").zip(extra("transferee_channel_name"));
                put("by", Some(channel.clone()));
                put("exten", extra("extension"));
                put("ctx", extra("context"));
                match whom {
                    Some(whom) => {
                        (of, name) = whom;
                        ("3", Kind::Transfer)
                    }
                    None => ("3", Kind::Note),
                }
            }
            "ATTENDEDTRANSFER" => {
                let to = extra("transfer_target_channel_name").or_else(|| extra("channel2_name"));
                put("attendedtransfer", extra("transferee_channel_name").or(to));
                ("3", Kind::Note)
            }
            "HANGUP" | "CHAN_END" => {
                put("cause", extra("hangupcause"));
                put("hangupsource", extra("hangupsource"));
                put("dialstatus", extra("dialstatus"));
                (if what == "HANGUP" { "4" } else { "5" }, Kind::Hangup)
            }
            _ => ("6", Kind::Note),
        };
        let hash = hash(&[
            &what,
            &uid,
            &at.as_second().to_string(),
            &channel,
            self.text("appname").as_deref().unwrap_or(""),
        ]);
        let token = token("cel", &uid, rank, &hash);
        Ok(self.told(Feed::Cel, kind, token, of, linkedid, name, at, facts))
    }

    #[allow(clippy::too_many_arguments)] // the fields of an event
    fn told(
        &self,
        feed: Feed,
        kind: Kind,
        token: Token,
        uid: String,
        linkedid: String,
        channel: String,
        at: Timestamp,
        facts: Facts,
    ) -> Event {
        Event {
            token,
            feed,
            kind,
            pbx: self.reading.pbx.clone(),
            uid,
            linkedid,
            root: None,
            seq: None,
            at,
            timed: true,
            received: self.reading.at,
            channel,
            facts,
            agi: Facts::new(),
        }
    }
}

/// Nothing happened before 2000-01-01. Seconds of the Unix epoch.
const EARLIEST: i64 = 946_684_800;

/// A time as a backend writes it: with an offset, as seconds of the epoch, or in `zone`. Of a time that is there
/// twice, when clocks are set back, the one that is next to `near` is meant.
fn time(text: &str, zone: &TimeZone, near: Option<Timestamp>) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(at) = epoch(text) {
        return Some(at);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let local: DateTime = text.parse().ok()?;
    let zoned = zone.to_ambiguous_zoned(local);
    let earlier = zoned.clone().earlier().ok()?.timestamp();
    let (Some(near), true) = (near, zoned.is_ambiguous()) else { return Some(earlier) };
    let later = zoned.later().ok()?.timestamp();
    let off = |at: Timestamp| at.duration_since(near).unsigned_abs();
    Some(if off(later) < off(earlier) { later } else { earlier })
}

fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || seconds.len() > 11 {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Timestamp::from_microsecond(seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?)
        .ok()
}

/// A database may have Asterisk's number in place of the word.
fn disposition(word: &str) -> &str {
    match word {
        "0" | "1" => "NO ANSWER",
        "2" => "FAILED",
        "4" => "BUSY",
        "8" => "ANSWERED",
        "16" => "CONGESTION",
        word => word,
    }
}

/// A database may have the number of an event in place of its name, as Asterisk counts them since version 12.
fn happened(word: &str) -> &str {
    match word {
        "1" => "CHAN_START",
        "2" => "CHAN_END",
        "3" => "HANGUP",
        "4" => "ANSWER",
        "5" => "APP_START",
        "6" => "APP_END",
        "7" => "BRIDGE_ENTER",
        "8" => "BRIDGE_EXIT",
        "9" => "PARK_START",
        "10" => "PARK_END",
        "11" => "BLINDTRANSFER",
        "12" => "ATTENDEDTRANSFER",
        "13" => "USER_DEFINED",
        "14" => "LINKEDID_END",
        "15" => "PICKUP",
        "16" => "FORWARD",
        "17" => "LOCAL_OPTIMIZE",
        "18" => "LOCAL_OPTIMIZE_BEGIN",
        word => word,
    }
}

/// The number of `"Ivan" <79190000000>`: the sample of `cdr_sqlite3_custom` has no column of its own for it.
fn number(clid: &str) -> Option<String> {
    let (_, number) = clid.strip_suffix('>')?.rsplit_once('<')?;
    Some(number.to_owned()).filter(|number| !number.is_empty())
}

fn is_answered(word: &str) -> bool {
    disposition(word).eq_ignore_ascii_case("ANSWERED")
}

/// The step that an application is, by the words of the dialplan's notes, and its name.
fn step(app: &str, data: &str) -> Option<(&'static str, String)> {
    let name = data.split([',', '|', '@', '&']).next().unwrap_or_default().trim().to_owned();
    match app.to_ascii_lowercase().as_str() {
        "queue" => Some(("queue", name)),
        "voicemail" => Some(("voicemail", name)),
        "confbridge" | "meetme" => Some(("conference", name)),
        _ => None,
    }
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// A uniqueid for a row that has none: `cdr-EPOCH.SERIAL`, a form that Asterisk itself uses with a system's name.
fn made_up(start: Timestamp, hash: &str) -> String {
    let serial = u32::from_str_radix(hash.get(..8).unwrap_or("0"), 16).unwrap_or_default();
    format!("cdr-{}.{serial}", start.as_second())
}

/// The token of the `nth` row, from 2, of those that have `token`.
pub(super) fn next_of(token: &Token, nth: usize) -> Token {
    Token::try_from(format!("{token}-{nth}")).unwrap_or_else(|_| token.clone())
}

fn token(sort: &str, uid: &str, rank: &str, hash: &str) -> Token {
    let plain: String =
        uid.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(60).collect();
    #[allow(clippy::expect_used)] // filtered and cut in the lines above
    Token::try_from(format!("{sort}-{plain}-{rank}-{hash}")).expect("a token's own letters")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(names: &[&str], cells: &[&str]) -> Result<Event, Unreadable> {
        let reading = Reading {
            pbx: "test".to_owned(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            at: "2026-11-27T00:00:00Z".parse().unwrap(),
        };
        let cells: Vec<&[u8]> = cells.iter().map(|cell| cell.as_bytes()).collect();
        Layout::of(names).unwrap().event(&cells, &reading)
    }

    #[test]
    fn a_time_is_read_however_a_database_writes_it() {
        for (text, at) in [
            ("2026-11-26 01:16:25", "2026-11-26T00:16:25Z"),
            ("2026-11-26 01:16:25.125", "2026-11-26T00:16:25.125Z"),
            ("2026-11-26T01:16:25", "2026-11-26T00:16:25Z"),
            ("2026-11-26 00:16:25+00", "2026-11-26T00:16:25Z"),
            ("2026-11-26 09:16:25.125+09", "2026-11-26T00:16:25.125Z"),
            ("2026-11-26 05:46:25+05:30", "2026-11-26T00:16:25Z"),
            ("1795652185", "2026-11-26T00:16:25Z"),
            ("1795652185.125", "2026-11-26T00:16:25.125Z"),
        ] {
            let event = read(&["calldate", "channel"], &[text, "PJSIP/101-1"]);
            assert_eq!(event.unwrap().at, at.parse::<Timestamp>().unwrap(), "{text}");
        }
        for never in
            ["", "0000-00-00 00:00:00", "1970-01-01 00:00:00", "infinity", "-1", "2031-01-01 00:00:00"]
        {
            let event = read(&["calldate", "channel"], &[never, "PJSIP/101-1"]);
            assert_eq!(event.unwrap_err(), Unreadable::Time, "{never}");
        }
    }

    #[test]
    fn a_number_in_place_of_a_word_means_the_word() {
        let of = |what: &str| {
            let names = ["eventtype", "eventtime", "uniqueid", "channame"];
            read(&names, &[what, "1795652185", "1795652185.0", "PJSIP/101-1"]).unwrap()
        };
        for (number, word) in [("1", "CHAN_START"), ("3", "HANGUP"), ("4", "ANSWER"), ("14", "LINKEDID_END")]
        {
            assert_eq!(of(number), of(word));
        }
        assert_eq!((of("3").kind, of("77").kind), (Kind::Hangup, Kind::Note));
        let names = ["calldate", "channel", "disposition"];
        let row = |word: &str| read(&names, &["1795652185", "PJSIP/101-1", word]).unwrap();
        assert_eq!(row("8"), row("ANSWERED"));
    }

    #[test]
    fn who_called_is_taken_from_the_name_and_number_where_no_column_has_the_number() {
        let src = |clid: &str| {
            let event = read(&["calldate", "channel", "clid"], &["1795652185", "PJSIP/101-1", clid]);
            event.unwrap().fact("src").map(ToOwned::to_owned)
        };
        assert_eq!(src("\"Ivan\" <79190000000>").as_deref(), Some("79190000000"));
        assert_eq!(src("\"<7>\" <101>").as_deref(), Some("101"));
        for none in ["", "Ivan", "\"Ivan\" <>", "101"] {
            assert_eq!(src(none), None, "{none}");
        }
        let names = ["calldate", "channel", "clid", "src"];
        let event = read(&names, &["1795652185", "PJSIP/101-1", "\"Ivan\" <101>", ""]);
        assert_eq!(event.unwrap().fact("src"), None, "the column says that there is none");
    }
}
