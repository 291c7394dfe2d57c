//! The verbs that look at a running gateway and take endpoints out of it.

pub(super) mod agents;
pub(super) mod drain;
mod figures;
pub(super) mod status;
pub(super) mod streams;
pub(super) mod tail;
pub(super) mod tasks;
pub(super) mod top;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::asked::{Needs, ask};
use super::operator::Operator;
use super::{Ending, Failure, runtime, terminal};

/// What all of them take.
#[derive(Debug, Args)]
pub(super) struct Look {
    /// Print the gateway's answer as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

impl Look {
    /// Prints the answer of `path`: as it is, or in the words of `describe`.
    fn show(&self, path: &str, describe: impl Fn(&Value) -> String) -> Result<Ending, Failure> {
        let (client, name) = self.operator.find()?;
        let answer = runtime()?.block_on(ask(&client, Method::GET, path, &name, Needs::Reading))?;
        terminal::print(if self.json { answer.to_string() } else { describe(&answer) })?;
        Ok(Ending::Done)
    }
}

/// The list under a name.
fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The text under a name; `-` for none.
fn text(answer: &Value, name: &str) -> String {
    match answer.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Says how many are not shown.
fn left_out(answer: &Value) -> String {
    match answer.get("leftOut").and_then(Value::as_u64) {
        None | Some(0) => String::new(),
        Some(count) => format!("\n{count} more"),
    }
}
