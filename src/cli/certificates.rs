//! Development certificates: an authority of our own and one server certificate signed by it, ECDSA on P-256. Made for
//! `attache certs dev` and the demo; the authority's key is thrown away at once, so nobody can sign anything else with
//! it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

/// PEM texts of a development set-up.
#[derive(Debug)]
pub(super) struct Development {
    authority: String,
    chain: String,
    key: String,
}

/// Where the files of a [`Development`] set-up lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Certificate of the authority, for clients.
    pub(super) authority: PathBuf,
    /// Server certificate and authority, leaf first.
    pub(super) chain: PathBuf,
    /// Private key of the server certificate.
    pub(super) key: PathBuf,
}

impl Files {
    /// The names used in `directory`.
    pub(super) fn within(directory: &Path) -> Self {
        Self {
            authority: directory.join("ca.crt"),
            chain: directory.join("gateway.crt"),
            key: directory.join("gateway.key"),
        }
    }

    /// Those that are there already.
    pub(super) fn existing(&self) -> Vec<&Path> {
        let all = [&self.authority, &self.chain, &self.key];
        all.into_iter().map(PathBuf::as_path).filter(|file| file.exists()).collect()
    }
}

impl Development {
    /// Makes a fresh authority and a certificate for `hosts` (names, wildcards or addresses), `localhost`, `127.0.0.1`
    /// and `::1`.
    pub(super) fn make(hosts: &[String]) -> Result<Self, rcgen::Error> {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.extend(hosts.iter().filter(|host| !ALWAYS.contains(&host.as_str())).cloned());

        let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let authority_params = authority_params();
        let authority = authority_params.self_signed(&authority_key)?;
        let issuer = Issuer::from_params(&authority_params, &authority_key);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = leaf_params(names)?.signed_by(&key, &issuer)?;
        let authority = authority.pem();
        Ok(Self { chain: format!("{}{authority}", leaf.pem()), authority, key: key.serialize_pem() })
    }

    /// Writes the files, the key readable by its owner only. Files that are there are replaced.
    pub(super) fn write(&self, files: &Files) -> io::Result<()> {
        write_file(&files.authority, &self.authority, 0o644)?;
        write_file(&files.chain, &self.chain, 0o644)?;
        write_file(&files.key, &self.key, 0o600)
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "attache development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_lifetime(&mut params);
    params
}

fn leaf_params(names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "attache development gateway");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_lifetime(&mut params);
    Ok(params)
}

fn set_lifetime(params: &mut CertificateParams) {
    let now = SystemTime::now();
    // An hour back: containers and virtual machines often run behind their host's clock.
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + LIFETIME).into();
}

/// Writes beside the target and renames, so that a gateway that watches the directory never reads half a file, and the
/// mode holds from the first byte even where an older file had a wider one.
pub(super) fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Not the number of the process: containers give the same each time, and what a crash left would be in the way.
    name.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        std::fs::remove_file(&temporary).ok();
    }
    written
}

const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn the_certificate_names_hosts_and_is_signed_by_the_authority() {
        let made = Development::make(&["agents.test".into(), "localhost".into(), "10.1.2.3".into()]).unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(made.chain.as_bytes()).map(Result::unwrap).collect();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        let (_, authority) = X509Certificate::from_der(&chain[1]).unwrap();
        assert_eq!(leaf.issuer(), authority.subject(), "signed by our authority");
        assert!(authority.is_ca() && !leaf.is_ca(), "only the authority may sign");
        assert!(leaf.validity().is_valid(), "valid now");
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        assert_eq!(names, 5, "localhost is named once");
    }

    #[test]
    fn the_key_is_for_its_owner_even_over_an_older_file() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::within(directory.path());
        std::fs::write(&files.key, "old and readable by all").unwrap();
        Development::make(&[]).unwrap().write(&files).unwrap();
        let mode = std::fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(files.existing().len(), 3);
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 3, "no temporary file is left");
    }
}
