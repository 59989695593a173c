//! Writes down the events of a call that was played, so that the fast tests can fold it again without an Asterisk.
//!
//! One event a line, as `show --events --json` has it but for what is kept for debugging alone, below the name of the
//! Asterisk that told them.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::journal::Journal;
use crate::pbx::Pbx;

/// Writes the events of the journal's call `id` to `directory/<pbx>/<scenario>.jsonl`.
pub fn record(directory: &Path, journal: &Journal, pbx: &Pbx, scenario: &str, id: &str) -> Result<()> {
    let mut lines = String::new();
    for mut event in journal.events(id)? {
        if let Some(fields) = event.as_object_mut() {
            fields.remove("agi");
        }
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    let below = directory.join(&pbx.name);
    fs::create_dir_all(&below)?;
    fs::write(below.join(format!("{}.jsonl", file_name(scenario))), lines)?;
    Ok(())
}

/// `freepbx: blind transfer, to outside` as `freepbx-blind-transfer-to-outside`.
fn file_name(scenario: &str) -> String {
    let words =
        scenario.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}
