//! Providers and what routes ask of them.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::credentials_file::read;
use super::free_fields::check_free;
use super::references::References;
use super::{Scope, basic, client_certificate, external, jwt, resource_metadata};
use crate::config::keys::auth as raw;
use crate::config::keys_file::{self, BadLine};
use crate::config::model::{
    ApiKeys, AuthException, AuthKind, AuthProvider, AuthProviderId, Config, KeyCarrier, KnownKey, Needed, RouteAuth,
};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// Resolves the providers, in name order.
pub(super) fn providers(entries: Vec<(String, raw::AuthProvider)>, scope: &mut Scope<'_>) -> Vec<Arc<AuthProvider>> {
    let provider = |(name, raw): (String, raw::AuthProvider)| {
        let kind = kind(&name, raw, scope);
        Arc::new(AuthProvider { name: name.into(), kind })
    };
    entries.into_iter().map(provider).collect()
}

fn kind(name: &str, raw: raw::AuthProvider, scope: &mut Scope<'_>) -> AuthKind {
    let at = steps!["authProviders", name];
    let kinds = [
        ("apiKey", raw.api_key.is_some()),
        ("basic", raw.basic.is_some()),
        ("clientCertificate", raw.client_certificate.is_some()),
        ("jwt", raw.jwt.is_some()),
        ("external", raw.external.is_some()),
    ];
    let given: Vec<_> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("`authProviders.{name}` is of two kinds: `{first}` and `{second}`");
        scope.conflict(&below(&at, *second), message, "make a provider of each, and name both under `auth`");
    }
    if let Some(raw) = raw.api_key {
        return AuthKind::ApiKey(api_keys(&below(&at, "apiKey"), *raw, scope));
    }
    if let Some(raw) = raw.basic {
        return AuthKind::Basic(basic::resolve(&below(&at, "basic"), &raw, scope));
    }
    if let Some(settings) = raw.client_certificate {
        client_certificate::resolve(&below(&at, "clientCertificate"), &settings, scope);
        return AuthKind::ClientCertificate(settings);
    }
    let nothing = || AuthKind::ApiKey(ApiKeys { carrier: KeyCarrier::Bearer, keys: Vec::new() });
    if let Some(raw) = raw.jwt {
        let jwt = jwt::resolve(&below(&at, "jwt"), *raw, scope);
        return jwt.map_or_else(nothing, |jwt| AuthKind::Jwt(Box::new(jwt)));
    }
    if let Some(raw) = raw.external {
        let external = external::resolve(&below(&at, "external"), *raw, scope);
        return external.map_or_else(nothing, |external| AuthKind::External(Box::new(external)));
    }
    if given.is_empty() {
        let message = format!("`authProviders.{name}` does not say how it knows clients");
        scope.lacks(&at, message, format!("give one of {}", list(&kinds.map(|(kind, _)| kind))));
    }
    nothing()
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn api_keys(at: &[Step], raw: raw::ApiKey, scope: &mut Scope<'_>) -> ApiKeys {
    let places = [("header", raw.header.is_some()), ("bearer", raw.bearer), ("query", raw.query.is_some())];
    let mut given = places.iter().filter(|(_, given)| *given).map(|(place, _)| *place);
    if let (Some(_), Some(second)) = (given.next(), given.next()) {
        scope.conflict(&below(at, second), "a key has one place", "make a provider for each place");
    }
    let carrier = match (raw.header, raw.query) {
        _ if raw.bearer => KeyCarrier::Bearer,
        (_, Some(name)) => KeyCarrier::Query(parameter(at, name, scope)),
        (header, None) => KeyCarrier::Header(header.unwrap_or(X_API_KEY)),
    };
    ApiKeys { carrier, keys: keys(at, &raw.keys_file, scope) }
}

fn parameter(at: &[Step], name: String, scope: &mut Scope<'_>) -> String {
    let at = below(at, "query");
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        scope.invalid(&at, "a query parameter has letters, digits, `-`, `_` and `.`", "write `query: api_key`");
    } else {
        let message = "proxies, browsers and logs keep addresses, and keys with them";
        scope.warn(&at, "key-in-query", message, "let clients use a header where they can");
    }
    name
}

fn keys(at: &[Step], file: &Path, scope: &mut Scope<'_>) -> Vec<KnownKey> {
    let Some(bytes) = read(at, "keysFile", file, scope) else { return Vec::new() };
    match keys_file::parse(&bytes) {
        Ok(keys) => {
            if keys.is_empty() {
                let message = format!("`{}` holds no key, so nobody gets in by one", file.display());
                scope.warn(&below(at, "keysFile"), "no-keys", message, "write a line `name:sha256hex` for each");
            }
            keys
        }
        Err(BadLine { line, what }) => {
            scope.invalid(&below(at, "keysFile"), format!("`{}`, line {line}: {what}", file.display()), FORM);
            Vec::new()
        }
    }
}

/// Resolves what a route asks.
pub(super) fn of_route(
    route: &str,
    raw: Option<Box<raw::Auth>>,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Option<Box<RouteAuth>> {
    let raw = *raw?;
    let at = steps!["routes", route, "auth"];
    if !raw.any_of.is_empty() && !raw.all_of.is_empty() {
        scope.conflict(&below(&at, "allOf"), "`anyOf` and `allOf` are both given", "keep one of them");
    }
    let needed = if raw.all_of.is_empty() {
        Needed::Any(named(&at, "anyOf", &raw.any_of, references, scope))
    } else {
        Needed::All(named(&at, "allOf", &raw.all_of, references, scope))
    };
    if needed.providers().is_empty() && raw.any_of.is_empty() && raw.all_of.is_empty() {
        let message = format!("`routes.{route}.auth` names no provider");
        scope.lacks(&at, message, "write `auth: name` with a name under `authProviders`, or `auth: off`");
    }
    check_fields(&at, &raw.identity_headers, scope);
    if let Some(metadata) = &raw.resource_metadata {
        resource_metadata::check(&at, metadata, scope);
    }
    if raw.realm.is_empty() || !raw.realm.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        scope.invalid(&below(&at, "realm"), "a realm is a text of ASCII", "write `realm: agents`");
    }
    let except = raw.except.into_iter().map(|exception| match exception {
        raw::AuthException::Cards => AuthException::Cards,
        raw::AuthException::Health => AuthException::Health,
        raw::AuthException::Path(path) => AuthException::Path {
            // It has one: otherwise it was not read.
            path: path.path.unwrap_or_else(|| crate::config::model::PathMatch::Exact(String::new())),
            methods: path.methods,
        },
    });
    Some(Box::new(RouteAuth {
        needed,
        except: except.collect(),
        optional: raw.optional,
        credentials: raw.credentials,
        identity_headers: raw.identity_headers,
        realm: raw.realm,
        resource_metadata: raw.resource_metadata,
    }))
}

fn named(
    at: &[Step],
    key: &'static str,
    names: &[String],
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Vec<AuthProviderId> {
    // A name or a list of names stands under `auth` itself.
    let list = if scope.is_given(&below(at, key)) { below(at, key) } else { at.to_vec() };
    let mut ids = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = scope.one_of(&list, index);
        let known = references.providers.iter().position(|provider| *provider.name == **name).map(AuthProviderId);
        match known {
            None => scope.dangling(&at, "authProvider", name, references.providers.iter().map(|known| &*known.name)),
            Some(id) if ids.contains(&id) => {
                scope.add(&at, Diagnostic::invalid(format!("`{name}` is given twice")));
            }
            Some(id) => ids.push(id),
        }
    }
    ids
}

/// Fields of the identity must be free for that.
fn check_fields(at: &[Step], fields: &raw::IdentityHeaders, scope: &mut Scope<'_>) {
    let named = [
        ("principal", &fields.principal),
        ("provider", &fields.provider),
        ("roles", &fields.roles),
        ("spiffe", &fields.spiffe),
    ];
    let mut seen: Vec<&HeaderName> = Vec::new();
    for (key, name) in named {
        let Some(name) = name else { continue };
        let path = below(&below(at, "identityHeaders"), key);
        check_free(&path, name, scope);
        if seen.contains(&name) {
            scope.invalid(&path, format!("`{name}` is given twice"), "give each its own field");
        }
        seen.push(name);
    }
}

/// Providers that nobody uses.
pub(super) fn unused(config: &Config, scope: &mut Scope<'_>) {
    for (index, provider) in config.auth_providers.iter().enumerate() {
        let id = AuthProviderId(index);
        let mut asked = config.routes.iter().filter_map(|route| route.auth.as_ref());
        if !asked.any(|auth| auth.needed.providers().contains(&id)) {
            let name = &*provider.name;
            let message = format!("no route uses `authProviders.{name}`");
            scope.warn_key(&steps!["authProviders", name], "unused", message, format!("add `auth: {name}` to a route"));
        }
    }
}

const FORM: &str = "a line is `name:sha256hex` or `name:sha256hex:role,role`";
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
