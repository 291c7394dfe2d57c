//! Streams that are open: whose they are, how old, and when something came last.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::short::{NAME, short};

/// All open streams of a gateway.
#[derive(Debug, Default)]
pub struct OpenStreams {
    /// A part for each worker, so that none waits for another.
    parts: [Mutex<HashMap<u64, Arc<Shown>>>; PARTS],
    next: AtomicU64,
}

/// What is known of a stream at its beginning.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// Its `x-request-id`.
    pub request_id: String,
    /// The client.
    pub client: IpAddr,
    /// Who the client proved to be.
    pub principal: Option<String>,
    /// The route.
    pub route: String,
    /// The cluster.
    pub cluster: String,
    /// The endpoint.
    pub endpoint: String,
    /// What it asks of an agent.
    pub operation: Option<&'static str>,
    /// The task it is about, if that is known already.
    pub task: Option<String>,
    /// The context it is about.
    pub context: Option<String>,
    /// When its request came, since the Unix epoch.
    pub time: Duration,
}

#[derive(Debug)]
struct Shown {
    facts: StreamFacts,
    task: OnceLock<String>,
    begun: Instant,
    /// Milliseconds after the beginning.
    last: AtomicU64,
    pieces: AtomicU64,
    bytes: AtomicU64,
}

/// A stream at one moment.
#[derive(Clone, Debug)]
pub struct StreamNow {
    /// What was known at its beginning; the task as it is known now.
    pub facts: StreamFacts,
    /// How old it is.
    pub age: Duration,
    /// How long ago the last piece came.
    pub silent: Duration,
    /// Pieces that came: nearly always one for each event.
    pub pieces: u64,
    /// Bytes to the client.
    pub bytes: u64,
}

/// A stream that is shown, until this is dropped.
#[derive(Debug)]
pub struct OpenStream {
    all: Arc<OpenStreams>,
    part: usize,
    id: u64,
    shown: Arc<Shown>,
}

impl OpenStreams {
    /// One more stream, of the worker with this number. `None` when that worker shows as many as it may.
    pub(super) fn enter(all: &Arc<Self>, worker: usize, facts: impl FnOnce() -> StreamFacts) -> Option<OpenStream> {
        let part = worker % PARTS;
        if all.part(part)?.len() >= SHOWN {
            return None;
        }
        let shown = Arc::new(Shown {
            facts: facts(),
            task: OnceLock::new(),
            begun: Instant::now(),
            last: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let id = all.next.fetch_add(1, Relaxed);
        all.part(part)?.insert(id, Arc::clone(&shown));
        Some(OpenStream { all: Arc::clone(all), part, id, shown })
    }

    /// How many are shown.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..PARTS).filter_map(|part| Some(self.part(part)?.len())).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest ones that `wants`, at most `most`; and how many more there are.
    #[must_use]
    pub fn list(&self, now: Instant, most: usize, wants: impl Fn(&StreamFacts) -> bool) -> (Vec<StreamNow>, usize) {
        let mut found: Vec<Arc<Shown>> = Vec::new();
        for part in (0..PARTS).filter_map(|part| self.part(part)) {
            found.extend(part.values().filter(|shown| wants(&shown.facts)).cloned());
        }
        found.sort_by_key(|shown| shown.begun);
        let left_out = found.len().saturating_sub(most);
        (found.iter().take(most).map(|shown| shown.at(now)).collect(), left_out)
    }

    /// Shows each to `see`, in no order. That is to be quick: workers wait that begin or end a stream meanwhile.
    pub fn each(&self, mut see: impl FnMut(&StreamFacts)) {
        for part in (0..PARTS).filter_map(|part| self.part(part)) {
            part.values().for_each(|shown| see(&shown.facts));
        }
    }

    fn part(&self, part: usize) -> Option<MutexGuard<'_, HashMap<u64, Arc<Shown>>>> {
        Some(self.parts.get(part)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shown {
    fn at(&self, now: Instant) -> StreamNow {
        let age = now.saturating_duration_since(self.begun);
        let task = self.task.get().or(self.facts.task.as_ref()).cloned();
        StreamNow {
            facts: StreamFacts { task, ..self.facts.clone() },
            age,
            silent: age.saturating_sub(Duration::from_millis(self.last.load(Relaxed))),
            pieces: self.pieces.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

impl OpenStream {
    /// A piece passes.
    pub fn passes(&self, bytes: usize) {
        let at = u64::try_from(self.shown.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shown.last.store(at, Relaxed);
        self.shown.pieces.fetch_add(1, Relaxed);
        self.shown.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// It goes on at another endpoint.
    pub fn goes_on_at(&mut self, endpoint: &str) {
        let Shown { facts, task, begun, last, pieces, bytes } = &*self.shown;
        let count = |count: &AtomicU64| AtomicU64::new(count.load(Relaxed));
        let shown = Arc::new(Shown {
            facts: StreamFacts { endpoint: endpoint.to_owned(), ..facts.clone() },
            task: task.clone(),
            begun: *begun,
            last: count(last),
            pieces: count(pieces),
            bytes: count(bytes),
        });
        if let Some(mut part) = self.all.part(self.part) {
            part.insert(self.id, Arc::clone(&shown));
        }
        self.shown = shown;
    }

    /// The agent says which task it is about.
    pub fn is_of_task(&self, task: Option<&str>) {
        if let (Some(task), None, None) = (task, &self.shown.facts.task, self.shown.task.get()) {
            self.shown.task.set(short(task, NAME).to_owned()).ok();
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(mut part) = self.all.part(self.part) {
            part.remove(&self.id);
            // Memory of a wave of streams goes back.
            if part.capacity() > SMALL && part.capacity() / 8 > part.len() {
                part.shrink_to_fit();
            }
        }
    }
}

impl StreamFacts {
    /// The same with bounded texts.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let cut = |text: &mut String| text.truncate(text.floor_char_boundary(NAME));
        [&mut self.principal, &mut self.task, &mut self.context].into_iter().flatten().for_each(cut);
        cut(&mut self.request_id);
        self
    }
}

/// Parts with a lock each. Workers beyond them share.
const PARTS: usize = 16;
/// Streams that one part shows, of some 600 bytes each; more are served and not shown.
const SHOWN: usize = 20_000;
/// A part of this size keeps its memory.
const SMALL: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(route: &str) -> StreamFacts {
        StreamFacts {
            request_id: "1".to_owned(),
            client: [127, 0, 0, 1].into(),
            principal: Some("p".repeat(500)),
            route: route.to_owned(),
            cluster: "c".to_owned(),
            endpoint: "10.0.0.1:80".to_owned(),
            operation: None,
            task: None,
            context: None,
            time: Duration::ZERO,
        }
        .bounded()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_shown_with_its_age_until_it_ends() {
        let all = Arc::new(OpenStreams::default());
        let first = OpenStreams::enter(&all, 0, || facts("a")).unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        let _second = OpenStreams::enter(&all, 17, || facts("b")).unwrap();
        first.passes(10);
        first.is_of_task(Some("task-1"));
        first.is_of_task(Some("task-2"));
        tokio::time::advance(Duration::from_secs(2)).await;
        let (listed, left_out) = all.list(Instant::now(), 1, |_| true);
        assert_eq!((listed.len(), left_out), (1, 1));
        let one = &listed[0];
        assert_eq!((one.age.as_secs(), one.silent.as_secs(), one.pieces, one.bytes), (5, 2, 1, 10));
        assert_eq!((one.facts.route.as_str(), one.facts.task.as_deref()), ("a", Some("task-1")));
        assert_eq!(one.facts.principal.as_ref().map(String::len), Some(NAME));
        assert_eq!(all.list(Instant::now(), 9, |facts| facts.route == "b").0.len(), 1);
        drop(first);
        assert_eq!(all.len(), 1);
        let mut routes = Vec::new();
        all.each(|facts| routes.push(facts.route.clone()));
        assert_eq!(routes, ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_on_elsewhere_is_shown_there_and_no_younger() {
        let all = Arc::new(OpenStreams::default());
        let mut stream = OpenStreams::enter(&all, 0, || facts("a")).unwrap();
        stream.passes(10);
        stream.is_of_task(Some("task-1"));
        tokio::time::advance(Duration::from_secs(3)).await;
        stream.goes_on_at("10.0.0.2:80");
        stream.passes(5);
        let (listed, _) = all.list(Instant::now(), 9, |_| true);
        let [one] = listed.as_slice() else { panic!("one stream: {listed:?}") };
        assert_eq!((one.facts.endpoint.as_str(), one.facts.task.as_deref()), ("10.0.0.2:80", Some("task-1")));
        assert_eq!((one.age.as_secs(), one.pieces, one.bytes), (3, 2, 15));
        drop(stream);
        assert!(all.is_empty());
    }
}
