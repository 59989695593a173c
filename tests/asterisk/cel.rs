//! The oracle: what Asterisk itself says about a call, read from its channel event log (CEL).
//!
//! Knows CEL's rows and what they mean for one call: all linkedids that share a channel, one way or another, are one
//! call, and it is over with the last LINKEDID_END of them. Who talked with whom is in `talks.rs`. Knows nothing about
//! what the journal says.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::talks::{Talk, talks};

/// One row of `cel.csv`; the columns are those of `etc/cel_custom.conf`.
#[derive(Clone, Debug)]
pub struct Row {
    /// `CHAN_START`, `ANSWER`, `LINKEDID_END` and so on.
    pub event: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// The channel's name, such as `PJSIP/101-00000003`.
    pub channel: String,
    /// The caller ID's name.
    pub name: String,
    /// The extension at that moment: `s` where a channel starts because it is dialled.
    exten: String,
    pub uniqueid: String,
    pub linkedid: String,
    /// What belongs to the event alone.
    pub extra: Value,
    /// The row as written.
    pub text: String,
}

impl Row {
    /// A text of `extra`.
    pub fn says(&self, name: &str) -> Option<&str> {
        self.extra.get(name)?.as_str()
    }

    /// Whether its channel is half of a Local channel: plumbing, and nobody sits at it.
    pub fn is_plumbing(&self) -> bool {
        self.channel.starts_with("Local/")
    }

    /// Whether somebody begins to call here.
    pub fn is_somebody_calling(&self) -> bool {
        self.event == "CHAN_START" && !matches!(self.exten.as_str(), "s" | "") && !self.is_plumbing()
    }
}

/// What Asterisk says about one call. Times are microseconds since 1970.
#[derive(Clone, Debug)]
#[allow(dead_code)] // not every call is judged by all of it
pub struct Truth {
    /// That of its eldest channel.
    pub linkedid: String,
    /// All that it ever had.
    pub linkedids: BTreeSet<String>,
    /// The caller's name, as Asterisk took it from SIP.
    pub caller_name: String,
    pub started: i64,
    /// The last LINKEDID_END: the last channel of the call is gone.
    pub ended: i64,
    /// The channels that were rung, in the order in which they came.
    pub legs: Vec<Leg>,
    pub transfers: Vec<Transfer>,
    /// The endpoints that took a call off another phone.
    pub pickups: Vec<String>,
    /// Who talked with whom, in order of time.
    pub talks: Vec<Talk>,
    /// All the time that people talked, over every transfer; microseconds.
    pub talked: i64,
    /// The same as it may be known, too, where nobody else than the caller's channel can be sure to tell.
    pub by_caller: Option<Box<Truth>>,
    /// All of the call's rows.
    pub rows: Vec<Row>,
}

/// What Asterisk took for a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// `blind` or `attended`.
    pub how: &'static str,
    /// The endpoint that transferred.
    pub by: String,
    /// The number, or the endpoint, that the call was sent to; `N/A` where Asterisk does not say.
    pub to: String,
}

/// A called channel.
#[derive(Clone, Debug)]
pub struct Leg {
    pub uniqueid: String,
    /// The endpoint, from the channel's name.
    pub endpoint: String,
    /// Who is called there: the extension, or the number that was dialled through a trunk.
    pub number: String,
    pub started: i64,
    /// When the phone itself heard of it, where that is known: Dial prepares a whole group before it rings the first.
    pub invited: Option<i64>,
    pub answered: Option<i64>,
    pub ended: i64,
    /// Time spent talking, microseconds.
    pub talked: i64,
}

impl Leg {
    /// How long it rang, at least and at most: from the INVITE, or from the channel's start a little earlier, to the
    /// phone's answer, or to the end of what nobody answered. Microseconds.
    pub fn rang(&self) -> RangeInclusive<i64> {
        let until = self.answered.unwrap_or(self.ended);
        until - self.invited.unwrap_or(self.started)..=until - self.started
    }
}

impl Truth {
    /// The leg that talked with the caller first, if any did.
    pub fn winner(&self) -> Option<&Leg> {
        self.legs.iter().filter(|leg| leg.talked > 0).min_by_key(|leg| leg.answered)
    }

    /// From the call's start to its first answer by a person, or to its end; microseconds.
    pub fn waited(&self) -> i64 {
        self.winner().and_then(|leg| leg.answered).unwrap_or(self.ended) - self.started
    }

    /// Takes in whose phone Asterisk rang first: the caller's, also where it was rung through a Local channel.
    pub fn made_for(&mut self, endpoint: &str) {
        self.legs.retain(|leg| leg.endpoint != endpoint);
        let own = self.rows.iter().filter(|row| number(&row.channel) == endpoint);
        self.caller_name = own.map(|row| row.name.clone()).find(|name| !name.is_empty()).unwrap_or_default();
    }

    /// Takes in when the phone at `endpoint` first got an INVITE.
    pub fn invited(&mut self, endpoint: &str, at: Option<i64>) {
        let rang = |leg: &&mut Leg| {
            leg.endpoint == endpoint && at.is_some_and(|at| (leg.started..leg.ended).contains(&at))
        };
        for leg in self.legs.iter_mut().filter(rang) {
            leg.invited = at;
        }
    }

    /// Takes in the number that was dialled through the trunk `endpoint`: its channel's name does not tell.
    pub fn dialled(&mut self, endpoint: &str, number: &str) {
        for leg in self.legs.iter_mut().filter(|leg| leg.endpoint == endpoint) {
            number.clone_into(&mut leg.number);
        }
        for transfer in self.transfers.iter_mut().filter(|transfer| transfer.to == endpoint) {
            number.clone_into(&mut transfer.to);
        }
    }

    /// What a caller's channel alone can know: for whoever was called when it was up already, ringing counts as talking,
    /// and those that rang beside him as not having rung.
    pub fn seen_by_the_caller(&mut self) {
        let Some(up) = self.first("ANSWER", true) else { return };
        let (picked_up, others): (Vec<&mut Leg>, Vec<&mut Leg>) =
            self.legs.iter_mut().filter(|leg| leg.started > up).partition(|leg| leg.talked > 0);
        for other in others {
            let rang_beside = |leg: &&mut Leg| {
                other.ended > leg.started && leg.answered.is_some_and(|at| other.started < at)
            };
            if picked_up.iter().any(rang_beside) {
                (other.ended, other.invited) = (other.started, None);
            }
        }
        for leg in picked_up {
            self.talked += leg.ended - leg.started - leg.talked;
            leg.talked = leg.ended - leg.started;
            leg.answered = Some(leg.started);
            leg.invited = None;
        }
    }

    /// The phones tell where AMI happens to be there: each is known as it was, or as the caller's channel has it.
    pub fn seen_by_the_caller_at_times(&mut self) {
        let mut seen = self.clone();
        seen.seen_by_the_caller();
        self.by_caller = Some(Box::new(seen));
    }

    /// The time of the first row of this kind on this channel's call.
    pub fn first(&self, event: &str, of_caller: bool) -> Option<i64> {
        let wanted = |row: &&Row| row.event == event && (row.uniqueid == self.linkedid) == of_caller;
        self.rows.iter().find(wanted).map(|row| row.at)
    }
}

/// How much has been written so far: where the next call will begin.
pub fn mark(cel: &Path) -> u64 {
    fs::metadata(cel).map_or(0, |meta| meta.len())
}

/// Waits for the end of the first call that began after `mark`, and tells what it was.
pub fn wait_for_call(cel: &Path, mark: u64) -> Result<Truth> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let rows = rows_after(cel, mark)?;
        if let Some(truth) = whole_call(&rows) {
            return Ok(truth);
        }
        if Instant::now() > deadline {
            let seen: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
            bail!("CEL tells of no whole call within 15 s of the phones' end, only of:\n{}", seen.join("\n"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The last rows, whatever call they belong to: for a call that went wrong before it could be told apart.
pub fn latest(cel: &Path) -> String {
    let text = fs::read_to_string(cel).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("--- the last rows of CEL\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"))
}

fn rows_after(cel: &Path, mark: u64) -> Result<Vec<Row>> {
    let bytes = match fs::read(cel) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.with_context(|| format!("reading {}", cel.display()))?,
    };
    let new = bytes.get(usize::try_from(mark)?..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    // A line still being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(whole.lines().filter_map(row).collect())
}

fn row(line: &str) -> Option<Row> {
    let fields = fields(line);
    let field = |n: usize| fields.get(n).cloned();
    let (seconds, micros) = fields.get(1)?.split_once('.')?;
    Some(Row {
        event: field(0)?,
        at: seconds.parse::<i64>().ok()? * 1_000_000 + micros.parse::<i64>().ok()?,
        channel: field(6)?,
        name: field(3)?,
        exten: field(4)?,
        uniqueid: field(8)?,
        linkedid: field(9)?,
        extra: field(11).and_then(|extra| serde_json::from_str(&extra).ok()).unwrap_or_default(),
        text: line.to_owned(),
    })
}

/// The fields of a CSV line in which every field is quoted and a quote inside is doubled.
pub fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

/// The first call of these rows, once all of its channels are gone.
fn whole_call(rows: &[Row]) -> Option<Truth> {
    let linkedids = linked(rows);
    let rows: Vec<Row> = rows.iter().filter(|row| linkedids.contains(&row.linkedid)).cloned().collect();
    let of = |event: &str| {
        rows.iter().filter(|row| row.event == event).map(|row| row.uniqueid.as_str()).collect::<BTreeSet<_>>()
    };
    if of("CHAN_START") != of("CHAN_END") {
        return None;
    }
    let last = |event: &str| rows.iter().filter(|row| row.event == event).map(|row| row.at).max();
    // Threads of one Asterisk write beside each other: the last channel's own row may be some microseconds younger.
    let ended = last("LINKEDID_END").filter(|at| Some(*at + 10_000) >= last("CHAN_END"))?;
    let begun = || rows.iter().filter(|row| row.event == "CHAN_START");
    let first = begun().next()?;
    let talks = talks(&rows);
    let rung = begun().filter(|row| row.uniqueid != first.uniqueid && !row.is_plumbing());
    let takers = takers(&rows);
    let called = |row: &&Row| !row.is_somebody_calling() || takers.contains(&row.uniqueid);
    let legs = rung.filter(called).filter_map(|start| leg(start, &rows, &talks));
    let picked_up = rows.iter().filter(|row| row.event == "PICKUP");
    Some(Truth {
        linkedid: first.linkedid.clone(),
        caller_name: first.name.clone(),
        started: first.at,
        ended,
        legs: legs.collect(),
        transfers: rows.iter().filter_map(transfer).collect(),
        pickups: picked_up
            .filter_map(|row| row.says("pickup_channel"))
            .map(|c| number(c).to_owned())
            .collect(),
        by_caller: None,
        talked: talks.iter().map(|talk| talk.until - talk.from).sum(),
        talks,
        linkedids,
        rows,
    })
}

/// Who took a call that rang at another phone, or that was parked: nobody rang them, and they were called all the same.
fn takers(rows: &[Row]) -> BTreeSet<String> {
    let named = |row: &Row, name: &str| row.says(name).map(ToOwned::to_owned);
    let picked =
        rows.iter().filter(|r| r.event == "PICKUP").filter_map(|r| named(r, "pickup_channel_uniqueid"));
    let unparked = rows.iter().filter(|r| r.event == "PARK_END").filter_map(|r| named(r, "retriever"));
    let uniqueid = |channel: String| rows.iter().find(|r| r.channel == channel).map(|r| r.uniqueid.clone());
    picked.chain(unparked.filter_map(uniqueid)).collect()
}

/// The linkedids of the first call: its own, and whichever a channel of it was ever known under, and so on.
fn linked(rows: &[Row]) -> BTreeSet<String> {
    let mut linkedids = BTreeSet::new();
    let mut channels = BTreeSet::new();
    let first = rows.iter().find(|row| row.event == "CHAN_START");
    linkedids.extend(first.map(|row| row.linkedid.clone()));
    loop {
        let before = (linkedids.len(), channels.len());
        for row in rows {
            if linkedids.contains(&row.linkedid) || channels.contains(&row.uniqueid) {
                linkedids.insert(row.linkedid.clone());
                channels.insert(row.uniqueid.clone());
                // Of a transfer while the target rings nothing else says that the two are one call.
                let second = row.says("channel2_uniqueid").filter(|_| row.event == "ATTENDEDTRANSFER");
                channels.extend(second.map(ToOwned::to_owned));
            }
        }
        if before == (linkedids.len(), channels.len()) {
            return linkedids;
        }
    }
}

fn leg(start: &Row, rows: &[Row], talks: &[Talk]) -> Option<Leg> {
    let own = || rows.iter().filter(|row| row.uniqueid == start.uniqueid);
    let with = talks.iter().filter(|talk| talk.channels.contains(&start.uniqueid));
    Some(Leg {
        uniqueid: start.uniqueid.clone(),
        endpoint: number(&start.channel).to_owned(),
        number: number(&start.channel).to_owned(),
        started: start.at,
        invited: None,
        answered: own().find(|row| row.event == "ANSWER").map(|row| row.at),
        ended: own().find(|row| row.event == "CHAN_END")?.at,
        talked: with.map(|talk| talk.until - talk.from).sum(),
    })
}

fn transfer(row: &Row) -> Option<Transfer> {
    let (how, to) = match row.event.as_str() {
        // Whoever is sent to the parking lot is parked: nobody is called.
        "BLINDTRANSFER" if row.says("extension") == Some("700") => return None,
        "BLINDTRANSFER" => ("blind", row.says("extension")?),
        "ATTENDEDTRANSFER" => ("attended", target(row)),
        _ => return None,
    };
    Some(Transfer { how, by: number(&row.channel).to_owned(), to: to.to_owned() })
}

fn target(row: &Row) -> &str {
    match row.says("transfer_target_channel_name") {
        Some("N/A") | None => "N/A",
        Some(channel) => number(channel),
    }
}

/// `101` of `PJSIP/101-00000003`.
pub fn number(channel: &str) -> &str {
    let device = channel.split('/').next_back().unwrap_or(channel);
    let device = device.rsplit_once('-').map_or(device, |(number, _)| number);
    // A Local channel is named after what was dialled.
    device.split('@').next().unwrap_or(device)
}
