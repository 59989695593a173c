//! What the definitions of the command line are good for beside reading it: manual pages and completions.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::Cli;

/// The manual page of the program or of one of its commands; with `all`, every page goes into that directory.
///
/// # Errors
/// Where there is no such command, or the directory cannot be written.
pub fn man(command: Option<&str>, all: Option<&Path>) -> anyhow::Result<String> {
    if let Some(dir) = all {
        let failed = || format!("cannot write manual pages into {}", dir.display());
        clap_mangen::generate_to(Cli::command(), dir).with_context(failed)?;
        return Ok(String::new());
    }
    // Built, each command knows its full name. `help` has no page to be named, here as with `all`.
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    if let Some(name) = command {
        let names = cli.get_subcommands().map(|command| command.get_name()).collect::<Vec<_>>().join(", ");
        let found = cli.find_subcommand(name).cloned();
        cli = found.with_context(|| format!("no such command: {name}; there are {names}"))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(cli).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// What a shell needs to complete command lines of ours.
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "calljournal", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_page_comes_from_the_same_definitions() {
        let page = man(None, None).unwrap_or_default();
        assert!(page.contains("calljournal") && page.contains("simulate"), "{page}");
        let page = man(Some("calls"), None).unwrap_or_default();
        assert!(page.contains("missed") && page.contains("calljournal\\-calls"), "{page}");
        let refused = man(Some("call"), None).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused.contains("there are serve, calls"), "{refused}");
    }
}
