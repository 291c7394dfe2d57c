//! The service that hyper calls: it passes the listener's facts about a request to the edge, calls the edge, and notes
//! the facts about the answer that the listener needs.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::service::Service;
use hyper::{Response, StatusCode};
use pin_project_lite::pin_project;

use crate::context::Connection;
use crate::listener::command::ConnectionCommand;
use crate::listener::connection_handle::ConnectionHandle;

/// A service that tells the inner one which request must be refused.
#[derive(Debug)]
pub(super) struct StrictService<S> {
    inner: S,
    connection: Rc<Connection>,
    handle: Rc<ConnectionHandle>,
}

impl<S> StrictService<S> {
    /// The connection served.
    pub(super) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    pub(super) fn new(inner: S, connection: Rc<Connection>, handle: Rc<ConnectionHandle>) -> Self {
        Self { inner, connection, handle }
    }
}

impl<S, R, B> Service<R> for StrictService<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = StrictFuture<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        let number = self.handle.call();
        if let Some(verdict) = self.handle.progress().verdict()
            && verdict.request == number
        {
            self.connection.verdict.set(Some(verdict));
            self.handle.close_soon();
        }
        let answering = PendingAnswer(Rc::clone(&self.handle));
        StrictFuture { inner: self.inner.call(request), answering }
    }
}

pin_project! {
    /// The answer of a [`StrictService`] service.
    #[derive(Debug)]
    pub(super) struct StrictFuture<F> {
        #[pin]
        inner: F,
        answering: PendingAnswer,
    }
}

impl<F, B, E> Future for StrictFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.project();
        let answer = ready!(me.inner.poll(cx));
        let handle = &me.answering.0;
        if handle.connection().is_some_and(|connection| connection.spent.get()) {
            handle.command(ConnectionCommand::Drain);
        }
        if let Ok(response) = &answer
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            handle.progress().become_tunnel();
        }
        Poll::Ready(answer)
    }
}

/// A request between its head and the answer's; afterwards the edge's own guard counts.
#[derive(Debug)]
struct PendingAnswer(Rc<ConnectionHandle>);

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        self.0.answered();
    }
}
