//! Reading the configuration for a verb: the argument, and how its problems are shown.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, terminal};
use crate::config::{Environment, Loaded, Report, load};

/// The `-c` argument.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// Configuration: a YAML file, or a directory whose *.yaml files are read in name order.
    #[arg(
        short,
        long = "config",
        value_name = "FILE|DIR",
        env = "ATTACHE_CONFIG"
    )]
    pub(super) config: PathBuf,
}

impl Source {
    /// Reads it in an environment of the verb's own, shows its warnings and returns it.
    pub(super) fn load_in(&self, environment: &Environment) -> Result<Loaded, Failure> {
        let loaded =
            load(&self.config, environment).map_err(|report| invalid(&self.config, &report))?;
        if !loaded.warnings.is_empty() {
            terminal::note(loaded.warnings.human(terminal::has_color()).trim_end());
        }
        Ok(loaded)
    }
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
        format_args!(
            "correct what is marked above, then `attache validate -c {}`",
            path.display()
        ),
    )
}
