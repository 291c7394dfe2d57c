//! Events of the gateway's life, as the log has them, from information upwards: the last ones, and each as it comes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::observe::clock::rfc3339;
use crate::observe::short::short;

/// The last events.
#[derive(Debug)]
pub struct EventBook {
    last: Mutex<VecDeque<Arc<str>>>,
    news: broadcast::Sender<Arc<str>>,
}

impl Default for EventBook {
    fn default() -> Self {
        Self { last: Mutex::default(), news: broadcast::Sender::new(WAITING) }
    }
}

impl EventBook {
    /// Takes in an event, as an object of JSON.
    fn add(&self, event: &Value) {
        let event: Arc<str> = event.to_string().into();
        let mut last = self.last();
        last.push_back(Arc::clone(&event));
        if last.len() > KEPT {
            last.pop_front();
        }
        // Under the lock: who begins to listen misses none and gets none twice. Nobody may listen.
        self.news.send(event).ok();
    }

    /// The last events, the oldest first.
    #[must_use]
    pub fn last_events(&self) -> Vec<Arc<str>> {
        self.last().iter().cloned().collect()
    }

    /// The last events, and those to come. Who reads too slowly misses some and is told.
    #[must_use]
    pub fn follow(&self) -> (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>) {
        let last = self.last();
        (last.iter().cloned().collect(), self.news.subscribe())
    }

    fn last(&self) -> MutexGuard<'_, VecDeque<Arc<str>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts events of this program into a book.
#[derive(Clone, Debug)]
pub struct EventLayer(pub Arc<EventBook>);

impl<S: Subscriber> Layer<S> for EventLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || !metadata.target().starts_with("attache") {
            return;
        }
        let mut fields = Fields(Map::new());
        fields.put("timestamp", rfc3339(SystemTime::now()).into());
        fields.put("level", metadata.level().as_str().into());
        event.record(&mut fields);
        fields.put("target", metadata.target().into());
        self.0.add(&Value::Object(fields.0));
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), short(value, TEXT).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), short(&format!("{value:?}"), TEXT).into());
    }
}

/// Events that are remembered.
const KEPT: usize = 500;
/// Events that may wait for a reader.
const WAITING: usize = 256;
/// Bytes of one field.
const TEXT: usize = 1_000;

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn events_are_kept_with_their_fields_and_told() {
        let book = Arc::new(EventBook::default());
        let subscriber = tracing_subscriber::registry().with(EventLayer(Arc::clone(&book)));
        let (before, mut news) = book.follow();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(cluster = "a", number = 3, endpoint = %"10.0.0.1:80", "endpoint ejected");
            tracing::debug!("a detail");
            tracing::info!(target: "hyper", "of somebody else");
        });
        assert!(before.is_empty());
        let told: Value = serde_json::from_str(&news.try_recv().unwrap()).unwrap();
        assert_eq!(
            (&told["message"], &told["cluster"], &told["number"], &told["endpoint"], &told["level"]),
            (&"endpoint ejected".into(), &"a".into(), &3.into(), &"10.0.0.1:80".into(), &"WARN".into())
        );
        assert!(news.try_recv().is_err());
        assert_eq!(book.last_events().len(), 1);
    }

    #[test]
    fn the_book_is_bounded() {
        let book = EventBook::default();
        for number in 0..KEPT + 10 {
            book.add(&serde_json::json!({ "number": number }));
        }
        let last = book.last_events();
        assert_eq!((last.len(), &*last[0]), (KEPT, "{\"number\":10}"));
    }
}
