//! The tasks of one demo agent, in memory and bounded: the oldest leaves when a new one needs its place.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::task::Task;

/// Tasks by id.
#[derive(Debug)]
pub(super) struct Store {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<String, Arc<Task>>,
    order: VecDeque<String>,
}

impl Store {
    /// A store of at most `limit` tasks.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// Keeps a task and forgets the oldest when there are too many.
    pub(super) fn insert(&self, task: Arc<Task>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.order.push_back(task.id.clone());
        inner.by_id.insert(task.id.clone(), task);
        while inner.order.len() > self.limit {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.by_id.remove(&oldest);
        }
    }

    /// The task with this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Task>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.get(id).map(Arc::clone)
    }

    /// The newest tasks first, at most `limit`, of one context when given.
    pub(super) fn newest(&self, context: Option<&str>, limit: usize) -> Vec<Arc<Task>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = inner.order.iter().rev().filter_map(|id| inner.by_id.get(id));
        let wanted = newest.filter(|task| context.is_none_or(|context| task.context == context));
        wanted.take(limit).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_oldest_task_leaves_first() {
        let store = Store::new(2);
        for id in ["a", "b", "c"] {
            store.insert(Arc::new(Task::new(id.into(), "ctx".into(), Value::Null)));
        }
        assert!(store.find("a").is_none(), "a made place for c");
        let ids: Vec<_> = store.newest(Some("ctx"), 10).iter().map(|task| task.id.clone()).collect();
        assert_eq!(ids, ["c", "b"]);
        assert!(store.newest(Some("other"), 10).is_empty(), "contexts are kept apart");
    }
}
