//! How fast the server is, beside the limit: a bare FastAGI server that does nothing but answer.
//!
//! `cargo bench --bench fastagi` runs everything; `-- --help` tells the parts. What is measured, and what came of
//! it, is told in docs/performance.md. Nothing here asserts a speed.
//!
//! - `talk.rs`: what an Asterisk says
//! - `load.rs`: many of them at once
//! - `server.rs`: the servers as processes
//! - `store.rs`: databases with many calls
//! - `parts.rs`: what is measured
//! - `table.rs`: Markdown

#![allow(missing_docs)] // a program, not a library

mod bare;
/// The PostgreSQL of the tests, with `fsync` on here.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../tests/it/cluster.rs"]
mod cluster;
mod load;
mod parts;
mod server;
mod store;
mod table;
mod talk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::parts::{Part, Run};

/// Set where this program is to be the bare server; to the name of a file where it is to sync that first.
const BARE: &str = "CALLJOURNAL_BENCH_BARE";

/// Measures sessions a second, the delay of the ack and the processor time of a session, beside a bare FastAGI
/// server in the same minute; and how fast events become calls. Prints Markdown on standard output.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench fastagi --", after_help = EXAMPLES)]
struct Options {
    /// What to measure; everything where none is named.
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Shorter windows, one round, and no million calls: for a look, not for the record.
    #[arg(long)]
    quick: bool,
    /// The program to measure instead of the one that was built with this.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_calljournal"))]
    program: PathBuf,
    /// Calls stored beforehand; may be repeated.
    #[arg(long, value_name = "N")]
    calls: Vec<u64>,
    /// Leave PostgreSQL out.
    #[arg(long)]
    no_postgres: bool,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench fastagi                    everything: about 20 minutes, and 8 GB below target/ once
  cargo bench --bench fastagi -- --quick         a look: about a minute
  cargo bench --bench fastagi -- open settling   only these parts";

fn main() -> anyhow::Result<()> {
    if let Some(page) = std::env::var_os(BARE) {
        return Ok(bare::serve((!page.is_empty()).then(|| page.into()))?);
    }
    let options = Options::parse();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/fastagi");
    std::fs::create_dir_all(&dir)?;
    let parts = if options.parts.is_empty() { Part::ALL.to_vec() } else { options.parts };
    let calls = match (options.calls.is_empty(), options.quick) {
        (false, _) => options.calls,
        (true, true) => vec![10_000],
        (true, false) => vec![10_000, 1_000_000],
    };
    let wants_postgres = parts.iter().any(|part| [Part::Closed, Part::Open].contains(part));
    let run = Run {
        program: options.program,
        dir,
        calls,
        postgres: if wants_postgres && !options.no_postgres { cluster::Cluster::start("") } else { None },
        rounds: if options.quick { 1 } else { 5 },
        window: if options.quick { Duration::from_secs(1) } else { Duration::from_secs(2) },
    };
    println!("{}", run.heading()?);
    for part in parts {
        println!("{}", run.measure(part)?);
    }
    Ok(())
}
