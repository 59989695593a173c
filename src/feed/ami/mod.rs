//! Asterisk's manager interface (AMI), one connection for each pbx.
//!
//! It is optional and tells what no dialplan can: of contexts that nobody hooked, of who is put through to whom, of
//! transfers as Asterisk itself names them. It listens and asks; nothing that it sends can change a call. A connection
//! that breaks is made again, with longer and longer pauses, and the channels that live then are compared with those
//! that were known. Knows the sockets and the pauses; the lines are in [`wire`], the log-in in [`session`], what events
//! mean in [`translate`].

mod bridges;
mod compare;
mod dialling;
pub mod field;
pub mod session;
pub mod translate;
pub mod wire;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::field::Arrived;
use self::session::{Do, Listed, Session, Trouble};
use self::translate::Translator;
use self::wire::{Action, NotAmi, Reader};
use crate::clock::Clock;
use crate::config;
use crate::event::{Event, Feed};
use crate::intake::Intake;

const CONNECTIONS_TOTAL: &str = "calljournal_ami_connections_total";
const MESSAGES_TOTAL: &str = "calljournal_ami_messages_total";
const LOST_TOTAL: &str = "calljournal_ami_events_lost_total";
const UP: &str = "calljournal_ami_up";

/// The port that Asterisk listens on where nothing else is set.
const PORT: u16 = 5038;

/// How long a connection may take to come up, and an action to be sent.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// After so much silence it is asked whether anybody is there; after as much again nobody is.
const SILENCE: Duration = Duration::from_secs(15);

/// The first pause before another try, and the longest. Where somebody must change something first it is always long:
/// an Asterisk may shut out who knocks too often.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often, and with which pause, events are handed in again that could not be kept. Meanwhile nothing is read, and
/// Asterisk keeps what it has to say.
const TRIES: u32 = 40;
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What all connections need.
#[derive(Clone)]
pub struct Line {
    /// The one door for writing.
    pub intake: Intake,
    /// When a message came.
    pub clock: Clock,
}

/// Keeps a connection to each of `peers` until `stop`; `default` names the pbx of one that has no name of its own.
pub async fn run(line: Line, peers: Vec<config::Ami>, default: String, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    for peer in peers {
        let pbx = peer.pbx.clone().unwrap_or_else(|| default.clone());
        let translator = Translator::new(&pbx);
        let connection = Connection { line: line.clone(), translator, peer, pbx, is_up: false, away: None };
        connections.spawn(connection.keep(stop.clone()));
    }
    while connections.join_next().await.is_some() {}
}

/// The address of a peer: with Asterisk's own port where it names none.
#[must_use]
pub fn address(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{PORT}"),
        Err(_) if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            host.to_owned()
        }
        Err(_) => format!("{host}:{PORT}"),
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nobody listens there, or the network is away.
    #[error("{0}")]
    Network(#[from] std::io::Error),
    /// Nothing came for too long.
    #[error("nothing was heard for {} s", 2 * SILENCE.as_secs())]
    Silent,
    /// It makes no sense to go on.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// What was heard could not be kept.
    #[error("what it told could not be written down")]
    Full,
}

impl From<NotAmi> for Broken {
    fn from(_: NotAmi) -> Broken {
        Broken::Trouble(Trouble::NotAmi)
    }
}

/// One connection, from the socket to what is to be done.
struct Talk {
    socket: TcpStream,
    reader: Reader,
    session: Session,
    clock: Clock,
}

impl Talk {
    async fn begin(peer: &config::Ami, clock: &Clock) -> Result<Talk, Broken> {
        let connect = TcpStream::connect(address(&peer.host));
        let socket = timeout(CONNECT_WITHIN, connect).await.map_err(|_| Broken::Silent)??;
        let _ = socket.set_nodelay(true);
        let session = Session::new(&peer.user, peer.secret.reveal());
        Ok(Talk { socket, reader: Reader::default(), session, clock: clock.clone() })
    }

    /// What is to be done about what comes next. Sends by itself what is to be sent.
    async fn next(&mut self) -> Result<Vec<Do>, Broken> {
        let mut piece = vec![0; 16 * 1024];
        let read = match timeout(SILENCE, self.socket.read(&mut piece)).await {
            Ok(read) => read?,
            Err(_) => {
                if self.session.is_up() {
                    let ping = self.session.ping(self.clock.now());
                    self.act(vec![ping]).await?;
                }
                timeout(SILENCE, self.socket.read(&mut piece)).await.map_err(|_| Broken::Silent)??
            }
        };
        if read == 0 {
            return Err(Trouble::Goodbye.into());
        }
        let now = self.clock.now();
        let mut doings = Vec::new();
        for heard in self.reader.take(piece.get(..read).unwrap_or_default())? {
            doings.extend(self.session.hear(heard, now));
        }
        self.act(doings).await
    }

    /// Sends what is to be sent, and hands back the rest.
    async fn act(&mut self, doings: Vec<Do>) -> Result<Vec<Do>, Broken> {
        let mut left = Vec::new();
        for doing in doings {
            match doing {
                Do::Send(action) => self.send(&action).await?,
                // What was told before the end counts.
                Do::GiveUp(trouble) if left.is_empty() => return Err(trouble.into()),
                doing => left.push(doing),
            }
        }
        Ok(left)
    }

    async fn send(&mut self, action: &Action) -> Result<(), Broken> {
        let bytes = action.bytes().map_err(|_| Trouble::Unsendable)?;
        timeout(CONNECT_WITHIN, self.socket.write_all(&bytes)).await.map_err(|_| Broken::Silent)??;
        Ok(())
    }
}

/// One pbx.
struct Connection {
    line: Line,
    peer: config::Ami,
    pbx: String,
    translator: Translator,
    is_up: bool,
    /// Since when it is not.
    away: Option<Timestamp>,
}

impl Connection {
    async fn keep(mut self, stop: CancellationToken) {
        self.up(false);
        let mut pause = FIRST_PAUSE;
        let mut said = String::new();
        loop {
            let Some(broken) = stop.run_until_cancelled(self.once()).await else { return };
            let was_up = std::mem::take(&mut self.is_up);
            let lasts = matches!(&broken, Broken::Trouble(trouble) if trouble.lasts());
            let why = broken.to_string();
            self.down(&why);
            if was_up {
                (pause, said) = (FIRST_PAUSE, String::new());
            }
            if said != why {
                warn!(pbx = self.pbx, host = self.peer.host, "AMI is down: {why}");
                said = why;
            }
            let wait = if lasts { LONGEST_PAUSE } else { pause };
            pause = (2 * pause).min(LONGEST_PAUSE);
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// One connection, until it breaks.
    async fn once(&mut self) -> Broken {
        let mut talk = match Talk::begin(&self.peer, &self.line.clock).await {
            Ok(talk) => talk,
            Err(broken) => return broken,
        };
        loop {
            let doings = match talk.next().await {
                Ok(doings) => doings,
                Err(broken) => return broken,
            };
            for doing in &doings {
                if let Do::Compare(listed) = doing {
                    self.came_up(talk.session.version(), listed);
                }
            }
            if self.is_up {
                self.line.intake.beat(&self.pbx, Feed::Ami);
            }
            if let Err(broken) = self.take(&talk.session, doings).await {
                return broken;
            }
        }
    }

    fn up(&self, up: bool) {
        gauge!(UP, "pbx" => self.pbx.clone()).set(u8::from(up));
    }

    fn came_up(&mut self, version: &str, listed: &Listed) {
        let channels = listed.channels.len();
        info!(pbx = self.pbx, host = self.peer.host, version, channels, "AMI is up");
        counter!(CONNECTIONS_TOTAL, "outcome" => "up").increment(1);
        self.up(true);
        (self.is_up, self.away) = (true, None);
        self.line.intake.linked(&self.pbx, Feed::Ami);
    }

    fn down(&mut self, why: &str) {
        let since = *self.away.get_or_insert_with(|| self.line.clock.now());
        counter!(CONNECTIONS_TOTAL, "outcome" => "down").increment(1);
        self.up(false);
        self.line.intake.broken(&self.pbx, Feed::Ami, why, since);
    }

    async fn take(&mut self, session: &Session, doings: Vec<Do>) -> Result<(), Broken> {
        let here = self.line.clock.now();
        let arrived = Arrived { here, there: session.there(here) };
        let mut events = Vec::new();
        for doing in doings {
            match doing {
                Do::Tell(message) => {
                    counter!(MESSAGES_TOTAL).increment(1);
                    events.extend(self.translator.hear(&message, arrived));
                }
                Do::Compare(listed) => {
                    events.extend(self.gone(&listed, arrived));
                    events.extend(self.translator.compare(&listed, arrived));
                }
                Do::GiveUp(trouble) => {
                    self.hand_in(events).await?;
                    return Err(trouble.into());
                }
                Do::Send(_) => {}
            }
        }
        self.hand_in(events).await
    }

    /// The channels that any feed told of, that are believed to live and are not listed.
    fn gone(&self, listed: &Listed, arrived: Arrived) -> Vec<Event> {
        if listed.cut {
            return Vec::new();
        }
        let lives: HashSet<&str> = listed.channels.iter().filter_map(|m| m.get("Uniqueid")).collect();
        let (at, timed) = (listed.there.unwrap_or(arrived.there), listed.there.is_some());
        let asked = crate::event::Asked { pbx: &self.pbx, at, timed };
        self.line.intake.unlisted(&asked, &lives, listed.asked)
    }

    /// Hands in until it is kept.
    async fn hand_in(&self, events: Vec<Event>) -> Result<(), Broken> {
        if events.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            match self.line.intake.accept(events.clone()).await {
                Ok(receipt) => {
                    debug!(pbx = self.pbx, fresh = receipt.fresh, told = events.len(), "AMI told");
                    return Ok(());
                }
                Err(refused) => debug!(pbx = self.pbx, "what AMI told could not be kept yet: {refused}"),
            }
            sleep(TRY_AGAIN).await;
        }
        counter!(LOST_TOTAL).increment(events.len() as u64);
        Err(Broken::Full)
    }
}

/// Logs in to `peer`, asks for the channels, and says which version it speaks and how many there are.
///
/// # Errors
/// [`Broken`], with what to do about it.
pub async fn probe(peer: &config::Ami, clock: &Clock) -> Result<(String, usize), Broken> {
    let look = async {
        let mut talk = Talk::begin(peer, clock).await?;
        loop {
            for doing in talk.next().await? {
                match doing {
                    Do::Compare(listed) => {
                        let _ = talk.send(&Action::Logoff).await;
                        return Ok((talk.session.version().to_owned(), listed.channels.len()));
                    }
                    Do::GiveUp(trouble) => return Err(trouble.into()),
                    Do::Send(_) | Do::Tell(_) => {}
                }
            }
        }
    };
    timeout(CONNECT_WITHIN, look).await.unwrap_or(Err(Broken::Silent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_port_has_asterisks_own() {
        for (host, meant) in [
            ("127.0.0.1", "127.0.0.1:5038"),
            ("pbx.example.com", "pbx.example.com:5038"),
            ("127.0.0.1:5039", "127.0.0.1:5039"),
            ("::1", "[::1]:5038"),
            ("[::1]", "[::1]:5038"),
            ("[::1]:5039", "[::1]:5039"),
        ] {
            assert_eq!(address(host), meant);
        }
    }
}
