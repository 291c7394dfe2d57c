//! One task of a demo agent: its log of events only grows, and every stream, subscriber and waiting caller is a cursor
//! into that log. Knows no wire format.

use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Value;
use tokio::sync::watch;

/// A task's place in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Accepted.
    Submitted,
    /// Being worked on.
    Working,
    /// Done.
    Completed,
    /// Ended by the caller.
    Canceled,
}

impl State {
    /// Whether nothing can follow.
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It changed its state.
    Status(State),
    /// A piece of the answer.
    Piece {
        /// Its text.
        text: String,
        /// Whether an earlier piece came before it.
        append: bool,
        /// Whether it is the last one.
        last: bool,
    },
}

/// A task at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// Current state.
    pub(super) state: State,
    /// The answer so far.
    pub(super) text: String,
    /// Events that led here; a subscriber goes on from this number.
    pub(super) seen: usize,
}

/// One task. Shared by the worker that does it and everybody who watches.
#[derive(Debug)]
pub(super) struct Task {
    /// Its id, made by the agent.
    pub(super) id: String,
    /// The conversation it belongs to.
    pub(super) context: String,
    /// The message that started it, as it came.
    pub(super) message: Value,
    log: Mutex<Vec<Event>>,
    /// Length of the log, for waiting watchers.
    length: watch::Sender<usize>,
}

impl Task {
    /// A submitted task with an empty log.
    pub(super) fn new(id: String, context: String, message: Value) -> Self {
        Self { id, context, message, log: Mutex::new(Vec::new()), length: watch::Sender::new(0) }
    }

    /// Adds an event, unless the task is over. Says whether it was added.
    pub(super) fn push(&self, event: Event) -> bool {
        let length = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            if state_of(&log).is_terminal() {
                return false;
            }
            log.push(event);
            log.len()
        };
        self.length.send_replace(length);
        true
    }

    /// What it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let text = log.iter().filter_map(|event| match event {
            Event::Piece { text, .. } => Some(text.as_str()),
            Event::Status(_) => None,
        });
        Snapshot { state: state_of(&log), text: text.collect(), seen: log.len() }
    }

    /// The event at `index`, waiting for it; `None` when the task ended before it. Dropping the future loses nothing.
    pub(super) async fn event(&self, index: usize) -> Option<Event> {
        let mut length = self.length.subscribe();
        loop {
            {
                let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(event) = log.get(index) {
                    return Some(event.clone());
                }
                if state_of(&log).is_terminal() {
                    return None;
                }
            }
            length.wait_for(|length| *length > index).await.ok()?;
        }
    }

    /// Waits until nothing more will happen.
    pub(super) async fn finished(&self) -> Snapshot {
        let mut index = self.snapshot().seen;
        while self.event(index).await.is_some() {
            index += 1;
        }
        self.snapshot()
    }
}

fn state_of(log: &[Event]) -> State {
    let last = log.iter().rev().find_map(|event| match event {
        Event::Status(state) => Some(*state),
        Event::Piece { .. } => None,
    });
    last.unwrap_or(State::Submitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task::new("t".into(), "c".into(), Value::Null)
    }

    #[test]
    fn nothing_follows_a_terminal_state() {
        let task = task();
        assert!(task.push(Event::Status(State::Canceled)), "first end counts");
        assert!(!task.push(Event::Status(State::Completed)), "second end does not");
        assert_eq!(task.snapshot().state, State::Canceled);
    }

    #[tokio::test]
    async fn a_late_subscriber_sees_the_rest() {
        let task = std::sync::Arc::new(task());
        task.push(Event::Status(State::Working));
        let from = task.snapshot().seen;
        let watcher = tokio::spawn({
            let task = std::sync::Arc::clone(&task);
            async move { (task.event(from).await, task.event(from + 1).await) }
        });
        task.push(Event::Status(State::Completed));
        let (first, second) = watcher.await.unwrap();
        assert_eq!(first, Some(Event::Status(State::Completed)));
        assert_eq!(second, None, "the log ends with the task");
    }
}
