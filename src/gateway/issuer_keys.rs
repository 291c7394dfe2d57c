//! Keys that issuers of tokens publish are fetched again and again, so that requests find them there.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::config::model::RemoteJwks;
use crate::error::chain;
use crate::jose::{Algorithm, KeySet, KeySetError};
use crate::observe::metrics::Metrics;
use crate::policy::auth::RemoteKeys;
use crate::pool::{ClientTlsError, DialError, WebClient};
use crate::snapshot;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Authorities(#[from] ClientTlsError),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {} KiB", MAX_SET / 1024)]
    TooLarge,
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error("broke")]
    Broke,
}

impl Failure {
    /// The label of the metric.
    fn word(&self) -> &'static str {
        match self {
            Self::Dial(DialError::TimedOut(..)) => "timeout",
            Self::Dial(DialError::Connect(_)) => "connect_failed",
            Self::Dial(DialError::Tls(_)) | Self::Authorities(_) => "tls_failed",
            Self::Dial(_) | Self::Broke => "no_answer",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Keys(_) => "no_keys",
        }
    }
}

/// Fetches the keys of `provider` whenever that is due. Never ends.
pub(super) async fn keep(provider: Arc<str>, keys: Arc<RemoteKeys>, metrics: Arc<Metrics>) {
    loop {
        keys.is_due().await;
        keys.begin();
        let fetched = fetch(keys.settings(), keys.algorithms()).await;
        let word = fetched.as_ref().map_or_else(Failure::word, |_| "ok");
        metrics.jwks_fetches(&provider, word).inc();
        let (found, failure) = match fetched {
            Ok(found) => (Some(found), None),
            Err(failure) => (None, Some(failure)),
        };
        if found.is_some() {
            let now = i64::try_from(snapshot::now().wall / 1000).unwrap_or(i64::MAX);
            metrics.jwks_fetched(&provider).set(now);
        }
        let many = found.as_ref().map(|found| (found.len(), found.left_out()));
        let are_other = keys.end(found, Instant::now(), fastrand::f64());
        let (auth, url) = (&*provider, keys.settings().url.to_string());
        if let Some(failure) = failure {
            let age =
                keys.age(Instant::now()).map_or_else(|| "none are left".to_owned(), |age| format!("{age:.0?} old"));
            tracing::warn!(auth, url, error = chain(&failure), keys = age, "keys of tokens cannot be fetched");
        } else if let Some((many, left_out)) = many.filter(|_| are_other) {
            tracing::info!(auth, url, keys = many, left_out, "keys of tokens fetched");
        }
    }
}

/// Asks once.
async fn fetch(source: &RemoteJwks, algorithms: &[Algorithm]) -> Result<KeySet, Failure> {
    let (url, ca_file) = (source.url.clone(), source.ca_file.clone());
    // Reads the authorities anew each time, which may have changed, and waits for the disk.
    let client = spawn_blocking(move || WebClient::build(&url, ca_file.as_deref(), LIMIT));
    let client = client.await.map_err(|_broke| Failure::Broke)??;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let answer = client.get(headers, MAX_SET).await?;
    if answer.status != StatusCode::OK {
        return Err(Failure::Status(answer.status));
    }
    if !answer.is_whole {
        return Err(Failure::TooLarge);
    }
    Ok(KeySet::read(&answer.body, algorithms)?)
}

/// How long an answer may take, from the look-up of the name on.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes a set of keys may have.
const MAX_SET: usize = 1024 * 1024;
const USER_AGENT: &str = concat!("attache/", env!("CARGO_PKG_VERSION"));
