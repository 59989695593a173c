//! How often the log is told of the same trouble: once per peer and reason, then once in a while with the count.
//!
//! Whoever can connect can make trouble as fast as the network carries it; the log must stay readable and the
//! disk must not fill. Pure: the time is handed in, as what has passed since any fixed moment. The full counts are in the metrics.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Time between two lines about the same peer and reason.
const INTERVAL: Duration = Duration::from_secs(10);

/// Most peers and reasons that are remembered; while there are more, the rest is not logged.
const MAX_REMEMBERED: usize = 1024;

/// What was said last, and how much was not said since.
#[derive(Debug, Default)]
pub struct Complaints {
    said: HashMap<(Option<IpAddr>, &'static str), Said>,
}

#[derive(Debug)]
struct Said {
    at: Duration,
    held_back: u64,
}

impl Complaints {
    /// Whether to write a line now, and if so, how many like it were held back since the last one.
    pub fn say(&mut self, peer: Option<IpAddr>, reason: &'static str, now: Duration) -> Option<u64> {
        if let Some(said) = self.said.get_mut(&(peer, reason)) {
            if now.saturating_sub(said.at) < INTERVAL {
                said.held_back += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.held_back));
        }
        if self.said.len() >= MAX_REMEMBERED {
            self.said.retain(|_, said| now.saturating_sub(said.at) < INTERVAL);
        }
        if self.said.len() >= MAX_REMEMBERED {
            return None;
        }
        self.said.insert((peer, reason), Said { at: now, held_back: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_in_ten_seconds_with_the_count() {
        let mut complaints = Complaints::default();
        let at = Duration::from_secs;
        let peer = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(complaints.say(peer, "malformed", at(0)), Some(0));
        assert_eq!(complaints.say(peer, "malformed", at(1)), None);
        assert_eq!(complaints.say(peer, "malformed", at(9)), None);
        assert_eq!(complaints.say(peer, "timeout", at(9)), Some(0));
        assert_eq!(complaints.say(None, "malformed", at(9)), Some(0));
        assert_eq!(complaints.say(peer, "malformed", at(10)), Some(2));
        assert_eq!(complaints.say(peer, "malformed", at(20)), Some(0));
    }

    #[test]
    fn any_number_of_peers_is_remembered_in_bounded_memory() {
        let mut complaints = Complaints::default();
        let said = (0..100_000_u32)
            .filter(|n| {
                complaints.say(Some(IpAddr::from(n.to_be_bytes())), "malformed", Duration::ZERO).is_some()
            })
            .count();
        assert_eq!(said, MAX_REMEMBERED);
        assert_eq!(complaints.say(None, "other", INTERVAL), Some(0));
        assert_eq!(complaints.said.len(), 1);
    }
}
