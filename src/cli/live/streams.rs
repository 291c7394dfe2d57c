//! `attache streams`: open streams of a running gateway, the oldest first.

use clap::Args;
use serde_json::Value;

use super::figures::{count, time};
use super::{Look, left_out, list, text};
use crate::cli::asked::with_query;
use crate::cli::table::Table;
use crate::cli::{Ending, Failure};

/// Arguments of `attache streams`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// Only of this route.
    #[arg(long)]
    route: Option<String>,
    /// Only of this cluster.
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    look: Look,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let query = [("route", &arguments.route), ("cluster", &arguments.cluster)];
    let query = query.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    arguments.look.show(&with_query("/streams", query), described)
}

fn described(answer: &Value) -> String {
    let head = ["route", "endpoint", ">age", ">last event", ">events", "operation", "task", "client", "request"];
    let mut table = Table::of(&head);
    for stream in list(answer, "streams") {
        table.row([
            text(stream, "route"),
            text(stream, "endpoint"),
            time(stream.get("age")),
            time(stream.get("lastEvent")),
            count(stream.get("events")),
            text(stream, "operation"),
            text(stream, "task"),
            text(stream, "client"),
            text(stream, "requestId"),
        ]);
    }
    if table.is_empty() { "no stream is open".to_owned() } else { table.text() + &left_out(answer) }
}

const HELP: &str = "\
Examples:
  attache streams -c gateway.yaml
  attache streams --route research --json -c gateway.yaml

Exit codes: 0 answered, 1 not reached or refused, 2 wrong usage";
