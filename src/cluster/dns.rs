//! Names to addresses: one round at start, then one loop per cluster that keeps up with the answers' time to live. A name that
//! cannot be resolved keeps its last good answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::net::NetError;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

pub use super::resolver::Resolver;
use super::roster::hosts;
use super::{Cluster, Due};
use crate::config::model::Config;
use crate::observe::metrics::Metrics;

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
    #[error("resolution failed")]
    Failed(#[source] NetError),
}

/// The outcome of a round of questions, by name.
pub type Resolutions = BTreeMap<String, Result<Answer, Error>>;

/// Asks once for every name in the configuration, all at the same time. Takes no longer than `limit`: names without an answer by
/// then are [`Error::TimedOut`], and the gateway starts without their endpoints. Dropping the future gives all questions up.
pub async fn resolve_all(config: &Config, resolver: &impl Resolve, limit: Duration) -> Resolutions {
    let names: BTreeSet<&str> = config.clusters.iter().flat_map(hosts).collect();
    let outcomes = ask(names.into_iter().map(str::to_owned), resolver, limit).await;
    for (host, outcome) in &outcomes {
        if let Err(error) = outcome {
            warn!(%host, error = error as &dyn std::error::Error, "name not resolved");
        }
    }
    outcomes
}

/// Keeps the members of a cluster up to date, and counts the answers. Ends at once when the cluster has no names to resolve, otherwise never: the caller
/// owns the task and aborts it. May be dropped at any point.
pub async fn refresh(cluster: Arc<Cluster>, resolver: impl Resolve, metrics: Arc<Metrics>) {
    while let Some(due) = cluster.due(Instant::now()) {
        match due {
            Due::At(next) => sleep_until(next).await,
            Due::Now(names) => {
                let outcomes = ask(names, &resolver, QUESTION_LIMIT).await;
                report(&cluster, &outcomes);
                count(&cluster, &outcomes, &metrics);
                if let Some(endpoints) = cluster.record(&outcomes) {
                    info!(cluster = %cluster.name, endpoints, "addresses changed");
                }
            }
        }
    }
}

/// One line when a name goes stale and one when it is back: a server that is down for an hour must not fill the log.
fn report(cluster: &Cluster, outcomes: &Resolutions) {
    for (host, outcome) in outcomes {
        match (outcome, cluster.is_stale(host)) {
            (Err(error), false) => {
                let error = error as &dyn std::error::Error;
                warn!(cluster = %cluster.name, %host, error, "name not resolved, keeping its last addresses");
            }
            (Err(error), true) => {
                let error = error as &dyn std::error::Error;
                debug!(cluster = %cluster.name, %host, error, "name still not resolved");
            }
            (Ok(_), true) => info!(cluster = %cluster.name, %host, "name resolved again"),
            (Ok(_), false) => {}
        }
    }
}

fn count(cluster: &Cluster, outcomes: &Resolutions, metrics: &Metrics) {
    for outcome in outcomes.values() {
        let result = match outcome {
            Ok(_) => "ok",
            Err(Error::NoAddresses) => "no_addresses",
            Err(Error::TimedOut) => "timeout",
            Err(Error::Failed(_)) => "failed",
        };
        metrics.dns_refreshed(&cluster.name, result);
    }
}

async fn ask(
    names: impl IntoIterator<Item = String>,
    resolver: &impl Resolve,
    limit: Duration,
) -> Resolutions {
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::pending;
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;
    use crate::config::model::{self, LoadBalancer, Member, MemberAddress, UpstreamProtocol};

    /// Gives its answers in order and then never again.
    #[derive(Default)]
    struct Scripted {
        answers: Mutex<BTreeMap<&'static str, VecDeque<Result<Answer, Error>>>>,
    }

    impl Scripted {
        fn then(self, host: &'static str, answer: Result<Answer, Error>) -> Self {
            self.answers
                .lock()
                .unwrap()
                .entry(host)
                .or_default()
                .push_back(answer);
            self
        }
    }

    impl Resolve for Scripted {
        async fn resolve(&self, host: &str) -> Result<Answer, Error> {
            let answer = self
                .answers
                .lock()
                .unwrap()
                .get_mut(host)
                .and_then(VecDeque::pop_front);
            match answer {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    }

    fn answer(ips: &[[u8; 4]], ttl: u64) -> Result<Answer, Error> {
        let addresses = ips.iter().map(|ip| IpAddr::from(*ip)).collect();
        Ok(Answer {
            addresses,
            ttl: Duration::from_secs(ttl),
        })
    }

    fn cluster(hosts: &[&str]) -> Arc<Cluster> {
        let member = |host: &&str| Member {
            address: MemberAddress::Name {
                host: (*host).to_owned(),
                port: 80,
            },
            weight: 1,
            labels: BTreeMap::new(),
            priority: 0,
        };
        let settings = model::Cluster {
            name: "agents".to_owned(),
            members: hosts.iter().map(member).collect(),
            load_balancer: LoadBalancer::LeastConnection,
            protocol: UpstreamProtocol::Http1,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_idle: 256,
            tcp_keepalive: None,
            dns_refresh: None,
            health_check: None,
            circuit_breaker: model::CircuitBreaker::default(),
            slow_start: None,
            panic: model::Panic::DEFAULT,
            outlier_detection: None,
            zone: None,
        };
        Arc::new(Cluster::build(
            Arc::new(settings),
            None,
            &Resolutions::new(),
        ))
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[1.0]).unwrap())
    }

    fn ips(cluster: &Cluster) -> Vec<String> {
        cluster
            .members()
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.ip().to_string())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn members_follow_the_answers_and_survive_failures() {
        let script = Scripted::default()
            .then("a", answer(&[[10, 0, 0, 1]], 20))
            .then("a", answer(&[[10, 0, 0, 1]], 20))
            .then("a", answer(&[[10, 0, 0, 2], [10, 0, 0, 3]], 20))
            .then("a", Err(Error::TimedOut))
            .then("a", answer(&[[10, 0, 0, 3]], 20));
        let cluster = cluster(&["a"]);
        let metrics = metrics();
        let task = tokio::spawn(refresh(Arc::clone(&cluster), script, Arc::clone(&metrics)));
        let mut generations = vec![cluster.generation()];
        for (seconds, expected) in [
            (10, &["10.0.0.1"][..]),
            (20, &["10.0.0.1"]),
            (20, &["10.0.0.2", "10.0.0.3"]),
            // Due at 60 s, fails; asked again at 61 s.
            (10, &["10.0.0.2", "10.0.0.3"]),
            (2, &["10.0.0.3"]),
        ] {
            sleep(Duration::from_secs(seconds)).await;
            assert_eq!(ips(&cluster), expected);
            generations.push(cluster.generation());
        }
        generations.dedup();
        assert_eq!(generations.len(), 4, "only changes make a generation");
        let text = metrics.render().unwrap();
        for (result, count) in [("ok", 4), ("timeout", 1)] {
            let series = format!(
                "attache_dns_refreshes_total{{cluster=\"agents\",result=\"{result}\"}} {count}\n"
            );
            assert!(text.contains(&series), "{series} in {text}");
        }
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_answer_does_not_stop_the_others() {
        let script = Scripted::default()
            .then("good", answer(&[[10, 0, 0, 1]], 5))
            .then("good", answer(&[[10, 0, 0, 2]], 300));
        let cluster = cluster(&["good", "silent"]);
        let task = tokio::spawn(refresh(Arc::clone(&cluster), script, metrics()));
        sleep(Duration::from_secs(11)).await;
        assert_eq!(ips(&cluster), ["10.0.0.1"]);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(ips(&cluster), ["10.0.0.2"]);
        let names = cluster.status().names;
        assert!(names[0].stale_since.is_none() && names[1].stale_since.is_some());
        task.abort();
    }

    #[test]
    fn the_loop_may_run_on_any_runtime() {
        fn is_send(_: &impl Send) {}
        let resolver = Resolver::new(&model::Dns::default()).unwrap();
        is_send(&refresh(cluster(&["a"]), resolver, metrics()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_without_names_needs_no_loop() {
        refresh(cluster(&[]), Scripted::default(), metrics()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_takes_no_longer_than_its_limit() {
        let script = Scripted::default().then("good", answer(&[[10, 0, 0, 1]], 5));
        let start = Instant::now();
        let names = ["good", "silent"].map(str::to_owned);
        let outcomes = ask(names, &script, Duration::from_secs(3)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(outcomes["good"].is_ok());
        assert!(matches!(outcomes["silent"], Err(Error::TimedOut)));
    }
}
