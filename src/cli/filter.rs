//! Which calls are meant: the conditions that `calls` and `export` have in common.

use clap::{Args, ValueEnum};
use jiff::Zoned;

use super::when::{self, Edge};
use crate::call::{Direction, Disposition};
use crate::store::filter::{Filter, NumberPattern};

/// The conditions as they are typed; a call must meet all of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which calls")]
pub struct Which {
    /// Calls that began then or later: `today`, `yesterday`, `2026-11-23`, `14:30`, `2h` (ago), `7d`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Calls that began before the end of it: `--until 2026-11-23` has that day's calls.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Calls of this number: who called, who was called, or a phone that rang.
    ///
    /// A number matches where it ends like this one, so 101 is 101 and 202101 as well; of more than ten digits
    /// the last ten count, which makes +7 919 …, 8 919 … and 919 … one number. Spaces, brackets and hyphens do
    /// not matter. `*` stands for anything: `919*` begins so, `*919*` has it anywhere.
    #[arg(long, value_name = "NUMBER")]
    number: Option<NumberPattern>,
    /// Calls of this organisation, as the dialplan names it.
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// Calls on this Asterisk.
    #[arg(long, value_name = "NAME")]
    pbx: Option<String>,
    /// Calls of this direction.
    #[arg(long, value_enum)]
    direction: Option<Way>,
    /// Calls that came to this.
    #[arg(long, value_enum)]
    disposition: Option<Came>,
    /// Calls from outside that are over and that nobody answered.
    #[arg(long)]
    missed: bool,
}

/// `in`, `out`, `int`, as in the dialplan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    #[value(alias = "inbound")]
    In,
    #[value(alias = "outbound")]
    Out,
    #[value(alias = "internal")]
    Int,
    Unknown,
}

/// Asterisk's words, as one types them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum Came {
    Answered,
    NoAnswer,
    Busy,
    Failed,
    Congestion,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// For the store.
    pub filter: Filter,
    /// The options as they were typed, for the sentence that says that there is no such call.
    pub said: Vec<String>,
}

impl Which {
    /// The conditions at `now`, whose zone is that of the times.
    ///
    /// # Errors
    /// Where a time is none, or `since` is not before `until`.
    pub fn asked(self, now: &Zoned) -> anyhow::Result<Asked> {
        let read = |option: &str, text: &Option<String>, edge| {
            let read = |text: &String| when::parse(text, now, edge);
            text.as_ref().map(read).transpose().map_err(|e| anyhow::anyhow!("{option}: {e}"))
        };
        let filter = Filter {
            since: read("--since", &self.since, Edge::Begin)?,
            until: read("--until", &self.until, Edge::End)?,
            number: self.number.clone(),
            org: self.org.clone(),
            pbx: self.pbx.clone(),
            direction: self.direction.map(Way::direction),
            disposition: self.disposition.map(Came::disposition),
            missed: self.missed,
        };
        if let (Some(since), Some(until)) = (filter.since, filter.until) {
            anyhow::ensure!(since < until, "--since is not before --until: no call can be between them");
        }
        Ok(Asked { filter, said: self.said() })
    }

    fn said(self) -> Vec<String> {
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let said = [
            self.since.map(|text| format!("--since {text}")),
            self.until.map(|text| format!("--until {text}")),
            self.number.map(|number| format!("--number {number}")),
            self.org.map(|org| format!("--org {org}")),
            self.pbx.map(|pbx| format!("--pbx {pbx}")),
            self.direction.map(|way| format!("--direction {}", name(&|| way.to_possible_value()))),
            self.disposition.map(|came| format!("--disposition {}", name(&|| came.to_possible_value()))),
            self.missed.then(|| "--missed".to_owned()),
        ];
        said.into_iter().flatten().collect()
    }
}

impl Way {
    fn direction(self) -> Direction {
        match self {
            Way::In => Direction::Inbound,
            Way::Out => Direction::Outbound,
            Way::Int => Direction::Internal,
            Way::Unknown => Direction::Unknown,
        }
    }
}

impl Came {
    fn disposition(self) -> Disposition {
        match self {
            Came::Answered => Disposition::Answered,
            Came::NoAnswer => Disposition::NoAnswer,
            Came::Busy => Disposition::Busy,
            Came::Failed => Disposition::Failed,
            Came::Congestion => Disposition::Congestion,
        }
    }
}
