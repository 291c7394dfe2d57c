//! `attache tasks`: tasks that go on at agents, and where a task is.

use clap::Args;
use serde_json::Value;

use super::figures::{count, time};
use super::{Look, list, text};
use crate::cli::asked::with_query;
use crate::cli::table::Table;
use crate::cli::{Ending, Failure};

/// Arguments of `attache tasks`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The id of a task to look for. The gateway keeps no ids, only who holds what.
    id: Option<String>,
    #[command(flatten)]
    look: Look,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let id = arguments.id.as_deref();
    arguments.look.show(&with_query("/tasks", id.map(|id| ("id", id))), |answer| described(answer, id))
}

fn described(answer: &Value, id: Option<&str>) -> String {
    if let Some(id) = id {
        let found = list(answer, "found").map(|task| {
            format!(
                "{id} is at {} of {}, {}, known for {}",
                text(task, "endpoint"),
                text(task, "cluster"),
                text(task, "progress"),
                time(task.get("age"))
            )
        });
        let found: Vec<String> = found.collect();
        return if found.is_empty() { format!("nobody is known to hold {id}") } else { found.join("\n") };
    }
    let mut table = Table::of(&["cluster", "endpoint", ">tasks"]);
    for endpoint in list(answer, "endpoints") {
        table.row([text(endpoint, "cluster"), text(endpoint, "endpoint"), count(endpoint.get("active"))]);
    }
    let mut said = format!("{} tasks go on", count(answer.get("active")));
    if !table.is_empty() {
        said = format!("{said}\n\n{}", table.text());
    }
    if let Some(oldest) = list(answer, "oldest").next() {
        said.push_str(&format!(
            "\n\nthe oldest has gone on for {} at {}",
            time(oldest.get("age")),
            text(oldest, "endpoint")
        ));
    }
    said
}

const HELP: &str = "\
Examples:
  attache tasks -c gateway.yaml
  attache tasks 3f1c0f0e-6a51-4b0e-9d6c-1f2a3b4c5d6e -c gateway.yaml

Exit codes: 0 answered, 1 not reached or refused, 2 wrong usage";
