//! Calls through FreePBX's contexts (`etc/freepbx/`) with the shipped file in them. The callers' channels
//! are hooked, and the phones that answer; what the others did is known from what Dial left behind.

use crate::scenario::{
    ANSWERED, Expect, FAR, GROUP, Hooks, INTERNAL, OUTBOUND, On, PLAIN, SINGLE, Scenario, UNANSWERED,
};

/// Numbers of the skeleton: hunt group 601, queue 400, and an extension that is given up after two seconds.
const HUNT: &str = "73512020321";
/// An extension that is called when the caller has heard a greeting; the second with a Dial whose U() is taken.
const GREETING: &str = "73512020324";
const GREETING_TAKEN: &str = "73512020325";
const QUEUE: &str = "73512020323";
const SHORT: &str = "73512020322";

const INBOUND: Scenario = Scenario {
    name: "freepbx: inbound, answered",
    context: "from-trunk-calljournal",
    org: None,
    on: On::FreePbx,
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] = &[
    INBOUND,
    Scenario {
        name: "freepbx: inbound, ended by callee",
        caller: ("caller-waits", &[]),
        phones: &[(101, ("phone-hangs-up", &[("ringing", 700), ("talk", 1300)]))],
        expect: Expect { hung_up_by: Some("called"), ..ANSWERED },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound by the context that was there before",
        context: "from-trunk",
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, unanswered",
        did: SHORT,
        caller: ("caller-refused", &[]),
        phones: &[(101, ("phone-rings", &[]))],
        expect: Expect { outcomes: &[("101", "no_answer")], ..UNANSWERED },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, caller gives up",
        did: SINGLE,
        caller: ("caller-gives-up", &[("patience", 1500)]),
        phones: &[(101, ("phone-rings", &[]))],
        expect: Expect {
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[("101", "cancelled")],
            ..UNANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: ring group, ringall",
        did: GROUP,
        phones: &[(101, ("phone-rings", &[])), (102, ("phone-waits", &[("ringing", 1200)]))],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: ring group, hunt",
        did: HUNT,
        phones: &[(101, ("phone-rings", &[])), (102, ("phone-waits", &[("ringing", 900)]))],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "no_answer"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, a greeting first",
        did: GREETING,
        caller: ("caller-hangs-up", &[("talk", 4000)]),
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, a greeting first, U() taken",
        did: GREETING_TAKEN,
        caller: ("caller-hangs-up", &[("talk", 4000)]),
        hooks: Hooks::Callers,
        ..INBOUND
    },
    Scenario {
        name: "freepbx: queue",
        did: QUEUE,
        // The queue answers before it calls anybody.
        caller: ("caller-hangs-up", &[("talk", 4000)]),
        phones: &[(101, ("phone-rings", &[])), (102, ("phone-waits", &[("ringing", 1200)]))],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer",
        caller: ("caller-hangs-up", &[("talk", 4500)]),
        phones: &[
            (101, ("phone-transfers", &[("ringing", 700), ("talk", 1500)])),
            (102, ("phone-waits", &[("ringing", 900)])),
        ],
        words: &[("target", "102")],
        expect: Expect {
            transfer: Some(("101", "102")),
            outcomes: &[("101", "answered"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: internal, answered",
        org: None,
        on: On::FreePbx,
        hooks: Hooks::Callers,
        ..INTERNAL
    },
    Scenario {
        name: "freepbx: outbound, answered",
        org: None,
        on: On::FreePbx,
        hooks: Hooks::Callers,
        ..OUTBOUND
    },
    Scenario {
        name: "freepbx: outbound, first trunk fails",
        org: None,
        on: On::FreePbx,
        phones: &[(191, ("phone-fails", &[("ringing", 300)])), (192, ("phone-waits", &[("ringing", 700)]))],
        expect: Expect { outcomes: &[(FAR, "unreachable")], ..OUTBOUND.expect },
        ..OUTBOUND
    },
];
