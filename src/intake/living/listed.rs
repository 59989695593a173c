//! What a list of all channels of a pbx shows: which of those that were believed to live do not.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Living;

/// A channel that is not on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Its uniqueid.
    pub uid: String,
    /// The call that it was last known to be in.
    pub linkedid: String,
    /// Its name.
    pub channel: String,
}

impl Living {
    /// The channels of `pbx` that nothing was heard of since `before`, when the list was asked for, and that are not on
    /// it. That they are gone is heard when it is told.
    #[must_use]
    pub fn unlisted(&self, pbx: &str, lives: &HashSet<&str>, before: Timestamp) -> Vec<Unlisted> {
        let channels = self.pbxes.get(pbx).into_iter().flat_map(|pbx| &pbx.channels);
        let gone = channels.filter(|(uid, channel)| {
            channel.ended.is_none() && channel.heard < before && !lives.contains(uid.as_str())
        });
        let mut gone: Vec<Unlisted> = gone
            .map(|(uid, channel)| Unlisted {
                uid: uid.clone(),
                linkedid: channel.linkedid.clone(),
                channel: channel.name.clone(),
            })
            .collect();
        gone.sort_by(|a, b| a.uid.cmp(&b.uid));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, event, living};
    use super::*;
    use crate::event::Kind;

    #[test]
    fn who_is_not_listed_is_gone_but_for_those_that_were_heard_of_since_and_those_that_ended() {
        let mut living = living();
        for (uid, second) in [("1.1", 0), ("1.2", 0), ("1.3", 0), ("1.4", 20)] {
            living.hear(&event(Kind::Start, uid, "1.1", second, &format!("chan=PJSIP/{uid}")));
        }
        living.hear(&event(Kind::Hangup, "1.3", "1.1", 5, ""));
        let gone = living.unlisted("p", &HashSet::from(["1.1"]), at(10));
        assert_eq!(gone.iter().map(|one| one.uid.as_str()).collect::<Vec<_>>(), ["1.2"]);
        assert_eq!((gone[0].linkedid.as_str(), gone[0].channel.as_str()), ("1.1", "PJSIP/1.2"));
        assert_eq!(living.unlisted("another", &HashSet::new(), at(10)), []);
    }
}
