//! Questions to a web server, one after the other, on connections that are kept in between. Each thread has its own: a
//! connection belongs to the runtime that opened it. A connection that is not in use is not polled; before it is used
//! again it is looked at, and one that was closed or says something that nobody asked for is dropped.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use thread_local::ThreadLocal;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::addresses::Addresses;
use super::dial::{DialError, Http1, Question};
use super::web_client::WebClient;

/// Asks one server, over connections that are kept.
#[derive(Debug)]
pub struct KeptClient {
    client: WebClient,
    addresses: Arc<Addresses>,
    idle: ThreadLocal<RefCell<Vec<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Box<Http1>,
    /// Whether the driver has ended.
    is_over: bool,
    since: Instant,
}

impl KeptClient {
    /// Asks as `client` does.
    #[must_use]
    pub fn new(client: WebClient) -> Self {
        Self { addresses: client.addresses(), client, idle: ThreadLocal::new() }
    }

    /// Asks with `GET` and waits for the head of the answer; its body is dropped. Where a kept connection breaks before
    /// there is an answer, the question is asked once more on a new one. Dropped, it closes the connection.
    ///
    /// # Errors
    /// When no answer comes in time.
    pub async fn head(&self, headers: HeaderMap) -> Result<(StatusCode, HeaderMap), DialError> {
        self.client.in_time(self.ask(headers)).await
    }

    async fn ask(&self, headers: HeaderMap) -> Result<(StatusCode, HeaderMap), DialError> {
        if let Some(kept) = self.take()
            && let Ok(answer) = self.ask_on(kept, self.client.question(headers.clone())).await
        {
            return Ok(answer);
        }
        self.ask_on(Box::pin(self.connect()).await?, self.client.question(headers)).await
    }

    /// Connects to the first address that takes it. They share the time, so that one that says nothing leaves some for
    /// the others.
    async fn connect(&self) -> Result<Connection, DialError> {
        let mut refused = DialError::Host;
        let addresses = self.addresses.get().await.map_err(DialError::Connect)?;
        let share = self.client.share(addresses.len());
        for address in addresses {
            match self.client.connect_to(address, share).await {
                Ok(connection) => {
                    let (sender, driver) = connection.into_http1().await?;
                    return Ok(Connection { sender, driver: Box::new(driver), is_over: false, since: Instant::now() });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn ask_on(&self, mut on: Connection, question: Question) -> Result<(StatusCode, HeaderMap), DialError> {
        let response = on.ask(question).await?;
        let (head, mut body) = response.into_parts();
        if poll_fn(|context| Poll::Ready(on.has_ended(&mut body, context))).await {
            self.keep(on);
        }
        Ok((head.status, head.headers))
    }

    /// A connection that was kept and can be used.
    fn take(&self) -> Option<Connection> {
        let idle = self.idle.get_or_default();
        loop {
            let mut kept = idle.borrow_mut().pop()?;
            if kept.since.elapsed() < LONGEST_IDLE && kept.is_quiet() {
                return Some(kept);
            }
        }
    }

    fn keep(&self, mut connection: Connection) {
        let mut idle = self.idle.get_or_default().borrow_mut();
        // The oldest are at the front.
        let old = idle.iter().take_while(|kept| kept.since.elapsed() >= LONGEST_IDLE).count();
        idle.drain(..old);
        if idle.len() < MOST_IDLE {
            connection.since = Instant::now();
            idle.push(connection);
        }
    }
}

impl Connection {
    /// Asks, and drives the connection meanwhile.
    async fn ask(&mut self, question: Question) -> Result<http::Response<Incoming>, DialError> {
        let mut answer = pin!(self.sender.send_request(question.in_http1()));
        tokio::select! {
            biased;
            answer = &mut answer => Ok(answer?),
            ended = &mut self.driver => {
                self.is_over = true;
                // What came before the end counts, whatever came after it.
                match (answer.await, ended) {
                    (Ok(answer), _) => Ok(answer),
                    (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error.into()),
                }
            }
        }
    }

    /// Whether the server has neither closed it nor said anything unasked.
    fn is_quiet(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        !self.sender.is_closed() && pin!(unconstrained(&mut self.driver)).poll(&mut context).is_pending()
    }

    /// Whether the body of an answer is there to its end, so that another question can follow. Does not wait for it: an
    /// answer whose body is long or slow costs its connection.
    fn has_ended(&mut self, body: &mut Incoming, context: &mut Context<'_>) -> bool {
        if self.is_over {
            return false;
        }
        let mut left = MOST_DROPPED;
        loop {
            let mut frame = Pin::new(&mut *body).poll_frame(context);
            if frame.is_pending() {
                if Pin::new(&mut self.driver).poll(context).is_ready() {
                    return false;
                }
                frame = Pin::new(&mut *body).poll_frame(context);
            }
            let frame = match frame {
                Poll::Ready(None) => break,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            };
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
            left = rest;
        }
        Pin::new(&mut self.driver).poll(context).is_pending() && self.sender.is_ready()
    }
}

/// How long a connection is kept: less than servers usually do.
const LONGEST_IDLE: Duration = Duration::from_secs(4);
/// Connections that a thread keeps.
const MOST_IDLE: usize = 32;
/// Bytes of a body that are read in order to keep the connection.
const MOST_DROPPED: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::advance;

    use super::*;
    use crate::config::model::{Scheme, WebUrl};

    #[tokio::test(start_paused = true)]
    async fn an_address_that_says_nothing_leaves_time_for_the_next() {
        // While a thread is busy the clock moves by hand only.
        let (over, busy) = std::sync::mpsc::channel::<()>();
        let thread = tokio::task::spawn_blocking(move || busy.recv().is_ok());
        let sockets =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let limit = Duration::from_secs(2);
        let url = WebUrl {
            scheme: Scheme::Https,
            host: "a.example".into(),
            port: 443,
            authority: http::HeaderValue::from_static("a.example"),
            target: http::uri::PathAndQuery::from_static("/"),
        };
        let client = KeptClient::new(WebClient::build(&url, None, limit).unwrap());
        client.addresses.know(sockets.each_ref().map(|socket| socket.local_addr().unwrap()).into());
        let mut asking = pin!(client.head(HeaderMap::new()));
        let mut accepted = Vec::new();
        for socket in &sockets {
            tokio::select! {
                answer = &mut asking => panic!("nobody speaks TLS: {answer:?}"),
                connection = socket.accept() => accepted.push(connection.unwrap()),
            }
            advance(limit / 2).await;
        }
        assert!(matches!(asking.await, Err(DialError::TimedOut(..))));
        drop(over);
        assert!(!thread.await.unwrap());
    }
}
