//! Calls through ast-lite's Macros (`etc/ast-lite/`) with the lines of `dialplan/ast-lite/` in them.

use crate::scenario::{ANSWERED, Expect, FAR, GROUP, INTERNAL, OUTBOUND, On, PLAIN, Scenario, Trunk};

const INCOMING: Scenario = Scenario {
    name: "ast-lite: incoming, answered",
    context: "org1_incoming",
    org: Some("org1"),
    on: On::AstLite,
    expect: Expect {
        key: Some("-79193393655-IN-73512020319"),
        recordings: 1,
        unsaid: &["Local", "5000", "5001", "0579"],
        ..ANSWERED
    },
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] = &[
    INCOMING,
    Scenario {
        name: "ast-lite: incoming, a group by detours",
        did: GROUP,
        phones: &[(101, ("phone-rings", &[])), (102, ("phone-waits", &[("ringing", 900)]))],
        expect: Expect {
            key: Some("-79193393655-IN-73512020318"),
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: incoming, the doubler answers",
        did: "73512020320",
        phones: &[(101, ("phone-rings", &[])), (191, ("phone-waits", &[("ringing", 900)]))],
        dialled: FAR,
        expect: Expect {
            key: Some("-79193393655-IN-73512020320"),
            answered_by: Some(FAR),
            outcomes: &[("101", "elsewhere"), (FAR, "answered")],
            ..INCOMING.expect
        },
        ..INCOMING
    },
    Scenario {
        name: "ast-lite: blind transfer",
        caller: ("caller-hangs-up", &[("talk", 4500)]),
        phones: &[
            (101, ("phone-transfers", &[("ringing", 700), ("talk", 1500)])),
            (102, ("phone-waits", &[("ringing", 900)])),
        ],
        words: &[("target", "102")],
        expect: Expect {
            transfer: Some(("101", "102")),
            outcomes: &[("101", "answered"), ("102", "answered")],
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
];
