//! What was asked for on the command line, and the databases that were.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cluster;
use crate::teller::Teller;

/// What was asked for on the command line.
pub struct Wishes {
    /// Part of the names of the calls to be played; several, with | between them.
    pub filter: String,
    pub stores: Vec<Store>,
    pub oracle_only: bool,
    pub keep: bool,
    /// Where the events of the calls go.
    pub record: Option<PathBuf>,
    pub told_by: Teller,
}

impl Wishes {
    pub fn read(arguments: impl Iterator<Item = String>) -> Wishes {
        let mut wishes = Wishes {
            filter: String::new(),
            stores: Vec::new(),
            oracle_only: false,
            keep: false,
            record: None,
            told_by: Teller::default(),
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--oracle-only" => wishes.oracle_only = true,
                "--keep" => wishes.keep = true,
                "--record" => wishes.record = arguments.next().map(PathBuf::from),
                "--told-by" => {
                    let named = Teller::named(&arguments.next().unwrap_or_default());
                    wishes.told_by = named.unwrap_or_else(|error| panic!("{error}"));
                }
                "--store" => wishes.stores.extend(arguments.next().map(|name| Store::named(&name))),
                // Cargo hands every test program the same flags; the first plain word is the filter.
                flag if flag.starts_with("--") => {}
                word if wishes.filter.is_empty() => word.clone_into(&mut wishes.filter),
                _ => {}
            }
        }
        if wishes.stores.is_empty() {
            wishes.stores = vec![Store::Sqlite, Store::Postgres];
        }
        // Without a journal there is no store.
        wishes.stores.truncate(if wishes.oracle_only { 1 } else { usize::MAX });
        wishes
    }
}

/// Where the journal keeps the calls.
pub enum Store {
    /// A file of the run.
    Sqlite,
    /// A cluster of the tests' own.
    Postgres,
    /// Somebody's database, which is written to.
    Url(String),
}

/// A store that is there: its name for people, and its URL for the run in a directory.
pub struct Found {
    pub name: String,
    pub url: Box<dyn Fn(&Path) -> String + Sync>,
}

impl Store {
    fn named(name: &str) -> Store {
        match name {
            "sqlite" => Store::Sqlite,
            "postgres" => Store::Postgres,
            url => Store::Url(url.to_owned()),
        }
    }

    /// `None` where this machine has none, which is said in large letters.
    pub fn found(&self) -> Result<Option<Found>> {
        Ok(match self {
            Store::Sqlite => Some(Found {
                name: "SQLite".into(),
                url: Box::new(|dir| format!("sqlite://{}", dir.join("calljournal.db").display())),
            }),
            Store::Postgres => cluster::Cluster::start("").map(|cluster| Found {
                name: "PostgreSQL".into(),
                url: Box::new(move |dir| cluster.database(dir)),
            }),
            Store::Url(url) => {
                let url = url.clone();
                Some(Found { name: url.clone(), url: Box::new(move |_| url.clone()) })
            }
        })
    }
}
