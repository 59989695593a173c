//! Who is put through to whom: bridges, consultations, transfers, and who of those in a bridge hung up.
//!
//! A transfer by code is told from the Local channel that Asterisk makes for it, when its maker meets it in a bridge; one by
//! a phone's key when Asterisk names the two calls that become one. Who hangs up has hung up for all in the bridge with him.

use super::field::{Now, is_plumbing, text, uid_of};
use super::translate::{MOST_CHANNELS, MOST_HALVES, Told, Translator};
use super::wire::Message;
use crate::event::{Event, Kind, key};

impl Translator {
    pub(super) fn meets(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let (Some(uid), Some(bridge)) = (uid_of(message, ""), text(message, "BridgeUniqueid")) else {
            return Vec::new();
        };
        if self.bridges.len() >= MOST_CHANNELS && !self.bridges.contains_key(&bridge) {
            return Vec::new();
        }
        let members = self.bridges.entry(bridge.clone()).or_default();
        if members.len() < MOST_HALVES && !members.contains(&uid) {
            members.push(uid.clone());
        }
        let others: Vec<String> = members.iter().filter(|member| **member != uid).cloned().collect();
        let Some(channel) = self.channels.get_mut(&uid) else { return Vec::new() };
        channel.bridge = Some(bridge);
        let (by, plumbing) = (channel.name.clone(), is_plumbing(&channel.name));
        let consulted = others.iter().find_map(|other| self.consulted(other)).filter(|_| !plumbing);
        consulted.map(|via| self.consults(&by, &via, now)).into_iter().flatten().collect()
    }

    /// The half that calls of a Local channel that nobody dialled and that waits in a bridge: Asterisk made it for an
    /// attended transfer by code.
    fn consulted(&self, uid: &str) -> Option<String> {
        let one =
            self.channels.get(uid).filter(|c| is_plumbing(&c.name) && c.dialled.is_none() && !c.answered)?;
        let via = one.half.clone().filter(|_| one.name.ends_with(";1"))?;
        self.channels.get(&via).filter(|via| !via.told)?;
        Some(via)
    }

    fn consults(&mut self, by: &str, via: &str, now: Now) -> Option<Event> {
        let channel = self.channels.get(via)?;
        let (exten, context, at) = (channel.exten.clone(), channel.context.clone(), channel.made);
        let facts = vec![
            ("how", Some("attended".to_owned())),
            ("by", Some(by.to_owned())),
            ("exten", exten),
            ("ctx", context),
        ];
        self.told(Told::new(Kind::Transfer, via, facts), Now { at, ..now })
    }

    pub(super) fn leaves(&mut self, message: &Message) -> Vec<Event> {
        let (Some(uid), Some(bridge)) = (uid_of(message, ""), text(message, "BridgeUniqueid")) else {
            return Vec::new();
        };
        if let Some(channel) = self.channels.get_mut(&uid) {
            channel.bridge = channel.bridge.take().filter(|known| *known != bridge);
        }
        if let Some(members) = self.bridges.get_mut(&bridge) {
            members.retain(|member| *member != uid);
            if members.is_empty() {
                self.bridges.remove(&bridge);
            }
        }
        Vec::new()
    }

    pub(super) fn sends_on(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let Some(uid) = uid_of(message, "Transferee").filter(|_| message.get("Result") == Some("Success"))
        else {
            return Vec::new();
        };
        if self.channels.get(&uid).is_some_and(|channel| channel.parked.is_some()) {
            return Vec::new();
        }
        let facts = vec![
            ("how", Some("blind".to_owned())),
            ("by", text(message, "TransfererChannel")),
            ("exten", text(message, "Extension")),
            ("ctx", text(message, "Context")),
        ];
        let told = Told { which: now.name("transfer"), ..Told::new(Kind::Transfer, &uid, facts) };
        self.told(told, now).into_iter().collect()
    }

    /// Two calls of one phone become one. (By code there is one call, and its Local channel was told of.)
    pub(super) fn puts_through(&mut self, message: &Message, now: Now) -> Vec<Event> {
        let (first, second) = (uid_of(message, "OrigTransferer"), uid_of(message, "SecondTransferer"));
        let (Some(first), Some(second)) = (first, second) else { return Vec::new() };
        if message.get("Result") != Some("Success") {
            return Vec::new();
        }
        if let Some(channel) = self.channels.get_mut(&first) {
            channel.left = Some(now.at);
            channel.connected = text(message, "TransfereeChannel").filter(|_| first != second);
        }
        if first == second {
            return Vec::new();
        }
        let linkedid = text(message, "OrigTransfererLinkedid").filter(|lid| !key::is_key(lid));
        let told = self.channels.get(&second).is_some_and(|channel| channel.told);
        linkedid
            .filter(|_| told)
            .and_then(|linkedid| self.seen(&second, &linkedid, now))
            .into_iter()
            .collect()
    }

    /// The far end of a channel hung up, and so for whoever is in a bridge with it.
    pub(super) fn hangs_up(&mut self, message: &Message) -> Vec<Event> {
        let Some(uid) = uid_of(message, "") else { return Vec::new() };
        let Some(channel) = self.channels.get(&uid) else { return Vec::new() };
        let half = || self.channels.get(channel.half.as_deref()?)?.source.clone();
        let who = channel.source.clone().filter(|_| is_plumbing(&channel.name)).or_else(half);
        let who = who.unwrap_or_else(|| channel.name.clone());
        let bridge = channel.bridge.as_deref().and_then(|bridge| self.bridges.get(bridge));
        let members = bridge.cloned().unwrap_or_default();
        for member in members.iter().chain([&uid]) {
            if let Some(channel) = self.channels.get_mut(member) {
                channel.source = Some(who.clone());
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::field::Arrived;
    use super::*;
    use crate::event::born;

    fn hear(translator: &mut Translator, fields: &[(&str, &str)]) -> Vec<Event> {
        let here = born("1795390800.1").unwrap();
        translator.hear(&fields.iter().copied().collect(), Arrived { here, there: here })
    }

    fn transferred(translator: &mut Translator, result: &str) -> usize {
        let transfer = [
            ("Event", "BlindTransfer"),
            ("Result", result),
            ("TransfererChannel", "PJSIP/101-00000002"),
            ("TransfereeUniqueid", "1.1"),
            ("Extension", "700"),
        ];
        hear(translator, &transfer).len()
    }

    #[test]
    fn a_transfer_that_failed_is_none_and_nor_is_one_that_parks() {
        let mut translator = Translator::new("p");
        let caller = [
            ("Event", "Newchannel"),
            ("Uniqueid", "1.1"),
            ("Channel", "PJSIP/trunk-00000001"),
            ("ChannelStateDesc", "Ring"),
        ];
        hear(&mut translator, &caller);
        assert_eq!(transferred(&mut translator, "Invalid"), 0);
        assert_eq!(transferred(&mut translator, "Success"), 1);
        // The other order is put right where the call is folded.
        let parked = [("Event", "ParkedCall"), ("ParkeeUniqueid", "1.1"), ("ParkingSpace", "701")];
        let lot = [("Event", "BridgeEnter"), ("Uniqueid", "1.1"), ("BridgeUniqueid", "y")];
        let before = [("Event", "BridgeLeave"), ("Uniqueid", "1.1"), ("BridgeUniqueid", "x")];
        for told in [&parked[..], &lot, &before] {
            hear(&mut translator, told);
            assert_eq!(transferred(&mut translator, "Success"), 0);
        }
        let back = [("Event", "ParkedCallTimeOut"), ("ParkeeUniqueid", "1.1"), ("ParkingSpace", "701")];
        assert_eq!(hear(&mut translator, &back)[0].fact("step"), Some("parked"));
        assert_eq!(transferred(&mut translator, "Success"), 1);
    }

    #[test]
    fn who_hangs_up_has_hung_up_for_all_in_the_bridge_and_for_nobody_else() {
        let mut translator = Translator::new("p");
        for (uid, name) in [("1.1", "PJSIP/a-1"), ("1.2", "PJSIP/b-2"), ("1.3", "PJSIP/c-3")] {
            let comes =
                [("Event", "Newchannel"), ("Uniqueid", uid), ("Channel", name), ("ChannelStateDesc", "Ring")];
            hear(&mut translator, &comes);
            if uid != "1.3" {
                hear(
                    &mut translator,
                    &[("Event", "BridgeEnter"), ("Uniqueid", uid), ("BridgeUniqueid", "x")],
                );
            }
        }
        hear(&mut translator, &[("Event", "HangupRequest"), ("Uniqueid", "1.2")]);
        let mut source = |uid: &str| {
            let events = hear(&mut translator, &[("Event", "Hangup"), ("Uniqueid", uid)]);
            events[0].fact("hangupsource").map(str::to_owned)
        };
        assert_eq!(source("1.1").as_deref(), Some("PJSIP/b-2"));
        assert_eq!(source("1.2").as_deref(), Some("PJSIP/b-2"));
        assert_eq!(source("1.3"), None);
    }
}
