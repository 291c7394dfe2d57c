//! What configurations mean and how they are shown, asked of what the room offers to the rest of the gateway.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

mod differences;
mod ejection;
mod inputs;
mod outputs;
mod restarts;
mod retries;
mod sections;
mod shown;
mod written;

use std::time::SystemTime;

use attache::config::{Environment, Loaded, parse};

fn env() -> Environment {
    Environment::empty(SystemTime::UNIX_EPOCH)
}

/// A configuration that is legal.
fn loaded(text: &str) -> Loaded {
    parse(text, "gateway.yaml", &env()).unwrap_or_else(|report| panic!("{text}\n{report}"))
}
