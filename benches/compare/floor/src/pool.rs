//! Connections to the backend: one for each request under way, the last used first.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::Failure;

type Sender = SendRequest<Incoming>;

pub struct Pool {
    backend: SocketAddr,
    idle: RefCell<Vec<Sender>>,
}

impl Pool {
    pub fn towards(backend: SocketAddr) -> Self {
        Self { backend, idle: RefCell::default() }
    }

    pub async fn send(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Lent>, Failure> {
        let mut sender = match self.kept() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        Ok(answer.map(|inner| Lent { inner, back: Some((sender, self)) }))
    }

    fn kept(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find(|sender| !sender.is_closed())
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let tcp = TcpStream::connect(self.backend).await?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(tcp)).await?;
        spawn_local(async move { connection.await.ok() });
        Ok(sender)
    }
}

/// The body of an answer, with the connection that it comes by.
pub struct Lent {
    inner: Incoming,
    back: Option<(Sender, Rc<Pool>)>,
}

impl Lent {
    fn give_back(&mut self) {
        if let Some((sender, pool)) = self.back.take() {
            pool.idle.borrow_mut().push(sender);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Ok(_))) if self.inner.is_end_stream() => self.give_back(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // One that is dropped earlier takes its connection with it.
        if self.inner.is_end_stream() {
            self.give_back();
        }
    }
}
