//! What the answers of agents told of tasks, and how their streams went, for metrics.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::Call;
use crate::a2a::{Operation, TaskState};
use crate::observe::handles::{CallStreams, GaugeGuard, RouteHandles};
use crate::outcome::AgentFault;

/// What the answer of an agent told, as far as it has passed.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The task that it told of first.
    pub(super) task: Option<Box<str>>,
    /// Whether it told of a task itself, and not only of a message about one.
    pub(super) has_task: bool,
    /// When the first event of a stream came.
    pub(super) first_event: Option<Instant>,
    /// The last state of a task whose end was not known before, and how long it took.
    pub(super) ended: Option<(TaskState, Duration)>,
    /// How the call failed for the protocol inside. Known at the end of the answer.
    pub(super) fault: Option<AgentFault>,
}

/// An open stream of a call that is answered by one.
#[derive(Debug)]
pub(super) struct CallStream {
    series: Rc<CallStreams>,
    _open: GaugeGuard,
}

impl CallStream {
    /// Counts the answer as an open stream, if it is to a call that gets one.
    pub(super) fn of(call: Option<&Call>, handles: Option<&RouteHandles>) -> Option<Box<Self>> {
        let call = call?;
        let operation = call.operation.filter(|operation| operation.is_streaming())?;
        let series = handles?.call_stream(operation, call.binding);
        Some(Box::new(Self { _open: GaugeGuard::of(&series.open), series }))
    }

    /// It is over; `first_event` is how long the first event took, if one came.
    pub(super) fn ended(&self, first_event: Option<Duration>, is_truncated: bool) {
        if let Some(took) = first_event {
            self.series.first_event.observe(took);
        }
        if is_truncated {
            self.series.truncated.inc();
        }
    }
}

/// Counts the tasks that began or ended by what the answer to `call` told.
pub(super) fn count_tasks(call: &Call, told: &Told, handles: &RouteHandles) {
    if let Some((state, took)) = told.ended {
        handles.task_ended(state.word(), took);
    }
    let may_begin = call.operation.is_some_and(Operation::is_send) && call.ids().task.is_none();
    if may_begin && told.has_task {
        handles.agent().tasks_begun.get().inc();
    }
}
