//! The program: reads its command line, does what it says, turns an error into words and an exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match calljournal::cli::run(calljournal::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("calljournal: {error:#}");
            ExitCode::FAILURE
        }
    }
}
