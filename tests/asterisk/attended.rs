//! Attended transfers: by a phone's key (REFER with Replaces) and by feature code, by either side, completed, taken back or
//! leading to nobody.

use crate::phone::Step::{
    Answer, Answered, Call, Connect, ConnectBack, GiveUp, HangUp, Hold, Press, Refer, Refuse, Resume, Ring,
    RingOn, Ringing, Told, Wait,
};
use crate::scenario::{
    ANSWERED, Expect, FAR, GROUP, INTERNAL, Moved, OUTBOUND, OUTSIDE, On, Scenario, attended, blindly,
};
use crate::transfers::TO_102;

const BY_CODE: Expect = Expect {
    transfers: &[attended("101", "102")],
    talks: &[(OUTSIDE, "101"), ("101", "102"), (OUTSIDE, "102")],
    ..TO_102.expect
};

/// Nothing came of it: 101 goes on with the caller.
const BACK: Expect = Expect { transfers: &[], talks: &[(OUTSIDE, "101"), (OUTSIDE, "101")], ..BY_CODE };

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "transfer: attended, by feature code",
        caller: &[Answered, Wait(9500), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102"), Wait(5000), HangUp],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: BY_CODE,
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by feature code, by the caller",
        caller: &[Answered, Wait(1000), Press("*2"), Wait(1200), Press("103"), Wait(5000), HangUp],
        phones: &[(102, &[Ring(500), Answer, Wait(9500), HangUp]), (103, &[Ring(900), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[attended("101", "103")],
            talks: &[("101", "102"), ("101", "103"), ("102", "103")],
            outcomes: &[("102", "answered"), ("103", "answered")],
            ..INTERNAL.expect
        },
        ..INTERNAL
    },
    Scenario {
        name: "transfer: attended, by feature code, while it rings",
        caller: &[Answered, Wait(8500), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102"), Wait(3000), HangUp],
            ),
            (102, &[Ring(2500), Answer]),
        ],
        expect: Expect { talks: &[(OUTSIDE, "101"), (OUTSIDE, "102")], ..BY_CODE },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by feature code, the target leaves",
        caller: &[Answered, Wait(10_000), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102")]),
            (102, &[Ring(900), Answer, Wait(1500), HangUp]),
        ],
        expect: Expect { talks: &[(OUTSIDE, "101"), ("101", "102"), (OUTSIDE, "101")], ..BACK },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by feature code, taken back while it rings",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (
                101,
                &[
                    Ring(500),
                    Answer,
                    Wait(1000),
                    Press("*2"),
                    Wait(1200),
                    Press("102"),
                    Wait(3500),
                    Press("*1"),
                ],
            ),
            (102, &[RingOn]),
        ],
        expect: Expect { outcomes: &[("101", "answered"), ("102", "no_answer")], ..BACK },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by feature code, to a busy phone",
        caller: &[Answered, Wait(8500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102")]),
            (102, &[Ring(300), Refuse(486)]),
        ],
        expect: Expect { outcomes: &[("101", "answered"), ("102", "busy")], ..BACK },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by feature code, unanswered",
        caller: &[Answered, Wait(14_000), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102")]),
            (102, &[RingOn]),
        ],
        expect: Expect {
            // Asterisk gives the target up as its maker would.
            outcomes: &[("101", "answered"), ("102", "no_answer")],
            ..BACK
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by feature code, the caller leaves during the consultation",
        caller: &[Answered, Wait(6500), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102")]),
            (102, &[Ring(900), Answer, Wait(4000), HangUp]),
        ],
        expect: Expect { hung_up_by: Some("called"), talks: &[(OUTSIDE, "101"), ("101", "102")], ..BACK },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1500), Connect],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: BY_CODE,
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, while it rings",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Ringing, Wait(500), Connect],
            ),
            (102, &[Ring(1500), Answer]),
        ],
        expect: Expect { talks: &[(OUTSIDE, "101"), (OUTSIDE, "102")], ..BY_CODE },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, by the caller",
        caller: &[Answered, Wait(1000), Hold, Wait(200), Call("103"), Answered, Wait(1500), Connect],
        phones: &[(102, &[Ring(500), Answer, Wait(6000), HangUp]), (103, &[Ring(900), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[attended("101", "103")],
            talks: &[("101", "102"), ("101", "103"), ("102", "103")],
            outcomes: &[("102", "answered"), ("103", "answered")],
            ..INTERNAL.expect
        },
        ..INTERNAL
    },
    Scenario {
        name: "transfer: attended, by key, to outside",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call(FAR), Answered, Wait(1500), Connect],
            ),
            (191, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", FAR)],
            talks: &[(OUTSIDE, "101"), ("101", FAR), (OUTSIDE, FAR)],
            outcomes: &[("101", "answered"), (FAR, "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, to a ring group",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("600"), Answered, Wait(1500), Connect],
            ),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("102", "sales"), ("103", "sales")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, twice",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1000), Connect],
            ),
            (
                102,
                &[Ring(700), Answer, Wait(2500), Hold, Wait(200), Call("103"), Answered, Wait(1000), Connect],
            ),
            (103, &[Ring(700), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "102"), attended("102", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "102"), (OUTSIDE, "102"), ("102", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: a consultation and no transfer",
        caller: &[Answered, Wait(7000), HangUp],
        phones: &[
            (
                101,
                &[
                    Ring(500),
                    Answer,
                    Wait(1000),
                    Hold,
                    Wait(200),
                    Call("102"),
                    Answered,
                    Wait(1000),
                    HangUp,
                    Resume,
                ],
            ),
            (102, &[Ring(700), Answer]),
        ],
        expect: Expect {
            transfers: &[],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, then blind",
        caller: &[Answered, Wait(8500), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1000), Connect],
            ),
            (102, &[Ring(700), Answer, Wait(2500), Refer("103"), Told, HangUp]),
            (103, &[Ring(700), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "102"), blindly("102", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "102"), (OUTSIDE, "102"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: a consultation, given up for the caller's sake",
        caller: &[Answered, Wait(6500), HangUp],
        phones: &[
            (
                101,
                &[
                    Ring(500),
                    Answer,
                    Wait(1000),
                    Hold,
                    Wait(200),
                    Call("102"),
                    Ringing,
                    Wait(800),
                    GiveUp,
                    Resume,
                ],
            ),
            (102, &[RingOn]),
        ],
        expect: Expect {
            transfers: &[],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, while it rings, and nobody answers",
        caller: &[Answered],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("107"), Ringing, Wait(500), Connect],
            ),
            (107, &[RingOn]),
        ],
        expect: Expect {
            hung_up_by: Some("pbx"),
            transfers: &[Moved { outcome: "unanswered", ..attended("101", "107") }],
            talks: &[(OUTSIDE, "101")],
            outcomes: &[("101", "answered"), ("107", "no_answer")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, from the second call",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[
                    Ring(500),
                    Answer,
                    Wait(1000),
                    Hold,
                    Wait(200),
                    Call("102"),
                    Answered,
                    Wait(1500),
                    ConnectBack,
                ],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: BY_CODE,
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, of a call whose phones tell nothing",
        context: "test-caller-only",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1500), Connect],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: BY_CODE,
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, to a queue",
        caller: &[Answered, Wait(6500), HangUp],
        phones: &[
            (
                101,
                &[
                    Ring(500),
                    Answer,
                    Wait(1000),
                    Hold,
                    Wait(200),
                    Call("3008"),
                    Answered,
                    Wait(2500),
                    Connect,
                ],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect { steps: &["queue second answered"], groups: &[("102", "second")], ..BY_CODE },
        ..TO_102
    },
    Scenario {
        name: "transfer: attended, by key, of who was called outside",
        caller: &[Answered, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1500), Connect],
        phones: &[(191, &[Ring(500), Answer, Wait(6000), HangUp]), (102, &[Ring(900), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[attended("101", "102")],
            talks: &[("101", FAR), ("101", "102"), (FAR, "102")],
            outcomes: &[(FAR, "answered"), ("102", "answered")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
    Scenario {
        name: "transfer: attended, by feature code, of who was called outside",
        caller: &[Answered, Wait(1000), Press("*2"), Wait(1200), Press("102"), Wait(5000), HangUp],
        phones: &[(191, &[Ring(500), Answer, Wait(9500), HangUp]), (102, &[Ring(900), Answer])],
        expect: Expect {
            hung_up_by: Some("called"),
            transfers: &[attended("101", "102")],
            talks: &[("101", FAR), ("101", "102"), (FAR, "102")],
            outcomes: &[(FAR, "answered"), ("102", "answered")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
    Scenario {
        name: "transfer: attended, by feature code, twice",
        caller: &[Answered, Wait(17_000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102"), Wait(4500), HangUp],
            ),
            (
                102,
                &[Ring(500), Answer, Wait(4000), Press("*2"), Wait(1200), Press("103"), Wait(4500), HangUp],
            ),
            (103, &[Ring(500), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "102"), attended("102", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "102"), (OUTSIDE, "102"), ("102", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "freepbx: attended transfer, by key",
        context: "from-trunk-calljournal",
        org: None,
        on: On::FreePbx,
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1500), Connect],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: BY_CODE,
        ..TO_102
    },
    Scenario {
        name: "freepbx: attended transfer, by feature code",
        context: "from-trunk-calljournal",
        org: None,
        on: On::FreePbx,
        caller: &[Answered, Wait(9500), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102"), Wait(5000), HangUp],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: BY_CODE,
        ..TO_102
    },
    Scenario {
        name: "freepbx: attended transfer, out of a ring group",
        context: "from-trunk-calljournal",
        did: GROUP,
        org: None,
        on: On::FreePbx,
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("103"), Answered, Wait(1500), Connect],
            ),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("101", "600"), ("102", "600")],
            ..ANSWERED
        },
        ..TO_102
    },
    Scenario {
        name: "ast-lite: attended transfer, by key",
        context: "org1_incoming",
        org: Some("org1"),
        on: On::AstLite,
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Hold, Wait(200), Call("102"), Answered, Wait(1500), Connect],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect { key: Some("-79193393655-IN-73512020319"), recordings: 2, ..BY_CODE },
        ..TO_102
    },
    Scenario {
        name: "ast-lite: attended transfer, by feature code",
        context: "org1_incoming",
        org: Some("org1"),
        on: On::AstLite,
        caller: &[Answered, Wait(9500), HangUp],
        phones: &[
            (
                101,
                &[Ring(500), Answer, Wait(1000), Press("*2"), Wait(1200), Press("102"), Wait(5000), HangUp],
            ),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect { key: Some("-79193393655-IN-73512020319"), recordings: 1, ..BY_CODE },
        ..TO_102
    },
];
