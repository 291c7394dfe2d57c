//! Reading the configuration for a verb: the argument, and how its problems are shown.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};

use super::{Failure, terminal};
use crate::config::{Environment, Loaded, Report, load};

/// The configuration of a verb: `-c FILE`, the file alone, or the environment's.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
struct Named {
    /// Configuration: a YAML file, or a directory whose *.yaml files are read in name order.
    #[arg(short, long = "config", value_name = "FILE|DIR", env = "ATTACHE_CONFIG", required_unless_present = "file")]
    config: Option<PathBuf>,
    /// The same without -c.
    #[arg(value_name = "FILE|DIR")]
    file: Option<PathBuf>,
}

impl FromArgMatches for Source {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = Named::from_arg_matches(matches)?;
        match (named.file, named.config) {
            (Some(_), Some(_)) if by_hand(matches, "config") => Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "the configuration is named twice, with -c and without\n",
            )),
            (Some(config), _) | (None, Some(config)) => Ok(Self { config }),
            (None, None) => Err(clap::Error::new(ErrorKind::MissingRequiredArgument)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Source {
    fn augment_args(command: clap::Command) -> clap::Command {
        Named::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Named::augment_args_for_update(command)
    }
}

impl Source {
    /// Reads it in an environment of the verb's own, shows its warnings and returns it.
    pub(super) fn load_in(&self, environment: &Environment) -> Result<Loaded, Failure> {
        let loaded = load(&self.config, environment).map_err(|report| invalid(&self.config, &report))?;
        if !loaded.warnings.is_empty() {
            terminal::note(loaded.warnings.human(terminal::has_color()).trim_end());
        }
        Ok(loaded)
    }
}

/// The configurations of a verb that takes several.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) configs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct SeveralNamed {
    /// Configuration: a YAML file or a directory of them; may be repeated, each is checked on its own.
    #[arg(short, long = "config", value_name = "FILE|DIR", env = "ATTACHE_CONFIG", required_unless_present = "files")]
    config: Vec<PathBuf>,
    /// The same without -c.
    #[arg(value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

impl FromArgMatches for Sources {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = SeveralNamed::from_arg_matches(matches)?;
        let mut configs = named.config;
        if !named.files.is_empty() && !by_hand(matches, "config") {
            configs.clear();
        }
        configs.extend(named.files);
        Ok(Self { configs })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Sources {
    fn augment_args(command: clap::Command) -> clap::Command {
        SeveralNamed::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        SeveralNamed::augment_args_for_update(command)
    }
}

/// Whether an argument stands on the command line itself, not in the environment.
pub(super) fn by_hand(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(ValueSource::CommandLine)
}

/// Shows every problem and makes the one line that ends the verb.
pub(super) fn invalid(path: &Path, report: &Report) -> Failure {
    terminal::note(report.human(terminal::has_color()).trim_end());
    unusable(path)
}

/// The one line, when every problem is shown.
pub(super) fn unusable(path: &Path) -> Failure {
    Failure::new(
        format_args!("{} cannot be used", path.display()),
        format_args!("correct what is marked above, then `attache validate {}`", path.display()),
    )
}
