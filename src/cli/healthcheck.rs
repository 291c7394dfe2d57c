//! `attache healthcheck`: asks a running gateway how it is, for images that hold nothing but this binary.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::operator::{nearest, silent};
use super::{Ending, Failure, runtime, terminal};
use crate::admin::probe::probe;
use crate::config::{Environment, metrics_address};

/// Arguments of `attache healthcheck`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Configuration of the running gateway, whose metrics listener is asked. It may be broken otherwise. Not taken
    /// from ATTACHE_CONFIG: an edit that the gateway refused must not fail its probe.
    #[arg(short, long = "config", value_name = "FILE|DIR", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// What to ask: /ready, /health or /startup of the metrics listener.
    #[arg(long, default_value = "http://127.0.0.1:9090/ready")]
    url: String,
    /// Seconds to wait for the answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// Print one JSON object, whatever comes of it.
    #[arg(long)]
    json: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let url = &arguments.url()?;
    let asked = runtime()?.block_on(probe(url, Duration::from_secs(arguments.timeout)));
    if arguments.json {
        return told(url, &asked.map_err(|error| error.to_string()));
    }
    match asked {
        Ok(200) => {
            terminal::mention("ok");
            Ok(Ending::Done)
        }
        Ok(status) => Err(Failure::new(
            format_args!("{url} answered {status}"),
            "read the answer's checks (curl the same URL) and the gateway's log",
        )),
        Err(error) => {
            Err(Failure::new(format_args!("{url}: {error}"), "is the gateway running, and is `metrics.address` there?"))
        }
    }
}

/// The outcome for programs.
fn told(url: &str, asked: &Result<u16, String>) -> Result<Ending, Failure> {
    let is_ok = *asked == Ok(200);
    let (status, error) = (asked.as_ref().ok(), asked.as_ref().err());
    terminal::print(serde_json::json!({ "ok": is_ok, "url": url, "status": status, "error": error }))?;
    Ok(if is_ok { Ending::Done } else { Ending::Failed })
}

impl Arguments {
    fn url(&self) -> Result<String, Failure> {
        let Some(path) = &self.config else {
            return Ok(self.url.clone());
        };
        let found = metrics_address(path, &Environment::process());
        match found.map_err(|report| silent(path, &report, "metrics listener", "--url"))? {
            Some(address) => Ok(format!("http://{}/ready", nearest(address))),
            None => Err(Failure::new(
                format_args!("{} has no metrics listener", path.display()),
                "its configuration says `metrics: { address: off }`, so it cannot be asked",
            )),
        }
    }
}

const HELP: &str = "\
Examples:
  attache healthcheck
  attache healthcheck -c /etc/attache/gateway.yaml
  attache healthcheck --url http://127.0.0.1:9090/health --timeout 5
  attache healthcheck --json

Exit codes: 0 answered 200, 1 anything else, 2 wrong usage";
