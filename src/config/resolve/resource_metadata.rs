//! Where clients get tokens.

use super::Scope;
use crate::config::model::ResourceMetadata;
use crate::config::node::{Step, below};

/// Checks the addresses and scopes of the metadata of the route whose `auth` is `at`.
pub(super) fn check(at: &[Step], metadata: &ResourceMetadata, scope: &mut Scope<'_>) {
    let at = below(at, "resourceMetadata");
    for (index, server) in metadata.authorization_servers.iter().enumerate() {
        if !is_url(server) || server.contains(['?', '#']) {
            let at = scope.one_of(&below(&at, "authorizationServers"), index);
            let message = format!("`{server}` is not the URL of an issuer");
            scope.invalid(&at, message, "write `https://login.example.com`, without a query (RFC 8414 section 2)");
        }
    }
    if let Some(page) = metadata.documentation.as_ref().filter(|page| !is_url(page)) {
        scope.invalid(&below(&at, "documentation"), format!("`{page}` is not a URL"), "write `https://..`");
    }
    for (index, word) in metadata.scopes.iter().enumerate() {
        // RFC 6749 section 3.3.
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
            let at = scope.one_of(&below(&at, "scopes"), index);
            scope.invalid(&at, format!("`{word}` is not a scope"), "several stand in a list");
        }
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(|b| b.is_ascii_graphic()))
}
