//! `attache man`.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use super::{Ending, Failure, terminal};

/// Arguments of `attache man`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Directory for one page per verb, instead of the main page on standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Performs the verb for the command line `command`.
pub(super) fn perform(arguments: &Arguments, command: Command) -> Result<Ending, Failure> {
    let written = match &arguments.out {
        Some(directory) => {
            std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory))
        }
        None => {
            let mut page = Vec::new();
            let rendered = Man::new(command).render(&mut page);
            terminal::print_bytes(&page)?;
            rendered
        }
    };
    written.map_err(|error| {
        Failure::new(
            format_args!("the manual pages cannot be written: {error}"),
            "choose a directory you may write to with --out",
        )
    })?;
    Ok(Ending::Done)
}

const HELP: &str = "\
Examples:
  attache man | man -l -
  attache man --out ~/.local/share/man/man1";
