//! The hard calls of a FreePBX: transfers by feature code and by phone, follow-me, voicemail, queues, a menu, pickup.
//!
//! What the skeleton (`etc/freepbx/`) has for them is in its `extensions_modules.conf`. What FreePBX leaves no hook for
//! is told less of, never otherwise than it was.

use crate::freepbx::INBOUND;
use crate::phone::Step::{Answer, Answered, Call, Connect, HangUp, Press, Refer, Ring, RingOn, Told, Wait};
use crate::scenario::{
    ANSWERED, Expect, FAR, GROUP, INTERNAL, Moved, OUTSIDE, On, Scenario, UNANSWERED, attended, blindly,
};

/// Numbers of the skeleton: an extension with voicemail, two with a follow-me, a menu, a queue that is soon left.
const VOICEMAIL: &str = "73512020341";
const FOLLOW_ME: &str = "73512020342";
const FOLLOW_ME_TOGETHER: &str = "73512020343";
const MENU: &str = "73512020344";
/// Extension 103.
const DIRECT: &str = "73512020346";
const QUEUE: &str = "73512020323";
const QUEUE_LEFT: &str = "73512020345";

/// A call from outside that 101 transfers to 102 after a word, who stays with the caller until he hangs up.
const BY_CODE: Expect = Expect {
    transfers: &[attended("101", "102")],
    talks: &[(OUTSIDE, "101"), ("101", "102"), (OUTSIDE, "102")],
    outcomes: &[("101", "answered"), ("102", "answered")],
    ..ANSWERED
};

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
        caller: &[Answered, Wait(6000), HangUp],
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
        caller: &[Answered, Wait(800), HangUp],
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
    Scenario {
        name: "freepbx: attended transfer, by feature code, unanswered",
        caller: &[Answered, Wait(12_000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Press("*2"), Wait(1200), Press("107")]),
            (107, &[RingOn]),
        ],
        expect: Expect {
            transfers: &[],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, "101")],
            outcomes: &[("101", "answered"), ("107", "no_answer")],
            ..BY_CODE
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: attended transfer, by feature code, to a ring group",
        caller: &[Answered, Wait(10_000), HangUp],
        phones: &[
            (
                101,
                &[Ring(700), Answer, Wait(1500), Press("*2"), Wait(1200), Press("603"), Wait(3500), HangUp],
            ),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("102", "603"), ("103", "603")],
            ..BY_CODE
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: attended transfer, by feature code, to outside",
        caller: &[Answered, Wait(12_000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Press("*2"), Wait(1200), Press(FAR), Wait(3500), HangUp]),
            (191, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", FAR)],
            talks: &[(OUTSIDE, "101"), ("101", FAR), (OUTSIDE, FAR)],
            outcomes: &[("101", "answered"), (FAR, "answered")],
            ..BY_CODE
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: attended transfer, by feature code, out of a queue",
        did: QUEUE,
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (101, &[RingOn]),
            (
                102,
                &[Ring(900), Answer, Wait(1500), Press("*2"), Wait(1200), Press("103"), Wait(3000), HangUp],
            ),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            answered_by: Some("102"),
            transfers: &[attended("102", "103")],
            talks: &[(OUTSIDE, "102"), ("102", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "elsewhere"), ("102", "answered"), ("103", "answered")],
            groups: &[("101", "400"), ("102", "400")],
            ..BY_CODE
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: attended transfer, by key, to a ring group",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Call("603"), Answered, Wait(3500), Connect, Told, HangUp]),
            (102, &[RingOn]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[attended("101", "103")],
            talks: &[(OUTSIDE, "101"), ("101", "103"), (OUTSIDE, "103")],
            outcomes: &[("101", "answered"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("102", "603"), ("103", "603")],
            ..BY_CODE
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer to a queue",
        did: DIRECT,
        caller: &[Answered, Wait(7000), HangUp],
        phones: &[
            (103, &[Ring(700), Answer, Wait(1500), Refer("400"), Told, HangUp]),
            (101, &[RingOn]),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect {
            answered_by: Some("103"),
            transfers: &[blindly("103", "400")],
            talks: &[(OUTSIDE, "103"), (OUTSIDE, "102")],
            outcomes: &[("103", "answered"), ("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "400"), ("102", "400")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer to a follow-me",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("105"), Told, HangUp]),
            (105, &[RingOn]),
            (191, &[Ring(900), Answer]),
        ],
        expect: Expect {
            transfers: &[blindly("101", "105")],
            talks: &[(OUTSIDE, "101"), (OUTSIDE, FAR)],
            outcomes: &[("101", "answered"), ("105", "no_answer"), (FAR, "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: blind transfer to voicemail",
        caller: &[Answered, Wait(10_000), HangUp],
        phones: &[(101, &[Ring(700), Answer, Wait(1500), Refer("104"), Told, HangUp]), (104, &[RingOn])],
        expect: Expect {
            transfers: &[Moved { outcome: "unanswered", ..blindly("101", "104") }],
            talks: &[(OUTSIDE, "101")],
            steps: &["voicemail 104 message"],
            outcomes: &[("101", "answered"), ("104", "no_answer")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        // Who dials a queue from a phone passes no hook himself.
        name: "freepbx: internal, to a queue",
        did: "400",
        org: None,
        on: On::FreePbx,
        from: "103",
        caller: &[Answered, Wait(4000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "400"), ("102", "400")],
            ..INTERNAL.expect
        },
        ..INTERNAL
    },
    Scenario {
        name: "freepbx: picked up by the extension's code",
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Wait(1500), Call("**101"), Answered])],
        expect: Expect {
            answered_by: Some("102"),
            steps: &["picked_up 102"],
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: picked up by the code for all",
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Wait(1500), Call("*8"), Answered])],
        expect: Expect {
            answered_by: Some("102"),
            steps: &["picked_up 102"],
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            ..ANSWERED
        },
        ..INBOUND
    },
    Scenario {
        name: "freepbx: picked up in a ring group",
        did: GROUP,
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[RingOn]), (102, &[RingOn]), (103, &[Wait(1500), Call("**101"), Answered])],
        expect: Expect {
            answered_by: Some("103"),
            steps: &["picked_up 103"],
            outcomes: &[("101", "elsewhere"), ("102", "elsewhere"), ("103", "answered")],
            groups: &[("101", "600"), ("102", "600")],
            ..ANSWERED
        },
        ..INBOUND
    },
];
