//! The channels that live when a connection comes up, against those that were known.
//!
//! What is not listed has ended while nobody listened, at a time that nobody knows. What is listed and not known began
//! before, as long ago as the list says; of one that talks it is known no more than that it was picked up by now. All of
//! this is told under the names that the events themselves would have had, so what is known already counts once.

use std::collections::HashMap;

use jiff::Timestamp;

use super::field::{Arrived, Now, duration, is_plumbing, text, uid_of};
use super::session::Listed;
use super::translate::{Channel, Told, Translator};
use super::wire::Message;
use crate::event::{Asked, Event, Feed, Kind};

impl Translator {
    /// What follows from the channels that live now: those that were not known are told of, and of those that are gone
    /// nobody will tell any more.
    pub fn compare(&mut self, listed: &Listed, arrived: Arrived) -> Vec<Event> {
        let mut events = Vec::new();
        let asked = listed.there.unwrap_or(arrived.there);
        let lives: HashMap<&str, &Message> =
            listed.channels.iter().filter_map(|m| Some((m.get("Uniqueid")?, m))).collect();
        if !listed.cut {
            let missing =
                |uid: &String, c: &mut Channel| !lives.contains_key(uid.as_str()) && c.since < listed.asked;
            let mut gone: Vec<(String, Channel)> = self.channels.extract_if(missing).collect();
            gone.sort_by(|a, b| a.0.cmp(&b.0));
            self.bridges.clear();
            for (uid, channel) in gone.iter().filter(|(_, channel)| channel.told) {
                let seen = Asked { pbx: &self.pbx, at: asked, timed: listed.there.is_some() };
                let event = Event::seen(&seen, uid, &channel.linkedid, &channel.name, false, arrived.here);
                events.extend(event.map(|event| Event { feed: Feed::Ami, ..event }));
            }
        }
        for message in &listed.channels {
            events.extend(self.lives(message, asked, arrived));
        }
        events
    }

    /// A channel of the list.
    fn lives(&mut self, message: &Message, asked: Timestamp, arrived: Arrived) -> Vec<Event> {
        let Some(uid) = uid_of(message, "") else { return Vec::new() };
        let lasted = message.get("Duration").and_then(duration).unwrap_or_default();
        let made = asked.saturating_sub(lasted).unwrap_or(asked);
        let (born, now) = (Now { at: made, timed: false, arrived }, Now { at: asked, timed: false, arrived });
        let up = message.get("ChannelStateDesc") == Some("Up");
        let known = self.channels.contains_key(&uid);
        if !known {
            self.remember(&uid, message, born);
        }
        if let (Some(bridge), Some(channel)) = (message.get("BridgeId"), self.channels.get_mut(&uid)) {
            channel.bridge = Some(bridge.to_owned());
            self.bridges.entry(bridge.to_owned()).or_default().push(uid.clone());
        }
        let Some(channel) = self.channels.get_mut(&uid) else { return Vec::new() };
        let called =
            channel.dialled.is_some() || message.get("Application").is_some_and(|a| a.starts_with("App"));
        if is_plumbing(&channel.name) {
            // What was dialled is none that Asterisk made for a consultation.
            if called && channel.dialled.is_none() {
                channel.dialled = Some(Some(channel.linkedid.clone()));
            }
            return Vec::new();
        }
        let mut events = Vec::new();
        if !known && called {
            let linkedid = Some(channel.linkedid.clone()).filter(|lid| *lid != uid);
            channel.dialled = Some(linkedid.clone());
            let facts = vec![("caller", linkedid), ("num", text(message, "CallerIDNum"))];
            events.extend(self.told(Told::new(Kind::Ring, &uid, facts), born));
        } else if !known {
            // Its linkedid may be that of whom it was put through to since: it began as a call of its own.
            channel.root.clone_from(&uid);
            let facts = self.beginning(message);
            events.extend(self.told(Told::new(Kind::Start, &uid, facts), born));
        }
        let Some(channel) = self.channels.get_mut(&uid) else { return events };
        if up && called && !channel.answered {
            channel.answered = true;
            let facts = vec![("caller", channel.dialled.clone().flatten())];
            events.extend(self.told(Told::new(Kind::Answer, &uid, facts), now));
        }
        events
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_390_800 + second).unwrap()
    }

    fn arrived(second: i64) -> Arrived {
        Arrived { here: at(second), there: at(second) }
    }

    fn message(fields: &[(&str, &str)]) -> Message {
        fields.iter().copied().collect()
    }

    fn listed(channels: Vec<Message>) -> Listed {
        Listed { asked: at(100), there: Some(at(90)), channels, cut: false }
    }

    fn caller(duration: &str) -> Message {
        message(&[
            ("Uniqueid", "1.1"),
            ("Linkedid", "1.1"),
            ("Channel", "PJSIP/trunk-00000001"),
            ("ChannelStateDesc", "Up"),
            ("CallerIDNum", "79193393655"),
            ("Exten", "73512020318"),
            ("Application", "Dial"),
            ("Duration", duration),
        ])
    }

    fn phone() -> Message {
        message(&[
            ("Uniqueid", "1.2"),
            ("Linkedid", "1.1"),
            ("Channel", "PJSIP/101-00000002"),
            ("ChannelStateDesc", "Up"),
            ("CallerIDNum", "101"),
            ("Application", "AppDial"),
            ("Duration", "00:00:30"),
        ])
    }

    fn told(events: &[Event]) -> Vec<(Kind, &str, i64)> {
        let since = |event: &Event| event.at.duration_since(at(0)).as_secs();
        events.iter().map(|event| (event.kind, event.uid.as_str(), since(event))).collect()
    }

    #[test]
    fn who_lives_and_was_not_known_began_as_long_ago_as_the_list_says() {
        let events = Translator::new("p").compare(&listed(vec![caller("00:00:40"), phone()]), arrived(101));
        let meant = [(Kind::Start, "1.1", 50), (Kind::Ring, "1.2", 60), (Kind::Answer, "1.2", 90)];
        assert_eq!(told(&events), meant);
        assert!(events.iter().all(|event| !event.timed), "nobody told these times");
        assert_eq!((events[0].fact("num"), events[1].fact("caller")), (Some("79193393655"), Some("1.1")));
        assert_eq!(
            events[0].token.as_str(),
            "1.1-ami-start",
            "the name that the event itself would have had"
        );
    }

    #[test]
    fn who_came_in_began_a_call_of_his_own_whomever_he_was_put_through_to_since() {
        let caller = caller("00:00:40");
        let moved =
            caller.fields().filter(|(name, _)| *name != "Linkedid").chain([("Linkedid", "0.9")]).collect();
        let events = Translator::new("p").compare(&listed(vec![moved]), arrived(101));
        assert_eq!((events[0].linkedid.as_str(), events[0].root.as_deref()), ("0.9", Some("1.1")));
    }

    #[test]
    fn who_was_known_and_is_not_listed_is_gone_unless_it_came_after_the_question() {
        let mut translator = Translator::new("p");
        let comes = |uid: &str| {
            message(&[
                ("Event", "Newchannel"),
                ("Uniqueid", uid),
                ("Channel", "PJSIP/101-00000001"),
                ("ChannelStateDesc", "Ring"),
                ("Exten", "102"),
            ])
        };
        translator.hear(&comes("1.7"), arrived(10));
        translator.hear(&comes("1.8"), arrived(100));
        let events = translator.compare(&listed(Vec::new()), arrived(101));
        assert_eq!(told(&events), [(Kind::Seen, "1.7", 90)]);
        assert_eq!((events[0].feed, events[0].fact("told")), (Feed::Ami, Some("gone")));
        assert_eq!(translator.channels(), 1);
        let cut = Listed { cut: true, asked: at(200), ..listed(Vec::new()) };
        assert_eq!(translator.compare(&cut, arrived(201)), [], "nothing follows from a list that was cut");
    }

    #[test]
    fn what_was_known_is_told_no_more_but_for_an_answer_that_was_missed() {
        let mut translator = Translator::new("p");
        let list = listed(vec![caller("00:00:40"), phone()]);
        translator.compare(&list, arrived(101));
        assert_eq!(translator.compare(&list, arrived(102)), []);
        let mut translator = Translator::new("p");
        let ringing = phone().fields().filter(|(name, _)| *name != "ChannelStateDesc").collect();
        translator.compare(&listed(vec![ringing]), arrived(101));
        let later = Listed {
            there: Some(at(95).saturating_add(SignedDuration::ZERO).unwrap()),
            ..listed(vec![phone()])
        };
        assert_eq!(told(&translator.compare(&later, arrived(106))), [(Kind::Answer, "1.2", 95)]);
    }
}
