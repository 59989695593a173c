//! The id of a call, computed from the set of its linkedids.
//!
//! Two processes that hear of one call at once must name it alike, so nothing is drawn by lot: the id is a
//! UUIDv8 of the pbx and the earliest linkedid, with that linkedid's own second in front, so that ids sort by
//! time. Knows nothing of events or of where ids are kept.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::event::key::{self, CallKey};
use crate::event::uniqueid::Born;

/// The name of a call, for ever; after a merge the other ids of the call lead to the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// The id of the call that began with `linkedid` on `pbx`.
    ///
    /// 48 bits hold the milliseconds of the linkedid's second, 12 bits its serial, the rest a hash of both names.
    #[must_use]
    pub fn of(pbx: &str, linkedid: &str) -> CallId {
        let mut hash = Sha256::new();
        hash.update((pbx.len() as u64).to_be_bytes());
        hash.update(pbx);
        hash.update(linkedid);
        let hash = hash.finalize();
        let born = birth(linkedid);
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&(born.second.saturating_mul(1000)).to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&((born.serial & 0xfff) as u16).to_be_bytes());
        bytes[8..].copy_from_slice(&hash[..8]);
        CallId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The id of a notice about this call: the same each time it is computed.
    #[must_use]
    pub fn notice(self, kind: &str, number: u32) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(self.0.as_bytes());
        hash.update(kind);
        hash.update(number.to_be_bytes());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        bytes[..6].copy_from_slice(&self.0.as_bytes()[..6]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// The id of a notice about one thing on `pbx`, a channel or a moment: the same whichever call that thing is found to
/// belong to.
#[must_use]
pub fn notice_about(kind: &str, pbx: &str, what: &str) -> Uuid {
    let mut hash = Sha256::new();
    for part in [kind, pbx, what] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CallId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(CallId)
    }
}

/// Which of two linkedids began first: by second, then by serial, then by text. A call key, which stands where
/// no channel is known, comes after all linkedids.
#[must_use]
pub fn earlier(a: &str, b: &str) -> Ordering {
    let order = |name: &str| (key::is_key(name), birth(name));
    order(a).cmp(&order(b)).then_with(|| a.cmp(b))
}

/// What is neither a uniqueid nor a call key was born at 0: it sorts first, and the same on every node.
fn birth(name: &str) -> Born {
    let key = || CallKey::parse(name).and_then(|key| u64::try_from(key.second()).ok());
    let second = |second| Born { second, serial: 0 };
    Born::of(name).or_else(|| key().map(second)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_of_the_linkedid_and_then_by_serial() {
        let ids = ["office-1795390722.9", "1795390723.2", "1795390723.10", "1795390724.0"];
        let ids: Vec<String> = ids.iter().map(|l| CallId::of("p", l).to_string()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }

    #[test]
    fn an_id_is_a_version_8_uuid_that_depends_on_pbx_and_linkedid() {
        let id = CallId::of("p", "1795390723.2");
        assert_eq!(id.0.get_version_num(), 8);
        assert_eq!(id, CallId::of("p", "1795390723.2"));
        assert_ne!(id, CallId::of("q", "1795390723.2"));
        assert_eq!(id.to_string().parse::<CallId>().unwrap(), id);
    }

    #[test]
    fn of_two_linkedids_the_earlier_one_is_by_second_and_then_by_serial() {
        assert_eq!(earlier("1795390723.2", "1795390723.10"), Ordering::Less);
        assert_eq!(earlier("1795390723.2", "1795390722.99"), Ordering::Greater);
        assert_eq!(earlier("nonsense", "1795390722.99"), Ordering::Less);
    }

    #[test]
    fn a_call_key_comes_after_all_linkedids_and_its_id_sorts_by_its_time() {
        let key = "20261122-222140-79190000001-IN-73510000001";
        assert_eq!(earlier(key, "1895390723.2"), Ordering::Greater);
        assert!(CallId::of("p", key) > CallId::of("p", "1695390723.2"));
        assert!(CallId::of("p", key) < CallId::of("p", "1895390723.2"));
    }

    #[test]
    fn a_notice_has_the_same_id_each_time() {
        let id = CallId::of("p", "1795390723.2");
        assert_eq!(id.notice("call.ended", 0), id.notice("call.ended", 0));
        assert_ne!(id.notice("call.ended", 0), id.notice("call.corrected", 0));
        assert_ne!(id.notice("call.corrected", 1), id.notice("call.corrected", 2));
    }
}
