//! Waiting, bounded.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// No test waits longer than this for anything; reaching it means a hang.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// The future's output; panics when it hangs.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    let what = what.to_owned();
    async move { timeout(GUARD, future).await.unwrap_or_else(|_elapsed| panic!("hangs: {what} (awaited at {place})")) }
}

/// Asks until the answer is yes.
#[track_caller]
pub(crate) fn eventually<F, R>(what: &str, mut check: F) -> impl Future<Output = ()>
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    soon(what, move || {
        let check = check();
        async move { check.await.then_some(()) }
    })
}

/// Asks until there is an answer, and returns it.
#[track_caller]
pub(crate) fn soon<T, F, R>(what: &str, mut check: F) -> impl Future<Output = T>
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let place = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let start = Instant::now();
        loop {
            if let Some(found) = check().await {
                return found;
            }
            assert!(start.elapsed() < GUARD, "never happened: {what} (awaited at {place})");
            sleep(Duration::from_millis(4)).await;
        }
    }
}

/// Holds a time that is promised against what it took. `benches/promises` does that, alone on its machine; a test that
/// shares one only shows that what is promised happens.
#[expect(clippy::print_stdout, reason = "a bench has something to say")]
pub(crate) fn promised(what: &str, took: Duration, limit: Duration) {
    if std::env::var_os("ATTACHE_BENCH_PROMISES").is_some() {
        println!("{what}: {took:?}, promised {limit:?}");
        assert!(took < limit, "{what} took {took:?}");
    }
}

/// Lets real time pass. Only for tests of time limits, where the time is the subject.
pub(crate) async fn pass(duration: Duration) {
    sleep(duration).await;
}
