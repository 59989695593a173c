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
    /// It works, but everybody may write there, calls among it. Its mode.
    Open(u32),
    /// It works, but perhaps not for Asterisk and this server both. Its mode.
    Unshared(u32),
    /// There is none: the dialplan has nowhere to write to.
    Missing,
    /// Something else has its name.
    NoDirectory,
    /// This user may not look into it. What the system says.
    Unreadable(String),
}

impl SpoolState {
    /// The command that puts it right, where one does.
    #[must_use]
    pub fn remedy(&self, dir: &Path) -> Option<String> {
        match self {
            SpoolState::Good | SpoolState::Unreadable(_) => None,
            SpoolState::Open(_) | SpoolState::Unshared(_) => Some(format!("chmod 2770 {}", dir.display())),
            SpoolState::Missing | SpoolState::NoDirectory => Some(make_spool(dir)),
        }
    }
}

/// Looks at the spool directory; changes nothing.
#[must_use]
pub fn spool_state(dir: &Path) -> SpoolState {
    let about = match std::fs::metadata(dir) {
        Ok(about) => about,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return SpoolState::Missing,
        Err(e) => return SpoolState::Unreadable(e.to_string()),
    };
    if !about.is_dir() {
        return SpoolState::NoDirectory;
    }
    if let Err(e) = std::fs::read_dir(dir) {
        return SpoolState::Unreadable(e.to_string());
    }
    match about.permissions().mode() & 0o7777 {
        mode if mode & 0o002 != 0 => SpoolState::Open(mode),
        mode if mode & SHARED != SHARED => SpoolState::Unshared(mode),
        _ => SpoolState::Good,
    }
}

/// FreePBX's own FastAGI server lives on 4573 and its ring groups need it (`core/node/fastagi-server.js`), so
/// that port is taken there only where somebody wrote that it shall be.
#[must_use]
pub fn is_port_of_freepbx(loaded: &Loaded) -> bool {
    let freepbx = FREEPBX.iter().any(|file| Path::new(file).exists());
    is_kept(freepbx, loaded.is_set("agi.listen"), loaded.config.agi.listen)
}

fn is_kept(freepbx: bool, chosen: bool, listen: SocketAddr) -> bool {
    freepbx && !chosen && listen.port() == FASTAGI
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
        assert_eq!(with_mode(0o0755), SpoolState::Unshared(0o0755));
        let open = with_mode(0o2777);
        assert_eq!(open, SpoolState::Open(0o2777));
        assert_eq!(open.remedy(Path::new("/spool")).as_deref(), Some("chmod 2770 /spool"));
    }

    #[test]
    fn a_missing_directory_is_told_with_the_command_that_makes_it() {
        let dir = Path::new("/nowhere/calljournal");
        let state = spool_state(dir);
        assert_eq!(state, SpoolState::Missing);
        let todo = "install -d -m 2770 -o asterisk -g asterisk /nowhere/calljournal";
        assert_eq!(state.remedy(dir).as_deref(), Some(todo));
    }

    #[test]
    fn freepbx_keeps_its_port_unless_somebody_wrote_otherwise() {
        let fastagi: SocketAddr = "127.0.0.1:4573".parse().unwrap();
        assert!(is_kept(true, false, fastagi));
        assert!(!is_kept(true, true, fastagi));
        assert!(!is_kept(false, false, fastagi));
        assert!(!is_kept(true, false, "127.0.0.1:4574".parse().unwrap()));
    }
}
