//! TLS of a listener: one server configuration, made of certificates, a client certificate policy and a ticket key.
//! Certificates and authorities are read again while it runs; a file that cannot be used leaves the old content in
//! place.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ProducesTickets;
use rustls::{CipherSuite, ServerConfig};

use crate::acme::{self, Challenges};
use crate::config::model::{Acme, Certificate, ClientAuth, HttpVersion, ListenerTls};
use crate::listener::certificates::{Files, Pair, Resolver, Table, Validity};
use crate::listener::clients::{ClientFiles, Clients};
use crate::listener::tls_config::{ServerConfigs, provider};
use crate::listener::tls_error::TlsError;

/// TLS of one listener.
#[derive(Debug)]
pub struct Tls {
    settings: ListenerTls,
    specs: Vec<Spec>,
    /// Those of certificates that are ordered, for handshakes.
    challenges: Arc<Challenges>,
    protocols: Vec<HttpVersion>,
    resolver: Arc<Resolver>,
    config: ArcSwap<ServerConfigs>,
    files: Mutex<Loaded>,
}

/// The content of the files.
#[derive(Debug)]
struct Loaded {
    /// One for each certificate, in order; none where an ordered one is not there yet.
    pairs: Vec<(u64, Option<Arc<Pair>>)>,
    clients: Clients,
    tickets: Arc<dyn ProducesTickets>,
    /// Content that could not be used and was reported, by its file's place; see [`Loaded::is_news`].
    refused: HashMap<PemRole, u64>,
}

/// Where a certificate is.
#[derive(Clone, Debug)]
struct Spec {
    files: Certificate,
    /// Whether it is one that the gateway orders, which may not be there yet.
    is_ordered: bool,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PemRole {
    /// The certificate of this number.
    Pair(usize),
    Authorities,
}

impl Tls {
    /// Reads the files. The tickets of `previous`, the same listener's TLS before a reload, stay valid unless the
    /// client certificate policy differs: a ticket also vouches for the client. A certificate that is ordered, and
    /// cannot be read now, is that of `previous`.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn load(tls: &ListenerTls, protocols: &[HttpVersion], previous: Option<&Self>) -> Result<Self, TlsError> {
        let provider = provider();
        let specs = specs(tls);
        let pairs = specs.iter().map(|spec| load_pair(spec, previous, &provider)).collect::<Result<Vec<_>, _>>()?;
        let clients = Clients::parse(&tls.client_auth, &ClientFiles::read(&tls.client_auth)?, &provider)?;
        let table = table(&specs, &pairs, tls)?;
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(table)));
        let tickets = match previous.and_then(|before| before.tickets_for(&tls.client_auth, clients.hash)) {
            Some(tickets) => tickets,
            None => new_tickets()?,
        };
        let loaded = Loaded { pairs, clients, tickets, refused: HashMap::new() };
        let config = ServerConfigs::build(tls, protocols, &resolver, &loaded.clients.verifier, &loaded.tickets)?;
        Ok(Self {
            settings: tls.clone(),
            specs,
            challenges: previous.map(|before| Arc::clone(&before.challenges)).unwrap_or_default(),
            protocols: protocols.to_vec(),
            resolver,
            config: ArcSwap::from_pointee(config),
            files: Mutex::new(loaded),
        })
    }

    /// Reads the files again and uses those whose content changed. A file that cannot be used keeps its old content and
    /// is reported once for each new content. Blocks on the file system, so only the control thread calls it. The first
    /// part of the result says whether anything changed.
    #[must_use]
    pub fn refresh(&self) -> (bool, Vec<TlsError>) {
        let provider = provider();
        let mut errors = Vec::new();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for (index, spec) in self.specs.iter().enumerate() {
            let place = PemRole::Pair(index);
            let current = files.pairs.get(index).map_or(0, |pair| pair.0);
            let (hash, outcome) = reload_pair(spec, current, &provider);
            match outcome {
                Err(error) if files.is_news(place, hash) => errors.push(error),
                Err(_) => {}
                Ok(fresh) => {
                    files.refused.remove(&place);
                    if let (Some(fresh), Some(pair)) = (fresh, files.pairs.get_mut(index)) {
                        (*pair, changed) = ((hash, Some(fresh)), true);
                    }
                }
            }
        }
        if changed {
            match table(&self.specs, &files.pairs, &self.settings) {
                Ok(table) => self.resolver.0.store(Arc::new(table)),
                Err(error) => errors.push(error),
            }
        }
        let (hash, outcome) = self.refresh_clients(&mut files, &provider);
        match outcome {
            Ok(new) => {
                changed |= new;
                files.refused.remove(&PemRole::Authorities);
            }
            Err(error) if files.is_news(PemRole::Authorities, hash) => errors.push(error),
            Err(_) => {}
        }
        (changed, errors)
    }

    fn refresh_clients(&self, files: &mut Loaded, provider: &Arc<CryptoProvider>) -> (u64, Result<bool, TlsError>) {
        let policy = &self.settings.client_auth;
        let files_of_clients = match ClientFiles::read(policy) {
            Ok(read) => read,
            Err(error) => return (UNREADABLE, Err(error)),
        };
        let hash = files_of_clients.hash();
        if hash == files.clients.hash {
            return (hash, Ok(false));
        }
        let clients = Clients::parse(policy, &files_of_clients, provider);
        let taken = clients.and_then(|clients| self.take_clients(files, clients));
        (hash, taken.map(|()| true))
    }

    fn take_clients(&self, files: &mut Loaded, clients: Clients) -> Result<(), TlsError> {
        let fresh =
            Loaded { pairs: files.pairs.clone(), clients, tickets: new_tickets()?, refused: files.refused.clone() };
        let (verifier, tickets) = (&fresh.clients.verifier, &fresh.tickets);
        let config = ServerConfigs::build(&self.settings, &self.protocols, &self.resolver, verifier, tickets)?;
        self.config.store(Arc::new(config));
        *files = fresh;
        Ok(())
    }

    /// Every certificate's file with the validity of the certificate that is served from it.
    #[must_use]
    pub fn validities(&self) -> Vec<(PathBuf, Validity)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let both = self.specs.iter().zip(&files.pairs);
        both.filter_map(|(spec, (_, pair))| Some((spec.files.cert_file.clone(), pair.as_ref()?.validity))).collect()
    }

    /// What is ordered for this listener, if anything is.
    #[must_use]
    pub fn acme(&self) -> Option<&Acme> {
        self.settings.acme.as_ref()
    }

    /// The challenges that handshakes answer.
    #[must_use]
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Whether a handshake for this name is taken.
    pub(crate) fn serves(&self, server_name: Option<&str>) -> bool {
        self.resolver.0.load().find(server_name).is_some()
    }

    /// For a client that offers these suites, the one it likes best first.
    pub(crate) fn server_config(&self, offered: &[CipherSuite]) -> Arc<ServerConfig> {
        Arc::clone(self.config.load().for_client(offered))
    }

    /// The certificate that is served from these files.
    fn pair(&self, of: &Certificate) -> Option<(u64, Arc<Pair>)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut both = self.specs.iter().zip(&files.pairs);
        let (hash, pair) = both.find(|(spec, _)| spec.files == *of)?.1;
        Some((*hash, Arc::clone(pair.as_ref()?)))
    }

    fn tickets_for(&self, policy: &ClientAuth, hash: u64) -> Option<Arc<dyn ProducesTickets>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let same = self.settings.client_auth == *policy && files.clients.hash == hash;
        same.then(|| Arc::clone(&files.tickets))
    }
}

impl Loaded {
    /// Whether this content was not reported yet. The files are read every few seconds, and the log should report a
    /// fault once.
    fn is_news(&mut self, place: PemRole, hash: u64) -> bool {
        self.refused.insert(place, hash) != Some(hash)
    }
}

/// The certificates that are configured, then those that are ordered.
fn specs(tls: &ListenerTls) -> Vec<Spec> {
    let given = tls.certificates.iter().map(|files| Spec { files: files.clone(), is_ordered: false });
    let ordered = tls.acme.iter().flat_map(acme::certificates).map(|files| Spec { files, is_ordered: true });
    given.chain(ordered).collect()
}

/// One that is ordered, and that cannot be used, is the one before, or none: another will come.
fn load_pair(
    spec: &Spec,
    previous: Option<&Tls>,
    provider: &CryptoProvider,
) -> Result<(u64, Option<Arc<Pair>>), TlsError> {
    let loaded = Files::read(&spec.files).and_then(|files| {
        let pair = Pair::parse(&spec.files, &files, provider)?;
        Ok((files.hash(), Some(Arc::new(pair))))
    });
    match loaded {
        Err(error) if spec.is_ordered => {
            let error = &error as &dyn std::error::Error;
            if let Some((hash, pair)) = previous.and_then(|previous| previous.pair(&spec.files)) {
                tracing::warn!(error, "an ordered certificate cannot be read again, the one before stays");
                return Ok((hash, Some(pair)));
            }
            tracing::warn!(error, "no certificate yet; until it is received, handshakes for its name are refused");
            Ok((0, None))
        }
        loaded => loaded,
    }
}

fn reload_pair(spec: &Spec, current: u64, provider: &CryptoProvider) -> (u64, Result<Option<Arc<Pair>>, TlsError>) {
    let files = match Files::read(&spec.files) {
        Ok(files) => files,
        Err(TlsError::Read { .. }) if spec.is_ordered => return (current, Ok(None)),
        Err(error) => return (UNREADABLE, Err(error)),
    };
    let hash = files.hash();
    if hash == current {
        return (hash, Ok(None));
    }
    let pair = Pair::parse(&spec.files, &files, provider);
    (hash, pair.map(|pair| Some(Arc::new(pair))))
}

fn table(specs: &[Spec], pairs: &[(u64, Option<Arc<Pair>>)], tls: &ListenerTls) -> Result<Table, TlsError> {
    if specs.is_empty() {
        return Err(TlsError::Setup(rustls::Error::NoCertificatesPresented));
    }
    let missing = specs.iter().zip(pairs).filter(|(_, (_, pair))| pair.is_none());
    let pending = missing.flat_map(|(spec, _)| spec.files.hosts.iter().map(ToString::to_string)).collect();
    let pairs: Vec<_> = pairs.iter().filter_map(|(_, pair)| pair.clone()).collect();
    Ok(Table::new(&pairs, pending, tls.unknown_sni))
}

fn new_tickets() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)
}

/// Stands for the content of a file that cannot be read.
const UNREADABLE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, HandshakeKind};
    use std::io;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::config::model::{AuthMode, HostPattern, TlsVersion, UnknownSni};
    use crate::listener::certificates::tests::{Authority, Files as Folder, is_issued_for};

    impl Tls {
        /// Whether a client that asks for `server_name` is shown the certificate issued for `name`.
        fn shows(&self, server_name: Option<&str>, name: &str) -> bool {
            let table = self.resolver.0.load();
            table.find(server_name).is_some_and(|pair| is_issued_for(pair, name))
        }
    }

    fn settings(certificates: Vec<Certificate>) -> ListenerTls {
        ListenerTls {
            min_version: TlsVersion::V12,
            certificates,
            unknown_sni: UnknownSni::Default,
            client_auth: ClientAuth::default(),
            acme: None,
        }
    }

    fn asking(mode: AuthMode, ca_file: PathBuf) -> ClientAuth {
        ClientAuth { mode, ca_file: Some(ca_file), crl_file: None }
    }

    /// Connects twice, and says what was agreed on the second time: resumed when a ticket was taken. The error is
    /// either side's.
    async fn handshake_twice(connector: &TlsConnector, first: &Tls, second: &Tls) -> io::Result<HandshakeKind> {
        let mut kind = None;
        for tls in [first, second] {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let name = ServerName::try_from("one.test").unwrap();
            let server = async {
                let mut stream = TlsAcceptor::from(tls.server_config(&[])).accept(far).await?;
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await
            };
            let client = async {
                let mut stream = connector.connect(name, near).await?;
                tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0]).await?;
                let session: &ClientConnection = stream.get_ref().1;
                Ok::<_, io::Error>(session.handshake_kind())
            };
            let (served, connected) = tokio::join!(server, client);
            served?;
            kind = connected?;
        }
        Ok(kind.expect("a finished handshake"))
    }

    #[test]
    fn tickets_count_for_twelve_hours_and_two_listeners_have_keys_of_their_own() {
        let (one, other) = (new_tickets().unwrap(), new_tickets().unwrap());
        assert!(one.enabled());
        assert_eq!(one.lifetime(), 12 * 3600, "rustls replaces the key after half of it");
        let ticket = one.encrypt(b"a session").unwrap();
        assert_eq!(one.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        assert_eq!(other.decrypt(&ticket), None);
    }

    #[tokio::test]
    async fn tickets_survive_a_reload_but_not_another_client_policy() {
        let (authority, folder) = (Authority::new(), Folder::new());
        let mut settings = settings(vec![folder.issue(&authority, "one", &["one.test"])]);
        let first = Tls::load(&settings, &[HttpVersion::Http1], None).unwrap();
        let same = Tls::load(&settings, &[HttpVersion::Http1], Some(&first)).unwrap();
        let stranger = Tls::load(&settings, &[HttpVersion::Http1], None).unwrap();
        let connector = authority.connector(&[]);
        assert_eq!(handshake_twice(&connector, &first, &same).await.unwrap(), HandshakeKind::Resumed);
        let connector = authority.connector(&[]);
        assert_ne!(handshake_twice(&connector, &first, &stranger).await.unwrap(), HandshakeKind::Resumed);

        settings.client_auth = asking(AuthMode::Optional, folder.write("ca.pem", &authority.pem()));
        let asking = Tls::load(&settings, &[HttpVersion::Http1], Some(&first)).unwrap();
        let connector = authority.connector(&[]);
        assert_ne!(handshake_twice(&connector, &first, &asking).await.unwrap(), HandshakeKind::Resumed);
    }

    #[tokio::test]
    async fn client_certificates_are_required_and_their_authority_is_reloaded() {
        let (authority, other, folder) = (Authority::new(), Authority::new(), Folder::new());
        let mut settings = settings(vec![folder.issue(&authority, "one", &["one.test"])]);
        settings.client_auth = asking(AuthMode::Require, folder.write("ca.pem", &authority.pem()));
        let tls = Tls::load(&settings, &[HttpVersion::Http1], None).unwrap();
        assert!(handshake_twice(&authority.connector(&[]), &tls, &tls).await.is_err(), "no certificate");
        assert!(handshake_twice(&authority.connector_with(&other), &tls, &tls).await.is_err(), "another authority");
        handshake_twice(&authority.connector_with(&authority), &tls, &tls).await.expect("the right authority");
        folder.write("ca.pem", &other.pem());
        let (changed, errors) = tls.refresh();
        assert!(changed && errors.is_empty(), "{errors:?}");
        handshake_twice(&authority.connector_with(&other), &tls, &tls).await.expect("the new authority");
        assert!(handshake_twice(&authority.connector_with(&authority), &tls, &tls).await.is_err(), "the old authority");
        folder.write("ca.pem", "nothing");
        let (changed, errors) = tls.refresh();
        assert!(!changed && errors.len() == 1, "an empty bundle is refused: {errors:?}");
        handshake_twice(&authority.connector_with(&other), &tls, &tls).await.expect("still the new authority");
    }

    #[test]
    fn a_bad_pair_keeps_the_old_one_and_is_reported() {
        let (authority, folder) = (Authority::new(), Folder::new());
        let certificates =
            vec![folder.issue(&authority, "one", &["one.test"]), folder.issue(&authority, "two", &["two.test"])];
        let tls = Tls::load(&settings(certificates), &[HttpVersion::Http1], None).unwrap();
        assert!(tls.shows(Some("two.test"), "two.test"));
        assert!(tls.validities().iter().all(|(_, validity)| validity.not_after > validity.not_before));
        let (changed, errors) = tls.refresh();
        assert!(!changed && errors.is_empty(), "nothing changed: {errors:?}");

        let (_, key) = authority.issue(&["two.test"]);
        folder.write("two.key", &key.serialize_pem());
        folder.issue(&authority, "one", &["new.test"]);
        let (changed, errors) = tls.refresh();
        assert!(matches!(errors.as_slice(), [TlsError::Pair { .. }]), "{errors:?}");
        assert!(changed, "the good pair is taken all the same");
        assert!(tls.shows(Some("new.test"), "new.test"));
        assert!(tls.shows(Some("two.test"), "two.test"), "the old pair is served");
        for half in ["", "-----BEGIN CERTIFICATE-----\nMII"] {
            folder.write("one.pem", half);
            let (changed, errors) = tls.refresh();
            assert!(!changed && errors.len() == 1, "half-written {half:?}: {errors:?}");
            let (changed, errors) = tls.refresh();
            assert!(!changed && errors.is_empty(), "said once: {errors:?}");
        }
        folder.issue(&authority, "one", &["one.test"]);
        folder.issue(&authority, "two", &["three.test"]);
        let (changed, errors) = tls.refresh();
        assert!(changed && errors.is_empty(), "{errors:?}");
        assert!(tls.shows(Some("three.test"), "three.test"));
        assert!(tls.shows(Some("two.test"), "one.test"), "unknown names get the default");
    }

    #[test]
    fn a_reload_keeps_an_ordered_certificate_whose_file_is_broken() {
        let (authority, folder) = (Authority::new(), Folder::new());
        let domain = HostPattern::Exact("a.test".to_owned());
        let acme = Acme { storage: folder.path().to_owned(), domains: vec![domain], ..Acme::default() };
        let settings = ListenerTls { acme: Some(acme.clone()), ..settings(Vec::new()) };
        let place = acme::certificates(&acme).remove(0).cert_file;
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let (chain, key) = authority.issue(&["a.test"]);
        let content = format!("{}{}", key.serialize_pem(), chain.pem());
        std::fs::write(&place, &content).unwrap();
        let load = |previous: Option<&Tls>| Tls::load(&settings, &[HttpVersion::Http1], previous).unwrap();
        let served = |tls: &Tls| Arc::clone(tls.resolver.0.load().find(Some("a.test")).expect("a certificate"));
        let mut tls = load(None);
        let first = served(&tls);
        for broken in [Some("-----BEGIN CERTIFICATE-----\nMII"), Some(""), None] {
            match broken {
                Some(broken) => std::fs::write(&place, broken).unwrap(),
                None => std::fs::remove_file(&place).unwrap(),
            }
            tls = load(Some(&tls));
            assert!(Arc::ptr_eq(&served(&tls), &first), "{broken:?}");
            assert!(!load(None).shows(Some("a.test"), "a.test"), "a start has nothing to keep");
        }
        let (renewed, key) = authority.issue(&["b.test"]);
        std::fs::write(&place, format!("{}{}", key.serialize_pem(), renewed.pem())).unwrap();
        let (changed, errors) = tls.refresh();
        assert!(changed && errors.is_empty(), "{errors:?}");
        assert!(!Arc::ptr_eq(&served(&tls), &first), "the next one is taken");
    }

    #[test]
    fn what_cannot_be_used_is_refused_at_the_start() {
        let (authority, folder) = (Authority::new(), Folder::new());
        let good = folder.issue(&authority, "good", &["a.test"]);
        let missing = Certificate { cert_file: PathBuf::from("/does/not/exist"), ..good.clone() };
        let empty = Certificate { cert_file: folder.write("empty", ""), ..good.clone() };
        let no_key = Certificate { key_file: good.cert_file.clone(), ..good.clone() };
        let load = |settings: &ListenerTls| Tls::load(settings, &[HttpVersion::Http1], None);
        assert!(matches!(load(&settings(vec![missing])), Err(TlsError::Read { .. })));
        assert!(matches!(load(&settings(vec![empty])), Err(TlsError::Empty { .. })));
        assert!(matches!(load(&settings(vec![no_key])), Err(TlsError::Pem { .. })));
        assert!(matches!(load(&settings(Vec::new())), Err(TlsError::Setup(_))));
        let mut open = settings(vec![good]);
        open.client_auth = asking(AuthMode::Require, folder.write("ca.pem", ""));
        assert!(matches!(load(&open), Err(TlsError::Empty { .. })), "an empty bundle never fails open");
        for mode in [AuthMode::Optional, AuthMode::Require] {
            open.client_auth = ClientAuth { mode, ca_file: None, crl_file: None };
            assert!(matches!(load(&open), Err(TlsError::NoAuthorities)), "neither does none");
        }
    }
}
