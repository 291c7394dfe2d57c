//! Uploads that are thrown away. An answer may be over before its request is (RFC 9113 section 8.1), and a client that
//! sends everything before it reads loses the answer when its stream is reset at once. So the connection goes on taking
//! the rest for a moment. It does not know what it polls: the one who no longer reads a body says how to discard it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The uploads that one connection discards. Polled by the task of the connection, and gone with it.
#[derive(Default)]
pub struct Lingering {
    uploads: RefCell<Vec<Upload>>,
    waker: RefCell<Option<Waker>>,
    closed: Cell<bool>,
}

/// Discards one upload; dropping it resets the stream.
type Upload = Pin<Box<dyn Future<Output = ()>>>;

impl Lingering {
    /// Discards one more, if it is not one too many; then its stream is reset at once.
    pub fn add(&self, upload: impl Future<Output = ()> + 'static) {
        let mut uploads = self.uploads.borrow_mut();
        if self.closed.get() || uploads.len() >= MAX_UPLOADS {
            return;
        }
        uploads.push(Box::pin(upload));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Goes on with all of them.
    pub fn poll(&self, cx: &mut Context<'_>) {
        let known = self.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            self.waker.replace(Some(cx.waker().clone()));
        }
        self.uploads.borrow_mut().retain_mut(|upload| upload.as_mut().poll(cx) == Poll::Pending);
    }

    /// Ends all of them, now and from now on: the connection is to end.
    pub fn close(&self) {
        self.closed.set(true);
        drop(self.uploads.take());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.uploads.borrow().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Lingering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lingering").field("uploads", &self.len()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Uploads that a connection discards at once. Each keeps a window's worth of bytes at most.
const MAX_UPLOADS: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::rc::Rc;

    use super::*;

    #[test]
    fn uploads_have_a_bound_and_end_when_the_connection_does() {
        let lingering = Lingering::default();
        let held = Rc::new(());
        let upload = || {
            let held = Rc::clone(&held);
            async move {
                let _held = held;
                pending::<()>().await;
            }
        };
        lingering.add(ready(()));
        lingering.poll(&mut Context::from_waker(Waker::noop()));
        assert!(lingering.is_empty(), "one that is over is gone");
        for _ in 0..2 * MAX_UPLOADS {
            lingering.add(upload());
        }
        lingering.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!((lingering.len(), Rc::strong_count(&held)), (MAX_UPLOADS, MAX_UPLOADS + 1));
        lingering.close();
        lingering.add(upload());
        assert_eq!((lingering.len(), Rc::strong_count(&held)), (0, 1));
    }
}
