//! Calls that nobody hangs up: the dialplan's own limits end them (`etc/hard.conf`).

use crate::phone::Step::{Answer, Answered, Over, Ring};
use crate::scenario::{ANSWERED, Expect, PLAIN, Scenario};

const LIMIT: Scenario = Scenario {
    name: "end: the time limit of a call",
    context: "test-hard",
    did: "3401",
    caller: &[Answered, Over],
    phones: &[(101, &[Ring(700), Answer, Over])],
    expect: Expect { hung_up_by: Some("pbx"), ..ANSWERED },
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] =
    &[LIMIT, Scenario { name: "end: the time limit of a Dial", did: "3402", ..LIMIT }];
