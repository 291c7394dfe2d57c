//! Names to addresses: one round at start, then one loop per cluster that keeps up with the answers' time to live. A
//! name that cannot be resolved keeps its last good answer.

mod answer;
mod lookup;
mod names;
mod resolution;
mod resolver;
mod system;

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

pub use self::answer::{Error, Family, Missing, Resolutions, Resolve, ResolvedName};
use self::names::Due;
pub(in crate::cluster) use self::names::Names;
use self::names::hosts;
use self::resolution::Stale;
pub use self::resolver::Resolver;
use super::Source;
use crate::cluster::Cluster;
use crate::config::model::{Config, MemberAddress};
use crate::observe::metrics::Metrics;

/// Asks once for every name in the configuration, all at the same time. Takes no longer than `limit`: names without an
/// answer by then are [`Error::TimedOut`], and the gateway starts without their endpoints. Dropping the future gives
/// all questions up.
pub async fn resolve_all(config: &Config, resolver: &impl Resolve, limit: Duration) -> Resolutions {
    let names: BTreeSet<&str> = config.clusters.iter().flat_map(hosts).collect();
    let asking = names.into_iter().map(async |host| {
        let outcome = ask(host.to_owned(), resolver, limit, FIRST_PATIENCE).await;
        report_first(&outcome);
        outcome
    });
    join_all(asking).await.into_iter().collect()
}

/// Keeps the members of a cluster up to date, and counts the answers. Each name is on its own: one that waits for its
/// answer holds up no other. Ends at once when the cluster has no names to resolve, otherwise never: the caller owns
/// the task and aborts it. May be dropped at any point.
pub async fn refresh(cluster: Arc<Cluster>, resolver: impl Resolve, metrics: Arc<Metrics>) {
    let mut asking = FuturesUnordered::new();
    let mut asked = BTreeSet::new();
    loop {
        let due = cluster.names.due(Instant::now(), &asked);
        if due.is_none() && asking.is_empty() {
            return;
        }
        let next = match due {
            Some(Due::Now(names)) => {
                for host in names {
                    asked.insert(host.clone());
                    asking.push(ask(host, &resolver, QUESTION_LIMIT, PATIENCE));
                }
                continue;
            }
            Some(Due::At(next)) => Some(next),
            None => None,
        };
        let wait = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some((host, outcome)) = asking.next(), if !asking.is_empty() => {
                asked.remove(&host);
                take(&cluster, &host, &outcome, &metrics);
            }
            () = wait => {}
        }
    }
}

fn take(cluster: &Cluster, host: &str, outcome: &Result<ResolvedName, Error>, metrics: &Metrics) {
    report(cluster, host, outcome);
    metrics.dns_refreshes(&cluster.name, result(outcome)).inc();
    record(cluster, host, outcome);
}

/// Hands what an answer changes to the cluster, for every entry of the configuration with that name. Returns whether
/// the addresses changed.
pub(in crate::cluster) fn record(cluster: &Cluster, host: &str, outcome: &Result<ResolvedName, Error>) -> bool {
    let changed = cluster.names.record(host, outcome);
    for member in cluster.settings.members.iter().filter(|_| changed) {
        if let MemberAddress::Name { host: own, port } = &member.address
            && own == host
        {
            cluster.set_members(&Source::from(member), cluster.names.found(member, host, *port));
        }
    }
    changed
}

/// One line when a name or one of its families goes stale and one when it is back: a server that is down for an hour
/// must not fill the log.
fn report(cluster: &Cluster, host: &str, outcome: &Result<ResolvedName, Error>) {
    let before = cluster.names.stale(host);
    match outcome {
        Err(error) if before == Some(Stale::Whole) => {
            debug!(cluster = %cluster.name, %host, %error, "name still not resolved");
        }
        Err(error) => {
            warn!(cluster = %cluster.name, %host, %error, "name not resolved, keeping its last addresses");
        }
        Ok(answer) => match &answer.missing {
            Some(Missing { family, reason }) if before == Some(Stale::Family(*family)) => {
                debug!(cluster = %cluster.name, %host, %family, %reason, "addresses of one family still not known");
            }
            Some(Missing { family, reason }) => {
                warn!(cluster = %cluster.name, %host, %family, %reason, "addresses of one family not known, keeping its last");
            }
            None if before.is_some() => {
                info!(cluster = %cluster.name, %host, "name resolved again");
            }
            None => {}
        },
    }
}

fn report_first((host, outcome): &(String, Result<ResolvedName, Error>)) {
    match outcome {
        Err(error) => warn!(%host, %error, "name not resolved"),
        Ok(ResolvedName { missing: Some(Missing { family, reason }), .. }) => {
            info!(%host, %family, %reason, "addresses of one family not known, starting with the other");
        }
        Ok(_) => {}
    }
}

fn result(outcome: &Result<ResolvedName, Error>) -> &'static str {
    match outcome {
        Ok(answer) if answer.missing.is_some() => "partial",
        Ok(_) => "ok",
        Err(Error::NoAddresses) => "no_addresses",
        Err(Error::TimedOut) => "timeout",
        Err(Error::Failed(_)) => "failed",
    }
}

async fn ask(
    host: String,
    resolver: &impl Resolve,
    limit: Duration,
    patience: Duration,
) -> (String, Result<ResolvedName, Error>) {
    let outcome = timeout(limit, resolver.resolve(&host, patience)).await;
    // The deadline's own error says nothing more.
    let outcome = outcome.unwrap_or(Err(Error::TimedOut));
    (host, outcome)
}

/// One question, with all its attempts and servers.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// How long the gateway waits for one family after the other is answered, when it has no addresses yet (RFC 8305
/// section 8).
const FIRST_PATIENCE: Duration = Duration::from_millis(50);

/// The same later on, when the last addresses are in use meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::net::IpAddr;
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;
    use crate::cluster::tests::settings;
    use crate::config::model::{self, Member};

    /// Gives its answers in order and then never again.
    #[derive(Default)]
    struct Scripted {
        answers: Mutex<BTreeMap<&'static str, VecDeque<Result<ResolvedName, Error>>>>,
    }

    impl Scripted {
        fn then(self, host: &'static str, answer: Result<ResolvedName, Error>) -> Self {
            self.answers.lock().unwrap().entry(host).or_default().push_back(answer);
            self
        }
    }

    impl Resolve for Scripted {
        async fn resolve(&self, host: &str, _patience: Duration) -> Result<ResolvedName, Error> {
            let answer = self.answers.lock().unwrap().get_mut(host).and_then(VecDeque::pop_front);
            match answer {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    }

    fn answer(ips: &[[u8; 4]], ttl: u64) -> Result<ResolvedName, Error> {
        let addresses = ips.iter().map(|ip| IpAddr::from(*ip)).collect();
        Ok(ResolvedName { addresses, ttl: Duration::from_secs(ttl), missing: None })
    }

    fn cluster(hosts: &[&str]) -> Arc<Cluster> {
        let member = |host: &&str| Member {
            address: MemberAddress::Name { host: (*host).to_owned(), port: 80 },
            weight: 1,
            labels: BTreeMap::new(),
            priority: 0,
            grpc: None,
        };
        let settings = settings(hosts.iter().map(member).collect());
        Arc::new(Cluster::build(Arc::new(settings), None, &Resolutions::new()))
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[1.0]).unwrap())
    }

    fn ips(cluster: &Cluster) -> Vec<String> {
        cluster.members().endpoints.iter().map(|endpoint| endpoint.address.ip().to_string()).collect()
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
            let series = format!("attache_dns_refreshes_total{{cluster=\"agents\",result=\"{result}\"}} {count}\n");
            assert!(text.contains(&series), "{series} in {text}");
        }
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_answer_does_not_stop_the_others() {
        let script =
            Scripted::default().then("good", answer(&[[10, 0, 0, 1]], 5)).then("good", answer(&[[10, 0, 0, 2]], 300));
        let cluster = cluster(&["good", "silent"]);
        let task = tokio::spawn(refresh(Arc::clone(&cluster), script, metrics()));
        // The question for the other name is given up after 10 s.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(ips(&cluster), ["10.0.0.1"]);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(ips(&cluster), ["10.0.0.2"]);
        sleep(Duration::from_secs(5)).await;
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
        let limit = Duration::from_secs(3);
        for (host, took) in [("good", Duration::ZERO), ("silent", limit)] {
            let (_, outcome) = ask(host.to_owned(), &script, limit, PATIENCE).await;
            assert_eq!((outcome.is_ok(), start.elapsed()), (host == "good", took));
        }
    }
}
