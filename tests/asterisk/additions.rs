//! The lines that `dialplan/ast-lite/additions.conf` tells an administrator to add, for the skeleton of ast-lite: what is
//! shipped is what is tried.
//!
//! They stand in that file's comments, four spaces in and each on a line of its own; docs/ast-lite.md has the same ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What a line begins with, and the mark that holds its place in the skeleton.
const PLACES: [(&str, &str); 7] = [
    ("DialOpts=", "@ADDED_DIALOPTS@"),
    ("same => n(return)", "@ADDED_NEWCALL@"),
    ("same => n,Macro(calljournal-record", "@ADDED_RECORDCALL@"),
    ("same => n(Skip)", "@ADDED_RECORDCALL_END@"),
    ("same => n(CallLimit)", "@ADDED_DIAL_LOCAL@"),
    ("same => n,Dial(SIP/", "@ADDED_DIAL_SIPTRUNK@"),
    ("exten => h,1", "@ADDED_H@"),
];

/// Each mark with its line.
pub fn additions() -> Result<Vec<(&'static str, String)>> {
    let read = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let (shipped, page) = (read("dialplan/ast-lite/additions.conf")?, read("docs/ast-lite.md")?);
    let mut found = Vec::new();
    for line in shipped.lines().filter_map(|line| line.strip_prefix(";    ")).filter(|line| is_dialplan(line))
    {
        let place = PLACES.iter().find(|(begins, _)| line.starts_with(begins));
        let (_, mark) = place.with_context(|| format!("additions.conf: nobody tries the line {line:?}"))?;
        ensure!(
            page.lines().any(|other| other.trim() == line),
            "docs/ast-lite.md does not have the line {line:?}"
        );
        // These Asterisks have no chan_sip.
        found.push((*mark, line.replace("SIP/${ARG1}/${ARG2}", "PJSIP/${ARG2}@${ARG1}")));
    }
    ensure!(
        found.len() == PLACES.len(),
        "additions.conf has {} lines to add, not {}",
        found.len(),
        PLACES.len()
    );
    Ok(found)
}

fn is_dialplan(line: &str) -> bool {
    ["DialOpts=", "same =>", "exten =>"].iter().any(|begins| line.starts_with(begins))
}
