//! The hard calls of a FreePBX: transfers by feature code and by phone, follow-me, voicemail, queues, a menu, pickup.
//!
//! What the skeleton (`etc/freepbx/`) has for them is in its `extensions_modules.conf`. What FreePBX leaves no hook for
//! is told less of, never otherwise than it was.

use crate::freepbx::INBOUND;
use crate::phone::Step::{Answer, Answered, HangUp, Press, Ring, RingOn, Wait};
use crate::scenario::{ANSWERED, Expect, FAR, Scenario, UNANSWERED, blindly};

/// Numbers of the skeleton: an extension with voicemail, two with a follow-me, a menu, a queue that is soon left.
const VOICEMAIL: &str = "73512020341";
const FOLLOW_ME: &str = "73512020342";
const FOLLOW_ME_TOGETHER: &str = "73512020343";
const MENU: &str = "73512020344";
const QUEUE: &str = "73512020323";
const QUEUE_LEFT: &str = "73512020345";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "freepbx: blind transfer by feature code",
        caller: &[Answered, Wait(7000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Press("##"), Wait(1000), Press("102")]),
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
        name: "freepbx: follow-me, the mobile answers",
        did: FOLLOW_ME,
        phones: &[(105, &[RingOn]), (191, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some(FAR),
            outcomes: &[("105", "no_answer"), (FAR, "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: follow-me, the extension answers",
        did: FOLLOW_ME,
        phones: &[(105, &[Ring(700), Answer])],
        expect: Expect { answered_by: Some("105"), outcomes: &[("105", "answered")], ..ANSWERED },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: follow-me at once, the mobile answers",
        did: FOLLOW_ME_TOGETHER,
        phones: &[(106, &[RingOn]), (191, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some(FAR),
            outcomes: &[("106", "elsewhere"), (FAR, "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: follow-me at once, the extension answers",
        did: FOLLOW_ME_TOGETHER,
        phones: &[(106, &[Ring(2500), Answer]), (191, &[RingOn])],
        expect: Expect {
            answered_by: Some("106"),
            outcomes: &[("106", "answered"), (FAR, "elsewhere")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: voicemail, a message left",
        did: VOICEMAIL,
        // `#` ends the greeting.
        caller: &[Answered, Wait(1000), Press("#"), Wait(4000), HangUp],
        phones: &[(104, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            steps: &["voicemail 104 message"],
            outcomes: &[("104", "no_answer")],
            ..UNANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: voicemail, no message left",
        did: VOICEMAIL,
        caller: &[Answered, Wait(1000), HangUp],
        phones: &[(104, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            abandoned: true,
            steps: &["voicemail 104 no-message"],
            outcomes: &[("104", "no_answer")],
            ..UNANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: queue, abandoned",
        did: QUEUE,
        caller: &[Answered, Wait(3000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[("101", "cancelled"), ("102", "cancelled")],
            groups: &[("101", "400"), ("102", "400")],
            ..UNANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: queue, nobody comes and it goes on elsewhere",
        did: QUEUE_LEFT,
        caller: &[Answered, Wait(7000), HangUp],
        phones: &[(101, &[RingOn]), (103, &[Ring(900), Answer])],
        expect: Expect {
            answered_by: Some("103"),
            outcomes: &[("101", "no_answer"), ("103", "answered")],
            groups: &[("101", "401")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: menu, an extension",
        did: MENU,
        caller: &[Answered, Wait(700), Press("1"), Wait(5000), HangUp],
        expect: Expect { steps: &["menu ivr-1"], ..ANSWERED },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: menu, a ring group",
        did: MENU,
        caller: &[Answered, Wait(700), Press("2"), Wait(5000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            steps: &["menu ivr-1"],
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "600"), ("102", "600")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: menu, nothing pressed",
        did: MENU,
        caller: &[Answered],
        phones: &[],
        expect: Expect { steps: &["menu ivr-1"], ..UNANSWERED },
        ..INBOUND
    },
];
