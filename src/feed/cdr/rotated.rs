//! A file that grows is put aside from time to time, and a new one is begun: `Master.csv.1`, `Master.csv-20261125`.
//!
//! Knows the names that logrotate and Asterisk's own `logger rotate` give, also to what is compressed then.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Files that are read beside the one that was named, at most: the newest of them.
const MOST: usize = 8;

/// How gzip names what it made.
const PACKED: &str = ".gz";

/// The file `path` and those that were put aside from it and changed since then, the oldest first; none where there is
/// no such file and never was.
#[must_use]
pub fn since(path: &Path, since: Timestamp) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return vec![path.to_owned()];
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut aside: Vec<(Timestamp, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_aside = entry.file_name().to_str().is_some_and(|other| {
            // What is being compressed is still there, whole.
            let still = other.strip_suffix(PACKED).is_some_and(|before| dir.join(before).exists());
            is_put_aside(name, other) && !still
        });
        let changed = || Timestamp::try_from(entry.metadata().ok()?.modified().ok()?).ok();
        if let Some(changed) = is_aside.then(changed).flatten().filter(|changed| *changed >= since) {
            aside.push((changed, entry.path()));
        }
    }
    aside.sort();
    let newest = aside.len().saturating_sub(MOST);
    let mut files: Vec<PathBuf> = aside.into_iter().skip(newest).map(|(_, path)| path).collect();
    files.extend(path.exists().then(|| path.to_owned()));
    files
}

/// Whether `other` is `name` with a number or a date behind it, and maybe compressed.
fn is_put_aside(name: &str, other: &str) -> bool {
    let other = other.strip_suffix(PACKED).unwrap_or(other);
    let number = other.strip_prefix(name).and_then(|rest| rest.strip_prefix(['.', '-']));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_aside_is_known_by_its_name() {
        for (other, is) in [
            ("Master.csv.1", true),
            ("Master.csv-20261125", true),
            ("Master.csv-2026-11-25", true),
            ("Master.csv", false),
            ("Master.csv.1.gz", true),
            ("Master.csv-20261125.gz", true),
            ("Master.csv.gz", false),
            ("Master.csv.1.gz.gz", false),
            ("Master.csv.1.bz2", false),
            ("Master.csv.bak", false),
            ("Master.csv.", false),
            ("Other.csv.1", false),
        ] {
            assert_eq!(is_put_aside("Master.csv", other), is, "{other}");
        }
    }

    #[test]
    fn a_file_that_was_put_aside_is_read_before_the_one_in_its_place_and_may_be_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(since(&path("Master.csv"), Timestamp::UNIX_EPOCH).is_empty());
        std::fs::write(path("Master.csv.1"), "x").unwrap();
        assert_eq!(since(&path("Master.csv"), Timestamp::UNIX_EPOCH), [path("Master.csv.1")]);
        std::fs::write(path("Master.csv"), "x").unwrap();
        let both = [path("Master.csv.1"), path("Master.csv")];
        assert_eq!(since(&path("Master.csv"), Timestamp::UNIX_EPOCH), both);
        assert_eq!(since(&path("Master.csv"), Timestamp::MAX), [path("Master.csv")]);
        std::fs::write(path("Master.csv.1.gz"), "x").unwrap();
        assert_eq!(since(&path("Master.csv"), Timestamp::UNIX_EPOCH), both, "it is being compressed");
        std::fs::remove_file(path("Master.csv.1")).unwrap();
        let packed = [path("Master.csv.1.gz"), path("Master.csv")];
        assert_eq!(since(&path("Master.csv"), Timestamp::UNIX_EPOCH), packed);
    }
}
