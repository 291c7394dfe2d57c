//! TLS of a listener: certificates are loaded and judged, so that a wrong one is a diagnostic and not a failed
//! handshake.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Scope;
use crate::config::certs::{self, Part};
use crate::config::keys::listener::{self as raw_listener, AuthMode};
use crate::config::model::{Certificate, ClientAuth, HostPattern, ListenerTls};
use crate::config::node::{Step, steps};
use crate::config::report::Diagnostic;

/// A certificate with less time left than this gets a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// TLS settings, and the names that the certificates hold.
pub(super) fn resolve(name: &str, raw: &raw_listener::Tls, scope: &mut Scope<'_>) -> (ListenerTls, Vec<HostPattern>) {
    let list = &raw.certificates;
    if list.is_empty() {
        let diagnostic = Diagnostic::lacks(format!("`listeners.{name}.tls` has no certificate"));
        let here = steps!["listeners", name, "tls"];
        scope.missing(&here, diagnostic.hint("add `certificates: [{ certFile: .., keyFile: .. }]`"));
    }
    let mut names = Vec::new();
    let certificates = list.iter().enumerate().filter_map(|(index, raw)| {
        let (certificate, held) = certificate(name, index, raw, scope)?;
        names.extend(if certificate.hosts.is_empty() { held } else { certificate.hosts.clone() });
        Some(certificate)
    });
    let certificates = certificates.collect();
    let tls = ListenerTls {
        min_version: raw.min_version,
        certificates,
        unknown_sni: raw.unknown_sni,
        client_auth: client_auth(name, &raw.client_auth, scope),
    };
    (tls, names)
}

fn certificate(
    listener: &str,
    index: usize,
    raw: &raw_listener::Certificate,
    scope: &mut Scope<'_>,
) -> Option<(Certificate, Vec<HostPattern>)> {
    let at = steps!["listeners", listener, "tls", "certificates", index];
    let under = |key: &str| steps!["listeners", listener, "tls", "certificates", index, key];
    let (Some(cert_file), Some(key_file)) = (&raw.cert_file, &raw.key_file) else {
        let lacks = if raw.cert_file.is_none() { "certFile" } else { "keyFile" };
        let diagnostic = Diagnostic::lacks(format!("a certificate has no `{lacks}`"));
        scope.missing(&at, diagnostic.hint("`certFile` and `keyFile` come together"));
        return None;
    };
    let hosts = raw.hosts.clone().unwrap_or_default();
    let certificate = Certificate { hosts, cert_file: cert_file.clone(), key_file: key_file.clone() };
    let held = match certs::pair(&certificate.cert_file, &certificate.key_file, scope.env) {
        Ok(facts) => {
            check_time(&under("certFile"), &certificate.cert_file, &facts, scope);
            check_hosts(listener, index, &certificate, &facts, scope);
            facts.names
        }
        Err(problems) => {
            for problem in problems {
                let key = if problem.part == Part::Certificate { "certFile" } else { "keyFile" };
                let is_missing = problem.is_missing();
                let mut diagnostic = problem.diagnostic(scope.env);
                if is_missing {
                    diagnostic = diagnostic.hint("`attache certs dev` makes a pair for development");
                }
                scope.add(&under(key), diagnostic);
            }
            Vec::new()
        }
    };
    Some((certificate, held))
}

fn check_hosts(listener: &str, index: usize, certificate: &Certificate, facts: &certs::Facts, scope: &mut Scope<'_>) {
    for (at, host) in certificate.hosts.iter().enumerate() {
        if !facts.names.iter().any(|name| certs::covers(name, host)) {
            let message = format!("`{}` does not hold the name `{host}`", certificate.cert_file.display());
            let path = steps!["listeners", listener, "tls", "certificates", index, "hosts", at];
            scope.add(&path, Diagnostic::warning("host-not-covered", message).hint("clients will refuse it"));
        }
    }
}

fn check_time(at: &[Step], file: &Path, facts: &certs::Facts, scope: &mut Scope<'_>) {
    let now = scope.env.now();
    let days =
        |time: SystemTime, since: SystemTime| time.duration_since(since).map_or(0, |left| left.as_secs() / 86_400);
    let file = file.display();
    if let Some(start) = facts.not_before.filter(|start| *start > now) {
        scope.add(
            at,
            Diagnostic::error("not-yet-valid", format!("`{file}` becomes valid only in {} days", days(start, now))),
        );
    }
    let Some(end) = facts.not_after else { return };
    if end <= now {
        let diagnostic = Diagnostic::error("expired", format!("`{file}` expired {} days ago", days(now, end)));
        scope.add(at, diagnostic.hint("renew it"));
    } else if end < now + EXPIRY_WARNING {
        scope.add(
            at,
            Diagnostic::warning("expires-soon", format!("`{file}` expires in {} days", days(end, now)))
                .hint("renew it"),
        );
    }
}

fn client_auth(name: &str, raw: &raw_listener::ClientAuth, scope: &mut Scope<'_>) -> ClientAuth {
    let at = steps!["listeners", name, "tls", "clientAuth"];
    let Some(ca_file) = raw.ca_file.clone() else {
        if raw.mode != AuthMode::None {
            let diagnostic = Diagnostic::lacks("client certificates need authorities to verify them by");
            scope.missing(&at, diagnostic.hint("add `caFile: clients-ca.crt`"));
        }
        return ClientAuth::None;
    };
    if let Err(problem) = certs::bundle(&ca_file, scope.env) {
        scope.add(&steps!["listeners", name, "tls", "clientAuth", "caFile"], problem.diagnostic(scope.env));
    }
    match raw.mode {
        AuthMode::Optional => ClientAuth::Optional { ca_file },
        AuthMode::Require => ClientAuth::Require { ca_file },
        AuthMode::None => {
            if !scope.is_given(&steps!["listeners", name, "tls", "clientAuth", "mode"]) {
                let diagnostic = Diagnostic::lacks("`clientAuth` has no mode, so nobody would be verified");
                scope.missing(&at, diagnostic.hint("add `mode: require` or `mode: optional`"));
            }
            ClientAuth::None
        }
    }
}
