//! Providers that ask a server.

use http::{HeaderName, header};

use super::Scope;
use super::free_fields::check_free;
use crate::config::certs;
use crate::config::keys::external as raw;
use crate::config::model::{CacheScope, ExternalAuth, OnAuthFailure, Scheme};
use crate::config::node::{Step, below};

/// The server that the provider at `at` asks; `None` when that was reported.
pub(super) fn resolve(at: &[Step], raw: raw::External, scope: &mut Scope<'_>) -> Option<ExternalAuth> {
    let Some(url) = raw.url else {
        let name = scope.tree.locate(at).path;
        scope.lacks(at, format!("`{name}` has no `url`"), "add `url: http://127.0.0.1:9000/verify`");
        return None;
    };
    if url.scheme == Scheme::Http && !url.is_local() {
        let message = "credentials of clients go there in the clear, and whoever is on the way can let anybody pass";
        scope.warn(&below(at, "url"), "asks-in-the-clear", message, "use https, or a server on this machine");
    }
    if raw.on_failure == OnAuthFailure::Allow {
        let message = "everybody passes while this server is down, or is kept from answering";
        scope.warn(&below(at, "onFailure"), "fails-open", message, "leave it out, and keep the server up");
    }
    if let Some(Err(problem)) = raw.ca_file.as_deref().map(|file| certs::bundle(file, scope.env)) {
        scope.add(&below(at, "caFile"), problem.diagnostic(scope.env));
    }
    let lists = [
        ("forwardHeaders", &raw.forward_headers),
        ("copyHeaders", &raw.copy_headers),
        ("refusalHeaders", &raw.refusal_headers),
    ];
    for (key, names) in lists {
        let is_wrong = |name: &HeaderName| is_framing(name) || (key != "forwardHeaders" && is_of_body(name));
        for (index, name) in names.iter().enumerate().filter(|(_, name)| is_wrong(name)) {
            let at = scope.one_of(&below(at, key), index);
            scope.invalid(&at, format!("`{name}` is about one connection or body"), "take it out");
        }
    }
    for (index, name) in raw.copy_headers.iter().enumerate().filter(|(_, name)| !is_framing(name) && !is_of_body(name))
    {
        check_free(&scope.one_of(&below(at, "copyHeaders"), index), name, scope);
    }
    let by_credentials = raw.cache.as_ref().is_some_and(|cache| cache.scope == CacheScope::Credentials);
    if by_credentials && raw.forward_headers.is_empty() {
        let message = "one answer would count for everybody: no field of the request tells clients apart";
        scope.conflict(&below(at, "cache"), message, "write `scope: request`, or name credentials in `forwardHeaders`");
    }
    Some(ExternalAuth {
        url,
        ca_file: raw.ca_file,
        timeout: raw.timeout,
        forward_headers: raw.forward_headers,
        copy_headers: raw.copy_headers,
        refusal_headers: raw.refusal_headers,
        principal_header: raw.principal_header,
        roles_header: raw.roles_header,
        cache: raw.cache.map(|cache| (cache.ttl, cache.scope)),
        on_failure: raw.on_failure,
        max_concurrent: raw.max_concurrent,
    })
}

/// Fields that say how a message is sent.
fn is_framing(name: &HeaderName) -> bool {
    let fixed = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::HOST,
    ];
    fixed.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Fields that say what a body is. The body of the server's answer goes nowhere.
fn is_of_body(name: &HeaderName) -> bool {
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_RANGE].contains(name)
}
