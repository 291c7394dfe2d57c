//! What knows clients, for all routes of one configuration.

use std::sync::Arc;

use crate::config::model::{Config, Route};
use crate::context::ProtectedFields;
use crate::policy::auth::{Provider, RouteAuth};
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
        let of_routes = config.routes.iter().filter_map(|route| route.auth.as_ref());
        let of_routes = of_routes.flat_map(|auth| auth.identity_headers.names().cloned());
        let of_providers = providers.iter().flat_map(|provider| provider.forwards());
        let protected = ProtectedFields::of(of_routes.chain(of_providers)).map(Arc::new);
        Self { providers, protected }
    }

    /// What a route asks.
    #[must_use]
    pub fn of(&self, route: &Route) -> Option<Box<RouteAuth>> {
        let settings = route.auth.as_deref()?;
        Some(Box::new(RouteAuth::new(settings, &self.providers, canonical_path)))
    }
}
