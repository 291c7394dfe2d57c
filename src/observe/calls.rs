//! Calls of agents in the words of metrics, and the series of a route for them.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::catalogue::{AgentHandles, CardHandles};
use super::handles::{GaugeGuard, RouteHandles, RouteShared};
use super::series::{Counter, Gauge, Histogram};
use crate::a2a::{Binding, Generation, Operation};

/// A call of an agent, in the words of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedCall {
    /// What was asked.
    pub operation: Operation,
    /// How it was carried.
    pub binding: Binding,
    /// The generation of the wire.
    pub generation: Generation,
    /// What became of it.
    pub end: CallEnd,
}

/// What became of a call of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It went well.
    Ok,
    /// The agent refused it or could not serve it as it is.
    Error,
    /// The agent failed and said so.
    Internal,
    /// The answer cannot be read.
    Unreadable,
    /// A stream ended before its task did.
    Truncated,
    /// No good answer came.
    Failed,
    /// The gateway refused it.
    Refused,
    /// The client left.
    Left,
}

impl CallEnd {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Internal => "internal",
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Left => "left",
        }
    }
}

/// Series of a route that leads to agents.
#[derive(Debug, Default)]
pub(super) struct AgentSeries {
    bodies: OnceCell<AgentHandles>,
    cards: OnceCell<CardHandles>,
    /// Sorted by key, as the finished requests; a few for each route.
    calls: RefCell<Vec<(u32, (Counter, Histogram))>>,
    /// By operation and binding: six at most.
    streams: RefCell<Vec<((Operation, Binding), Rc<CallStreams>)>>,
    /// By the word of a state: four at most.
    ends: RefCell<Vec<(&'static str, (Counter, Histogram))>>,
}

/// Series of the calls of one operation and binding that are answered by streams.
#[derive(Debug)]
pub struct CallStreams {
    open: Gauge,
    /// Time to the first event.
    pub first_event: Histogram,
    truncated: Counter,
}

impl CallStreams {
    /// Counts a stream as open until the guard is dropped.
    #[must_use]
    pub fn opened(&self) -> GaugeGuard {
        GaugeGuard::of(&self.open)
    }

    /// Counts a stream that ended before its task did, or broke off.
    pub fn truncated(&self) {
        self.truncated.inc();
    }
}

/// For its calls of agents.
impl RouteHandles {
    /// Counts a call of an agent that is over.
    pub fn called(&self, call: FinishedCall, duration: Duration) {
        let FinishedCall { operation, binding, generation, end } = call;
        let key = (operation as u32) << 24 | (binding as u32) << 16 | (generation as u32) << 8 | end as u32;
        let mut known = self.agents().calls.borrow_mut();
        let at = known.binary_search_by_key(&key, |entry| entry.0).unwrap_or_else(|at| {
            let RouteShared { metrics, route, cluster, .. } = &*self.shared;
            let (method, transport, version) = (operation.name(), binding.name(), generation.name());
            let calls = metrics.agent_calls(route, method, transport, version, end.word());
            known.insert(at, (key, (calls, metrics.agent_call_duration(route, cluster, method))));
            at
        });
        if let Some((_, (calls, time))) = known.get(at) {
            calls.inc();
            time.observe(duration);
        }
    }

    /// Its calls of this kind that are answered by streams.
    #[must_use]
    pub fn call_stream(&self, operation: Operation, binding: Binding) -> Rc<CallStreams> {
        let mut known = self.agents().streams.borrow_mut();
        if let Some((_, streams)) = known.iter().find(|(key, _)| *key == (operation, binding)) {
            return Rc::clone(streams);
        }
        let RouteShared { metrics, route, .. } = &*self.shared;
        let (method, transport) = (operation.name(), binding.name());
        let streams = Rc::new(CallStreams {
            open: metrics.agent_streams(route, method, transport),
            first_event: metrics.first_event(route, method, transport),
            truncated: metrics.truncated_streams(route, method, transport),
        });
        known.push(((operation, binding), Rc::clone(&streams)));
        streams
    }

    /// Counts a task that is over, by its last state.
    pub fn task_ended(&self, state: &'static str, took: Duration) {
        let mut known = self.agents().ends.borrow_mut();
        let at = known.iter().position(|(word, _)| *word == state).unwrap_or_else(|| {
            let RouteShared { metrics, route, .. } = &*self.shared;
            known.push((state, (metrics.agent_task_ends(route, state), metrics.agent_task_duration(route, state))));
            known.len() - 1
        });
        if let Some((_, (ends, time))) = known.get(at) {
            ends.inc();
            time.observe(took);
        }
    }

    /// What is done for its calls of agents.
    #[must_use]
    pub fn agent(&self) -> &AgentHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        self.agents().bodies.get_or_init(|| AgentHandles::new(metrics, route))
    }

    /// The cards of its agents.
    #[must_use]
    pub fn cards(&self) -> &CardHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        self.agents().cards.get_or_init(|| CardHandles::new(metrics, route))
    }

    fn agents(&self) -> &AgentSeries {
        self.shared.agents.get_or_init(Box::default)
    }
}
