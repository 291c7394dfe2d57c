//! Certificates that the gateway orders: for which names, and whether the authority can look that they are ours.

use std::net::IpAddr;
use std::path::Path;

use super::Scope;
use crate::config::certs;
use crate::config::keys;
use crate::config::model::{Acme, AcmeChallenge, ExternalAccount, HostPattern, Listener, ListenerId, Route};
use crate::config::node::{Step, below, steps};

/// Fills in the names of each listener that orders certificates, and judges the section.
pub(super) fn link(
    raw: &[(String, keys::Listener)],
    routes: &[Route],
    listeners: &mut [Listener],
    scope: &mut Scope<'_>,
) {
    let cleartext = raw.iter().any(|(_, listener)| listener.tls.is_none());
    for (index, listener) in listeners.iter_mut().enumerate() {
        let at = steps!["listeners", listener.name.as_str(), "tls", "acme"];
        let Some(acme) = listener.tls.as_mut().and_then(|tls| tls.acme.as_mut()) else { continue };
        if !cfg!(feature = "acme") {
            scope.conflict(&at, "this build of attache orders no certificates", "build it with the feature `acme`");
        }
        if acme.challenge == AcmeChallenge::Http01 && !cleartext {
            let hint = "add `listeners: { http: { address: \"0.0.0.0:80\", httpsRedirect: true } }`, or write \
                        `challenge: tls-alpn-01`";
            scope.conflict(&at, "no listener without TLS can answer the challenge http-01", hint);
        }
        if acme.storage.as_os_str().is_empty() {
            scope.lacks(&at, "there is no place for the certificates", "add `storage: /var/lib/attache/acme`");
        }
        check_files(&at, acme, scope);
        domains(&at, acme, ListenerId(index), routes, scope);
        if let Some(names) = scope.names.get_mut(index) {
            names.extend(acme.domains.iter().cloned());
        }
    }
}

fn check_files(at: &[Step], acme: &Acme, scope: &mut Scope<'_>) {
    if let Some(Err(problem)) = acme.ca_file.as_deref().map(|path| certs::bundle(path, scope.env)) {
        scope.add(&below(at, "caFile"), problem.diagnostic(scope.env));
    }
    let Some(account) = &acme.eab else { return };
    let at = below(at, "eab");
    if account.key_id.is_empty() || account.key_file.as_os_str().is_empty() {
        scope.lacks(&at, "an account of the authority has an identifier and a key", "give `keyId` and `keyFile`");
        return;
    }
    check_key(&below(&at, "keyFile"), &account.key_file, scope);
}

fn check_key(at: &[Step], path: &Path, scope: &mut Scope<'_>) {
    let Some(content) = scope.read_file(at, path, ExternalAccount::MAX_KEY) else { return };
    if ExternalAccount::key(&content).is_none() {
        let message = format!("`{}` holds no key in base64url", path.display());
        scope.error(at, "bad-key", message, "put the MAC key there as the authority gave it to you");
    }
}

/// The names that are given, or else those of the routes.
fn domains(at: &[Step], acme: &mut Acme, id: ListenerId, routes: &[Route], scope: &mut Scope<'_>) {
    let given = below(at, "domains");
    for (index, domain) in acme.domains.iter().enumerate() {
        if !is_orderable(domain) {
            let message = format!("no certificate can be ordered for `{domain}`");
            scope.invalid(&scope.one_of(&given, index), message, "a whole name with a dot; no wildcard, no address");
        }
    }
    if acme.domains.is_empty() {
        let own = routes.iter().filter(|route| route.listeners.contains(&id));
        acme.domains = own.flat_map(|route| route.hosts.clone()).filter(is_orderable).collect();
        if acme.domains.is_empty() {
            let hint = "add `domains: [agents.example.com]`, or `hosts` to the routes";
            scope.lacks(at, "there is no name to order a certificate for", hint);
        }
    }
    acme.domains.sort();
    acme.domains.dedup();
    if acme.domains.len() > MAX_DOMAINS {
        let message = format!("{} names are too many to order certificates for", acme.domains.len());
        scope.invalid(&given, message, format!("at most {MAX_DOMAINS}"));
    }
}

/// Whether the challenges that are known here can show that the name is ours.
fn is_orderable(domain: &HostPattern) -> bool {
    match domain {
        HostPattern::Exact(name) => name.contains('.') && name.parse::<IpAddr>().is_err() && !name.contains(':'),
        HostPattern::Wildcard(_) => false,
    }
}

/// Names of one listener: authorities limit what they issue in a week.
const MAX_DOMAINS: usize = 100;
