//! Demo agents: seven small A2A agents that run inside the process, so that the gateway has something real to talk to
//! before anybody has written an agent; three are replicas of one. They speak A2A 1.0 (JSON-RPC and REST) and 0.3
//! (JSON-RPC), stream, and keep their tasks in a bounded store. This room knows nothing of the gateway.

mod answer;
mod call;
mod card;
mod handler;
mod server;
mod store;
mod task;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use handler::Handler;

/// How one demo agent behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// Answers at once.
    Fast,
    /// Ten pieces of an answer, one every half second.
    Slow,
    /// Every third call fails: a 503 and a closed connection in turn.
    Flaky,
    /// As [`Personality::Fast`], and says it is version 2.
    Second,
    /// One of the replicas of an agent that works for a minute, a piece every second. Each has tasks of its own.
    Team(Replica),
}

/// One of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replica {
    /// The first.
    One,
    /// The second.
    Two,
    /// The third.
    Three,
}

impl Personality {
    /// All, in the order of their ports.
    pub const ALL: [Self; 7] = [
        Self::Fast,
        Self::Slow,
        Self::Flaky,
        Self::Second,
        Self::Team(Replica::One),
        Self::Team(Replica::Two),
        Self::Team(Replica::Three),
    ];

    /// The agent's name, as its replies give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::Flaky => "flaky",
            Self::Second => "second",
            Self::Team(Replica::One) => "team-1",
            Self::Team(Replica::Two) => "team-2",
            Self::Team(Replica::Three) => "team-3",
        }
    }

    /// Where the gateway of `attache demo` has it: its name, which replicas share.
    #[must_use]
    pub fn route(self) -> &'static str {
        if self.is_replica() { "team" } else { self.name() }
    }

    /// Whether it is one of several replicas.
    #[must_use]
    pub fn is_replica(self) -> bool {
        matches!(self, Self::Team(_))
    }

    /// The version it claims.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Second => "2.0.0",
            Self::Fast | Self::Slow | Self::Flaky | Self::Team(_) => "1.0.0",
        }
    }

    /// One line about it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Fast => "answers at once",
            Self::Slow => "streams ten pieces, one every half second",
            Self::Flaky => "fails every third call: 503 or a closed connection",
            Self::Second => "the next version of fast",
            Self::Team(_) => "a replica: works for a minute, has tasks of its own",
        }
    }

    /// Wait before each piece of an answer.
    fn pace(self) -> Duration {
        match self {
            Self::Slow => Duration::from_millis(500),
            Self::Team(_) => Duration::from_secs(1),
            Self::Fast | Self::Flaky | Self::Second => Duration::ZERO,
        }
    }

    /// Pieces an answer comes in.
    fn pieces(self) -> usize {
        match self {
            Self::Slow => 10,
            Self::Team(_) => 60,
            Self::Fast | Self::Flaky | Self::Second => 2,
        }
    }
}

/// A running demo agent; it ends when this is dropped.
#[derive(Debug)]
pub struct Agent {
    personality: Personality,
    address: SocketAddr,
    handler: Arc<Handler>,
    serving: JoinHandle<()>,
}

impl Agent {
    /// Binds `address` and starts to answer. `public_url` goes into the agent card: the URL clients shall use; without
    /// one it is the agent's own address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(personality: Personality, address: SocketAddr, public_url: Option<String>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Self::serve(personality, listener, public_url)
    }

    fn serve(personality: Personality, listener: TcpListener, public_url: Option<String>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let url = public_url.unwrap_or_else(|| format!("http://{address}/"));
        let handler = Arc::new(Handler::new(personality, &url));
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&handler)));
        Ok(Self { personality, address, handler, serving })
    }

    /// Ends it with its connections and tasks; its address is free afterwards.
    pub async fn kill(mut self) {
        self.serving.abort();
        (&mut self.serving).await.ok();
    }

    /// Whether it has a task.
    #[must_use]
    pub fn holds(&self, task: &str) -> bool {
        self.handler.holds(task)
    }

    /// Which one it is.
    #[must_use]
    pub fn personality(&self) -> Personality {
        self.personality
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Starts all on consecutive ports from `base`; with port 0 each takes any free port. `public_url` says which URL
/// an agent's card shall name.
///
/// # Errors
/// When one of the addresses cannot be bound; the error names it.
pub async fn start_all(base: SocketAddr, public_url: impl Fn(Personality) -> Option<String>) -> io::Result<Vec<Agent>> {
    let mut agents = Vec::with_capacity(Personality::ALL.len());
    for (offset, personality) in (0_u16..).zip(Personality::ALL) {
        let address = at_offset(base, offset)?;
        let agent = Agent::start(personality, address, public_url(personality))
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        agents.push(agent);
    }
    Ok(agents)
}

fn at_offset(base: SocketAddr, offset: u16) -> io::Result<SocketAddr> {
    let ip: IpAddr = base.ip();
    if base.port() == 0 {
        return Ok(base);
    }
    let port = base.port().checked_add(offset);
    let port =
        port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the agents need seven ports in a row"))?;
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests;
