//! Reading the configuration for a verb: the argument, where it is looked for without one, and how its problems are
//! shown.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};

use super::{Failure, terminal};
use crate::config::{Document, Environment, Loaded, MAX_FILE, Report, load};

/// The configuration of a verb: `-c FILE`, the file alone, the environment's, or one of the usual places.
#[derive(Debug)]
pub(super) struct Source {
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Named {
    /// Configuration: a YAML file, a directory whose *.yaml files are read in name order, or `-` for standard input.
    /// [default: attache.yaml here, else the directory /etc/attache]
    #[arg(short, long = "config", value_name = "FILE|DIR", env = "ATTACHE_CONFIG")]
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
            (None, None) => Ok(Self { config: usual(BEGIN)? }),
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
    /// What is to be read. Standard input is read to its end here.
    pub(super) fn document(&self) -> Result<Document, Failure> {
        document(&self.config)
    }
}

/// What a path on the command line names.
pub(super) fn document(path: &Path) -> Result<Document, Failure> {
    if path != Path::new(STANDARD_INPUT) {
        return Ok(Document::at(path));
    }
    Ok(Document::text(INPUT_NAME, standard_input()?))
}

/// Standard input to its end.
pub(super) fn standard_input() -> Result<String, Failure> {
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        terminal::note("reading the configuration from the terminal; Ctrl-D ends it");
    }
    let mut text = String::new();
    // A byte more than a configuration may have, which its reader refuses.
    let most = u64::try_from(MAX_FILE).unwrap_or(u64::MAX).saturating_add(1);
    match input.by_ref().take(most).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::new(
            format_args!("standard input cannot be read: {error}"),
            "give it a configuration of at most 4 MiB, in UTF-8",
        )),
    }
}

/// Reads it in an environment of the verb's own, shows its warnings and returns it.
pub(super) fn loaded(document: &Document, environment: &Environment) -> Result<Loaded, Failure> {
    let loaded = load(document.path(), environment).map_err(|report| invalid(document.path(), &report))?;
    if !loaded.warnings.is_empty() {
        terminal::note(loaded.warnings.human(terminal::has_color()).trim_end());
    }
    Ok(loaded)
}

/// The configuration of somebody who names none; `next` is what to do where there is none.
pub(super) fn usual(next: &str) -> Result<PathBuf, clap::Error> {
    first_of(Path::new(FILE_HERE), Path::new(SYSTEM_DIRECTORY)).ok_or_else(|| {
        clap::Error::raw(
            ErrorKind::MissingRequiredArgument,
            format_args!(
                "no configuration is named, and there is neither {FILE_HERE} here nor a *.yaml file in \
                 {SYSTEM_DIRECTORY}\n  next: {next}\n"
            ),
        )
    })
}

/// The file, else the directory if it holds a configuration. A file that cannot be read is named all the same: then its
/// reader says why.
fn first_of(file: &Path, directory: &Path) -> Option<PathBuf> {
    if file.symlink_metadata().is_ok() {
        return Some(file.to_owned());
    }
    let mut names = std::fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_yaml = |path: PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    names.any(is_yaml).then(|| directory.to_owned())
}

/// The configurations of a verb that takes several.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) configs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct SeveralNamed {
    /// Configuration: a YAML file, a directory of them, or `-` for standard input; may be repeated, each is checked on
    /// its own. [default: attache.yaml here, else the directory /etc/attache]
    #[arg(short, long = "config", value_name = "FILE|DIR", env = "ATTACHE_CONFIG")]
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
        if configs.is_empty() {
            configs.push(usual(BEGIN)?);
        }
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

/// What stands for standard input.
pub(super) const STANDARD_INPUT: &str = "-";
/// What messages call it.
pub(super) const INPUT_NAME: &str = "<standard input>";
/// The file that is looked for in the working directory.
pub(super) const FILE_HERE: &str = "attache.yaml";
const SYSTEM_DIRECTORY: &str = "/etc/attache";
const BEGIN: &str = "name one with -c, write one with `attache init`, or try `attache proxy --to 127.0.0.1:9101`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_here_comes_before_the_directory_of_the_system() {
        let directory = tempfile::tempdir().unwrap();
        let (file, system) = (directory.path().join("attache.yaml"), directory.path().join("etc"));
        assert_eq!(first_of(&file, &system), None);
        std::fs::create_dir(&system).unwrap();
        std::fs::write(system.join("README"), "").unwrap();
        assert_eq!(first_of(&file, &system), None, "the directory holds no configuration");
        std::fs::write(system.join("gateway.yml"), "").unwrap();
        assert_eq!(first_of(&file, &system), Some(system.clone()));
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        assert_eq!(first_of(&file, &system), Some(file), "a broken file is no reason to take another");
    }
}
