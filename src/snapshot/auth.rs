//! What knows clients, for all routes of one configuration.

use std::convert::Infallible;
use std::sync::Arc;

use crate::config::model::{Config, ExternalAuth, Route};
use crate::context::ProtectedFields;
use crate::policy::auth::{Ask, Provider, RemoteKeys, RouteAuth};
use crate::pool::{ClientTlsError, KeptClient, WebClient};
use crate::route::canonical_path;

/// Why a server that decides who may come in cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("`caFile` of provider `{provider}`")]
pub struct AuthServerError {
    /// The provider that asks it.
    pub provider: String,
    /// What is wrong with its authorities.
    #[source]
    pub source: ClientTlsError,
}

/// The providers in force.
#[derive(Debug, Default)]
pub struct AuthState {
    /// By [`crate::config::model::AuthProviderId`], in name order.
    providers: Vec<Arc<Provider>>,
    /// Fields that no client may send, if any agent is told who clients are.
    pub protected: Option<Arc<ProtectedFields>>,
}

impl AuthState {
    /// The providers of `config`. What those of `previous` remember goes on.
    #[must_use]
    pub fn adopt(config: &Config, previous: Option<&Self>) -> Self {
        let before = |name: &str| {
            let known = previous.map(|before| before.providers.as_slice()).unwrap_or_default();
            let at = known.binary_search_by(|provider| provider.name().cmp(name)).ok()?;
            known.get(at).map(|provider| &**provider)
        };
        let providers: Vec<_> = config
            .auth_providers
            .iter()
            .map(|settings| Arc::new(Provider::adopt(settings, before(&settings.name))))
            .collect();
        let of_routes = config.routes.iter().filter_map(|route| route.auth.as_ref());
        let of_routes = of_routes.flat_map(|auth| auth.identity_headers.names().cloned());
        let of_providers = providers.iter().flat_map(|provider| provider.forwards());
        let protected = ProtectedFields::of(of_routes.chain(of_providers)).map(Arc::new);
        Self { providers, protected }
    }

    /// Finds out how servers are asked that decide who may come in. Until then they are not.
    ///
    /// # Errors
    /// When the authorities of one cannot be read.
    pub(super) fn ask_servers(&self) -> Result<(), AuthServerError> {
        self.providers.iter().try_for_each(|provider| {
            let lost = |source| AuthServerError { provider: provider.name().to_owned(), source };
            provider.ask_with(asking).map_err(lost)
        })
    }

    /// Makes every question to a server one that is never sent. A route that is only looked at then shows that the
    /// server would be asked.
    pub(super) fn ask_nobody(&self) {
        for provider in &self.providers {
            let Ok(()) = provider.ask_with(|_| Ok::<_, Infallible>(Ask::new(|_| Box::pin(async { None }))));
        }
    }

    /// Keys that have to be fetched, with the name of their provider.
    pub fn remote_keys(&self) -> impl Iterator<Item = (&str, &Arc<RemoteKeys>)> {
        self.providers.iter().filter_map(|provider| Some((provider.name(), provider.remote_keys()?)))
    }

    /// How many credentials each provider remembers, and how many requests wait for it.
    pub fn loads(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.providers.iter().filter_map(|provider| {
            let (remembered, waiting) = provider.load()?;
            Some((provider.name(), remembered, waiting))
        })
    }

    /// What a route asks.
    #[must_use]
    pub fn of(&self, route: &Route) -> Option<Box<RouteAuth>> {
        let settings = route.auth.as_deref()?;
        Some(Box::new(RouteAuth::new(settings, &self.providers, canonical_path)))
    }
}

/// How a server is asked, with the authorities that are in force now.
fn asking(settings: &ExternalAuth) -> Result<Ask, ClientTlsError> {
    let client = WebClient::build(&settings.url, settings.ca_file.as_deref(), settings.timeout)?;
    let client = Arc::new(KeptClient::new(client));
    Ok(Ask::new(move |fields| {
        let client = Arc::clone(&client);
        Box::pin(async move { client.head(fields).await.ok() })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::discovery::dns::Resolutions;
    use crate::config::{self, Environment};
    use crate::snapshot::{Snapshot, SnapshotError};

    #[test]
    fn authorities_that_cannot_be_read_any_more_refuse_a_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let authority = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        std::fs::write(file.path(), authority.cert.pem()).unwrap();
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
             authProviders: {{ gate: {{ external: {{ url: 'https://a.example/', caFile: '{}' }} }} }}\n\
             routes: {{ all: {{ respond: {{}}, auth: gate }} }}",
            file.path().display()
        );
        let loaded = config::parse(&text, "test.yaml", &Environment::process());
        let config = Arc::new(loaded.unwrap_or_else(|report| panic!("{report}")).config);
        let build = |previous| Snapshot::build(Arc::clone(&config), previous, &Resolutions::new());
        let before = build(None).unwrap();
        // As when it is exchanged while the configuration is taken.
        std::fs::write(file.path(), "no certificate").unwrap();
        for previous in [None, Some(&before)] {
            let refused = build(previous).unwrap_err();
            assert!(matches!(&refused, SnapshotError::AuthServer(_)), "{refused}");
            assert_eq!(refused.to_string(), "`caFile` of provider `gate`");
        }
    }
}
