//! PEM files as editors, other systems and copying hands leave them: with a byte order mark, line ends of any kind,
//! indented, with text around. What cannot be used is called what it is. Every room that reads PEM reads it here.

mod pair;

use std::net::IpAddr;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

pub use pair::pair;

/// Why a file is no use. Reads after the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// There is no certificate in it.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// There is no key in it.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// There is no revocation list in it.
    #[error("holds no revocation list (X509 CRL) in PEM form")]
    NoRevocationList,
    /// There is a key in it that needs a password.
    #[error("holds an encrypted private key")]
    Encrypted,
    /// Text of two bytes for each character.
    #[error("is UTF-16 text, not PEM")]
    Utf16,
    /// DER or a key store.
    #[error("is binary (DER or PKCS #12), not PEM")]
    Binary,
    /// It looks like PEM and is broken.
    #[error("is not PEM: {0}")]
    Malformed(pem::Error),
}

impl PemError {
    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Encrypted => Some("decrypt it with `openssl pkey -in encrypted.key -out plain.key`"),
            Self::Utf16 => Some("save it as UTF-8"),
            Self::Binary => Some(
                "convert it with `openssl x509 -inform der`, `openssl pkey -inform der` or `openssl pkcs12 -nodes`",
            ),
            Self::NoRevocationList => Some("convert it with `openssl crl -inform der`, if it is binary"),
            Self::NoCertificate | Self::NoKey | Self::Malformed(_) => None,
        }
    }
}

/// Every certificate in a file, in order; at least one.
///
/// # Errors
/// When there is none, or one of them is broken: half a chain is no chain.
pub fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let text = text(bytes)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(PemError::Malformed)?;
    if found.is_empty() {
        return Err(PemError::NoCertificate);
    }
    Ok(found)
}

/// Every revocation list in a file (RFC 5280 section 5); at least one.
///
/// # Errors
/// When there is none, or one of them is broken.
pub fn revocation_lists(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    let text = text(bytes)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    let found = found.map_err(PemError::Malformed)?;
    if found.is_empty() {
        return Err(PemError::NoRevocationList);
    }
    Ok(found)
}

/// The first private key of a file: PKCS #8, PKCS #1 (RSA) or SEC1 (EC).
///
/// # Errors
/// When there is none that can be read without a password.
pub fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let text = text(bytes)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted(&text) => Err(PemError::Encrypted),
        Err(pem::Error::NoItemsFound) => Err(PemError::NoKey),
        Err(error) => Err(PemError::Malformed(error)),
    }
}

/// The address that a certificate names (RFC 5280 section 4.2.1.6).
#[must_use]
pub fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// PKCS #8 says so in its label, OpenSSL's older form in a header.
fn is_encrypted(text: &[u8]) -> bool {
    let holds = |mark: &[u8]| memchr::memmem::find(text, mark).is_some();
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

/// The lines of a file without what is around them.
fn text(bytes: &[u8]) -> Result<Vec<u8>, PemError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(PemError::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // What both begin with: a sequence of two or more bytes of length.
    if let [0x30, 0x80..=0x84, ..] = bytes {
        return Err(PemError::Binary);
    }
    let mut text = Vec::with_capacity(bytes.len());
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        text.extend_from_slice(line.trim_ascii());
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> String {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        made.cert.pem()
    }

    fn key() -> String {
        rcgen::KeyPair::generate().unwrap().serialize_pem()
    }

    #[test]
    fn what_editors_leave_behind_does_no_harm() {
        let lf = |text: &str| text.replace("\r\n", "\n");
        let (chain, key) = (lf(&chain()), lf(&key()));
        let both = format!("{key}{chain}");
        for (what, changed) in [
            ("as it is", both.clone()),
            ("byte order mark", format!("\u{feff}{both}")),
            ("CRLF", both.replace('\n', "\r\n")),
            ("both", format!("\u{feff}{}", both.replace('\n', "\r\n"))),
            ("CR", both.replace('\n', "\r")),
            ("indented", both.replace('\n', " \t\n  ")),
            ("text around", format!("subject=a\n\n{key}\nnotes: none\n{chain}\nend\n")),
            ("no line end", both.trim_end().to_owned()),
            (
                "parameters first",
                format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{both}"),
            ),
        ] {
            let found = certificates(changed.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(found.map(|found| found.len()), Ok(1), "{what}");
            assert!(private_key(changed.as_bytes()).is_ok(), "{what}");
        }
        let two = format!("{chain}{chain}");
        assert_eq!(certificates(two.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_use_is_called_what_it_is() {
        let (chain, key) = (chain(), key());
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let older = "-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\nAAAA\r\n-----END RSA PRIVATE KEY-----\r\n";
        let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(key.bytes().flat_map(|byte| [byte, 0])).collect();
        for (bytes, of_chain, of_key) in [
            (&b""[..], "no certificate", "no private key"),
            (chain.as_bytes(), "", "no private key"),
            (key.as_bytes(), "no certificate", ""),
            (encrypted.as_bytes(), "no certificate", "encrypted"),
            (older.as_bytes(), "is not PEM", "encrypted"),
            (&utf16, "UTF-16", "UTF-16"),
            (b"\x30\x82\x01\x00", "binary", "binary"),
            (b"-----BEGIN CERTIFICATE-----\nAA", "is not PEM", "is not PEM"),
            (b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", "is not PEM", "is not PEM"),
        ] {
            let said = [
                certificates(bytes).err().map(|error| error.to_string()),
                private_key(bytes).err().map(|error| error.to_string()),
            ];
            for (said, expected) in said.iter().zip([of_chain, of_key]) {
                let said = said.as_deref().unwrap_or_default();
                let same = if expected.is_empty() { said.is_empty() } else { said.contains(expected) };
                assert!(same, "{said:?} is not {expected:?} of {:?}", String::from_utf8_lossy(bytes));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "(-----BEGIN (CERTIFICATE|PRIVATE KEY)-----|[ -~\r\n]{0,30}){0,6}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let (_, _) = (certificates(bytes).is_ok(), private_key(bytes).is_ok());
            }
        }
    }
}
