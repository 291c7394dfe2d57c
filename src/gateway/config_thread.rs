//! A thread for work that takes long and that no request waits for: reading, building and freeing whole configurations.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// How much the thread gives way (`nice(2)`). Where a worker wants its core it gets it at once, and about nine tenths
/// of it for as long as it wants.
const NICE: i32 = 10;

/// One of two such threads: one reads and frees, one builds. Each runs one job at a time, in order, so that the memory
/// that one job frees serves the next. The allocator keeps memory of several threads apart: pages with the text of a
/// file hold nothing that stays, and go back to the system as a whole.
#[derive(Debug)]
pub(super) struct ConfigThread {
    /// Only its blocking pool is used.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl ConfigThread {
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name(name)
            .max_blocking_threads(1)
            .on_thread_start(give_way)
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Does `job` after those before it.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }

    /// To give jobs from elsewhere; they are cancelled once `self` is gone.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for ConfigThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A running job goes on to its end; waiting for it would block the thread that drops the gateway.
            runtime.shutdown_background();
        }
    }
}

/// Linux counts niceness by thread.
fn give_way() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "reloads cannot give way to requests");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn its_thread_gives_way_and_the_caller_does_not() {
        let before = niceness();
        let config_thread = ConfigThread::new("config").unwrap();
        let its_own = config_thread.run(niceness).await.unwrap();
        assert_eq!(its_own, (before + NICE).min(19));
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn a_job_that_panics_is_not_the_last() {
        let config_thread = ConfigThread::new("config").unwrap();
        let broken = config_thread.run(|| std::panic::resume_unwind(Box::new(())));
        let next = config_thread.run(|| 7);
        assert!(broken.await.unwrap_err().is_panic());
        assert_eq!(next.await.unwrap(), 7);
    }
}
