//! `attache demo`: a whole gateway with something behind it and somebody in front of it, in one process, for looking
//! at. Certificates, configuration and access log live in a temporary directory that goes away with it.

mod client;
mod setup;
mod tour;
mod traffic;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Ending, Failure, run, runtime, terminal};
use crate::config::{Environment, load};
use crate::demo::{self, Agent, Personality};
use crate::gateway::Gateway;
use crate::observe::stderr::Stderr;
use crate::observe::tracing_setup;
use crate::observe::voice::Voice;
use client::Client;
use setup::{Ports, Setup};
use traffic::Traffic;

/// Arguments of `attache demo`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Only the demo agents, without gateway and traffic: something to put a gateway of your own in front of.
    #[arg(long, conflicts_with_all = ["https_port", "http_port", "quiet"])]
    agents_only: bool,
    /// Address of the first agent; the others take the next six ports. Port 0: any free ports.
    /// [default: 127.0.0.1:9101 with --agents-only, else 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// Gateway in front of the agents, such as https://localhost:8443: each agent's card then names that URL and the
    /// agent's name as its path; the replicas share `team`.
    #[arg(long, value_name = "URL", requires = "agents_only")]
    public_url: Option<String>,
    /// Port of the HTTPS listener; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,
    /// Port of the HTTP listener, which redirects to HTTPS; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http_port: u16,
    /// No tour and no traffic of its own.
    #[arg(long)]
    quiet: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let stderr = run::stderr()?;
    let voice = Voice::new(stderr.clone(), true);
    voice.tell_panics();
    let ending = runtime()?.block_on(async {
        // Before the first line, so that whoever reads it may interrupt at once.
        let stop = Stop::listen()?;
        if arguments.agents_only {
            Box::pin(agents_only(arguments, stop)).await
        } else {
            Box::pin(whole(arguments, stop, &stderr)).await
        }
    });
    let _written = stderr.flush(run::LAST_LINES);
    ending
}

async fn agents_only(arguments: &Arguments, stop: Stop) -> Result<Ending, Failure> {
    let base = arguments.address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], AGENTS_PORT)));
    let public = arguments.public_url.as_deref().map(|url| url.trim_end_matches('/'));
    let agents = start_agents(base, |personality| Some(format!("{}/{}/", public?, personality.route()))).await?;
    terminal::mention("Seven A2A agents (1.0 and 0.3), for a gateway of your own:\n");
    for agent in &agents {
        let personality = agent.personality();
        terminal::mention(format_args!(
            "  http://{}/  {:<7} {}",
            agent.address(),
            personality.name(),
            personality.about()
        ));
    }
    if let Some(first) = agents.first() {
        terminal::mention(format_args!("\nTry one:\n  {}", setup::send("", &format!("http://{}", first.address()))));
    }
    terminal::mention("\nCtrl-C ends them.");
    stop.wait().await;
    Ok(Ending::Done)
}

async fn whole(arguments: &Arguments, stop: Stop, stderr: &Stderr) -> Result<Ending, Failure> {
    let ports = Ports::choose(arguments.https_port, arguments.http_port)?;
    let base = arguments.address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut agents = start_agents(base, |personality| Some(setup::public_url(ports.https, personality))).await?;
    let setup = Setup::create(ports, &agents)?;
    let loaded = load(&setup.config, &Environment::process())
        .map_err(|report| super::configuration::invalid(&setup.config, &report))?;
    // Whatever is left unsaid if this fails is said by the demo's own lines.
    let events = tracing_setup::init(&loaded.config.logging, stderr).ok();
    let mut gateway = Gateway::start(loaded.config).await.map_err(|error| run::cannot_start(&error))?;
    gateway.count_lost_lines(stderr);
    events.into_iter().for_each(|events| events.show(gateway.live()));
    terminal::mention(setup.welcome(gateway.metrics_address(), gateway.admin_address()));

    if arguments.quiet {
        tokio::select! {
            () = gateway.perform_all() => {}
            () = stop.wait() => {}
        }
    } else {
        let client = Client::towards(ports.https, &setup.authority)?;
        let traffic = Traffic::new(&client, stderr.clone());
        let shown = async {
            match Box::pin(tour::show(&client, &mut agents, |who| setup::public_url(ports.https, who))).await {
                Ok(told) => terminal::mention(told),
                Err(error) => stderr.write(format!("the tour ended early: {error}\n")),
            }
            traffic.run().await;
        };
        tokio::select! {
            () = shown => {}
            () = gateway.perform_all() => {}
            () = stop.wait() => {}
        }
        stderr.write(format!("\n{}\n", traffic.so_far()));
    }
    // Long streams of a demo are not worth waiting for: its configuration drains for a second.
    tokio::time::timeout(PATIENCE, gateway.shutdown(CancellationToken::new())).await.ok();
    drop(agents);
    stderr.write("Ended, everything is cleaned up.\n");
    Ok(Ending::Done)
}

async fn start_agents(base: SocketAddr, url: impl Fn(Personality) -> Option<String>) -> Result<Vec<Agent>, Failure> {
    demo::start_all(base, url).await.map_err(|error| {
        Failure::new(
            format_args!("the demo agents cannot listen: {error}"),
            "choose other ports with --address, such as 127.0.0.1:9201, or 127.0.0.1:0 for any",
        )
    })
}

/// Waits for Ctrl-C or SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(format_args!("signals cannot be received: {error}"), "start it again"))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

const AGENTS_PORT: u16 = 9101;
const PATIENCE: Duration = Duration::from_secs(5);

const HELP: &str = "\
Examples:
  attache demo
  attache demo --https-port 0 --http-port 0 --quiet
  attache demo --agents-only
  attache demo --agents-only --address 127.0.0.1:9201 --public-url https://localhost:8443";
