//! `attache card`: fetches an agent's card and says what clients would make of it.

pub(super) mod fetch;
mod shown;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Ending, Failure, runtime, terminal};
use crate::a2a::card::inspect::{Fetched, inspect};
use fetch::Request;

/// Arguments of `attache card`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The agent's base URL, or the URL of its card.
    url: String,
    /// How to say it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// A header field for the request, such as `Authorization: Bearer ..`; may be repeated.
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Authorities to believe, in PEM, instead of those of the system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Seconds for each step.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// How the result is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let limit = Duration::from_secs(arguments.timeout);
    let request = Request::parse(&arguments.url, &arguments.header, arguments.ca_file.as_deref(), limit)?;
    let fetched = terminal::waiting(format!("the card of {}", arguments.url), fetch::fetch(&request));
    let card = runtime()?.block_on(fetched)?;
    let fetched = Fetched { https: request.is_https(), host: request.host() };
    let found = inspect(&card.body, fetched).map_err(|error| {
        Failure::new(
            format_args!("{} is no agent card: {error}", card.url),
            "is this the agent's base URL, and is its server the agent?",
        )
    })?;
    match if arguments.json { Format::Json } else { arguments.format } {
        Format::Text => terminal::print(shown::text(&card.url, &found))?,
        Format::Json => terminal::print(shown::json(&card.url, &found))?,
    }
    Ok(if found.problems.is_empty() { Ending::Done } else { Ending::Failed })
}

const HELP: &str = "\
Examples:
  attache card https://agents.example.com/planner
  attache card http://127.0.0.1:9101 --format json
  attache card https://localhost:8443 --ca-file certs/ca.crt

Whether the URLs in the card can be reached is not tested, and signatures are not verified.

Exit codes: 0 nothing wrong, 1 problems, or no card, 2 wrong usage";
