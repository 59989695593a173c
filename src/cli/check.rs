//! `calljournal check`: is everything in place, and what to do where it is not.
//!
//! Looks and changes nothing: no file is made, no schema brought up to date, a port is held for an instant.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::Answer;
use super::holder::{self, Holder};
use super::paper::{Ink, Paper};
use crate::config::{Config, Loaded, Refused};
use crate::serve::{self, SpoolState};
use crate::store::{Place, Store, StoreError, shown};

/// How a finding is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
struct Finding {
    mark: Mark,
    what: String,
    /// What to do about it.
    todo: Option<String>,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Finding {
        Finding { mark: Mark::Ok, what: what.into(), todo: None }
    }

    fn warn(what: impl Into<String>, todo: impl Into<String>) -> Finding {
        Finding { mark: Mark::Warn, what: what.into(), todo: Some(todo.into()) }
    }

    fn fail(what: impl Into<String>, todo: impl Into<String>) -> Finding {
        Finding { mark: Mark::Fail, what: what.into(), todo: Some(todo.into()) }
    }
}

/// Looks at everything that `loaded` names.
pub fn check(paper: &Paper, loaded: Result<Loaded, Refused>, file: Option<&Path>) -> Answer {
    let findings = match loaded {
        Err(Refused(complaints)) => {
            let todo = "every key with its meaning: calljournal check --defaults";
            complaints.into_iter().map(|complaint| Finding::fail(complaint, todo)).collect()
        }
        Ok(loaded) => {
            let source = file.map_or("defaults, no file named".to_owned(), |file| file.display().to_string());
            let mut findings = vec![Finding::ok(format!("configuration: {source}"))];
            findings.extend(look(&loaded));
            findings
        }
    };
    let text = findings.iter().map(|finding| line(finding, paper)).collect::<Vec<_>>().join("\n");
    Answer { text, well: findings.iter().all(|finding| finding.mark != Mark::Fail) }
}

fn line(finding: &Finding, paper: &Paper) -> String {
    let (word, ink) = match finding.mark {
        Mark::Ok => ("ok  ", Ink::Green),
        Mark::Warn => ("warn", Ink::Yellow),
        Mark::Fail => ("FAIL", Ink::Red),
    };
    let todo = finding.todo.iter().map(|todo| format!("\n      {todo}")).collect::<String>();
    format!("{}  {}{todo}", paper.ink(ink, word), finding.what)
}

fn look(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let agi = match serve::refuses_port(loaded) {
        Some(reason) => Finding::fail(reason.what, reason.todo),
        None => port("FastAGI", "agi.listen", config.agi.listen),
    };
    vec![
        agi,
        exposure(config),
        port("HTTP", "http.listen", config.http.listen),
        database(config),
        spool(&config.spool.dir),
        receivers(config),
    ]
}

fn port(name: &str, key: &str, listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(format!("{name}: {listen} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => match holder::of(listen) {
            Some(Holder { program, pid }) if program == "calljournal" => {
                Finding::ok(format!("{name}: calljournal serves on {listen} (process {pid})"))
            }
            Some(Holder { program, pid }) => Finding::fail(
                format!("{name}: {listen} is held by {program} (process {pid})"),
                format!("stop it, or choose another port: {key}"),
            ),
            None => Finding::fail(
                format!("{name}: {listen} is held by another process"),
                format!("as root this check names it; or choose another port: {key}"),
            ),
        },
        Err(e) => Finding::fail(
            format!("{name}: cannot listen on {listen}: {e}"),
            format!("{key} must be an address of this machine, and a port that this user may take"),
        ),
    }
}

fn exposure(config: &Config) -> Finding {
    let agi = &config.agi;
    let wide = agi.allow.iter().any(|network| network.prefix_len() == 0);
    match (agi.listen.ip().is_loopback(), wide && agi.secret.is_none()) {
        (true, _) => Finding::ok("FastAGI: this machine alone can connect"),
        (false, false) => {
            let networks: Vec<String> = agi.allow.iter().map(ToString::to_string).collect();
            Finding::ok(format!("FastAGI: open to {}", networks.join(", ")))
        }
        (false, true) => Finding::warn(
            "FastAGI: anybody who reaches the port can write calls",
            "name the networks of your Asterisks in agi.allow, or set agi.secret",
        ),
    }
}

fn database(config: &Config) -> Finding {
    let url = shown(&config.store.url);
    match Store::open_reader(&config.store.url) {
        Ok(_) => Finding::ok(format!(
            "database: {url}, schema up to date; serve checks at start that it is durable"
        )),
        Err(StoreError::Missing(path)) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            if parent.is_dir() {
                Finding::ok(format!("database: {} will be made at the first start", path.display()))
            } else {
                Finding::fail(
                    format!("database: the directory {} does not exist", parent.display()),
                    format!("install -d -m 0750 {}", parent.display()),
                )
            }
        }
        Err(e @ StoreError::Older(Place::Server(_))) => {
            Finding::warn(format!("database: {e}"), "where there is none yet, it is made so too")
        }
        Err(e @ StoreError::Older(_)) => Finding::warn(format!("database: {e}"), "nothing else to do"),
        Err(e) => Finding::fail(format!("database: {e}"), "calls are neither kept nor shown until then"),
    }
}

fn spool(dir: &Path) -> Finding {
    let what = format!("spool: {}", dir.display());
    match serve::spool_state(dir) {
        SpoolState::Good => Finding::ok(what),
        SpoolState::Odd { reason, todo } => Finding::warn(format!("{what} {reason}"), todo),
        SpoolState::Missing { todo } => {
            Finding::warn(format!("{what} is missing: events that the server does not take are lost"), todo)
        }
        SpoolState::Unreadable { reason, todo } => {
            Finding::fail(format!("{what} cannot be read ({reason}): what waits there is not taken in"), todo)
        }
    }
}

fn receivers(config: &Config) -> Finding {
    match config.notify.as_slice() {
        [] => Finding::ok("notices: nobody wants any ([[notify]] is not set)"),
        endpoints => {
            let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
            Finding::ok(format!("notices: to {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_configuration_is_a_failure_with_all_its_complaints() {
        let refused = Refused(vec!["a.toml, line 1: x".into(), "a.toml, line 2: y".into()]);
        let answer = check(&Paper::plain(), Err(refused), None);
        assert!(!answer.well);
        assert_eq!(answer.text.matches("FAIL").count(), 2);
    }

    #[test]
    fn a_port_that_another_process_holds_is_a_failure() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = port("HTTP", "http.listen", held.local_addr().unwrap());
        assert_eq!(found.mark, Mark::Fail);
        assert!(found.todo.unwrap().contains("http.listen"));
    }

    #[test]
    fn a_missing_database_is_no_failure_where_it_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.url = format!("sqlite://{}/cj.db", dir.path().display());
        assert_eq!(database(&config).mark, Mark::Ok);
        config.store.url = format!("sqlite://{}/absent/cj.db", dir.path().display());
        assert_eq!(database(&config).mark, Mark::Fail);
    }

    #[test]
    fn a_port_that_is_open_to_everybody_is_told() {
        let mut config = Config::default();
        assert_eq!(exposure(&config).mark, Mark::Ok);
        config.agi.listen = "0.0.0.0:4573".parse().unwrap();
        assert_eq!(exposure(&config).mark, Mark::Ok);
        config.agi.allow = vec!["0.0.0.0/0".parse().unwrap()];
        assert_eq!(exposure(&config).mark, Mark::Warn);
    }
}
