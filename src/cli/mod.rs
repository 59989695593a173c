//! The command line: what it is called with, and which part answers.
//!
//! Each command gives back its whole answer as text and whether all is well; [`run`] alone prints. So commands
//! can be tested without a process, and a reader that goes away early (`| head`) is no error.

mod calls;
mod check;
mod holder;
mod migrate;
mod paper;
#[cfg(test)]
mod sample;
mod show;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal as signal_of};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Loaded};
use crate::store::Store;
use crate::{observe, serve};
use paper::Paper;

/// A call log that a person understands, and one notification when an Asterisk call really ends.
#[derive(Debug, Parser)]
#[command(name = "calljournal", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration; without it the defaults hold (see `check --defaults`).
    #[arg(long, short, global = true, value_name = "FILE", env = "CALLJOURNAL_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  calljournal serve                         with no configuration: FastAGI on 127.0.0.1:4573
  calljournal --config /etc/calljournal.toml serve
  calljournal calls                         the latest calls, newest first
  calljournal show last                     the story of the latest call
  calljournal show 1795390723.0             of the call with that linkedid, as Asterisk's logs have it
  calljournal check                         is everything in place?

Exit codes: 0 all is well, 1 it failed, 2 the command line was wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Take in what dialplans tell, keep the journal, notify others.
    ///
    /// Stops cleanly on SIGTERM and SIGINT: what was received is written down and acknowledged first.
    Serve,

    /// List calls, newest first.
    #[command(
        after_help = "Examples:\n  calljournal calls --limit 5\n  calljournal calls --json | jq '.[].id'"
    )]
    Calls {
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
        /// One JSON object: call, story, cdr, and events where they are asked for.
        #[arg(long)]
        json: bool,
    },

    /// See whether configuration, ports, database and spool are in order, and what to do where not.
    Check {
        /// Print every key of the configuration with its meaning and its default, and check nothing.
        #[arg(long)]
        defaults: bool,
    },

    /// Bring the database's schema up to date, as `serve` does at its start.
    ///
    /// For who wants to see what is done, or do it before the new version serves.
    Migrate {
        /// Only say what is pending, and fail where something is.
        #[arg(long)]
        check: bool,
    },

    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  calljournal completions bash > /etc/bash_completion.d/calljournal")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

const SHOW_EXAMPLES: &str = "\
Examples:
  calljournal show last
  calljournal show last --events            and why the call is what it is
  calljournal show 1795390723.0 --json | jq .call.disposition";

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
    let answer = match cli.command {
        Command::Completions { shell } => completions(shell).into(),
        Command::Check { defaults: true } => config::DEFAULTS.to_owned().into(),
        Command::Check { defaults: false } => {
            check::check(&paper(None), load(cli.config.as_deref()), cli.config.as_deref())
        }
        Command::Migrate { check } => {
            migrate::migrate(&load(cli.config.as_deref())?.config.store.url, check)?
        }
        Command::Serve => {
            serve(load(cli.config.as_deref())?, cli.config.as_deref())?;
            String::new().into()
        }
        Command::Calls { limit, json } => {
            let loaded = load(cli.config.as_deref())?;
            reading(&loaded.config, async |store| {
                calls::calls(&store, &paper(Some(&loaded)), limit, json).await
            })?
            .into()
        }
        Command::Show { name, events, json } => {
            let loaded = load(cli.config.as_deref())?;
            let page =
                show::Page { paper: paper(Some(&loaded)), locale: &loaded.config.call.locale, events, json };
            reading(&loaded.config, async |store| show::show(&store, &name, &page).await)?.into()
        }
    };
    print(&answer.text)?;
    Ok(if answer.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opens the database to read and asks it.
fn reading(
    config: &config::Config,
    ask: impl AsyncFnOnce(Store) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let store = Store::open_reader(&config.store.url)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(store))
}

/// Serves until SIGTERM or SIGINT.
fn serve(loaded: Loaded, file: Option<&Path>) -> anyhow::Result<()> {
    let config = loaded.config.clone();
    observe::log(config.log.format == config::LogFormat::Json, &config.log.level)?;
    if let Some(refusal) = serve::refuses_port(&loaded) {
        anyhow::bail!("{}\n      {}", refusal.what, refusal.todo);
    }
    serve::announce(&config, file);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signal = stop.clone();
        let (mut term, mut int) = (signal_of(SignalKind::terminate())?, signal_of(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
            signal.cancel();
        });
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

fn load(file: Option<&Path>) -> Result<Loaded, config::Refused> {
    // What is no UTF-8 is no variable of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    config::load(file, environment)
}

fn paper(loaded: Option<&Loaded>) -> Paper {
    let terminal = std::io::stdout().is_terminal();
    let zone = loaded.and_then(|loaded| loaded.config.call.zone()).unwrap_or_else(jiff::tz::TimeZone::system);
    Paper { colour: observe::colour(terminal), zone }
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "calljournal", &mut text);
    String::from_utf8_lossy(&text).into_owned()
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
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_shows_how_to_begin() {
        let help = Cli::command().render_long_help().to_string();
        for word in ["serve", "calls", "show", "check", "Examples:", "CALLJOURNAL_CONFIG"] {
            assert!(help.contains(word), "{word} is not in\n{help}");
        }
    }
}
