//! `attache completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use super::{Ending, Failure, terminal};

/// Arguments of `attache completions`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Performs the verb for the command line `command`.
pub(super) fn perform(arguments: &Arguments, mut command: Command) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "attache", &mut script);
    terminal::print_bytes(&script)?;
    Ok(Ending::Done)
}

const HELP: &str = "\
Examples:
  attache completions bash > ~/.local/share/bash-completion/completions/attache
  attache completions zsh > ~/.zfunc/_attache
  attache completions fish > ~/.config/fish/completions/attache.fish";
