//! `attache tail`: requests of a running gateway as they end.

use clap::Args;
use serde_json::Value;

use super::figures::time;
use super::{follow, text};
use crate::cli::asked::with_query;
use crate::cli::operator::Operator;
use crate::cli::{Ending, Failure, terminal};
use crate::visible::visible;

/// Arguments of `attache tail`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// Only what went wrong.
    #[arg(long)]
    failed: bool,
    /// Only this status or class: 503 or 5xx.
    #[arg(long)]
    status: Option<String>,
    /// Only those that took as long: 500ms.
    #[arg(long, value_name = "TIME")]
    slower: Option<String>,
    /// Only of this route.
    #[arg(long)]
    route: Option<String>,
    /// Only of this cluster.
    #[arg(long)]
    cluster: Option<String>,
    /// Only of this endpoint.
    #[arg(long)]
    endpoint: Option<String>,
    /// Only this method.
    #[arg(long)]
    method: Option<String>,
    /// Only paths that begin like this.
    #[arg(long)]
    path: Option<String>,
    /// Only this reason word.
    #[arg(long)]
    reason: Option<String>,
    /// Only this operation of A2A.
    #[arg(long)]
    operation: Option<String>,
    /// Only of this address or network.
    #[arg(long)]
    client: Option<String>,
    /// Only of this principal.
    #[arg(long)]
    principal: Option<String>,
    /// Only of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// End after so many.
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print whole access records, one JSON object in a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: Operator,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let mut left = arguments.count.unwrap_or(u64::MAX);
    follow(&arguments.operator, &arguments.path_to_follow(), |event, data| {
        match event {
            "missed" => terminal::note(format_args!("some are left out, this reads too slowly: {data}")),
            "request" => {
                left -= 1;
                return Ok(arguments.print(data)? && left > 0);
            }
            _ => {}
        }
        Ok(true)
    })
}

impl Arguments {
    fn path_to_follow(&self) -> String {
        let given = [
            ("status", &self.status),
            ("slower", &self.slower),
            ("route", &self.route),
            ("cluster", &self.cluster),
            ("endpoint", &self.endpoint),
            ("method", &self.method),
            ("path", &self.path),
            ("reason", &self.reason),
            ("operation", &self.operation),
            ("client", &self.client),
            ("principal", &self.principal),
            ("tenant", &self.tenant),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        with_query("/requests/live", given.chain(self.failed.then_some(("failed", "true"))))
    }

    /// Whether anybody reads it.
    fn print(&self, data: &str) -> Result<bool, Failure> {
        if self.json {
            return terminal::offer(data);
        }
        let record: Value = serde_json::from_str(data).unwrap_or_default();
        terminal::offer(line(&record))
    }
}

/// One request in one line.
fn line(record: &Value) -> String {
    let took = record.get("duration_ms").and_then(Value::as_f64).map(|millis| Value::from(millis / 1000.0));
    let stamp = text(record, "timestamp");
    let mut line = format!(
        "{} {} {} {} {} -> {}/{}",
        stamp.get(11..23).unwrap_or(&stamp),
        text(record, "status"),
        text(record, "method"),
        text(record, "path"),
        time(took.as_ref()),
        text(record, "cluster"),
        text(record, "endpoint"),
    );
    for name in ["operation", "task", "reason", "upstream_error", "request_id"] {
        if record.get(name).is_some() {
            line.push_str(&format!(" {name}={}", text(record, name)));
        }
    }
    visible(&line).into_owned()
}

const HELP: &str = "\
Examples:
  attache tail -c gateway.yaml
  attache tail --failed --route research -c gateway.yaml
  attache tail --slower 500ms --json -n 10 -c gateway.yaml

Exit codes: 0 as many as were asked for, or read no more, 1 not reached, refused or ended by the gateway, 2 wrong usage";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_one_line_whatever_is_in_it() {
        let record = json!({
            "timestamp": "2026-12-01T10:20:30.123Z", "status": 503, "method": "POST", "path": "/a\n\u{1b}[2J",
            "duration_ms": 12.5, "cluster": "pool", "endpoint": "10.0.0.1:80", "reason": "connect_failed", "request_id": "r1",
        });
        let expected =
            "10:20:30.123 503 POST /a\\u000a\\u001b[2J 12.5 ms -> pool/10.0.0.1:80 reason=connect_failed request_id=r1";
        assert_eq!(line(&record), expected);
    }
}
