//! TLS of a listener: certificates are loaded and judged, so that a wrong one is a diagnostic and not a failed
//! handshake.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Scope;
use crate::config::certs::{self, Part};
use crate::config::model::{AuthMode, Certificate, ClientAuth, HostPattern, ListenerTls};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// A certificate with less time left than this gets a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// Judges TLS settings, and finds the names that the certificates hold.
pub(super) fn resolve(name: &str, mut tls: ListenerTls, scope: &mut Scope<'_>) -> (ListenerTls, Vec<HostPattern>) {
    let at = steps!["listeners", name, "tls"];
    if tls.certificates.is_empty() && tls.acme.is_none() {
        let message = format!("`listeners.{name}.tls` has no certificate");
        scope.lacks(&at, message, "add `certificates: [{ certFile: .., keyFile: .. }]`, or `acme: { storage: .. }`");
    }
    let mut names = Vec::new();
    for (index, pair) in tls.certificates.iter().enumerate() {
        let held = held(&below(&below(&at, "certificates"), index), pair, scope);
        names.extend(if pair.hosts.is_empty() { held } else { pair.hosts.clone() });
    }
    client_auth(&below(&at, "clientAuth"), &mut tls.client_auth, scope);
    (tls, names)
}

/// The names that a certificate holds.
fn held(at: &[Step], pair: &Certificate, scope: &mut Scope<'_>) -> Vec<HostPattern> {
    let is_absent = |path: &Path| path.as_os_str().is_empty();
    if is_absent(&pair.cert_file) || is_absent(&pair.key_file) {
        let lacks = if is_absent(&pair.cert_file) { "certFile" } else { "keyFile" };
        scope.lacks(at, format!("a certificate has no `{lacks}`"), "`certFile` and `keyFile` come together");
        return Vec::new();
    }
    match certs::pair(&pair.cert_file, &pair.key_file, scope.env) {
        Ok(facts) => {
            check_time(&below(at, "certFile"), &pair.cert_file, &facts, scope);
            check_hosts(at, pair, &facts, scope);
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
                scope.add(&below(at, key), diagnostic);
            }
            Vec::new()
        }
    }
}

fn check_hosts(at: &[Step], certificate: &Certificate, facts: &certs::Facts, scope: &mut Scope<'_>) {
    for (index, host) in certificate.hosts.iter().enumerate() {
        if !facts.names.iter().any(|name| certs::covers(name, host)) {
            let message = format!("`{}` does not hold the name `{host}`", certificate.cert_file.display());
            let path = below(&below(at, "hosts"), index);
            scope.warn(&path, "host-not-covered", message, "clients will refuse it");
        }
    }
}

fn check_time(at: &[Step], file: &Path, facts: &certs::Facts, scope: &mut Scope<'_>) {
    let now = scope.env.now();
    let days =
        |time: SystemTime, since: SystemTime| time.duration_since(since).map_or(0, |left| left.as_secs() / 86_400);
    let file = file.display();
    if let Some(start) = facts.not_before.filter(|start| *start > now) {
        let message = format!("`{file}` becomes valid only in {} days", days(start, now));
        scope.add(at, Diagnostic::error("not-yet-valid", message));
    }
    let Some(end) = facts.not_after else { return };
    if end <= now {
        scope.error(at, "expired", format!("`{file}` expired {} days ago", days(now, end)), "renew it");
    } else if end < now + EXPIRY_WARNING {
        scope.warn(at, "expires-soon", format!("`{file}` expires in {} days", days(end, now)), "renew it");
    }
}

/// Judges who verifies clients, and leaves nothing beside a mode that verifies nobody.
fn client_auth(at: &[Step], auth: &mut ClientAuth, scope: &mut Scope<'_>) {
    match &auth.ca_file {
        None if auth.mode != AuthMode::None => {
            let message = "client certificates need authorities to verify them by";
            scope.lacks(at, message, "add `caFile: clients-ca.crt`");
        }
        None => {}
        Some(ca_file) => {
            if let Err(problem) = certs::bundle(ca_file, scope.env) {
                scope.add(&below(at, "caFile"), problem.diagnostic(scope.env));
            }
            if auth.mode == AuthMode::None && !scope.is_given(&below(at, "mode")) {
                let message = "`clientAuth` has no mode, so nobody would be verified";
                scope.lacks(at, message, "add `mode: require` or `mode: optional`");
            }
        }
    }
    revocation(at, auth, scope);
    (auth.ca_file, auth.crl_file) =
        (auth.authorities().map(Path::to_owned), auth.revocation_lists().map(Path::to_owned));
}

/// Judges the revocation lists. One that is out of date refuses its clients, so that is said before it happens.
fn revocation(at: &[Step], auth: &ClientAuth, scope: &mut Scope<'_>) {
    let at = below(at, "crlFile");
    let Some(file) = &auth.crl_file else { return };
    if auth.ca_file.is_none() {
        scope.lacks(&at, "revocation lists without authorities have no use", "add `caFile: clients-ca.crt`");
        return;
    }
    match certs::revocation_lists(file, scope.env) {
        Err(problem) => scope.add(&at, problem.diagnostic(scope.env)),
        Ok(Some(end)) if end <= scope.env.now() => {
            let message = format!("`{}` holds a revocation list that is out of date", file.display());
            scope.warn(&at, "expired", message, "clients of its authority are refused until there is a new one");
        }
        Ok(_) => {}
    }
}
