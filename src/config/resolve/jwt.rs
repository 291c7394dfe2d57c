//! Providers that take signed tokens. Files of keys are read here, as part of the configuration.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::Scope;
use super::credentials_file::read;
use super::free_fields::check_free;
use crate::config::certs;
use crate::config::keys::jwt as raw;
use crate::config::model::{Jwt, JwtKeys, RemoteJwks, Scheme};
use crate::config::node::{Step, below};
use crate::jose::{Algorithm, ClaimRules, KeyKind, KeySet, KeySetError};

/// The tokens that the provider at `at` takes; `None` when that was reported.
pub(super) fn resolve(at: &[Step], raw: raw::Jwt, scope: &mut Scope<'_>) -> Option<Jwt> {
    check_claims(at, &raw, scope);
    if let Some(domain) = &raw.trust_domain {
        scope.trust_domain(&below(at, "trustDomain"), domain);
    }
    let has_secret = raw.secret_file.is_some();
    let algorithms = algorithms(at, raw.algorithms, has_secret, scope);
    lint(at, raw.issuer.as_deref(), &raw.audiences, scope);
    let keys = match (raw.secret_file, raw.jwks) {
        (Some(file), None) => JwtKeys::Known(secret(at, &file, &algorithms, scope)?),
        (None, Some(jwks)) => public(&below(at, "jwks"), *jwks, &algorithms, scope)?,
        (Some(_), Some(_)) => {
            let message = "a provider has public keys or a secret: with both, what is public would be one more secret";
            scope.conflict(&below(at, "secretFile"), message, "make a provider of each");
            return None;
        }
        (None, None) => {
            let name = scope.tree.locate(at).path;
            let hint = "add `jwks: { url: https://.. }`, `jwks: { file: .. }` or `secretFile: ..`";
            scope.lacks(at, format!("`{name}` has no keys"), hint);
            return None;
        }
    };
    Some(Jwt {
        rules: ClaimRules {
            issuer: raw.issuer.map(String::into_boxed_str),
            audiences: raw.audiences.into_iter().map(String::into_boxed_str).collect(),
            clock_skew: raw.clock_skew,
            subject: raw.principal_claim.into_boxed_str(),
        },
        algorithms,
        keys,
        header: raw.header,
        forward_claims: raw.forward_claims.into_iter().map(|(claim, field)| (claim, field.0)).collect(),
        roles_claim: raw.roles_claim,
        trust_domain: raw.trust_domain.map(String::into_boxed_str),
    })
}

fn check_claims(at: &[Step], raw: &raw::Jwt, scope: &mut Scope<'_>) {
    for (key, claim) in [("principalClaim", &raw.principal_claim), ("rolesClaim", &raw.roles_claim)] {
        if claim.is_empty() {
            scope.invalid(&below(at, key), "a claim has a name", format!("leave `{key}` out, or name a claim"));
        }
    }
    let mut fields: Vec<&HeaderName> = Vec::new();
    for (claim, field) in &raw.forward_claims {
        let at = below(&below(at, "forwardClaims"), claim.as_str());
        check_free(&at, &field.0, scope);
        if fields.contains(&&field.0) {
            scope.invalid(&at, format!("`{}` is given twice", field.0), "give each its own field");
        }
        fields.push(&field.0);
    }
}

/// The ways of signing that are allowed, all of which fit the keys.
fn algorithms(at: &[Step], given: Option<Vec<Algorithm>>, has_secret: bool, scope: &mut Scope<'_>) -> Vec<Algorithm> {
    let path = below(at, "algorithms");
    let Some(given) = given else {
        return if has_secret { vec![Algorithm::Hs256] } else { PUBLIC.to_vec() };
    };
    if given.is_empty() {
        scope.invalid(&path, "with no algorithm no token can be accepted", "leave it out, or write `[RS256, ES256]`");
    }
    for (index, algorithm) in given.iter().enumerate() {
        let at = scope.one_of(&path, index);
        match (algorithm.kind() == KeyKind::Secret, has_secret) {
            (true, false) => {
                let message = format!("{algorithm} needs a secret, and the keys here are public");
                scope.invalid(&at, message, "take it out, or make a provider with `secretFile` for such tokens");
            }
            (false, true) => {
                let message = format!("{algorithm} needs public keys, and here is a secret");
                scope.invalid(&at, message, "write `[HS256]`, or give `jwks` instead of `secretFile`");
            }
            _ => {}
        }
    }
    given
}

fn lint(at: &[Step], issuer: Option<&str>, audiences: &[String], scope: &mut Scope<'_>) {
    match issuer {
        None => {
            let message = "tokens of whoever has the key are accepted, for whatever system they were issued";
            scope.warn_key(at, "any-issuer", message, "add `issuer: https://login.example.com/`");
        }
        Some(issuer) if !issuer.starts_with("https://") => {
            let hint = "keep it if the tokens say so";
            scope.warn(&below(at, "issuer"), "issuer-not-https", format!("`{issuer}` is not an https URL"), hint);
        }
        Some(_) => {}
    }
    if audiences.is_empty() {
        let message =
            "tokens that are meant for others are accepted: who gets one from a client can come as that client";
        scope.warn_key(at, "any-audience", message, "add `audiences: [agents]`");
    }
}

fn secret(at: &[Step], file: &Path, algorithms: &[Algorithm], scope: &mut Scope<'_>) -> Option<Arc<KeySet>> {
    let bytes = read(at, "secretFile", file, scope)?;
    // Editors and shells end a file with a line feed.
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    known(&below(at, "secretFile"), file, KeySet::secret(secret, algorithms), scope)
}

fn known(at: &[Step], file: &Path, keys: Result<KeySet, KeySetError>, scope: &mut Scope<'_>) -> Option<Arc<KeySet>> {
    match keys {
        Ok(keys) => Some(Arc::new(keys)),
        Err(error) => {
            let hint = match error {
                KeySetError::ShortSecret { .. } => "make one with `openssl rand -hex 64`",
                _ => "it is what the issuer publishes as `jwks_uri`",
            };
            scope.invalid(at, format!("`{}`: {error}", file.display()), hint);
            None
        }
    }
}

fn public(at: &[Step], raw: raw::Jwks, algorithms: &[Algorithm], scope: &mut Scope<'_>) -> Option<JwtKeys> {
    match (raw.file, raw.url) {
        (Some(_), Some(_)) => {
            scope.conflict(&below(at, "file"), "a set of keys has one place", "keep `file` or `url`");
            None
        }
        (Some(file), None) => {
            let bytes = read(at, "file", &file, scope)?;
            let keys = known(&below(at, "file"), &file, KeySet::read(&bytes, algorithms), scope)?;
            if keys.left_out() > 0 {
                let many = keys.left_out();
                let message = format!("{many} of the keys in `{}` cannot be used with `algorithms`", file.display());
                scope.warn(&below(at, "file"), "keys-left-out", message, "tokens they signed are refused");
            }
            Some(JwtKeys::Known(keys))
        }
        (None, Some(url)) => {
            if url.scheme == Scheme::Http && !url.is_local() {
                let message = "whoever is on the way to this URL can put in keys, and then make tokens";
                scope.warn(&below(at, "url"), "keys-in-the-clear", message, "use https");
            }
            if let Some(Err(problem)) = raw.ca_file.as_deref().map(|file| certs::bundle(file, scope.env)) {
                scope.add(&below(at, "caFile"), problem.diagnostic(scope.env));
            }
            let (refresh, stale_for) = (raw.refresh, raw.stale_for);
            Some(JwtKeys::Remote(RemoteJwks { url, ca_file: raw.ca_file, refresh, stale_for }))
        }
        (None, None) => {
            scope.lacks(at, "a set of keys needs a place", "add `url: https://..` or `file: ..`");
            None
        }
    }
}

/// What is accepted with public keys where nothing else is said.
const PUBLIC: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
