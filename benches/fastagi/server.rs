//! The servers that are measured, each a process of its own, and what the kernel says of them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux of today.
const TICKS: f64 = 100.0;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that serves; killed when it is dropped.
pub struct Server {
    process: Child,
    /// Where it takes sessions.
    pub address: SocketAddr,
}

impl Server {
    /// The bare server: this program once more; it syncs a page of `file` before it answers, where there is one.
    pub fn bare(file: Option<&Path>) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process =
            command.env(crate::BARE, file.unwrap_or(Path::new(""))).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let out = process.stdout.take().context("no output of the bare server")?;
        BufReader::new(out).read_line(&mut line)?;
        Ok(Server { address: line.trim().parse()?, process })
    }

    /// `calljournal serve` as shipped, in the directory `dir` and on the database `url`, with notices off.
    pub fn calljournal(
        program: &Path,
        dir: &Path,
        url: &str,
        preload: Option<&Path>,
    ) -> anyhow::Result<Server> {
        std::fs::create_dir_all(dir.join("spool"))?;
        let log = dir.join("server.log");
        let mut command = Command::new(program);
        command
            .arg("serve")
            .current_dir(dir)
            .env_remove("CALLJOURNAL_CONFIG")
            .env("NO_COLOR", "1")
            .env("CALLJOURNAL_AGI__LISTEN", "127.0.0.1:0")
            .env("CALLJOURNAL_HTTP__LISTEN", "127.0.0.1:0")
            .env("CALLJOURNAL_SPOOL__DIR", dir.join("spool"))
            .env("CALLJOURNAL_STORE__URL", url)
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Server { process, address: ([127, 0, 0, 1], 0).into() };
        let since = Instant::now();
        loop {
            let said = std::fs::read_to_string(&log)?;
            if let Some(address) = address_in(&said) {
                server.address = address;
                return Ok(server);
            }
            if let Some(status) = server.process.try_wait()? {
                bail!("calljournal ended with {status}:\n{said}");
            }
            if since.elapsed() > PATIENCE {
                bail!("calljournal does not start:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The time that it has spent on a processor.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        // The name of the process, in parentheses, may hold spaces.
        let rest = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let (user, system): (f64, f64) = (fields[11].parse()?, fields[12].parse()?);
        Ok(Duration::from_secs_f64((user + system) / TICKS))
    }

    /// The most memory that it has had, in MiB.
    pub fn peak_memory(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string()).join(file)
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").arg(self.process.id().to_string()).status()?;
        let since = Instant::now();
        while self.process.try_wait()?.is_none() {
            if since.elapsed() > PATIENCE {
                bail!("the server does not stop");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the greeting says that FastAGI is.
fn address_in(said: &str) -> Option<SocketAddr> {
    let line = said.lines().find(|l| l.contains("health and metrics on"))?;
    line.split_once("FastAGI on ")?.1.split(' ').next()?.parse().ok()
}

/// A library to preload that makes each sync of a file `millis` longer; `None` where there is no C compiler.
pub fn slow_disk(dir: &Path, millis: u32) -> anyhow::Result<Option<PathBuf>> {
    let (source, library) = (dir.join("slow_disk.c"), dir.join("slow_disk.so"));
    std::fs::write(&source, SLOW_DISK.replace("MILLIS", &millis.to_string()))?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
    match cc.status() {
        Ok(status) if status.success() => Ok(Some(library)),
        Ok(status) => bail!("cc ended with {status}"),
        Err(_) => Ok(None),
    }
}

const SLOW_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slow(const char *name, int fd) {
    struct timespec pause = { 0, MILLIS * 1000000L };
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    nanosleep(&pause, 0);
    return real(fd);
}

int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"#;
