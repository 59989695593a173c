//! A call and an event for the tests of this module.
#![allow(clippy::unwrap_used)]

use jiff::{SignedDuration, Timestamp};

use crate::call::{
    Call, CallId, Direction, Disposition, How, Landing, Leg, Outcome, Party, Role, Side, State, Transfer,
};
use crate::event::{Arrival, Event, Feed, Kind};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_390_723).unwrap() + SignedDuration::from_secs(seconds)
}

fn party(number: &str, name: Option<&str>) -> Party {
    Party { number: Some(number.to_owned()), name: name.map(str::to_owned) }
}

/// Somebody called in, 102 answered after 6 s and transferred to 105.
pub fn transferred() -> Call {
    let id = CallId::of("office", "1795390723.0");
    Call {
        id,
        ids: vec![id],
        pbx: "office".into(),
        linkedid: "1795390723.0".into(),
        key: None,
        state: State::Ended,
        direction: Direction::Inbound,
        org: None,
        trunk: Some("73512020318".into()),
        source: party("+79190000000", Some("Ivan")),
        destination: Some("73512020318".into()),
        context: Some("from-trunk".into()),
        started_at: at(0),
        answered_at: Some(at(6)),
        ended_at: Some(at(157)),
        end_time_known: true,
        disposition: Disposition::Answered,
        answered_by: Some(party("102", None)),
        hung_up_by: Some(Side::Caller),
        ended_by: None,
        cause: Some(16),
        wait_ms: Some(5_800),
        talk_ms: 151_000,
        abandoned: false,
        transfers: vec![Transfer {
            at: at(60),
            how: How::Blind,
            by: party("102", None),
            to: Some("105".into()),
            spoken: false,
            outcome: Landing::Answered,
        }],
        queue: None,
        queue_wait_ms: None,
        voicemail: None,
        steps: Vec::new(),
        consultations: Vec::new(),
        remarks: Vec::new(),
        conversations: Vec::new(),
        legs: vec![Leg {
            uniqueid: "1795390723.1".into(),
            channel: "PJSIP/102-00000001".into(),
            party: party("102", None),
            role: Role::Called,
            group: Some("sales".into()),
            trunk: None,
            caller: Some("1795390723.0".into()),
            accountcode: None,
            started_at: at(0),
            answered_at: Some(at(6)),
            ended_at: Some(at(60)),
            outcome: Outcome::Answered,
            cause: Some(16),
            ring_ms: Some(5_800),
            talk_ms: 54_000,
        }],
    }
}

/// An answer.
pub fn event() -> Event {
    let args: [&[u8]; 5] =
        [b"v=1", b"token=1795390723.1-2-answer-6", b"uid=1795390723.1", b"seq=2", b"chan=PJSIP/102-00000001"];
    let arrival = Arrival { feed: Feed::Agi, pbx: "office", at: at(6) };
    Event::from_args(Kind::Answer, args, arrival).unwrap()
}
