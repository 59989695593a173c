//! Who talked with whom, from when to when, through every transfer.
//!
//! What happened to the channels is gone through in order of time, with the conversations that run at each moment.
//! A conversation lasts from the answer of a called leg to the first thing that parts the two: one of them ends, is
//! transferred and enters the dialplan again, or leaves for a consultation. Who consults is back with whom he left when
//! that comes to nothing; when he transfers, the one who waited takes his place. So nobody is in two conversations at a
//! time, and their lengths may be added up.
//!
//! A consultation by feature code is a transfer when its maker hangs up while the Local channel and whoever waits live; one by
//! a phone's key is known by nothing but its being one.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::consulting::{Consulting, consultations};
use super::fold::{Part, Parts, endpoint};
use super::legs::{Conversation, Role, millis};
use super::{Consultation, How, Landing, Transfer};

/// How long after a Local channel that ends a conversation the phone behind it may be told to have ended.
const OPTIMISED_WITHIN: SignedDuration = SignedDuration::from_millis(500);

/// What became of the channels of a call.
#[derive(Debug, Default)]
pub(super) struct Talks {
    /// In order of time.
    pub conversations: Vec<Conversation>,
    /// In order of time.
    pub consultations: Vec<Consultation>,
    /// In order of time, with what came of each.
    pub transfers: Vec<Transfer>,
}

/// How long after the Local channel of a consultation who waited may be told to have hung up, where both end by that.
const TOGETHER_WITHIN: SignedDuration = SignedDuration::from_millis(250);

/// How long a caller may still be there whom Asterisk lets go when nobody answers.
const LET_GO_WITHIN: SignedDuration = SignedDuration::from_secs(1);

fn later(at: Timestamp) -> Timestamp {
    at.saturating_add(LET_GO_WITHIN).unwrap_or(at)
}

/// A transfer, and the channel that was transferred.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub transfer: Transfer,
    /// The uniqueid of the channel that was sent on.
    pub channel: Option<String>,
    /// Since when nobody tells of it: Asterisk gave up a target that a feature code had called and that never picked up, or
    /// the target was never told of.
    pub given_up: Option<Timestamp>,
    /// The name of the channel that did it, where it is known.
    pub by: Option<String>,
}

/// What happened to a channel, in the order in which it counts at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Consults(usize),
    Answered(usize),
    Moved(usize),
    Connects(usize),
    /// Was seen to be gone; since when, nobody knows.
    Lost(usize),
    Ended(usize),
}

/// A consultation, and where it stands at the moment.
struct Asking {
    by: usize,
    via: usize,
    by_key: bool,
    began: Timestamp,
    named: Option<usize>,
    /// Who waits meanwhile.
    waits: Option<Running>,
    /// When that one hung up.
    left: Option<Timestamp>,
    standing: Asked,
}

impl Asking {
    fn of(Consulting { by, via, by_key, began, named }: Consulting) -> Asking {
        Asking { by, via, by_key, began, named, waits: None, left: None, standing: Asked::Open }
    }
}

/// Where a consultation stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Open,
    /// The one who waited was put through.
    Connected(usize),
    /// It came to nothing then.
    Over(Timestamp),
}

/// A conversation that goes on.
#[derive(Clone)]
struct Running {
    caller: usize,
    called: usize,
    since: Timestamp,
    /// The channel that dialled.
    dialler: usize,
    /// Whether it follows from an answer, and not from a transfer or the end of a consultation.
    fresh: bool,
}

impl Running {
    fn has(&self, part: usize) -> bool {
        self.caller == part || self.called == part
    }

    fn other(&self, part: usize) -> usize {
        if self.caller == part { self.called } else { self.caller }
    }
}

/// The call at one moment.
struct Floor<'p> {
    parts: &'p Parts,
    running: Vec<Running>,
    asking: Vec<Asking>,
    /// Whose place was taken by whom.
    heirs: HashMap<usize, usize>,
    moves: Vec<Move>,
    conversations: Vec<Conversation>,
}

/// Goes through the whole call.
pub(super) fn talks(parts: &Parts) -> Talks {
    let asking: Vec<Asking> = consultations(parts).into_iter().map(Asking::of).collect();
    let happenings = happenings(parts, &asking);
    let mut floor = Floor {
        parts,
        running: Vec::new(),
        moves: moves(parts, &asking),
        asking,
        heirs: HashMap::new(),
        conversations: Vec::new(),
    };
    for (at, happening) in happenings {
        match happening {
            Happening::Consults(n) => floor.consults(n, at),
            Happening::Answered(part) => floor.answered(part, at),
            Happening::Moved(part) => floor.leaves(part, Some(at)),
            Happening::Connects(n) => floor.connects(n, at),
            Happening::Lost(part) => floor.leaves(part, None),
            Happening::Ended(part) => floor.ended(part, at),
        }
    }
    floor.told()
}

/// The transfers that were told as such, and those of which nothing is known but that a phone connected somebody.
fn moves(parts: &Parts, asking: &[Asking]) -> Vec<Move> {
    let mut moves = parts.moves.clone();
    let known: HashSet<&str> = parts.list.iter().map(|part| part.channel.as_str()).collect();
    let unknown = parts.by_code.iter().filter(|one| !known.contains(one.by.as_str()));
    moves.extend(unknown.map(|one| {
        let (transfer, by) = (one.transfer.clone(), Some(one.by.clone()));
        Move { transfer, channel: None, by, given_up: None }
    }));
    let asked: HashSet<usize> = asking.iter().flat_map(|one| [one.by, one.via]).collect();
    let connected = parts.list.iter().enumerate().filter(|(place, _)| !asked.contains(place));
    moves.extend(connected.filter_map(|(_, part)| to_somebody(parts, part)));
    moves
}

/// A phone whose second call nobody told of has put through whoever it talked with.
fn to_somebody(parts: &Parts, part: &Part) -> Option<Move> {
    let (name, at) = (part.farewell.connected.as_deref()?, part.ended?);
    let other = !part.is_plumbing() && endpoint(name) != endpoint(&part.channel);
    let whom =
        parts.list.iter().find(|one| other && one.channel == name && one.ended.is_none_or(|end| end > at))?;
    let by = part.party.clone();
    let transfer = Transfer { at, how: How::Attended, by, to: None, spoken: true, outcome: Landing::Open };
    let (channel, by) = (Some(whom.uniqueid.clone()), Some(part.channel.clone()));
    Some(Move { transfer, channel, by, given_up: Some(at) })
}

fn happenings(parts: &Parts, asking: &[Asking]) -> Vec<(Timestamp, Happening)> {
    let mut all = Vec::new();
    for (place, part) in parts.list.iter().enumerate() {
        if part.role == Some(Role::Called) && !part.is_plumbing() {
            all.extend(part.answered.map(|at| (at, Happening::Answered(place))));
        }
        let moved = part.entries.iter().filter(|entry| entry.transferred);
        all.extend(moved.map(|entry| (entry.at, Happening::Moved(place))));
        all.extend(part.ended.map(|at| (at, Happening::Ended(place))));
        all.extend(parts.gone(part).map(|at| (at, Happening::Lost(place))));
    }
    for (n, one) in asking.iter().enumerate() {
        all.push((one.began, Happening::Consults(n)));
        if one.by_key {
            // The pbx ends the second channel when it connects the two, and the phone the first when it hears of that.
            let ends = [parts.list[one.by].ended, parts.list[one.via].ended];
            all.extend(ends.into_iter().flatten().min().map(|at| (at, Happening::Connects(n))));
        }
    }
    all.sort();
    all
}

impl Floor<'_> {
    fn part(&self, place: usize) -> &Part {
        &self.parts.list[place]
    }

    /// Whether it has not ended, as far as is known, by `at`.
    fn lives(&self, place: usize, at: Timestamp) -> bool {
        let part = self.part(place);
        part.ended.or(self.parts.gone(part)).is_none_or(|end| end > at)
    }

    fn answered(&mut self, called: usize, at: Timestamp) {
        let Some((caller, dialler)) = self.caller_of(called) else { return };
        let talk = Running { caller, called, since: at, dialler, fresh: true };
        let sides = [self.part(caller), self.part(called)];
        if sides.iter().any(|part| self.parts.gone(part).is_some_and(|gone| gone <= at)) {
            self.closes(&talk, None);
        } else if sides.iter().any(|part| part.ended.is_some_and(|end| end <= at)) {
            self.closes(&talk, Some(at));
        } else {
            // Whoever is put through to another one has left the one before, even where nobody said so.
            for before in self.take_with(|talk| talk.has(caller) || talk.has(called)) {
                self.closes(&before, Some(at));
            }
            self.running.push(talk);
        }
    }

    /// Takes out the conversations that `wanted` wants.
    fn take_with(&mut self, wanted: impl Fn(&Running) -> bool) -> Vec<Running> {
        let (taken, left) = std::mem::take(&mut self.running).into_iter().partition(|talk| wanted(talk));
        self.running = left;
        taken
    }

    /// Who talks with this leg when it is picked up, and the channel that dialled it: the one it names, where that is
    /// a person's or was made for a consultation, else the call's first.
    fn caller_of(&self, called: usize) -> Option<(usize, usize)> {
        let named = self.part(called).caller.as_deref().and_then(|uid| self.parts.place(uid));
        let asking = self.asking.iter().find(|one| Some(one.via) == named);
        let (caller, dialler) = match (named, asking) {
            (Some(person), _) if !self.part(person).is_plumbing() => (person, person),
            (Some(via), Some(asking)) => (asking.by, via),
            _ => {
                let first = self.parts.place(&self.parts.first()?.uniqueid)?;
                // Where nobody told of the caller's own channel, the one that rang this phone stands for him.
                let stands = named.filter(|_| self.part(first).is_plumbing()).unwrap_or(first);
                (stands, stands)
            }
        };
        let caller = self.heir(caller);
        (caller != called).then_some((caller, dialler))
    }

    /// Who has the place of this channel now.
    fn heir(&self, mut place: usize) -> usize {
        for _ in 0..self.heirs.len() {
            match self.heirs.get(&place) {
                Some(&heir) => place = heir,
                None => break,
            }
        }
        place
    }

    fn consults(&mut self, n: usize, at: Timestamp) {
        let by = self.asking[n].by;
        let Some(running) = self.running.iter().rposition(|talk| talk.has(by)) else { return };
        let talk = self.running.remove(running);
        self.closes(&talk, Some(at));
        self.asking[n].waits = Some(talk);
    }

    /// The consultation ends in a transfer.
    fn connects(&mut self, n: usize, at: Timestamp) {
        let Asking { by, via, by_key, named, waits, standing, .. } = &mut self.asking[n];
        let (by, via, by_key, named) = (*by, *via, *by_key, *named);
        let heir = named.or(waits.take().map(|talk| talk.other(by)));
        let Some(heir) = heir.filter(|heir| *heir != by && *heir != via) else { return };
        *standing = Asked::Connected(heir);
        let mut target = None;
        for talk in self.take_with(|talk| talk.has(by) || talk.has(via) || talk.has(heir)) {
            self.closes(&talk, Some(at));
            let with = talk.other(if talk.has(via) { via } else { by });
            if (talk.has(by) || talk.has(via)) && with != heir {
                target = self.part(with).party.number.clone();
                if self.lives(heir, at) && self.lives(with, at) {
                    self.running.push(Running {
                        caller: heir,
                        called: with,
                        since: at,
                        fresh: false,
                        ..talk
                    });
                }
            }
        }
        self.heirs.extend([(by, heir), (via, heir)]);
        let dialled = || self.part(via).entries.last().and_then(|entry| entry.exten.clone());
        let transfer = Transfer {
            at,
            how: How::Attended,
            by: self.part(by).party.clone(),
            spoken: target.is_some(),
            to: target.or_else(dialled),
            outcome: Landing::Open,
        };
        let channel = Some(self.part(heir).uniqueid.clone());
        let given_up = self.part(via).ended.filter(|_| !by_key);
        self.moves.push(Move { transfer, channel, by: Some(self.part(by).channel.clone()), given_up });
    }

    fn ended(&mut self, part: usize, at: Timestamp) {
        for n in 0..self.asking.len() {
            let Asking { by, via, by_key, waits, standing, .. } = &self.asking[n];
            if *standing != Asked::Open || *by_key {
                continue;
            }
            let waiting = waits.as_ref().map(|talk| talk.other(*by));
            let put_through = waiting.is_some_and(|who| self.lives(who, at))
                && if *by == part {
                    self.lives(*via, at)
                } else {
                    *via == part && self.part(*by).made_up && self.outlived(*via, at)
                };
            let is_over = *via == part;
            if put_through {
                self.connects(n, at);
            } else if is_over {
                self.goes_back(n, at);
            }
        }
        self.leaves(part, Some(at));
    }

    /// Whether whom a Local channel called talks on when it is gone: then Asterisk has put two others together and
    /// needs it no more. So the end of a transferor shows who tells nothing himself.
    fn outlived(&self, via: usize, at: Timestamp) -> bool {
        let later = at.saturating_add(OPTIMISED_WITHIN).unwrap_or(at);
        self.running.iter().any(|talk| talk.dialler == via && self.lives(talk.called, later))
    }

    /// The consultation has come to nothing.
    fn goes_back(&mut self, n: usize, at: Timestamp) {
        self.asking[n].standing = Asked::Over(at);
        let Some(talk) = self.asking[n].waits.take() else { return };
        // The Local channel of a consultation ends too when who waits hangs up, and may tell it first.
        let soon = at.saturating_add(TOGETHER_WITHIN).unwrap_or(at);
        if self.lives(talk.caller, soon) && self.lives(talk.called, soon) {
            for over in self.take_with(|other| other.has(talk.caller) || other.has(talk.called)) {
                self.closes(&over, Some(at));
            }
            self.running.push(Running { since: at, fresh: false, ..talk });
        }
    }

    /// The channel is in no conversation any more.
    fn leaves(&mut self, part: usize, at: Option<Timestamp>) {
        // A channel that enters the dialplan at the very moment of an answer has not left that conversation.
        let stays = at.filter(|at| self.part(part).ended != Some(*at)).unwrap_or(Timestamp::MAX);
        for talk in self.take_with(|talk| talk.has(part) && talk.since < stays) {
            self.closes(&talk, at);
        }
        for one in &mut self.asking {
            if let Some(talk) = one.waits.take_if(|talk| talk.has(part)) {
                one.left = at.filter(|_| talk.other(part) == one.by);
            }
        }
    }

    fn closes(&mut self, talk: &Running, ended_at: Option<Timestamp>) {
        let (caller, called, dialler) =
            (self.part(talk.caller), self.part(talk.called), self.part(talk.dialler));
        let entry = dialler.entries.iter().rfind(|e| e.at <= called.started).or(dialler.entries.first());
        let dialled_at = entry.map_or(called.started, |e| e.at);
        self.conversations.push(Conversation {
            caller: caller.party.clone(),
            called: called.party.clone(),
            caller_leg: caller.uniqueid.clone(),
            called_leg: called.uniqueid.clone(),
            dialled: entry.and_then(|e| e.exten.clone()),
            context: entry.and_then(|e| e.context.clone()),
            dialled_at: if talk.fresh { dialled_at } else { talk.since },
            began_at: talk.since,
            ended_at,
            talk_ms: ended_at.map_or(0, |end| millis(talk.since, end)),
        });
    }

    fn told(mut self) -> Talks {
        for talk in std::mem::take(&mut self.running) {
            self.closes(&talk, None);
        }
        self.conversations.sort_by_key(|talk| talk.began_at);
        self.moves.sort_by_key(|one| one.transfer.at);
        let transfers = (0..self.moves.len()).map(|n| self.landed(n)).collect();
        let mut consultations: Vec<Consultation> = self.asking.iter().map(|one| self.asked(one)).collect();
        consultations.sort_by_key(|one| one.at);
        Talks { conversations: self.conversations, consultations, transfers }
    }

    /// The transfer with what came of it.
    fn landed(&self, n: usize) -> Transfer {
        let Move { transfer, channel, given_up, .. } = &self.moves[n];
        let again = self.moves[n + 1..].iter().find(|later| later.channel == *channel);
        let until = again.map_or(Timestamp::MAX, |later| later.transfer.at);
        let of = |uid: &String| channel.as_ref() == Some(uid);
        let met = self.conversations.iter().find(|talk| {
            (transfer.at..until).contains(&talk.began_at) && (of(&talk.caller_leg) || of(&talk.called_leg))
        });
        let place = channel.as_deref().and_then(|uid| self.parts.place(uid));
        let over = place.is_none_or(|place| !self.lives(place, Timestamp::MAX)) || again.is_some();
        let outcome = match met {
            Some(talk) => {
                let with = if of(&talk.caller_leg) { &talk.called } else { &talk.caller };
                let back = with.number.is_some() && with.number == transfer.by.number;
                if back { Landing::Returned } else { Landing::Answered }
            }
            // Asterisk calls back who transferred, with no dialplan that could tell of it; or the target is unknown.
            None if place.zip(*given_up).is_some_and(|(place, at)| self.lives(place, later(at))) => {
                Landing::Unknown
            }
            None if over => Landing::Unanswered,
            None => Landing::Open,
        };
        Transfer { outcome, ..transfer.clone() }
    }

    fn asked(&self, one: &Asking) -> Consultation {
        let connected = matches!(one.standing, Asked::Connected(_));
        let party = |place: usize| self.part(place).party.clone();
        let mine = |talk: &&Conversation| {
            let by = &self.part(one.by).uniqueid;
            talk.caller_leg == *by || talk.called_leg == *by
        };
        // The one who waits is told by whom it was before.
        let before = self.conversations.iter().filter(mine).rfind(|talk| talk.ended_at == Some(one.began));
        let waiting = before.map(|talk| {
            if talk.caller_leg == self.part(one.by).uniqueid {
                talk.called.clone()
            } else {
                talk.caller.clone()
            }
        });
        Consultation {
            at: one.began,
            by: party(one.by),
            to: self.part(one.via).entries.last().and_then(|entry| entry.exten.clone()),
            waiting: waiting.unwrap_or_default(),
            returned_at: match one.standing {
                Asked::Over(at) => {
                    self.conversations.iter().filter(mine).find(|talk| talk.began_at == at).map(|_| at)
                }
                _ => None,
            },
            left_at: one.left,
            transferred: connected,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Call;
    use super::super::tests::Told;
    use super::*;
    use crate::event::Kind;

    const BY_CODE: &str = "how=attended,by=PJSIP/101-00000001,exten=102,ctx=phones";
    const LOCAL: &str = "Local/102@phones-00000000;2";
    const BY_LOCAL: &str = "caller=1795390723.3";

    fn talks(call: &Call) -> Vec<(String, String, i64)> {
        let talks = call.conversations.iter();
        talks
            .map(|t| (t.caller.number.clone().unwrap(), t.called.number.clone().unwrap(), t.talk_ms / 1000))
            .collect()
    }

    fn talk(caller: &str, called: &str, seconds: i64) -> (String, String, i64) {
        (caller.into(), called.into(), seconds)
    }

    /// Who talks with 101 is put on hold at 10; 102 answers at 13.
    fn consults(told: Told) -> Told {
        told.tell(10.0, 3, LOCAL, Kind::Transfer, BY_CODE)
            .tell(10.1, 4, "PJSIP/102", Kind::Ring, BY_LOCAL)
            .tell(13.0, 4, "PJSIP/102", Kind::Answer, BY_LOCAL)
    }

    fn asked() -> Told {
        consults(Told::default().comes_in().rings(0.1, 1, "101").answers(1.0, 1, "101"))
    }

    /// Both are told within milliseconds, in either order.
    #[test]
    fn who_waits_and_hangs_up_was_not_gone_back_to_though_the_local_channel_tells_first() {
        let told = Told::default()
            .comes_in()
            .rings(0.01, 1, "101")
            .answers(1.0, 1, "101")
            .tell(
                6.0,
                3,
                "Local/102@from-internal",
                Kind::Transfer,
                "how=attended,by=PJSIP/101-00000001,exten=102",
            )
            .tell(6.1, 4, "PJSIP/102", Kind::Ring, BY_LOCAL)
            .tell(7.0, 4, "PJSIP/102", Kind::Answer, BY_LOCAL)
            .tell(8.0, 3, LOCAL, Kind::Hangup, "cause=16,dialstatus=ANSWER")
            .ends(8.002, 0, "trunk", "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000")
            .ends(11.0, 1, "101", "cause=16,hangupsource=PJSIP/102-00000004")
            .ends(11.0, 4, "102", "cause=16,hangupsource=PJSIP/102-00000004");
        let call = told.fold().call;
        assert_eq!(talks(&call), [talk("79193393655", "101", 5), talk("101", "102", 4)]);
    }

    #[test]
    fn who_consults_and_hangs_up_has_transferred() {
        let told = asked()
            .ends(20.0, 1, "101", "cause=16,hangupsource=PJSIP/101-00000001")
            .tell(20.5, 3, LOCAL, Kind::Hangup, "cause=16")
            .ends(50.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000")
            .ends(50.0, 4, "102", "cause=16");
        let call = told.fold().call;
        let meant = [talk("79193393655", "101", 9), talk("101", "102", 7), talk("79193393655", "102", 30)];
        assert_eq!(talks(&call), meant);
        assert_eq!(call.talk_ms, 46_000);
        assert_eq!(call.transfers.len(), 1);
        assert!(call.transfers[0].spoken && call.transfers[0].outcome == Landing::Answered);
        assert!(call.consultations[0].transferred);
    }

    #[test]
    fn who_consults_in_vain_is_back_with_whom_he_left() {
        let told = asked()
            .tell(20.0, 3, LOCAL, Kind::Hangup, "cause=16")
            .ends(20.001, 4, "102", "cause=16,hangupsource=PJSIP/102-00000004")
            .ends(30.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000")
            .ends(30.0, 1, "101", "cause=16");
        let call = told.fold().call;
        let meant = [talk("79193393655", "101", 9), talk("101", "102", 7), talk("79193393655", "101", 10)];
        assert_eq!(talks(&call), meant);
        assert_eq!(call.transfers, []);
        assert!(call.consultations[0].returned_at.is_some());
    }

    #[test]
    fn that_a_silent_phone_transferred_shows_when_asterisk_puts_the_others_together() {
        let told = Told::default().comes_in().tell(0.1, 0, "PJSIP/trunk", Kind::Ring, "dials=101");
        let left = "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000,\
                    dialedpeername=PJSIP/101-00000001,dialedtime_ms=50000,answeredtime_ms=49000";
        let told = consults(told)
            .tell(20.0, 3, LOCAL, Kind::Hangup, "cause=16")
            .ends(50.0, 0, "trunk", left)
            .ends(50.0, 4, "102", "cause=16");
        let call = told.fold().call;
        let meant = [talk("79193393655", "101", 9), talk("101", "102", 7), talk("79193393655", "102", 30)];
        assert_eq!(talks(&call), meant);
        assert_eq!(call.transfers[0].to.as_deref(), Some("102"));
    }

    #[test]
    fn a_phone_that_connected_somebody_to_nobody_known_has_transferred() {
        let told = Told::default()
            .comes_in()
            .rings(0.1, 1, "101")
            .answers(1.0, 1, "101")
            .ends(10.0, 1, "101", "cause=16,attendedtransfer=PJSIP/trunk-00000000")
            .ends(50.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000");
        let call = told.fold().call;
        assert_eq!(talks(&call), [talk("79193393655", "101", 9)]);
        assert_eq!((call.transfers.len(), call.transfers[0].outcome), (1, Landing::Unknown));
        assert_eq!(
            told.story()[3..],
            [
                "101 transferred the call to somebody after speaking with them",
                "Ended by the caller after 49 s"
            ]
        );
    }
}
