//! What a desk does: menus, voicemail, parking, pickup, conferences, and calls that Asterisk makes itself
//! (`etc/hard.conf`).

use crate::phone::Step::{Answer, Answered, Call, HangUp, Over, Press, Refer, Ring, RingOn, Told, Wait};
use crate::scenario::{ANSWERED, Begin, Expect, INTERNAL, PLAIN, Scenario, Trunk, UNANSWERED};

const MENU: Scenario = Scenario {
    name: "desk: a menu",
    context: "test-hard",
    did: "3201",
    caller: &[Answered, Wait(1000), Press("2"), Wait(3500), HangUp],
    phones: &[(101, &[Ring(900), Answer])],
    expect: Expect { steps: &["menu main 2"], ..ANSWERED },
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] = &[
    MENU,
    Scenario {
        name: "desk: a menu in which nothing is chosen",
        caller: &[Answered, Over],
        phones: &[],
        expect: Expect { steps: &["menu main", "announcement closed"], ..UNANSWERED },
        ..MENU
    },
    Scenario {
        name: "desk: a message",
        did: "3202",
        caller: &[Answered, Wait(5000), HangUp],
        phones: &[(101, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            steps: &["voicemail 101 message"],
            outcomes: &[("101", "no_answer")],
            ..UNANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: a message ended by a key",
        did: "3202",
        caller: &[Answered, Wait(5000), Press("#"), Wait(1000), HangUp],
        phones: &[(101, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("pbx"),
            steps: &["voicemail 101 message"],
            outcomes: &[("101", "no_answer")],
            ..UNANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: no message",
        did: "3202",
        caller: &[Answered, Wait(300), HangUp],
        phones: &[(101, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            abandoned: true,
            steps: &["voicemail 101 no-message"],
            outcomes: &[("101", "no_answer")],
            ..UNANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: a conference",
        did: "3203",
        caller: &[Answered, Wait(3000), HangUp],
        phones: &[],
        expect: Expect {
            disposition: "ANSWERED",
            hung_up_by: Some("caller"),
            steps: &["conference sales"],
            ..UNANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: picked up by a number",
        context: "from-trunk",
        did: crate::scenario::SINGLE,
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[RingOn]), (103, &[Wait(1500), Call("*8101"), Answered])],
        expect: Expect {
            steps: &["picked_up 103"],
            answered_by: Some("103"),
            outcomes: &[("101", "elsewhere"), ("103", "answered")],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: picked up by the code",
        context: "from-trunk",
        did: crate::scenario::SINGLE,
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[RingOn]), (103, &[Wait(1500), Call("*8"), Answered])],
        expect: Expect {
            steps: &["picked_up 103"],
            answered_by: Some("103"),
            outcomes: &[("101", "elsewhere"), ("103", "answered")],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: parked by the code and taken back",
        did: "3204",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1000), Press("*3"), Wait(1500)]),
            (103, &[Wait(5500), Call("701"), Answered]),
        ],
        expect: Expect {
            steps: &["parked 701 taken 101"],
            outcomes: &[("101", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: parked by a transfer and taken back",
        did: "3204",
        caller: &[Answered, Wait(9000), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1000), Refer("700"), Told, HangUp]),
            (103, &[Wait(5500), Call("701"), Answered]),
        ],
        expect: Expect {
            steps: &["parked 701 taken 101"],
            outcomes: &[("101", "answered"), ("103", "answered")],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: parked and nobody takes it back",
        did: "3204",
        caller: &[Answered, Wait(11000), HangUp],
        phones: &[(101, &[Ring(700), Answer, Wait(1000), Press("*3"), Wait(1500), Ring(800), Answer])],
        expect: Expect { steps: &["parked 701 returned 101"], ..ANSWERED },
        ..MENU
    },
    Scenario {
        name: "desk: parked and gives up",
        did: "3204",
        caller: &[Answered, Wait(4000), HangUp],
        phones: &[(101, &[Ring(700), Answer, Wait(1000), Press("*3"), Wait(1500)])],
        expect: Expect {
            steps: &["parked gave_up 101"],
            said: &["Anna (101) parked the call", "and the caller hung up"],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: parked by a transfer and gives up",
        did: "3204",
        caller: &[Answered, Wait(4000), HangUp],
        phones: &[(101, &[Ring(700), Answer, Wait(1000), Refer("700"), Told, HangUp])],
        expect: Expect { steps: &["parked gave_up 101"], said: &["and the caller hung up"], ..ANSWERED },
        ..MENU
    },
    Scenario {
        // Nothing says where to; but it was no parking.
        name: "desk: sent elsewhere by a program",
        did: "3204",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[(101, &[Ring(700), Answer]), (103, &[Wait(2500), Call("3399"), Over])],
        expect: ANSWERED,
        ..MENU
    },
    Scenario {
        name: "desk: picked up by the number that was dialled",
        context: "from-internal",
        from: "102",
        did: "101",
        caller: &[Answered, Wait(2500), HangUp],
        phones: &[(101, &[RingOn]), (103, &[Wait(1500), Call("*9101"), Answered])],
        expect: Expect {
            steps: &["picked_up 103"],
            answered_by: Some("103"),
            outcomes: &[("101", "elsewhere"), ("103", "answered")],
            ..INTERNAL.expect
        },
        ..MENU
    },
    Scenario {
        // By an application (`Application: Dial`) the phone's own channel passes no dialplan: since when it rang nobody tells, so
        // such a call is not held against CEL. It is in the fixtures.
        name: "desk: a program's click to call",
        context: "from-internal",
        from: "101",
        did: "3301",
        begin: Begin::Manager(
            "Action: Originate\nChannel: PJSIP/101\nContext: from-internal\nExten: 3301\nPriority: 1\nAsync: true",
        ),
        phones: &[(101, &[Ring(700), Answer, Wait(4000), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect { steps: &["rang_first"], ..INTERNAL.expect },
        ..MENU
    },
    Scenario {
        name: "desk: a callback to outside",
        context: "from-internal",
        from: "trunk",
        did: "3302",
        begin: Begin::CallFile(
            "Channel: PJSIP/79161234567@trunk\nSetvar: CALLJOURNAL_ORIGIN=79161234567\nContext: from-internal\nExtension: 3302\nPriority: 1\n",
        ),
        phones: &[(191, &[Ring(700), Answer, Wait(4000), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect {
            steps: &["rang_first"],
            trunk: Trunk::Named("73512020318"),
            answered_by: Some("102"),
            outcomes: &[("102", "answered")],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: a callback to outside by a Local channel",
        context: "from-internal",
        from: "trunk",
        did: "3302",
        begin: Begin::Console(
            "channel originate Local/79161234567@from-internal extension 3302@from-internal",
        ),
        phones: &[(191, &[Ring(700), Answer, Wait(4000), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect {
            steps: &["rang_first"],
            trunk: Trunk::Named("73512020318"),
            answered_by: Some("102"),
            outcomes: &[("102", "answered")],
            ..ANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: click to call",
        context: "from-internal",
        from: "101",
        did: "3301",
        begin: Begin::Console("channel originate PJSIP/101 extension 3301@from-internal"),
        phones: &[(101, &[Ring(700), Answer, Wait(4000), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect { steps: &["rang_first"], ..INTERNAL.expect },
        ..MENU
    },
    Scenario {
        name: "desk: click to call by a Local channel",
        context: "from-internal",
        from: "101",
        did: "3301",
        begin: Begin::Console("channel originate Local/101@from-internal extension 3301@from-internal"),
        phones: &[(101, &[Ring(700), Answer, Wait(4000), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect { steps: &["rang_first"], ..INTERNAL.expect },
        ..MENU
    },
    Scenario {
        name: "desk: a call file",
        context: "from-internal",
        from: "101",
        did: "3301",
        begin: Begin::CallFile(
            "Channel: PJSIP/101\nCallerID: \"Anna\" <101>\nSetvar: CALLJOURNAL_ORIGIN=101\nContext: from-internal\nExtension: 3301\nPriority: 1\n",
        ),
        phones: &[(101, &[Ring(700), Answer, Wait(4000), HangUp]), (102, &[Ring(700), Answer])],
        expect: Expect { steps: &["rang_first"], ..INTERNAL.expect },
        ..MENU
    },
    Scenario {
        // Each who takes part has a call of his own.
        name: "desk: a conference of two",
        did: "3203",
        caller: &[Answered, Wait(5000), HangUp],
        phones: &[(103, &[Wait(1000), Call("3203"), Answered, Wait(2000), HangUp])],
        expect: Expect {
            disposition: "ANSWERED",
            hung_up_by: Some("caller"),
            steps: &["conference sales"],
            ..UNANSWERED
        },
        ..MENU
    },
    Scenario {
        name: "desk: the shipped example's menu and its queue",
        context: "from-trunk",
        did: "73512020321",
        caller: &[Answered, Wait(1000), Press("2"), Wait(4500), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer])],
        expect: Expect {
            steps: &["menu main 2", "queue support answered"],
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "support"), ("102", "support")],
            ..ANSWERED
        },
        ..MENU
    },
];
