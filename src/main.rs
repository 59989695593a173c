//! The program: reads its command line, does what it says, turns an error into words and an exit code.

use std::process::ExitCode;

use clap::Parser;

/// Threads that hand events on to each other make the system's own allocator wait for itself, and give memory back
/// that is asked for again a moment later.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match calljournal::cli::run(calljournal::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("calljournal: {error:#}");
            ExitCode::FAILURE
        }
    }
}
