//! The certificate of a first configuration: one of development that is made here, or one from a directory.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::cli::Failure;
use crate::cli::certificates::{Development, Files};
use crate::config::read_regular;
use crate::pem;

/// What somebody asked for: `dev`, or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Tls {
    /// A certificate of development.
    Development,
    /// The certificate and key that lie in a directory.
    Directory(PathBuf),
}

impl FromStr for Tls {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "dev" { Self::Development } else { Self::Directory(text.into()) })
    }
}

/// Files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct CertificateFiles {
    /// The authority that clients must be told to trust; `None` where they know it.
    pub(in crate::cli) authority: Option<PathBuf>,
    pub(in crate::cli) chain: PathBuf,
    pub(in crate::cli) key: PathBuf,
}

impl CertificateFiles {
    /// The pair in a directory, by the names that tools give them.
    pub(in crate::cli) fn within(directory: &Path) -> Result<Self, Failure> {
        let pairs = PAIRS.map(|(chain, key)| (directory.join(chain), directory.join(key)));
        let found = pairs.into_iter().find(|(chain, key)| chain.exists() && key.exists());
        let (chain, key) = found.ok_or_else(|| {
            let names: Vec<_> = PAIRS.iter().map(|(chain, key)| format!("{chain} with {key}")).collect();
            Failure::new(
                format_args!("{} holds no certificate with its key", directory.display()),
                format_args!("name a directory with {}, or `dev`", names.join(", or ")),
            )
        })?;
        let authority = Some(directory.join("ca.crt")).filter(|file| file.exists());
        Ok(Self { authority, chain, key })
    }

    /// The same files by paths that begin in `directory`, where they lie below it.
    pub(in crate::cli) fn seen_from(self, directory: &Path) -> Self {
        let seen = |path: PathBuf| path.strip_prefix(directory).map(Path::to_owned).unwrap_or(path);
        Self { authority: self.authority, chain: seen(self.chain), key: seen(self.key) }
    }

    /// A certificate of development in `directory` that names this machine, and `ip` where there is one. One that is
    /// there is used again, so that a client that trusts its authority goes on doing so.
    pub(in crate::cli) fn development(directory: &Path, ip: Option<IpAddr>) -> Result<Self, Failure> {
        let files = Files::within(directory);
        if files.existing().len() < 3 || !serves(&files.chain, ip, SystemTime::now()) {
            let unwritable = |error: std::io::Error| {
                Failure::new(
                    format_args!("{} cannot be written to: {error}", directory.display()),
                    "make a certificate with `attache certs dev --out DIR`, and name DIR",
                )
            };
            std::fs::create_dir_all(directory).map_err(unwritable)?;
            let hosts: Vec<_> = ip.iter().map(IpAddr::to_string).collect();
            let made = Development::make(&hosts).map_err(|error| {
                Failure::new(
                    format_args!("no certificate could be made: {error}"),
                    "is the clock set to a sensible time?",
                )
            })?;
            made.write(&files).map_err(unwritable)?;
        }
        Ok(Self { authority: Some(files.authority), chain: files.chain, key: files.key })
    }
}

/// Where certificates of development are kept for one's own use (XDG Base Directory Specification).
pub(in crate::cli) fn of_user(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Failure> {
    let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(variable("HOME").filter(|path| path.is_absolute())?.join(".local/share")));
    let data = data.ok_or_else(|| {
        Failure::new(
            "there is no home directory to keep a certificate of development in",
            "set HOME, or name a directory with --tls",
        )
    })?;
    Ok(data.join("attache/dev"))
}

/// Whether the certificate will do for a while, and names `ip`.
fn serves(chain: &Path, ip: Option<IpAddr>, now: SystemTime) -> bool {
    let content = read_regular(chain, MAX_FILE).ok();
    let chain = content.and_then(|content| pem::certificates(&content).ok()).unwrap_or_default();
    let Some(Ok((_, leaf))) = chain.first().map(|leaf| X509Certificate::from_der(leaf)) else { return false };
    let soon = (now + SPARE).duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs());
    let is_valid = u64::try_from(leaf.validity().not_after.timestamp()).is_ok_and(|end| end > soon);
    let names = leaf.subject_alternative_name().ok().flatten();
    let is_named = |ip: IpAddr| {
        let mut names = names.iter().flat_map(|names| &names.value.general_names);
        names.any(|name| matches!(name, GeneralName::IPAddress(octets) if pem::address(octets) == Some(ip)))
    };
    is_valid && ip.is_none_or(is_named)
}

/// Names of certificate and key: those of `attache certs dev`, of Kubernetes, of certbot, and plain ones.
const PAIRS: [(&str, &str); 4] =
    [("gateway.crt", "gateway.key"), ("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem"), ("cert.pem", "key.pem")];
/// Size of a file with certificates.
const MAX_FILE: usize = 1 << 20;
/// A certificate that ends earlier is made again.
const SPARE: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_development_is_used_again_while_it_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let made = || {
            let files = CertificateFiles::development(directory.path(), None).unwrap();
            std::fs::read(files.chain).unwrap()
        };
        let first = made();
        assert_eq!(made(), first);
        let ip = "192.0.2.7".parse().unwrap();
        let files = CertificateFiles::development(directory.path(), Some(ip)).unwrap();
        let second = std::fs::read(&files.chain).unwrap();
        assert_ne!(second, first, "the first does not name the address");
        assert_eq!(made(), second, "the second names what the first does, and more");
        let in_a_year = SystemTime::now() + Duration::from_secs(360 * 24 * 3600);
        assert!(!serves(&files.chain, None, in_a_year));
        std::fs::write(&files.chain, "no certificate").unwrap();
        assert_ne!(made(), b"no certificate");
    }

    #[test]
    fn pairs_are_found_by_the_names_of_tools() {
        let directory = tempfile::tempdir().unwrap();
        let error = CertificateFiles::within(directory.path()).unwrap_err().to_string();
        assert!(error.contains("tls.crt with tls.key"), "{error}");
        std::fs::write(directory.path().join("fullchain.pem"), "").unwrap();
        assert!(CertificateFiles::within(directory.path()).is_err(), "its key is missing");
        std::fs::write(directory.path().join("privkey.pem"), "").unwrap();
        let found = CertificateFiles::within(directory.path()).unwrap();
        assert!(found.chain.ends_with("fullchain.pem") && found.authority.is_none());
    }

    #[test]
    fn the_users_directory_is_where_the_specification_says() {
        let of = |data: &str, home: &str| {
            let value = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
            of_user(|name| if name == "HOME" { value(home) } else { value(data) }).ok()
        };
        assert_eq!(of("/data", "/home/me"), Some("/data/attache/dev".into()));
        assert_eq!(of("relative", "/home/me"), Some("/home/me/.local/share/attache/dev".into()));
        assert_eq!(of("", ""), None);
    }
}
