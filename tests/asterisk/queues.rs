//! Calls that wait in a queue (`etc/hard.conf`, `etc/queues.conf`).

use crate::phone::Step;
use crate::phone::Step::{
    Answer, Answered, Call, Forward, GiveUp, HangUp, Press, Refer, Refuse, Ring, RingOn, Told, Wait,
};
use crate::scenario::{ANSWERED, Expect, PLAIN, SINGLE, Scenario, UNANSWERED, blindly};

const QUEUE: Scenario = Scenario {
    name: "queue: ringall",
    context: "test-hard",
    did: "3001",
    caller: &[Answered, Wait(4000), HangUp],
    phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
    expect: Expect {
        steps: &["queue support answered"],
        answered_by: Some("102"),
        outcomes: &[("101", "elsewhere"), ("102", "answered")],
        groups: &[("101", "support"), ("102", "support")],
        ..ANSWERED
    },
    ..PLAIN
};

/// Rung five times, and never answers.
const ALL_ROUNDS: &[Step] = &[RingOn, RingOn, RingOn, RingOn, RingOn];

pub const SCENARIOS: &[Scenario] = &[
    QUEUE,
    Scenario {
        name: "queue: abandoned",
        caller: &[Answered, Wait(3000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[RingOn])],
        expect: Expect {
            steps: &["queue support abandoned"],
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[("101", "cancelled"), ("102", "cancelled")],
            groups: &[("101", "support"), ("102", "support")],
            ..UNANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: nobody comes, the desk answers",
        did: "3002",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[RingOn]), (103, &[Ring(800), Answer])],
        expect: Expect {
            steps: &["queue support timeout"],
            answered_by: Some("103"),
            outcomes: &[("101", "no_answer"), ("102", "no_answer"), ("103", "answered")],
            groups: &[("101", "support"), ("102", "support")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: an agent declines",
        caller: &[Answered, Wait(4000), HangUp],
        phones: &[(101, &[Ring(500), Refuse(603)]), (102, &[Ring(1500), Answer])],
        expect: Expect {
            steps: &["queue support answered"],
            answered_by: Some("102"),
            outcomes: &[("101", "rejected"), ("102", "answered")],
            groups: &[("101", "support"), ("102", "support")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: one after the other",
        did: "3003",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer])],
        expect: Expect {
            steps: &["queue desk answered"],
            answered_by: Some("102"),
            outcomes: &[("101", "no_answer"), ("102", "answered")],
            groups: &[("101", "desk"), ("102", "desk")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: members behind Local channels",
        did: "3004",
        phones: &[(101, &[Ring(1200), Answer]), (102, &[RingOn])],
        expect: Expect {
            steps: &["queue locals answered"],
            answered_by: Some("101"),
            outcomes: &[("101", "answered"), ("102", "elsewhere")],
            groups: &[("101", "locals"), ("102", "locals")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: members behind Local channels that stay",
        did: "3004",
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            steps: &["queue locals answered"],
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "locals"), ("102", "locals")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: nobody is there",
        did: "3005",
        phones: &[(103, &[Ring(800), Answer])],
        expect: Expect {
            steps: &["queue empty unmanned"],
            answered_by: Some("103"),
            outcomes: &[("103", "answered")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: left by a key",
        did: "3006",
        caller: &[Answered, Wait(1500), Press("0"), Wait(4000), HangUp],
        phones: &[(101, &[RingOn]), (103, &[Ring(800), Answer])],
        expect: Expect {
            steps: &["queue patient elsewhere", "menu queue 0"],
            answered_by: Some("103"),
            outcomes: &[("101", "no_answer"), ("103", "answered")],
            groups: &[("101", "patient")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        // Declines twice, rings out once, and picks up at last.
        name: "queue: the same agent again and again",
        did: "3007",
        caller: &[Answered, Wait(11_000), HangUp],
        phones: &[(101, &[Ring(300), Refuse(603), Ring(300), Refuse(603), RingOn, Ring(500), Answer])],
        expect: Expect {
            steps: &["queue lone answered"],
            outcomes: &[("101", "rejected")],
            groups: &[("101", "lone")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: the agent transfers",
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (101, &[RingOn]),
            (102, &[Ring(700), Answer, Wait(1000), Refer("103"), Told, HangUp]),
            (103, &[Ring(900), Answer]),
        ],
        expect: Expect {
            steps: &["queue support answered"],
            answered_by: Some("102"),
            transfers: &[blindly("102", "103")],
            outcomes: &[("101", "elsewhere"), ("102", "answered"), ("103", "answered")],
            groups: &[("101", "support"), ("102", "support")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: reached by a transfer",
        context: "from-trunk",
        did: SINGLE,
        caller: &[Answered, Wait(6000), HangUp],
        phones: &[
            (101, &[Ring(500), Answer, Wait(1000), Refer("3008"), Told, HangUp]),
            (102, &[Ring(900), Answer]),
        ],
        expect: Expect {
            steps: &["queue second answered"],
            transfers: &[blindly("101", "3008")],
            outcomes: &[("101", "answered"), ("102", "answered")],
            groups: &[("102", "second")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        name: "queue: an agent's phone forwards",
        phones: &[(101, &[Ring(400), Forward("105")]), (102, &[RingOn]), (105, &[Ring(900), Answer])],
        expect: Expect {
            steps: &["queue support answered", "forwarded 105 101"],
            answered_by: Some("105"),
            outcomes: &[("101", "forwarded"), ("102", "elsewhere"), ("105", "answered")],
            groups: &[("101", "support"), ("102", "support")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        // 103 waits in front of him, and longer.
        name: "queue: abandoned at the second place",
        did: "3010",
        caller: &[Answered, Wait(4000), HangUp],
        phones: &[(102, &[RingOn]), (103, &[Wait(700), Call("3011"), Wait(5500), GiveUp])],
        expect: Expect {
            steps: &["queue second abandoned"],
            hung_up_by: Some("caller"),
            abandoned: true,
            said: &["Joined the queue second as number 2"],
            ..UNANSWERED
        },
        ..QUEUE
    },
    Scenario {
        // 103 has the only place.
        name: "queue: full",
        did: "3012",
        caller: &[Answered, Wait(5500), HangUp],
        phones: &[
            (101, &[RingOn]),
            (103, &[Wait(700), Call("3014"), Wait(4000), GiveUp]),
            (105, &[Ring(800), Answer]),
        ],
        expect: Expect {
            steps: &["queue tiny full"],
            answered_by: Some("105"),
            outcomes: &[("105", "answered")],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario {
        // Five rounds of all ten, fifty legs, and a story that is no longer for it.
        name: "queue: ten agents again and again",
        did: "3013",
        caller: &[Answered, Wait(20_000), HangUp],
        phones: &[
            (101, &[RingOn, RingOn, RingOn, RingOn, Ring(500), Answer]),
            (102, ALL_ROUNDS),
            (103, ALL_ROUNDS),
            (104, ALL_ROUNDS),
            (105, ALL_ROUNDS),
            (106, ALL_ROUNDS),
            (107, ALL_ROUNDS),
            (108, ALL_ROUNDS),
            (109, ALL_ROUNDS),
            (110, ALL_ROUNDS),
        ],
        expect: Expect {
            steps: &["queue ten answered"],
            said: &["Anna (101) 5 times, Boris (102) 5 times"],
            outcomes: &[],
            groups: &[
                ("101", "ten"),
                ("102", "ten"),
                ("103", "ten"),
                ("104", "ten"),
                ("105", "ten"),
                ("106", "ten"),
                ("107", "ten"),
                ("108", "ten"),
                ("109", "ten"),
                ("110", "ten"),
            ],
            ..ANSWERED
        },
        ..QUEUE
    },
    Scenario { name: "queue: no word of who answers", did: "3009", ..QUEUE },
];
