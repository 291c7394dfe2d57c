//! `attache top`: routes and endpoints of a running gateway in a table that is drawn anew every second.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::Value;

use super::figures::{count, percent, rate, time};
use super::{follow, list, status, text};
use crate::cli::operator::Operator;
use crate::cli::table::Table;
use crate::cli::{Ending, Failure, terminal};

/// Arguments of `attache top`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// Print once and end. So it is where standard output is no terminal.
    #[arg(long)]
    once: bool,
    /// Print the whole state, one JSON object in a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    let once = arguments.once || !is_terminal && !arguments.json;
    follow(&arguments.operator, "/live", |event, data| {
        if event != "state" {
            return Ok(true);
        }
        Ok(draw(arguments, data, is_terminal && !once)? && !once)
    })
}

/// Whether anybody reads it.
fn draw(arguments: &Arguments, data: &str, in_place: bool) -> Result<bool, Failure> {
    if arguments.json {
        return terminal::offer(data);
    }
    let state: Value = serde_json::from_str(data).unwrap_or_default();
    if in_place { terminal::offer_anew(described(&state)) } else { terminal::offer(described(&state)) }
}

fn described(state: &Value) -> String {
    let total = state.get("total").cloned().unwrap_or_default();
    let hash: String = text(state, "configHash").chars().take(8).collect();
    let mut said = format!(
        "{}  config {hash}  {} req/s  success {}  p50 {}  p99 {}  in flight {}  streams {}",
        text(state, "status"),
        rate(total.get("perSecond")),
        percent(total.get("successRate")),
        time(total.get("p50")),
        time(total.get("p99")),
        count(state.get("inFlight")),
        count(state.get("streams")),
    );
    let mut routes = Table::of(&["route", ">req/s", ">success", ">p50", ">p99", ">in flight", ">streams"]);
    let all = state.get("routes").cloned().unwrap_or_default();
    let mut busy: Vec<&Value> = list(&all, "routes").collect();
    busy.sort_by(|one, other| per_second(other).total_cmp(&per_second(one)));
    for route in busy {
        routes.row([
            text(route, "name"),
            rate(route.get("perSecond")),
            percent(route.get("successRate")),
            time(route.get("p50")),
            time(route.get("p99")),
            count(route.get("inFlight")),
            count(route.get("streams")),
        ]);
    }
    let mut endpoints =
        Table::of(&["cluster", "endpoint", ">req/s", ">p99", ">in flight", ">streams", ">tasks", "state"]);
    let clusters = state.get("clusters").cloned().unwrap_or_default();
    for cluster in list(&clusters, "clusters") {
        for endpoint in list(cluster, "endpoints") {
            let traffic = endpoint.get("rate").cloned().unwrap_or_default();
            endpoints.row([
                text(cluster, "name"),
                text(endpoint, "address"),
                rate(traffic.get("perSecond")),
                time(traffic.get("p99")),
                count(endpoint.get("inFlight")),
                count(endpoint.get("streams")),
                count(endpoint.get("tasks")),
                status::state(endpoint),
            ]);
        }
    }
    for table in [routes, endpoints].iter().filter(|table| !table.is_empty()) {
        said.push_str(&format!("\n\n{}", table.text()));
    }
    said
}

fn per_second(route: &Value) -> f64 {
    route.get("perSecond").and_then(Value::as_f64).unwrap_or_default()
}

const HELP: &str = "\
Examples:
  attache top -c gateway.yaml
  attache top --once --json -c gateway.yaml

Ctrl-C ends it. Exit codes: 0 printed once, or read no more, 1 not reached, refused or ended by the gateway, 2 wrong usage";
