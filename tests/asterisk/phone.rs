//! SIP phones and trunk callers: SIPp processes, one behaviour each, and what they wrote down.
//!
//! The behaviours are the files in `sipp/`. Knows nothing about what the calls are for.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::pbx::{Pbx, trunk};

/// A SIPp that has not been started: its behaviour and what the behaviour asks for.
pub struct Phone {
    behaviour: &'static str,
    /// Phone number, or the caller's.
    number: String,
    port: u16,
    keys: Vec<(&'static str, String)>,
    milliseconds: Vec<(&'static str, u64)>,
}

impl Phone {
    /// The phone `number` of `pbx` with one of the `sipp/phone-….xml` behaviours.
    pub fn at(pbx: &Pbx, number: u16, behaviour: &'static str) -> Phone {
        Phone {
            behaviour,
            number: number.to_string(),
            port: pbx.phone_port(number),
            keys: vec![],
            milliseconds: vec![],
        }
    }

    /// Somebody outside who calls `did` through the trunk of `context`, with one of the `sipp/caller-….xml` behaviours.
    pub fn outside(number: &str, context: &str, did: &str, behaviour: &'static str) -> Phone {
        let keys = vec![("trunk", trunk(context)), ("did", did.to_owned()), ("name", String::new())];
        Phone { behaviour, number: number.to_owned(), port: 0, keys, milliseconds: vec![] }
    }

    /// A phone of the company that calls `did`, with one of the `sipp/caller-….xml` behaviours: known by its number, and
    /// by no trunk's name.
    pub fn inside(number: &str, did: &str, behaviour: &'static str) -> Phone {
        let keys = vec![("trunk", "none".to_owned()), ("did", did.to_owned()), ("name", String::new())];
        Phone { behaviour, number: number.to_owned(), port: 0, keys, milliseconds: vec![] }
    }

    /// Sets a word that the behaviour writes into its messages, such as `target`.
    pub fn with(mut self, key: &'static str, value: &str) -> Phone {
        self.keys.retain(|(known, _)| *known != key);
        self.keys.push((key, value.to_owned()));
        self
    }

    /// Sets how long the behaviour does something, such as `ringing`, in milliseconds.
    pub fn after(mut self, what: &'static str, milliseconds: u64) -> Phone {
        self.milliseconds.push((what, milliseconds));
        self
    }

    /// Starts it; its logs go to `directory`. A phone is ready to be called when this returns.
    pub fn start(self, pbx: &Pbx, directory: &Path) -> Result<Running> {
        fs::create_dir_all(directory)?;
        let stem = directory.join(format!("{}-{}", self.number, self.behaviour));
        let file = |kind: &str| stem.with_extension(kind);
        let scenario =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/asterisk/sipp/{}.xml", self.behaviour));

        let mut command = Command::new("sipp");
        command.arg(format!("127.0.0.1:{}", pbx.sip)).arg("-sf").arg(scenario);
        command.args(["-i", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "25s", "-timeout_error"]);
        command.arg("-trace_logs").arg("-log_file").arg(file("log"));
        command.arg("-trace_err").arg("-error_file").arg(file("errors"));
        command.arg("-trace_msg").arg("-message_file").arg(file("messages"));
        command.args(["-key", "number", &self.number]);
        if self.port != 0 {
            command.args(["-p", &self.port.to_string()]);
        }
        for (key, value) in &self.keys {
            command.args(["-key", key, value]);
        }
        for (what, milliseconds) in &self.milliseconds {
            command.args(["-set", what, &milliseconds.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(file("stderr"))?);
        let process = command.spawn().context("starting sipp (tests/asterisk/roots installs it)")?;
        let who = format!("{} ({})", self.number, self.behaviour);
        let mut running = Running { process, who, stem };
        if self.port != 0 {
            running.wait_for_port(self.port)?;
        }
        Ok(running)
    }
}

/// A phone or caller at work. Dropping it ends it.
pub struct Running {
    process: Child,
    who: String,
    /// Its files, but for their endings.
    stem: PathBuf,
}

impl Running {
    /// Until it listens at the port: /proc says so without a packet being sent.
    fn wait_for_port(&mut self, port: u16) -> Result<()> {
        let wanted = format!(":{port:04X} ");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && self.process.try_wait()?.is_none() {
            if fs::read_to_string("/proc/net/udp")?.contains(&wanted) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("phone {} did not come up at port {port}: {}", self.who, self.complaints());
    }

    /// What SIPp said about itself, not too much of it.
    fn complaints(&self) -> String {
        let read = |kind: &str| fs::read_to_string(self.stem.with_extension(kind)).unwrap_or_default();
        (read("stderr") + &read("errors")).chars().take(2000).collect()
    }

    /// Waits until it has done all that its behaviour says; an error when the pbx would not play along.
    pub fn done(&mut self) -> Result<Diary> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.process.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("phone {} is still at it after 30 s", self.who);
            }
            thread::sleep(Duration::from_millis(10));
        };
        if !status.success() {
            bail!("phone {} could not finish ({status}): {}", self.who, self.complaints());
        }
        Diary::read(&self.stem.with_extension("log"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// When a phone sent or got what: the first time of each word, in microseconds since 1970, and what else was said with it.
#[derive(Debug, Default)]
pub struct Diary(HashMap<String, (i64, String)>);

impl Diary {
    fn read(log: &Path) -> Result<Diary> {
        let text = match fs::read_to_string(log) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("reading {}", log.display()))?,
        };
        let mut entries = HashMap::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(word), Some(seconds), Some(micros)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let (Ok(seconds), Ok(micros)) = (seconds.parse::<f64>(), micros.parse::<f64>()) else { continue };
            let at = seconds as i64 * 1_000_000 + micros as i64;
            let rest = words.collect::<Vec<_>>().join(" ");
            entries.entry(word.to_owned()).or_insert((at, rest));
        }
        Ok(Diary(entries))
    }

    /// When the word was first written down, in microseconds since 1970.
    pub fn at(&self, word: &str) -> Option<i64> {
        self.0.get(word).map(|(at, _)| *at)
    }

    /// What was written beside the word.
    pub fn beside(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(|(_, rest)| rest.as_str())
    }
}
