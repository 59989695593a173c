//! Calls through ast-lite's Macros (`etc/ast-lite/`) with the lines of `dialplan/ast-lite/` in them.

use crate::phone::Step::{Answer, Answered, HangUp, Press, Refer, Refuse, Ring, RingOn, Told, Wait};
use crate::scenario::{
    ANSWERED, Expect, FAR, GROUP, INTERNAL, OUTBOUND, On, PLAIN, Scenario, Trunk, blindly,
};

const INCOMING: Scenario = Scenario {
    name: "ast-lite: incoming, answered",
    context: "org1_incoming",
    org: Some("org1"),
    on: On::AstLite,
    expect: Expect {
        key: Some("-79193393655-IN-73512020319"),
        recordings: 1,
        unsaid: &["Local", "50000", "50001", "0500"],
        ..ANSWERED
    },
    ..PLAIN
};

/// A number that the skeleton dials by a pool of lines.
const POOL: &str = "79162223344";

pub const SCENARIOS: &[Scenario] = &[
    INCOMING,
    Scenario {
        name: "ast-lite: incoming, a group by detours",
        did: GROUP,
        phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer])],
        expect: Expect {
            key: Some("-79193393655-IN-73512020318"),
            notes: &["rung as a group"],
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: incoming, the doubler answers",
        did: "73512020320",
        phones: &[(103, &[RingOn]), (191, &[Ring(900), Answer])],
        dialled: FAR,
        expect: Expect {
            key: Some("-79193393655-IN-73512020320"),
            answered_by: Some(FAR),
            outcomes: &[("103", "elsewhere"), (FAR, "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: incoming, by the phones' own context",
        did: "73512020321",
        expect: Expect { key: Some("-79193393655-IN-73512020321"), ..INCOMING.expect },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: blind transfer",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("102"), Told, HangUp]),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "102")],
            outcomes: &[("101", "answered"), ("102", "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: blind transfer, to a phone whose local calls are not recorded",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("104"), Told, HangUp]),
            (104, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "104")],
            outcomes: &[("101", "answered"), ("104", "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: local, answered",
        org: Some("org1"),
        on: On::AstLite,
        expect: Expect { key: Some("-101-LOC-102"), recordings: 1, ..INTERNAL.expect },
        ..INTERNAL
    },
    Scenario {
        // Nothing but Dial-Local tells of it, and ast-lite has no name for it.
        name: "ast-lite: local, not recorded",
        did: "104",
        org: Some("org1"),
        on: On::AstLite,
        phones: &[(104, &[Ring(700), Answer])],
        expect: Expect { answered_by: Some("104"), outcomes: &[("104", "answered")], ..INTERNAL.expect },
        ..INTERNAL
    },
    Scenario {
        name: "ast-lite: outgoing, answered",
        org: Some("org1"),
        on: On::AstLite,
        expect: Expect {
            trunk: Trunk::Named("the line that goes out"),
            key: Some("-101-OUT-79161234567"),
            recordings: 1,
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
    Scenario {
        // The line of the pool that refuses is a leg that did not count.
        name: "ast-lite: outgoing, a pool whose first line refuses",
        did: POOL,
        dialled: POOL,
        org: Some("org1"),
        on: On::AstLite,
        phones: &[(191, &[Ring(300), Refuse(503)]), (192, &[Ring(700), Answer])],
        expect: Expect {
            trunk: Trunk::Named("the second line out"),
            key: Some("-101-OUT-79162223344"),
            recordings: 1,
            answered_by: Some(POOL),
            outcomes: &[(POOL, "unreachable")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
    Scenario {
        // FailoverCall begins no call of ast-lite's own, so there is no name for it.
        name: "ast-lite: to another pbx",
        did: "543",
        dialled: "543",
        org: Some("org1"),
        on: On::AstLite,
        phones: &[(191, &[Ring(700), Answer])],
        expect: Expect { answered_by: Some("543"), outcomes: &[("543", "answered")], ..INTERNAL.expect },
        ..INTERNAL
    },
    Scenario {
        name: "ast-lite: to another pbx, by the way around",
        did: "544",
        dialled: "544",
        org: Some("org1"),
        on: On::AstLite,
        phones: &[(192, &[Ring(700), Answer])],
        expect: Expect { answered_by: Some("544"), outcomes: &[("544", "answered")], ..INTERNAL.expect },
        ..INTERNAL
    },
    Scenario {
        name: "ast-lite: incoming, another pbx is down and the phone is here",
        did: "73512020322",
        expect: Expect { key: Some("-79193393655-IN-73512020322"), ..INCOMING.expect },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: incoming, another pbx is down and another context has the phone",
        did: "73512020323",
        phones: &[(102, &[Ring(700), Answer])],
        expect: Expect {
            key: Some("-79193393655-IN-73512020323"),
            answered_by: Some("102"),
            outcomes: &[("102", "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: incoming, a menu",
        did: "73512020324",
        caller: &[Answered, Wait(700), Press("101"), Wait(5000), HangUp],
        expect: Expect {
            key: Some("-79193393655-IN-73512020324"),
            steps: &["menu main 101"],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: incoming, a queue",
        did: "73512020325",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Ring(700), Answer])],
        expect: Expect {
            key: Some("-79193393655-IN-73512020325"),
            answered_by: Some("102"),
            steps: &["queue queue1 answered"],
            outcomes: &[("101", "no_answer"), ("102", "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
];
