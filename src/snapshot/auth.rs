//! What knows clients, for all routes of one configuration.

use std::sync::Arc;

use crate::config::model::{Config, ExternalAuth, Route};
use crate::context::ProtectedFields;
use crate::policy::auth::{Ask, Provider, RemoteKeys, RouteAuth};
use crate::pool::{KeptClient, WebClient};
use crate::route::canonical_path;

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
        providers.iter().for_each(|provider| provider.ask_with(asking));
        let of_routes = config.routes.iter().filter_map(|route| route.auth.as_ref());
        let of_routes = of_routes.flat_map(|auth| auth.identity_headers.names().cloned());
        let of_providers = providers.iter().flat_map(|provider| provider.forwards());
        let protected = ProtectedFields::of(of_routes.chain(of_providers)).map(Arc::new);
        Self { providers, protected }
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

/// How a server is asked. Where its authorities cannot be read any more, it does not answer.
fn asking(settings: &ExternalAuth) -> Ask {
    let client = WebClient::build(&settings.url, settings.ca_file.as_deref(), settings.timeout);
    let client = client.map(|client| Arc::new(KeptClient::new(client))).inspect_err(|error| {
        let (url, error) = (settings.url.to_string(), error as &dyn std::error::Error);
        tracing::error!(url, error, "a server that decides who may come in cannot be asked");
    });
    let client = client.ok();
    Ask::new(move |fields| {
        let client = client.clone();
        Box::pin(async move { client?.head(fields).await.ok() })
    })
}
