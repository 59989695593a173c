//! `calljournal migrate`: the database's schema, brought up to date or looked at.

use super::Answer;
use crate::call::words::Words;
use crate::store::{Store, StoreError, shown};

/// Brings the schema up to date, or with `check` says what is pending; nothing pending is well.
pub fn migrate(url: &str, check: bool, words: &Words) -> anyhow::Result<Answer> {
    let place = shown(url);
    let said =
        |id: &str, version: &str| words.say(id, &[("place", (&place).into()), ("version", version.into())]);
    let (versions, well, what) = if check {
        match Store::pending(url) {
            Ok(versions) => (versions.clone(), versions.is_empty(), "migrate-pending"),
            Err(StoreError::Missing(_)) => {
                return Ok(Answer { text: said("migrate-absent", ""), well: false });
            }
            Err(e) => return Err(e.into()),
        }
    } else {
        (Store::migrate(url)?, true, "migrate-done")
    };
    let text = match versions.as_slice() {
        [] => said("migrate-current", ""),
        versions => versions.iter().map(|version| said(what, version)).collect::<Vec<_>>().join("\n"),
    };
    Ok(Answer { text, well })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::paper::Paper;
    use super::*;
    use crate::call::words::Language;

    #[test]
    fn what_is_pending_is_told_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/j.db", dir.path().display());
        let words = Paper::plain(Language::En).words;
        let absent = migrate(&url, true, &words).unwrap();
        assert!(!absent.well && absent.text.contains("does not exist"), "{}", absent.text);
        let done = migrate(&url, false, &words).unwrap();
        assert!(done.well && done.text.contains("version 00000000000001 was brought in"), "{}", done.text);
        for check in [true, false] {
            let told = migrate(&url, check, &words).unwrap();
            assert!(told.well && told.text.ends_with("up to date"), "{}", told.text);
        }
        let told = migrate(&url, true, &Paper::plain(Language::Ru).words).unwrap();
        assert!(told.text.ends_with("/j.db: схема актуальна"), "{}", told.text);
    }
}
