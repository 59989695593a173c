//! Blind transfers: by a phone's key (REFER) and by feature code, by either side, taken or not. The attended ones are in
//! `attended.rs`.

use crate::phone::Step::{
    Answer, Answered, Call, Connect, HangUp, Hold, Press, Refer, Refuse, Ring, RingOn, Told, Wait,
};
use crate::scenario::{
    ANSWERED, Expect, FAR, INTERNAL, Moved, OUTBOUND, OUTSIDE, PLAIN, Scenario, attended, blindly,
};

/// A call from outside that 101 transfers to 102, who stays with the caller until he hangs up.
pub const TO_102: Scenario = Scenario {
    name: "transfer: blind, by feature code",
    caller: &[Answered, Wait(7000), HangUp],
    phones: &[
        (101, &[Ring(500), Answer, Wait(1000), Press("##"), Wait(1200), Press("102")]),
        (102, &[Ring(900), Answer]),
    ],
    expect: Expect {
        transfers: &[blindly("101", "102")],
        talks: &[(OUTSIDE, "101"), (OUTSIDE, "102")],
        outcomes: &[("101", "answered"), ("102", "answered")],
        ..ANSWERED
    },
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] = &[
    TO_102,
    Scenario {
        name: "transfer: blind, by feature code, by the caller",
        caller: &[Answered, Wait(1000), Press("##"), Wait(1200), Press("103")],
        phones: &[(102, &[Ring(500), Answer, Wait(6500), HangUp]), (103, &[Ring(700), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[blindly("101", "103")],
            talks: &[("101", "102"), ("102", "103")],
            outcomes: &[("102", "answered"), ("103", "answered")],
            ..INTERNAL.expect
        },
        ..INTERNAL
    },
    Scenario {
        name: "transfer: blind, by the caller",
        caller: &[Answered, Wait(1000), Refer("103"), Told, HangUp],
        phones: &[(102, &[Ring(500), Answer, Wait(4500), HangUp]), (103, &[Ring(700), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[blindly("101", "103")],
            talks: &[("101", "102"), ("102", "103")],
            outcomes: &[("102", "answered"), ("103", "answered")],
            ..INTERNAL.expect
        },
        ..INTERNAL
    },
    Scenario {
        name: "transfer: blind, of who was called outside",
        caller: &[Answered, Wait(1000), Refer("102"), Told, HangUp],
        phones: &[(191, &[Ring(500), Answer, Wait(4500), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[blindly("101", "102")],
            talks: &[("101", FAR), (FAR, "102")],
            outcomes: &[(FAR, "answered"), ("102", "answered")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
    Scenario {
        name: "transfer: blind, the transferor hangs up early",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[(101, &[Ring(500), Answer, Wait(1000), Refer("102"), HangUp]), (102, &[Ring(900), Answer])],
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, to a busy phone",
        caller: &[Answered],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("102"), Told, HangUp]),
            (102, &[Ring(300), Refuse(486)]),
        ],
        expect: Expect {
            hung_up_by: Some("pbx"),
            transfers: &[Moved { outcome: "unanswered", ..blindly("101", "102") }],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered"), ("102", "busy")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, unanswered",
        caller: &[Answered],
        phones: &[(101, &[Ring(500), Answer, Wait(1000), Refer("107"), Told, HangUp]), (107, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("pbx"),
            transfers: &[Moved { outcome: "unanswered", ..blindly("101", "107") }],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered"), ("107", "no_answer")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, the caller gives up",
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[Ring(500), Answer, Wait(1000), Refer("102"), Told, HangUp]), (102, &[RingOn])],
        expect: Expect {
            transfers: &[Moved { outcome: "unanswered", ..blindly("101", "102") }],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered"), ("102", "cancelled")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, by feature code, to a number that nobody has",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[(101, &[Ring(500), Answer, Wait(1000), Press("##"), Wait(1200), Press("999")])],
        expect: Expect {
            transfers: &[],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, twice",
        caller: &[Answered, Wait(6500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("102"), Told, HangUp]),
            (102, &[Ring(700), Answer, Wait(1000), Refer("103"), Told, HangUp]),
            (103, &[Ring(700), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "102"), blindly("102", "103")],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, "102"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, back to the first",
        caller: &[Answered, Wait(6500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("102"), Told, HangUp, Ring(700), Answer]),
            (102, &[Ring(700), Answer, Wait(1000), Refer("101"), Told, HangUp]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "102"), blindly("102", "101")],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, "102"), (OUTSIDE, "101")],
            ..TO_102.expect
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, to a ring group",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("600"), Told, HangUp]),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "600")],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("102", "sales"), ("103", "sales")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, to outside",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer(FAR), Told, HangUp]),
            (191, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", FAR)],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, FAR)],
            outcomes: &[("101", "answered"), (FAR, "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, then attended, by key",
        caller: &[Answered, Wait(8500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("102"), Told, HangUp]),
            (
                102,
                &[Ring(700), Answer, Wait(1000), Hold, Wait(200), Call("103"), Answered, Wait(1000), Connect],
            ),
            (103, &[Ring(700), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "102"), attended("102", "103")],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, "102"), ("102", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, by feature code, to outside",
        caller: &[Answered, Wait(8500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Press("##"), Wait(1200), Press(FAR)]),
            (191, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", FAR)],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, FAR)],
            outcomes: &[("101", "answered"), (FAR, "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: blind, back to who transferred when nobody answers",
        caller: &[Answered, Wait(7500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("3107"), HangUp, Ring(700), Answer]),
            (107, &[RingOn]),
        ],
        expect: Expect {
            transfers: &[Moved { outcome: "returned", ..blindly("101", "3107") }],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, "101")],
            outcomes: &[("101", "answered"), ("107", "no_answer")],
            ..ANSWERED
        },
        ..TO_102
    },
];
