//! Certificates of a listener: reading them, and choosing one by the name a client asks for. An exact name wins over a
//! wildcard, a longer wildcard over a shorter one.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use xxhash_rust::xxh3::Xxh3;

use crate::config::model::{Certificate, HostPattern, UnknownSni};
use crate::config::read_regular;
use crate::listener::tls_error::TlsError;
use crate::pem;

/// A certificate chain with its key, and the names it serves.
#[derive(Debug)]
pub(crate) struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<Name>,
    /// Of the leaf.
    pub(crate) validity: Validity,
}

/// From when to when a certificate counts, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The beginning.
    pub not_before: i64,
    /// The end.
    pub not_after: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    pattern: HostPattern,
    /// A wildcard in a certificate stands for one label, one in the configuration for any number.
    one_label: bool,
}

/// Which certificate serves which name.
#[derive(Debug)]
pub(crate) struct Table {
    exact: HashMap<String, Arc<Pair>>,
    wildcard: HashMap<String, (Arc<Pair>, bool)>,
    /// None while the first certificate is only ordered.
    default: Option<Arc<Pair>>,
    /// Names whose certificates are ordered and not there yet; nothing else is shown for them.
    pending: HashSet<String>,
    unknown: UnknownSni,
}

/// Chooses a certificate in a handshake.
#[derive(Debug)]
pub(crate) struct Resolver(pub(crate) ArcSwap<Table>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().find(hello.server_name()).map(|pair| Arc::clone(&pair.key))
    }
}

impl Table {
    /// `pairs` in the order of the configuration: the first is the default, and the first to name a host serves it.
    pub(crate) fn new(pairs: &[Arc<Pair>], pending: HashSet<String>, unknown: UnknownSni) -> Self {
        let default = pairs.first().map(Arc::clone);
        let mut table = Self { exact: HashMap::new(), wildcard: HashMap::new(), default, pending, unknown };
        for pair in pairs {
            for name in &pair.names {
                match &name.pattern {
                    HostPattern::Exact(host) => {
                        table.exact.entry(host.clone()).or_insert_with(|| Arc::clone(pair));
                    }
                    HostPattern::Wildcard(parent) => {
                        table.wildcard.entry(parent.clone()).or_insert_with(|| (Arc::clone(pair), name.one_label));
                    }
                }
            }
        }
        table
    }

    /// The certificate for a name; `None` when the handshake is to be refused.
    pub(crate) fn find(&self, server_name: Option<&str>) -> Option<&Arc<Pair>> {
        let Some(name) = server_name else {
            return self.default.as_ref();
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(pair) = self.exact.get(&name) {
            return Some(pair);
        }
        let parents = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..)).enumerate();
        for (labels, parent) in parents {
            if let Some((pair, one_label)) = self.wildcard.get(parent)
                && (labels == 0 || !one_label)
            {
                return Some(pair);
            }
        }
        if self.pending.contains(&name) {
            return None;
        }
        match self.unknown {
            UnknownSni::Default => self.default.as_ref(),
            UnknownSni::Reject => None,
        }
    }
}

impl Pair {
    /// Builds a pair from the content of its files.
    pub(crate) fn parse(spec: &Certificate, files: &Files, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let chain = pem::certificates(&files.chain).map_err(|source| TlsError::pem(&spec.cert_file, source))?;
        let key = pem::private_key(&files.key).map_err(|source| TlsError::pem(&spec.key_file, source))?;
        let key = pem::pair(chain, key, provider).map_err(|source| TlsError::Pair {
            cert: spec.cert_file.clone(),
            key: spec.key_file.clone(),
            source,
        })?;
        let leaf = key.cert.first().ok_or_else(|| TlsError::Empty { path: spec.cert_file.clone() })?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_detail| TlsError::Leaf { path: spec.cert_file.clone() })?;
        let names = if spec.hosts.is_empty() {
            subject_names(&parsed)
        } else {
            spec.hosts.iter().map(|pattern| Name { pattern: pattern.clone(), one_label: false }).collect()
        };
        let validity = Validity::parsed(&parsed);
        Ok(Self { key: Arc::new(key), names, validity })
    }
}

impl Validity {
    /// Of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        X509Certificate::from_der(certificate).ok().map(|(_, parsed)| Self::parsed(&parsed))
    }

    fn parsed(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() }
    }
}

/// Content of a certificate's files.
pub(crate) struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    pub(crate) fn read(spec: &Certificate) -> Result<Self, TlsError> {
        let chain = read(&spec.cert_file)?;
        // One file is read once: it may be replaced between two looks.
        let key = if spec.key_file == spec.cert_file { chain.clone() } else { read(&spec.key_file)? };
        Ok(Self { chain, key })
    }

    /// Tells contents apart. It need not be cryptographic: an attacker who can write the files needs no collision.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        hasher.update(&self.chain);
        hasher.update(&[0]);
        hasher.update(&self.key);
        hasher.digest()
    }
}

/// Reads a whole file. A pipe or device that replaced it since the configuration was read must not block the reader.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_regular(path, MAX_FILE).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The DNS names and addresses of the SAN extension; the common name has not counted for years (RFC 6125).
fn subject_names(leaf: &X509Certificate<'_>) -> Vec<Name> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    extension.value.general_names.iter().filter_map(subject_name).collect()
}

fn subject_name(name: &GeneralName<'_>) -> Option<Name> {
    let pattern = match name {
        GeneralName::DNSName(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => HostPattern::Wildcard(parent.to_owned()),
                None => HostPattern::Exact(name),
            }
        }
        GeneralName::IPAddress(octets) => HostPattern::Exact(pem::address(octets)?.to_string()),
        _ => return None,
    };
    Some(Name { pattern, one_label: true })
}

/// Size of one file.
const MAX_FILE: usize = 4 << 20;

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::crypto::aws_lc_rs;
    use tempfile::TempDir;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A certificate authority of a test.
    pub(crate) struct Authority {
        certificate: rcgen::Certificate,
        issuer: Issuer<'static, KeyPair>,
    }

    /// A folder for certificates and keys, gone with the test.
    pub(crate) struct Files(TempDir);

    impl Authority {
        pub(crate) fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            Self { certificate, issuer: Issuer::new(params, key) }
        }

        pub(crate) fn pem(&self) -> String {
            self.certificate.pem()
        }

        pub(crate) fn issue(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
            let params =
                CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &self.issuer).unwrap(), key)
        }

        fn roots(&self) -> rustls::RootCertStore {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.certificate.der().clone()).unwrap();
            roots
        }

        /// A client that trusts this authority and offers these protocols.
        pub(crate) fn connector(&self, alpn: &[&[u8]]) -> TlsConnector {
            let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(self.roots())
                .with_no_client_auth();
            config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        }

        /// As [`Self::connector`], with a certificate of its own from `issuer`.
        pub(crate) fn connector_with(&self, issuer: &Self) -> TlsConnector {
            let (certificate, key) = issuer.issue(&["client"]);
            let key = pem::private_key(key.serialize_pem().as_bytes()).unwrap();
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(self.roots())
                .with_client_auth_cert(vec![certificate.der().clone()], key)
                .unwrap();
            TlsConnector::from(Arc::new(config))
        }
    }

    impl Files {
        pub(crate) fn new() -> Self {
            Self(TempDir::new().unwrap())
        }

        pub(crate) fn path(&self) -> &Path {
            self.0.path()
        }

        pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            path
        }

        /// Writes a fresh pair for these names, over an older one of that name.
        pub(crate) fn issue(&self, authority: &Authority, name: &str, hosts: &[&str]) -> Certificate {
            let (certificate, key) = authority.issue(hosts);
            Certificate {
                hosts: Vec::new(),
                cert_file: self.write(&format!("{name}.pem"), &certificate.pem()),
                key_file: self.write(&format!("{name}.key"), &key.serialize_pem()),
            }
        }
    }

    fn pair(spec: &Certificate) -> Arc<Pair> {
        let files = super::Files::read(spec).unwrap();
        Arc::new(Pair::parse(spec, &files, &aws_lc_rs::default_provider()).unwrap())
    }

    #[test]
    fn exact_then_wildcard_then_default_or_nothing() {
        let (authority, files) = (Authority::new(), Files::new());
        let first = pair(&files.issue(&authority, "first", &["first.test", "10.0.0.1"]));
        let wild = pair(&files.issue(&authority, "wild", &["*.example.com"]));
        let exact = pair(&files.issue(&authority, "exact", &["a.example.com"]));
        let mut configured = files.issue(&authority, "configured", &["unused.test"]);
        configured.hosts = vec![HostPattern::Wildcard("deep.test".into())];
        let deep = pair(&configured);
        let pairs = [&first, &wild, &exact, &deep].map(Arc::clone);
        let table = Table::new(&pairs, HashSet::new(), UnknownSni::Reject);
        let cases = [
            (None, Some(&first)),
            (Some("first.test"), Some(&first)),
            (Some("FIRST.test."), Some(&first)),
            (Some("a.example.com"), Some(&exact)),
            (Some("b.example.com"), Some(&wild)),
            (Some("c.b.example.com"), None),
            (Some("example.com"), None),
            (Some("x.deep.test"), Some(&deep)),
            (Some("y.x.deep.test"), Some(&deep)),
            (Some("unused.test"), None),
            (Some(""), None),
        ];
        for (name, expected) in cases {
            let found = table.find(name);
            assert!(
                match (found, expected) {
                    (Some(found), Some(expected)) => Arc::ptr_eq(found, expected),
                    (None, None) => true,
                    _ => false,
                },
                "{name:?}"
            );
        }
        let lenient = Table::new(&pairs, HashSet::new(), UnknownSni::Default);
        assert!(Arc::ptr_eq(lenient.find(Some("unknown.test")).unwrap(), &first));
        let pending = HashSet::from(["late.test".to_owned()]);
        let waiting = Table::new(&pairs, pending.clone(), UnknownSni::Default);
        assert!(waiting.find(Some("Late.test")).is_none(), "nothing else is shown for it");
        assert!(Arc::ptr_eq(waiting.find(Some("unknown.test")).unwrap(), &first));
        assert!(Table::new(&[], pending, UnknownSni::Default).find(None).is_none());
    }

    #[test]
    fn a_pair_serves_the_names_it_was_issued_for() {
        let (authority, files) = (Authority::new(), Files::new());
        let names = ["a.test", "*.b.test", "10.0.0.1", "::1"];
        let pair = pair(&files.issue(&authority, "one", &names));
        let table = Table::new(&[pair], HashSet::new(), UnknownSni::Reject);
        for host in ["a.test", "x.b.test", "10.0.0.1", "::1"] {
            assert!(table.find(Some(host)).is_some(), "{host}");
        }
        for host in ["b.test", "y.x.b.test", "xb.test", "a.test.evil"] {
            assert!(table.find(Some(host)).is_none(), "{host}");
        }
    }

    /// Whether a pair was issued for this very name.
    pub(crate) fn is_issued_for(pair: &Pair, name: &str) -> bool {
        let wanted = HostPattern::Exact(name.into());
        pair.names.iter().any(|name| name.pattern == wanted)
    }
}
