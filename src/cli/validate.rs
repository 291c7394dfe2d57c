//! `attache validate`: every problem of a configuration at once, without starting anything.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::configuration::{Sources, document};
use super::{Ending, Failure, terminal};
use crate::config::{Loaded, Report, load};

/// Arguments of `attache validate`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// How problems are written.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the source line and a caret.
    Human,
    /// One JSON document per configuration.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let format = if arguments.json { Format::Json } else { arguments.format };
    let mut ending = Ending::Done;
    for path in &arguments.sources.configs {
        let document = document(path)?;
        match load(document.path(), &document.environment()) {
            Ok(loaded) => accepted(document.path(), &loaded, format)?,
            Err(report) => {
                show(&report, format)?;
                ending = Ending::Failed;
            }
        }
    }
    Ok(ending)
}

fn accepted(path: &Path, loaded: &Loaded, format: Format) -> Result<(), Failure> {
    if !loaded.warnings.is_empty() || format == Format::Json {
        show(&loaded.warnings, format)?;
    }
    if format == Format::Human {
        let config = &loaded.config;
        terminal::print(format_args!(
            "{}: valid: {}, {}, {}{}",
            path.display(),
            terminal::count(config.listeners.len(), "listener"),
            terminal::count(config.routes.len(), "route"),
            terminal::count(config.clusters.len(), "cluster"),
            match loaded.warnings.warnings() {
                0 => String::new(),
                warnings => format!(", {}", terminal::count(warnings, "warning")),
            }
        ))?;
    }
    Ok(())
}

fn show(report: &Report, format: Format) -> Result<(), Failure> {
    match format {
        Format::Human => {
            terminal::note(report.human(terminal::has_color()).trim_end());
            Ok(())
        }
        Format::Json => terminal::print(report.json()),
        Format::Github => terminal::print(report.github().trim_end()),
    }
}

const HELP: &str = "\
Examples:
  attache validate gateway.yaml
  attache validate -c config/ --format github
  attache validate staging.yaml production.yaml --format json

Exit codes: 0 all valid (warnings allowed), 1 errors, 2 wrong usage";
