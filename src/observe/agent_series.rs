//! The series of a route that leads to agents, each made when it is first counted.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::catalogue::{AgentHandles, CardHandles};
use super::series::{Counter, Gauge, Histogram};
use crate::a2a::{Binding, Operation};

/// All of them, for one worker.
#[derive(Debug, Default)]
pub(super) struct AgentSeries {
    pub(super) bodies: OnceCell<AgentHandles>,
    pub(super) cards: OnceCell<CardHandles>,
    /// Sorted by key, as finished requests; a few for each route.
    pub(super) calls: RefCell<Vec<(u32, (Counter, Histogram))>>,
    /// By operation and binding: six at most.
    pub(super) streams: RefCell<Vec<Rc<CallStreams>>>,
    /// By the word of a state: four at most.
    pub(super) ends: RefCell<Vec<(&'static str, (Counter, Histogram))>>,
}

/// Series of the calls of one operation and binding that are answered by streams.
#[derive(Debug)]
pub struct CallStreams {
    pub(super) of: (Operation, Binding),
    /// Those that are open.
    pub open: Gauge,
    /// Time to the first event.
    pub first_event: Histogram,
    /// Those that ended before their task did, or broke off.
    pub truncated: Counter,
}
