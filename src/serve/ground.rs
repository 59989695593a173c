//! What the machine offers before anything is started: the spool directory, and a port that is spoken for.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::{Loaded, make_spool};

/// Set group id, and all for owner and group: what both write there, both can read.
const SHARED: u32 = 0o2770;

/// Files that every FreePBX has.
const FREEPBX: [&str; 2] = ["/etc/freepbx.conf", "/etc/amportal.conf"];

/// The port of FastAGI, and of FreePBX's own server for it.
const FASTAGI: u16 = 4573;

/// How the spool directory stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolState {
    /// As it should be.
    Good,
    /// It works, but not as it should.
    Odd {
        /// What is odd.
        reason: String,
        /// The command that puts it right.
        todo: String,
    },
    /// There is none: the dialplan has nowhere to write to.
    Missing {
        /// The command that makes it.
        todo: String,
    },
    /// This user may not look into it.
    Unreadable {
        /// What the system says.
        reason: String,
        /// What to do.
        todo: String,
    },
}

/// Looks at the spool directory; changes nothing.
#[must_use]
pub fn spool_state(dir: &Path) -> SpoolState {
    let make = make_spool(dir);
    let join = "let this server's user into Asterisk's group: SupplementaryGroups=asterisk for systemd, \
                else usermod -aG asterisk USER";
    let unreadable = |reason: String| SpoolState::Unreadable { reason, todo: join.to_owned() };
    let about = match std::fs::metadata(dir) {
        Ok(about) => about,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return SpoolState::Missing { todo: make },
        Err(e) => return unreadable(e.to_string()),
    };
    if !about.is_dir() {
        return SpoolState::Unreadable { reason: "it is no directory".to_owned(), todo: make };
    }
    if let Err(e) = std::fs::read_dir(dir) {
        return unreadable(e.to_string());
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o002 != 0 {
        let reason = format!("can be written by everybody (mode {mode:o}): anybody here could write calls");
        return SpoolState::Odd { reason, todo: format!("chmod 2770 {}", dir.display()) };
    }
    if mode & SHARED != SHARED {
        let reason =
            format!("has mode {mode:o}, not 2770: Asterisk and this server may not both write there");
        return SpoolState::Odd { reason, todo: format!("chmod 2770 {}", dir.display()) };
    }
    SpoolState::Good
}

/// Why a port is not taken though it may be free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What stands against it.
    pub what: String,
    /// Which lines to write.
    pub todo: String,
}

/// FreePBX's own FastAGI server lives on 4573 and its ring groups need it (`core/node/fastagi-server.js`), so
/// that port is taken there only where somebody wrote that it shall be.
#[must_use]
pub fn refuses_port(loaded: &Loaded) -> Option<Refusal> {
    let freepbx = FREEPBX.iter().any(|file| Path::new(file).exists());
    refusal(freepbx, loaded.is_set("agi.listen"), loaded.config.agi.listen)
}

fn refusal(freepbx: bool, chosen: bool, listen: SocketAddr) -> Option<Refusal> {
    (freepbx && !chosen && listen.port() == FASTAGI).then(|| Refusal {
        what: format!("FastAGI: port {FASTAGI} belongs to FreePBX here (core-fastagi), and its ring groups need it"),
        todo: "write another one into calljournal.toml:\n          [agi]\n          listen = \"127.0.0.1:4574\"\n      \
               and for the dialplan into /etc/asterisk/globals_custom.conf (dialplan/freepbx/ asks there without it):\n          \
               CALLJOURNAL_SERVER = 127.0.0.1:4574"
            .to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with_mode(mode: u32) -> SpoolState {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        spool_state(dir.path())
    }

    #[test]
    fn the_directory_is_shared_by_two_users_and_nobody_else() {
        assert_eq!(with_mode(0o2770), SpoolState::Good);
        assert_eq!(with_mode(0o2775), SpoolState::Good);
        assert!(matches!(with_mode(0o0755), SpoolState::Odd { .. }));
        let SpoolState::Odd { reason, todo } = with_mode(0o2777) else { panic!("2777 is no good mode") };
        assert!(reason.contains("anybody") && todo.starts_with("chmod 2770 /"), "{reason} {todo}");
    }

    #[test]
    fn a_missing_directory_is_told_with_the_command_that_makes_it() {
        let state = spool_state(Path::new("/nowhere/calljournal"));
        let todo = "install -d -m 2770 -o asterisk -g asterisk /nowhere/calljournal".to_owned();
        assert_eq!(state, SpoolState::Missing { todo });
    }

    #[test]
    fn freepbx_keeps_its_port_unless_somebody_wrote_otherwise() {
        let fastagi: SocketAddr = "127.0.0.1:4573".parse().unwrap();
        let refused = refusal(true, false, fastagi).unwrap();
        assert!(refused.todo.contains("listen = \"127.0.0.1:4574\""));
        assert_eq!(refusal(true, true, fastagi), None);
        assert_eq!(refusal(false, false, fastagi), None);
    }
}
