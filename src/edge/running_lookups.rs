//! Lookups of one worker that are under way, so that equal ones share one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::cluster::HeldKey;

/// By what is looked up, and for whom. As many as there are lookups at the same time.
#[derive(Debug, Default)]
pub(super) struct RunningLookups(RefCell<HashMap<HeldKey, Rc<Notify>>>);

/// Who looks.
pub(super) enum Turn<'a> {
    /// The caller; the others wait until this is dropped.
    Own(Looking<'a>),
    /// Another; to be waited for.
    Others(Rc<Notify>),
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Looking<'a> {
    all: &'a RunningLookups,
    key: HeldKey,
}

impl RunningLookups {
    /// Begins one, where there is no equal one.
    pub(super) fn begin(&self, key: HeldKey) -> Turn<'_> {
        let mut running = self.0.borrow_mut();
        if let Some(ends) = running.get(&key) {
            return Turn::Others(Rc::clone(ends));
        }
        running.insert(key, Rc::default());
        Turn::Own(Looking { all: self, key })
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if let Some(ends) = self.all.0.borrow_mut().remove(&self.key) {
            ends.notify_waiters();
        }
    }
}
