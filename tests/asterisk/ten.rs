//! What calljournal costs a ring group of ten: each kind of server against the same call without calljournal.
//!
//! Measured where it is heard: from the caller's INVITE to the first phone's, and from a phone's 200 OK to the bridge.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cel::Truth;
use crate::journal::free_port;
use crate::pbx::Pbx;
use crate::scenario::{Played, Scenario, TEN};

/// The kinds of server, each with the longest that one time-out of it may take.
const KINDS: [(Kind, Duration); 5] = [
    (Kind::None, Duration::ZERO),
    (Kind::Up, Duration::from_millis(250)),
    (Kind::Stopped, Duration::ZERO),
    (Kind::Silent, Duration::from_secs(5)),
    (Kind::Blackholed, Duration::from_secs(2)),
];

/// What a busy machine may add to any of the times.
const SLACK: Duration = Duration::from_millis(1500);

/// Where the dialplan's events go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The same Dial without a single hook.
    None,
    Up,
    /// Nobody listens.
    Stopped,
    /// Accepts, says nothing for five seconds, closes.
    Silent,
    /// Not even the connection is answered.
    Blackholed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::None => "no calljournal",
            Kind::Up => "server up",
            Kind::Stopped => "server stopped",
            Kind::Silent => "server silent",
            Kind::Blackholed => "server blackholed",
        }
    }
}

/// One call of the table.
pub struct Measured {
    /// How the table names it.
    pub name: String,
    /// The call, to be looked for in the journal; `None` where it was not told to any.
    pub truth: Option<Truth>,
    /// From the caller's INVITE to the first that a phone got, microseconds.
    pub first_invite: i64,
    /// From the 200 OK of the phone that was picked up to the caller's bridge, microseconds.
    pub bridge: i64,
    /// How much longer both took than without calljournal, microseconds.
    pub extra: (i64, i64),
    /// Whether the extra stays within one time-out.
    pub wrong: Option<String>,
}

/// Makes the five calls on `pbx`; `journal` is where a server that is up listens.
pub fn measure(pbx: &Pbx, journal: &str, logs: &Path) -> Result<Vec<Measured>> {
    let silent = silent_server()?;
    let hole = BlackHole::dig()?;
    let mut all: Vec<Measured> = Vec::new();
    for (kind, time_out) in KINDS {
        pbx.point_to(&match kind {
            Kind::None | Kind::Up => journal.to_owned(),
            Kind::Stopped => format!("127.0.0.1:{}", free_port()?),
            Kind::Silent => silent.to_string(),
            Kind::Blackholed => hole.address.to_string(),
        })?;
        let context = if kind == Kind::None { "test-ten-plain" } else { TEN.context };
        let played = Scenario { context, ..TEN }.play(pbx, logs.join(kind.name()));
        let played = played.with_context(|| format!("ring group of ten, {}", kind.name()))?;
        let (first_invite, bridge) = times(&played)?;
        let base = all.first().map_or((first_invite, bridge), |plain| (plain.first_invite, plain.bridge));
        let extra = (first_invite - base.0, bridge - base.1);
        all.push(Measured {
            name: format!("{}, {}", TEN.name, kind.name()),
            truth: (kind != Kind::None).then_some(played.truth),
            first_invite,
            bridge,
            extra,
            wrong: too_long(extra, time_out),
        });
    }
    pbx.point_to(journal)?;
    Ok(all)
}

/// From the caller's INVITE to the first that a phone got, and from a phone's 200 OK to the caller's bridge, microseconds.
pub fn times(played: &Played) -> Result<(i64, i64)> {
    let asked = played.caller.at("INVITE").context("the caller wrote down no INVITE")?;
    let first = played
        .phones
        .iter()
        .filter_map(|phone| phone.at("INVITE"))
        .min()
        .context("no phone got an INVITE")?;
    let picked_up =
        played.phones.iter().find_map(|phone| phone.at("200")).context("no phone was picked up")?;
    let bridged = played.truth.first("BRIDGE_ENTER", true).context("the caller was never bridged")?;
    Ok((first - asked, bridged - picked_up))
}

/// An outage may cost one time-out in five seconds: this call, answered within two, may meet one, wherever it falls.
fn too_long((invite, bridge): (i64, i64), time_out: Duration) -> Option<String> {
    let allowed = i64::try_from((time_out + SLACK).as_micros()).ok()?;
    let total = invite.max(0) + bridge.max(0);
    (total > allowed)
        .then(|| format!("{} ms longer than without calljournal: more than one time-out", total / 1000))
}

/// Accepts, holds each connection for five seconds without a word, and closes it.
fn silent_server() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(5));
                drop(stream);
            });
        }
    });
    Ok(address)
}

/// A loopback address at which a connection is neither made nor refused: a listener that never accepts, its queue
/// full, so that the kernel drops every further SYN. No packet leaves the machine.
pub struct BlackHole {
    pub address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _queue: Vec<TcpStream>,
    _runtime: tokio::runtime::Runtime,
}

impl BlackHole {
    pub fn dig() -> Result<BlackHole> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1)?;
        let address = listener.local_addr()?;
        drop(guard);
        let mut queue = Vec::new();
        while queue.len() < 16 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
                Ok(stream) => queue.push(stream),
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Ok(BlackHole { address, _listener: listener, _queue: queue, _runtime: runtime });
                }
                Err(error) => return Err(error).context("filling the queue of the black hole"),
            }
        }
        bail!("this kernel answers at {address} however full its queue is: no black hole can be made");
    }
}
