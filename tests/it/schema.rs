//! The schema is the same on both backends, and is what `src/store/schema.rs` says.

use std::collections::BTreeSet;
use std::path::Path;

use calljournal::store::Store;

use crate::{cluster, sqlite};

const SCHEMA: &str = include_str!("../../src/store/schema.rs");

/// `table.column: type`, as `schema.rs` has it.
fn declared() -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    let mut table = "";
    for line in SCHEMA.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = name;
        } else if let Some((name, kind)) =
            line.trim_end_matches(',').split_once(" -> ").filter(|_| line.ends_with(','))
        {
            columns.insert(format!("{table}.{name}: {kind}"));
        }
    }
    columns
}

/// The same, as a database has it.
fn there(url: &str, sql: &str) -> BTreeSet<String> {
    drop(Store::open(url).unwrap());
    let rows = sqlite::texts(&mut sqlite::connect(url), sql);
    rows.iter()
        .map(|row| {
            let mut words = row.split(' ');
            let mut next = || words.next().unwrap();
            let (column, null, kind) = (next(), next(), next());
            let kind = match kind.to_lowercase().as_str() {
                "bigint" => "BigInt",
                // The one that SQLite knows as its row's own number.
                "integer" if column == "events.id" => "BigInt",
                "integer" => "Integer",
                "boolean" => "Bool",
                "text" => "Text",
                other => panic!("{column} is of type {other}"),
            };
            if null == "null" { format!("{column}: Nullable<{kind}>") } else { format!("{column}: {kind}") }
        })
        .collect()
}

#[test]
fn sqlite_has_the_columns_that_the_program_knows() {
    let dir = tempfile::tempdir().unwrap();
    let columns =
        "SELECT t.name || '.' || c.name || CASE WHEN c.\"notnull\" OR c.pk THEN ' not ' ELSE ' null ' END
        || c.type AS s FROM sqlite_master t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name <> 'sqlite_sequence'";
    assert_eq!(there(&sqlite::url(dir.path()), columns), declared());
}

#[test]
fn postgresql_has_the_columns_that_the_program_knows() {
    let Some(cluster) = cluster::shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let columns = "SELECT table_name || '.' || column_name
        || CASE is_nullable WHEN 'NO' THEN ' not ' ELSE ' null ' END || data_type AS s
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";
    assert_eq!(there(&cluster.database(dir.path()), columns), declared());
}

#[test]
fn both_backends_have_the_same_versions() {
    let versions = |backend: &str| -> BTreeSet<String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(backend);
        let all = std::fs::read_dir(dir).unwrap();
        all.map(|version| version.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(versions("sqlite"), versions("postgres"));
}
