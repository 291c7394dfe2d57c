//! `attache rollout`: looks at the splits and rollouts of a running gateway, and moves them.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::asked::{self, Needs};
use super::operator::Operator;
use super::{Ending, Failure, runtime, terminal};
use crate::admin::client::Client;
use crate::visible::visible;

/// Arguments of `attache rollout`.
#[derive(Debug, Args)]
#[command(after_help = HELP, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show how traffic is divided and how far rollouts are.
    Status(Status),
    /// Keep a rollout as it is.
    #[command(after_help = "Example:\n  attache rollout pause research -c gateway.yaml")]
    Pause(OnRoute),
    /// Go on; ends a pause without a duration.
    #[command(after_help = "Example:\n  attache rollout resume research -c gateway.yaml")]
    Resume(OnRoute),
    /// Give the canary everything, now.
    #[command(after_help = "Example:\n  attache rollout promote research -c gateway.yaml")]
    Promote(OnRoute),
    /// Give the canary nothing, now.
    #[command(after_help = "Example:\n  attache rollout abort research -c gateway.yaml")]
    Abort(OnRoute),
    /// Begin a rollout at its first step again.
    #[command(after_help = "Example:\n  attache rollout restart research -c gateway.yaml")]
    Restart(OnRoute),
    /// Set a cluster's share by hand; the rollout stands still until it is released.
    SetWeight(SetWeight),
    /// End what set-weight or switch did.
    #[command(after_help = "Example:\n  attache rollout release research -c gateway.yaml")]
    Release(OnRoute),
    /// Send everything to the other cluster of a split without a rollout: blue and green.
    Switch(Switch),
}

/// A route of a running gateway.
#[derive(Debug, Args)]
struct OnRoute {
    /// The route.
    route: String,
    /// Print the gateway's answer as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Arguments of `attache rollout status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  attache rollout status -c gateway.yaml\n  attache rollout status research --watch -c gateway.yaml\n\nWith --watch the exit code is 0 after a promotion and 1 after a rollback."
)]
struct Status {
    /// The route. Default: all that have a split.
    route: Option<String>,
    /// Print each change until the rollout is over.
    #[arg(long, requires = "route")]
    watch: bool,
    /// Print the gateway's answer as it is; with --watch each change, in a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Arguments of `attache rollout set-weight`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  attache rollout set-weight research 30 --for 10m -c gateway.yaml")]
struct SetWeight {
    /// The route.
    route: String,
    /// Share in percent.
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: u8,
    /// The cluster. Default: the canary.
    #[arg(long)]
    cluster: Option<String>,
    /// For how long, such as 10m. Default: until it is released or the file changes the route.
    #[arg(long = "for", value_name = "TIME", value_parser = crate::config::parse_duration)]
    lasts: Option<Duration>,
    /// Print the gateway's answer as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Arguments of `attache rollout switch`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  attache rollout switch planner planner-green -c gateway.yaml")]
struct Switch {
    /// The route.
    route: String,
    /// The cluster. Default: the one of two that has less now.
    cluster: Option<String>,
    /// Print the gateway's answer as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let simple = |word, on: &OnRoute| order(&on.operator, on.json, &[("route", &on.route), ("verb", word)]);
    match &arguments.verb {
        Verb::Status(status) if status.watch => watch(status),
        Verb::Status(status) => show(status),
        Verb::Pause(on) => simple("pause", on),
        Verb::Resume(on) => simple("resume", on),
        Verb::Promote(on) => simple("promote", on),
        Verb::Abort(on) => simple("abort", on),
        Verb::Restart(on) => simple("restart", on),
        Verb::Release(on) => simple("release", on),
        Verb::SetWeight(set) => {
            let percent = set.percent.to_string();
            let lasts = set.lasts.map(|lasts| lasts.as_millis().to_string());
            let mut query = vec![("route", set.route.as_str()), ("verb", "set-weight"), ("weight", &percent)];
            query.extend(set.cluster.as_deref().map(|cluster| ("cluster", cluster)));
            query.extend(lasts.as_deref().map(|lasts| ("for", lasts)));
            order(&set.operator, set.json, &query)
        }
        Verb::Switch(switch) => {
            let mut query = vec![("route", switch.route.as_str()), ("verb", "switch")];
            query.extend(switch.cluster.as_deref().map(|cluster| ("cluster", cluster)));
            order(&switch.operator, switch.json, &query)
        }
    }
}

fn order(operator: &Operator, json: bool, query: &[(&str, &str)]) -> Result<Ending, Failure> {
    let (client, name) = operator.find()?;
    let by = asked::by();
    let path = asked::with_query("/rollouts", query.iter().copied().chain([("by", by.as_str())]));
    let answer = runtime()?.block_on(ask(&client, Method::POST, &path, &name))?;
    if json {
        terminal::print(answer)?;
        return Ok(Ending::Done);
    }
    for done in strings(answer.get("done")) {
        terminal::mention(visible(done));
    }
    Ok(Ending::Done)
}

fn show(status: &Status) -> Result<Ending, Failure> {
    let (client, name) = status.operator.find()?;
    let answer = runtime()?.block_on(ask(&client, Method::GET, "/rollouts", &name))?;
    if status.json {
        terminal::print(answer)?;
        return Ok(Ending::Done);
    }
    let routes = answer.get("routes").and_then(Value::as_object);
    let mut shown = false;
    for (route, split) in routes.into_iter().flatten() {
        if status.route.as_ref().is_none_or(|wanted| wanted == route) {
            terminal::print(describe(route, split))?;
            shown = true;
        }
    }
    if shown {
        return Ok(Ending::Done);
    }
    Err(match &status.route {
        Some(route) => unknown(route),
        None => Failure::new("no route has a split", "see docs/canaries.md"),
    })
}

/// Prints changes until the rollout is over. After the first answer the gateway may be unreachable for as long as a
/// restart takes.
fn watch(status: &Status) -> Result<Ending, Failure> {
    let (client, name) = status.operator.find()?;
    let route = status.route.as_deref().unwrap_or_default();
    runtime()?.block_on(async {
        let mut printed = String::new();
        let mut seen = None;
        loop {
            let asked = ask(&client, Method::GET, "/rollouts", &name).await;
            let answer = match (asked, seen) {
                (Ok(answer), _) => answer,
                (Err(_), Some(last)) if Instant::now() < last + AWAY => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                (Err(failure), _) => return Err(failure),
            };
            seen = Some(Instant::now());
            let split = answer.get("routes").and_then(|routes| routes.get(route));
            let Some(split) = split else {
                return Err(unknown(route));
            };
            let line = headline(route, split);
            if line != printed {
                terminal::mention(if status.json { split.to_string() } else { line.clone() });
                printed = line;
            }
            match phase(split) {
                "promoted" => return Ok(Ending::Done),
                "rolled_back" => return Ok(Ending::Failed),
                SPLIT => return Err(unmoved(route)),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    })
}

fn unmoved(route: &str) -> Failure {
    Failure::new(format_args!("the split of `{route}` has no rollout that could end"), "leave --watch out")
}

fn unknown(route: &str) -> Failure {
    Failure::new(format_args!("no route `{route}` has a split"), "`attache rollout status` lists those that have one")
}

async fn ask(client: &Client, method: Method, path: &str, name: &str) -> Result<Value, Failure> {
    asked::ask(client, method, path, name, Needs::Rollouts).await
}

fn phase(split: &Value) -> &str {
    let progress = split.get("progress");
    let phase = progress.and_then(|progress| progress.get("phase")?.as_str());
    phase.unwrap_or(SPLIT)
}

/// One line: phase, step, shares, and the reason.
fn headline(route: &str, split: &Value) -> String {
    let mut line = format!("{route}  {}", phase(split));
    let number = |key: &str| split.get("progress")?.get(key)?.as_u64();
    if let (Some(step), Some(steps)) = (number("step"), split.get("steps").and_then(Value::as_u64)) {
        // Programs count from zero, people from one.
        let step = (step + 1).min(steps);
        line.push_str(&format!(", step {step} of {steps}"));
    }
    for (cluster, percent, _) in shares(split) {
        line.push_str(&format!("  {cluster} {percent:.0} %"));
    }
    if let Some(held) = split.get("held").filter(|held| !held.is_null()) {
        let by = held.get("by").and_then(Value::as_str).unwrap_or("-");
        line.push_str(&format!("  (set by {})", visible(by)));
    }
    let reason = split.get("progress").and_then(|progress| progress.get("reason")?.as_str());
    if let Some(reason) = reason {
        line.push_str(&format!("  {}", visible(reason)));
    }
    line
}

/// A split with its shares and last numbers.
fn describe(route: &str, split: &Value) -> String {
    let mut text = headline(route, split);
    for (cluster, percent, requests) in shares(split) {
        text.push_str(&format!("\n  {cluster:<32} {percent:>5.1} %  {requests:>10} requests judged"));
    }
    let readings = split.get("progress").and_then(|progress| progress.get("readings")?.as_array());
    for reading in readings.into_iter().flatten() {
        let field = |key: &str| reading.get(key).cloned().unwrap_or_default();
        let passed = if field("passed") == true { "ok" } else { "FAILED" };
        text.push_str(&format!(
            "\n  {:<32} {:.4} {} {:.4}  {passed}",
            field("metric").as_str().unwrap_or_default(),
            field("value").as_f64().unwrap_or_default(),
            field("comparison").as_str().unwrap_or_default(),
            field("threshold").as_f64().unwrap_or_default(),
        ));
    }
    text
}

fn shares(split: &Value) -> impl Iterator<Item = (&str, f64, u64)> {
    let shares = split.get("shares").and_then(Value::as_array);
    shares.into_iter().flatten().map(|share| {
        let cluster = share.get("cluster").and_then(Value::as_str);
        let percent = share.get("percent").and_then(Value::as_f64);
        let requests = share.get("requests").and_then(Value::as_u64);
        (cluster.unwrap_or("-"), percent.unwrap_or_default(), requests.unwrap_or_default())
    })
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = list.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// The phase of a split without a rollout.
const SPLIT: &str = "split";
/// How long a gateway that answered before may be away.
const AWAY: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

const HELP: &str = "\
Examples:
  attache rollout status -c gateway.yaml
  attache rollout status research --watch -c gateway.yaml
  attache rollout set-weight research 30 --for 10m -c gateway.yaml
  attache rollout promote research --admin 127.0.0.1:9901

Exit codes: 0 done, 1 refused, not reached, or rolled back while watched, 2 wrong usage";
