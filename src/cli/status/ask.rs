//! Asks a server on this machine how it is: one request over HTTP, bounded in size and time.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long is waited for it: longer than it may take to see that its own database does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: u64 = 1 << 20;

/// Where a server that listens on `listen` is reached from this machine.
pub fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// What the server at `address` says of its health; `None` where none answers, or something else does.
pub fn health(address: SocketAddr) -> Option<Value> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(socket, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    socket.take(MOST_BYTES).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (_, body) = answer.strip_prefix("HTTP/1.1 ")?.split_once("\r\n\r\n")?;
    let health: Value = serde_json::from_str(body).ok()?;
    health["status"].is_string().then_some(health)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:8573", "127.0.0.1:8573"),
            ("[::]:8573", "[::1]:8573"),
            ("192.0.2.1:8573", "192.0.2.1:8573"),
        ] {
            assert_eq!(near(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn what_is_no_server_of_ours_says_nothing() {
        for answer in ["", "HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\nhello", "220 mail ready\r\n"]
        {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let other = std::thread::spawn(move || {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let _ = socket.read(&mut request).unwrap();
                socket.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(health(address), None, "{answer}");
            other.join().unwrap();
            assert_eq!(health(address), None, "nobody listens");
        }
    }
}
