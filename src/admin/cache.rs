//! A text that is made at most once in a while, however many want it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last one that was made.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Option<(Instant, Arc<str>)>>);

impl Cache {
    /// The last one while it is younger than `fresh`, else what `make` makes. Others that want it wait meanwhile.
    pub(super) async fn get<F>(&self, fresh: Duration, make: impl FnOnce() -> F) -> Arc<str>
    where
        F: Future<Output = Arc<str>>,
    {
        let mut last = self.0.lock().await;
        if let Some((at, text)) = &*last
            && at.elapsed() < fresh
        {
            return Arc::clone(text);
        }
        let text = make().await;
        // Who waited meanwhile has it, however long it took.
        *last = Some((Instant::now(), Arc::clone(&text)));
        text
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_text_is_made_once_while_it_is_fresh() {
        let (cache, made) = (Cache::default(), Cell::new(0));
        let get = || {
            cache.get(Duration::from_secs(1), || async {
                made.set(made.get() + 1);
                Arc::from(made.get().to_string())
            })
        };
        assert_eq!((&*get().await, &*get().await), ("1", "1"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(&*get().await, "2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_that_takes_long_is_made_once_for_all_who_wait() {
        let (cache, made) = (Cache::default(), Cell::new(0));
        let get = || {
            cache.get(Duration::from_secs(1), || async {
                made.set(made.get() + 1);
                tokio::time::sleep(Duration::from_secs(3)).await;
                Arc::from("slow")
            })
        };
        tokio::join!(get(), get(), get());
        assert_eq!(made.get(), 1);
    }
}
