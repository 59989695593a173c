//! The FastAGI listener: sockets, deadlines and limits around the pure [`session`].
//!
//! A phone call stands still while it waits here, so nothing that one peer does or leaves undone may hold up
//! another: each session is a task with deadlines counted from its connection, bounded in memory, and a panic
//! in it ends it alone. What is not kept in time is answered `FAILURE`, and the dialplan writes it to its
//! spool. Knows of the store only what [`Door`] says, and asks an Asterisk only what the door wants to know.

pub(super) mod complaints;
mod low_water;
mod request;
pub mod session;
pub mod wire;

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::complaints::Complaints;
use self::session::{Action, Answer, Ending, Input, Outcome, Phase, Session};
use self::wire::{Command, Uniqueid};
use crate::clock::{Clock, Stopwatch};
use crate::config;
use crate::event::{Asked, Event};
use crate::intake::living::{About, QUESTIONS, Question};
use crate::intake::{Intake, Refused};

const SESSIONS_TOTAL: &str = "calljournal_agi_sessions_total";
const SESSIONS_OPEN: &str = "calljournal_agi_sessions";
const ACK_SECONDS: &str = "calljournal_agi_ack_seconds";
const QUESTIONS_TOTAL: &str = "calljournal_agi_questions_total";

/// Connections that the kernel holds until they are accepted. A ring group of many phones comes in one burst.
const BACKLOG: u32 = 1024;

/// Bytes read at one time; a whole session of Asterisk is about 1,500.
const PIECE: usize = 4096;

/// Bytes that every request has, and that come at once. Asterisk leaves Nagle's algorithm on, and the kernel
/// acknowledges the first sixteen of its lines (380 bytes at the least) without delay: where nobody reads, the next
/// ones stay with the sender until an acknowledgement that comes up to 40 ms later.
const LOW_WATER: u16 = 256;

/// How long less than that is waited for: a peer that says less is served as well, a little later.
const LOW_WATER_WAIT: Duration = Duration::from_millis(3);

/// Pause after accept has failed. File descriptors come back when sessions end, not by asking for them.
const BACK_OFF: Duration = Duration::from_millis(75);

/// How long the end of a session may take after its last word was said, and a reply after the server was stopped.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes that are thrown away after the last word was said.
const MAX_UNREAD: usize = 256 * 1024;

/// How long open sessions may take to end once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Where events are kept. There is one, [`Intake`]; tests have others that are slow or broken.
pub trait Door: Clone + Send + Sync + 'static {
    /// Makes the event durable, also where nobody waits for the answer any more. Never answers
    /// [`Answer::Kept`] or [`Answer::Known`] before it is.
    fn keep(&self, event: Event) -> impl Future<Output = Answer> + Send;

    /// How long the oldest event that is not durable yet has waited; `None` where none waits.
    fn oldest_wait(&self) -> Option<Duration>;

    /// What the pbx of `event` is to be asked in its session, the first [`QUESTIONS`] at most. Mostly nothing: each
    /// question holds up a phone call. Called once for each event, before [`Door::keep`].
    fn questions(&self, _event: &Event) -> Vec<Question> {
        Vec::new()
    }

    /// Takes in what was answered, after the session.
    fn answered(
        &self,
        _asked: Asked<'_>,
        _answers: Vec<(Question, String)>,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

impl Door for Intake {
    async fn keep(&self, event: Event) -> Answer {
        match self.accept_heard(event).await {
            Ok(receipt) if receipt.fresh == 0 => Answer::Known,
            Ok(_) => Answer::Kept,
            Err(Refused::Busy) => Answer::Busy,
            Err(refused @ (Refused::Stopping | Refused::Store(_))) => Answer::Refused(refused.to_string()),
        }
    }

    fn oldest_wait(&self) -> Option<Duration> {
        Intake::oldest_wait(self)
    }

    fn questions(&self, event: &Event) -> Vec<Question> {
        Intake::questions(self, event)
    }

    async fn answered(&self, asked: Asked<'_>, answers: Vec<(Question, String)>) {
        Intake::answered(self, asked, answers).await;
    }
}

/// Listens on `addr`.
///
/// # Errors
/// Where the address is taken, is not of this machine or is not permitted; the text says what to do.
pub fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // After a restart, what is left of old sessions must not keep the port.
        socket.set_reuseaddr(true)?;
        low_water::set(&socket, LOW_WATER);
        // One small command goes out: it must not wait for company. Connections inherit that too.
        socket.set_nodelay(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program listens there. Port 4573 is also FreePBX's (core-fastagi), wazo-agid's and \
                 ivozprovider's; `ss -ltnp 'sport = :{}'` shows who it is. Set [agi] listen to another port, \
                 and CALLJOURNAL_SERVER in the dialplan's [globals] to the same",
                addr.port()
            ),
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: set [agi] listen to one that `ip addr` shows".to_owned()
            }
            _ => "set [agi] listen to an address and port that may be used".to_owned(),
        };
        anyhow::Error::new(error).context(advice)
    })
    .with_context(|| format!("cannot listen for FastAGI on {addr}"))
}

/// Serves sessions until `stop`, then ends the open ones: what is on its way to the store is waited for and
/// acknowledged, who was not read yet gets `FAILURE`. Returns within a few seconds of `stop`, never before.
pub async fn run<D: Door>(
    listener: TcpListener,
    door: D,
    agi: config::Agi,
    pbx: config::Pbx,
    clock: Clock,
    stop: CancellationToken,
) {
    let desk = Arc::new(Desk {
        door,
        agi,
        pbx,
        clock,
        stop: stop.clone(),
        up: Stopwatch::start(),
        complaints: Mutex::default(),
        meters: Meters::new(),
    });
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => desk.admit(stream, peer.ip().to_canonical(), &sessions),
            Err(error) => {
                desk.complain(None, "accept", || {
                    warn!(%error, "cannot accept FastAGI connections; trying again. Raise LimitNOFILE if it says too many open files");
                });
                tokio::select! { () = stop.cancelled() => break, () = sleep(BACK_OFF) => {} }
            }
        }
    }
    // Who has connected already is answered too; nobody is once the port is closed.
    yield_now().await;
    for _ in 0..BACKLOG {
        let waits = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        let Poll::Ready(Ok((stream, peer))) = waits else { break };
        desk.admit(stream, peer.ip().to_canonical(), &sessions);
    }
    drop(listener);
    sessions.close();
    if timeout(STOP_WITHIN, sessions.wait()).await.is_err() {
        warn!("FastAGI sessions were still open {} s after the stop", STOP_WITHIN.as_secs());
    }
}

/// What all sessions share.
struct Desk<D> {
    door: D,
    agi: config::Agi,
    pbx: config::Pbx,
    clock: Clock,
    stop: CancellationToken,
    up: Stopwatch,
    complaints: Mutex<Complaints>,
    meters: Meters,
}

/// What is counted for each session, looked up once.
struct Meters {
    open: Gauge,
    acked: Counter,
    ack: Histogram,
}

impl Meters {
    fn new() -> Meters {
        let acked = counter!(SESSIONS_TOTAL, "outcome" => Outcome::Acked.as_str());
        Meters { open: gauge!(SESSIONS_OPEN), acked, ack: histogram!(ACK_SECONDS) }
    }

    fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Acked => self.acked.increment(1),
            other => counter!(SESSIONS_TOTAL, "outcome" => other.as_str()).increment(1),
        }
    }
}

/// The call and channel that a session speaks of, once that is known.
#[derive(Default)]
struct Subject {
    call: String,
    channel: String,
    errand: Option<Errand>,
}

/// What a session has to ask, and what came of it.
struct Errand {
    pbx: String,
    at: Timestamp,
    timed: bool,
    questions: Vec<Question>,
    answers: Vec<Vec<u8>>,
}

impl Errand {
    /// `None` where there is nothing to ask. What has not the form of a uniqueid is never asked about.
    fn of(event: &Event, mut questions: Vec<Question>) -> Option<Errand> {
        questions.truncate(QUESTIONS);
        questions.retain(|question| command(question).is_some());
        let (pbx, at, timed) = (event.pbx.clone(), event.at, event.timed);
        (!questions.is_empty()).then_some(Errand { pbx, at, timed, questions, answers: Vec::new() })
    }

    fn commands(&self) -> impl Iterator<Item = Command> {
        self.questions.iter().filter_map(command)
    }

    async fn hand_in(self, door: &impl Door) {
        let text = |said: Vec<u8>| String::from_utf8_lossy(&said).into_owned();
        let answers: Vec<_> = self.questions.into_iter().zip(self.answers.into_iter().map(text)).collect();
        counter!(QUESTIONS_TOTAL).increment(answers.len() as u64);
        if !answers.is_empty() {
            door.answered(Asked { pbx: &self.pbx, at: self.at, timed: self.timed }, answers).await;
        }
    }
}

fn command(question: &Question) -> Option<Command> {
    let channel = Uniqueid::new(&question.uid)?;
    Some(match question.about {
        About::Life => Command::lives(&channel),
        About::Linkedid => Command::linkedid_of(&channel),
    })
}

impl<D: Door> Desk<D> {
    /// Lets a peer in, or turns it away at once.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, sessions: &TaskTracker) {
        if !self.agi.allow.iter().any(|network| network.contains(&peer)) {
            return self.turn_away(peer, Outcome::RefusedNetwork, "the address is not in [agi] allow");
        }
        if sessions.len() >= self.agi.max_connections {
            // Not through tokio: a socket this young counts as not writable there.
            if let Ok(mut stream) = stream.into_std() {
                let _ = stream.write(Command::failure().as_bytes());
            }
            return self.turn_away(peer, Outcome::OverLimit, "[agi] max_connections sessions are open");
        }
        let open = Open { desk: Arc::clone(self), peer, outcome: None };
        self.meters.open.increment(1);
        sessions.spawn(open.serve(stream, Stopwatch::start()));
    }

    fn turn_away(&self, peer: IpAddr, outcome: Outcome, why: &'static str) {
        self.meters.ended(outcome);
        self.report(peer, &Ending { outcome, why: why.into() }, &Subject::default());
    }

    /// From the prelude to the ending, which the peer has not been told yet.
    async fn converse(
        &self,
        stream: &mut TcpStream,
        peer: IpAddr,
        opened: Stopwatch,
        subject: &mut Subject,
    ) -> Ending {
        let pbx = self.pbx.peers.get(&peer).unwrap_or(&self.pbx.default);
        let mut session = Session::new(pbx, self.agi.secret.as_ref()).keeping_lines(self.agi.keep_lines);
        let mut action = Action::Wait;
        // One timer and one ear for the stop, however many pieces a request comes in.
        let (deadline, stopped) = (sleep(LOW_WATER_WAIT), self.stop.cancelled());
        tokio::pin!(deadline, stopped);
        let start = deadline.deadline() - LOW_WATER_WAIT - opened.elapsed();
        tokio::select! {
            biased;
            _ = stream.readable() => {}
            () = deadline.as_mut() => {}
        }
        low_water::lift(stream);
        let mut phase = session.phase();
        deadline.as_mut().reset(start + self.allowed(phase));
        loop {
            if phase != session.phase() {
                phase = session.phase();
                deadline.as_mut().reset(start + self.allowed(phase));
            }
            action = match action {
                Action::Wait => self.hear(stream, &mut session, deadline.as_mut(), stopped.as_mut()).await,
                Action::Store(event) => {
                    let errand = Errand::of(&event, self.door.questions(&event));
                    session.will_ask(errand.iter().flat_map(Errand::commands));
                    *subject =
                        Subject { call: event.linkedid.clone(), channel: event.channel.clone(), errand };
                    let stored = self.store(*event, deadline.as_mut()).await;
                    session.step(stored, self.clock.now())
                }
                Action::Send(command) => {
                    let sent = tokio::select! {
                        biased;
                        sent = stream.write_all(command.as_bytes()) => sent.is_ok(),
                        () = deadline.as_mut() => false,
                    };
                    // The event is kept, but nobody was told.
                    if !sent {
                        return Ending { outcome: Outcome::ClosedEarly, why: "".into() };
                    }
                    if phase == Phase::Reply {
                        self.meters.ack.record(opened.elapsed());
                    }
                    self.hear(stream, &mut session, deadline.as_mut(), stopped.as_mut()).await
                }
                Action::Close(ending) => {
                    if let Some(errand) = &mut subject.errand {
                        errand.answers = session.answers();
                    }
                    return ending;
                }
            };
        }
    }

    /// Takes the step for what comes first: bytes, the deadline of the phase or the stop.
    async fn hear(
        &self,
        stream: &mut TcpStream,
        session: &mut Session<'_>,
        deadline: Pin<&mut Sleep>,
        stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Action {
        let phase = session.phase();
        let stopping = async {
            stopped.await;
            if matches!(phase, Phase::Reply | Phase::Questions) {
                sleep(LINGER).await;
            }
        };
        // The piece lies on the stack: a session that waits holds no room for it.
        let read = poll_fn(|cx| {
            let mut piece = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut piece);
            Pin::new(&mut *stream).poll_read(cx, &mut piece).map(|read| match (read, piece.filled()) {
                (Err(_), _) | (Ok(()), []) => session.step(Input::Eof, self.clock.now()),
                (Ok(()), bytes) => session.step(Input::Bytes(bytes), self.clock.now()),
            })
        });
        let input = tokio::select! {
            biased;
            action = read => return action,
            () = deadline => Input::Deadline,
            () = stopping => Input::Stopping,
        };
        session.step(input, self.clock.now())
    }

    /// Time allowed from the connection to the end of a phase.
    fn allowed(&self, phase: Phase) -> Duration {
        Duration::from_millis(match phase {
            Phase::Prelude => self.agi.prelude_timeout_ms,
            Phase::Store => self.agi.ack_timeout_ms,
            Phase::Reply | Phase::Questions => self.agi.session_timeout_ms,
        })
    }

    async fn store(&self, event: Event, deadline: Pin<&mut Sleep>) -> Input<'static> {
        let budget = self.allowed(Phase::Store);
        if self.door.oldest_wait().is_some_and(|wait| wait > budget) {
            return Input::Stored(Answer::Busy);
        }
        // Who gives up waiting has no ack, but the event is kept all the same and counts once, whether it comes
        // again by the spool or not.
        tokio::select! {
            biased;
            answer = self.door.keep(event) => Input::Stored(answer),
            () = deadline => Input::Deadline,
        }
    }

    /// One line about how a session ended: in the debug log where all is well, rate-limited where it is not.
    fn report(&self, peer: IpAddr, ending: &Ending, subject: &Subject) {
        let (outcome, why) = (ending.outcome.as_str(), ending.why.as_ref());
        let Subject { call, channel, .. } = subject;
        if why.is_empty() {
            debug!(%peer, outcome, call, channel, "FastAGI session");
        } else if call.is_empty() {
            self.complain(Some(peer), outcome, || warn!(%peer, outcome, "FastAGI session refused: {why}"));
        } else {
            self.complain(Some(peer), outcome, || {
                warn!(%peer, outcome, call, channel, "FastAGI session: {why}");
            });
        }
    }

    fn complain(&self, peer: Option<IpAddr>, reason: &'static str, line: impl FnOnce()) {
        let said = self.complaints.lock().unwrap_or_else(PoisonError::into_inner).say(
            peer,
            reason,
            self.up.elapsed(),
        );
        if let Some(held_back) = said {
            line();
            if held_back > 0 {
                warn!(reason, held_back, "and as many more like it were not logged");
            }
        }
    }
}

/// An open session; counts itself when it ends, however that comes about.
struct Open<D: Door> {
    desk: Arc<Desk<D>>,
    peer: IpAddr,
    outcome: Option<Outcome>,
}

impl<D: Door> Open<D> {
    async fn serve(mut self, mut stream: TcpStream, opened: Stopwatch) {
        let mut subject = Subject::default();
        let ending = self.desk.converse(&mut stream, self.peer, opened, &mut subject).await;
        self.outcome = Some(ending.outcome);
        self.desk.report(self.peer, &ending, &subject);
        // However it goes, all is said: the peer closes too, or the time is over.
        if ending.outcome.calls_for_failure() {
            let _ = timeout(LINGER, fail(&mut stream)).await;
        }
        drop(stream);
        if let Some(errand) = subject.errand {
            errand.hand_in(&self.desk.door).await;
        }
    }
}

/// Says the last word and closes so that the peer can hear it: a socket that is closed with unread data makes
/// the kernel reset the connection, and a reset may destroy what is still on its way.
async fn fail(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(Command::failure().as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = Vec::with_capacity(PIECE);
    let mut thrown_away = 0;
    while thrown_away < MAX_UNREAD {
        rest.clear();
        match stream.read_buf(&mut rest).await? {
            0 => break,
            n => thrown_away += n,
        }
    }
    Ok(())
}

impl<D: Door> Drop for Open<D> {
    fn drop(&mut self) {
        let unfinished = || if std::thread::panicking() { Outcome::Panic } else { Outcome::FailureStopping };
        let outcome = self.outcome.unwrap_or_else(unfinished);
        if outcome == Outcome::Panic {
            let why = "the session's own code failed: please report it".into();
            self.desk.report(self.peer, &Ending { outcome, why }, &Subject::default());
        }
        self.desk.meters.open.decrement(1);
        self.desk.meters.ended(outcome);
    }
}
