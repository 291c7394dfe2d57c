//! Supervises the tasks beside the traffic, so that none ends unnoticed. A task that breaks is logged and counted.
//! `Task::upon_end` says whether it is started again after a while, or whether the gateway drains.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::observe::metrics::Metrics;

/// What runs beside the traffic, or carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A thread that serves requests.
    Worker,
    /// Taking another configuration.
    Reload,
    /// The listener of metrics and probes.
    Metrics,
    /// The admin API.
    Admin,
    /// Moving splits.
    Rollouts,
    /// Freeing old configurations.
    OldConfigurations,
    /// Forgetting the series of what is gone.
    OldSeries,
    /// Looking at the files.
    Files,
    /// Writing the last good state again where that failed.
    LastGood,
    /// The addresses of a cluster.
    Dns,
    /// The health of a cluster.
    Health,
    /// The figures of clusters, and the intervals of outlier detection.
    Clusters,
    /// Forgetting and counting what agents hold.
    Affinity,
    /// Forgetting clients.
    RateLimits,
    /// Looking at certificates.
    Certificates,
    /// Forgetting clients that were blocked.
    Abuse,
    /// Ordering certificates.
    Acme,
    /// Fetching the keys of an issuer of tokens.
    IssuerKeys,
    /// Showing what providers remember.
    AuthLoads,
}

/// What happens when a task breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UponEnd {
    /// It is started again: it keeps no state that cannot be rebuilt.
    Restart,
    /// Nothing: it was about to end anyway.
    Leave,
    /// The gateway drains: the state of the task is unknown.
    Fatal,
}

impl Task {
    /// The word in log and metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Reload => "reload",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
            Self::Rollouts => "rollouts",
            Self::OldConfigurations => "old-configurations",
            Self::OldSeries => "old-series",
            Self::Files => "files",
            Self::LastGood => "last-good",
            Self::Dns => "dns",
            Self::Health => "health",
            Self::Clusters => "clusters",
            Self::Affinity => "affinity",
            Self::RateLimits => "rate-limits",
            Self::Certificates => "certificates",
            Self::Abuse => "abuse",
            Self::Acme => "acme",
            Self::IssuerKeys => "issuer-keys",
            Self::AuthLoads => "auth-loads",
        }
    }

    pub(super) fn upon_end(self) -> UponEnd {
        match self {
            Self::Worker | Self::Reload => UponEnd::Fatal,
            Self::OldSeries => UponEnd::Leave,
            Self::Metrics
            | Self::Admin
            | Self::Rollouts
            | Self::OldConfigurations
            | Self::Files
            | Self::LastGood
            | Self::Dns
            | Self::Health
            | Self::Clusters
            | Self::Affinity
            | Self::RateLimits
            | Self::Certificates
            | Self::Acme
            | Self::IssuerKeys
            | Self::AuthLoads
            | Self::Abuse => UponEnd::Restart,
        }
    }

    /// Whether it may end by itself: because there is nothing to do, or because the gateway stops.
    fn may_end(self) -> bool {
        let goes_on = [
            Self::OldConfigurations,
            Self::Clusters,
            Self::Affinity,
            Self::Certificates,
            Self::Acme,
            Self::IssuerKeys,
            Self::Abuse,
        ];
        !goes_on.contains(&self)
    }
}

/// Tasks of one owner. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Tasks {
    set: JoinSet<()>,
    metrics: Arc<Metrics>,
}

impl Tasks {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self { set: JoinSet::new(), metrics: Arc::clone(metrics) }
    }

    /// Starts a task that `begin` makes, and makes again when it broke.
    pub(super) fn start<F, R>(&mut self, task: Task, begin: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        drop(self.metrics.task_ends(task.word()));
        self.set.spawn(supervise(task, Arc::clone(&self.metrics), begin));
    }

    /// Does a job on the blocking threads of `runtime`.
    pub(super) fn start_job(&mut self, task: Task, runtime: &Handle, job: impl FnOnce() + Send + 'static) {
        let metrics = Arc::clone(&self.metrics);
        let job = move || {
            if std::panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                broke(task, &metrics);
            }
        };
        self.set.spawn_blocking_on(job, runtime);
    }

    /// Waits for the end of one that may end.
    pub(super) async fn ended(&mut self) {
        self.set.join_next().await;
    }
}

/// Tells of a task that broke, and counts it.
pub(super) fn broke(task: Task, metrics: &Metrics) {
    metrics.task_ends(task.word()).inc();
    let next = match task.upon_end() {
        UponEnd::Restart => "it is started again",
        UponEnd::Leave => "it is left as it is",
        UponEnd::Fatal => "the gateway drains, only a new start brings it back",
    };
    tracing::error!(task = task.word(), "a task of the gateway broke, {next}");
}

async fn supervise<F, R>(task: Task, metrics: Arc<Metrics>, begin: F)
where
    F: Fn() -> R + Send + Sync,
    R: Future<Output = ()> + Send,
{
    let mut pause = SHORTEST;
    loop {
        let began = Instant::now();
        let whole = AssertUnwindSafe(async { begin().await });
        if whole.catch_unwind().await.is_ok() && task.may_end() {
            return;
        }
        broke(task, &metrics);
        if began.elapsed() >= STEADY {
            pause = SHORTEST;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Until a task is started again for the first time; twice as long each time after.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// One that ran for so long begins with the shortest pause again.
const STEADY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc;

    use super::*;
    use crate::observe::exposition::Exposition;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[1.0]).unwrap())
    }

    fn ends(metrics: &Metrics, task: Task) -> Option<f64> {
        let scrape = Exposition::parse(&metrics.render().unwrap());
        scrape.value("attache_task_ends_total", &[("task", task.word())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_counted_and_started_again() {
        let (metrics, (tell, mut told)) = (metrics(), mpsc::channel(8));
        let mut tasks = Tasks::new(&metrics);
        let starts = Arc::new(AtomicU32::new(0));
        tasks.start(Task::Dns, move || {
            let (tell, start) = (tell.clone(), starts.fetch_add(1, Ordering::Relaxed));
            async move {
                tell.send(Instant::now()).await.unwrap();
                match start {
                    0..3 => resume_unwind(Box::new(())),
                    3 => {
                        sleep(STEADY).await;
                        resume_unwind(Box::new(()))
                    }
                    _ => std::future::pending().await,
                }
            }
        });
        let mut began = told.recv().await.unwrap();
        for expected in [SHORTEST, SHORTEST * 2, SHORTEST * 4, STEADY + SHORTEST] {
            let next = told.recv().await.unwrap();
            // The clock of tokio has a grain of a millisecond.
            assert!((next - began).abs_diff(expected) <= Duration::from_millis(2));
            began = next;
        }
        assert_eq!(ends(&metrics, Task::Dns), Some(4.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_before_it_runs_is_started_again() {
        let (metrics, (tell, mut told)) = (metrics(), mpsc::channel(8));
        let mut tasks = Tasks::new(&metrics);
        let starts = AtomicU32::new(0);
        tasks.start(Task::Health, move || {
            if starts.fetch_add(1, Ordering::Relaxed) == 0 {
                resume_unwind(Box::new(()));
            }
            let tell = tell.clone();
            async move { tell.send(()).await.unwrap() }
        });
        told.recv().await.unwrap();
        assert_eq!(ends(&metrics, Task::Health), Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_may_end_is_left_and_one_that_may_not_is_not() {
        for (task, is_over, count) in [(Task::Dns, true, 0.0), (Task::Clusters, false, 1.0)] {
            let (metrics, (tell, mut told)) = (metrics(), mpsc::channel(8));
            let mut tasks = Tasks::new(&metrics);
            let starts = AtomicU32::new(0);
            tasks.start(task, move || {
                let (tell, again) = (tell.clone(), starts.fetch_add(1, Ordering::Relaxed) > 0);
                async move {
                    if again {
                        tell.send(()).await.unwrap();
                        std::future::pending::<()>().await;
                    }
                }
            });
            // The channel is closed with the last task that holds it.
            assert_eq!(told.recv().await.is_none(), is_over, "{task:?}");
            assert_eq!(ends(&metrics, task), Some(count), "{task:?}");
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_is_counted() {
        let metrics = metrics();
        let mut tasks = Tasks::new(&metrics);
        tasks.start_job(Task::OldSeries, &Handle::current(), || {
            resume_unwind(Box::new(()));
        });
        tasks.ended().await;
        assert_eq!(ends(&metrics, Task::OldSeries), Some(1.0));
    }
}
