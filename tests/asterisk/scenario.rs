//! The calls: who calls whom, what everybody does, and what the journal must make of it.
//!
//! Data, and the one function that plays it. What really happened is asked of CEL; what is written here is what the
//! scenario was made for, so that a phone that misbehaved is not taken for a success.

use std::path::PathBuf;

use anyhow::Result;

use crate::cel::{self, Truth};
use crate::pbx::{self, FAR_ENDS, House, Pbx, Root};
use crate::phone::Step::{
    Answer, Answered, GiveUp, HangUp, Refer, Refuse, Refused, Ring, RingOn, Ringing, Told, Wait,
};
use crate::phone::{Act, Diary, Phone, Running};

/// The outside caller's number in every scenario.
pub const OUTSIDE: &str = "79193393655";

/// Numbers of the shipped example: an extension, a group of two, a group of ten.
pub const SINGLE: &str = "73512020319";
pub const GROUP: &str = "73512020318";
const ALL: &str = "73512020320";

/// What the shipped example calls the line that calls go out on.
const COMPANY: Trunk = Trunk::Named("73512020318");

/// Somebody far away, reached through the trunk.
pub const FAR: &str = "79161234567";

/// A caller name made of everything that ever broke a parser, quoted as SIP wants it; run by anybody, it leaves a mark.
/// (Asterisk keeps the backslashes, so they are part of the name that must be told.)
const HOSTILE_NAME: &str = r#""\"Иван\", ${SHELL(touch /srv/hacked)} a;b <x>""#;
/// The file that appears in Asterisk's directory if the hostile name was ever run.
pub const HOSTILE_MARK: &str = "hacked";

/// One call.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// How the table and the command line name it.
    pub name: &'static str,
    /// The number that calls: an extension calls from its phone, any other through a trunk.
    pub from: &'static str,
    /// Where the caller's trunk leads to, and the number called there.
    pub context: &'static str,
    pub did: &'static str,
    /// The caller's display name as SIP has it.
    pub caller_name: &'static str,
    /// How it begins.
    pub begin: Begin,
    /// What the caller does once he has dialled.
    pub caller: Act,
    pub phones: &'static [(u16, Act)],
    /// What is dialled through a trunk where the dialplan decides it.
    pub dialled: &'static str,
    /// Whose call it is.
    pub org: Option<&'static str>,
    /// The Asterisks that can play it.
    pub on: On,
    pub hooks: Hooks,
    pub expect: Expect,
}

/// How a call begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Somebody dials.
    ByCaller,
    /// Asterisk is told on its console to make it: the phone of `from` rings first.
    Console(&'static str),
    /// Asterisk finds a call file.
    CallFile(&'static str),
    /// A program asks for it over Asterisk's manager interface: the lines of the action.
    Manager(&'static str),
}

/// Whose channels tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hooks {
    Everybodys,
    /// What the phones did is known from what Dial left behind.
    Callers,
    /// That, and at times AMI tells of the phones.
    CallersAndAmiAtTimes,
}

/// The Asterisks that play a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Both that run the shipped example.
    Plain,
    /// The one of them that has Macro().
    PlainMacro,
    /// The one of them that has none: FollowMe() of 16 puts the caller through before anybody has picked up.
    PlainGosub,
    /// Both that run FreePBX's contexts.
    FreePbx,
    /// The one of them that has no Macro(), as FreePBX 17.
    FreePbxGosub,
    /// The one that runs ast-lite's.
    AstLite,
}

impl On {
    pub fn is(self, house: House, root: &Root) -> bool {
        match self {
            On::Plain => house == House::Plain,
            On::PlainMacro => house == House::Plain && root.has_macro(),
            On::PlainGosub => house == House::Plain && !root.has_macro(),
            On::FreePbx => house == House::FreePbx,
            On::FreePbxGosub => house == House::FreePbx && !root.has_macro(),
            On::AstLite => house == House::AstLite && root.has_macro(),
        }
    }
}

/// The line to the outside that must be told.
#[derive(Clone, Copy)]
pub enum Trunk {
    None,
    /// The number that was called: the dialplan says so.
    Called,
    Named(&'static str),
}

/// What must be told of the call, in the journal's own words.
#[derive(Clone, Copy)]
pub struct Expect {
    pub direction: &'static str,
    pub trunk: Trunk,
    pub disposition: &'static str,
    pub answered_by: Option<&'static str>,
    pub hung_up_by: Option<&'static str>,
    pub abandoned: bool,
    /// How the name ends by which other systems know it.
    pub key: Option<&'static str>,
    pub recordings: usize,
    /// The notes, in their order.
    pub notes: &'static [&'static str],
    /// What some line of the story must hold.
    pub said: &'static [&'static str],
    /// What no line of the story may hold.
    pub unsaid: &'static [&'static str],
    /// The transfers, in their order.
    pub transfers: &'static [Moved],
    /// The numbers of those who talked with each other, in their order; nothing where that is left to CEL.
    pub talks: &'static [(&'static str, &'static str)],
    /// What was done with the caller on the way, a step a text: `queue support answered`.
    pub steps: &'static [&'static str],
    /// What came of each phone's leg.
    pub outcomes: &'static [(&'static str, &'static str)],
    /// The legs that were rung in a group, and its name; all others were not.
    pub groups: &'static [(&'static str, &'static str)],
}

/// A transfer that must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// `blind` or `attended`.
    pub how: &'static str,
    pub by: &'static str,
    pub to: &'static str,
    /// What came of it.
    pub outcome: &'static str,
}

/// A blind transfer whose target picked up.
pub const fn blindly(by: &'static str, to: &'static str) -> Moved {
    Moved { how: "blind", by, to, outcome: "answered" }
}

/// An attended transfer whose target picked up.
pub const fn attended(by: &'static str, to: &'static str) -> Moved {
    Moved { how: "attended", ..blindly(by, to) }
}

pub const ANSWERED: Expect = Expect {
    direction: "inbound",
    trunk: Trunk::Called,
    disposition: "ANSWERED",
    answered_by: Some("101"),
    hung_up_by: Some("caller"),
    abandoned: false,
    key: None,
    recordings: 0,
    notes: &[],
    said: &[],
    unsaid: &["Local"],
    transfers: &[],
    talks: &[],
    steps: &[],
    outcomes: &[("101", "answered")],
    groups: &[],
};

pub const UNANSWERED: Expect = Expect {
    direction: "inbound",
    trunk: Trunk::Called,
    disposition: "NO ANSWER",
    answered_by: None,
    hung_up_by: Some("pbx"),
    abandoned: false,
    key: None,
    recordings: 0,
    notes: &[],
    said: &[],
    unsaid: &["Local"],
    transfers: &[],
    talks: &[],
    steps: &[],
    outcomes: &[],
    groups: &[],
};

/// An inbound call that 101 answers and the caller ends: the others differ from it in what they are about.
pub const PLAIN: Scenario = Scenario {
    name: "answered, ended by caller",
    from: OUTSIDE,
    context: "from-trunk",
    did: SINGLE,
    caller_name: "\"Ivan\"",
    begin: Begin::ByCaller,
    caller: &[Answered, Wait(1500), HangUp],
    phones: &[(101, &[Ring(700), Answer])],
    dialled: FAR,
    org: Some("acme"),
    on: On::Plain,
    hooks: Hooks::Everybodys,
    expect: ANSWERED,
};

/// What is played one after another on each Asterisk.
pub const SCENARIOS: &[&[Scenario]] = &[
    PLAINS,
    crate::transfers::SCENARIOS,
    crate::attended::SCENARIOS,
    crate::ringing::SCENARIOS,
    crate::ends::SCENARIOS,
    crate::queues::SCENARIOS,
    crate::desk::SCENARIOS,
    crate::unsaid::SCENARIOS,
    crate::freepbx::SCENARIOS,
    crate::freepbx_hard::SCENARIOS,
    crate::astlite::SCENARIOS,
];

/// Calls through the shipped example, and through dialplans that differ from it in one thing each.
const PLAINS: &[Scenario] = &[
    PLAIN,
    Scenario {
        name: "answered, ended by callee",
        caller: &[Answered],
        phones: &[(101, &[Ring(700), Answer, Wait(1300), HangUp])],
        expect: Expect { hung_up_by: Some("called"), ..ANSWERED },
        ..PLAIN
    },
    Scenario {
        name: "abandoned",
        caller: &[Ringing, Wait(1500), GiveUp],
        phones: &[(101, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[("101", "cancelled")],
            ..UNANSWERED
        },
        ..PLAIN
    },
    Scenario {
        name: "busy",
        caller: &[Refused],
        phones: &[(101, &[Ring(0), Refuse(486)])],
        expect: Expect { disposition: "BUSY", outcomes: &[("101", "busy")], ..UNANSWERED },
        ..PLAIN
    },
    Scenario {
        name: "rejected",
        caller: &[Refused],
        phones: &[(101, &[Ring(800), Refuse(603)])],
        expect: Expect {
            disposition: "NO ANSWER",
            hung_up_by: Some("called"),
            outcomes: &[("101", "rejected")],
            ..UNANSWERED
        },
        ..PLAIN
    },
    Scenario {
        name: "no answer",
        context: "test-short",
        caller: &[Refused],
        phones: &[(101, &[RingOn])],
        expect: Expect { outcomes: &[("101", "no_answer")], ..UNANSWERED },
        ..PLAIN
    },
    Scenario {
        name: "ring group of two",
        did: GROUP,
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "sales"), ("102", "sales")],
            ..ANSWERED
        },
        ..PLAIN
    },
    Scenario { name: "end by h only", context: "test-h-only", ..PLAIN },
    Scenario { name: "end by handler only", context: "test-handler-only", ..PLAIN },
    Scenario { name: "end by both", context: "test-both", ..PLAIN },
    Scenario {
        name: "blind transfer",
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
        ..PLAIN
    },
    Scenario { name: "hostile caller name", caller_name: HOSTILE_NAME, ..PLAIN },
    CALLER_ONLY,
    Scenario {
        name: "caller only: unanswered",
        caller: &[Ringing, Wait(1500), GiveUp],
        phones: &[(101, &[RingOn])],
        expect: Expect {
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[("101", "cancelled")],
            ..UNANSWERED
        },
        ..CALLER_ONLY
    },
    Scenario {
        name: "caller only: busy",
        caller: &[Refused],
        phones: &[(101, &[Ring(300), Refuse(486)])],
        expect: Expect { disposition: "BUSY", outcomes: &[("101", "busy")], ..UNANSWERED },
        ..CALLER_ONLY
    },
    Scenario {
        name: "caller only: ring group",
        did: GROUP,
        phones: &[(101, &[RingOn]), (102, &[Ring(1200), Answer])],
        expect: Expect {
            answered_by: Some("102"),
            outcomes: &[("101", "elsewhere"), ("102", "answered")],
            groups: &[("101", "sales"), ("102", "sales")],
            ..ANSWERED
        },
        ..CALLER_ONLY
    },
    Scenario {
        name: "caller only: one after the other",
        did: "73512020321",
        caller: &[Answered],
        phones: &[(101, &[RingOn]), (102, &[Ring(900), Answer, Wait(1300), HangUp])],
        expect: Expect {
            answered_by: Some("102"),
            hung_up_by: Some("called"),
            outcomes: &[("101", "no_answer"), ("102", "answered")],
            ..ANSWERED
        },
        ..CALLER_ONLY
    },
    Scenario { name: "through macros", context: "test-macros", on: On::PlainMacro, ..PLAIN },
    Scenario {
        name: "in a macro of five arguments",
        context: "test-macro-arguments",
        on: On::PlainMacro,
        ..PLAIN
    },
    Scenario {
        name: "told by macros alone",
        context: "test-macros-by-hand",
        caller: &[Answered, Wait(4500), HangUp],
        phones: &[
            (101, &[Ring(700), Answer, Wait(1500), Refer("108"), Told, HangUp]),
            (108, &[Ring(900), Answer]),
        ],
        on: On::PlainMacro,
        hooks: Hooks::Callers,
        expect: Expect {
            notes: &["a word about this call"],
            transfers: &[blindly("101", "108")],
            outcomes: &[("101", "answered"), ("108", "answered")],
            groups: &[("101", "sales")],
            ..ANSWERED
        },
        ..PLAIN
    },
    INTERNAL,
    Scenario {
        name: "internal, busy",
        caller: &[Refused],
        phones: &[(102, &[Ring(300), Refuse(486)])],
        expect: Expect {
            direction: "internal",
            trunk: Trunk::None,
            disposition: "BUSY",
            outcomes: &[("102", "busy")],
            ..UNANSWERED
        },
        ..INTERNAL
    },
    Scenario {
        name: "internal, caller gives up",
        caller: &[Ringing, Wait(1500), GiveUp],
        phones: &[(102, &[RingOn])],
        expect: Expect {
            direction: "internal",
            trunk: Trunk::None,
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[("102", "cancelled")],
            ..UNANSWERED
        },
        ..INTERNAL
    },
    OUTBOUND,
    Scenario {
        name: "outbound, ended out there",
        caller: &[Answered],
        phones: &[(191, &[Ring(700), Answer, Wait(1300), HangUp])],
        expect: Expect { hung_up_by: Some("called"), ..OUTBOUND.expect },
        ..OUTBOUND
    },
    Scenario {
        name: "outbound, busy",
        caller: &[Refused],
        phones: &[(191, &[Ring(300), Refuse(486)])],
        expect: Expect {
            direction: "outbound",
            trunk: COMPANY,
            disposition: "BUSY",
            outcomes: &[(FAR, "busy")],
            ..UNANSWERED
        },
        ..OUTBOUND
    },
    Scenario {
        name: "outbound, unanswered",
        caller: &[Ringing, Wait(1500), GiveUp],
        phones: &[(191, &[RingOn])],
        expect: Expect {
            direction: "outbound",
            trunk: COMPANY,
            hung_up_by: Some("caller"),
            abandoned: true,
            outcomes: &[(FAR, "cancelled")],
            ..UNANSWERED
        },
        ..OUTBOUND
    },
];

/// Dial's options belong to somebody else.
const CALLER_ONLY: Scenario =
    Scenario { name: "caller only: answered", context: "test-caller-only", hooks: Hooks::Callers, ..PLAIN };

/// One phone of the company calls another.
pub const INTERNAL: Scenario = Scenario {
    name: "internal, answered",
    from: "101",
    did: "102",
    phones: &[(102, &[Ring(700), Answer])],
    expect: Expect {
        direction: "internal",
        trunk: Trunk::None,
        answered_by: Some("102"),
        outcomes: &[("102", "answered")],
        ..ANSWERED
    },
    ..PLAIN
};

/// A phone of the company calls out through the trunk.
pub const OUTBOUND: Scenario = Scenario {
    name: "outbound, answered",
    from: "101",
    did: FAR,
    phones: &[(191, &[Ring(700), Answer])],
    expect: Expect {
        direction: "outbound",
        trunk: COMPANY,
        answered_by: Some(FAR),
        outcomes: &[(FAR, "answered")],
        ..ANSWERED
    },
    ..PLAIN
};

/// A transfer to a number that nobody has, with the hooks; see [`REFUSED_PLAIN`].
pub const REFUSED: Scenario = Scenario {
    name: "refused blind transfer",
    caller: &[Answered],
    phones: &[(101, &[Ring(500), Answer, Wait(1000), Refer("999"), Told, Wait(1000), HangUp])],
    expect: Expect { hung_up_by: Some("called"), ..ANSWERED },
    ..PLAIN
};

/// The same call on a dialplan without hooks: whatever the phone is told here is right.
pub const REFUSED_PLAIN: Scenario = Scenario { context: "test-plain", ..REFUSED };

/// The server goes away while they talk and is back after the end.
pub const OUTAGE: Scenario =
    Scenario { name: "server away at the end", caller: &[Answered, Wait(5000), HangUp], ..PLAIN };

/// A group of ten of whom the first picks up.
pub const TEN: Scenario = Scenario {
    name: "ring group of ten",
    did: ALL,
    caller: &[Answered, Wait(1000), HangUp],
    phones: &[
        (101, &[Ring(1500), Answer]),
        (102, &[RingOn]),
        (103, &[RingOn]),
        (104, &[RingOn]),
        (105, &[RingOn]),
        (106, &[RingOn]),
        (107, &[RingOn]),
        (108, &[RingOn]),
        (109, &[RingOn]),
        (110, &[RingOn]),
    ],
    expect: Expect {
        outcomes: &[
            ("101", "answered"),
            ("102", "elsewhere"),
            ("103", "elsewhere"),
            ("104", "elsewhere"),
            ("105", "elsewhere"),
            ("106", "elsewhere"),
            ("107", "elsewhere"),
            ("108", "elsewhere"),
            ("109", "elsewhere"),
            ("110", "elsewhere"),
        ],
        groups: &[
            ("101", "all"),
            ("102", "all"),
            ("103", "all"),
            ("104", "all"),
            ("105", "all"),
            ("106", "all"),
            ("107", "all"),
            ("108", "all"),
            ("109", "all"),
            ("110", "all"),
        ],
        ..ANSWERED
    },
    ..PLAIN
};

/// A call that was really made: what Asterisk says of it and what everybody wrote down.
pub struct Played {
    pub truth: Truth,
    pub caller: Diary,
    /// In the order of the scenario's phones.
    pub phones: Vec<Diary>,
}

/// Whether `name` has one of the parts of `filter`, which are parted by `|`.
pub fn is_named(name: &str, filter: &str) -> bool {
    filter.split('|').any(|part| name.contains(part))
}

impl Scenario {
    /// Whether its name has one of the parts of `filter`, which are parted by `|`.
    pub fn is_named(&self, filter: &str) -> bool {
        is_named(self.name, filter)
    }

    /// Makes the call on `pbx` and waits until it is over; the phones' logs go to a directory under `logs`.
    pub fn play(&self, pbx: &Pbx, logs: PathBuf) -> Result<Played> {
        let mark = cel::mark(&pbx.cel());
        let mut phones = Vec::new();
        for (number, act) in self.phones {
            phones.push(Phone::at(pbx, *number, act).start(pbx, &logs)?);
        }
        let caller = match self.from {
            OUTSIDE => Phone::outside(OUTSIDE, self.context, self.did, self.caller),
            extension => Phone::inside(extension, self.did, self.caller),
        };
        let caller = match self.begin {
            Begin::ByCaller => caller.named(self.caller_name).start(pbx, &logs)?.done()?,
            Begin::Console(command) => pbx.console(command).map(|_| Diary::default())?,
            Begin::CallFile(text) => pbx.call_file(text).map(|()| Diary::default())?,
            Begin::Manager(action) => pbx.manager(action).map(|()| Diary::default())?,
        };
        let phones = phones.iter_mut().map(Running::done).collect::<Result<Vec<_>>>()?;
        let mut truth = cel::wait_for_call(&pbx.cel(), mark)?;
        if self.begin != Begin::ByCaller {
            truth.made_for(self.from);
        }
        for ((number, _), phone) in self.phones.iter().zip(&phones) {
            truth.invited(&pbx::endpoint(*number), phone.at("INVITE"));
        }
        for (_, trunk) in FAR_ENDS {
            truth.dialled(trunk, self.dialled);
        }
        match self.hooks {
            Hooks::Everybodys => {}
            Hooks::Callers => truth.seen_by_the_caller(),
            Hooks::CallersAndAmiAtTimes => truth.seen_by_the_caller_at_times(),
        }
        Ok(Played { truth, caller, phones })
    }
}
