//! A MariaDB of the tests' own: made when the first test wants it, gone when the test process is.
//!
//! It listens on a Unix socket in its own directory and on a port of its own choice, so it meets no other. A shell at
//! the other end of a pipe ends it: the pipe closes however the process ends.
//!
//! Without MariaDB the tests that want it fail, unless [`WITHOUT`] says that they may be left out.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

/// Names the directory of the programs to take, to try a version that is not found first.
pub const PROGRAMS: &str = "CALLJOURNAL_TEST_MARIADB";

/// Set to 1 it lets the tests go without MariaDB.
pub const WITHOUT: &str = "CALLJOURNAL_WITHOUT_MARIADB";

const MISSING: &str = "\n*** MARIADB IS NOT INSTALLED, AND THIS TEST WANTS IT ***\n\
                       Debian, Ubuntu: apt-get install mariadb-server-core mariadb-client-core (as root)\n\
                       elsewhere: mariadbd and mariadb-install-db must be in PATH\n\
                       to do without: CALLJOURNAL_WITHOUT_MARIADB=1\n";

const DONE_WITHOUT: &str = "\n*** MARIADB IS NOT INSTALLED: WHAT IS READ OUT OF IT IS NOT TESTED, ***\n\
                            *** since CALLJOURNAL_WITHOUT_MARIADB=1 allows it ***\n\n";

/// For its start: a machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// A MariaDB with a directory of its own.
pub struct Server {
    dir: PathBuf,
    /// Where it listens on the loopback address.
    pub port: u16,
}

/// The one that all tests share; `None` where there is none and [`WITHOUT`] allows that.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(Server::start).as_ref()
}

impl Server {
    fn start() -> Option<Server> {
        let (Some(server), Some(install)) = (program("mariadbd"), program("mariadb-install-db")) else {
            assert!(std::env::var_os(WITHOUT).is_some_and(|value| value == "1"), "{MISSING}");
            // Past the harness, which shows nothing of a test that passes.
            let _ = std::io::stderr().write_all(DONE_WITHOUT.as_bytes());
            return None;
        };
        let dir = tempfile::Builder::new().prefix("cj-maria-").tempdir().unwrap().keep();
        let root = Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout == b"0\n");
        // It refuses to be root's, unless that is said.
        let user: &[&str] = if root { &["--user=root"] } else { &[] };
        let data = format!("--datadir={}", dir.join("data").display());
        let made = Command::new(install)
            .args(["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db"])
            // A machine may know no name of its own, and none is needed here.
            .arg("--force")
            .args(user)
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
        assert!(made.status.success(), "mariadb-install-db: {said}");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = r#"dir=$1; shift; "$@" >"$dir/log" 2>&1 & cat; kill -KILL $!; wait; rm -rf "$dir""#;
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", script, "sh"])
            .arg(&dir)
            .arg(server)
            .args(["--no-defaults", &data, "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args([format!("--port={port}"), format!("--socket={}", dir.join("socket").display())])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"])
            .args(user)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What a terminal sends to the tests is not for it.
            .process_group(0);
        // The pipe stays open for as long as this process lives.
        std::mem::forget(keeper.spawn().unwrap());
        let server = Server { dir, port };
        let begun = Instant::now();
        while let Err(e) = server.connect(None) {
            let log = std::fs::read_to_string(server.dir.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "{e}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    fn connect(&self, database: Option<&str>) -> mysql::Result<Conn> {
        let opts = OptsBuilder::new().socket(self.dir.join("socket").to_str()).user(Some("root"));
        Conn::new(opts.db_name(database))
    }

    /// A new database of this name, which `made` fills; one statement a line.
    pub fn database(&self, name: &str, made: &str) -> Conn {
        let mut db = self.connect(None).unwrap();
        db.query_drop(format!("CREATE DATABASE {name}")).unwrap();
        let mut db = self.connect(Some(name)).unwrap();
        // As MariaDB is where FreePBX set it up.
        db.query_drop("SET sql_mode = 'NO_ENGINE_SUBSTITUTION'").unwrap();
        for statement in made.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            db.query_drop(statement).unwrap_or_else(|e| panic!("{e} in {statement}"));
        }
        db
    }

    /// What names a database over the socket, for whom nobody asks for a password.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@/{database}?socket={}", self.dir.join("socket").display())
    }
}

fn program(name: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os(PROGRAMS) {
        return Some(Path::new(&dir).join(name)).filter(|program| program.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has it where only root's PATH leads.
    let all = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    all.map(|dir| dir.join(name)).find(|program| program.exists())
}
