//! What a receiver that subscribes over HTTP may say of itself.
//!
//! Pure. Who subscribes is not the administrator: it may neither run programs nor templates, nor be anywhere but at
//! public addresses and where the configuration allows it. Knows nothing of routes and of who asks.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::guard::Guard;
use super::http::Receiver;
use crate::config::{self, Endpoint, Format};

/// The keys of `[[notify]]` that may be given.
const KEYS: [&str; 17] = [
    "url",
    "format",
    "notices",
    "corrections",
    "org",
    "direction",
    "trunk",
    "disposition",
    "missed",
    "min_talk_s",
    "locale",
    "timezone",
    "record_url",
    "bitrix24",
    "secret",
    "auth",
    "timeout_ms",
];

/// Characters of an address.
const MOST_URL: usize = 2048;

/// Longest time limit of an attempt, in milliseconds.
const MOST_MS: u64 = 30_000;

/// The receiver `name` as `wish` describes it. Beside public addresses it may be in `reach`.
///
/// # Errors
/// What is not allowed or cannot work, in a sentence for who subscribes.
pub fn endpoint(name: &str, wish: &Value, reach: &[IpNet]) -> Result<Endpoint, String> {
    let mut keys = wish.as_object().ok_or("write a JSON object")?.clone();
    if let Some(unknown) = keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("no such key: {unknown}; there are {}", KEYS.join(", ")));
    }
    keys.insert("name".to_owned(), name.into());
    let mut endpoint: Endpoint =
        serde_json::from_value(Value::Object(keys)).map_err(|error| error.to_string())?;
    endpoint.reach = Some(reach.to_vec());
    check(&endpoint, reach)?;
    Ok(endpoint)
}

fn check(endpoint: &Endpoint, reach: &[IpNet]) -> Result<(), String> {
    if let Some(complaint) = config::complaints_of(endpoint).into_iter().next() {
        return Err(complaint);
    }
    if matches!(endpoint.format, Format::Template | Format::Command) {
        return Err("this format can be used in the server's configuration file alone".to_owned());
    }
    if endpoint.url.len() > MOST_URL {
        return Err(format!("url may have {MOST_URL} characters"));
    }
    if endpoint.timeout_ms > MOST_MS {
        return Err(format!("timeout_ms may be {MOST_MS} at most"));
    }
    if endpoint.notices.is_empty() {
        return Err("notices is empty: nothing would ever be told".to_owned());
    }
    let receiver = Receiver::parse(&endpoint.url)?;
    match receiver.address() {
        Some(address) if !Guard::new(reach.to_vec()).lets(address) => Err(refused(address)),
        _ => Ok(()),
    }
}

/// An address that may not be reached, told to who asked for it.
#[must_use]
pub fn refused(address: IpAddr) -> String {
    format!(
        "{address} is not a public address, and the server's configuration ([subscribe] reach) does not name its network"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(wish: Value) -> String {
        endpoint("crm", &wish, &[]).unwrap_err()
    }

    #[test]
    fn what_the_configuration_file_alone_may_say_is_refused() {
        let url = "https://crm.example.com/x";
        for (key, value) in [
            ("command", json!(["/bin/sh"])),
            ("body", json!("{{ 1 }}")),
            ("headers", json!({ "a": "b" })),
            ("method", json!("GET")),
            ("proxy", json!("http://x")),
            ("ca_file", json!("/etc/shadow")),
            ("secret_file", json!("/etc/shadow")),
            ("name", json!("other")),
            ("reach", json!(["0.0.0.0/0"])),
        ] {
            let said = refusal(json!({ "url": url, key: value }));
            assert!(said.starts_with(&format!("no such key: {key}")), "{said}");
        }
        for format in ["template", "command"] {
            let said = refusal(json!({ "url": url, "format": format, "notices": ["call.ended"] }));
            assert!(!said.is_empty());
        }
        assert!(refusal(json!([])).contains("object"));
        assert!(refusal(json!({ "url": url, "notices": [] })).contains("empty"));
        assert!(refusal(json!({ "url": url, "timeout_ms": 3_600_000 })).contains("timeout_ms"));
        assert!(refusal(json!({ "url": format!("{url}{}", "a".repeat(3000)) })).contains("characters"));
    }

    #[test]
    fn an_address_that_is_not_public_is_refused_unless_its_network_is_named() {
        for host in ["127.0.0.1", "10.0.0.5:8080", "[::1]", "[::ffff:192.168.0.1]:80", "169.254.169.254"] {
            let said = refusal(json!({ "url": format!("http://{host}/latest") }));
            assert!(said.contains("is not a public address"), "{said}");
        }
        let wish = json!({ "url": "http://10.0.0.5/" });
        let taken = endpoint("crm", &wish, &["10.0.0.0/8".parse().unwrap()]).unwrap();
        assert_eq!((taken.name.as_str(), taken.reach.unwrap().len()), ("crm", 1));
    }
}
