//! Who sends an HTTP request, as far as its address and its headers can be trusted, and how one is turned away.
//!
//! Pure. Knows that proxies and browsers speak for others; knows neither routes nor what may be done.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// Headers of proxies: behind one, the peer's address says nothing.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Whether the peer's address says who asks. What came through a proxy says nothing by its address, and what a
/// browser was made to send by somebody's page carries `Origin`.
#[must_use]
pub fn speaks_for_itself(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::ORIGIN) && !FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// Whether a program of this machine asks, and means this machine: a name of somebody else's that leads here is the
/// trick of a page in a browser.
#[must_use]
pub fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    speaks_for_itself(headers)
        && peer.to_canonical().is_loopback()
        && headers.get(header::HOST).is_none_or(is_loopback)
}

/// Whether both are the same; takes as long for a wrong secret, however much of it is right.
#[must_use]
pub fn same_secret(ours: &str, told: &str) -> bool {
    Sha256::digest(ours) == Sha256::digest(told)
}

/// What follows `Bearer` in the `Authorization` header.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// What is answered to who is turned away or asks for what cannot be, as RFC 9457 has it.
#[must_use]
pub fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], format!("{body}\n")).into_response()
}

fn is_loopback(host: &HeaderValue) -> bool {
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_program_of_this_machine_that_asks_for_this_machine_is_local() {
        let local = |peer: &str, of: &[_]| is_local(peer.parse().unwrap(), &headers(of));
        assert!(local("127.0.0.1", &[]));
        assert!(local("::ffff:127.0.0.1", &[("host", "localhost:8573")]));
        assert!(local("::1", &[("host", "[::1]:8573")]));
        assert!(!local("10.0.0.5", &[("host", "localhost")]));
        assert!(!local("127.0.0.1", &[("host", "attacker.example")]));
        assert!(!local("127.0.0.1", &[("x-forwarded-for", "1.2.3.4")]));
        assert!(!local("127.0.0.1", &[("origin", "https://attacker.example")]));
    }

    #[test]
    fn a_token_is_read_from_its_header() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer  abc ")])), Some("abc"));
        for wrong in ["Basic abc", "Bearer", "Bearer ", "abc", ""] {
            let wrong: HeaderMap =
                [(header::AUTHORIZATION, HeaderValue::from_static(wrong))].into_iter().collect();
            assert_eq!(bearer(&wrong), None);
        }
    }
}
