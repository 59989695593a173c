//! A PostgreSQL of the tests' own: made when the first test wants it, gone when the test process is.
//!
//! It listens on a Unix socket in its own directory, so it meets no other PostgreSQL. A shell at the other end of
//! a pipe ends it: the pipe closes however the process ends.
//!
//! Without PostgreSQL the tests that are named by it fail, unless [`WITHOUT`] says that they may run on SQLite.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

/// Where programs of PostgreSQL are that are in no `PATH`: one directory for each version (Debian).
const DEBIAN: &str = "/usr/lib/postgresql";

/// Names the directory of the programs to take, to try a version that is not found first.
pub const PROGRAMS: &str = "CALLJOURNAL_TEST_POSTGRES";

/// Set to 1 it lets the tests go without PostgreSQL.
pub const WITHOUT: &str = "CALLJOURNAL_WITHOUT_POSTGRES";

const MISSING: &str = "\n*** POSTGRESQL IS NOT INSTALLED, AND THIS TEST WANTS IT ***\n\
                       Debian, Ubuntu: apt-get install postgresql (as root; no server of its own need run)\n\
                       elsewhere: initdb, pg_ctl and postgres must be in PATH\n\
                       to do without, and run what is named postgres:: on SQLite: CALLJOURNAL_WITHOUT_POSTGRES=1\n";

const DONE_WITHOUT: &str = "\n*** POSTGRESQL IS NOT INSTALLED: WHAT IS NAMED postgres:: RUNS ON SQLITE INSTEAD, ***\n\
                            *** since CALLJOURNAL_WITHOUT_POSTGRES=1 allows it ***\n\n";

/// What is always set. Many tests at once, each with a handful of connections.
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 300\nshared_buffers = 32MB\n\
                        log_min_messages = warning\nautovacuum_naptime = 5s\n";

/// A PostgreSQL with a directory of its own.
pub struct Cluster {
    dir: PathBuf,
    programs: PathBuf,
    /// Whose process it is: it refuses to be root's.
    user: Option<(u32, u32)>,
    databases: Mutex<BTreeSet<String>>,
}

/// The one that all tests share, without `fsync`; `None` where there is none and [`WITHOUT`] allows that.
pub fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start("fsync = off\nfull_page_writes = off\n")).as_ref()
}

impl Cluster {
    /// Makes one and starts it; `None` where there is no PostgreSQL and [`WITHOUT`] allows that, which is said in
    /// large letters.
    pub fn start(settings: &str) -> Option<Cluster> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os(WITHOUT).is_some_and(|value| value == "1"), "{MISSING}");
            // Past the harness, which shows nothing of a test that passes.
            let _ = std::io::stderr().write_all(DONE_WITHOUT.as_bytes());
            return None;
        };
        let dir = tempfile::Builder::new().prefix("cj-pg-").tempdir().unwrap().keep();
        let user = whose();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&dir, Some(uid), Some(gid)).unwrap();
        }
        let cluster = Cluster { dir, programs, user, databases: Mutex::default() };
        cluster.end_with_this_process();
        cluster.run(
            "initdb",
            &["--no-sync", "--auth=trust", "--username=calljournal", "--encoding=UTF8", "--locale=C"],
        );
        let sockets = format!("unix_socket_directories = '{}'\n", cluster.dir.display());
        let file = cluster.data().join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        write!(file, "{SETTINGS}{sockets}{settings}").unwrap();
        cluster.up();
        Some(cluster)
    }

    /// Starts it, or starts it again.
    pub fn up(&self) {
        let log = self.dir.join("log");
        self.run("pg_ctl", &["start", "--wait", "--silent", "--log", log.to_str().unwrap()]);
    }

    /// Stops it; who is connected is thrown out.
    pub fn stop(&self) {
        self.run("pg_ctl", &["stop", "--wait", "--silent", "--mode=fast"]);
    }

    /// Kills it as the kernel does when memory is short.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        while Path::new(&format!("/proc/{pid}")).exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Freezes every process of it, as a disk or a machine that hangs does, or thaws them: `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let all = std::iter::once(pid).chain(children.split_whitespace());
        // One that has ended meanwhile is none to freeze.
        let _ =
            Command::new("kill").arg(format!("-{name}")).args(all).stderr(Stdio::null()).status().unwrap();
    }

    /// The URL of the database that belongs to `dir`, which is made when it is first asked for.
    pub fn database(&self, dir: &Path) -> String {
        let mut hash = DefaultHasher::new();
        dir.hash(&mut hash);
        let name = format!("cj_{:016x}", hash.finish());
        let mut known = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(name.clone()) {
            let mut db = PgConnection::establish(&self.url("postgres")).unwrap();
            // A process that a test started may have been first.
            if let Err(e) = db.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")) {
                assert!(e.to_string().contains("exists"), "{e}");
            }
        }
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://calljournal@/{database}?host={}", self.dir.display())
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = self
            .command(self.programs.join(program))
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        command.current_dir(&self.dir).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn end_with_this_process(&self) {
        let script = r#"cat; "$1/pg_ctl" stop -D "$2/data" --mode=immediate; rm -rf "$2""#;
        let mut keeper = self.command("sh");
        keeper.args(["-c", script, "sh"]).arg(&self.programs).arg(&self.dir);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What a terminal sends to the tests is not for it.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        // The pipe stays open for as long as this process lives.
        std::mem::forget(keeper.spawn().unwrap());
    }
}

fn programs() -> Option<PathBuf> {
    let complete = |dir: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|p| dir.join(p).exists());
    if let Some(dir) = std::env::var_os(PROGRAMS) {
        return Some(dir.into()).filter(complete);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|v| v.path().join("bin")).collect();
    versions.sort();
    let known = std::env::split_paths(&path).chain(versions.into_iter().rev());
    known.into_iter().find(complete)
}

/// For root: who else may run it. `postgres` where there is such a user.
fn whose() -> Option<(u32, u32)> {
    let id = |what: &str, who: &str| {
        let told = Command::new("id").args([what, who]).output().ok()?;
        String::from_utf8_lossy(&told.stdout).trim().parse::<u32>().ok()
    };
    let root = Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout == b"0\n");
    let users = ["postgres", "nobody"].into_iter().filter(|_| root);
    users.filter_map(|who| id("-u", who).zip(id("-g", who))).next()
}
