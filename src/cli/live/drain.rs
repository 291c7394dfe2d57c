//! `attache drain`: takes an endpoint out of service and waits until nothing runs on it, or brings it back.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::figures::count;
use super::{list, text};
use crate::admin::client::Client;
use crate::cli::asked::{Needs, ask, by, with_query};
use crate::cli::operator::Operator;
use crate::cli::{Ending, Failure, runtime, terminal};
use crate::config::parse_duration;

/// Arguments of `attache drain`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The cluster.
    cluster: String,
    /// Address of the endpoint, or its name for all addresses of the name.
    endpoint: String,
    /// Take it back into service instead.
    #[arg(long)]
    undo: bool,
    /// Also the last one that can be used.
    #[arg(long, conflicts_with = "undo")]
    force: bool,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Do not wait for what runs on it.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for that.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    timeout: Duration,
    /// Print the gateway's answers as they are, one in a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let (client, name) = arguments.operator.find()?;
    runtime()?.block_on(operate(arguments, &client, &name))
}

async fn operate(arguments: &Arguments, client: &Client, name: &str) -> Result<Ending, Failure> {
    let verb = if arguments.undo { "undrain" } else { "drain" };
    let by = by();
    let query =
        [("cluster", arguments.cluster.as_str()), ("endpoint", &arguments.endpoint), ("verb", verb), ("by", &by)];
    let more = arguments.reason.as_deref().map(|reason| ("reason", reason));
    let more = more.into_iter().chain(arguments.force.then_some(("force", "true")));
    let path = with_query("/endpoints", query.into_iter().chain(more));
    let done = ask(client, Method::POST, &path, name, Needs::All).await?;
    let addresses: Vec<String> = list(&done, "endpoints").filter_map(Value::as_str).map(str::to_owned).collect();
    let word = if arguments.undo { "is in service" } else { "drains" };
    arguments.say(&done, format_args!("{} {word}", addresses.join(" ")))?;
    if arguments.undo || arguments.no_wait {
        return Ok(Ending::Done);
    }
    wait(arguments, client, name, &addresses).await
}

/// Says what still runs on the endpoints, whenever that changes, until nothing does.
async fn wait(arguments: &Arguments, client: &Client, name: &str, addresses: &[String]) -> Result<Ending, Failure> {
    let deadline = Instant::now() + arguments.timeout;
    let path = with_query("/clusters", [("cluster", arguments.cluster.as_str())]);
    let mut said = String::new();
    loop {
        let answer = ask(client, Method::GET, &path, name, Needs::Reading).await?;
        let endpoints: Vec<&Value> = list(&answer, "clusters")
            .flat_map(|cluster| list(cluster, "endpoints"))
            .filter(|endpoint| addresses.contains(&text(endpoint, "address")))
            .collect();
        let is_busy = |endpoint: &&Value| {
            ["inFlight", "tasks"].into_iter().any(|what| endpoint.get(what).and_then(Value::as_u64) > Some(0))
        };
        let Some(busy) = endpoints.into_iter().find(is_busy) else {
            arguments.say(&answer, "nothing runs on it any more")?;
            return Ok(Ending::Done);
        };
        let line = format!(
            "{}: {} in flight, {} of them streams, {} tasks",
            text(busy, "address"),
            count(busy.get("inFlight")),
            count(busy.get("streams")),
            count(busy.get("tasks"))
        );
        if line != said {
            arguments.say(busy, &line)?;
            said = line;
        }
        if Instant::now() >= deadline {
            terminal::note("it still runs; the endpoint drains on, and gets nothing new");
            return Ok(Ending::Failed);
        }
        sleep(LOOK).await;
    }
}

impl Arguments {
    fn say(&self, answer: &Value, words: impl std::fmt::Display) -> Result<(), Failure> {
        if self.json {
            return terminal::print(answer);
        }
        terminal::mention(words);
        Ok(())
    }
}

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

const HELP: &str = "\
Examples:
  attache drain research 10.0.0.7:8080 -c gateway.yaml
  attache drain research 10.0.0.7:8080 --undo -c gateway.yaml

Exit codes: 0 done, and nothing runs on it any more; 1 refused, not reached, or it still runs; 2 wrong usage";
