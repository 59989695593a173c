//! The whole way on real Asterisks: SIP calls through the shipped dialplan, told to a real `calljournal serve`, and
//! every answer held against Asterisk's own event log. README.md beside this file says how to run it and read it.

mod additions;
mod addresses;
mod astlite;
mod attended;
mod cdr;
mod cel;
// The same cluster as in the black-box tests.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../it/cluster.rs"]
mod cluster;
mod cut;
mod desk;
mod ends;
mod freepbx;
mod freepbx_hard;
mod hold;
mod journal;
mod loss;
mod lost_day;
mod manager;
mod media;
mod pbx;
mod phone;
mod queues;
mod record;
mod ringing;
mod scenario;
mod script;
mod sip;
mod talks;
mod teller;
mod ten;
mod transfers;
mod tries;
mod unsaid;
mod verdict;
mod webhook;
mod wishes;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};

use journal::Journal;
use pbx::{House, Pbx, Root};
use scenario::{HOSTILE_MARK, Hooks, OUTAGE, Played, REFUSED, REFUSED_PLAIN, SCENARIOS, Scenario, TEN};
use teller::Teller;
use ten::Measured;
use tries::until_right;
use verdict::{Row, judge, ms};
use webhook::Webhook;
use wishes::{Found, Wishes};

fn main() -> ExitCode {
    let wishes = Wishes::read(std::env::args().skip(1));
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let named = |scenario: &Scenario| scenario.is_named(&wishes.filter);
    if !SCENARIOS.iter().flat_map(|part| part.iter()).chain([&REFUSED, &OUTAGE, &TEN]).any(named)
        && !loss::named(&wishes.filter)
    {
        println!("asterisk: no call is named {:?}", wishes.filter);
        return ExitCode::SUCCESS;
    }
    let roots = Root::found();
    if let Some(reason) = missing(&roots) {
        return skipped(&reason);
    }
    let mut well = true;
    for store in &wishes.stores {
        match store.found().and_then(|found| found.map(|store| run(&roots, &wishes, &store)).transpose()) {
            Ok(failed) => well &= failed.unwrap_or(0) == 0,
            Err(error) => {
                eprintln!("asterisk: {error:?}");
                well = false;
            }
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What this machine lacks for real calls.
fn missing(roots: &[Root]) -> Option<String> {
    if roots.len() < 2 {
        let cache = pbx::cache_directory().unwrap_or_default();
        return Some(format!(
            "no two Asterisk roots in {}: build them with  tests/asterisk/roots",
            cache.display()
        ));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0")) {
        return Some("not root: chroot and a mount namespace of its own need it".into());
    }
    None
}

fn skipped(reason: &str) -> ExitCode {
    eprintln!("\n**************************************************************");
    eprintln!("**  SKIPPED: nothing was tried on a real Asterisk.");
    eprintln!("**  {reason}");
    eprintln!("**************************************************************\n");
    if std::env::var_os("CI").is_some() {
        eprintln!("CI is set, so a skipped part is a failed part");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Everything that a call needs around it.
struct Stage {
    journal: Option<Journal>,
    pbxes: Vec<Pbx>,
    webhook: Webhook,
    directory: PathBuf,
    filter: String,
    record: Option<PathBuf>,
    told_by: Teller,
    /// What the teller could not know, and of how many calls.
    unknown: Mutex<BTreeMap<&'static str, usize>>,
}

/// Plays what the filter leaves, prints the tables, and returns how many failed.
fn run(roots: &[Root], wishes: &Wishes, store: &Found) -> Result<usize> {
    let begun = Instant::now();
    let directory = tempfile::Builder::new().prefix("calljournal-asterisk-").tempdir()?;
    if !wishes.oracle_only {
        println!("\n== calls kept in {}", store.name);
    }
    let url = (store.url)(directory.path());
    let mut stage = Stage::set_up(roots, directory.path(), wishes, (!wishes.oracle_only).then_some(url))?;
    stage.record.clone_from(&wishes.record);
    let mut rows = stage.plays_in_parallel();
    webhook::print_delay(&stage.webhook.posts());
    rows.extend(until_right(|| stage.outage())?);
    let mut measured = Vec::new();
    rows.extend(until_right(|| {
        let mut rows = Vec::new();
        measured = stage.groups_of_ten(&mut rows)?;
        Ok(rows)
    })?);

    if !wishes.oracle_only {
        rows.extend(loss::rows(roots, directory.path(), &wishes.filter, wishes.told_by, &store.url)?);
    }

    if wishes.oracle_only {
        rows.retain(|row| !row.wrong.is_empty());
        print_failures(&rows, None);
        println!("kept: {}", directory.keep().display());
        return Ok(rows.len());
    }
    // Whatever is told twice is told within the grace time.
    thread::sleep(Duration::from_secs(3));
    let posts = stage.webhook.posts();
    rows.iter_mut().for_each(|row| row.recount(&posts));
    let too_often = tries::keep_what_counts(&mut rows);

    let passed = rows.iter().filter(|row| row.wrong.is_empty()).count();
    let failed = rows.len() - passed + usize::from(too_often.is_some());
    if failed > 0 {
        print_failures(&rows, stage.journal.as_ref());
    }
    if failed > 0 || wishes.keep {
        // Dropped, it would be deleted: the logs are what a failure is understood by.
        println!("\nEverything that was written is kept in {}", directory.keep().display());
    }
    print_rows(&mut rows);
    print_measured(&measured);
    for (what, calls) in stage.unknown.lock().iter().flat_map(|unknown| unknown.iter()) {
        println!("told by AMI alone, {calls} times otherwise than the dialplan would have: {what}");
    }
    println!("{} in {} s", store.name, begun.elapsed().as_secs());
    if let Some(too_often) = too_often {
        println!("FAILED: {too_often}");
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed)
}

impl Stage {
    /// `store` is the URL of the journal's database; `None` for no journal.
    fn set_up(roots: &[Root], directory: &Path, wishes: &Wishes, store: Option<String>) -> Result<Stage> {
        let filter = wishes.filter.as_str();
        let spool = directory.join("spool");
        std::fs::create_dir_all(&spool)?;
        // As the documentation has it made: both Asterisk and the server may write there.
        std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o2770))?;
        let webhook = Webhook::listen()?;
        let mut journal =
            Journal::configured(directory, store.as_deref().unwrap_or_default(), &spool, &webhook.url())?;
        // Who is not listened to speaks to a port that nobody has, and writes into a directory that nobody reads.
        let server =
            if wishes.told_by.by_dialplan() { journal.agi.clone() } else { "127.0.0.1:1".to_owned() };
        let written = if wishes.told_by.by_dialplan() { spool } else { directory.join("unread") };
        let houses = [House::Plain, House::FreePbx, House::AstLite];
        let wanted = |house: House, root: &Root| {
            let of_house = |scenario: &Scenario| scenario.is_named(filter) && scenario.on.is(house, root);
            SCENARIOS.iter().flat_map(|part| part.iter()).chain([&REFUSED, &OUTAGE, &TEN]).any(of_house)
        };
        let mut pbxes = Vec::new();
        for house in houses {
            for root in roots.iter().filter(|root| wanted(house, root)) {
                let pbx = Pbx::start(root, house, directory, &written, &server)?;
                println!("Asterisk {} is up as {}", pbx.version, pbx.name);
                pbxes.push(pbx);
            }
        }
        if wishes.told_by.by_ami() {
            pbxes.iter().try_for_each(|pbx| wishes.told_by.connect(&journal, pbx))?;
        }
        if store.is_some() {
            journal.start()?;
        }
        let journal = store.map(|_| journal);
        Ok(Stage {
            journal,
            pbxes,
            webhook,
            directory: directory.to_owned(),
            filter: filter.to_owned(),
            record: None,
            told_by: wishes.told_by,
            unknown: Mutex::default(),
        })
    }

    fn wants(&self, scenario: &Scenario, pbx: &Pbx) -> bool {
        let can_tell = self.told_by.can_tell(scenario.name);
        scenario.is_named(&self.filter) && scenario.on.is(pbx.house, &pbx.root) && can_tell
    }

    /// One scenario after another on each Asterisk, the Asterisks side by side.
    fn plays_in_parallel(&self) -> Vec<Row> {
        let in_time = |play: &dyn Fn() -> Row| until_right(|| Ok(vec![play()])).unwrap_or_default();
        self.on_each_pbx(|pbx| {
            let wanted: Vec<&Scenario> =
                SCENARIOS.iter().flat_map(|part| part.iter()).filter(|s| self.wants(s, pbx)).collect();
            let mut rows = Vec::new();
            for (n, scenario) in wanted.iter().enumerate() {
                if self.told_by.is_cut() && n == wanted.len() / 2 {
                    rows.extend(self.restarted(pbx));
                }
                rows.extend(in_time(&|| self.play_and_judge(scenario, pbx)));
            }
            if self.wants(&REFUSED, pbx) {
                rows.extend(in_time(&|| self.refused(pbx)));
            }
            rows
        })
    }

    /// Restarts Asterisk; a row where that went wrong.
    fn restarted(&self, pbx: &Pbx) -> Option<Row> {
        println!("{:<8} {} is restarted", pbx.version, pbx.name);
        let error = pbx.restart().err()?;
        Some(Row::failed("(restart)", pbx, format!("{error:#}"), String::new()))
    }

    fn on_each_pbx(&self, work: impl Fn(&Pbx) -> Vec<Row> + Sync) -> Vec<Row> {
        let work = &work;
        thread::scope(|scope| {
            let working: Vec<_> =
                self.pbxes.iter().map(|pbx| (pbx, scope.spawn(move || work(pbx)))).collect();
            let done = |(pbx, one): (&Pbx, thread::ScopedJoinHandle<'_, Vec<Row>>)| {
                one.join().unwrap_or_else(|_| {
                    vec![Row::failed("(all)", pbx, "the test itself panicked".into(), String::new())]
                })
            };
            working.into_iter().flat_map(done).collect()
        })
    }

    fn play(&self, scenario: &Scenario, pbx: &Pbx) -> Result<Played> {
        println!("{:<8} {}", pbx.version, scenario.name);
        // AMI tells of the phones, however few of them the dialplan hooks.
        let hooks = match scenario.hooks {
            Hooks::Callers if self.told_by.is_cut() => Hooks::CallersAndAmiAtTimes,
            _ if self.told_by.by_ami() => Hooks::Everybodys,
            hooks => hooks,
        };
        let scenario = Scenario { hooks, ..*scenario };
        scenario.play(pbx, self.directory.join("phones").join(&pbx.name).join(scenario.name))
    }

    fn play_and_judge(&self, scenario: &Scenario, pbx: &Pbx) -> Row {
        let mut row = match self.play(scenario, pbx) {
            Ok(played) => {
                let mut row = self.judged(scenario, &played, pbx);
                row.wrong.extend(freepbx::silenced(&played.truth, pbx));
                row
            }
            Err(error) => {
                // Whatever is left of it would be taken for the next call.
                let _ = pbx.console("channel request hangup all");
                thread::sleep(Duration::from_secs(1));
                Row::unplayed(scenario.name, pbx, format!("{error:#}"), cel::latest(&pbx.cel()))
            }
        };
        if pbx.was_marked(HOSTILE_MARK) {
            row.wrong.push("a caller's name was run as a command".into());
        }
        row
    }

    fn judged(&self, scenario: &Scenario, played: &Played, pbx: &Pbx) -> Row {
        let Some(journal) = &self.journal else { return told_by_cel(scenario.name, played, pbx) };
        let mut row = self.forgiven(judge(scenario, &played.truth, pbx, journal, &self.webhook));
        if let Some(directory) = self.record.as_ref().filter(|_| !row.id.is_empty()) {
            let recorded = record::record(directory, journal, pbx, scenario.name, &row.id);
            row.wrong.extend(recorded.err().map(|error| format!("not recorded: {error:#}")));
        }
        row
    }

    /// Without what the teller cannot know.
    fn forgiven(&self, mut row: Row) -> Row {
        if let Ok(mut unknown) = self.unknown.lock() {
            self.told_by.forgive(&mut row.wrong, &mut unknown);
        }
        row
    }

    /// The transfer to nowhere, first as Asterisk alone answers it and then with the hooks.
    fn refused(&self, pbx: &Pbx) -> Row {
        let refusal = |played: &Played| {
            played.phones.first().and_then(|phone| phone.beside("REFER-refused")).map(str::to_owned)
        };
        let both = self.play(&REFUSED_PLAIN, pbx).and_then(|plain| Ok((plain, self.play(&REFUSED, pbx)?)));
        let (plain, hooked) = match both {
            Ok(both) => both,
            Err(error) => {
                return Row::unplayed(REFUSED.name, pbx, format!("{error:#}"), cel::latest(&pbx.cel()));
            }
        };
        let mut row = self.judged(&REFUSED, &hooked, pbx);
        let (without, with) = (refusal(&plain), refusal(&hooked));
        println!("{:<8} {}: {without:?} without calljournal, {with:?} with it", pbx.version, REFUSED.name);
        if without.is_none() || with != without {
            row.wrong.push(format!("REFER was answered {with:?}, without calljournal {without:?}"));
        }
        row
    }

    /// The server is stopped while people talk, and is back when they have hung up.
    fn outage(&mut self) -> Result<Vec<Row>> {
        if !self.pbxes.iter().any(|pbx| self.wants(&OUTAGE, pbx)) {
            return Ok(Vec::new());
        }
        let mut journal = self.journal.take();
        let stage = &*self;
        let played: Vec<(&Pbx, Result<Played>)> = thread::scope(|scope| -> Result<_> {
            let calls: Vec<_> = stage
                .pbxes
                .iter()
                .filter(|pbx| stage.wants(&OUTAGE, pbx))
                .map(|pbx| (pbx, scope.spawn(move || stage.play(&OUTAGE, pbx))))
                .collect();
            // The phones have been picked up by now, and nobody hangs up for another two seconds.
            thread::sleep(Duration::from_millis(3000));
            if let Some(journal) = &mut journal {
                journal.stop()?;
            }
            Ok(calls
                .into_iter()
                .map(|(pbx, call)| (pbx, call.join().unwrap_or_else(|_| bail!("playing panicked"))))
                .collect())
        })?;
        if let Some(journal) = &mut journal {
            journal.start()?;
        }
        let rows = played
            .into_iter()
            .map(|(pbx, played)| match (played, &journal) {
                (Ok(played), Some(journal)) => {
                    stage.forgiven(judge(&OUTAGE, &played.truth, pbx, journal, &stage.webhook))
                }
                (Ok(played), None) => told_by_cel(OUTAGE.name, &played, pbx),
                (Err(error), _) => {
                    Row::unplayed(OUTAGE.name, pbx, format!("{error:#}"), cel::latest(&pbx.cel()))
                }
            })
            .collect();
        self.journal = journal;
        Ok(rows)
    }

    /// The ring group of ten with every kind of server, one Asterisk at a time so that they do not disturb each other.
    fn groups_of_ten(&self, rows: &mut Vec<Row>) -> Result<Vec<(String, Measured)>> {
        let mut all = Vec::new();
        let Some(journal) = &self.journal else { return Ok(all) };
        for pbx in self.pbxes.iter().filter(|pbx| self.wants(&TEN, pbx)) {
            println!("{:<8} {}", pbx.version, TEN.name);
            let logs = self.directory.join("phones").join(&pbx.name).join(TEN.name);
            let measured = match ten::measure(pbx, &journal.agi, &logs) {
                Ok(measured) => measured,
                Err(error) => {
                    rows.push(Row::unplayed(TEN.name, pbx, format!("{error:#}"), cel::latest(&pbx.cel())));
                    continue;
                }
            };
            for one in &measured {
                if let Some(truth) = &one.truth {
                    let mut row = self.forgiven(judge(&TEN, truth, pbx, journal, &self.webhook));
                    row.scenario.clone_from(&one.name);
                    row.wrong.extend(one.wrong.clone());
                    rows.push(row);
                }
            }
            all.extend(measured.into_iter().map(|one| (pbx.version.clone(), one)));
        }
        Ok(all)
    }
}

/// Without a journal: a row that says what CEL says, and prints it.
fn told_by_cel(name: &str, played: &Played, pbx: &Pbx) -> Row {
    let truth = &played.truth;
    let winner = truth.winner().map_or("nobody", |leg| &leg.number);
    println!(
        "{:<8} {name}: {} answered, waited {} ms, talked {} ms, lasted {} ms, transfers {:?}",
        pbx.version,
        winner,
        ms(truth.waited()),
        ms(truth.talked),
        ms(truth.ended - truth.started),
        truth.transfers,
    );
    for leg in &truth.legs {
        println!(
            "{:<8}   {} rang {} ms, talked {} ms",
            "",
            leg.number,
            ms(*leg.rang().end()),
            ms(leg.talked)
        );
    }
    let mut row = Row::failed(name, pbx, String::new(), String::new());
    row.wrong.clear();
    row
}

fn print_failures(rows: &[Row], journal: Option<&Journal>) {
    for row in rows.iter().filter(|row| !row.wrong.is_empty()) {
        println!("\n===== {} on {}: {}\n{}", row.scenario, row.asterisk, row.wrong.join("; "), row.evidence);
    }
    let log = journal.map(Journal::log_text).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    println!(
        "----- the last lines of calljournal's log\n{}",
        lines[lines.len().saturating_sub(40)..].join("\n")
    );
}

fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(heads);
    table
}

fn print_rows(rows: &mut [Row]) {
    rows.sort_by_key(|row| row.asterisk.clone());
    let mut table = table(&[
        "call",
        "Asterisk",
        "ended",
        "ended_at, ms",
        "answered by",
        "ringing, ms",
        "talking, ms",
        "notice after, ms",
        "its CDR",
        "our CDR",
        "",
    ]);
    for row in rows.iter() {
        let verdict = match (row.wrong.is_empty(), row.tries) {
            (true, 1) => "ok".to_owned(),
            (true, tries) => format!("ok, try {tries}"),
            (false, tries) if row.thrown_away => format!("WRONG in try {tries}: {}", row.wrong.join("; ")),
            (false, _) => format!("WRONG: {}", row.wrong.join("; ")),
        };
        let cells = [
            &row.scenario,
            &row.asterisk,
            &row.ended_once,
            &row.end_error,
            &row.answered_by,
            &row.ring_error,
            &row.talk_error,
            &row.lag,
            &row.cdr_of_asterisk,
            &row.cdr_of_journal,
            &verdict,
        ];
        table.add_row(cells);
    }
    for column in [3, 5, 6, 7] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\nToo late (+) or too early (-) against Asterisk's own event log\n{table}");
}

fn print_measured(measured: &[(String, Measured)]) {
    if measured.is_empty() {
        return;
    }
    let mut table = table(&[
        "call",
        "Asterisk",
        "first INVITE after, ms",
        "200 OK to bridge, ms",
        "more than without, ms",
    ]);
    for (asterisk, one) in measured {
        let extra = format!("{} and {}", ms(one.extra.0), ms(one.extra.1));
        table.add_row([&one.name, asterisk, &ms(one.first_invite), &ms(one.bridge), &extra]);
    }
    println!("\nWhat the callers feel of it\n{table}");
}
