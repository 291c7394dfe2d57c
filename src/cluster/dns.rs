//! Names to addresses: one round at start, then one loop per cluster that keeps up with the answers' time to live. A name that
//! cannot be resolved keeps its last good answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::net::NetError;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::build::{Cluster, hosts};
pub use super::resolver::Resolver;
use crate::config::model::Config;

/// Asks for the addresses of a name.
pub trait Resolve: Send + Sync {
    /// One question, both address families. Dropping the future gives the question up.
    fn resolve(&self, host: &str) -> impl Future<Output = Result<Answer, Error>> + Send;
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At least one, in any order.
    pub addresses: Vec<IpAddr>,
    /// How long they hold.
    pub ttl: Duration,
}

/// Why a name has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The servers say that the name does not exist or has no addresses.
    #[error("the name has no addresses")]
    NoAddresses,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No server gave a usable answer.
    #[error("resolution failed: {0}")]
    Failed(#[source] NetError),
}

/// The outcome of a round of questions, by name.
pub type Resolutions = BTreeMap<String, Result<Answer, Error>>;

/// Asks once for every name in the configuration, all at the same time. Takes no longer than `limit`: names without an answer by
/// then are [`Error::TimedOut`], and the gateway starts without their endpoints. Dropping the future gives all questions up.
pub async fn resolve_all(config: &Config, resolver: &impl Resolve, limit: Duration) -> Resolutions {
    let names: BTreeSet<&str> = config.clusters.iter().flat_map(hosts).collect();
    ask(names.into_iter().map(str::to_owned), resolver, limit).await
}

/// Keeps the members of a cluster up to date. Ends at once when the cluster has no names to resolve, otherwise never: the caller
/// owns the task and aborts it. May be dropped at any point.
pub async fn refresh(cluster: Arc<Cluster>, resolver: impl Resolve) {
    while let Some(due) = cluster.due(Instant::now()) {
        match due {
            Err(next) => sleep_until(next).await,
            Ok(names) => {
                let outcomes = ask(names, &resolver, QUESTION_LIMIT).await;
                for (host, outcome) in &outcomes {
                    if let Err(error) = outcome {
                        warn!(cluster = %cluster.name, %host, %error, "name not resolved, keeping what is known");
                    }
                }
                if let Some(endpoints) = cluster.record(&outcomes) {
                    info!(cluster = %cluster.name, endpoints, "addresses changed");
                }
            }
        }
    }
}

async fn ask(names: impl IntoIterator<Item = String>, resolver: &impl Resolve, limit: Duration) -> Resolutions {
    let questions = names.into_iter().map(async |host| {
        let outcome = timeout(limit, resolver.resolve(&host)).await;
        // The deadline's own error says nothing more.
        let outcome = outcome.unwrap_or(Err(Error::TimedOut));
        (host, outcome)
    });
    join_all(questions).await.into_iter().collect()
}

/// One question, with all its attempts and servers.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
