//! Certificates, made for each test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Place;

/// A certificate authority with its file.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    directory: TempDir,
}

/// A certificate and its key, as files.
#[derive(Debug)]
pub(crate) struct Identity {
    cert: PathBuf,
    key: PathBuf,
    _directory: TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        Self::named("test authority")
    }

    /// One with this name; its key is its own, whoever else has the name.
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("ca.pem"), &pem).unwrap();
        Self { issuer: Issuer::new(params, key), pem, directory }
    }

    /// A certificate for these names, in files of its own.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_as(names, IsCa::NoCa)
    }

    /// As [`Self::issue`], with another kind of key, and for URIs as well (`spiffe://..`).
    pub(crate) fn issue_with(&self, names: &[&str], key: &KeyPair) -> Identity {
        let identity = Identity::place_for();
        self.write_with(&identity, names, IsCa::NoCa, key);
        identity
    }

    /// As [`Self::issue`], valid from and to so many days from now.
    pub(crate) fn issue_between(&self, names: &[&str], from: i64, to: i64) -> Identity {
        let now = time::OffsetDateTime::now_utc();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = (now + time::Duration::days(from), now + time::Duration::days(to));
        let (identity, key) = (Identity::place_for(), KeyPair::generate().unwrap());
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        std::fs::write(&identity.cert, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        identity
    }

    /// Issues what a request asks for, for 90 days; the chain.
    pub(crate) fn sign(&self, mut request: CertificateSigningRequestParams) -> String {
        let now = time::OffsetDateTime::now_utc();
        let params = &mut request.params;
        (params.not_before, params.not_after) = (now - time::Duration::HOUR, now + time::Duration::days(90));
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(fastrand::u64(1..u64::MAX >> 1)));
        request.signed_by(&self.issuer).unwrap().pem() + &self.pem
    }

    /// A revocation list that holds the certificates of these, for so many days from now (before now, if negative).
    pub(crate) fn revoke(&self, revoked: &[&Identity], days: i64) -> String {
        let now = time::OffsetDateTime::now_utc();
        let revoked_certs = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&identity.serial()),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: now - time::Duration::days(30),
            next_update: now + time::Duration::days(days),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// As [`Self::issue`], but one that may issue others itself.
    pub(crate) fn issue_authority(&self, names: &[&str]) -> Identity {
        self.issue_as(names, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn issue_as(&self, names: &[&str], is_ca: IsCa) -> Identity {
        let identity = Identity::place_for();
        self.write(&identity, names, is_ca);
        identity
    }

    /// Puts another certificate and key into an identity's files.
    pub(crate) fn renew(&self, identity: &Identity, names: &[&str]) {
        self.write(identity, names, IsCa::NoCa);
    }

    fn write(&self, identity: &Identity, names: &[&str], is_ca: IsCa) {
        self.write_with(identity, names, is_ca, &KeyPair::generate().unwrap());
    }

    fn write_with(&self, identity: &Identity, names: &[&str], is_ca: IsCa, key: &KeyPair) {
        let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.is_ca = is_ca;
        let cert = params.signed_by(key, &self.issuer).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        std::fs::write(&identity.cert, cert.pem()).unwrap();
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }
}

impl Place for Ca {
    /// Path of the authority's certificate.
    fn place(&self) -> String {
        self.path().display().to_string()
    }
}

impl Identity {
    fn place_for() -> Self {
        let directory = TempDir::new().unwrap();
        Self { cert: directory.path().join("cert.pem"), key: directory.path().join("key.pem"), _directory: directory }
    }

    fn serial(&self) -> Vec<u8> {
        let (chain, _) = self.load();
        let (_, parsed) = X509Certificate::from_der(&chain[0]).unwrap();
        parsed.raw_serial().to_vec()
    }

    /// Chain and key for rustls.
    pub(crate) fn load(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_file_iter(&self.cert).unwrap().map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_file(&self.key).unwrap())
    }

    /// What a backend serves with this certificate.
    pub(crate) fn server(&self, alpn: &[&str], clients: Option<&Ca>) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(ca.roots());
                builder.with_client_cert_verifier(
                    rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap(),
                )
            }
        };
        let (chain, key) = self.load();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    pub(crate) fn cert_path(&self) -> &Path {
        &self.cert
    }

    pub(crate) fn key_path(&self) -> &Path {
        &self.key
    }
}

impl Place for Identity {
    /// The two keys of a certificate in the configuration.
    fn place(&self) -> String {
        format!("certFile: \"{}\", keyFile: \"{}\"", self.cert.display(), self.key.display())
    }
}
