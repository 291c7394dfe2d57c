//! TLS of a listener: one server configuration, made of certificates, a client certificate policy and a ticket key. Certificates and
//! authorities are re-read while it runs; what cannot be used leaves the old in place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::model::{Certificate, ClientAuth, HttpVersion, ListenerTls, TlsVersion};
use crate::listener::certificates::{Files, Pair, Resolver, Table, read};

/// TLS of one listener.
#[derive(Debug)]
pub struct Tls {
    settings: ListenerTls,
    protocols: Vec<HttpVersion>,
    resolver: Arc<Resolver>,
    config: ArcSwap<ServerConfig>,
    files: Mutex<Loaded>,
}

/// What was read from files.
#[derive(Debug)]
struct Loaded {
    /// One for each certificate of the settings, in order.
    pairs: Vec<(u64, Arc<Pair>)>,
    clients: Clients,
    tickets: Arc<dyn ProducesTickets>,
}

/// The client certificate policy with its authorities.
#[derive(Clone, Debug)]
struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Of the authorities' file; zero without one.
    hash: u64,
}

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM, or holds something else.
    #[error("{path} is not a usable PEM file")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{path} holds no certificate")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The first certificate of a file cannot be parsed.
    #[error("the first certificate in {path} cannot be parsed")]
    Leaf {
        /// Which.
        path: PathBuf,
    },
    /// A key does not belong to its certificate, or is of a kind that is not supported.
    #[error("{cert} and {key} do not make a pair")]
    Pair {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A certificate in a bundle of authorities cannot be used.
    #[error("{path} holds an authority that cannot be used")]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Client certificates cannot be verified with these authorities.
    #[error("client certificates cannot be verified with {path}")]
    Verifier {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// There is no certificate, or the cryptographic provider refused.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Tls {
    /// Reads the files. The tickets of `previous`, the same listener's TLS before a reload, stay valid unless the client
    /// certificate policy differs: a ticket also vouches for the client.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn load(tls: &ListenerTls, protocols: &[HttpVersion], previous: Option<&Self>) -> Result<Self, TlsError> {
        let provider = provider();
        let pairs = tls.certificates.iter().map(|spec| load_pair(spec, &provider)).collect::<Result<Vec<_>, _>>()?;
        let clients = Clients::load(&tls.client_auth, &provider)?;
        let table = table(&pairs, tls)?;
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(table)));
        let tickets = match previous.and_then(|before| before.tickets_for(&tls.client_auth, clients.hash)) {
            Some(tickets) => tickets,
            None => new_tickets()?,
        };
        let loaded = Loaded { pairs, clients, tickets };
        let config = server_config(tls, protocols, &resolver, &loaded)?;
        Ok(Self {
            settings: tls.clone(),
            protocols: protocols.to_vec(),
            resolver,
            config: ArcSwap::new(config),
            files: Mutex::new(loaded),
        })
    }

    /// Reads the files again and uses those whose content changed. What cannot be used keeps its old content and is reported.
    /// Blocks on the file system: call it from the control thread. The first part says whether anything changed.
    #[must_use]
    pub fn refresh(&self) -> (bool, Vec<TlsError>) {
        let provider = provider();
        let mut errors = Vec::new();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for (spec, current) in self.settings.certificates.iter().zip(&mut files.pairs) {
            match reload_pair(spec, current.0, &provider) {
                Ok(Some(fresh)) => (*current, changed) = (fresh, true),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        if changed {
            match table(&files.pairs, &self.settings) {
                Ok(table) => self.resolver.0.store(Arc::new(table)),
                Err(error) => errors.push(error),
            }
        }
        match self.refresh_clients(&mut files, &provider) {
            Ok(new) => changed |= new,
            Err(error) => errors.push(error),
        }
        (changed, errors)
    }

    fn refresh_clients(&self, files: &mut Loaded, provider: &Arc<CryptoProvider>) -> Result<bool, TlsError> {
        let clients = Clients::load(&self.settings.client_auth, provider)?;
        if clients.hash == files.clients.hash {
            return Ok(false);
        }
        let fresh = Loaded { pairs: files.pairs.clone(), clients, tickets: new_tickets()? };
        self.config.store(server_config(&self.settings, &self.protocols, &self.resolver, &fresh)?);
        *files = fresh;
        Ok(true)
    }

    /// Whether the certificate a handshake for `server_name` got also serves `host` (lower case, no port). Where it does not, and
    /// policies differ, the answer is 421.
    #[must_use]
    pub fn covers(&self, server_name: Option<&str>, host: &str) -> bool {
        self.resolver.0.load().find(server_name).is_some_and(|pair| pair.covers(host))
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub fn asks_clients(&self) -> bool {
        self.settings.client_auth != ClientAuth::None
    }

    /// Every certificate's file with the end of its validity, in seconds since 1970.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, i64)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = self.settings.certificates.iter().map(|spec| spec.cert_file.clone());
        paths.zip(files.pairs.iter().map(|(_, pair)| pair.not_after)).collect()
    }

    /// Files to watch for changes.
    #[must_use]
    pub fn watched_files(&self) -> Vec<PathBuf> {
        let pairs = self.settings.certificates.iter().flat_map(|spec| [spec.cert_file.clone(), spec.key_file.clone()]);
        pairs.chain(ca_file(&self.settings.client_auth).map(Path::to_owned)).collect()
    }

    /// Whether a handshake for this name is taken.
    pub(crate) fn serves(&self, server_name: Option<&str>) -> bool {
        self.resolver.0.load().find(server_name).is_some()
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    fn tickets_for(&self, policy: &ClientAuth, hash: u64) -> Option<Arc<dyn ProducesTickets>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let same = self.settings.client_auth == *policy && files.clients.hash == hash;
        same.then(|| Arc::clone(&files.tickets))
    }
}

impl Clients {
    fn load(policy: &ClientAuth, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let Some(path) = ca_file(policy) else {
            return Ok(Self { verifier: WebPkiClientVerifier::no_client_auth(), hash: 0 });
        };
        let content = read(path)?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&content) {
            let authority = authority.map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
            roots.add(authority).map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match policy {
            ClientAuth::Optional { .. } => builder.allow_unauthenticated(),
            ClientAuth::None | ClientAuth::Require { .. } => builder,
        };
        let verifier = builder.build().map_err(|source| TlsError::Verifier { path: path.to_owned(), source })?;
        Ok(Self { verifier, hash: xxh3_64(&content) })
    }
}

fn ca_file(policy: &ClientAuth) -> Option<&Path> {
    match policy {
        ClientAuth::None => None,
        ClientAuth::Optional { ca_file } | ClientAuth::Require { ca_file } => Some(ca_file),
    }
}

fn load_pair(spec: &Certificate, provider: &CryptoProvider) -> Result<(u64, Arc<Pair>), TlsError> {
    let files = Files::read(spec)?;
    Ok((files.hash(), Arc::new(Pair::parse(spec, &files, provider)?)))
}

fn reload_pair(spec: &Certificate, current: u64, provider: &CryptoProvider) -> Result<Option<(u64, Arc<Pair>)>, TlsError> {
    let files = Files::read(spec)?;
    if files.hash() == current {
        return Ok(None);
    }
    Ok(Some((files.hash(), Arc::new(Pair::parse(spec, &files, provider)?))))
}

fn table(pairs: &[(u64, Arc<Pair>)], tls: &ListenerTls) -> Result<Table, TlsError> {
    let pairs: Vec<_> = pairs.iter().map(|(_, pair)| Arc::clone(pair)).collect();
    Table::new(&pairs, tls.unknown_sni).ok_or_else(|| TlsError::Setup(rustls::Error::NoCertificatesPresented))
}

fn new_tickets() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)
}

/// TLS 1.3, and for 1.2 only what has forward secrecy and authenticated encryption. Passed explicitly everywhere: with two
/// providers compiled in, rustls would panic over which is the default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn server_config(
    tls: &ListenerTls,
    protocols: &[HttpVersion],
    resolver: &Arc<Resolver>,
    loaded: &Loaded,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsError::Setup)?
        .with_client_cert_verifier(Arc::clone(&loaded.clients.verifier))
        .with_cert_resolver(Arc::clone(resolver) as _);
    config.alpn_protocols = protocols.iter().map(|version| alpn(*version).to_vec()).collect();
    config.ticketer = Arc::clone(&loaded.tickets);
    // Tickets hold everything, so nothing is kept here; and a client that comes back uses one of them, not four.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    // A request in 0-RTT data can be replayed (RFC 8470).
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn alpn(version: HttpVersion) -> &'static [u8] {
    match version {
        HttpVersion::Http1 => b"http/1.1",
        HttpVersion::H2 => b"h2",
    }
}
