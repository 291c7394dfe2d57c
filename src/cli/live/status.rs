//! `attache status`: how a running gateway is, with its clusters and endpoints.

use clap::Args;
use serde_json::Value;

use super::figures::{count, time};
use super::{Look, list, text};
use crate::cli::table::Table;
use crate::cli::{Ending, Failure};

/// Arguments of `attache status`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    look: Look,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    arguments.look.show("/status", described)
}

fn described(status: &Value) -> String {
    let hash: String = text(status, "configHash").chars().take(8).collect();
    let mut said = format!("{}, version {}, config {hash}", text(status, "status"), text(status, "version"));
    let reload = status.get("lastReload").filter(|reload| !reload.is_null());
    if let Some(reload) = reload {
        said.push_str(&format!(
            "\nlast reload: {} by {} at {}",
            text(reload, "verdict"),
            text(reload, "trigger"),
            text(reload, "at")
        ));
        if text(reload, "verdict") == "refused" {
            said.push_str(&format!("\n{}", text(reload, "diagnostics").trim_end()));
        }
    }
    for check in list(status, "checks").filter(|check| text(check, "status") != "ok") {
        said.push_str(&format!("\n{}: {}, {}", text(check, "status"), text(check, "name"), text(check, "detail")));
    }
    let mut table = Table::of(&["cluster", "endpoint", ">in flight", ">tasks", "state"]);
    for cluster in list(status, "clusters") {
        for endpoint in list(cluster, "endpoints") {
            table.row([
                text(cluster, "name"),
                text(endpoint, "address"),
                count(endpoint.get("inFlight")),
                count(endpoint.get("tasks")),
                state(endpoint),
            ]);
        }
    }
    if table.is_empty() { said } else { format!("{said}\n\n{}", table.text()) }
}

/// Whether an endpoint gets new requests, and why not.
pub(super) fn state(endpoint: &Value) -> String {
    let is = |name: &str| endpoint.get(name).is_some_and(|value| *value == true);
    if let Some(cause) = endpoint.get("ejectedBy").and_then(Value::as_str) {
        return format!("ejected by {cause} for {}", time(endpoint.get("ejectedFor")));
    }
    if is("drained") {
        return "drained by an operator".to_owned();
    }
    if endpoint.get("weight").and_then(Value::as_u64) == Some(0) {
        return "draining".to_owned();
    }
    let health = endpoint.get("health").filter(|health| !health.is_null());
    let message = health.and_then(|health| health.get("message")?.as_str());
    let verdict = health.and_then(|health| health.get("verdict")).map(|verdict| match verdict {
        Value::Object(fields) => fields.keys().next().cloned().unwrap_or_default(),
        other => other.as_str().unwrap_or_default().to_owned(),
    });
    match (verdict.as_deref(), message) {
        (Some("unhealthy" | "never_well"), Some(message)) => format!("unhealthy: {message}"),
        (Some("unhealthy" | "never_well"), None) => "unhealthy".to_owned(),
        _ => "in service".to_owned(),
    }
}

const HELP: &str = "\
Examples:
  attache status -c gateway.yaml
  attache status --admin unix:/run/attache/admin.sock --json

Exit codes: 0 answered, 1 not reached or refused, 2 wrong usage";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_of_an_endpoint_is_said_in_words() {
        for (endpoint, expected) in [
            (json!({ "weight": 1 }), "in service"),
            (json!({ "weight": 1, "ejectedBy": "max_fails", "ejectedFor": 12.0 }), "ejected by max_fails for 12.0 s"),
            (json!({ "weight": 0, "drained": true }), "drained by an operator"),
            (json!({ "weight": 0 }), "draining"),
            (json!({ "weight": 1, "health": { "verdict": { "healthy": { "failures": 0 } } } }), "in service"),
            (json!({ "weight": 1, "health": { "verdict": "never_well", "message": "refused" } }), "unhealthy: refused"),
        ] {
            assert_eq!(state(&endpoint), expected, "{endpoint}");
        }
    }
}
