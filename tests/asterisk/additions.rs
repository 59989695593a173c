//! The lines that `dialplan/ast-lite/additions.conf` tells an administrator to add, for the skeleton of ast-lite: what is
//! shipped is what is tried.
//!
//! They stand in that file's comments, four spaces in and each on a line of its own; docs/ast-lite.md has the same ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What a line begins with, and the mark that holds its place in the skeleton.
const PLACES: [(&str, &str); 13] = [
    ("DialOpts=", "@ADDED_DIALOPTS@"),
    ("same => n(return)", "@ADDED_NEWCALL@"),
    ("same => n,Macro(calljournal-record", "@ADDED_RECORDCALL@"),
    ("same => n(Skip)", "@ADDED_RECORDCALL_END@"),
    ("same => n(CallLimit)", "@ADDED_DIAL_LOCAL@"),
    ("same => n,Dial(SIP/${ARG1}/", "@ADDED_DIAL_SIPTRUNK@"),
    ("exten => h,1", "@ADDED_H@"),
    ("exten => s,1,Macro(calljournal-newCall", "@ADDED_FAILOVER@"),
    ("same => n,GotoIf($[\"${SIPPEER(", "@ADDED_FAILOVER_STATUS@"),
    ("same => n,Dial(SIP/${ARG2}/", "@ADDED_FAILOVER_DIAL@"),
    ("same => n(remote)", "@ADDED_FAILOVER_REMOTE@"),
    ("same => n,Macro(calljournal-step,queue", "@ADDED_QUEUE@"),
    ("same => n,Macro(calljournal-step,menu", "@ADDED_MENU@"),
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
        found.push((*mark, without_chan_sip(line)));
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

/// The same line for these Asterisks, which have no chan_sip: a pbx that is `down` is one that SIPPEER() does not find.
fn without_chan_sip(line: &str) -> String {
    let dials = ["${ARG1}/${ARG2}", "${ARG2}/${ARG1}", "${ARG3}/${ARG1}"];
    let line = dials.iter().fold(line.to_owned(), |line, dial| {
        let (device, number) = dial.split_once('/').unwrap_or_default();
        line.replace(&format!("SIP/{dial}"), &format!("PJSIP/{number}@{device}"))
    });
    line.replace(r#""${SIPPEER(${ARG2},status):0:2}" != "OK""#, r#""${ARG2}" = "down""#)
}
