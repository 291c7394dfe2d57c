//! What the answers of agents told of tasks, and how their streams went, for metrics and the access log.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer_scan::AnswerScan;
use super::exchange::Exchange;
use crate::a2a::{Operation, TaskState};
use crate::observe::handles::{CallStreams, GaugeGuard, RouteHandles};
use crate::outcome::{AgentFault, Transport};

/// An open stream of a call that is answered by one.
#[derive(Debug)]
pub(super) struct CallStream {
    series: Rc<CallStreams>,
    _open: GaugeGuard,
}

/// What an agent's answer told, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The task it named first.
    pub(super) task: Option<Box<str>>,
    /// When the first event came.
    pub(super) first_event: Option<Instant>,
    /// The last state of a task whose end it told of, and how long that took.
    ended: Option<(TaskState, Duration)>,
}

impl CallStream {
    /// Counts the answer as an open stream, if it is to a call that gets one.
    pub(super) fn of(exchange: &Exchange) -> Option<Self> {
        let operation = exchange.operation.filter(|operation| operation.is_streaming())?;
        let series = exchange.route.handles.as_ref()?.call_stream(operation, exchange.call.as_ref()?.binding);
        Some(Self { _open: series.opened(), series })
    }
}

impl Told {
    /// What was read of the answer so far.
    pub(super) fn by(scan: &mut AnswerScan) -> Self {
        Self { task: scan.take_task(), first_event: scan.first_event(), ended: scan.ended() }
    }
}

/// Counts what an answer told of tasks, and how its stream went.
pub(super) fn count(exchange: &Exchange, handles: &RouteHandles) {
    let (outcome, told) = (&exchange.outcome, &exchange.outcome.told);
    if let Some((state, took)) = told.ended {
        handles.task_ended(state.word(), took);
    }
    let names_none = || exchange.call.as_deref().is_some_and(|call| call.ids().task.is_none());
    if told.task.is_some() && exchange.operation.is_some_and(Operation::is_send) && names_none() {
        handles.agent().tasks_begun.get().inc();
    }
    if let Some(stream) = &exchange.guards.call_stream {
        if let Some(at) = told.first_event {
            stream.series.first_event.observe(at.saturating_duration_since(exchange.request.started));
        }
        if outcome.agent_fault == Some(AgentFault::Truncated) || outcome.transport == Transport::BrokenOff {
            stream.series.truncated();
        }
    }
}
