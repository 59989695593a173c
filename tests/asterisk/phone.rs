//! The phones and the callers: each a thread that speaks SIP and sends media, and does one step of its script after
//! the other.
//!
//! Knows what a phone's keys do and writes down when it sent or got what. Knows nothing about what the calls are for.
//! One phone may have several calls at a time; a step is about the last of them that is not over, unless it says so.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::media::Media;
use crate::pbx::{Pbx, trunk};
pub use crate::script::{Act, Diary, Step};
use crate::sip::{Message, finish, session, tag};

/// How long a phone waits for anything before the scenario has failed.
const PATIENCE: Duration = Duration::from_secs(25);

/// A phone that has not been started.
pub struct Phone {
    number: String,
    /// The display name as SIP has it.
    name: String,
    port: u16,
    trunk: Option<String>,
    steps: VecDeque<Step>,
}

impl Phone {
    /// The phone `number` of `pbx`, or the far end of a trunk: both can be called.
    pub fn at(pbx: &Pbx, number: u16, act: Act) -> Phone {
        Phone {
            number: number.to_string(),
            name: String::new(),
            port: pbx.phone_port(number),
            trunk: None,
            steps: act.iter().copied().collect(),
        }
    }

    /// Somebody outside who calls `did` through the trunk that leads into `context`, and then acts.
    pub fn outside(number: &str, context: &str, did: &'static str, act: Act) -> Phone {
        Phone { trunk: Some(trunk(context)), ..Phone::inside(number, did, act) }
    }

    /// A phone of the company that calls `did`, and then acts.
    pub fn inside(number: &str, did: &'static str, act: Act) -> Phone {
        let steps = std::iter::once(Step::Call(did)).chain(act.iter().copied()).collect();
        Phone { number: number.to_owned(), name: String::new(), port: 0, trunk: None, steps }
    }

    pub fn named(mut self, name: &str) -> Phone {
        name.clone_into(&mut self.name);
        self
    }

    /// Starts it; its messages go to `directory`. It can be called when this returns.
    pub fn start(self, pbx: &Pbx, directory: &Path) -> Result<Running> {
        std::fs::create_dir_all(directory)?;
        let role = if matches!(self.steps.front(), Some(Step::Call(_))) { "caller" } else { "phone" };
        let who = format!("{role} {}", self.number);
        let socket =
            UdpSocket::bind(("127.0.0.1", self.port)).with_context(|| format!("the port of {who}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut line = Line {
            port: socket.local_addr()?.port(),
            socket,
            pbx: SocketAddr::from(([127, 0, 0, 1], pbx.sip)),
            number: self.number.clone(),
            name: self.name,
            trunk: self.trunk,
            calls: Vec::new(),
            diary: Diary::default(),
            trace: File::create(directory.join(format!("{}-{role}.messages", self.number)))?,
            stop: stop.clone(),
        };
        let thread = thread::spawn(move || -> Result<Diary> {
            for step in self.steps {
                if step == Step::Vanish {
                    return Ok(line.diary);
                }
                line.act(step).with_context(|| format!("{step:?}"))?;
            }
            line.until("the end of all its calls", |line| line.calls.iter().all(Call::is_over))?;
            Ok(line.diary)
        });
        Ok(Running { thread: Some(thread), stop, who })
    }
}

/// A phone or caller at work. Dropping it ends it.
pub struct Running {
    thread: Option<JoinHandle<Result<Diary>>>,
    stop: Arc<AtomicBool>,
    who: String,
}

impl Running {
    /// Waits until it has done all of its script; an error when the pbx would not play along.
    pub fn done(&mut self) -> Result<Diary> {
        let thread = self.thread.take().context("asked twice")?;
        let joined = thread.join().map_err(|_| anyhow::anyhow!("panicked"));
        joined.and_then(|done| done).with_context(|| format!("{} could not finish", self.who))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where a call of a phone stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// Called, and not yet taken notice of.
    Coming,
    /// It rings here, or there.
    Ringing,
    /// Called from here, and nothing was heard yet.
    Calling,
    Up,
    Over,
}

/// One call of a phone: a SIP dialog.
struct Call {
    id: String,
    /// From and To as this side writes them in its own requests.
    us: String,
    them: String,
    /// The other side's tag, which it may have told before it answers.
    their_tag: String,
    /// The address that requests go to.
    target: String,
    cseq: u32,
    /// The INVITE that it was called with, or what marks the one that it sent.
    invite: Option<Message>,
    branch: String,
    stage: Stage,
    refused: Option<u16>,
    /// What the pbx answered to REFER, and what it told of it last.
    referred: Option<u16>,
    told: Option<u16>,
    media: Media,
    versions: u32,
}

impl Call {
    fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether the pbx has told how a transfer of it went, or will not.
    fn was_told(&self) -> bool {
        self.is_over() || self.referred >= Some(300) || self.told >= Some(200)
    }
}

/// A phone's line at work.
struct Line {
    socket: UdpSocket,
    port: u16,
    pbx: SocketAddr,
    number: String,
    name: String,
    trunk: Option<String>,
    calls: Vec<Call>,
    diary: Diary,
    trace: File,
    stop: Arc<AtomicBool>,
}

/// Numbers that no two calls or requests of a run share.
static SERIAL: AtomicU32 = AtomicU32::new(1);

fn serial() -> String {
    format!("{}x{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

impl Line {
    fn act(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Ring(ms) => {
                let call = self.called()?;
                self.wait(ms)?;
                if self.calls[call].is_over() {
                    bail!("it was given up before it was picked up");
                }
            }
            Step::RingOn => {
                let call = self.called()?;
                self.until("being given up", |line| line.calls[call].is_over())?;
            }
            Step::Answer => self.pick_up()?,
            Step::Refuse(status) => self.refuse(&format!("{status} No"), &[])?,
            Step::Forward(to) => {
                let contact = format!("Contact: <sip:{to}@{}>", self.pbx);
                self.refuse("302 Moved Temporarily", &[contact])?;
            }
            Step::Call(number) => self.call(number)?,
            Step::Ringing => {
                let call = self.latest()?;
                self.until("ringing", |line| line.calls[call].stage != Stage::Calling)?;
            }
            Step::Answered => {
                let call = self.latest()?;
                self.until("the answer", |line| matches!(line.calls[call].stage, Stage::Up | Stage::Over))?;
                if self.calls[call].is_over() {
                    bail!("it was refused: {:?}", self.calls[call].refused);
                }
            }
            Step::Refused => {
                let call = self.calls.len().checked_sub(1).context("it has called nobody")?;
                self.until("the refusal", |line| line.calls[call].refused.is_some())?;
            }
            Step::GiveUp => self.give_up()?,
            Step::Wait(ms) => self.wait(ms)?,
            Step::Press(keys) => {
                let call = self.latest()?;
                self.calls[call].media.press(keys);
                self.until("the keys", |line| {
                    line.calls[call].media.is_quiet() || line.calls[call].is_over()
                })?;
            }
            Step::Hold => self.invite_again("sendonly")?,
            Step::Resume => self.invite_again("sendrecv")?,
            Step::Refer(to) => {
                let call = self.latest()?;
                self.refer(call, &format!("sip:{to}@{}", self.pbx))?;
            }
            Step::Told => {
                let call = self.calls.iter().rposition(|call| call.referred.is_some());
                let call = call.context("it has transferred nothing")?;
                self.until("the word on the transfer", |line| line.calls[call].was_told())?;
            }
            Step::Connect => self.connect(false)?,
            Step::ConnectBack => self.connect(true)?,
            Step::Vanish => {}
            Step::HangUp => {
                if let Some(call) = self.calls.iter().rposition(|call| call.stage == Stage::Up) {
                    self.request(call, "BYE", &[], "")?;
                    self.until("the end", |line| line.calls[call].is_over())?;
                }
            }
            Step::Over => {
                let call = self.calls.iter().rposition(|call| !call.is_over());
                self.until("the end", |line| call.is_none_or(|call| line.calls[call].is_over()))?;
            }
        }
        Ok(())
    }

    /// The last call that is not over.
    fn latest(&self) -> Result<usize> {
        self.calls.iter().rposition(|call| !call.is_over()).context("it has no call")
    }

    /// The next call that comes; it rings from now on.
    fn called(&mut self) -> Result<usize> {
        let coming = |line: &Line| line.calls.iter().position(|call| call.stage == Stage::Coming);
        self.until("a call", |line| coming(line).is_some())?;
        let call = coming(self).context("nobody calls")?;
        self.calls[call].stage = Stage::Ringing;
        self.respond(call, "180 Ringing", &[], "")?;
        Ok(call)
    }

    fn ringing(&self) -> Result<usize> {
        let rings = |call: &Call| call.stage == Stage::Ringing && call.invite.is_some();
        self.calls.iter().rposition(rings).context("nothing rings")
    }

    fn pick_up(&mut self) -> Result<()> {
        let call = self.ringing()?;
        let body = session(self.calls[call].media.port, 1, "sendrecv");
        self.calls[call].stage = Stage::Up;
        self.respond(call, "200 OK", &[], &body)
    }

    fn refuse(&mut self, status: &str, more: &[String]) -> Result<()> {
        let call = self.ringing()?;
        self.calls[call].stage = Stage::Over;
        self.respond(call, status, more, "")
    }

    fn call(&mut self, number: &str) -> Result<()> {
        let media = Media::new()?;
        let body = session(media.port, 1, "sendrecv");
        self.calls.push(Call {
            id: format!("{}@127.0.0.1", serial()),
            us: format!("{} <sip:{}@127.0.0.1:{}>;tag={}", self.name, self.number, self.port, serial()),
            them: format!("<sip:{number}@{}>", self.pbx),
            their_tag: String::new(),
            target: format!("sip:{number}@{}", self.pbx),
            cseq: 0,
            invite: None,
            branch: String::new(),
            stage: Stage::Calling,
            refused: None,
            referred: None,
            told: None,
            media,
            versions: 1,
        });
        self.request(self.calls.len() - 1, "INVITE", &[], &body)
    }

    fn give_up(&mut self) -> Result<()> {
        let gives_up = |call: &Call| call.invite.is_none() && call.stage < Stage::Up;
        let call = self.calls.iter().rposition(gives_up).context("it calls nobody")?;
        self.request(call, "CANCEL", &[], "")?;
        self.until("the end of what it gave up", |line| line.calls[call].is_over())
    }

    fn invite_again(&mut self, way: &str) -> Result<()> {
        let call = self.latest()?;
        self.calls[call].versions += 1;
        let body = session(self.calls[call].media.port, self.calls[call].versions, way);
        self.request(call, "INVITE", &[], &body)?;
        let wanted = self.calls[call].cseq;
        let word = format!("200 of {wanted} INVITE");
        self.until("the answer to hold", |line| line.diary.at(&word).is_some() || line.calls[call].is_over())
    }

    fn connect(&mut self, back: bool) -> Result<()> {
        let first = self.calls.iter().position(|call| !call.is_over()).context("it has no call")?;
        let last = self.latest()?;
        if first == last {
            bail!("it has one call, and nothing to connect it to");
        }
        let (first, last) = if back { (last, first) } else { (first, last) };
        let with = &self.calls[last];
        let id = with.id.replace('@', "%40");
        let replaces = format!("{id}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", with.their_tag, tag(&with.us));
        let whom = with.them.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let to = format!("{}?Replaces={replaces}", whom.map_or("", |(address, _)| address));
        self.refer(first, &to)?;
        self.until("the word on the transfer", |line| line.calls[first].was_told())?;
        if self.calls[first].stage == Stage::Up && self.calls[first].told < Some(300) {
            self.request(first, "BYE", &[], "")?;
        }
        Ok(())
    }

    /// Until the pbx has taken or refused it.
    fn refer(&mut self, call: usize, to: &str) -> Result<()> {
        let more = [
            format!("Refer-To: <{to}>"),
            format!("Referred-By: <sip:{}@127.0.0.1:{}>", self.number, self.port),
        ];
        (self.calls[call].referred, self.calls[call].told) = (None, None);
        self.request(call, "REFER", &more, "")?;
        self.until("an answer to REFER", |line| {
            line.calls[call].referred.is_some() || line.calls[call].is_over()
        })
    }

    fn wait(&mut self, ms: u64) -> Result<()> {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, come: impl Fn(&Line) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !come(self) {
            if Instant::now() > deadline {
                bail!("waited {} s for {what}", PATIENCE.as_secs());
            }
            self.turn(deadline)?;
        }
        Ok(())
    }

    /// Sends what is due and takes in one message, if one comes soon.
    fn turn(&mut self, until: Instant) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        for call in self.calls.iter_mut().filter(|call| !call.is_over()) {
            call.media.tick();
        }
        let soon = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(10));
        self.socket.set_read_timeout(Some(soon.max(Duration::from_millis(1))))?;
        let mut buffer = [0u8; 8192];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                let now = Timestamp::now();
                let text = String::from_utf8_lossy(&buffer[..length]);
                writeln!(self.trace, "----- {now} received\n{text}")?;
                match Message::read(&buffer[..length]) {
                    Some(message) if message.method().is_some() => self.asked(&message),
                    Some(message) => self.answered(&message),
                    None => Ok(()),
                }
            }
            Err(_) => Ok(()),
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        writeln!(self.trace, "----- {} sent\n{text}", Timestamp::now())?;
        self.socket.send_to(text.as_bytes(), self.pbx)?;
        Ok(())
    }

    fn request(&mut self, call: usize, method: &str, more: &[String], body: &str) -> Result<()> {
        let contact = format!("Contact: <sip:{}@127.0.0.1:{}>", self.number, self.port);
        let of_invite = matches!(method, "ACK" | "CANCEL");
        let of = &mut self.calls[call];
        // An ACK and a CANCEL go with the INVITE that they are about.
        if !of_invite {
            of.cseq += 1;
        }
        let branch = if of_invite { of.branch.clone() } else { format!("z9hG4bK{}", serial()) };
        if method == "INVITE" {
            of.branch.clone_from(&branch);
        }
        let head = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch={branch}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {} {method}\r\nMax-Forwards: 70\r\n",
            of.target, self.port, of.us, of.them, of.id, of.cseq,
        );
        let mut headers = vec![contact];
        headers.extend(self.trunk.iter().map(|trunk| format!("X-Trunk: {trunk}")));
        headers.extend(more.iter().cloned());
        self.diary.note(method, "");
        self.send(&finish(head, &headers, body))
    }

    /// Answers the INVITE that the call began with.
    fn respond(&mut self, call: usize, status: &str, more: &[String], body: &str) -> Result<()> {
        let of = &self.calls[call];
        let invite = of.invite.as_ref().context("it was not called")?;
        let mut headers = more.to_vec();
        if more.is_empty() {
            headers.push(format!("Contact: <sip:{}@127.0.0.1:{}>", self.number, self.port));
        }
        let text = invite.answer(status, &of.us, &headers, body);
        self.diary.note(status.split(' ').next().unwrap_or_default(), "");
        self.send(&text)
    }

    /// A request has come.
    fn asked(&mut self, message: &Message) -> Result<()> {
        let method = message.method().unwrap_or_default();
        let known = self.calls.iter().position(|call| call.id == message.header("Call-ID"));
        self.diary.note(method, "");
        match (method, known) {
            ("ACK", _) => Ok(()),
            ("INVITE", None) => self.comes(message),
            ("INVITE", Some(call)) => {
                let of = &mut self.calls[call];
                if of.invite.as_ref().is_some_and(|first| first.cseq() == message.cseq()) {
                    // Sent again: the answer is on its way.
                    return Ok(());
                }
                of.media.remote = message.media().or(of.media.remote);
                let body = session(of.media.port, 1, "sendrecv");
                let contact = format!("Contact: <sip:{}@127.0.0.1:{}>", self.number, self.port);
                self.send(&message.answer("200 OK", "", &[contact], &body))
            }
            ("CANCEL", Some(call)) => {
                self.send(&message.answer("200 OK", "", &[], ""))?;
                if self.calls[call].stage < Stage::Up {
                    self.calls[call].stage = Stage::Over;
                    self.respond(call, "487 Request Terminated", &[], "")?;
                }
                Ok(())
            }
            ("BYE", Some(call)) => {
                self.calls[call].stage = Stage::Over;
                self.send(&message.answer("200 OK", "", &[], ""))
            }
            ("NOTIFY", Some(call)) => {
                let told = Message::read(message.body.as_bytes()).and_then(|told| told.status());
                self.calls[call].told = told.or(self.calls[call].told);
                if let Some(refusal) = told.filter(|status| *status >= 300) {
                    self.diary.note("REFER-refused", &refusal.to_string());
                }
                self.send(&message.answer("200 OK", "", &[], ""))
            }
            (_, None) => self.send(&message.answer("481 No such call", "", &[], "")),
            _ => self.send(&message.answer("200 OK", "", &[], "")),
        }
    }

    fn comes(&mut self, message: &Message) -> Result<()> {
        let us = format!("{};tag={}", message.header("To"), serial());
        let mut media = Media::new()?;
        media.remote = message.media();
        self.calls.push(Call {
            id: message.header("Call-ID").to_owned(),
            us,
            them: message.header("From").to_owned(),
            their_tag: tag(message.header("From")).to_owned(),
            target: message.address("Contact").to_owned(),
            cseq: 0,
            invite: Some(message.clone()),
            branch: String::new(),
            stage: Stage::Coming,
            refused: None,
            referred: None,
            told: None,
            media,
            versions: 1,
        });
        self.send(&message.answer("100 Trying", "", &[], ""))
    }

    /// A response has come.
    fn answered(&mut self, message: &Message) -> Result<()> {
        let (Some(status), (number, method)) = (message.status(), message.cseq()) else { return Ok(()) };
        let Some(call) = self.calls.iter().position(|call| call.id == message.header("Call-ID")) else {
            return Ok(());
        };
        self.diary.note(&status.to_string(), method);
        self.diary.note(&format!("{status} of {number} {method}"), "");
        let of = &mut self.calls[call];
        match method {
            "INVITE" => {
                of.media.remote = message.media().or(of.media.remote);
                tag(message.header("To")).clone_into(&mut of.their_tag);
                match status {
                    100 => {}
                    101..200 if of.stage == Stage::Calling => of.stage = Stage::Ringing,
                    101..200 => {}
                    200..300 => {
                        message.header("To").clone_into(&mut of.them);
                        message.address("Contact").clone_into(&mut of.target);
                        of.stage = Stage::Up;
                        let branch = std::mem::replace(&mut of.branch, format!("z9hG4bK{}", serial()));
                        self.request(call, "ACK", &[], "")?;
                        self.calls[call].branch = branch;
                    }
                    _ => {
                        let them = std::mem::replace(&mut of.them, message.header("To").to_owned());
                        // A hold that is refused ends nothing.
                        if of.stage != Stage::Up {
                            (of.stage, of.refused) = (Stage::Over, Some(status));
                        }
                        self.request(call, "ACK", &[], "")?;
                        self.calls[call].them = them;
                    }
                }
            }
            "BYE" if status >= 200 => of.stage = Stage::Over,
            "REFER" if status >= 200 => {
                of.referred = Some(status);
                if status >= 300 {
                    self.diary.note("REFER-refused", &status.to_string());
                }
            }
            _ => {}
        }
        Ok(())
    }
}
