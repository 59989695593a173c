//! Who is rung, and by which ways (`etc/hard.conf`): one after the other, behind Local channels, sent on by a phone or
//! by the dialplan, out by a second line where the first refuses.

use crate::phone::Step::{Answer, Answered, Forward, HangUp, Refuse, Ring, RingOn, Wait};
use crate::scenario::{ANSWERED, Expect, FAR, OUTBOUND, On, PLAIN, Scenario, Trunk};

const HUNT: Scenario = Scenario {
    name: "ringing: one after the other",
    context: "test-hard",
    did: "3101",
    phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer])],
    expect: Expect {
        answered_by: Some("102"),
        outcomes: &[("101", "no_answer"), ("102", "answered")],
        ..ANSWERED
    },
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] = &[
    HUNT,
    Scenario {
        name: "ringing: by a Local channel",
        did: "3102",
        phones: &[(101, &[Ring(900), Answer])],
        expect: ANSWERED,
        ..HUNT
    },
    Scenario {
        name: "ringing: by a Local channel that stays",
        did: "3103",
        phones: &[(101, &[Ring(900), Answer])],
        expect: ANSWERED,
        ..HUNT
    },
    Scenario {
        name: "ringing: a group with one behind a Local channel",
        did: "3104",
        phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "sales")],
            ..ANSWERED
        },
        ..HUNT
    },
    Scenario {
        name: "ringing: a phone forwards",
        did: "3101",
        phones: &[(101, &[Ring(400), Forward("105")]), (105, &[Ring(900), Answer])],
        expect: Expect {
            steps: &["forwarded 105 101"],
            answered_by: Some("105"),
            outcomes: &[("101", "forwarded"), ("105", "answered")],
            ..ANSWERED
        },
        ..HUNT
    },
    Scenario {
        name: "ringing: the dialplan forwards",
        did: "3105",
        phones: &[(101, &[RingOn]), (105, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some("105"),
            outcomes: &[("101", "no_answer"), ("105", "answered")],
            ..ANSWERED
        },
        ..HUNT
    },
    Scenario {
        name: "ringing: follow me",
        did: "3106",
        phones: &[(101, &[RingOn]), (191, &[Ring(900), Answer])],
        expect: Expect { answered_by: Some(FAR), outcomes: &[(FAR, "answered")], ..ANSWERED },
        ..HUNT
    },
    Scenario {
        name: "ringing: by FollowMe()",
        on: On::PlainGosub,
        did: "3107",
        caller: &[Answered, Wait(6500), HangUp],
        phones: &[(101, &[RingOn]), (191, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some(FAR),
            outcomes: &[("101", "no_answer"), (FAR, "answered")],
            ..ANSWERED
        },
        ..HUNT
    },
    Scenario {
        name: "ringing: the first line refuses",
        did: "79161112233",
        dialled: "79161112233",
        phones: &[(191, &[Ring(300), Refuse(503)]), (192, &[Ring(700), Answer])],
        expect: Expect {
            trunk: Trunk::Named("the second line out"),
            answered_by: Some("79161112233"),
            said: &["79161112233 could not be reached on the line that goes out"],
            outcomes: &[("79161112233", "unreachable")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
];
