//! `calljournal migrate`: the database's schema, brought up to date or looked at.

use super::Answer;
use crate::store::{Store, StoreError, shown};

/// Brings the schema up to date, or with `check` says what is pending; nothing pending is well.
pub fn migrate(url: &str, check: bool) -> anyhow::Result<Answer> {
    let place = shown(url);
    let (versions, well, what) = if check {
        match Store::pending(url) {
            Ok(versions) => (versions.clone(), versions.is_empty(), "is pending"),
            Err(StoreError::Missing(_)) => {
                let text = format!("{place} does not exist yet: `calljournal migrate` makes it");
                return Ok(Answer { text, well: false });
            }
            Err(e) => return Err(e.into()),
        }
    } else {
        (Store::migrate(url)?, true, "was brought in")
    };
    let text = match versions.as_slice() {
        [] => format!("{place}: the schema is up to date"),
        versions => {
            let lines: Vec<String> =
                versions.iter().map(|version| format!("{place}: version {version} {what}")).collect();
            lines.join("\n")
        }
    };
    Ok(Answer { text, well })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_is_told_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/j.db", dir.path().display());
        let absent = migrate(&url, true).unwrap();
        assert!(!absent.well && absent.text.contains("does not exist"), "{}", absent.text);
        let done = migrate(&url, false).unwrap();
        assert!(done.well && done.text.contains("version 00000000000001 was brought in"), "{}", done.text);
        for check in [true, false] {
            let told = migrate(&url, check).unwrap();
            assert!(told.well && told.text.ends_with("up to date"), "{}", told.text);
        }
    }
}
