//! One conversation with an Asterisk, as a pure machine: what came in goes in, what to do next comes out.
//!
//! It decides what is an event, what is answered and when a session is over, and is handed the time. It does
//! not know where bytes come from, how long anything takes, or who keeps events.
//!
//! The order is fixed: prelude, then the event to the store, then one command (the ack, each command costs Asterisk
//! three messages on its own bus), then its reply, then the end. Where it was told what to ask, each question and its
//! reply stand before that end.

use std::borrow::Cow;

use jiff::Timestamp;

use super::request::Terms;
use super::wire::{Command, Prelude, Replies, Reply, Stop};
use crate::config::Secret;
use crate::event::Event;

/// What happened since the last step.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came.
    Bytes(&'a [u8]),
    /// The peer closed, or the connection broke.
    Eof,
    /// The store has answered.
    Stored(Answer),
    /// The time for the present [`Phase`] is over.
    Deadline,
    /// The server stops.
    Stopping,
}

/// What the store made of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is durable.
    Kept,
    /// It was durable before.
    Known,
    /// It could not be written, for this reason.
    Refused(String),
    /// Too much waits for it already.
    Busy,
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Wait on for what the [`Phase`] waits for, up to its deadline.
    Wait,
    /// Hand the event to the store and wait for its answer, up to the phase's deadline.
    Store(Box<Event>),
    /// Send it, then wait on.
    Send(Command),
    /// Send `FAILURE` where the outcome [calls for it](Outcome::calls_for_failure), then close.
    Close(Ending),
}

/// How a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// In one word, for the count.
    pub outcome: Outcome,
    /// In a sentence, for the log; empty where there is nothing to say. Holds no secret and no raw bytes.
    pub why: Cow<'static, str>,
}

/// The result of a session, one word each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The event was kept and the ack sent.
    Acked,
    /// The event was there already and the ack sent again.
    Duplicate,
    /// The store took longer than the phone call may wait. The event may be kept all the same.
    FailureLate,
    /// The store's queue was too old already; the event was not handed to it.
    FailureBusy,
    /// The store refused.
    FailureStore,
    /// The server was stopping.
    FailureStopping,
    /// What came was no AGI, or no event.
    Malformed,
    /// The peer's address is not allowed.
    RefusedNetwork,
    /// The secret was missing or wrong.
    RefusedSecret,
    /// As many sessions as are allowed were open.
    OverLimit,
    /// The prelude did not come in time.
    Timeout,
    /// The peer closed before it could be answered.
    ClosedEarly,
    /// The session's own code failed.
    Panic,
}

impl Outcome {
    /// Whether the peer waits to be told that its event is not kept.
    #[must_use]
    pub fn calls_for_failure(self) -> bool {
        !matches!(self, Outcome::Acked | Outcome::Duplicate | Outcome::ClosedEarly)
    }

    /// The outcome's name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Acked => "acked",
            Outcome::Duplicate => "duplicate",
            Outcome::FailureLate => "failure_late",
            Outcome::FailureBusy => "failure_busy",
            Outcome::FailureStore => "failure_store",
            Outcome::FailureStopping => "failure_stopping",
            Outcome::Malformed => "malformed",
            Outcome::RefusedNetwork => "refused_network",
            Outcome::RefusedSecret => "refused_secret",
            Outcome::OverLimit => "over_limit",
            Outcome::Timeout => "timeout",
            Outcome::ClosedEarly => "closed_early",
            Outcome::Panic => "panic",
        }
    }
}

/// What the session waits for; each has its own deadline, counted from the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The prelude.
    Prelude,
    /// The store.
    Store,
    /// The reply to the ack.
    Reply,
    /// The reply to a question.
    Questions,
}

/// One conversation.
#[derive(Debug)]
pub struct Session<'a> {
    terms: Terms<'a>,
    state: State,
    /// What is to be asked once the ack was replied to; the first comes last.
    questions: Vec<Command>,
    /// What each question that was asked was answered, in their order.
    answers: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum State {
    Prelude(Prelude),
    Storing { ack: Command, replies: Replies },
    Replying { outcome: Outcome, replies: Replies },
    Asking { outcome: Outcome, replies: Replies },
    Closed,
}

impl<'a> Session<'a> {
    /// A conversation with a peer of which nothing was read yet. `secret` is what it must send, if anything.
    #[must_use]
    pub fn new(pbx: &'a str, secret: Option<&'a Secret>) -> Session<'a> {
        let terms = Terms { pbx, secret, keep_lines: true };
        Session {
            terms,
            state: State::Prelude(Prelude::default()),
            questions: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Whether its event carries Asterisk's own `agi_*` lines, which it does unless this says no.
    #[must_use]
    pub fn keeping_lines(self, keep_lines: bool) -> Session<'a> {
        Session { terms: Terms { keep_lines, ..self.terms }, ..self }
    }

    /// What is to be asked after the ack. Whoever decides that sees to it that it is rare and little.
    pub fn will_ask(&mut self, questions: impl IntoIterator<Item = Command>) {
        self.questions = questions.into_iter().collect();
        self.questions.reverse();
    }

    /// What was answered, to the first questions in their order; the others were not answered.
    #[must_use]
    pub fn answers(self) -> Vec<Vec<u8>> {
        self.answers
    }

    /// What the session waits for.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Prelude(_) => Phase::Prelude,
            State::Storing { .. } => Phase::Store,
            State::Replying { .. } | State::Closed => Phase::Reply,
            State::Asking { .. } => Phase::Questions,
        }
    }

    /// One step. `now` is the time of arrival for an event that this step completes.
    pub fn step(&mut self, input: Input<'_>, now: Timestamp) -> Action {
        let (state, action) = match std::mem::replace(&mut self.state, State::Closed) {
            State::Prelude(prelude) => self.read_prelude(prelude, input, now),
            State::Storing { ack, replies } => hear_store(ack, replies, input),
            State::Replying { outcome, replies } => self.read_reply(outcome, replies, input),
            State::Asking { outcome, replies } => self.read_answer(outcome, replies, input),
            State::Closed => (State::Closed, close(Outcome::ClosedEarly, "")),
        };
        self.state = state;
        action
    }

    fn read_prelude(&self, mut prelude: Prelude, input: Input<'_>, now: Timestamp) -> (State, Action) {
        let action = match input {
            Input::Bytes(piece) => match prelude.take(piece) {
                Ok(used) => match self.begin_storing(&prelude, &piece[used..], now) {
                    Ok(stored) => return stored,
                    Err(ending) => Action::Close(ending),
                },
                Err(Stop::Incomplete) => return (State::Prelude(prelude), Action::Wait),
                Err(stop) => close(Outcome::Malformed, stop.to_string()),
            },
            Input::Eof => close(Outcome::ClosedEarly, ""),
            Input::Stopping => close(Outcome::FailureStopping, ""),
            Input::Deadline => close(Outcome::Timeout, "the request did not come whole in time"),
            Input::Stored(_) => return (State::Prelude(prelude), Action::Wait),
        };
        (State::Closed, action)
    }

    fn begin_storing(
        &self,
        prelude: &Prelude,
        after: &[u8],
        now: Timestamp,
    ) -> Result<(State, Action), Ending> {
        let malformed = |why: String| ending(Outcome::Malformed, why);
        let event = self.terms.read_event(prelude, now)?;
        // The type of the token allows no other characters than the command does.
        let ack = Command::ack(event.token.as_str())
            .ok_or_else(|| malformed("the token cannot be sent back".to_owned()))?;
        let mut replies = Replies::default();
        replies.take(after);
        // Nothing was asked yet, so all that may follow the prelude is that the channel hung up. Anything else
        // is the rest of a prelude that a line feed in some value has ended early: not to be trusted.
        loop {
            match replies.next_reply() {
                Ok(Reply::Hangup) => {}
                Err(Stop::Incomplete) => break,
                Ok(_) | Err(Stop::Malformed(_)) => {
                    return Err(malformed("more came after the end of the prelude".to_owned()));
                }
            }
        }
        Ok((State::Storing { ack, replies }, Action::Store(Box::new(event))))
    }

    /// Whatever is replied to the ack, the event is kept.
    fn read_reply(&mut self, outcome: Outcome, mut replies: Replies, input: Input<'_>) -> (State, Action) {
        match hear_reply(&mut replies, input) {
            Heard::Done(_) => self.ask_next(outcome, replies),
            Heard::Refused => (State::Closed, close(outcome, "")),
            Heard::Nothing => (State::Replying { outcome, replies }, Action::Wait),
            Heard::End(why) => (State::Closed, close(outcome, why)),
        }
    }

    fn ask_next(&mut self, outcome: Outcome, replies: Replies) -> (State, Action) {
        match self.questions.pop() {
            Some(question) => (State::Asking { outcome, replies }, Action::Send(question)),
            None => (State::Closed, close(outcome, "")),
        }
    }

    /// A question that is not answered is the last one: what is wrong with it is wrong with the others too.
    fn read_answer(&mut self, outcome: Outcome, mut replies: Replies, input: Input<'_>) -> (State, Action) {
        match hear_reply(&mut replies, input) {
            Heard::Done(value) => {
                self.answers.push(value.unwrap_or_default());
                self.ask_next(outcome, replies)
            }
            Heard::Nothing => (State::Asking { outcome, replies }, Action::Wait),
            Heard::Refused | Heard::End(_) => (State::Closed, close(outcome, "")),
        }
    }
}

fn hear_store(ack: Command, mut replies: Replies, input: Input<'_>) -> (State, Action) {
    let outcome = match input {
        Input::Stored(Answer::Kept) => Outcome::Acked,
        Input::Stored(Answer::Known) => Outcome::Duplicate,
        Input::Stored(Answer::Refused(why)) => return (State::Closed, close(Outcome::FailureStore, why)),
        Input::Stored(Answer::Busy) => {
            return (
                State::Closed,
                close(Outcome::FailureBusy, "events wait too long for the store already"),
            );
        }
        Input::Deadline => {
            let why = "the event was not stored within ack_timeout_ms";
            return (State::Closed, close(Outcome::FailureLate, why));
        }
        Input::Eof => return (State::Closed, close(Outcome::ClosedEarly, "")),
        Input::Bytes(piece) => {
            replies.take(piece);
            return (State::Storing { ack, replies }, Action::Wait);
        }
        // What is on its way to the disk is waited for: to stop is no reason to leave the peer in doubt.
        Input::Stopping => return (State::Storing { ack, replies }, Action::Wait),
    };
    (State::Replying { outcome, replies }, Action::Send(ack))
}

/// What the peer replied to the last command.
enum Heard {
    /// The command was carried out.
    Done(Option<Vec<u8>>),
    /// The channel is gone or the command is barred (510, 511 and 520).
    Refused,
    /// Nothing whole yet.
    Nothing,
    /// No more will come.
    End(Cow<'static, str>),
}

fn hear_reply(replies: &mut Replies, input: Input<'_>) -> Heard {
    match input {
        Input::Bytes(piece) => {
            replies.take(piece);
            loop {
                match replies.next_reply() {
                    Ok(Reply::Hangup | Reply::Trying) => {}
                    Ok(Reply::Done { value, .. }) => return Heard::Done(value),
                    Ok(Reply::Refused(_)) => return Heard::Refused,
                    Err(Stop::Incomplete) => return Heard::Nothing,
                    Err(Stop::Malformed(reason)) => return Heard::End(reason.to_string().into()),
                }
            }
        }
        Input::Stored(_) => Heard::Nothing,
        Input::Eof | Input::Deadline | Input::Stopping => Heard::End("".into()),
    }
}

fn close(outcome: Outcome, why: impl Into<Cow<'static, str>>) -> Action {
    Action::Close(ending(outcome, why))
}

pub(super) fn ending(outcome: Outcome, why: impl Into<Cow<'static, str>>) -> Ending {
    Ending { outcome, why: why.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::request::MAX_AGI_LINES;
    use super::*;
    use crate::event::Kind;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const AT: Timestamp = Timestamp::constant(1_795_390_800, 0);
    const FIXED: [&str; 4] = ["v=1", "token=1.2-1-start-3", "uid=1.2", "chan=PJSIP%2F101-1"];

    fn secret(text: &str) -> Secret {
        serde_json::from_value(text.into()).unwrap()
    }

    fn request(path: &str, args: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut sent = format!("agi_network: yes\nagi_network_script: {path}\n").into_bytes();
        sent.extend_from_slice(b"agi_request: agi://127.0.0.1:4573/ring\nagi_calleridname: \xd0\x98\xd0\n");
        for (n, arg) in args.iter().enumerate() {
            sent.extend([format!("agi_arg_{}: ", n + 1).as_bytes(), arg.as_ref(), b"\n"].concat());
        }
        sent.push(b'\n');
        sent
    }

    fn begin(session: &mut Session<'_>, sent: &[u8]) -> Result<Event, Outcome> {
        match session.step(Input::Bytes(sent), AT) {
            Action::Store(event) => Ok(*event),
            Action::Close(ending) => Err(ending.outcome),
            other => panic!("{other:?} is no end of a prelude"),
        }
    }

    fn read(sent: &[u8]) -> Result<Event, Outcome> {
        begin(&mut Session::new("office", None), sent)
    }

    fn with(args: &[&str]) -> Vec<String> {
        FIXED.iter().chain(args).map(|a| (*a).to_owned()).collect()
    }

    #[test]
    fn a_request_becomes_an_event_with_its_lines_beside_it() {
        let event = read(&request("start?x=/ring", &with(&["new=kept"]))).unwrap();
        assert_eq!((event.kind, event.pbx.as_str(), event.uid.as_str()), (Kind::Start, "office", "1.2"));
        assert_eq!(event.fact("new"), Some("kept"));
        assert_eq!(event.agi["agi_calleridname"], "И\u{fffd}");
        assert!(!event.agi.keys().any(|name| name.starts_with("agi_arg_")));
    }

    #[test]
    fn the_kind_is_the_last_segment_of_the_path() {
        for path in ["hangup", "/hangup", "a/b/c/hangup", "hangup?start"] {
            assert_eq!(read(&request(path, &FIXED)).unwrap().kind, Kind::Hangup, "{path}");
        }
        for path in ["", "hangup/", "restart", "hangup%00", "HANGUP"] {
            assert_eq!(read(&request(path, &FIXED)), Err(Outcome::Malformed), "{path}");
        }
        let without_script = b"agi_request: agi://[::1]:4573/answer?x\nagi_arg_1: v=1\nagi_arg_2: token=a\nagi_arg_3: uid=1.1\n\n";
        assert_eq!(read(without_script).unwrap().kind, Kind::Answer);
    }

    #[test]
    fn arguments_that_a_line_feed_in_a_name_has_forged_are_refused() {
        let real = String::from_utf8_lossy(&request("start", &FIXED)).into_owned();
        let forged = real.replace("agi_arg_1: v=1", "agi_x: a\nagi_arg_1: v=1\nagi_arg_1: v=1");
        assert_eq!(read(forged.as_bytes()), Err(Outcome::Malformed));
        let ended = real.replace("agi_arg_4", "\nagi_arg_4");
        assert_eq!(read(ended.as_bytes()), Err(Outcome::Malformed));
    }

    #[test]
    fn a_hangup_before_the_ack_is_not_its_reply() {
        let mut session = Session::new("p", None);
        let sent = [request("hangup", &FIXED).as_slice(), b"HANG"].concat();
        assert!(begin(&mut session, &sent).is_ok());
        let Action::Send(ack) = session.step(Input::Stored(Answer::Kept), AT) else { panic!("no ack") };
        assert_eq!(ack.as_bytes(), b"SET VARIABLE CALLJOURNAL_ACK \"1.2-1-start-3\"\n");
        assert!(matches!(session.step(Input::Bytes(b"UP\n200 res"), AT), Action::Wait));
        let Action::Close(ending) = session.step(Input::Bytes(b"ult=1\n"), AT) else { panic!("no end") };
        assert_eq!(ending, super::ending(Outcome::Acked, ""));
    }

    #[test]
    fn whatever_answers_the_ack_is_a_normal_end() {
        let usage =
            "520-Invalid command syntax.  Proper usage follows:\nUsage: x\n520 End of proper usage.\n";
        for reply in ["200 result=1\n", "510 x\n", "511 x\n", usage, ""] {
            let mut session = Session::new("p", None);
            begin(&mut session, &request("start", &FIXED)).unwrap();
            session.step(Input::Stored(Answer::Known), AT);
            let input = if reply.is_empty() { Input::Eof } else { Input::Bytes(reply.as_bytes()) };
            let Action::Close(ending) = session.step(input, AT) else { panic!("{reply} is no end") };
            assert_eq!(ending, super::ending(Outcome::Duplicate, ""));
        }
    }

    #[test]
    fn what_is_not_kept_is_never_acknowledged() {
        for (input, outcome) in [
            (Input::Stored(Answer::Refused("disk full".into())), Outcome::FailureStore),
            (Input::Stored(Answer::Busy), Outcome::FailureBusy),
            (Input::Deadline, Outcome::FailureLate),
            (Input::Eof, Outcome::ClosedEarly),
        ] {
            let mut session = Session::new("p", None);
            begin(&mut session, &request("start", &FIXED)).unwrap();
            let Action::Close(ending) = session.step(input, AT) else { panic!("{outcome:?}: no end") };
            assert_eq!(ending.outcome, outcome);
        }
    }

    #[test]
    fn a_secret_is_wanted_where_it_is_set_and_never_kept() {
        let wanted = secret("s3-cret");
        let ask =
            |args: &[&str]| begin(&mut Session::new("p", Some(&wanted)), &request("start", &with(args)));
        for wrong in
            [&[][..], &["secret="], &["secret=s3-cre"], &["secret=s3-crets"], &["secret=x", "secret=s3-cret"]]
        {
            assert_eq!(ask(wrong), Err(Outcome::RefusedSecret), "{wrong:?}");
        }
        let allowed = ask(&["secret=s3%2Dcret", "x=y"]).unwrap();
        let unasked = read(&request("start", &with(&["secret=s3-cret", "x=y", "secret"]))).unwrap();
        for event in [allowed, unasked] {
            assert_eq!(event.facts.keys().collect::<Vec<_>>(), ["x"]);
        }
    }

    #[test]
    fn the_lines_kept_with_an_event_are_bounded() {
        let mut sent: Vec<u8> = (0..100).flat_map(|n| format!("agi_new{n}: {n}\n").into_bytes()).collect();
        sent.extend(request("start", &FIXED));
        assert_eq!(read(&sent).unwrap().agi.len(), MAX_AGI_LINES);
    }

    /// Text that somebody who may choose it would choose.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let evil = prop_oneof![
            Just("1.1)}${SHELL(id)}${LEN(x".to_owned()),
            Just("\"\nEXEC System id\n\"".to_owned()),
            Just("a\" \"b".to_owned()),
            Just("1795390723.0-1-start-1795390723.872815".to_owned()),
            Just("%22%0ASET VARIABLE X 1%0A".to_owned()),
            "\\PC{0,60}",
        ];
        prop_oneof![evil.prop_map(String::into_bytes), vec(any::<u8>(), 0..120)]
    }

    proptest! {
        #[test]
        fn nothing_from_outside_reaches_an_asterisk_but_a_plain_token(
            path in prop_oneof![Just(b"start".to_vec()), hostile()],
            token in prop_oneof![Just(FIXED[1].as_bytes()[6..].to_vec()), hostile()], uid in hostile(), lid in hostile(), chan in hostile(),
            more in vec(hostile(), 0..6), after in prop_oneof![Just(vec![]), hostile()],
            answers in vec(0_usize..4, 1..4),
            size in 1_usize..200,
        ) {
            let mut args = vec![b"v=1".to_vec()];
            for (name, value) in [("token=", token), ("uid=", uid), ("lid=", lid), ("chan=", chan)] {
                args.push([name.as_bytes(), &value].concat());
            }
            args.extend(more);
            let mut sent = [b"agi_network_script: ".as_slice(), &path, b"\n"].concat();
            for (n, arg) in args.iter().enumerate() {
                sent.extend([format!("agi_arg_{}: ", n + 1).as_bytes(), arg, b"\n"].concat());
            }
            sent.extend([b"\n".as_slice(), &after].concat());

            let mut session = Session::new("p", None);
            let mut to_peer = Vec::new();
            let mut stored: Option<Event> = None;
            let mut see = |action: Action| match action {
                Action::Send(command) => to_peer.push(command),
                Action::Store(event) => stored = Some(*event),
                Action::Wait | Action::Close(_) => {}
            };
            for piece in sent.chunks(size) {
                see(session.step(Input::Bytes(piece), AT));
            }
            for answer in answers {
                let refused = Answer::Refused("no".into());
                let answer = [Answer::Kept, Answer::Known, refused, Answer::Busy][answer].clone();
                see(session.step(Input::Stored(answer), AT));
            }
            prop_assert!(to_peer.len() <= 1);
            for command in to_peer {
                let line = String::from_utf8(command.as_bytes().to_vec()).unwrap();
                let token = line
                    .strip_prefix("SET VARIABLE CALLJOURNAL_ACK \"")
                    .and_then(|rest| rest.strip_suffix("\"\n"))
                    .unwrap();
                prop_assert!((1..=96).contains(&token.len()));
                prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
                prop_assert_eq!(Some(token), stored.as_ref().map(|event| event.token.as_str()));
            }
        }

        #[test]
        fn any_bytes_in_any_order_of_inputs_end_or_wait(
            pieces in vec(hostile(), 0..10), inputs in vec(0_usize..6, 0..30)
        ) {
            let mut session = Session::new("p", None);
            session.step(Input::Bytes(&request("note", &FIXED)), AT);
            for (n, input) in inputs.into_iter().enumerate() {
                let input = match input {
                    0 => Input::Eof,
                    1 => Input::Deadline,
                    2 => Input::Stopping,
                    3 => Input::Stored(Answer::Kept),
                    _ => Input::Bytes(pieces.get(n).map_or(&b"HANGUP\n"[..], Vec::as_slice)),
                };
                session.step(input, AT);
            }
        }
    }
}
