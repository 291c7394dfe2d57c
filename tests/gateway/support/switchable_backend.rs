//! A backend that answers with the status the test gave it last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

use http::Response;

use super::{Backend, Place, full};

/// See the module.
#[derive(Debug)]
pub(crate) struct SwitchableBackend {
    backend: Backend,
    status: Arc<AtomicU16>,
}

impl SwitchableBackend {
    /// Every request is answered with the status.
    pub(crate) async fn new(status: u16) -> Self {
        Self::only_at(None, status).await
    }

    /// Requests for `path` are answered with the status, all others with 200.
    pub(crate) async fn at(path: &'static str, status: u16) -> Self {
        Self::only_at(Some(path), status).await
    }

    async fn only_at(only: Option<&'static str>, status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let shared = Arc::clone(&status);
        let backend = Backend::handling(move |request| {
            let concerned = only.is_none_or(|path| request.uri().path() == path);
            let status = if concerned { shared.load(SeqCst) } else { 200 };
            let response = Response::builder().status(status).body(full("moody"));
            async move { response.unwrap() }
        })
        .await;
        Self { backend, status }
    }

    /// The status from now on.
    pub(crate) fn becomes(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    /// Requests whose head has arrived.
    pub(crate) fn hits(&self) -> usize {
        self.backend.hits()
    }
}

impl Place for SwitchableBackend {
    fn place(&self) -> String {
        self.backend.place()
    }
}
