//! Where a receiver that subscribed over HTTP may be: at public addresses, and in networks that the configuration names.
//!
//! Who may subscribe could otherwise make this machine post to whatever only it can reach: its own ports, the
//! router, the address at which clouds hand out credentials. What counts is the address that a name leads to at the
//! very moment of the connection, so a name that leads elsewhere a second later gains nothing.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use ipnet::IpNet;
use tower_service::Service;

/// Addresses that are nobody's on the internet: this host, private and shared networks, links, documentation,
/// multicast, what is reserved (the registries of RFC 6890).
const NOT_PUBLIC: [&str; 24] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The names of addresses, without those that may not be reached.
#[derive(Clone)]
pub struct Guard {
    names: GaiResolver,
    rules: Arc<Rules>,
}

/// Which addresses may be reached.
#[derive(Debug)]
struct Rules {
    not_public: Vec<IpNet>,
    reach: Vec<IpNet>,
}

/// A name leads to no address that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("no receiver that subscribed may be at {}", list(.0))]
pub struct Blocked(Vec<IpAddr>);

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Guard {
    /// Lets through what is public, and `reach` beside it.
    #[must_use]
    pub fn new(reach: Vec<IpNet>) -> Guard {
        // Each of them can be read, as a test sees; one that could not would be one that is not blocked.
        let not_public = NOT_PUBLIC.iter().filter_map(|net| net.parse().ok()).collect();
        Guard { names: GaiResolver::new(), rules: Arc::new(Rules { not_public, reach }) }
    }

    /// Whether an address may be reached. A host that is an address asks no resolver, so ask this.
    #[must_use]
    pub fn lets(&self, address: IpAddr) -> bool {
        self.rules.let_through(address)
    }
}

impl Rules {
    fn let_through(&self, address: IpAddr) -> bool {
        let address = meant(address);
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        within(&self.reach) || !within(&self.not_public)
    }
}

/// The IPv4 address inside of one that only carries it: mapped, 6to4, NAT64.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
        _ => IpAddr::V6(v6),
    }
}

impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.names.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, rules) = (self.names.call(name), self.rules.clone());
        Box::pin(async move {
            let (may, not): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.await?.partition(|address| rules.let_through(address.ip()));
            if may.is_empty() && !not.is_empty() {
                return Err(Blocked(not.iter().map(SocketAddr::ip).collect()).into());
            }
            Ok(may.into_iter())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lets(guard: &Guard, address: &str) -> bool {
        guard.lets(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let guard = Guard::new(Vec::new());
        assert_eq!(guard.rules.not_public.len(), NOT_PUBLIC.len());
        for public in ["8.8.8.8", "172.32.0.1", "2a00:1450:4001::1", "2002:808:808::1", "64:ff9b::808:808"] {
            assert!(lets(&guard, public), "{public}");
        }
        for other in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "fe80::1",
            "fd00::1",
            "2002:7f00:1::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
        ] {
            assert!(!lets(&guard, other), "{other}");
        }
    }

    #[test]
    fn what_the_configuration_names_is_reached_too() {
        let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(lets(&guard, "10.1.2.3") && lets(&guard, "::ffff:10.1.2.3"));
        assert!(!lets(&guard, "127.0.0.1") && !lets(&guard, "192.168.0.1"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_resolved() {
        let name: Name = "localhost".parse().unwrap();
        let error = Guard::new(Vec::new()).call(name.clone()).await.err().unwrap();
        assert!(error.downcast_ref::<Blocked>().is_some(), "{error}");
        let mut here = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert!(here.call(name).await.unwrap().all(|found| found.ip().is_loopback()));
    }
}
