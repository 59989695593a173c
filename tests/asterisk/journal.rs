//! The program under test, from outside: its configuration file, `serve`, `calls --json` and `show --json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Whose numbers and lines they are, for the calls of which the dialplan does not say it. A trunk's channel is `trunk-`
/// and a count where a call goes out, and `trunk-CONTEXT-` and a count where one comes in: the lines of most contexts
/// are known to nobody, and the dialplan names them.
const NUMBERING: &str = r#"
[numbers]
internal = ['^1\d\d$']

[[trunk]]
channel = "PJSIP/trunk-test-unsaid-*"
name = "the line that comes in"

[[trunk]]
channel = "PJSIP/trunk-0*"
name = "the line that goes out"

[[trunk]]
channel = "PJSIP/trunk2-*"
name = "the second line out"
"#;

/// One calljournal with its directory; not necessarily running.
pub struct Journal {
    config: PathBuf,
    log: PathBuf,
    spool: PathBuf,
    http: u16,
    /// Where Asterisk reaches it: `127.0.0.1:port`.
    pub agi: String,
    process: Option<Child>,
    /// What is set beside the file.
    settings: BTreeMap<&'static str, String>,
}

impl Journal {
    /// Writes a configuration into `directory`; `store` is the database's URL, `spool` is where the Asterisks write and
    /// `webhook` gets `call.ended`.
    pub fn configured(directory: &Path, store: &str, spool: &Path, webhook: &str) -> Result<Journal> {
        let (agi, http) = (free_port()?, free_port()?);
        let config = directory.join("calljournal.toml");
        let text = format!(
            "[agi]\nlisten = \"127.0.0.1:{agi}\"\n\n[http]\nlisten = \"127.0.0.1:{http}\"\n\n\
             [store]\nurl = \"{store}\"\n\n[spool]\ndir = \"{}\"\n\n\
             [[notify]]\nname = \"crm\"\nurl = \"{webhook}\"\nnotices = [\"call.ended\"]\n{NUMBERING}",
            spool.display(),
        );
        fs::write(&config, text)?;
        Ok(Journal {
            config,
            log: directory.join("calljournal.log"),
            spool: spool.to_owned(),
            http,
            agi: format!("127.0.0.1:{agi}"),
            process: None,
            settings: BTreeMap::new(),
        })
    }

    /// Has it listen to the manager interface of `pbx` at this port, from the next start on.
    pub fn listen_to(&self, pbx: &str, port: u16) -> Result<()> {
        let ami = format!(
            "\n[[ami]]\nhost = \"127.0.0.1:{port}\"\nuser = \"calljournal\"\nsecret = \"only-for-tests\"\npbx = \"{pbx}\"\n"
        );
        let mut file = fs::File::options().append(true).open(&self.config)?;
        file.write_all(ami.as_bytes()).context("adding to the configuration")
    }

    /// Has it held against what `pbx` writes into this file, from now on; `more` is what else is to be said of it.
    pub fn reconcile_with(&self, pbx: &str, file: &Path, more: &str) -> Result<()> {
        let source = format!(
            "\n[[reconcile]]\nsource = \"{}\"\npbx = \"{pbx}\"\ntimezone = \"UTC\"\n{more}\n",
            file.display()
        );
        let mut file = fs::File::options().append(true).open(&self.config)?;
        file.write_all(source.as_bytes()).context("adding to the configuration")
    }

    /// How many events of the calls of these linkedids on `pbx` the dialplan wrote down itself: they had no answer in time.
    pub fn late(&self, pbx: &str, linkedids: &BTreeSet<String>) -> usize {
        let files = fs::read_dir(&self.spool).into_iter().flatten().flatten();
        let of_pbx = files.filter(|file| file.file_name().to_string_lossy().starts_with(&format!("{pbx}-")));
        let text: String = of_pbx.filter_map(|file| fs::read_to_string(file.path()).ok()).collect();
        let is_of_it = |line: &&str| linkedids.iter().any(|lid| line.contains(&format!(",lid={lid},")));
        text.lines().filter(is_of_it).count()
    }

    /// What `reconcile` says that it did.
    pub fn reconcile(&self) -> Result<Value> {
        self.json(&["reconcile", "--format", "json"])
    }

    /// Sets a key by its variable, from the next start on.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.insert(name, value.into());
    }

    /// Runs `serve`; returns when it says that it is ready.
    pub fn start(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.command();
        command.arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("starting calljournal serve")?);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten())
            {
                bail!("calljournal serve ended at its start ({status}):\n{}", self.log_text());
            }
            if self.is_ready() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("calljournal serve was not ready within 20 s:\n{}", self.log_text());
    }

    fn is_ready(&self) -> bool {
        self.page("/readyz").is_some_and(|page| page.starts_with("HTTP/1.1 200"))
    }

    /// How many questions the Asterisks have answered since it was started.
    pub fn answers(&self) -> u64 {
        let page = self.page("/metrics").unwrap_or_default();
        let line = page.lines().find_map(|line| line.strip_prefix("calljournal_agi_questions_total "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    fn page(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Stops it as a service manager would, and waits for its clean end.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        Command::new("kill").arg(process.id().to_string()).status()?;
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if let Some(status) = process.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("calljournal did not stop cleanly ({status}):\n{}", self.log_text());
            }
            thread::sleep(Duration::from_millis(20));
        }
        process.kill()?;
        process.wait()?;
        bail!("calljournal did not stop within 15 s of SIGTERM:\n{}", self.log_text());
    }

    /// What `calls --json` prints: newest first.
    pub fn calls(&self) -> Result<Vec<Value>> {
        match self.json(&["calls", "--json"])? {
            Value::Array(calls) => Ok(calls),
            other => bail!("calls --json printed no array: {other}"),
        }
    }

    /// Waits until the call is told as over.
    pub fn ended(&self, linkedid: &str) -> Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let calls = self.calls()?;
            let call = calls.into_iter().find(|call| call["linkedid"] == linkedid);
            match call.with_context(|| format!("no call {linkedid}")) {
                Ok(call) if call["state"] == "ended" => return Ok(call),
                Ok(call) if Instant::now() > deadline => bail!("{linkedid} is not told as over: {call}"),
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// What `show ID --json` prints.
    pub fn show(&self, id: &str) -> Result<Value> {
        self.json(&["show", id, "--json"])
    }

    /// Every event of a call, in the order in which they came.
    pub fn events(&self, id: &str) -> Result<Vec<Value>> {
        let shown = self.json(&["show", id, "--events", "--json"])?;
        let events = shown["events"].as_array().cloned().unwrap_or_default();
        Ok(events.into_iter().map(|mut noted| noted["event"].take()).collect())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command().args(arguments).output()?;
        if !output.status.success() {
            bail!("calljournal {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("calljournal {} printed no JSON", arguments.join(" ")))
    }

    /// What `check` prints, and whether it finds all well.
    pub fn check(&self) -> Result<(bool, String)> {
        let output = self.command().arg("check").output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Its log so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn command(&self) -> Command {
        // However the tests end, no server outlives them.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_calljournal")]);
        command.arg("--config").arg(&self.config).envs(&self.settings);
        command
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A TCP port on 127.0.0.1 that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
