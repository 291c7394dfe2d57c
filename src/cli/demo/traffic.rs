//! The demo's own traffic: a few calls a second through the gateway's front door, and one line that counts them. A
//! plain client on purpose: a connection for each call, TLS verified against the demo's authority.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::observe::stderr::Stderr;

/// A client and its counts.
pub(super) struct Traffic {
    port: u16,
    connector: TlsConnector,
    name: ServerName<'static>,
    stderr: Stderr,
    calls: Cell<u64>,
    refused: Cell<u64>,
    events: Cell<u64>,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no connection")]
    Connect(#[from] io::Error),
    #[error("no answer")]
    Http(#[from] hyper::Error),
    #[error("not a request")]
    Request(#[from] http::Error),
}

impl Traffic {
    /// A client of the gateway at `port` that trusts `authority`.
    pub(super) fn towards(port: u16, authority: &Path, stderr: Stderr) -> Result<Self, Failure> {
        let parts = connector(authority).zip(ServerName::try_from("localhost").ok());
        let (connector, name) = parts.ok_or_else(|| {
            Failure::new("the demo's own client cannot be set up", "pass --quiet to do without traffic")
        })?;
        Ok(Self {
            port,
            connector,
            name,
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
        for agent in ["fast", "second", "team", "flaky"].iter().cycle() {
            pace.tick().await;
            self.count(&format!("/{agent}/message:send")).await;
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

    async fn count(&self, path: &str) {
        let answered = timeout(CALL_LIMIT, Box::pin(self.call(path))).await;
        self.calls.set(self.calls.get() + 1);
        if !matches!(answered, Ok(Ok(StatusCode::OK))) {
            self.refused.set(self.refused.get() + 1);
        }
    }

    async fn call(&self, path: &str) -> Result<StatusCode, CallError> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let tls = self.connector.connect(self.name.clone(), stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        let request = Request::post(path)
            .header(http::header::HOST, format!("localhost:{}", self.port))
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("a2a-version", "1.0")
            .body(Full::new(Bytes::from_static(MESSAGE)))?;
        let exchange = async {
            let mut response = sender.send_request(request).await?;
            while let Some(frame) = response.frame().await {
                let data = frame?.into_data().unwrap_or_default();
                let starts = data.windows(6).filter(|window| window == b"data: ").count();
                self.events.set(self.events.get() + u64::try_from(starts).unwrap_or_default());
            }
            Ok(response.status())
        };
        // The connection is driven here, not in a task of its own: what is dropped is gone.
        tokio::pin!(connection, exchange);
        tokio::select! {
            answered = &mut exchange => answered,
            ended = &mut connection => {
                ended?;
                exchange.await
            }
        }
    }
}

fn connector(authority: &Path) -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).ok()? {
        roots.add(certificate.ok()?).ok()?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
}

const CALL_LIMIT: Duration = Duration::from_secs(15);
const MESSAGE: &[u8] = br#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"traffic"}]}}"#;
