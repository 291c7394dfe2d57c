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
use http::{Method, StatusCode};
use serde_json::Value;

use super::asked::{Needs, ask, refused};
use super::operator::{Operator, unreachable};
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

/// Shows the name and the data of each event of an answer that goes on to `see`, until that has enough: `Ok(false)`.
/// Also ends well when nobody reads standard output any more.
fn follow(
    operator: &Operator,
    path: &str,
    mut see: impl FnMut(&str, &str) -> Result<bool, Failure>,
) -> Result<Ending, Failure> {
    let (client, name) = operator.find()?;
    let mut wants_more = Ok(true);
    let followed = client.follow(path, |event, data| {
        wants_more = see(event, data);
        matches!(wants_more, Ok(true))
    });
    let followed = runtime()?.block_on(async {
        tokio::select! {
            biased;
            followed = followed => Some(followed),
            () = terminal::nobody_reads() => None,
        }
    });
    let Some(followed) = followed else { return Ok(Ending::Done) };
    let (status, rest) = followed.map_err(|error| unreachable(&error, &name))?;
    match wants_more {
        Err(failure) => Err(failure),
        Ok(_) if status != StatusCode::OK => Err(refused(status, &rest, &name, Needs::Reading)),
        Ok(false) => Ok(Ending::Done),
        Ok(true) => Err(Failure::new(
            format_args!("{name}: the gateway ended it"),
            "it goes on for an hour at most, and ends when the gateway stops or restarts; try again",
        )),
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
