//! The demo's own traffic: a few calls a second through the gateway's front door, and one line that counts them. A
//! plain client on purpose: a connection for each call, TLS verified against the demo's authority.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::{Instant, interval, timeout};

use super::Failure;
use crate::config::model::{UpstreamProtocol, UpstreamTls};
use crate::observe::stderr::Stderr;
use crate::pool::{ClientTls, DialError, DialLimits, Dialer, Peer, Question, Version};

/// A client and its counts.
pub(super) struct Traffic {
    port: u16,
    dialer: Dialer,
    host: HeaderValue,
    stderr: Stderr,
    calls: Cell<u64>,
    refused: Cell<u64>,
    events: Cell<u64>,
}

impl Traffic {
    /// A client of the gateway at `port` that trusts `authority`.
    pub(super) fn towards(port: u16, authority: &Path, stderr: Stderr) -> Result<Self, Failure> {
        let settings = UpstreamTls { ca_file: Some(authority.to_owned()), ..UpstreamTls::default() };
        let tls = ClientTls::build(&settings, UpstreamProtocol::Http1).ok();
        let parts = tls.zip(HeaderValue::try_from(format!("localhost:{port}")).ok());
        let (tls, host) = parts.ok_or_else(|| {
            Failure::new("the demo's own client cannot be set up", "pass --quiet to do without traffic")
        })?;
        Ok(Self {
            port,
            dialer: Dialer { version: Version::Http1, tls: Some(tls), limits: DialLimits::each(CALL_LIMIT) },
            host,
            stderr,
            calls: Cell::default(),
            refused: Cell::default(),
            events: Cell::default(),
        })
    }

    /// Sends calls until the future is dropped.
    pub(super) async fn run(&self) {
        tokio::join!(self.send_often(), self.stream_often(), self.tell());
    }

    /// The counts in one line.
    pub(super) fn so_far(&self) -> String {
        format!(
            "traffic: {} calls, {} failed (the flaky agent's doing), {} stream events",
            self.calls.get(),
            self.refused.get(),
            self.events.get()
        )
    }

    async fn send_often(&self) {
        let mut pace = interval(Duration::from_millis(400));
        let agents = ["/fast/message:send", "/second/message:send", "/team/message:send", "/flaky/message:send"];
        for path in agents.into_iter().cycle() {
            pace.tick().await;
            self.count(path).await;
        }
    }

    async fn stream_often(&self) {
        let mut pace = interval(Duration::from_secs(10));
        loop {
            pace.tick().await;
            self.count("/slow/message:stream").await;
        }
    }

    /// Says how it goes: in place on a terminal, once in a while elsewhere.
    async fn tell(&self) {
        let is_terminal = io::stderr().is_terminal();
        let pace = if is_terminal { Duration::from_secs(1) } else { Duration::from_secs(30) };
        let mut pace = tokio::time::interval_at(Instant::now() + pace, pace);
        loop {
            pace.tick().await;
            self.stderr.write(if is_terminal {
                format!("\r{}", self.so_far())
            } else {
                format!("{}\n", self.so_far())
            });
        }
    }

    async fn count(&self, path: &'static str) {
        let answered = timeout(CALL_LIMIT, Box::pin(self.call(path))).await;
        self.calls.set(self.calls.get() + 1);
        if !matches!(answered, Ok(Ok(StatusCode::OK))) {
            self.refused.set(self.refused.get() + 1);
        }
    }

    async fn call(&self, path: &'static str) -> Result<StatusCode, DialError> {
        let fields = [(CONTENT_TYPE, "application/json"), (HeaderName::from_static("a2a-version"), "1.0")];
        let question = Question {
            method: Method::POST,
            target: PathAndQuery::from_static(path),
            host: self.host.clone(),
            headers: HeaderMap::from_iter(fields.map(|(name, value)| (name, HeaderValue::from_static(value)))),
            body: Bytes::from_static(MESSAGE),
        };
        let connection =
            self.dialer.connect(Peer::Address((Ipv4Addr::LOCALHOST, self.port).into(), "localhost")).await?;
        let count_events = |data: &Bytes| {
            let starts = data.windows(6).filter(|window| window == b"data: ").count();
            self.events.set(self.events.get() + u64::try_from(starts).unwrap_or_default());
            true
        };
        Ok(connection.watch(question, count_events).await?.status)
    }
}

const CALL_LIMIT: Duration = Duration::from_secs(15);
const MESSAGE: &[u8] = br#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"traffic"}]}}"#;
