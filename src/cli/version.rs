//! `attache version`.

use clap::Args;

use super::{Ending, Failure, terminal};

/// Arguments of `attache version`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  attache version\n  attache version --json")]
pub(super) struct Arguments {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let (version, allocator) = (env!("CARGO_PKG_VERSION"), allocator());
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    if arguments.json {
        let facts = serde_json::json!({
            "name": "attache",
            "version": version,
            "platform": platform,
            "allocator": allocator,
            "a2a": ["1.0", "0.3"],
        });
        terminal::print(facts)?;
    } else {
        terminal::print(format_args!("attache {version} ({platform}, {allocator} allocator)"))?;
    }
    Ok(Ending::Done)
}

fn allocator() -> &'static str {
    if cfg!(feature = "mimalloc") { "mimalloc" } else { "system" }
}
