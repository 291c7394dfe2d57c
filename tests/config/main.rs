//! What configurations mean and how they are shown, asked of what the room offers to the rest of the gateway.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

mod certificates;
mod differences;
mod ejection;
mod faults;
mod inputs;
mod outputs;
mod restarts;
mod retries;
mod sections;
mod shown;
mod values;
mod written;

use std::time::{Duration, SystemTime};

use attache::config::{Environment, Loaded, Report, parse};

/// The day of these tests: 2026-09-21.
fn env() -> Environment {
    Environment::empty(SystemTime::UNIX_EPOCH + Duration::from_secs(TODAY))
}

/// Codes of what is said, in the order of the file.
fn codes(report: &Report) -> Vec<&str> {
    report.diagnostics().iter().map(|diagnostic| diagnostic.code).collect()
}

/// A configuration that is legal.
fn loaded(text: &str) -> Loaded {
    parse(text, "gateway.yaml", &env()).unwrap_or_else(|report| panic!("{text}\n{report}"))
}

const TODAY: u64 = 1_790_000_000;
