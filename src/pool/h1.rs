//! One HTTP/1.1 connection, driven by the exchange that uses it: the request's own task polls it, so no second task has
//! to be woken per request. An idle connection is not polled; it is checked before it is used again.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::deferred_waker::{Arrivals, DeferredWaker};
use super::io::{Detached, UpstreamIo};
use super::long_head::MAX_HEAD;
use super::promise;
use super::quota::IdlePermits;
use super::scan::HeadScan;
use crate::body::RequestBody;
use crate::error::Error;

type Driver = http1::Connection<TokioIo<UpstreamIo>, RequestBody>;

/// A connection that waits for its next exchange.
#[derive(Debug)]
pub(super) struct Idle {
    /// Dropped first: its place is given back before it stops lying idle.
    pub(super) conn: Connection,
    pub(super) since: Instant,
    pub(super) idle_permits: IdlePermits,
}

impl Idle {
    /// Whether it may be used again, or kept, `limit` being our own patience.
    pub(super) fn is_fresh(&self, now: Instant, limit: Duration) -> bool {
        now.saturating_duration_since(self.since) < limit && self.conn.is_kept()
    }
}

/// An open connection. Boxed, because every answer on its way carries it.
#[derive(Debug)]
pub(super) struct Connection(Box<Open>);

#[derive(Debug)]
struct Open {
    sender: http1::SendRequest<RequestBody>,
    /// Gone when it ended before it took a request.
    driver: Option<Driver>,
    scan: Rc<HeadScan>,
    gate: DeferredWaker,
    arrivals: Rc<Arrivals>,
    /// Requests sent so far.
    served: u32,
    /// When the endpoint may close it, by its own word.
    until: Option<Instant>,
}

impl Connection {
    pub(super) async fn handshake(io: UpstreamIo) -> Result<Self, Error> {
        let gate = DeferredWaker::new();
        let arrivals = Rc::new(gate.arrivals());
        let (io, scan) = io.attentive(&arrivals).scanned();
        let (sender, driver) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(io))
            .await
            .map_err(Error::UpstreamReset)?;
        let driver = Some(driver);
        Ok(Self(Box::new(Open { sender, driver, scan, gate, arrivals, served: 0, until: None })))
    }

    /// Checks an idle connection: false when the endpoint closed it or sent unexpected bytes.
    pub(super) fn is_alive(&mut self) -> bool {
        // Where its socket has not been heard of since hyper last read it, nothing can have come.
        let is_idle = self.0.arrivals.is_quiet() && self.is_ready();
        is_idle || (self.step().is_pending() && self.is_ready())
    }

    /// Polls the connection without a waiting task.
    pub(super) fn step(&mut self) -> Poll<hyper::Result<()>> {
        let Some(driver) = &mut self.0.driver else {
            return Poll::Ready(Ok(()));
        };
        self.0.gate.quietly(|cx| Pin::new(driver).poll(cx))
    }

    /// The next piece of a response body.
    pub(super) fn poll_body(&mut self, body: &mut Incoming, cx: &Context<'_>) -> Poll<Piece> {
        let Some(driver) = &mut self.0.driver else {
            return Poll::Ready(Piece::Ended(Ok(())));
        };
        self.0.gate.poll(cx, |cx, wakes| {
            let mut end = None;
            // Nothing comes but by the driver's hand, which is polled right here: the body itself needs no waker.
            let mut quiet = Context::from_waker(Waker::noop());
            let mut polled = Pin::new(&mut *body).poll_frame(&mut quiet);
            if polled.is_pending() {
                // The poll above told the connection that more is wanted; let it fetch.
                wakes.heard();
                if let Poll::Ready(ended) = Pin::new(driver).poll(cx) {
                    end = Some(ended);
                }
                polled = Pin::new(body).poll_frame(&mut quiet);
            }
            match (polled, end) {
                (Poll::Pending, None) => Poll::Pending,
                (Poll::Pending, Some(end)) => Poll::Ready(Piece::Ended(end)),
                (Poll::Ready(frame), end) => Poll::Ready(Piece::Frame(frame, end.is_some())),
            }
        })
    }

    /// Whether the next request can be sent, that is the last exchange is over on both sides.
    pub(super) fn is_ready(&self) -> bool {
        self.0.sender.is_ready()
    }

    /// Whether the endpoint still keeps it open, as far as it has said. That is asked of the clock itself: a request
    /// that waited has an old `now`.
    pub(super) fn is_kept(&self) -> bool {
        self.0.until.is_none_or(|until| Instant::now() < until)
    }

    /// Requests it has carried.
    pub(super) fn served(&self) -> u32 {
        self.0.served
    }

    /// The task that used it is through with it.
    pub(super) fn rest(&self) {
        self.0.gate.forget();
    }

    /// Takes the socket out after a 101.
    pub(super) fn detach(self) -> Option<Detached> {
        let parts = self.0.driver?.into_parts();
        Some(Detached::new(parts.io.into_inner(), parts.read_buf))
    }

    /// Sends the request in `slot` and waits for the response head. With it the connection comes back, unless it has
    /// ended.
    pub(super) async fn send(
        mut self,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<(Response<Incoming>, Option<Self>), Error> {
        // The request stays in its slot; a borrow would lie in this future until the answer comes.
        slot.iter_mut().for_each(frame);
        let request = slot.take().ok_or_else(|| Error::Internal)?;
        let mut ended = false;
        let Open { sender, driver, scan, gate, .. } = &mut *self.0;
        scan.expect();
        // Unconstrained: a task at the end of its budget would be told to come again, by a waker that is not there.
        let mut head = pin!(unconstrained(sender.try_send_request(request)));
        let result = poll_fn(|cx| {
            gate.poll(cx, |cx, _| {
                if let (false, Some(driver)) = (ended, driver.as_mut()) {
                    ended = Pin::new(driver).poll(cx).is_ready();
                }
                // Likewise the answer.
                let mut quiet = Context::from_waker(Waker::noop());
                let polled = head.as_mut().poll(&mut quiet);
                if ended && polled.is_pending() {
                    // It ended before it took the request, which it hands back when it is let go of.
                    *driver = None;
                    return head.as_mut().poll(&mut quiet);
                }
                polled
            })
        })
        .await;
        let mut response = match result {
            Ok(response) => response,
            Err(mut refused) => {
                *slot = refused.take_message().map(|mut request| {
                    // The next connection may speak HTTP/2, which has no such field.
                    request.headers_mut().remove(header::TRANSFER_ENCODING);
                    request
                });
                return Err(classify(refused.into_error()));
            }
        };
        scan.complete(response.headers_mut());
        self.0.served = self.0.served.saturating_add(1);
        // Counted from the head: the endpoint may have been through with the body long before we read its end.
        let promised = promise::reusable_for(response.headers());
        self.0.until = promised.and_then(|promised| Instant::now().checked_add(promised));
        // After a 101 HTTP is over, and the socket goes on.
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        Ok((response, (switched || !ended).then_some(self)))
    }
}

/// Sets the length of the body for every method (RFC 9112 section 6). Otherwise hyper decides by the method, and drops
/// a body of unknown length where it expects none. An empty body gets a length only where the method gives it a meaning
/// (RFC 9110 section 8.6).
fn frame(request: &mut Request<RequestBody>) {
    let body = request.body();
    let (name, value) = if body.is_end_stream() {
        let means = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        if !means {
            return;
        }
        (header::CONTENT_LENGTH, HeaderValue::from_static("0"))
    } else if body.size_hint().exact().is_none() {
        (header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
    } else {
        return;
    };
    if !request.headers().contains_key(header::CONTENT_LENGTH) {
        request.headers_mut().insert(name, value);
    }
}

/// The result of polling a response body.
#[derive(Debug)]
pub(super) enum Piece {
    /// A frame or the end, and whether the connection is closed.
    Frame(Option<Result<Frame<Bytes>, hyper::Error>>, bool),
    /// The connection closed and the body has not ended yet.
    Ended(hyper::Result<()>),
}

/// Sorts hyper's errors into ours.
fn classify(error: hyper::Error) -> Error {
    let unsound = || source_kind(&error) == Some(std::io::ErrorKind::InvalidData);
    if error.is_parse_too_large() {
        Error::UpstreamInvalid("head too large", Some(error))
    } else if error.is_parse() || unsound() {
        Error::UpstreamInvalid("not an HTTP response", Some(error))
    } else {
        Error::UpstreamReset(error)
    }
}

/// A request that was not yet taken when the connection broke is cancelled; what broke the connection lies one deeper.
fn source_kind(error: &hyper::Error) -> Option<std::io::ErrorKind> {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

/// Unread response bytes per connection.
const MAX_BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::pool::tests::{LONG, transport};
    use crate::pool::{Pool, ResponseBody};

    fn request(target: &'static str) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = http::Uri::from_static(target);
        request
    }

    #[test]
    fn a_body_is_framed_by_what_it_is_not_by_the_method() {
        let whole = || RequestBody::Whole(Box::new(Bytes::from_static(b"12345")));
        for (method, body, sent, expected) in [
            ("GET", RequestBody::Empty, None, None),
            ("DELETE", RequestBody::Empty, None, None),
            ("POST", RequestBody::Empty, None, Some("0")),
            ("PUT", RequestBody::Empty, None, Some("0")),
            ("POST", RequestBody::Empty, Some("0"), Some("0")),
            ("GET", whole(), None, None),
            ("GET", whole(), Some("5"), Some("5")),
        ] {
            let mut request = Request::new(body);
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            if let Some(sent) = sent {
                let sent = HeaderValue::from_static(sent);
                request.headers_mut().insert(header::CONTENT_LENGTH, sent);
            }
            frame(&mut request);
            let fields = request.headers();
            let found = fields.get(header::CONTENT_LENGTH);
            let found = found.map(|length| length.to_str().unwrap());
            assert_eq!(found, expected, "{method} {sent:?}");
            assert!(!fields.contains_key(header::TRANSFER_ENCODING), "{method}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_it_takes_a_request_hands_it_back() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let watched = tcp.try_clone().unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let transport = transport();
        let open = transport.handles.connected();
        let io = UpstreamIo::plain(TcpStream::from_std(tcp).unwrap(), open);
        let pool = Rc::new(Pool::new(address, "agent", Rc::new(transport), None));
        let conn = Connection::handshake(io).await.unwrap();
        let (mut first, mut second) = (Some(request("/one")), Some(request("/two")));
        let (answered, ()) = tokio::join!(conn.send(&mut first), async {
            assert!(server.read(&mut [0; 1024]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            server.write_all(answer).await.unwrap();
        });
        drop(ResponseBody::h1(answered.unwrap(), &pool));
        drop(server);
        let kept = pool.idle.borrow_mut().pop().expect("it is kept");
        let watched = TcpStream::from_std(watched).unwrap();
        watched.readable().await.unwrap();
        let sent = tokio::time::timeout(LONG, kept.conn.send(&mut second)).await;
        let failed = sent.expect("does not hang").unwrap_err();
        assert!(matches!(failed, Error::UpstreamReset(_)), "{failed:?}");
        assert_eq!(second.expect("nothing was sent").uri(), "/two");
    }
}
