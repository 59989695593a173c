//! The command line as people and scripts meet it: words, lines of JSON, exit codes.

#[path = "cli/calls.rs"]
mod calls;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/killed.rs"]
mod killed;
#[path = "cli/lost_day.rs"]
mod lost_day;
#[path = "cli/manual.rs"]
mod manual;
#[path = "cli/simulate.rs"]
mod simulate;
#[path = "cli/tail.rs"]
mod tail;

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use super::server::{Server, Telling, calljournal, output, plain_call, said};

/// A directory with the journal of two calls, and no server.
fn journal() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for telling in plain_call(0, 1_795_390_723).into_iter().chain(plain_call(8, 1_795_390_800)) {
        assert!(telling.tell(server.agi));
    }
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    server.stop();
    dir
}

fn told(dir: &Path, arguments: &[&str]) -> String {
    let told = output(dir, arguments);
    assert_eq!(told.status.code(), Some(0), "{}", said(&told));
    String::from_utf8(told.stdout).unwrap()
}

fn json(dir: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(dir, arguments)).unwrap()
}

#[test]
fn calls_are_listed_newest_first_as_a_table_and_as_json() {
    let dir = journal();
    let table = told(dir.path(), &["calls"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("Started"), "{table}");
    assert!(lines[1].starts_with("2026-11-22 23:40:00") && lines[1].contains("ANSWERED"), "{table}");
    assert!(!table.contains('\u{1b}'), "colour where there is no terminal");
    let calls = json(dir.path(), &["calls", "--json"]);
    assert_eq!(calls[0]["linkedid"], "1795390800.8");
    assert_eq!(calls[1]["linkedid"], "1795390723.0");
    assert_eq!(json(dir.path(), &["calls", "--json", "--limit", "1"]).as_array().unwrap().len(), 1);
}

#[test]
fn the_language_is_the_one_that_is_typed_or_configured_or_the_readers_own() {
    let dir = journal();
    let heads = |typed: &[&str], configured: Option<&str>, own: &[(&str, &str)]| {
        let mut command = calljournal(dir.path(), typed);
        command.arg("calls").envs(own.iter().copied());
        command.envs(configured.map(|locale| ("CALLJOURNAL_CALL__LOCALE", locale)));
        let told = said(&command.output().unwrap());
        told.split(' ').next().unwrap().to_owned()
    };
    let (english, russian) = ("Started", "Начало");
    assert_eq!(heads(&[], None, &[]), english);
    assert_eq!(heads(&[], None, &[("LANG", "ru_RU.UTF-8")]), russian);
    assert_eq!(heads(&[], None, &[("LANG", "ru_RU.UTF-8"), ("LC_MESSAGES", "C")]), english);
    assert_eq!(heads(&[], None, &[("LANG", "C"), ("LC_ALL", "ru_RU")]), russian);
    assert_eq!(heads(&[], Some("en"), &[("LANG", "ru_RU.UTF-8")]), english);
    assert_eq!(heads(&["--locale", "ru"], Some("en"), &[]), russian);
    assert_eq!(heads(&["--locale", "tlh"], Some("ru"), &[]), english);
}

#[test]
fn a_call_and_the_state_of_things_are_told_in_russian_where_that_is_wanted() {
    let dir = journal();
    let page = told(dir.path(), &["--locale=ru", "show", "last", "--events"]);
    for word in [
        "входящий",
        "Отвечен",
        "Вызывается 101",
        "завершён",
        "Что изменило",
        "79190000000 звонит на 73512020318",
        "101 отвечает, идёт разговор",
        "канал 79190000000 закрыт, он был последним",
    ] {
        assert!(page.contains(word), "{word} is not in\n{page}");
    }
    let noted = json(dir.path(), &["--locale=ru", "show", "last", "--events", "--json"]);
    assert_eq!(noted["events"][1]["note"], "leg 101 rings", "programs get one language");
    for (name, told) in [("nobody", "звонок \"nobody\" не найден"), ("1795390999.0", "calljournal calls")]
    {
        let refused = output(dir.path(), &["--locale=ru", "show", name]);
        assert!(refused.status.code() == Some(1) && said(&refused).contains(told), "{}", said(&refused));
    }
    let nothing = tempfile::tempdir().unwrap();
    let migrated = said(&output(nothing.path(), &["--locale=ru", "migrate"]));
    assert!(migrated.contains("версия 00000000000001 установлена"), "{migrated}");
    let refused = output(nothing.path(), &["--locale=ru", "show", "last"]);
    assert!(said(&refused).contains("Звонков ещё нет"), "{}", said(&refused));
    let story = json(dir.path(), &["--locale=ru", "show", "last", "--json"]);
    assert_eq!(story["story"][1]["text"], "Вызывается 101");
    let checked = calljournal(dir.path(), &["--locale=ru", "check"])
        .env("CALLJOURNAL_AGI__LISTEN", "127.0.0.1:0")
        .env("CALLJOURNAL_HTTP__LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    let text = said(&checked);
    assert!(text.starts_with("в порядке  настройки: по умолчанию"), "{text}");
    assert!(text.contains("внимание   спул: каталога"), "{text}");
}

#[test]
fn times_are_told_in_the_configured_zone() {
    let dir = journal();
    let told =
        calljournal(dir.path(), &["calls"]).env("CALLJOURNAL_CALL__TIMEZONE", "Asia/Tokyo").output().unwrap();
    assert!(said(&told).contains("2026-11-23 08:40:00"), "{}", said(&told));
}

#[test]
fn a_call_is_found_by_every_name_it_has() {
    let dir = journal();
    let last = json(dir.path(), &["show", "last", "--json"]);
    assert_eq!(last["call"]["linkedid"], "1795390800.8");
    let id = last["call"]["id"].as_str().unwrap().to_owned();
    for name in [id.as_str(), &id[..18], &id.to_uppercase()[..18], "1795390800.8", "1795390800.9"] {
        assert_eq!(json(dir.path(), &["show", name, "--json"])["call"]["id"], id.as_str(), "{name}");
    }
    for name in ["1795390999.0", "ffffffff", "nobody", ""] {
        let refused = output(dir.path(), &["show", name]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        assert!(said(&refused).contains("calljournal calls"), "{}", said(&refused));
    }
}

#[test]
fn a_call_is_told_as_story_legs_and_events() {
    let dir = journal();
    let page = told(dir.path(), &["show", "last", "--events"]);
    for word in ["79190000000", "73512020318", "ANSWERED", "101", "Outcome", "What it did", "hangup"] {
        assert!(page.contains(word), "{word} is not in\n{page}");
    }
    let whole = json(dir.path(), &["show", "last", "--json", "--events"]);
    assert!(!whole["story"].as_array().unwrap().is_empty());
    assert_eq!(whole["cdr"].as_array().unwrap().len(), 1);
    assert_eq!(whole["events"].as_array().unwrap().len(), 5);
    assert!(whole["events"][0]["note"].is_string());
    assert!(json(dir.path(), &["show", "last", "--json"]).get("events").is_none());
}

#[test]
fn a_callers_name_cannot_move_the_cursor_or_break_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let name = "name=%1B%5B2J%0Aok%0D%00%E2%80%AE%D0%98";
    let start = Telling::new("start", "1795390723.0", "1795390723.0", 1, 1_795_390_723_000, &[name]);
    assert!(start.tell(server.agi));
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    for page in [&["calls"][..], &["show", "last", "--events"]] {
        let page = told(dir.path(), page);
        assert!(page.contains(r"\u{1b}[2J\nok\r\u{0}\u{202e}И"), "{page}");
        assert!(page.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{page:?}");
    }
    server.stop();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = journal();
    let mut process = calljournal(dir.path(), &["calls", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let ended = process.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), said(&ended)), (Some(0), String::new()));
}

#[test]
fn a_wrong_command_line_is_code_2_and_an_unknown_key_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in [&["call"][..], &["calls", "--limit", "0"], &["show"], &[]] {
        assert_eq!(output(dir.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
    std::fs::write(dir.path().join("cj.toml"), "[agi]\nallow = []\nlisten_at = 1\n").unwrap();
    for command in ["check", "calls", "serve"] {
        let refused = output(dir.path(), &["--config", "cj.toml", command]);
        assert_eq!(refused.status.code(), Some(1));
        let said = said(&refused);
        assert!(
            said.contains("cj.toml, line 3: no such key in [agi]: listen_at; did you mean listen?"),
            "{said}"
        );
    }
    let refused = output(dir.path(), &["--config", "absent.toml", "check"]);
    assert!(said(&refused).contains("absent.toml"), "{}", said(&refused));
}

#[test]
fn check_names_who_holds_the_port_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let checked =
        calljournal(dir.path(), &["check"]).env("CALLJOURNAL_AGI__LISTEN", &address).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let text = said(&checked);
    assert!(text.contains(&format!("FAIL  FastAGI: {address} is held by")), "{text}");
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
}

#[test]
fn check_knows_its_own_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let checked = calljournal(dir.path(), &["check"])
        .env("CALLJOURNAL_AGI__LISTEN", server.agi.to_string())
        .env("CALLJOURNAL_HTTP__LISTEN", server.http.to_string())
        .output()
        .unwrap();
    let text = said(&checked);
    assert_eq!(checked.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!("calljournal serves on {} (process {})", server.agi, server.pid())),
        "{text}"
    );
    assert!(text.contains("schema up to date"), "{text}");
    server.stop();
}

#[test]
fn every_key_can_be_read_and_what_is_printed_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let keys = told(dir.path(), &["check", "--defaults"]);
    assert!(keys.contains("grace_ms = 1500"));
    std::fs::write(dir.path().join("all.toml"), keys).unwrap();
    told(dir.path(), &["--config", "all.toml", "check", "--defaults"]);
}
