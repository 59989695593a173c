//! What stands around a notice's JSON when it is posted.
//!
//! Pure. The body itself is stored with the notice and is the same at each attempt; so is its id, by which a
//! receiver tells that it has the notice already. The names are those of standardwebhooks.com.

use jiff::Timestamp;

/// Who we say we are.
pub const USER_AGENT: &str = concat!("calljournal/", env!("CARGO_PKG_VERSION"));

/// The headers of the attempt made at `at`, for the notice with this id.
#[must_use]
pub fn headers(notice: &str, at: Timestamp) -> [(&'static str, String); 4] {
    [
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", notice.to_owned()),
        ("webhook-timestamp", at.as_second().to_string()),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_the_time_is_that_of_the_attempt() {
        let first = headers("id-1", Timestamp::from_second(10).unwrap());
        let second = headers("id-1", Timestamp::from_second(20).unwrap());
        assert_eq!(first[2], second[2]);
        assert_eq!(second[3], ("webhook-timestamp", "20".to_owned()));
    }
}
