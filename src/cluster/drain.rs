//! When an endpoint on its way out is gone: one of weight 0, or one that was removed while tasks of agents went on at
//! it. It gets no new work. Calls about tasks that go on at it still reach it, until the last one has ended or the time
//! for that is over.

use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::config::model;

impl Endpoint {
    /// Whether calls about its own tasks have to go elsewhere too: the time of its drain is over, or it was removed and
    /// does not answer.
    #[must_use]
    pub fn is_gone(&self, now: Instant) -> bool {
        // One that is ejected for what it answered may still know its tasks.
        let answers = || !self.is_unhealthy() && !self.is_failing(now);
        self.drains_until.is_some_and(|until| until <= now || self.was_removed && !answers())
    }

    /// The same endpoint after its removal, for calls about its tasks.
    pub(super) fn removed(&self, until: Instant) -> Self {
        Self { weight: 0, drains_until: Some(until), was_removed: true, ..self.clone() }
    }
}

/// When a drain ends that begins now, or that of `before` where it is under way. A shorter time holds at once.
pub(super) fn end(settings: &model::Cluster, before: Option<&Endpoint>, now: Instant) -> Instant {
    let end = now + settings.drain_tasks.unwrap_or_default();
    before.and_then(|before| before.drains_until).map_or(end, |until| until.min(end))
}
