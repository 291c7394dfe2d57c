//! Certificates of clients.

use super::Scope;
use crate::config::keys_file;
use crate::config::model::{AuthKind, AuthProviderId, ClientCertificates, Config};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// Checks the names that a provider is to know.
pub(super) fn resolve(at: &[Step], settings: &ClientCertificates, scope: &mut Scope<'_>) {
    for (index, domain) in settings.trust_domains.iter().enumerate() {
        let at = scope.one_of(&below(at, "trustDomains"), index);
        scope.trust_domain(&at, domain);
    }
    for (index, role) in settings.roles.iter().enumerate() {
        if !keys_file::roles(role).is_ok_and(|roles| matches!(&*roles, [one] if **one == **role)) {
            let at = scope.one_of(&below(at, "roles"), index);
            scope.invalid(&at, format!("`{role}` is no role"), "a role has no spaces and no commas");
        }
    }
}

/// Routes that ask for certificates where no listener does.
pub(super) fn lint(config: &Config, scope: &mut Scope<'_>) {
    let is_kind = |id: &AuthProviderId| {
        let provider = config.auth_providers.get(id.0);
        provider.is_some_and(|provider| matches!(provider.kind, AuthKind::ClientCertificate(_)))
    };
    for route in &config.routes {
        let providers = route.auth.iter().flat_map(|auth| auth.needed.providers());
        let listeners = route.listeners.iter().filter_map(|id| config.listeners.get(id.0));
        let mut asks = listeners.map(|listener| listener.tls.as_ref().and_then(|tls| tls.client_auth.authorities()));
        if providers.into_iter().any(is_kind) && asks.all(|authorities| authorities.is_none()) {
            let at = steps!["routes", route.name.as_str(), "auth"];
            let message =
                format!("`routes.{}` wants a client certificate, and none of its listeners asks for one", route.name);
            let hint = "add `tls: { clientAuth: { mode: optional, caFile: .. } }` to the listener";
            scope.add(&at, Diagnostic::warning("without-effect", message).hint(hint));
        }
    }
}
