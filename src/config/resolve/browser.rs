//! CORS and the guard against requests for foreign pages.

use std::fmt::Display;

use http::HeaderValue;

use super::Scope;
use crate::config::keys::browser as raw;
use crate::config::model::{Cors, Csrf, OriginPattern};
use crate::config::node::{Step, below};
use crate::config::report::Diagnostic;

/// `cors` of a route, which stands at this place.
pub(super) fn cors(at: &[Step], raw: Option<raw::Cors>, scope: &mut Scope<'_>) -> Option<Box<Cors>> {
    let raw = raw?;
    if raw.allow_origins.is_empty() {
        let name = scope.tree.locate(at).path;
        scope.lacks(at, format!("`{name}` allows nobody"), "add `allowOrigins: [https://app.example.com]`");
    }
    if raw.allow_credentials {
        no_credentials_for_everybody(at, &raw, scope);
    }
    Some(Box::new(Cors {
        is_open: !raw.allow_credentials && raw.allow_origins.iter().any(|one| matches!(one, OriginPattern::Any)),
        credentials: raw.allow_credentials,
        methods: list(&raw.allow_methods).unwrap_or(HeaderValue::from_static("GET")),
        headers: list(&raw.allow_headers),
        exposed: list(&raw.expose_headers),
        max_age: HeaderValue::from(raw.max_age.as_secs()),
        private_network: raw.allow_private_network,
        origins: raw.allow_origins,
    }))
}

/// With credentials `*` means nothing to browsers (Fetch standard, CORS protocol and credentials), and an expression
/// that fits every origin gives the cookies of all users to every page.
fn no_credentials_for_everybody(at: &[Step], raw: &raw::Cors, scope: &mut Scope<'_>) {
    let path = below(at, "allowOrigins");
    for (index, origin) in raw.allow_origins.iter().enumerate() {
        if origin.is_everybody() {
            let at = scope.one_of(&path, index);
            let message = format!("`{origin}` lets every page on the internet act with its visitors' credentials");
            let diagnostic = Diagnostic::error("open-credentials", message);
            scope.add(&at, diagnostic.hint("name the origins, or take `allowCredentials` out"));
        }
    }
    let methods = raw.allow_methods.iter().map(http::Method::as_str).collect();
    let sent = raw.allow_headers.iter().map(http::HeaderName::as_str).collect();
    let exposed = raw.expose_headers.iter().map(http::HeaderName::as_str).collect();
    let lists: [(&str, Vec<&str>); 3] = [("allowMethods", methods), ("allowHeaders", sent), ("exposeHeaders", exposed)];
    for (key, names) in lists {
        if names.contains(&"*") {
            let message = format!("with `allowCredentials` an asterisk in `{key}` is a name like any other");
            scope.invalid(&below(at, key), message, "write the names");
        }
    }
}

/// Names with commas between them; `None` where there are none.
fn list<T: Display>(names: &[T]) -> Option<HeaderValue> {
    let names: Vec<String> = names.iter().map(T::to_string).collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|_| !names.is_empty())
}

/// `csrf` of a route, which stands at this place.
pub(super) fn csrf(at: &[Step], raw: Option<raw::Csrf>, scope: &mut Scope<'_>) -> Option<Box<Csrf>> {
    let raw = raw?;
    let path = below(at, "allowOrigins");
    for (index, origin) in raw.allow_origins.iter().enumerate() {
        if origin.is_everybody() {
            let at = scope.one_of(&path, index);
            let message = format!("`{origin}` lets every page on the internet past this guard");
            scope.invalid(&at, message, "name the origins, or take `csrf` out");
        }
    }
    Some(Box::new(Csrf { origins: raw.allow_origins, cookies_need_origin: raw.cookies_need_origin, mode: raw.mode }))
}
