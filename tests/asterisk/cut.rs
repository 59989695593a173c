//! A manager interface that is cut again and again: what stands between calljournal and an Asterisk where AMI is to come
//! and go while calls go on.
//!
//! Each connection is carried for some seconds and then dropped with whatever was under way, and nobody is let in for a
//! second. How long is counted up from one connection to the next, so that cuts meet calls at all of their moments.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// For how long connections are carried, one after the other.
const CARRIED: [Duration; 5] = [
    Duration::from_millis(1700),
    Duration::from_millis(4100),
    Duration::from_millis(900),
    Duration::from_millis(6300),
    Duration::from_millis(2900),
];

/// For how long nobody is let in after that.
const SHUT: Duration = Duration::from_secs(1);

/// Starts to carry connections to the manager interface at `port`, for as long as the program runs; returns the port that
/// leads there.
pub fn in_front_of(port: u16) -> Result<u16> {
    let door = TcpListener::bind(("127.0.0.1", 0)).context("a port in front of the manager interface")?;
    let here = door.local_addr()?.port();
    thread::spawn(move || {
        let mut lengths = CARRIED.iter().cycle();
        let mut open_from = Instant::now();
        for client in door.incoming().flatten() {
            if Instant::now() < open_from {
                continue;
            }
            let length = lengths.next().copied().unwrap_or_default();
            // Asterisk may be down itself.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                let _ = carry(&client, &server, length);
                open_from = Instant::now() + SHUT;
            }
        }
    });
    Ok(here)
}

/// Carries both directions for `length`, or until one end closes.
fn carry(client: &TcpStream, server: &TcpStream, length: Duration) -> io::Result<()> {
    thread::scope(|scope| {
        for (from, to) in [(client, server), (server, client)] {
            scope.spawn(move || {
                let _ = io::copy(&mut &*from, &mut &*to);
                close(from);
                close(to);
            });
        }
        let until = Instant::now() + length;
        while Instant::now() < until && client.take_error().is_ok_and(|error| error.is_none()) {
            thread::sleep(Duration::from_millis(50));
        }
        close(client);
        close(server);
    });
    Ok(())
}

fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
