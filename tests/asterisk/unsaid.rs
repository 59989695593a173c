//! Calls of which the dialplan says whose they are, and neither which way they go nor on which line: both are worked out
//! from the `[numbers]` and `[[trunk]]` of `journal.rs`.

use crate::phone::Step::{Answer, Ring};
use crate::scenario::{Expect, INTERNAL, OUTBOUND, PLAIN, Scenario, Trunk};

/// A phone and a far end that the tests' own dialplan dials with nothing said.
const PHONE: &str = "109";
const FAR: &str = "79169998877";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "direction and line not said: inbound",
        context: "test-unsaid",
        expect: Expect { trunk: Trunk::Named("the line that comes in"), ..PLAIN.expect },
        ..PLAIN
    },
    Scenario {
        name: "direction and line not said: inbound on a line that nobody named",
        context: "test-nobodys-line",
        expect: Expect { trunk: Trunk::None, ..PLAIN.expect },
        ..PLAIN
    },
    Scenario {
        name: "direction and line not said: internal",
        did: PHONE,
        phones: &[(109, &[Ring(700), Answer])],
        expect: Expect { answered_by: Some(PHONE), outcomes: &[(PHONE, "answered")], ..INTERNAL.expect },
        ..INTERNAL
    },
    Scenario {
        name: "direction and line not said: outbound",
        did: FAR,
        dialled: FAR,
        expect: Expect {
            trunk: Trunk::Named("the line that goes out"),
            answered_by: Some(FAR),
            outcomes: &[(FAR, "answered")],
            ..OUTBOUND.expect
        },
        ..OUTBOUND
    },
];
