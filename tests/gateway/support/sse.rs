//! An agent that streams: every request becomes a stream whose events the test sends one by one.

use http::Response;
use tokio::sync::{Mutex, mpsc};

use super::backend::Speak;
use super::{Backend, BodySender, Place, channel, within};

/// The backend.
#[derive(Debug)]
pub(crate) struct Sse {
    backend: Backend,
    streams: Mutex<mpsc::Receiver<EventStream>>,
}

/// One open stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// The request's path and query.
    pub(crate) path: String,
    body: BodySender,
}

impl Sse {
    pub(crate) async fn new() -> Self {
        Self::speaking(Speak::default(), "text/event-stream").await
    }

    pub(crate) async fn h2c() -> Self {
        Self::speaking(Speak { http2: true, ..Speak::default() }, "text/event-stream").await
    }

    /// Over another protocol or with another content type.
    pub(crate) async fn speaking(speak: Speak, content_type: &'static str) -> Self {
        let (opened, streams) = mpsc::channel(1024);
        let backend = Backend::handling_as(speak, move |request| {
            let opened = opened.clone();
            async move {
                let (sender, body) = channel();
                let stream = EventStream { path: request.uri().path_and_query().unwrap().to_string(), body: sender };
                opened.send(stream).await.unwrap();
                Response::builder().header("content-type", content_type).body(body).unwrap()
            }
        })
        .await;
        Self { backend, streams: Mutex::new(streams) }
    }

    /// The stream of the next request.
    pub(crate) async fn stream(&self) -> EventStream {
        within("a stream is opened", async { self.streams.lock().await.recv().await }).await.unwrap()
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }
}

impl EventStream {
    /// Sends one event; false when nobody listens.
    pub(crate) async fn event(&self, data: &str) -> bool {
        self.body.send(format!("data: {data}\n\n")).await
    }

    /// Ends when nobody listens any more.
    pub(crate) async fn closed(&self) {
        self.body.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.body.is_closed()
    }

    /// Ends the stream as it should.
    pub(crate) fn end(self) {}

    /// Breaks off.
    pub(crate) async fn abort(self) {
        self.body.abort().await;
    }

    pub(crate) fn body(&self) -> &BodySender {
        &self.body
    }
}

impl Place for Sse {
    fn place(&self) -> String {
        self.backend.place()
    }
}
