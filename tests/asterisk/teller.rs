//! Who tells the journal of the calls: the dialplan, Asterisk's manager interface, or both, also where the latter is cut.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::cut;
use crate::journal::Journal;
use crate::pbx::Pbx;

/// Who tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Teller {
    #[default]
    Dialplan,
    /// The dialplan speaks to nobody, and what it writes down nobody reads.
    Ami,
    Both,
    /// Both, while AMI is cut every few seconds and each Asterisk is restarted in the middle.
    Cut,
}

/// How what is wrong begins where only the dialplan could have known: that a message was left, who was to be called
/// back, and so on.
const DIALPLANS_OWN: [&str; 11] = [
    "direction is",
    "trunk is",
    "org is",
    "end of key is",
    "number of recordings is",
    "notes is",
    "group of",
    "steps is",
    "the story does not",
    "abandoned is true, not false",
    "source.number is null",
];

/// Calls that are about the dialplan alone: nobody tells of them while the server is away, or AMI does before it is asked.
const DIALPLANS_CALLS: [&str; 4] = [
    "server away at the end",
    "loss: no server while it ends",
    "loss: a long call that is asked about lives on",
    "loss: an end that nobody tells",
];

impl Teller {
    pub fn named(name: &str) -> Result<Teller> {
        Ok(match name {
            "dialplan" => Teller::Dialplan,
            "ami" => Teller::Ami,
            "both" => Teller::Both,
            "cut" => Teller::Cut,
            other => bail!("--told-by {other}: there are dialplan, ami, both and cut"),
        })
    }

    /// Whether the call of this name can be judged.
    pub fn can_tell(self, name: &str) -> bool {
        let ami_was_there = self.by_ami() && name.ends_with("nobody tells");
        !(ami_was_there || self == Teller::Ami && DIALPLANS_CALLS.contains(&name))
    }

    pub fn by_ami(self) -> bool {
        self != Teller::Dialplan
    }

    /// Has the journal listen to the manager interface of `pbx`.
    pub fn connect(self, journal: &Journal, pbx: &Pbx) -> Result<()> {
        let port = if self.is_cut() { cut::in_front_of(pbx.ami)? } else { pbx.ami };
        journal.listen_to(&pbx.name, port)
    }

    pub fn is_cut(self) -> bool {
        self == Teller::Cut
    }

    pub fn by_dialplan(self) -> bool {
        self != Teller::Ami
    }

    /// Takes out of `wrong` what this one cannot know, and counts it under a word of its own.
    pub fn forgive(self, wrong: &mut Vec<String>, unknown: &mut BTreeMap<&'static str, usize>) {
        if self.by_ami() && self.by_dialplan() {
            // AMI tells of queues, lines and places of which the dialplan says nothing.
            let more = |wrong: &String| {
                wrong.starts_with("steps is [\"queue") && wrong.ends_with("not []")
                    || wrong.starts_with("steps is [\"parked 701 gave_up")
                    || wrong.starts_with("trunk is \"") && wrong.ends_with("not null")
            };
            wrong.retain(|wrong| !more(wrong));
        }
        if self != Teller::Ami {
            return;
        }
        wrong.retain(|wrong| {
            // Who hangs up while voicemail speaks has not given up on the phone that rang before it.
            let voicemail = wrong.ends_with("is \"cancelled\", not \"no_answer\"").then_some(&"voicemail");
            let own = DIALPLANS_OWN.iter().find(|own| wrong.starts_with(**own)).or(voicemail);
            if let Some(own) = own {
                *unknown.entry(own).or_default() += 1;
            }
            own.is_none()
        });
    }
}
