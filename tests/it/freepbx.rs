//! On a machine of FreePBX: the port that belongs to its own FastAGI server is left alone.
//!
//! The program sees an `/etc` of the test's own, in a mount namespace that ends with it, so nothing of this machine
//! is touched and nothing in the program knows of tests.

use std::path::Path;
use std::process::Command;

use crate::server::{calljournal, said};

/// The program with these arguments on a machine whose `/etc` is `etc`.
fn on_a_machine_with(etc: &Path, dir: &Path, arguments: &[&str]) -> Command {
    let real = calljournal(dir, arguments);
    let mut command = Command::new("unshare");
    command
        .args([
            "--map-root-user",
            "--mount",
            "sh",
            "-ec",
            r#"mount --bind "$1" /etc; shift; exec "$@""#,
            "sh",
        ])
        .arg(etc)
        .arg(real.get_program())
        .args(real.get_args())
        .current_dir(dir)
        .envs(real.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env_remove("CALLJOURNAL_CONFIG");
    command
}

/// Whether this machine lets us have a mount namespace; says loudly where it does not.
fn can_pretend(etc: &Path) -> bool {
    let tried = on_a_machine_with(etc, etc, &["--version"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("\n*** SKIPPED: no mount namespace here; FreePBX's port was not tried ***\n");
        assert!(std::env::var_os("CI").is_none(), "CI is set, so a skipped part is a failed part");
    }
    can
}

#[test]
fn where_freepbx_lives_its_port_is_refused_with_the_lines_to_write() {
    let (etc, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(etc.path().join("freepbx.conf"), "<?php\n").unwrap();
    if !can_pretend(etc.path()) {
        return;
    }
    for arguments in [["serve"], ["check"]] {
        let output = on_a_machine_with(etc.path(), dir.path(), &arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?} took the port");
        let said = said(&output);
        let words = [
            "4573 belongs to FreePBX",
            "ring groups need it",
            "listen = \"127.0.0.1:4574\"",
            "globals_custom.conf",
            "CALLJOURNAL_SERVER = 127.0.0.1:4574",
        ];
        for word in words {
            assert!(said.contains(word), "{arguments:?} does not say {word:?}:\n{said}");
        }
    }
    assert!(!dir.path().join("calljournal.db").exists(), "something was begun before it was refused");
}

#[test]
fn what_it_tells_to_write_is_what_it_takes() {
    let (etc, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(etc.path().join("freepbx.conf"), "<?php\n").unwrap();
    if !can_pretend(etc.path()) {
        return;
    }
    let config = dir.path().join("calljournal.toml");
    std::fs::write(&config, "[agi]\nlisten = \"127.0.0.1:4574\"\n").unwrap();
    let output = on_a_machine_with(etc.path(), dir.path(), &["--config", "calljournal.toml", "check"])
        .output()
        .unwrap();
    let said = said(&output);
    // Another process may hold 4574 here; that it belongs to FreePBX is not said of it.
    assert!(said.contains("127.0.0.1:4574") && !said.contains("FreePBX"), "{said}");
}
