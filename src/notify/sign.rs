//! Signatures of notices, as standardwebhooks.com describes them (`v1`, HMAC-SHA256).
//!
//! Pure. What is signed is the id, the time of the attempt and the body, so that none of them can be exchanged, and an
//! old one cannot be sent again later.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// The value of `webhook-signature`: one signature by each of `keys`, so that a receiver that knows one of them is content
/// while another takes its place.
pub(super) fn signatures(keys: &[Vec<u8>], id: &str, at: Timestamp, body: &str) -> String {
    let told = format!("{id}.{}.{body}", at.as_second());
    let signed: Vec<String> = keys.iter().map(|key| signature(key, &told)).collect();
    signed.join(" ")
}

fn signature(key: &[u8], told: &str) -> String {
    #[allow(clippy::expect_used)] // HMAC takes a key of any length: longer ones are hashed first
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key will do");
    mac.update(told.as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    #[test]
    fn the_example_of_the_specification_comes_out() {
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        assert_eq!(
            signatures(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    proptest! {
        #[test]
        fn whoever_knows_one_of_the_secrets_is_content_and_nobody_else(
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 24..=64), 1..4),
            id in "[a-z0-9-]{1,40}", body in ".{0,200}", which in any::<proptest::sample::Index>(),
        ) {
            // The other side judges the age of what it gets by the real clock.
            let at = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
            let signed = signatures(&keys, &id, Timestamp::from_second(at).unwrap(), &body);
            let headers = [("webhook-id", id.clone()), ("webhook-timestamp", at.to_string()), ("webhook-signature", signed)];
            let headers = headers.into_iter().map(|(name, value)| {
                (name.parse::<axum::http::HeaderName>().unwrap(), axum::http::HeaderValue::from_str(&value).unwrap())
            }).collect::<axum::http::HeaderMap>();
            let knows = |key: &[u8], body: &str| {
                Webhook::from_bytes(key.to_vec()).unwrap().verify(body.as_bytes(), &headers).is_ok()
            };
            let key = which.get(&keys);
            prop_assert!(knows(key, &body));
            let other = body.clone() + " ";
            prop_assert!(!knows(key, &other));
            let stranger: Vec<u8> = key.iter().map(|byte| !byte).collect();
            prop_assert!(keys.contains(&stranger) || !knows(&stranger, &body));
        }
    }
}
