//! Calls through FreePBX's contexts (`etc/freepbx/`) with the shipped file in them. The callers' channels
//! are hooked, and the phones that answer where Dial has room for it; what the others did is known from what Dial left
//! behind.

use std::iter::once;

use crate::cel::Truth;
use crate::pbx::{House, Pbx};
use crate::phone::Step::{
    Answer, Answered, GiveUp, HangUp, Refer, Refuse, Refused, Ring, RingOn, Ringing, Told, Wait,
};
use crate::scenario::{
    ANSWERED, Expect, FAR, GROUP, Hooks, INTERNAL, OUTBOUND, On, PLAIN, SINGLE, Scenario, Trunk, UNANSWERED,
    blindly,
};

/// Numbers of the skeleton: hunt group 601, queue 400, and an extension that is given up after two seconds.
const HUNT: &str = "73512020321";
const QUEUE: &str = "73512020323";
const SHORT: &str = "73512020322";
/// An extension that is called when the caller has heard a greeting; with a Dial whose U() is taken, and with one whose
/// options are left alone.
const GREETING: &str = "73512020324";
const GREETING_TAKEN: &str = "73512020325";
const GREETING_ALONE: &str = "73512020326";
/// Ring group 602, whose callers hear an announcement; and an announcement with nobody behind it.
const GROUP_GREETING: &str = "73512020327";
const ANNOUNCEMENT: &str = "73512020328";
/// Extension, ring group, hunt group and a number outside, for callers whose channels lose calljournal's handler.
const SINGLE_BY_H: &str = "73512020331";
const GROUP_BY_H: &str = "73512020332";
const HUNT_BY_H: &str = "73512020333";
const FAR_BY_H: &str = "79169990000";

/// What the skeleton's add-on has written: the channels on which its hangup handler ran.
const ADDONS_FILE: &str = "addon-hangups";

/// The channels of a call on which FreePBX's add-on's hangup handler should have run and did not: who pushes a handler
/// of his own must leave those of others.
pub fn silenced(truth: &Truth, pbx: &Pbx) -> Vec<String> {
    if pbx.house != House::FreePbx {
        return Vec::new();
    }
    let ran = pbx.written(ADDONS_FILE);
    // Who picks up by the code for all is nowhere in the dialplan, and no add-on has met him.
    let rung = truth.legs.iter().filter(|leg| !truth.pickups.contains(&leg.endpoint));
    let channels = once(&truth.linkedid).chain(rung.map(|leg| &leg.uniqueid));
    channels
        .filter(|channel| !ran.lines().any(|line| line == *channel))
        .map(|channel| format!("the add-on's hangup handler did not run on {channel}"))
        .collect()
}

pub const INBOUND: Scenario = Scenario {
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
        caller: &[Answered],
        phones: &[(101, &[Ring(700), Answer, Wait(1300), HangUp])],
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
        caller: &[Refused],
        phones: &[(101, &[RingOn])],
        expect: Expect { outcomes: &[("101", "no_answer")], ..UNANSWERED },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, caller gives up",
        did: SINGLE,
        caller: &[Ringing, Wait(1500), GiveUp],
        phones: &[(101, &[RingOn])],
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
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "600"), ("102", "600")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: ring group, an announcement first",
        did: GROUP_GREETING,
        caller: &[Answered, Wait(3500), HangUp],
        phones: &[(102, &[RingOn]), (103, &[Ring(1000), Answer])],
        expect: Expect {
            answered_by: Some("103"),
            outcomes: &[("102", "elsewhere"), ("103", "answered")],
            groups: &[("102", "602"), ("103", "602")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: ring group, hunt",
        did: HUNT,
        phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "no_answer"), ("102", "answered")],
            groups: &[("101", "601"), ("102", "601")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, a greeting first",
        did: GREETING,
        caller: &[Answered, Wait(4000), HangUp],
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, a greeting first, U() taken",
        did: GREETING_TAKEN,
        caller: &[Answered, Wait(4000), HangUp],
        hooks: Hooks::Callers,
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, a greeting first, options left alone",
        did: GREETING_ALONE,
        caller: &[Answered, Wait(4000), HangUp],
        hooks: Hooks::Callers,
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, to an announcement",
        did: ANNOUNCEMENT,
        caller: &[Answered],
        phones: &[],
        expect: UNANSWERED,
        ..INBOUND
    },
    Scenario {
        name: "freepbx: inbound, busy",
        caller: &[Refused],
        phones: &[(101, &[Ring(300), Refuse(486)])],
        expect: Expect { disposition: "BUSY", outcomes: &[("101", "busy")], ..UNANSWERED },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: queue",
        did: QUEUE,
        // The queue answers before it calls anybody. Who is called has a Local channel of his own to dial on, which is not
        // up before: so its Dial tells ringing from talking, whosever its U() is.
        caller: &[Answered, Wait(4000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "400"), ("102", "400")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("102"), Told, HangUp]),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "102")],
            outcomes: &[("101", "answered"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer, to a ring group",
        caller: &[Answered, Wait(5500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("602"), Told, HangUp]),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "602")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("102", "602"), ("103", "602")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        // FreePBX goes on taking it for a call of that group, and gives its Dial the option that it gives to groups.
        name: "freepbx: blind transfer, out of a ring group",
        did: GROUP,
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("103"), Told, HangUp]),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "103")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("101", "600"), ("102", "600")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer, to outside",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer(FAR), Told, HangUp]),
            (191, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", FAR)],
            outcomes: &[("101", "answered"), (FAR, "answered")],
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
        expect: Expect { trunk: FIRST, ..OUTBOUND.expect },
        ..OUTBOUND
    },
    Scenario {
        name: "freepbx: outbound, caller gives up",
        org: None,
        on: On::FreePbx,
        caller: &[Ringing, Wait(1500), GiveUp],
        phones: &[(191, &[RingOn])],
        // Dial names no channel that was not picked up, and so no line.
        expect: Expect {
            direction: "outbound",
            trunk: Trunk::None,
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[(FAR, "cancelled")],
            ..UNANSWERED
        },
        ..OUTBOUND
    },
    Scenario {
        name: "freepbx: outbound, first trunk fails",
        org: None,
        on: On::FreePbx,
        phones: &[(191, &[Ring(300), Refuse(503)]), (192, &[Ring(700), Answer])],
        expect: Expect {
            trunk: Trunk::Named("the second line out"),
            outcomes: &[(FAR, "unreachable")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
    // In each context that Dial stands in on 17, its caller's end told by the `h` of our `-custom` context alone.
    BY_H,
    Scenario {
        name: "freepbx: ring group, end by h only",
        did: GROUP_BY_H,
        phones: &[(101, &[RingOn]), (102, &[Ring(700), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "600"), ("102", "600")],
            ..ANSWERED
        },
        hooks: Hooks::Callers,
        ..BY_H
    },
    Scenario {
        name: "freepbx: hunt, end by h only",
        did: HUNT_BY_H,
        phones: &[(101, &[Ring(700), Answer])],
        expect: Expect { groups: &[("101", "601")], ..ANSWERED },
        hooks: Hooks::Callers,
        ..BY_H
    },
    Scenario {
        name: "freepbx: outbound, end by h only",
        did: FAR_BY_H,
        dialled: FAR_BY_H,
        org: None,
        on: On::FreePbxGosub,
        expect: Expect {
            trunk: FIRST,
            answered_by: Some(FAR_BY_H),
            outcomes: &[(FAR_BY_H, "answered")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
];

/// What `[[trunk]]` calls the trunk that is tried first.
const FIRST: Trunk = Trunk::Named("the line that goes out");

/// The handler that the hook has pushed is gone. Nobody has pushed one before it.
const BY_H: Scenario = Scenario {
    name: "freepbx: inbound, end by h only",
    context: "from-trunk",
    did: SINGLE_BY_H,
    on: On::FreePbxGosub,
    ..INBOUND
};
