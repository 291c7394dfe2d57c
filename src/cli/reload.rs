//! `attache reload`: has a running gateway read its configuration again and waits for what becomes of it.

use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};

use super::operator::{ByFile, unreachable};
use super::{Ending, Failure, runtime, terminal};

/// Arguments of `attache reload`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    operator: ByFile,
    /// Seconds to wait for the outcome.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Print the gateway's answer as it is.
    #[arg(long)]
    json: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let (client, name) = arguments.operator.find()?;
    let path = if terminal::has_color() && !arguments.json { "/reload?color=true" } else { "/reload" };
    let limit = Duration::from_secs(arguments.timeout);
    let asked = terminal::waiting("the gateway to take its configuration", client.ask(Method::POST, path, limit));
    let asked = runtime()?.block_on(asked);
    let (status, body) = asked.map_err(|error| unreachable(&error, &name))?;
    let text = String::from_utf8_lossy(&body);
    let ending = match status {
        StatusCode::OK => Ending::Done,
        StatusCode::UNPROCESSABLE_ENTITY => Ending::Failed,
        other => return Err(refused(other, text.trim(), &name)),
    };
    let answer: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        Failure::new(format_args!("{name}: the answer is not understood: {error}"), "is that the admin API of attache?")
    })?;
    if arguments.json {
        terminal::print(text.trim_end())?;
        return Ok(ending);
    }
    let said = |key: &str| answer.get(key).and_then(|value| value.as_str()).map(str::trim_end);
    if let Some(diagnostics) = said("diagnostics") {
        terminal::note(diagnostics);
    }
    match (ending, said("summary").unwrap_or_default()) {
        (Ending::Done, summary) => terminal::mention(summary),
        (_, summary) => terminal::note(summary),
    }
    Ok(ending)
}

fn refused(status: StatusCode, why: &str, name: &str) -> Failure {
    let next = match status {
        StatusCode::UNAUTHORIZED => "name the token's file with --token-file or ATTACHE_ADMIN_TOKEN_FILE",
        StatusCode::FORBIDDEN => "`admin.writes: rollouts` in the running configuration allows it",
        StatusCode::SERVICE_UNAVAILABLE => "try again",
        _ => "is that the admin API of attache?",
    };
    Failure::new(format_args!("{name}: {status}: {why}"), next)
}

const HELP: &str = "\
Examples:
  attache reload /etc/attache/gateway.yaml
  attache reload --admin unix:/run/attache/admin.sock
  ATTACHE_ADMIN_TOKEN_FILE=/run/secrets/admin attache reload --admin 10.0.0.5:9901 --json

Exit codes: 0 in force, 1 refused (the old configuration stays) or not reached, 2 wrong usage";
