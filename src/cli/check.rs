//! `calljournal check`: is everything in place, and what to do where it is not.
//!
//! Looks and changes nothing: no file is made, no schema brought up to date, a port is held for an instant.

mod manager;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::Answer;
use super::holder::{self, Holder};
use super::paper::{Ink, Paper};
use crate::call::words::Words;
use crate::config::{self, Config, Loaded, Refused};
use crate::event::Event;
use crate::intake::{self, Apart};
use crate::notify::Clients;
use crate::serve::{self, SpoolState};
use crate::store::{Place, Store, StoreError, ledger, shown};

/// How many of the last events are looked through.
const LATEST: usize = 20_000;

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
    let words = &paper.words;
    let findings = match loaded {
        Err(Refused(complaints)) => {
            let todo = words.plain("check-every-key");
            complaints.into_iter().map(|complaint| Finding::fail(complaint, todo.clone())).collect()
        }
        Ok(loaded) => {
            let source = file.map_or(words.plain("check-no-file"), |file| file.display().to_string());
            let configuration = words.say("check-configuration", &[("source", (&source).into())]);
            let mut findings = vec![Finding::ok(configuration)];
            findings.extend(look(&loaded, words));
            findings
        }
    };
    let text = findings.iter().map(|finding| line(finding, paper)).collect::<Vec<_>>().join("\n");
    Answer { text, well: findings.iter().all(|finding| finding.mark != Mark::Fail) }
}

fn line(finding: &Finding, paper: &Paper) -> String {
    let marks = ["mark-ok", "mark-warn", "mark-fail"].map(|id| paper.word(id));
    let width = marks.iter().map(|mark| mark.chars().count()).max().unwrap_or_default();
    let [ok, warn, fail] = marks;
    let (word, ink) = match finding.mark {
        Mark::Ok => (ok, Ink::Green),
        Mark::Warn => (warn, Ink::Yellow),
        Mark::Fail => (fail, Ink::Red),
    };
    let todo = finding.todo.iter().flat_map(|todo| todo.lines());
    let todo = todo.map(|line| format!("\n{:indent$}{line}", "", indent = width + 2));
    format!("{}  {}{}", paper.ink(ink, &format!("{word:width$}")), finding.what, todo.collect::<String>())
}

fn look(loaded: &Loaded, words: &Words) -> Vec<Finding> {
    let config = &loaded.config;
    let agi = if serve::is_port_of_freepbx(loaded) {
        let (what, todo) = port_of_freepbx(words);
        Finding::fail(what, todo)
    } else {
        port("FastAGI", "agi.listen", config.agi.listen, words)
    };
    let mut findings = vec![
        agi,
        exposure(config, words),
        port("HTTP", "http.listen", config.http.listen, words),
        database(config, words),
        spool(&config.spool.dir, words),
    ];
    findings.extend(receivers(config, words));
    findings.extend(manager::look(config, words));
    findings.extend(no_ways(config, words));
    findings.extend(names(config, words));
    findings
}

/// Why a port is not taken though it may be free, and which lines to write.
pub(super) fn port_of_freepbx(words: &Words) -> (String, String) {
    let todo = format!(
        "{}\n    [agi]\n    listen = \"127.0.0.1:4574\"\n{}\n    CALLJOURNAL_SERVER = 127.0.0.1:4574",
        words.plain("check-freepbx-server"),
        words.plain("check-freepbx-dialplan")
    );
    (words.plain("check-freepbx"), todo)
}

fn port(name: &str, key: &str, listen: SocketAddr, words: &Words) -> Finding {
    let listens = listen.to_string();
    let said = |id: &str, more: &[(&str, &str)]| {
        say(id, &[&[("name", name), ("listen", &listens), ("key", key)], more].concat(), words)
    };
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(said("check-port-free", &[])),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => match holder::of(listen) {
            Some(Holder { program, pid }) => {
                let who = [("program", program.as_str()), ("pid", &pid.to_string())];
                if program == "calljournal" {
                    Finding::ok(said("check-port-ours", &who))
                } else {
                    Finding::fail(said("check-port-held", &who), said("check-port-held-todo", &[]))
                }
            }
            None => Finding::fail(said("check-port-unseen", &[]), said("check-port-unseen-todo", &[])),
        },
        Err(e) => {
            let what = said("check-port-failed", &[("reason", &e.to_string())]);
            Finding::fail(what, said("check-port-failed-todo", &[]))
        }
    }
}

fn exposure(config: &Config, words: &Words) -> Finding {
    let agi = &config.agi;
    let wide = agi.allow.iter().any(|network| network.prefix_len() == 0);
    match (agi.listen.ip().is_loopback(), wide && agi.secret.is_none()) {
        (true, _) => Finding::ok(words.plain("check-local")),
        (false, false) => {
            let networks: Vec<String> = agi.allow.iter().map(ToString::to_string).collect();
            let networks = networks.join(", ");
            Finding::ok(words.say("check-networks", &[("networks", (&networks).into())]))
        }
        (false, true) => Finding::warn(words.plain("check-open"), words.plain("check-open-todo")),
    }
}

fn database(config: &Config, words: &Words) -> Finding {
    let url = shown(&config.store.url);
    let said = |id: &str, name: &str, text: &str| words.say(id, &[(name, text.into())]);
    match Store::open_reader(&config.store.url) {
        Ok(_) => Finding::ok(said("check-database", "url", &url)),
        Err(StoreError::Missing(path)) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            if parent.is_dir() {
                Finding::ok(said("check-database-new", "path", &path.display().to_string()))
            } else {
                Finding::fail(
                    said("check-database-nowhere", "path", &parent.display().to_string()),
                    format!("install -d -m 0750 {}", parent.display()),
                )
            }
        }
        Err(e) => {
            let what = unopened(&e, words);
            match e {
                StoreError::Older(Place::Server(_)) => Finding::warn(what, words.plain("check-made-too")),
                StoreError::Older(_) => Finding::warn(what, words.plain("check-nothing-to-do")),
                StoreError::Open { place: Place::File(_), .. } => {
                    Finding::fail(what, words.plain("check-database-closed-file"))
                }
                StoreError::Open { place: Place::Server(_), .. } => {
                    Finding::fail(what, words.plain("check-database-closed-server"))
                }
                _ => Finding::fail(what, words.plain("check-database-wrong-todo")),
            }
        }
    }
}

/// The pbxes of which the last events show that two Asterisks go by their name, or one by two.
fn names(config: &Config, words: &Words) -> Vec<Finding> {
    let Ok(store) = Store::open_reader(&config.store.url) else { return Vec::new() };
    let Ok(runtime) = super::runtime() else { return Vec::new() };
    let latest = store.read("latest events", |db| ledger::latest(db, LATEST));
    let Ok(entries) = runtime.block_on(latest) else { return Vec::new() };
    let events: Vec<Event> = entries.into_iter().filter_map(|entry| entry.into_event().ok()).collect();
    let warn = |pbx: &str| {
        Finding::warn(
            say("check-two-of-one-name", &[("pbx", pbx)], words),
            words.plain("check-two-of-one-name-todo"),
        )
    };
    let apart = intake::names_apart(&events).into_iter().map(|Apart { ami, dialplan }| {
        let names = [("ami", ami.as_str()), ("dialplan", &dialplan)];
        Finding::warn(say("check-names-apart", &names, words), say("check-names-apart-todo", &names, words))
    });
    intake::shared_names(&events).iter().map(|pbx| warn(pbx)).chain(apart).collect()
}

/// Why the database cannot be read. What the database or the system itself says is in its own language.
fn unopened(error: &StoreError, words: &Words) -> String {
    let said = |id: &str, place: &Place, more: &[(&str, &str)]| {
        say(id, &[&[("place", place.to_string().as_str())], more].concat(), words)
    };
    match error {
        StoreError::Older(place) => said("check-database-older", place, &[]),
        StoreError::Newer { place, version } => said("check-database-newer", place, &[("version", version)]),
        StoreError::Open { place, reason } => said("check-database-closed", place, &[("reason", reason)]),
        StoreError::NoTls(place) => said("check-database-tls", place, &[]),
        other => say("check-database-wrong", &[("reason", &other.to_string())], words),
    }
}

/// The sentence `id` with texts in it.
fn say(id: &str, texts: &[(&str, &str)], words: &Words) -> String {
    words.say(id, &texts.iter().map(|(name, text)| (*name, (*text).into())).collect::<Vec<_>>())
}

fn spool(dir: &Path, words: &Words) -> Finding {
    let dir_text = dir.display().to_string();
    let said =
        |id: &str, more: &[(&str, &str)]| say(id, &[&[("dir", dir_text.as_str())], more].concat(), words);
    let mode = |mode: u32| format!("{mode:o}");
    let state = serve::spool_state(dir);
    let todo = state.remedy(dir).unwrap_or_else(|| words.plain("check-spool-group"));
    match state {
        SpoolState::Good => Finding::ok(said("check-spool", &[])),
        SpoolState::Open(bits) => Finding::warn(said("check-spool-open", &[("mode", &mode(bits))]), todo),
        SpoolState::Unshared(bits) => {
            Finding::warn(said("check-spool-unshared", &[("mode", &mode(bits))]), todo)
        }
        SpoolState::Missing => Finding::warn(said("check-spool-missing", &[]), todo),
        SpoolState::NoDirectory => Finding::fail(said("check-spool-no-directory", &[]), todo),
        SpoolState::Unreadable(reason) => {
            Finding::fail(said("check-spool-unreadable", &[("reason", &reason)]), todo)
        }
    }
}

fn receivers(config: &Config, words: &Words) -> Vec<Finding> {
    let fail = |(name, what): (String, String)| {
        let todo = words.plain("check-receiver-todo");
        Finding::fail(say("check-receiver", &[("name", &name), ("what", &what)], words), todo)
    };
    let failed: Vec<Finding> = serve::complaints(config).into_iter().map(fail).collect();
    match config.notify.as_slice() {
        _ if !failed.is_empty() => failed,
        [] => vec![Finding::ok(words.plain("check-nobody"))],
        endpoints => {
            let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
            let names = names.join(", ");
            vec![Finding::ok(words.say("check-receivers", &[("names", (&names).into())]))]
        }
    }
}

/// Receivers to whom there is no way: a `ca_file` that cannot be read, a `proxy` that is none.
fn no_ways(config: &Config, words: &Words) -> Vec<Finding> {
    let clients = Clients::default();
    let no_way = |endpoint: &config::Endpoint| {
        let why = clients.of(endpoint).err()?;
        let what = say("check-no-way", &[("name", &endpoint.name), ("why", &why)], words);
        Some(Finding::fail(what, words.plain("check-no-way-todo")))
    };
    config.notify.iter().filter_map(no_way).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::call::words::Language;

    fn english() -> Words {
        Paper::plain(Language::En).words
    }

    #[test]
    fn a_refused_configuration_is_a_failure_with_all_its_complaints() {
        let refused = Refused(vec!["a.toml, line 1: x".into(), "a.toml, line 2: y".into()]);
        let answer = check(&Paper::plain(Language::En), Err(refused), None);
        assert!(!answer.well);
        assert_eq!(answer.text.matches("FAIL").count(), 2);
    }

    #[test]
    fn a_port_that_another_process_holds_is_a_failure() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = port("HTTP", "http.listen", held.local_addr().unwrap(), &english());
        assert_eq!(found.mark, Mark::Fail);
        assert!(found.todo.unwrap().contains("http.listen"));
    }

    #[test]
    fn a_missing_database_is_no_failure_where_it_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.url = format!("sqlite://{}/cj.db", dir.path().display());
        assert_eq!(database(&config, &english()).mark, Mark::Ok);
        config.store.url = format!("sqlite://{}/absent/cj.db", dir.path().display());
        assert_eq!(database(&config, &english()).mark, Mark::Fail);
    }

    #[test]
    fn a_spool_that_is_not_as_it_should_be_is_told_in_the_readers_language() {
        let dir = tempfile::tempdir().unwrap();
        let russian = Paper::plain(Language::Ru).words;
        for (mode, told) in
            [(0o2777, "может писать кто угодно (права 2777)"), (0o700, "права 700, а не 2770")]
        {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let found = spool(dir.path(), &russian);
            assert!(found.mark == Mark::Warn && found.what.contains(told), "{}", found.what);
            assert_eq!(found.todo, Some(format!("chmod 2770 {}", dir.path().display())));
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let found = spool(&file, &russian);
        assert!(found.mark == Mark::Fail && found.what.contains("не каталог"), "{}", found.what);
        assert!(spool(&file, &english()).what.contains("is no directory"));
    }

    #[test]
    fn a_database_that_is_none_is_told_in_the_readers_language() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.url = format!("sqlite://{}", dir.path().display());
        let found = database(&config, &Paper::plain(Language::Ru).words);
        assert!(found.mark == Mark::Fail && found.what.contains("не открывается"), "{}", found.what);
        assert!(found.todo.unwrap().contains("каталог"));
    }

    #[test]
    fn what_is_to_be_written_stands_under_what_is_wrong() {
        for (language, first, indent) in [
            (Language::En, "FAIL  FastAGI: port 4573 belongs to FreePBX", "      "),
            (Language::Ru, "ОШИБКА     FastAGI: порт 4573 принадлежит здесь FreePBX", "           "),
        ] {
            let paper = Paper::plain(language);
            let (what, todo) = port_of_freepbx(&paper.words);
            let told = line(&Finding::fail(what, todo), &paper);
            assert!(told.starts_with(first), "{told}");
            assert!(told.contains(&format!("\n{indent}    listen = \"127.0.0.1:4574\"\n")), "{told}");
        }
    }

    #[test]
    fn a_receiver_to_whom_there_is_no_way_is_told() {
        let mut config = Config::default();
        let receiver = |ca_file: Option<&str>, proxy: Option<&str>| config::Endpoint {
            name: "crm".to_owned(),
            ca_file: ca_file.map(Into::into),
            proxy: proxy.map(str::to_owned),
            ..Default::default()
        };
        config.notify = vec![receiver(None, Some("http://u:geheim@proxy:3128"))];
        assert!(no_ways(&config, &english()).is_empty());
        for (endpoint, why) in [
            (receiver(Some("/nowhere/ca.pem"), None), "cannot be read"),
            (receiver(Some("/dev/null"), None), "holds no certificate"),
            (receiver(None, Some("https://u:geheim@proxy:3128")), "over http://"),
            (receiver(None, Some("geheim")), "write http://host:port"),
        ] {
            config.notify = vec![endpoint];
            let [found] = &no_ways(&config, &english())[..] else { panic!("{why}") };
            assert!(found.mark == Mark::Fail && found.what.contains(why), "{}", found.what);
            assert!(!found.what.contains("geheim"), "{}", found.what);
        }
    }

    #[test]
    fn a_port_that_is_open_to_everybody_is_told() {
        let mut config = Config::default();
        assert_eq!(exposure(&config, &english()).mark, Mark::Ok);
        config.agi.listen = "0.0.0.0:4573".parse().unwrap();
        assert_eq!(exposure(&config, &english()).mark, Mark::Ok);
        config.agi.allow = vec!["0.0.0.0/0".parse().unwrap()];
        assert_eq!(exposure(&config, &english()).mark, Mark::Warn);
    }
}
