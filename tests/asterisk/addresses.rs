//! A list of servers of which the first are dead: the next one is told everything, and no more than one call waits for it.
//!
//! A dead server refuses, or does not even do that. Measured where it is heard, as in `ten.rs`, and told for the first call and
//! for the one that follows.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::journal::{Journal, free_port};
use crate::pbx::Pbx;
use crate::scenario::{PLAIN, Scenario};
use crate::ten::{self, BlackHole};

/// For how long Asterisk tries to connect.
const TIME_OUT: Duration = Duration::from_secs(2);

/// What a busy machine may add, and still tell a time-out from none.
const SLACK: Duration = Duration::from_millis(1500);

/// Plays two calls for each kind of dead server; answers with how long each of them waited.
pub fn tried(pbx: &Pbx, journal: &Journal, logs: &Path) -> Result<String> {
    let (hole, other) = (BlackHole::dig()?, BlackHole::dig()?);
    let (refuses, silent) = (format!("127.0.0.1:{}", free_port()?), hole.address.to_string());
    let both_silent = vec![silent.clone(), other.address.to_string(), journal.agi.clone()];
    let mut kinds = vec![
        ("one refuses", vec![refuses.clone(), journal.agi.clone()], Duration::ZERO),
        ("one does not answer", vec![silent.clone(), journal.agi.clone()], TIME_OUT),
        ("two do not answer", both_silent, 2 * TIME_OUT),
    ];
    match relay(&journal.agi) {
        Ok(six) => {
            kinds.push(("both, and the third is IPv6", vec![refuses.clone(), silent.clone(), six], TIME_OUT))
        }
        Err(error) => eprintln!("\n*** SKIPPED: no IPv6 on this machine's loopback: {error} ***\n"),
    }
    let mut seen = Vec::new();
    for (kind, servers, time_out) in kinds {
        pbx.point_to(&servers.join("&"))?;
        let first = waited(pbx, journal, &logs.join(kind).join("first"), "agi")?;
        let second = waited(pbx, journal, &logs.join(kind).join("second"), "agi")?;
        ensure!(first < time_out + SLACK, "{kind}: the first call waited for {first:?}");
        ensure!(
            first >= time_out,
            "{kind}: the first call waited for {first:?}, so nobody was asked in vain"
        );
        ensure!(second < SLACK, "{kind}: the second call waited again, for {second:?}");
        seen.push(format!("{kind}: first call {} ms, next {} ms", first.as_millis(), second.as_millis()));
    }
    pbx.point_to(&format!("{silent}&{refuses}"))?;
    let alone = waited(pbx, journal, &logs.join("nobody"), "spool")?;
    ensure!(alone < TIME_OUT + SLACK, "with nobody there a call waited for {alone:?}");
    seen.push(format!("nobody there: {} ms, told by the spool", alone.as_millis()));
    pbx.point_to(&journal.agi)?;
    Ok(seen.join(" · "))
}

/// Plays a call that must be told by this feed from its beginning to its end; answers with how long it took to ring and to be
/// bridged.
fn waited(pbx: &Pbx, journal: &Journal, logs: &Path, by: &str) -> Result<Duration> {
    let played = Scenario { name: "addresses", ..PLAIN }.play(pbx, logs.to_owned())?;
    let (invite, bridge) = ten::times(&played)?;
    let call = journal.ended(&played.truth.linkedid)?;
    let id = call["id"].as_str().context("a call without an id")?;
    let begun = Instant::now();
    // AMI may be beside it, and is faster than what was written down.
    let feeds = loop {
        let events = journal.events(id)?;
        let feeds = events.iter().filter_map(|event| event["feed"].as_str().filter(|feed| *feed != "ami"));
        let feeds: Vec<String> = feeds.map(str::to_owned).collect();
        if feeds.len() >= 5 || begun.elapsed() > Duration::from_secs(5) {
            break feeds;
        }
        thread::sleep(Duration::from_millis(100));
    };
    ensure!(feeds.len() >= 5 && feeds.iter().all(|feed| feed == by), "told by {feeds:?}");
    Ok(Duration::from_micros((invite.max(0) + bridge.max(0)).unsigned_abs()))
}

/// An IPv6 address that leads to `server`.
fn relay(server: &str) -> io::Result<String> {
    let listener = TcpListener::bind("[::1]:0")?;
    let address = listener.local_addr()?;
    let server: SocketAddr = server.parse().map_err(io::Error::other)?;
    thread::spawn(move || {
        for asterisk in listener.incoming().flatten() {
            let Ok(journal) = TcpStream::connect(server) else { continue };
            let (Ok(mut back), Ok(mut there)) = (asterisk.try_clone(), journal.try_clone()) else { continue };
            let (mut asterisk, mut journal) = (asterisk, journal);
            thread::spawn(move || {
                let _ = io::copy(&mut asterisk, &mut there);
                let _ = there.shutdown(std::net::Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = io::copy(&mut journal, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    Ok(address.to_string())
}
