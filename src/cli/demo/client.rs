//! The demo's client. A plain one on purpose: a connection for each call, TLS verified against the demo's authority.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::Failure;
use crate::config::model::{UpstreamProtocol, UpstreamTls};
use crate::pool::{ClientTls, DialError, DialLimits, DialedResponse, Dialer, Peer, Question, Version};

/// A client of the demo's gateway.
pub(super) struct Client {
    port: u16,
    dialer: Dialer,
    host: HeaderValue,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Path(#[from] InvalidUri),
    #[error(transparent)]
    Dial(#[from] DialError),
}

impl Client {
    /// A client of the gateway at `port` that trusts `authority`.
    pub(super) fn towards(port: u16, authority: &Path) -> Result<Self, Failure> {
        let settings = UpstreamTls { ca_file: Some(authority.to_owned()), ..UpstreamTls::default() };
        let tls = ClientTls::build(&settings, UpstreamProtocol::Http1).ok();
        let parts = tls.zip(HeaderValue::try_from(format!("localhost:{port}")).ok());
        let (tls, host) = parts.ok_or_else(|| {
            Failure::new("the demo's own client cannot be set up", "pass --quiet to do without traffic")
        })?;
        let dialer = Dialer { version: Version::Http1, tls: Some(tls), limits: DialLimits::each(CALL_LIMIT) };
        Ok(Self { port, dialer, host })
    }

    /// One call; an answer that is not JSON is `null`.
    pub(super) async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Value), CallError> {
        let mut text = Vec::new();
        let take = |data: &Bytes| {
            text.extend_from_slice(data);
            text.len() < MAX_ANSWER
        };
        let status = self.watch(method, path, body, take).await?;
        Ok((status, serde_json::from_slice(&text).unwrap_or_default()))
    }

    /// One call, whose answer's pieces are shown to `look` until that has enough and says so with `false`.
    pub(super) async fn watch(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        look: impl FnMut(&Bytes) -> bool,
    ) -> Result<StatusCode, CallError> {
        let fields = [(CONTENT_TYPE, "application/json"), (HeaderName::from_static("a2a-version"), "1.0")];
        let question = Question {
            method,
            target: PathAndQuery::try_from(path)?,
            host: self.host.clone(),
            headers: HeaderMap::from_iter(fields.map(|(name, value)| (name, HeaderValue::from_static(value)))),
            body,
        };
        let peer = Peer::Address((Ipv4Addr::LOCALHOST, self.port).into(), "localhost");
        let answer: DialedResponse = self.dialer.connect(peer).await?.watch(question, look).await?;
        Ok(answer.status)
    }
}

/// Events that begin in a piece of a stream.
pub(super) fn events_in(data: &[u8]) -> u64 {
    data.windows(6).filter(|window| window == b"data: ").count().try_into().unwrap_or_default()
}

/// Time for each step of a call.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 1 << 20;
