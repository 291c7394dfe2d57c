//! The service of a connection as hyper sees it: the edge's, with what the listener knows about each request put where the edge
//! looks for it, and with what the listener must know about each answer.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::service::Service;
use hyper::{Response, StatusCode};
use pin_project_lite::pin_project;

use crate::context::Connection;
use crate::listener::leash::{Leash, Order};

/// A service that tells the inner one which request must be refused.
#[derive(Debug)]
pub(super) struct Judged<S> {
    inner: S,
    connection: Rc<Connection>,
    leash: Rc<Leash>,
}

impl<S> Judged<S> {
    /// The connection served.
    pub(super) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    pub(super) fn new(inner: S, connection: Rc<Connection>, leash: Rc<Leash>) -> Self {
        Self {
            inner,
            connection,
            leash,
        }
    }
}

impl<S, R, B> Service<R> for Judged<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        let number = self.leash.call();
        if let Some(verdict) = self.leash.link().verdict()
            && verdict.request == number
        {
            self.connection.verdict.set(Some(verdict));
            self.leash.close_soon();
        }
        let answering = Answering(Rc::clone(&self.leash));
        Answer {
            inner: self.inner.call(request),
            answering,
        }
    }
}

pin_project! {
    /// The answer of a [`Judged`] service.
    #[derive(Debug)]
    pub(super) struct Answer<F> {
        #[pin]
        inner: F,
        answering: Answering,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.project();
        let answer = ready!(me.inner.poll(cx));
        let leash = &me.answering.0;
        if leash
            .connection()
            .is_some_and(|connection| connection.spent.get())
        {
            leash.order(Order::Drain);
        }
        if let Ok(response) = &answer
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            leash.link().become_tunnel();
        }
        Poll::Ready(answer)
    }
}

/// A request between its head and the answer's; afterwards the edge's own guard counts.
#[derive(Debug)]
struct Answering(Rc<Leash>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}
