//! The command line: what it is called with, and which part answers.
//!
//! Each command gives back its whole answer as text and whether all is well; [`run`] alone prints. So commands
//! can be tested without a process, and a reader that goes away early (`| head`) is no error.

mod calls;
mod check;
mod export;
mod filter;
mod holder;
mod import;
mod manual;
mod migrate;
mod notify;
mod paper;
mod reconcile;
#[cfg(test)]
mod sample;
mod show;
mod simulate;
mod spool;
mod status;
mod tail;
mod when;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueHint};
use tokio::signal::unix::{SignalKind, signal as signal_of};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::call::words::{Language, Words};
use crate::clock::Clock;
use crate::config::{self, Loaded};
use crate::store::Store;
use crate::{observe, serve};
use filter::{Asked, Which};
use paper::Paper;

/// A call log that a person understands, and one notification when an Asterisk call really ends.
#[derive(Debug, Parser)]
#[command(name = "calljournal", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration; without it the defaults hold (see `check --defaults`).
    #[arg(long, short, global = true, value_name = "FILE", env = "CALLJOURNAL_CONFIG", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// The language of what is shown, `en` or `ru`; else `[call] locale` where it is set, else yours.
    #[arg(long, global = true, value_name = "LOCALE")]
    locale: Option<String>,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  calljournal serve                         with no configuration: FastAGI on 127.0.0.1:4573
  calljournal --config /etc/calljournal.toml serve
  calljournal simulate                      no Asterisk yet? twenty calls to look at
  calljournal calls                         the latest calls, newest first
  calljournal calls --missed --since today  whom to call back
  calljournal tail                          what happens, as it happens
  calljournal show last                     the story of the latest call
  calljournal show 1795390723.0             of the call with that linkedid, as Asterisk's logs have it
  calljournal check                         is everything in place?
  calljournal status                        how does everything stand?

Exit codes: 0 all is well, 1 it failed, 2 the command line was wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Take in what dialplans tell, keep the journal, notify others.
    ///
    /// Stops cleanly on SIGTERM and SIGINT: what was received is written down and acknowledged first.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve,

    /// List calls, newest first.
    #[command(after_help = CALLS_EXAMPLES)]
    Calls {
        #[command(flatten)]
        which: Which,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// One JSON array of calls.
        #[arg(long)]
        json: bool,
    },

    /// Tell one call: its story and its legs.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// A call's id or the beginning of it, a linkedid, a uniqueid, a call key, or `last`.
        #[arg(value_name = "ID")]
        name: String,
        /// Also each event, with what it did to the call.
        #[arg(long, short)]
        events: bool,
        /// Under each line of the story, the events that it follows from.
        #[arg(long, short)]
        why: bool,
        /// One JSON object: call, story, cdr, and events where they are asked for.
        #[arg(long)]
        json: bool,
    },

    /// Follow the journal: each thing that happens, as it happens.
    ///
    /// Begins with the calls that go on now and ends with Ctrl-C.
    #[command(after_help = "Examples:\n  calljournal tail\n  calljournal tail --calls | tee today.log")]
    Tail {
        /// One line for each call, when it is over.
        #[arg(long)]
        calls: bool,
    },

    /// Write calls or CDR rows into a file: CSV for spreadsheets, or lines of JSON.
    ///
    /// Oldest first, all that meet the conditions. Times in CSV are in your zone, as `calls` shows them.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        #[command(flatten)]
        form: export::Form,
        #[command(flatten)]
        which: Which,
    },

    /// Take in calls from Asterisk's own records: what a server that was away has missed, or the years before it.
    ///
    /// Reads CDR and CEL, from CSV files and from databases. Calls that the journal does not have are added, as far as such
    /// records tell; what it was told live is never overwritten. Each row counts once, however often it is read: an
    /// import that was stopped is started again. Nobody is notified of calls that are history.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(import::Import),

    /// Hold the journal against Asterisk's own records of the last days: what is missing is added.
    ///
    /// Reads the sources of `[[reconcile]]` and says of each how many calls are the same, were added because nobody had
    /// told them, or were told to their end; of which calls the records say otherwise than they were told live, which
    /// stays; and which calls the journal alone has. `serve` does the same by itself, every hour. To repeat it does no harm.
    ///
    /// Fails where a source cannot be read or the database refused a row.
    #[command(after_help = RECONCILE_EXAMPLES)]
    Reconcile(reconcile::Asked),

    /// Play calls into a running server, as a real Asterisk would tell them.
    ///
    /// To see the journal fill, to try a receiver of notices, or to put load on a server. The calls are of the pbx
    /// `simulate`: they are marked so in every table, nobody is told of them without --notify, and --clean takes
    /// all of them out again.
    #[command(after_help = SIMULATE_EXAMPLES)]
    Simulate(simulate::Play),

    /// Bring the spool of a host where only Asterisk runs to a server elsewhere.
    #[command(
        after_help = "Example:\n  calljournal spool send --to https://journal.example.com --token-file FILE"
    )]
    Spool {
        #[command(subcommand)]
        what: spool::Spool,
    },

    /// See whether configuration, ports, database and spool are in order, and what to do where not.
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// Print every key of the configuration with its meaning and its default, and check nothing.
        #[arg(long)]
        defaults: bool,
    },

    /// How everything stands: feeds, calls, notices, database, spool; and whether something is down.
    ///
    /// Exit code 1 says that no server answers, that it cannot work, that a feed is down or a notice waits for too long,
    /// so it fits monitoring. What the states mean: docs/feeds.md.
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        /// How the answer is written.
        #[arg(long, value_enum, default_value_t)]
        format: status::Format,
        /// Forget a feed that is no more, `office/ami`: the last part is agi, spool, push, ami or cdr.
        #[arg(long, value_name = "PBX/FEED", conflicts_with = "format")]
        forget: Option<String>,
    },

    /// See what became of notices, and what to do about it: retry, test, pause.
    #[command(after_help = NOTIFY_EXAMPLES)]
    Notify {
        #[command(subcommand)]
        what: notify::Notify,
    },

    /// Bring the database's schema up to date, as `serve` does at its start.
    ///
    /// For who wants to see what is done, or do it before the new version serves.
    Migrate {
        /// Only say what is pending, and fail where something is.
        #[arg(long)]
        check: bool,
    },

    /// Print the manual page of calljournal or of one of its commands.
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Which command; without it, the page of the program.
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
        /// Write all pages into this directory instead.
        #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = ValueHint::DirPath)]
        all: Option<PathBuf>,
    },

    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  calljournal completions bash > /etc/bash_completion.d/calljournal")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

const CALLS_EXAMPLES: &str = "\
Examples:
  calljournal calls --missed --since today           whom to call back
  calljournal calls --number 9193393655 -n 100       everything with this number
  calljournal calls --since 2026-11-01 --until 2026-11-30 --direction out
  calljournal calls --json | jq '.[].id'";

const SHOW_EXAMPLES: &str = "\
Examples:
  calljournal show last
  calljournal show last --events            and all that was told of it, with what each event did
  calljournal show last --why               and what each line of the story follows from
  calljournal show 1795390723.0 --json | jq .call.disposition";

const EXPORT_EXAMPLES: &str = "\
Examples:
  calljournal export --since 2026-11-01 --until 2026-11-30 -o november.csv
  calljournal export --cdr --org acme -o cdr.csv     rows as in Asterisk's own CDR
  calljournal export --missed --format json | jq .source.number";

const IMPORT_EXAMPLES: &str = "\
Examples:
  calljournal import /var/log/asterisk/cdr-csv/Master.csv --dry-run
  calljournal import /var/log/asterisk/cdr-csv/Master.csv --since 2026-01-01 --timezone UTC
  calljournal import mysql://reader:password@localhost/asteriskcdrdb --dry-run
  calljournal import sqlite:///var/log/asterisk/master.db
  calljournal import postgres://reader:password@dbhost/asterisk --since 30d
  calljournal import postgres://dbhost/asterisk --table pbx.cdr --table pbx.cel
  calljournal import cel.csv --columns eventtype,eventtime,cidnum,cidname,exten,context,channame,appname,uniqueid,linkedid";

const RECONCILE_EXAMPLES: &str = "\
Examples:
  calljournal reconcile --dry-run                        what would be done, of all that is configured
  calljournal reconcile --since yesterday
  calljournal reconcile --since 7d /var/log/asterisk/cdr-csv/Master.csv
  calljournal reconcile --format json | jq '.sources[].calls_only_ours'
  0 6 * * * calljournal reconcile --quiet                in a crontab: mail only where there is news";

const MAN_EXAMPLES: &str = "\
Examples:
  calljournal man | man -l -
  calljournal man calls | man -l -
  calljournal man --all /usr/local/share/man/man1";

const SERVE_EXAMPLES: &str = "\
Examples:
  calljournal serve                                      with the defaults
  calljournal --config /etc/calljournal.toml serve
  CALLJOURNAL_LOG__LEVEL=debug calljournal serve         any key can stand in the environment";

const CHECK_EXAMPLES: &str = "\
Examples:
  calljournal --config /etc/calljournal.toml check
  calljournal check --defaults > calljournal.toml        a file to begin with
  calljournal check && systemctl restart calljournal     it fails where something is wrong";

const STATUS_EXAMPLES: &str = "\
Examples:
  calljournal status
  calljournal status > /dev/null || echo 'something is down'
  calljournal status --format json | jq '.feeds[] | select(.state == \"down\")'
  calljournal status --forget office/push                ast-ami is no longer used there";

const NOTIFY_EXAMPLES: &str = "\
Examples:
  calljournal notify ls --state waiting                  what is still to be delivered
  calljournal notify show 01a20a7b                       each attempt, and what was answered
  calljournal notify test crm                            does the receiver take it?
  calljournal notify retry --endpoint crm                it is back: send all that it missed
  calljournal notify pause crm                           and `resume` to go on";

const SIMULATE_EXAMPLES: &str = "\
Examples:
  calljournal simulate                                    twenty calls of all kinds
  calljournal simulate --mix missed --count 5 --speed 1   as slow as real ones
  calljournal simulate --rate 50/s --for 5min             load
  calljournal simulate --clean                            and all of it is gone";

/// What a command has to say, and whether all is well.
struct Answer {
    text: String,
    well: bool,
}

impl From<String> for Answer {
    fn from(text: String) -> Answer {
        Answer { text, well: true }
    }
}

/// Does what the command line says and prints the answer.
///
/// # Errors
/// Whatever kept the command from its answer, in words for the person who typed it.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let (file, locale) = (cli.config.as_deref(), cli.locale.as_deref());
    let answer = match cli.command {
        Command::Completions { shell } => manual::completions(shell).into(),
        Command::Man { command, all } => manual::man(command.as_deref(), all.as_deref())?.into(),
        Command::Check { defaults: true } => config::DEFAULTS.to_owned().into(),
        Command::Check { defaults: false } => {
            let loaded = load(file);
            check::check(&paper(loaded.as_ref().ok(), locale), loaded, file)
        }
        Command::Migrate { check } => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            migrate::migrate(&loaded.config.store.url, check, &paper.words)?
        }
        Command::Notify { what } => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            runtime()?.block_on(notify::notify(what, &loaded.config, &paper, &Clock::system()))?
        }
        Command::Serve => {
            serve(load(file)?, file)?;
            String::new().into()
        }
        Command::Calls { which, limit, json } => {
            let loaded = load(file)?;
            let (paper, asked) = (paper(Some(&loaded), locale), asked(which, &loaded)?);
            reading(&loaded.config, async |store| {
                calls::calls(&store, &paper, &asked, limit as usize, json).await
            })?
            .into()
        }
        Command::Simulate(play) => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            if play.is_clean() {
                // To read first: where there is no journal, none is to be made.
                drop(Store::open_reader(&loaded.config.store.url)?);
                let store = Store::open(&loaded.config.store.url)?;
                runtime()?.block_on(simulate::clean(&store, &paper))?.into()
            } else {
                let played = async { simulate::play(&play, &loaded.config, &paper, &stopped()?).await };
                let (text, well) = runtime()?.block_on(played)?;
                Answer { text, well }
            }
        }
        Command::Spool { what: spool::Spool::Send(asked) } => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            let dir = &loaded.config.spool.dir;
            runtime()?
                .block_on(async { spool::send(&asked, dir, &paper, &stopped()?, &Clock::system()).await })?
                .into()
        }
        Command::Import(asked) => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            let (text, well) = writing(&loaded, &paper, asked.is_trial(), async |run| {
                import::import(run, &loaded.config, &asked).await
            })?;
            Answer { text, well }
        }
        Command::Status { format, forget } => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            let url = &loaded.config.store.url;
            let store = Store::open_reader(url)?;
            let runtime = runtime()?;
            match forget {
                Some(name) => runtime.block_on(status::forget(&Store::open(url)?, &paper, &name))?,
                None => {
                    let now = Clock::system().now();
                    runtime.block_on(status::status(&store, &loaded.config, &paper, format, now))?
                }
            }
        }
        Command::Reconcile(asked) => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            let (text, well) = writing(&loaded, &paper, asked.is_trial(), async |run| {
                reconcile::reconcile(run, &loaded.config, &asked).await
            })?;
            Answer { text, well }
        }
        Command::Tail { calls } => {
            let loaded = load(file)?;
            let paper = paper(Some(&loaded), locale);
            reading(&loaded.config, async |store| {
                let stop = stopped()?;
                tail::tail(&store, &paper, calls, &stop, std::io::stdout().lock()).await?;
                Ok(String::new())
            })?
            .into()
        }
        Command::Export { form, which } => {
            let loaded = load(file)?;
            let (paper, asked) = (paper(Some(&loaded), locale), asked(which, &loaded)?);
            reading(&loaded.config, async |store| export::export(&store, &paper, &asked, &form).await)?.into()
        }
        Command::Show { name, events, why, json } => {
            let loaded = load(file)?;
            let why = if why { Some(serve::numbering(&loaded.config)?) } else { None };
            let page = show::Page { paper: paper(Some(&loaded), locale), events, why, json };
            reading(&loaded.config, async |store| show::show(&store, &name, &page).await)?.into()
        }
    };
    print(&answer.text)?;
    Ok(if answer.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the conditions mean now, in the zone of the configuration.
fn asked(which: Which, loaded: &Loaded) -> anyhow::Result<Asked> {
    which.asked(&Clock::system().now().to_zoned(zone(Some(loaded))))
}

/// Opens the database to read and asks it.
fn reading(
    config: &config::Config,
    ask: impl AsyncFnOnce(Store) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let store = Store::open_reader(&config.store.url)?;
    runtime()?.block_on(ask(store))
}

/// Opens the database to take in records; where it is only to be tried, there must be one.
fn writing<T>(
    loaded: &Loaded,
    paper: &Paper,
    trial: bool,
    work: impl AsyncFnOnce(&import::Run<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let url = &loaded.config.store.url;
    if trial {
        drop(Store::open_reader(url)?);
    }
    let (store, policy) = (Store::open(url)?, serve::policy(&loaded.config, &loaded.config.notify)?);
    let now = Clock::system().now().to_zoned(zone(Some(loaded)));
    runtime()?.block_on(work(&import::Run { store: &store, policy: &policy, paper, now }))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Serves until SIGTERM or SIGINT.
fn serve(loaded: Loaded, file: Option<&Path>) -> anyhow::Result<()> {
    let config = loaded.config.clone();
    observe::log(config.log.format == config::LogFormat::Json, &config.log.level)?;
    if serve::is_port_of_freepbx(&loaded) {
        // In English, like all that a server says of itself.
        let (what, todo) = check::port_of_freepbx(&Words::new(Language::En, &[&paper::TEXTS]));
        anyhow::bail!("{what}\n      {}", todo.replace('\n', "\n      "));
    }
    serve::announce(&config, file);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let stop = stopped()?;
        let (started, addresses) = oneshot::channel();
        let greeting = async {
            if let Ok(addresses) = addresses.await {
                serve::greet(&config, addresses);
            }
        };
        let (served, ()) = tokio::join!(serve::run(config.clone(), stop, started), greeting);
        served
    });
    // What still runs here is a disk that hangs; what was acknowledged is on it already.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served
}

/// Cancelled by SIGTERM or SIGINT. Inside a tokio runtime only.
fn stopped() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let signal = stop.clone();
    let (mut term, mut int) = (signal_of(SignalKind::terminate())?, signal_of(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
        signal.cancel();
    });
    Ok(stop)
}

fn load(file: Option<&Path>) -> Result<Loaded, config::Refused> {
    // What is no UTF-8 is no variable of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    config::load(file, environment)
}

fn paper(loaded: Option<&Loaded>, locale: Option<&str>) -> Paper {
    let colour = observe::colour(std::io::stdout().is_terminal());
    Paper::new(colour, zone(loaded), language(loaded, locale, |name| std::env::var(name).ok()))
}

fn zone(loaded: Option<&Loaded>) -> jiff::tz::TimeZone {
    loaded.and_then(|loaded| loaded.config.call.zone()).unwrap_or_else(jiff::tz::TimeZone::system)
}

/// The language that was typed, else the one that is configured, else that of who types.
fn language(
    loaded: Option<&Loaded>,
    typed: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Language {
    let configured = loaded.filter(|l| l.is_set("call.locale")).map(|l| l.config.call.locale.clone());
    // In the order of POSIX; a variable that is empty counts as one that is not set.
    let own =
        || ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(environment).find(|l| !l.is_empty());
    let locale = typed.map(str::to_owned).or(configured).or_else(own).unwrap_or_default();
    Language::of(&locale)
}

/// Prints, and takes a reader that has seen enough for a happy one.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{newline}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the answer"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_example() {
        for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "migrate") {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
        }
    }

    #[test]
    fn help_shows_how_to_begin() {
        let help = Cli::command().render_long_help().to_string();
        for word in ["serve", "calls", "show", "tail", "export", "check", "Examples:", "CALLJOURNAL_CONFIG"] {
            assert!(help.contains(word), "{word} is not in\n{help}");
        }
    }
}
