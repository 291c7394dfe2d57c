//! `attache run`: starts the gateway, then listens to signals until it ends. SIGTERM and SIGINT drain, a second one ends at
//! once; SIGHUP reads the configuration again; SIGUSR1 opens the access log's file again.

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::configuration::Source;
use super::summary::{Bound, summary};
use super::{Ending, Failure, runtime, terminal};
use crate::config::{Environment, load};
use crate::gateway::Gateway;
use crate::observe::tracing_setup;

/// Arguments of `attache run`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let config = arguments.source.load()?.config;
    tracing_setup::init(&config.logging).map_err(|error| {
        Failure::new(
            format_args!("logging cannot be set up: {error}"),
            "correct `logging.level` or RUST_LOG, such as `info`",
        )
    })?;
    runtime()?.block_on(async {
        // Before anything else: a signal during start-up must not kill the process half-way.
        let signals = Signals::listen()?;
        let gateway = Gateway::start(config.clone())
            .await
            .map_err(|error| cannot_start(&error))?;
        let bound = Bound {
            listeners: gateway.addresses(),
            metrics: gateway.metrics_address(),
        };
        terminal::note(summary(&config, &bound).join("\n"));
        Ok(Box::pin(serve(gateway, signals, &arguments.source)).await)
    })
}

/// What to do about a gateway that does not start.
pub(super) fn cannot_start(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        format_args!("the gateway does not start: {}", causes(error)),
        "free the address or the file named above, or change it in the configuration",
    )
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

async fn serve(mut gateway: Gateway, mut signals: Signals, source: &Source) -> Ending {
    let lost = gateway.lost();
    loop {
        let event = tokio::select! {
            event = signals.next() => event,
            () = lost.cancelled() => break error!("a worker is gone: only a new start brings it back"),
        };
        match event {
            Event::Reload => reload(&mut gateway, source).await,
            Event::Reopen => gateway.reopen_log(),
            Event::Stop => break,
        }
    }
    info!("stopping: no new connections, running work may finish; a second signal ends at once");
    let hurry = CancellationToken::new();
    let drain = gateway.shutdown(hurry.clone());
    tokio::pin!(drain);
    let drained = tokio::select! {
        drained = &mut drain => drained,
        () = signals.stop() => {
            warn!("a second signal: stopping at once");
            hurry.cancel();
            tokio::time::timeout(AT_ONCE, drain).await.ok();
            return Ending::WorkCut;
        }
    };
    if lost.is_cancelled() {
        Ending::Failed
    } else if drained.cut == 0 {
        info!("stopped, nothing was cut off");
        Ending::Done
    } else {
        warn!(cut = drained.cut, "stopped, work was cut off");
        Ending::WorkCut
    }
}

/// Reads the configuration again. A failure changes nothing.
async fn reload(gateway: &mut Gateway, source: &Source) {
    match load(&source.config, &Environment::process()) {
        Ok(loaded) => {
            let hash = loaded.config.hash.clone();
            match gateway.reload(loaded.config).await {
                Ok(()) => info!(config = hash, "configuration reloaded"),
                Err(error) => {
                    error!(
                        error = causes(&error),
                        "not reloaded, the running configuration was not changed"
                    );
                }
            }
        }
        Err(report) => {
            terminal::note(report.human(terminal::has_color()).trim_end());
            error!("not reloaded, the running configuration was not changed");
        }
    }
}

enum Event {
    Stop,
    Reload,
    Reopen,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(
                    format_args!("signals cannot be received: {error}"),
                    "start it again",
                )
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::Stop,
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user1.recv() => Event::Reopen,
        }
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Event::Stop) {}
    }
}

/// Time for the last lines of the access log after a second signal.
const AT_ONCE: Duration = Duration::from_secs(3);

const HELP: &str = "\
Examples:
  attache run -c config/gateway.yaml
  ATTACHE_CONFIG=/etc/attache attache run

Signals: TERM and INT drain and stop (twice: at once), HUP reads the configuration again,
USR1 opens the access log's file again. Exit codes: 0 stopped with nothing cut off, 1 did
not start or a worker broke, 2 wrong usage, 3 stopped with work cut off";
