//! Who listens on a port of this machine, as Linux tells it under `/proc`.
//!
//! `/proc/net/tcp` names the socket, `/proc/PID/fd` names the process; the second may be read for one's own
//! processes, and by root for all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// `TCP_LISTEN` in the `st` column.
const LISTENING: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name, as `ps` shows it.
    pub program: String,
    /// Its process id.
    pub pid: u32,
}

/// The process that keeps others from listening on `address`, where that can be seen.
#[must_use]
pub fn of(address: SocketAddr) -> Option<Holder> {
    let sockets =
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|f| std::fs::read_to_string(f).ok());
    let inode = sockets.filter_map(|table| inode_of(&table, address)).next()?;
    let name = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if holds(&process.path(), &name) {
            let program = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder { program: program.trim().to_owned(), pid });
        }
    }
    None
}

fn holds(process: &Path, socket: &str) -> bool {
    let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == socket)
}

/// The inode of the socket that listens on `address`, or on its port at all addresses.
fn inode_of(table: &str, address: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let ip = ip_of(ip)?;
        let in_the_way = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
        (*state == LISTENING && port == address.port() && in_the_way).then(|| inode.parse().ok())?
    })
}

/// Groups of four bytes in the machine's own order, as hexadecimal.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let words = hex.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    match words.collect::<Option<Vec<_>>>()?.as_slice() {
        [v4] => Some(IpAddr::V4(Ipv4Addr::from(*v4))),
        words @ [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let Ok(socket) = std::net::TcpListener::bind(address) else { continue };
            let port = socket.local_addr().unwrap().port();
            let asked = SocketAddr::new(socket.local_addr().unwrap().ip(), port);
            assert_eq!(of(asked).unwrap().pid, std::process::id(), "{address}");
        }
    }

    #[test]
    fn a_table_that_makes_no_sense_names_nobody() {
        let address = "127.0.0.1:4573".parse().unwrap();
        for table in
            ["", "head\n1: x", "head\n0: zz:11DD 0 0A 0 0 0 0 0 5", "head\n0: 0100007F:11DD x 01 a b c d e 5"]
        {
            assert_eq!(inode_of(table, address), None, "{table}");
        }
    }
}
