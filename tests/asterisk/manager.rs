//! `calljournal check` against real manager interfaces: who may do all that is needed passes, and whoever may not is told what
//! to write.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::journal::{Journal, free_port};
use crate::loss::other_call;
use crate::pbx::Pbx;

/// As many calls in a row must go by unheard before that is held against AMI.
const RUN: usize = 10;

/// Tries every kind of user, with a journal of its own in `directory`; answers with what was said.
pub fn tried(pbx: &Pbx, directory: &Path, webhook: &str) -> Result<String> {
    let spool = directory.join("spool");
    fs::create_dir_all(&spool)?;
    let store = format!("sqlite://{}/calljournal.db", directory.display());
    let mut journal = Journal::configured(directory, &store, &spool, webhook)?;
    let (here, closed) = (pbx.ami, free_port()?);
    let kinds = [
        ("calljournal", "only-for-tests", here, "AMI at", "manager show user calljournal"),
        ("calljournal", "wrong", here, "refused the log-in of calljournal", "compare user and secret"),
        ("nobody", "only-for-tests", here, "refused the log-in of nobody", "compare user and secret"),
        (
            "journal-may-not-ask",
            "only-for-tests",
            here,
            "may not ask which channels live",
            "write = reporting",
        ),
        ("calljournal", "only-for-tests", closed, "is away: Connection refused", "manager show settings"),
    ];
    let mut seen: Vec<&str> = Vec::new();
    for (user, secret, port, what, todo) in kinds {
        let (well, text) = checked(&mut journal, &pbx.name, user, secret, port)?;
        ensure!(well == (what == "AMI at"), "{user} with {secret} at {port}: {text}");
        ensure!(text.contains(what) && text.contains(todo), "{user} with {secret} at {port}: {text}");
        ensure!(!text.contains(secret) || secret == "wrong", "the secret is shown: {text}");
        seen.push(what);
    }
    journal.start()?;
    pbx.point_to(&journal.agi)?;
    let heard = unheard(pbx, &mut journal, directory).and_then(|()| misnamed(pbx, &mut journal, directory));
    journal.stop()?;
    seen.push(heard?);
    Ok(format!("said: {}", seen.join(" · ")))
}

/// What `check` prints of this user, and whether all was well.
fn checked(journal: &mut Journal, pbx: &str, user: &str, secret: &str, port: u16) -> Result<(bool, String)> {
    journal.set(
        "CALLJOURNAL_AMI",
        format!(
            "[{{ host = \"127.0.0.1:{port}\", user = \"{user}\", secret = \"{secret}\", pbx = \"{pbx}\" }}]"
        ),
    );
    journal.check()
}

/// Another name than the dialplan sends: both tell of the same channels, and nobody could know without being told.
fn misnamed(pbx: &Pbx, journal: &mut Journal, directory: &Path) -> Result<&'static str> {
    let (well, text) = checked(journal, "misspelt", "calljournal", "only-for-tests", pbx.ami)?;
    ensure!(well && !text.contains("misspelt"), "before any call: {text}");
    journal.stop()?;
    journal.start()?;
    // Two channels each.
    other_call(pbx, directory)?;
    other_call(pbx, directory)?;
    let todo = format!("write under its [[ami]]:  pbx = \"{}\"", pbx.name);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !journal.check()?.1.contains(&todo) {
        ensure!(
            Instant::now() < deadline,
            "AMI goes by another name, and `check` says: {}",
            journal.check()?.1
        );
        thread::sleep(Duration::from_millis(500));
    }
    ensure!(journal.log_text().contains("each call is there twice"), "the log says nothing of it");
    Ok("each of its calls is there twice")
}

/// A user who may ask and not hear passes, until calls went by of which he told nothing.
fn unheard(pbx: &Pbx, journal: &mut Journal, directory: &Path) -> Result<()> {
    let user = "journal-may-not-hear";
    let (well, text) = checked(journal, &pbx.name, user, "only-for-tests", pbx.ami)?;
    ensure!(well && text.contains("read = call,agent"), "before any call: {text}");
    journal.stop()?;
    journal.start()?;
    for _ in 0..RUN {
        other_call(pbx, directory)?;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (well, text) = journal.check()?;
        if !well && text.contains("told nothing of the last") && text.contains("read = call,agent") {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{RUN} calls went by unheard, and `check` says: {text}");
        }
        thread::sleep(Duration::from_millis(500));
    }
}
