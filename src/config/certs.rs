//! Looks into certificate files, so that a wrong one is found when the configuration is read and not at a handshake.
//! What it loads is thrown away: the listener loads its own, and again when the files change.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::revocation_list::CertificateRevocationList;

use super::environment::Environment;
use super::files::reason;
use super::forms::names::host;
use super::model::HostPattern;
use super::report::Diagnostic;
use crate::pem::{self, PemError};

/// Size of a certificate, key or bundle file.
const MAX_FILE: usize = 4 << 20;
/// Code of a problem with a file that cannot be read.
const MISSING: &str = "missing-file";

/// What a certificate says.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Names of its SAN extension.
    pub(super) names: Vec<HostPattern>,
    pub(super) not_before: Option<SystemTime>,
    pub(super) not_after: Option<SystemTime>,
}

/// Which file a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Certificate,
    Key,
}

/// A problem with a pair of files.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) part: Part,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// What to do about it, where that can be said.
    pub(super) hint: Option<&'static str>,
}

/// Loads a chain and its key and checks that they belong together.
pub(super) fn pair(cert_file: &Path, key_file: &Path, env: &Environment) -> Result<Facts, Vec<Problem>> {
    let chain = authorities(cert_file, env).map_err(|problem| Problem { part: Part::Certificate, ..problem });
    let key = key(key_file, env);
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    leaf(chain.first(), cert_file).map_err(|problem| vec![problem])?;
    let (cert, key_place) = (cert_file.display(), key_file.display());
    match pem::pair(chain, key, &aws_lc_rs::default_provider()) {
        Ok(pair) => leaf(pair.cert.first(), cert_file).map_err(|problem| vec![problem]),
        Err(rustls::Error::InconsistentKeys(_)) => Err(vec![Problem {
            code: "key-mismatch",
            ..bad(Part::Key, format!("`{key_place}` is not the key of `{cert}`"))
        }]),
        Err(rustls::Error::InvalidCertificate(error)) => {
            Err(vec![bad(Part::Certificate, format!("`{cert}` cannot be used: {error}"))])
        }
        Err(error) => Err(vec![bad(Part::Key, format!("`{key_place}` cannot be used: {error}"))]),
    }
}

/// What the first certificate of a chain says, if it is one that TLS takes.
fn leaf(first: Option<&CertificateDer<'_>>, path: &Path) -> Result<Facts, Problem> {
    let path = path.display();
    let Some((version, facts)) = first.and_then(facts) else {
        return Err(bad(Part::Certificate, format!("the first certificate of `{path}` is not X.509")));
    };
    if version == X509Version::V3 {
        return Ok(facts);
    }
    let version = version.0.saturating_add(1);
    let message = format!("`{path}` is an X.509 certificate of version {version}; TLS needs version 3");
    Err(Problem {
        hint: Some(
            "issue it again with the names it is for: `openssl ... -addext subjectAltName=DNS:agents.example.com`",
        ),
        ..bad(Part::Certificate, message)
    })
}

/// Loads the certificates of a PEM file, at least one.
pub(super) fn authorities(path: &Path, env: &Environment) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let bytes = read(path, env, Part::Certificate)?;
    pem::certificates(&bytes).map_err(|error| unusable(Part::Certificate, path, &error))
}

/// Loads a bundle of authorities and checks that each can be trusted.
pub(super) fn bundle(path: &Path, env: &Environment) -> Result<(), Problem> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in authorities(path, env)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            bad(Part::Certificate, format!("`{}` holds an authority that cannot be used: {error}", path.display()))
        })?;
    }
    Ok(())
}

/// Loads a bundle of revocation lists; gives the earliest time at which one of them is out of date.
pub(super) fn revocation_lists(path: &Path, env: &Environment) -> Result<Option<SystemTime>, Problem> {
    let bytes = read(path, env, Part::Certificate)?;
    let lists = pem::revocation_lists(&bytes).map_err(|error| unusable(Part::Certificate, path, &error))?;
    let mut earliest = None;
    for list in &lists {
        let Ok((_, parsed)) = CertificateRevocationList::from_der(list) else {
            return Err(bad(Part::Certificate, format!("`{}` holds a revocation list that is broken", path.display())));
        };
        let next = parsed.next_update().and_then(|next| time(next.timestamp()));
        earliest = earliest.into_iter().chain(next).min();
    }
    Ok(earliest)
}

/// The private key that a file holds.
pub(super) fn key(path: &Path, env: &Environment) -> Result<PrivateKeyDer<'static>, Problem> {
    let bytes = read(path, env, Part::Key)?;
    pem::private_key(&bytes).map_err(|error| unusable(Part::Key, path, &error))
}

fn unusable(part: Part, path: &Path, error: &PemError) -> Problem {
    Problem { hint: error.hint(), ..bad(part, format!("`{}` {error}", path.display())) }
}

fn read(path: &Path, env: &Environment, part: Part) -> Result<Vec<u8>, Problem> {
    env.read(path, MAX_FILE).map_err(|error| {
        let message = format!("cannot read `{}`: {}", path.display(), reason(&error));
        Problem { part, code: MISSING, message, hint: None }
    })
}

impl Problem {
    /// What is said about it. A file that is not there is no obstacle where nothing is served.
    pub(super) fn diagnostic(self, env: &Environment) -> Diagnostic {
        let diagnostic = if self.code == MISSING && env.is_lenient() {
            Diagnostic::warning(self.code, self.message)
        } else {
            Diagnostic::error(self.code, self.message)
        };
        match self.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        }
    }

    /// Whether the file cannot be read.
    pub(super) fn is_missing(&self) -> bool {
        self.code == MISSING
    }
}

fn bad(part: Part, message: String) -> Problem {
    Problem { part, code: "bad-certificate", message, hint: None }
}

fn facts(certificate: &CertificateDer<'_>) -> Option<(X509Version, Facts)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let extension = parsed.subject_alternative_name().ok().flatten();
    let names = extension.map(|extension| extension.value.general_names.iter().filter_map(name).collect());
    let facts = Facts {
        names: names.unwrap_or_default(),
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
    };
    Some((parsed.version(), facts))
}

fn time(seconds: i64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn name(name: &GeneralName<'_>) -> Option<HostPattern> {
    let text = match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => pem::address(octets)?.to_string(),
        _ => return None,
    };
    host(&text).ok()
}

/// Whether a certificate for `name` is good for `host`: its wildcard stands for exactly one label (RFC 9525).
pub(super) fn covers(name: &HostPattern, host: &HostPattern) -> bool {
    match (name, host) {
        (HostPattern::Wildcard(parent), HostPattern::Exact(host)) => {
            host.split_once('.').is_some_and(|(_, rest)| rest == parent)
        }
        _ => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label() {
        let wildcard = HostPattern::Wildcard("a.b".into());
        for (host, expected) in [("x.a.b", true), ("a.b", false), ("x.y.a.b", false)] {
            assert_eq!(covers(&wildcard, &HostPattern::Exact(host.into())), expected, "{host}");
        }
    }
}
