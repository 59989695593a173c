//! The channels that are believed to live, and what a pbx is to be asked about them.
//!
//! An end that nobody told (a killed Asterisk, a channel without a handler) is found by asking, in the session of
//! another channel. Here is decided whom to ask about: channels that have been silent for long, all of them where a
//! restart is suspected, and those that a SIP phone's transfer may have moved into another call. Only an answer ends
//! a channel, never the suspicion. In memory and bounded, a few steps for each event; what is forgotten costs no more
//! than a question that is not asked. Pure: the time is handed in. Knows nothing of sessions and how they ask.

mod listed;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::series::{Series, Sight};
use crate::event::uniqueid::{Born, born};
use crate::event::{Asked, Event, Kind};

/// Most questions of one session: a phone call's own thread waits for the answers.
pub const QUESTIONS: usize = 4;

/// Most channels that are remembered, of all pbxes together, and most pbxes.
const MOST_CHANNELS: usize = 20_000;
const MOST_PBXES: usize = 256;

/// Channels looked at for one session, so that none takes long.
const LOOKS: usize = 32;

/// How long a channel that may have gone with a restart is not asked about again, where no answer came.
const SUSPECT_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// How old a channel may be that starts for the first time.
const JUST_BORN: SignedDuration = SignedDuration::from_secs(5);

/// How long after its end a channel shows of which calls its phone had a part.
const JUST_ENDED: SignedDuration = SignedDuration::from_secs(10);

/// One question to a pbx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The channel that it is about, as that pbx has named it.
    pub uid: String,
    /// What is asked.
    pub about: About,
}

/// What a pbx is asked about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Whether it lives: `1` or `0`.
    Life,
    /// Its linkedid.
    Linkedid,
}

/// What the events of a pbx show of the pbx itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Its Asterisk may have been started again.
    Restart,
    /// Two Asterisks go by its name.
    TwoOfOneName,
    /// It has no `CHANNEL_EXISTS()`, which came with Asterisk 16.22 and 18.8.
    CannotTell,
}

/// All channels that are believed to live.
#[derive(Debug, Default)]
pub struct Living {
    /// How long a channel is silent before its pbx is asked. `None`: nobody is asked anything.
    ask_after: Option<SignedDuration>,
    /// How long ago its last event may lie before the answer that it lives is worth one.
    worth_telling: SignedDuration,
    pbxes: HashMap<String, Pbx>,
    channels: usize,
}

#[derive(Debug, Default)]
struct Pbx {
    channels: HashMap<String, Channel>,
    /// Each channel once, with the time at which it is looked at: silent channels take turns.
    turns: VecDeque<(Timestamp, String)>,
    /// Channels from before a restart that is suspected.
    suspects: VecDeque<String>,
    series: Series,
    /// Whether it has `CHANNEL_EXISTS()`, once that was tried.
    can_tell: Option<bool>,
    two_of_one_name: bool,
}

#[derive(Debug)]
struct Channel {
    name: String,
    linkedid: String,
    /// When it was last heard of, by an event or an answer.
    heard: Timestamp,
    /// When the last event was told.
    told: Timestamp,
    asked: Option<Timestamp>,
    /// It stays for a turn, so that what is told late does not bring it back.
    ended: Option<Timestamp>,
    started: bool,
    /// Since when it is one of those from before a restart that is suspected.
    suspect: Option<Timestamp>,
}

impl Living {
    /// Nothing is known yet. A channel is asked about after `ask_after` of silence, `None` asks nobody; a call that is
    /// silent for `lost` is given up.
    #[must_use]
    pub fn new(ask_after: Option<SignedDuration>, lost: SignedDuration) -> Living {
        Living { ask_after, worth_telling: lost / 4, ..Living::default() }
    }

    /// An event of a channel, told now or when this process was not there.
    pub fn hear(&mut self, event: &Event) -> Option<Finding> {
        let ask_after = self.ask_after?;
        let born = Born::of(&event.uid)?;
        if !self.pbxes.contains_key(&event.pbx) {
            if self.pbxes.len() >= MOST_PBXES {
                return None;
            }
            self.pbxes.insert(event.pbx.clone(), Pbx::default());
        }
        let pbx = self.pbxes.get_mut(&event.pbx).filter(|pbx| !pbx.two_of_one_name)?;
        if let Some(channel) = pbx.channels.get_mut(&event.uid) {
            let of_two = channel.hear(event);
            return of_two.then(|| self.give_up(&event.pbx));
        }
        // Of a channel that ast-ami alone tells it follows the life.
        if event.is_hearsay() || event.kind == Kind::Seen || self.channels >= MOST_CHANNELS {
            return None;
        }
        self.channels += 1;
        pbx.channels.insert(event.uid.clone(), Channel::of(event));
        let due = event.received.saturating_add(ask_after).unwrap_or(Timestamp::MAX);
        pbx.turns.push_back((due, event.uid.clone()));
        match pbx.series.see(born, event.received) {
            Sight::Next => return None,
            Sight::Before => {
                pbx.suspect(&event.uid);
                return None;
            }
            Sight::Restart => pbx.suspect_all_but(&event.uid),
            Sight::Other => return Some(self.give_up(&event.pbx)),
        }
        Some(Finding::Restart)
    }

    /// Of two that go by one name nobody knows which one answers: neither is asked from now on.
    fn give_up(&mut self, pbx: &str) -> Finding {
        if let Some(pbx) = self.pbxes.get_mut(pbx) {
            self.channels -= pbx.channels.len();
            *pbx = Pbx { two_of_one_name: true, ..Pbx::default() };
        }
        Finding::TwoOfOneName
    }

    /// The pbxes by whose name two Asterisks seem to go.
    pub fn shared(&self) -> Vec<String> {
        let shared = self.pbxes.iter().filter(|(_, pbx)| pbx.two_of_one_name);
        shared.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What the pbx of `event` is to be asked in that event's session; mostly nothing.
    pub fn questions(&mut self, event: &Event, now: Timestamp) -> Vec<Question> {
        let (Some(ask_after), true) = (self.ask_after, may_ask(event)) else { return Vec::new() };
        let Some(pbx) = self.pbxes.get_mut(&event.pbx).filter(|pbx| !pbx.two_of_one_name) else {
            return Vec::new();
        };
        let mut questions = pbx.moved_by(event, now);
        let before = pbx.channels.len();
        if pbx.can_tell != Some(false) {
            pbx.suspected(&event.uid, now, &mut questions);
            pbx.silent(&event.uid, now, ask_after, &mut questions);
        }
        self.channels -= before - pbx.channels.len();
        questions.truncate(QUESTIONS);
        questions
    }

    /// The events that answers come to. `said` is what the pbx gave, empty where it gave nothing.
    pub fn answers(
        &mut self,
        asked: &Asked<'_>,
        answers: &[(Question, String)],
        now: Timestamp,
    ) -> (Vec<Event>, Option<Finding>) {
        let Some(pbx) = self.pbxes.get_mut(asked.pbx) else { return (Vec::new(), None) };
        let mut finding = None;
        let mut known: BTreeMap<&str, (bool, Option<&str>)> = BTreeMap::new();
        for (question, said) in answers {
            let alive = match (question.about, said.as_str()) {
                (About::Life, "0") => false,
                (About::Life, "1") => true,
                (About::Life, _) => {
                    finding = pbx.can_tell.is_none().then_some(Finding::CannotTell);
                    pbx.can_tell.get_or_insert(false);
                    continue;
                }
                (About::Linkedid, lid) if Born::of(lid).is_some() => {
                    known.entry(&question.uid).or_insert((true, None)).1 = Some(lid);
                    continue;
                }
                (About::Linkedid, _) => continue,
            };
            pbx.can_tell = Some(true);
            known.entry(&question.uid).or_insert((alive, None)).0 = alive;
        }
        let worth_telling = self.worth_telling;
        let told = known.into_iter().filter_map(|(uid, (alive, linkedid))| {
            let channel = pbx.channels.get_mut(uid).filter(|c| c.ended.is_none())?;
            channel.answer(alive, linkedid, now, worth_telling).then_some(())?;
            Event::seen(asked, uid, &channel.linkedid, &channel.name, alive, now)
        });
        (told.collect(), finding)
    }
}

/// Nobody asks while a phone is about to ring or was just picked up, nor where a group's losers are hung up one after
/// another before the winner is put through: a person would wait for the answer.
fn may_ask(event: &Event) -> bool {
    match event.kind {
        Kind::Ring | Kind::Answer | Kind::Seen => false,
        Kind::Hangup => event.fact("state") != Some("Ringing") && event.fact("cause") != Some("26"),
        Kind::Start | Kind::Transfer | Kind::Note | Kind::Record => true,
    }
}

impl Channel {
    fn of(event: &Event) -> Channel {
        Channel {
            name: event.channel.clone(),
            linkedid: event.linkedid.clone(),
            heard: event.received,
            told: event.received,
            asked: None,
            ended: (event.kind == Kind::Hangup).then_some(event.received),
            started: event.kind == Kind::Start,
            suspect: None,
        }
    }

    /// Another event of a known channel. Answers whether there must be two channels of this name.
    fn hear(&mut self, event: &Event) -> bool {
        let gone = event.kind == Kind::Seen && event.fact("told") == Some("gone");
        if event.kind == Kind::Hangup || gone {
            self.ended.get_or_insert(event.received);
        }
        if event.is_hearsay() || event.received < self.told {
            return false;
        }
        (self.heard, self.told) = (self.heard.max(event.received), event.received);
        self.suspect = self.suspect.filter(|since| event.received <= *since);
        // No channel starts twice, but for a masquerade, and not on another phone right after it was made.
        let age = born(&event.uid).map(|born| event.at.duration_since(born));
        let new = event.kind == Kind::Start && age.is_some_and(|age| age < JUST_BORN);
        let twice = new && self.started && phone(&event.channel) != phone(&self.name);
        self.started |= event.kind == Kind::Start;
        if self.linkedid != event.linkedid {
            self.linkedid.clone_from(&event.linkedid);
        }
        // A masquerade gives a channel another's name.
        if self.name != event.channel && !event.channel.is_empty() {
            self.name.clone_from(&event.channel);
        }
        twice
    }

    /// Takes in an answer; whether it is news.
    fn answer(&mut self, alive: bool, linkedid: Option<&str>, now: Timestamp, worth: SignedDuration) -> bool {
        self.suspect = None;
        if !alive {
            self.ended = Some(now);
            return true;
        }
        self.heard = now;
        let moved = linkedid.filter(|lid| *lid != self.linkedid);
        if let Some(lid) = moved {
            lid.clone_into(&mut self.linkedid);
        }
        let news = moved.is_some() || now.duration_since(self.told) >= worth;
        if news {
            self.told = now;
        }
        news
    }
}

impl Pbx {
    fn suspect_all_but(&mut self, new: &str) {
        // Another version of Asterisk may have been started.
        self.can_tell = None;
        self.suspects.clear();
        let old: Vec<String> = self.channels.keys().filter(|uid| *uid != new).cloned().collect();
        old.iter().for_each(|uid| self.suspect(uid));
    }

    fn suspect(&mut self, uid: &str) {
        let since = self.series.heard();
        if let Some(channel) = self.channels.get_mut(uid).filter(|c| c.ended.is_none()) {
            channel.suspect = Some(since);
            self.suspects.push_back(uid.to_owned());
        }
    }

    fn suspected(&mut self, own: &str, now: Timestamp, questions: &mut Vec<Question>) {
        for _ in 0..self.suspects.len().min(LOOKS) {
            if questions.len() >= QUESTIONS {
                return;
            }
            let Some(uid) = self.suspects.pop_front() else { return };
            let channel = self.channels.get_mut(&uid).filter(|c| c.suspect.is_some() && c.ended.is_none());
            let Some(channel) = channel.filter(|_| uid != own) else { continue };
            let lately = channel.asked.is_some_and(|asked| now.duration_since(asked) < SUSPECT_AGAIN);
            if !lately {
                channel.asked = Some(now);
                questions.push(Question { uid: uid.clone(), about: About::Life });
            }
            self.suspects.push_back(uid);
        }
    }

    /// Asks about the channels whose turn has come and that were silent, and forgets those that have ended.
    fn silent(
        &mut self,
        own: &str,
        now: Timestamp,
        ask_after: SignedDuration,
        questions: &mut Vec<Question>,
    ) {
        for _ in 0..LOOKS {
            let due = self.turns.front().is_some_and(|(at, _)| *at <= now);
            if !due || questions.len() >= QUESTIONS {
                return;
            }
            let Some((_, uid)) = self.turns.pop_front() else { return };
            let Some(channel) = self.channels.get_mut(&uid) else { continue };
            if channel.ended.is_some() {
                self.channels.remove(&uid);
                continue;
            }
            let next = channel.heard.max(now.saturating_sub(ask_after).unwrap_or(now));
            let next = next.saturating_add(ask_after).unwrap_or(Timestamp::MAX);
            if now.duration_since(channel.heard) >= ask_after && uid != own {
                channel.asked = Some(now);
                let ask = |about| Question { uid: uid.clone(), about };
                questions.extend([ask(About::Life), ask(About::Linkedid)]);
                let again = now.saturating_add(ask_after).unwrap_or(Timestamp::MAX);
                self.turns.push_back((again, uid));
            } else {
                self.turns.push_back((next, uid));
            }
        }
    }

    /// The channels that a transfer may have moved: a SIP phone that joins two of its calls ends both of its channels,
    /// and who is left of the younger call belongs to the elder one from then on.
    fn moved_by(&self, event: &Event, now: Timestamp) -> Vec<Question> {
        let transferred = event.fact("attendedtransfer").or(event.fact("blindtransfer")).is_some();
        if event.kind != Kind::Hangup || !transferred || phone(&event.channel).is_empty() {
            return Vec::new();
        }
        let is_here = |c: &Channel| c.ended.is_none_or(|ended| now.duration_since(ended) < JUST_ENDED);
        let of_phone = |c: &&Channel| phone(&c.name) == phone(&event.channel) && is_here(c);
        let mut calls: Vec<&str> =
            self.channels.values().filter(of_phone).map(|c| c.linkedid.as_str()).collect();
        calls.push(&event.linkedid);
        calls.sort_by_key(|lid| Born::of(lid).unwrap_or_default());
        calls.dedup();
        let Some((_elder, younger)) = calls.split_first() else { return Vec::new() };
        let moved = self.channels.iter().filter(|(_, c)| {
            younger.contains(&c.linkedid.as_str())
                && c.ended.is_none()
                && phone(&c.name) != phone(&event.channel)
        });
        let mut moved: Vec<&String> = moved.map(|(uid, _)| uid).collect();
        moved.sort();
        let ask = |uid: &String| Question { uid: uid.clone(), about: About::Linkedid };
        moved.into_iter().take(QUESTIONS).map(ask).collect()
    }
}

/// `PJSIP/101` of `PJSIP/101-0000002a`.
fn phone(channel: &str) -> &str {
    channel.rsplit_once('-').map_or(channel, |(phone, _)| phone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::{Arrival, Feed};

    const T0: i64 = 1_795_390_800;

    pub fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(T0 + seconds).unwrap()
    }

    pub fn living() -> Living {
        Living::new(Some(SignedDuration::from_secs(300)), SignedDuration::from_secs(14_400))
    }

    pub fn event(kind: Kind, uid: &str, lid: &str, second: i64, more: &str) -> Event {
        let args = format!("v=1,token={uid}-{kind}-{second},uid={uid},lid={lid},t={},{more}", T0 + second);
        let arrival = Arrival { feed: Feed::Agi, pbx: "p", at: at(second) };
        Event::from_args(kind, args.split(',').map(str::as_bytes), arrival).unwrap()
    }

    /// What is asked in the session of that event.
    fn asked(living: &mut Living, event: &Event) -> Vec<(String, About)> {
        living.hear(event);
        living.questions(event, event.received).into_iter().map(|q| (q.uid, q.about)).collect()
    }

    fn answer(living: &mut Living, second: i64, answers: &[(&str, About, &str)]) -> Vec<Event> {
        let answers: Vec<_> = answers
            .iter()
            .map(|(uid, about, said)| {
                (Question { uid: (*uid).to_owned(), about: *about }, (*said).to_owned())
            })
            .collect();
        let asked = Asked { pbx: "p", at: at(second), timed: true };
        living.answers(&asked, &answers, at(second)).0
    }

    #[test]
    fn nothing_is_asked_while_nothing_is_in_doubt() {
        let mut living = living();
        for n in 0..20 {
            let uid = format!("{}.{n}", T0 + n);
            assert_eq!(asked(&mut living, &event(Kind::Start, &uid, &uid, n, "")), []);
            assert_eq!(asked(&mut living, &event(Kind::Hangup, &uid, &uid, n, "cause=16")), []);
        }
    }

    #[test]
    fn a_silent_channel_is_asked_about_once_in_a_while_and_not_in_its_own_session() {
        let mut living = living();
        asked(&mut living, &event(Kind::Start, "1.1", "1.1", 0, ""));
        assert_eq!(asked(&mut living, &event(Kind::Start, "2.2", "2.2", 299, "")), []);
        assert_eq!(asked(&mut living, &event(Kind::Note, "1.1", "1.1", 300, "")), []);
        let both = |uid: &str| vec![(uid.to_owned(), About::Life), (uid.to_owned(), About::Linkedid)];
        assert_eq!(asked(&mut living, &event(Kind::Note, "2.2", "2.2", 601, "")), both("1.1"));
        assert_eq!(asked(&mut living, &event(Kind::Note, "2.2", "2.2", 700, "")), []);
        assert_eq!(answer(&mut living, 700, &[("1.1", About::Life, "1")]), []);
        assert_eq!(asked(&mut living, &event(Kind::Note, "2.2", "2.2", 1100, "")), both("1.1"));
    }

    #[test]
    fn a_phone_that_is_about_to_ring_or_was_just_picked_up_waits_for_no_question() {
        for (kind, more) in [
            (Kind::Ring, ""),
            (Kind::Answer, ""),
            (Kind::Hangup, "state=Ringing"),
            (Kind::Hangup, "state=Up,cause=26"),
        ] {
            let mut living = living();
            asked(&mut living, &event(Kind::Start, "1.1", "1.1", 0, ""));
            assert_eq!(asked(&mut living, &event(kind, "2.2", "2.2", 400, more)), [], "{kind} {more}");
            assert_eq!(asked(&mut living, &event(Kind::Start, "3.3", "3.3", 401, "")).len(), 2);
        }
    }

    #[test]
    fn a_serial_that_falls_has_all_other_channels_asked_about_and_ends_none() {
        let mut living = living();
        for n in 0..6 {
            living.hear(&event(Kind::Start, &format!("{}.{}", 100 + n, 50 + n), "100.50", n, ""));
        }
        let new = event(Kind::Start, "200.0", "200.0", 10, "");
        assert_eq!(living.hear(&new), Some(Finding::Restart));
        assert_eq!(living.hear(&new), None);
        let first = asked(&mut living, &new);
        assert_eq!(first.len(), QUESTIONS);
        assert!(first.iter().all(|(_, about)| *about == About::Life));
        let answers: Vec<_> = first.iter().map(|(uid, about)| (uid.as_str(), *about, "0")).collect();
        let gone = answer(&mut living, 10, &answers);
        assert_eq!(gone.len(), QUESTIONS);
        assert!(
            gone.iter().all(|e| e.kind == Kind::Seen && e.fact("told") == Some("gone") && e.at == at(10))
        );
        let rest = asked(&mut living, &event(Kind::Hangup, "200.0", "200.0", 11, "cause=16"));
        assert_eq!(rest.len(), 2);
        assert!(rest.iter().all(|asked| !first.contains(asked)));
    }

    #[test]
    fn of_two_that_go_by_one_name_none_is_asked() {
        let mut living = living();
        let uids = ["100.500", "101.7", "102.501", "103.8", "104.502"];
        let found: Vec<_> =
            uids.iter().filter_map(|uid| living.hear(&event(Kind::Start, uid, uid, 0, ""))).collect();
        assert_eq!(found, [Finding::Restart, Finding::TwoOfOneName]);
        let told: Vec<Event> = uids.iter().map(|uid| event(Kind::Start, uid, uid, 0, "")).collect();
        let shared = crate::intake::shared_names;
        assert_eq!((shared(&told[..]).len(), shared(&told[..3]).len()), (1, 0));
        assert_eq!(asked(&mut living, &event(Kind::Note, "104.502", "104.502", 900, "")), []);
    }

    #[test]
    fn one_uniqueid_that_starts_on_two_phones_is_of_two_pbxes() {
        let (mut living, uid) = (living(), format!("{T0}.1"));
        let mut hear = |second, chan: &str| {
            living.hear(&event(Kind::Start, &uid, &uid, second, &format!("chan=PJSIP/{chan}-00000001")))
        };
        assert_eq!(hear(0, "101"), None);
        assert_eq!(hear(0, "101"), None);
        // A masquerade, and then another Asterisk.
        assert_eq!(hear(60, "205"), None);
        assert_eq!(hear(1, "102"), None, "told late");
        assert_eq!(living.channels, 1);
        let other = event(Kind::Start, &format!("{}.2", T0 + 100), "1.1", 100, "chan=PJSIP/101-00000001");
        assert_eq!(living.hear(&other), None);
        let other = event(Kind::Start, &format!("{}.2", T0 + 100), "1.1", 101, "chan=PJSIP/205-00000001");
        assert_eq!(living.hear(&other), Some(Finding::TwoOfOneName));
        assert_eq!(living.hear(&other), None, "it is said once");
        assert_eq!(living.channels, 0);
    }

    #[test]
    fn who_transferred_shows_whom_to_ask_for_his_present_call() {
        let mut living = living();
        for (uid, lid, chan) in [
            ("1.1", "1.1", "PJSIP/trunk-1"),
            ("1.2", "1.1", "PJSIP/101-2"),
            ("5.3", "5.3", "PJSIP/101-3"),
            ("5.4", "5.3", "PJSIP/102-4"),
            ("7.5", "7.5", "PJSIP/103-5"),
        ] {
            living.hear(&event(Kind::Start, uid, lid, 0, &format!("chan={chan}")));
        }
        let end = "chan=PJSIP/101-2,attendedtransfer=PJSIP/trunk-1";
        let plain = event(Kind::Hangup, "1.2", "1.1", 9, "chan=PJSIP/101-2");
        assert_eq!(living.questions(&plain, at(9)), []);
        let moved = asked(&mut living, &event(Kind::Hangup, "1.2", "1.1", 9, end));
        assert_eq!(moved, [("5.4".to_owned(), About::Linkedid)]);
        assert_eq!(answer(&mut living, 9, &[("5.4", About::Linkedid, "5.3")]), []);
        let told = answer(&mut living, 9, &[("5.4", About::Linkedid, "1.1")]);
        assert_eq!((told[0].uid.as_str(), told[0].linkedid.as_str()), ("5.4", "1.1"));
        assert_eq!(told[0].fact("told"), Some("alive"));
    }

    #[test]
    fn a_pbx_that_cannot_tell_is_not_asked_again_until_it_restarts() {
        let mut living = living();
        asked(&mut living, &event(Kind::Start, "1.1", "1.1", 0, ""));
        assert_eq!(asked(&mut living, &event(Kind::Start, "2.2", "2.2", 400, "")).len(), 2);
        let asked_then = Asked { pbx: "p", at: at(400), timed: true };
        let life = Question { uid: "1.1".to_owned(), about: About::Life };
        let (events, finding) = living.answers(&asked_then, &[(life, String::new())], at(400));
        assert_eq!((events.len(), finding), (0, Some(Finding::CannotTell)));
        assert_eq!(asked(&mut living, &event(Kind::Start, "3.3", "3.3", 900, "")), []);
        assert!(!asked(&mut living, &event(Kind::Start, "901.0", "901.0", 901, "")).is_empty());
    }

    #[test]
    fn that_a_channel_lives_is_told_before_its_call_is_given_up() {
        let mut living = living();
        living.hear(&event(Kind::Start, "1.1", "1.1", 0, ""));
        assert_eq!(answer(&mut living, 3500, &[("1.1", About::Life, "1")]), []);
        assert_eq!(answer(&mut living, 3700, &[("1.1", About::Life, "1")]).len(), 1);
        assert_eq!(answer(&mut living, 3800, &[("1.1", About::Life, "1")]), []);
    }

    #[test]
    fn what_is_told_late_does_not_bring_a_channel_back() {
        let mut living = living();
        living.hear(&event(Kind::Hangup, "1.1", "1.1", 0, ""));
        living.hear(&event(Kind::Start, "1.1", "1.1", 0, ""));
        assert_eq!(asked(&mut living, &event(Kind::Start, "2.2", "2.2", 400, "")), []);
        assert_eq!(answer(&mut living, 400, &[("1.1", About::Life, "0")]), []);
    }

    #[test]
    fn any_number_of_channels_is_remembered_in_bounded_memory() {
        let mut living = living();
        for n in 0..(MOST_CHANNELS + 1000) {
            living.hear(&event(Kind::Start, &format!("1.{n}"), "1.0", 0, ""));
        }
        assert_eq!(living.channels, MOST_CHANNELS);
        for n in 0..(MOST_CHANNELS + 1000) {
            living.hear(&event(Kind::Hangup, &format!("1.{n}"), "1.0", 1, ""));
        }
        for n in 0..MOST_CHANNELS {
            let end = event(Kind::Hangup, &format!("2.{}", n + 100_000), "2.0", 400 + n as i64, "");
            asked(&mut living, &end);
        }
        assert!(living.channels < 1000, "{}", living.channels);
    }

    #[test]
    fn who_wants_no_questions_remembers_nothing() {
        let mut living = Living::new(None, SignedDuration::from_secs(14_400));
        assert_eq!(asked(&mut living, &event(Kind::Start, "2.2", "2.2", 9000, "")), []);
        assert!(living.pbxes.is_empty());
    }
}
