//! `attache config`: the configuration as the gateway understands it, and the schema editors use.

use clap::{Args, Subcommand};

use super::configuration::{Source, invalid};

use super::{Ending, Failure, terminal};
use crate::config::{schema, show};

/// Arguments of `attache config`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_help = HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Print the configuration after includes, substitution and defaults; secrets are redacted.
    Show(Show),
    /// Print the JSON Schema of the configuration.
    #[command(after_help = "Example:\n  attache config schema > gateway.schema.json")]
    Schema,
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_HELP)]
struct Show {
    #[command(flatten)]
    source: Source,
    /// Also the fields that are not written, with their defaults.
    #[arg(long)]
    defaults: bool,
    /// As JSON instead of YAML.
    #[arg(long)]
    json: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    match &arguments.kind {
        Kind::Show(wanted) => {
            let document = wanted.source.document()?;
            let shown = show(document.path(), &document.environment(), wanted.defaults);
            let shown = shown.map_err(|report| invalid(document.path(), &report))?;
            let shown = if wanted.json { as_json(&shown)? } else { shown };
            // A document, and so as it is.
            terminal::print_bytes(format!("{}\n", shown.trim_end()).as_bytes())?;
        }
        Kind::Schema => terminal::print(schema().trim_end())?,
    }
    Ok(Ending::Done)
}

/// The same document in JSON, which a YAML of ours always is in other letters.
fn as_json(yaml: &str) -> Result<String, Failure> {
    let read = serde_yaml::from_str::<serde_json::Value>(yaml).map_err(|error| error.to_string());
    let written = read.and_then(|value| serde_json::to_string_pretty(&value).map_err(|error| error.to_string()));
    written.map_err(|error| {
        Failure::new(format_args!("the configuration cannot be written as JSON: {error}"), "leave out --json")
    })
}

const HELP: &str = "\
Examples:
  attache config show -c config/gateway.yaml
  attache config schema > gateway.schema.json";
const SHOW_HELP: &str = "\
Examples:
  attache config show gateway.yaml
  attache config show -c config/gateway.yaml --defaults
  attache config show -c config/gateway.yaml --json";
