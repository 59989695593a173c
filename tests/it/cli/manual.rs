//! What the program knows of its own commands: manual pages, and completions that a shell can use.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::super::server::{output, said};
use super::told;

const COMMANDS: [&str; 15] = [
    "serve",
    "calls",
    "show",
    "tail",
    "export",
    "import",
    "spool",
    "reconcile",
    "simulate",
    "check",
    "status",
    "migrate",
    "notify",
    "man",
    "completions",
];

/// What bash offers for the last of these words, which is not yet typed to its end.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let completes = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _calljournal "$1" "${@: -1}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let asked = Command::new("bash").args(["-ec", completes, "bash"]).arg(script).args(words).output();
    let asked = asked.unwrap();
    assert!(asked.status.success(), "{}", said(&asked));
    String::from_utf8(asked.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("completions");
    std::fs::write(&script, told(dir.path(), &["completions", "bash"])).unwrap();
    for (words, wanted) in [
        (&["calljournal", "sh"][..], &["show"][..]),
        (&["calljournal", "calls", "--mi"], &["--missed"]),
        (&["calljournal", "calls", "--direction", ""], &["in", "out", "int", "unknown"]),
        (&["calljournal", "export", "--format", "js"], &["json"]),
        (&["calljournal", "--locale", "ru", "simulate", "--cl"], &["--clean"]),
    ] {
        assert_eq!(offered(&script, words), wanted, "{words:?}");
    }
    let all: BTreeSet<String> = offered(&script, &["calljournal", ""]).into_iter().collect();
    assert!(COMMANDS.iter().all(|command| all.contains(*command)), "{all:?}");
}

#[test]
fn the_completions_of_every_shell_know_all_commands_and_their_options() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = told(dir.path(), &["completions", shell]);
        for word in COMMANDS.into_iter().chain(["missed", "raw", "clean"]) {
            assert!(script.contains(word), "{word} is not in that of {shell}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page_and_every_page_that_is_named_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    std::fs::create_dir(&pages).unwrap();
    assert_eq!(told(dir.path(), &["man", "--all", "man1"]), "");
    let mut there = BTreeSet::from(["calljournal".to_owned()]);
    for command in COMMANDS {
        let name = format!("calljournal-{command}");
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        assert_eq!(page, told(dir.path(), &["man", command]));
        // Commands of a command have pages of their own, which its page names.
        let plain = page.replace('\\', "");
        let below = plain.split_whitespace().filter_map(|word| word.strip_suffix("(1)"));
        there.extend(below.filter(|below| below.starts_with(&format!("{name}-"))).map(str::to_owned));
        there.insert(name);
    }
    let whole = std::fs::read_to_string(pages.join("calljournal.1")).unwrap();
    assert_eq!(whole, told(dir.path(), &["man"]));
    let plain = whole.replace('\\', "");
    let named = plain.split_whitespace().filter_map(|word| word.strip_suffix("(1)"));
    let named: BTreeSet<&str> = named.filter(|name| name.starts_with("calljournal-")).collect();
    assert_eq!(named.len(), COMMANDS.len(), "{named:?}");
    let files = std::fs::read_dir(&pages).unwrap().map(|page| page.unwrap().file_name());
    let files: BTreeSet<String> =
        files.map(|name| name.to_str().unwrap().strip_suffix(".1").unwrap().to_owned()).collect();
    assert_eq!(files, there);
    assert!(named.iter().all(|name| there.contains(*name)), "{named:?}");
}

#[test]
fn manual_pages_that_cannot_be_written_and_a_command_that_is_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = output(dir.path(), &["man", "--all", "absent"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("cannot write manual pages into absent"), "{}", said(&refused));
    let refused = output(dir.path(), &["man", "call"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("calls"), "{}", said(&refused));
}
