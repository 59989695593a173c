//! The real program as a process of its own, and the dialplan's part of a conversation with it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Nothing here takes longer; who waits so long waits for something that will not come.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The program in `dir`, without a word of the tester's own environment about it.
pub fn calljournal(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calljournal"));
    command
        .current_dir(dir)
        .args(arguments)
        .env_remove("CALLJOURNAL_CONFIG")
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .env_remove("LANG")
        .env("NO_COLOR", "1")
        .env("TZ", "UTC");
    // On SQLite its own default is what is tested.
    if super::on_postgres() {
        command.env("CALLJOURNAL_STORE__URL", super::url(dir));
    }
    command
}

/// Runs it to its end.
pub fn output(dir: &Path, arguments: &[&str]) -> Output {
    calljournal(dir, arguments).output().unwrap()
}

/// What it printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The one number that `sql` asks for as `n` in the database of the server in `dir`.
pub fn count(dir: &Path, sql: &str) -> i64 {
    super::number(&mut super::database(dir), sql)
}

/// A server that runs; killed when it is dropped.
pub struct Server {
    process: Child,
    lines: Receiver<String>,
    /// What it said until it listened.
    pub greeting: Vec<String>,
    pub agi: SocketAddr,
    pub http: SocketAddr,
}

impl Server {
    /// Starts one in `dir` on ports of its own choice; the spool is `dir/spool`. Waits until it listens.
    pub fn start(dir: &Path, environment: &[(&str, &str)]) -> Server {
        Server::of(calljournal(dir, &["serve"]), dir, environment)
    }

    /// Starts `command` in the same way.
    pub fn of(mut command: Command, dir: &Path, environment: &[(&str, &str)]) -> Server {
        command
            .env("CALLJOURNAL_AGI__LISTEN", "127.0.0.1:0")
            .env("CALLJOURNAL_HTTP__LISTEN", "127.0.0.1:0")
            .env("CALLJOURNAL_SPOOL__DIR", dir.join("spool"))
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Server { process, lines, greeting: Vec::new(), agi: nowhere, http: nowhere };
        while server.agi == nowhere {
            let Ok(line) = server.lines.recv_timeout(PATIENCE) else {
                panic!("it did not start: {}", server.greeting.join("\n"));
            };
            let address = |after: &str| {
                let text = line.split_once(after)?.1.split(' ').next()?;
                text.parse::<SocketAddr>().ok()
            };
            if let Some((agi, http)) = address("FastAGI on ").zip(address("http://")) {
                (server.agi, server.http) = (agi, http);
            }
            server.greeting.push(line);
        }
        server
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it as the kernel does when memory is short.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let done = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(done.success());
    }

    /// Waits for its end; gives back how it ended and what it said on the way.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let mut waited = Duration::ZERO;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(waited < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
            waited += Duration::from_millis(10);
        };
        (status, self.lines.iter().collect())
    }

    /// Asks it to stop and waits.
    pub fn stop(self) -> (ExitStatus, Vec<String>) {
        self.terminate();
        self.wait()
    }

    /// Asks for a page; gives back the status and the body.
    pub fn page(&self, path: &str) -> (u16, String) {
        let mut socket = connect(self.http);
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Sends JSON; gives back the status and the body.
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        let mut socket = connect(self.http);
        let length = body.len();
        write!(socket, "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Asks for a page until `wanted` says that it is what was waited for.
    pub fn page_when(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut waited = Duration::ZERO;
        loop {
            let (_, body) = self.page(path);
            if wanted(&body) {
                return body;
            }
            assert!(waited < PATIENCE, "{path} stays at {body}");
            std::thread::sleep(Duration::from_millis(20));
            waited += Duration::from_millis(20);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// One event as the dialplan tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    pub kind: &'static str,
    pub token: String,
    pub arguments: Vec<String>,
}

impl Telling {
    /// An event of the channel `uid`, `ms` after the epoch.
    pub fn new(kind: &'static str, uid: &str, linkedid: &str, seq: u32, ms: u64, more: &[&str]) -> Telling {
        let time = format!("{}.{:03}000", ms / 1000, ms % 1000);
        let token = format!("{uid}-{seq}-{kind}-{time}");
        let mut arguments = vec![
            "v=1".to_owned(),
            format!("token={token}"),
            "pbx=test".to_owned(),
            format!("uid={uid}"),
            format!("lid={linkedid}"),
            format!("root={linkedid}"),
            format!("seq={seq}"),
            format!("t={time}"),
            format!("chan=PJSIP%2F{uid}"),
        ];
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        Telling { kind, token, arguments }
    }

    /// What Asterisk sends for it.
    pub fn request(&self) -> String {
        let mut text = format!("agi_network: yes\nagi_network_script: {}\nagi_request: x\n", self.kind);
        for (n, argument) in self.arguments.iter().enumerate() {
            text.push_str(&format!("agi_arg_{}: {argument}\n", n + 1));
        }
        text.push('\n');
        text
    }

    /// What the dialplan writes to the spool for it.
    pub fn frame(&self) -> String {
        let arguments = self.arguments.join(",");
        format!("cj1 {} {} {arguments} {} .\n", self.token, self.kind, arguments.len())
    }

    /// A whole session: whether it was acknowledged. An error of the socket is no ack.
    pub fn tell(&self, agi: SocketAddr) -> bool {
        self.session(agi).unwrap_or(false)
    }

    fn session(&self, agi: SocketAddr) -> std::io::Result<bool> {
        let mut socket = TcpStream::connect_timeout(&agi, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        socket.write_all(self.request().as_bytes())?;
        let mut line = String::new();
        let mut reader = BufReader::new(&socket);
        reader.read_line(&mut line)?;
        let acked = line == format!("SET VARIABLE CALLJOURNAL_ACK \"{}\"\n", self.token);
        // The ack counts from here on, whatever becomes of the rest.
        let _ = (&socket).write_all(b"200 result=1\nHANGUP\n");
        let _ = socket.shutdown(Shutdown::Write);
        let _ = reader.read_to_end(&mut Vec::new());
        Ok(acked)
    }
}

/// The events of a plain call: a caller, one phone that answers, both end.
pub fn plain_call(serial: u64, second: u64) -> VecDeque<Telling> {
    let (caller, phone) = (format!("{second}.{serial}"), format!("{second}.{}", serial + 1));
    let ms = second * 1000;
    let from = ["dir=in", "num=79190000000", "name=Ivan", "exten=73512020318", "trunk=73512020318"];
    let called = format!("caller={caller}");
    let source = format!("hangupsource=PJSIP%2F{phone}");
    let ended = ["state=Up", "cause=16", "dialstatus=ANSWER", &source];
    VecDeque::from([
        Telling::new("start", &caller, &caller, 1, ms, &from),
        Telling::new("ring", &phone, &caller, 1, ms + 10, &[&called, "exten=101", "num=101"]),
        Telling::new("answer", &phone, &caller, 2, ms + 3000, &[&called, "num=101"]),
        Telling::new("hangup", &phone, &caller, 3, ms + 9000, &ended),
        Telling::new("hangup", &caller, &caller, 2, ms + 9010, &ended),
    ])
}
