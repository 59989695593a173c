//! The house as it is drawn: who may import what, who may ask for the present, who may know SQL.
//!
//! The import table is read from the head of `src/lib.rs`, so what is documented is what is held. Only code
//! counts: comments, texts and `mod tests` are taken out first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `dir`, with its path below it.
fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let top = root().join(dir);
    let mut found = Vec::new();
    walk(&top, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&top).unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

/// What a module may import.
#[derive(Debug, Clone, PartialEq, Eq)]
enum May {
    Only(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

impl May {
    fn import(&self, module: &str) -> bool {
        match self {
            May::Only(these) => these.contains(module),
            May::AllBut(these) => !these.contains(module),
        }
    }
}

fn names(cell: &str) -> BTreeSet<String> {
    cell.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Reads the table; a row may speak of several modules or of all files of a name.
fn table(doc: &str) -> BTreeMap<String, May> {
    let rows = doc.lines().filter_map(|line| line.strip_prefix("//! |")).skip(2);
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let may = match cells[1] {
            "nothing" => May::Only(BTreeSet::new()),
            "everything" => May::AllBut(BTreeSet::new()),
            cell => match cell.strip_prefix("everything but ") {
                Some(these) => May::AllBut(names(these)),
                None => May::Only(names(cell)),
            },
        };
        for name in names(cells[0]) {
            assert!(table.insert(name.clone(), may.clone()).is_none(), "{name} is in the table twice");
        }
    }
    table
}

/// The code alone: without comments, without what stands in quotes, without `mod tests`.
fn code(text: &str) -> String {
    let is_tests = |at: &usize| {
        let below = text[*at..].lines().find(|line| !line.starts_with('#'));
        below.is_some_and(|line| line.starts_with("mod tests {"))
    };
    let tests = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(is_tests);
    let text = &text[..tests.unwrap_or(text.len())];
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            end_of_text(rest)
        } else if c == '\'' && (rest.starts_with("'\"'") || rest.starts_with("'\\")) {
            rest[2..].find('\'').map_or(rest.len(), |at| at + 3)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[skip..];
    }
    out
}

fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Where a file stands: `feed/agi/wire.rs` is `[feed, agi, wire]`, a `mod.rs` is its directory.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").components().map(|c| c.as_os_str().to_str().unwrap().to_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| &text[..end])
}

/// The first names of a use tree: one, or those of a group with whatever groups are in it.
fn first_names(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let Some(group) = tree.strip_prefix('{') else {
        return identifier(tree).map(str::to_owned).into_iter().collect();
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.extend(identifier(group[start..at].trim_start()).map(str::to_owned));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// The modules of the crate that `code` names, by `crate::` or by climbing up with `super::`.
fn imports(path: &[String], code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in ["crate::", "super::"] {
        for (at, _) in code.match_indices(word) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') || code[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &code[at..];
            let mut here: Vec<String> = path.to_vec();
            if let Some(tree) = rest.strip_prefix("crate::") {
                (rest, here) = (tree, Vec::new());
            }
            while let Some(above) = rest.strip_prefix("super::") {
                here.pop();
                rest = above;
            }
            match here.first() {
                None => found.extend(first_names(rest)),
                Some(top) => found.extend([top.clone()]),
            }
        }
    }
    found
}

/// What one file does that it may not.
fn trespasses(file: &Path, text: &str, table: &BTreeMap<String, May>) -> Vec<String> {
    let (path, code) = (module_path(file), code(text));
    let top = path.first().cloned().unwrap_or_default();
    let name = file.file_name().unwrap().to_str().unwrap();
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("src/{}: {what}", file.display()));

    if text.lines().count() > LONGEST_FILE {
        say(format!("has more than {LONGEST_FILE} lines: part it"));
    }
    if name != "clock.rs" && code.contains("::now(") {
        say("asks for the present: take a Clock, a time or a Stopwatch".to_owned());
    }
    let knows = |word: &str| {
        code.match_indices(word).any(|(at, _)| {
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                && !code[at + word.len()..].starts_with(|c: char| c.is_alphanumeric())
        })
    };
    if top != "store" && ["diesel", "libsqlite3_sys", "mysql"].iter().any(|word| knows(word)) {
        say("knows diesel: ask the store".to_owned());
    }
    if name != "wire.rs" && knows("nom") {
        say("knows nom: that belongs into a wire.rs".to_owned());
    }
    if top == "lib" || top == "main" {
        return found;
    }
    let rule = table.get(name).or_else(|| table.get(&top));
    let Some(may) = rule else {
        say(format!("{top} is not in the table of lib.rs"));
        return found;
    };
    let own = |module: &str| module == top && !table.contains_key(name);
    for module in imports(&path, &code) {
        if !own(&module) && !may.import(&module) {
            say(format!("may not import {module}"));
        }
    }
    found
}

#[test]
fn the_code_keeps_to_the_table_at_the_head_of_lib_rs() {
    let table = table(&std::fs::read_to_string(root().join("src/lib.rs")).unwrap());
    assert!(table.len() > 10, "{table:?}");
    let sources = sources("src");
    let found: Vec<String> = sources.iter().flat_map(|(file, text)| trespasses(file, text, &table)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_the_table_names_is_there() {
    let table = table(&std::fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let mut there = BTreeSet::new();
    for (file, _) in sources("src") {
        there.insert(file.file_name().unwrap().to_str().unwrap().to_owned());
        there.extend(module_path(&file).first().cloned());
    }
    let gone: Vec<&String> = table.keys().filter(|name| !there.contains(*name)).collect();
    assert!(gone.is_empty(), "the table of lib.rs speaks of what is not there: {gone:?}");
}

#[test]
fn every_metric_that_is_counted_is_described() {
    let described = std::fs::read_to_string(root().join("src/observe.rs")).unwrap();
    for (file, text) in sources("src").iter().filter(|(file, _)| *file != Path::new("observe.rs")) {
        for (at, _) in text.match_indices("\"calljournal_") {
            let name = identifier(&text[at + 1..]).unwrap();
            let described = described.contains(&format!("\"{name}\""));
            assert!(described, "src/{}: {name} is not described in observe.rs", file.display());
        }
    }
}

#[test]
fn a_trespass_is_seen_however_it_is_written() {
    let table = table(
        "//! | module | may import |\n//! |---|---|\n//! | event, wire.rs | nothing |\n//! | feed | event |\n\
         //! | cli | everything but api |\n",
    );
    let seen = |file: &str, text: &str| trespasses(Path::new(file), text, &table).join("; ");
    for bad in [
        "use crate::store::Store;",
        "use crate::{event::{Event, Kind}, store};",
        "use super::super::store::Store;",
        "fn f() { crate::store::open() }",
        "let quote = '\"'; use crate::store;",
    ] {
        assert_eq!(seen("feed/agi/mod.rs", bad), "src/feed/agi/mod.rs: may not import store", "{bad}");
    }
    for good in [
        "use crate::event::Event; use super::spool; use crate::feed::spool;",
        "// crate::store\nlet a = \"crate::store \\\" crate::store\";",
        "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n",
    ] {
        assert_eq!(seen("feed/agi/mod.rs", good), "", "{good}");
    }
    assert!(seen("feed/agi/wire.rs", "use super::session;").contains("may not import feed"));
    assert!(seen("feed/agi/session.rs", "use nom::Parser;").contains("knows nom"));
    assert!(seen("feed/spool.rs", "use diesel::prelude::*;").contains("knows diesel"));
    assert!(seen("event.rs", "let t = Timestamp::now();").contains("asks for the present"));
    assert!(seen("utils.rs", "").contains("utils is not in the table"));
    assert_eq!(seen("cli/mod.rs", "use crate::store;"), "");
    assert!(seen("cli/mod.rs", "use crate::{api};").contains("may not import api"));
    assert!(seen("event.rs", &"\n".repeat(601)).contains("600 lines"));
}
