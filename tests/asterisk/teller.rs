//! Who tells the journal of the calls: the dialplan, Asterisk's manager interface, or both.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// Who tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Teller {
    #[default]
    Dialplan,
    /// The dialplan speaks to nobody, and what it writes down nobody reads.
    Ami,
    Both,
}

/// How what is wrong begins where only the dialplan could have known.
const DIALPLANS_OWN: [&str; 9] = [
    "direction is",
    "trunk is",
    "org is",
    "end of key is",
    "number of recordings is",
    "notes is",
    "group of",
    "steps is",
    "the story does not",
];

impl Teller {
    pub fn named(name: &str) -> Result<Teller> {
        Ok(match name {
            "dialplan" => Teller::Dialplan,
            "ami" => Teller::Ami,
            "both" => Teller::Both,
            other => bail!("--told-by {other}: there are dialplan, ami and both"),
        })
    }

    pub fn by_ami(self) -> bool {
        self != Teller::Dialplan
    }

    pub fn by_dialplan(self) -> bool {
        self != Teller::Ami
    }

    /// Takes out of `wrong` what this one cannot know, and counts it under a word of its own.
    pub fn forgive(self, wrong: &mut Vec<String>, unknown: &mut BTreeMap<&'static str, usize>) {
        if self == Teller::Both {
            // AMI tells of queues and lines of which the dialplan says nothing.
            let more = |wrong: &String| {
                wrong.starts_with("steps is [\"queue") && wrong.ends_with("not []")
                    || wrong.starts_with("trunk is \"") && wrong.ends_with("not null")
            };
            wrong.retain(|wrong| !more(wrong));
        }
        if self != Teller::Ami {
            return;
        }
        wrong.retain(|wrong| {
            let own = DIALPLANS_OWN.iter().find(|own| wrong.starts_with(**own));
            if let Some(own) = own {
                *unknown.entry(own).or_default() += 1;
            }
            own.is_none()
        });
    }
}
