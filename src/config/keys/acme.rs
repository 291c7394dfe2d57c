//! `listeners.X.tls.acme`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{Many, choice, section, text_value};
use crate::config::de::with_hint;
use crate::config::types::HostPattern;

section! {
    #[derive(PartialEq, Eq)]
    /// Certificates that the gateway orders and renews by itself (RFC 8555). To write this section is to agree to the
    /// directory's terms of service.
    pub struct Acme {
        /// Whom to order from: `letsencrypt`, `letsencrypt-staging` or the URL of a directory.
        directory: String as AcmeDirectory = letsencrypt,
        /// Address that the authority may write to.
        email: Option<String>,
        /// Names to order certificates for, one certificate each. Default: the hosts of the listener's routes, without
        /// wildcards.
        domains: Vec<HostPattern> as Many<HostPattern>; empty,
        /// Directory for the account, its key and the certificates; relative to this file. Required.
        storage: PathBuf as String; empty,
        /// How the authority looks whether a name is ours.
        challenge: AcmeChallenge = "http-01",
        /// PEM bundle of authorities that the directory's own certificate is verified by; relative to this file.
        /// Default: the system's.
        ca_file: Option<PathBuf> as String,
        /// External account binding (RFC 8555 section 7.3.4), for directories that ask for it.
        eab: Option<ExternalAccount>,
    }

    #[derive(PartialEq, Eq)]
    /// An account that exists at the authority already.
    pub struct ExternalAccount {
        /// Its key identifier. Required.
        key_id: String; empty,
        /// File with its MAC key, in base64url as the authority gives it; relative to this file. Required.
        key_file: PathBuf as String; empty,
    }
}

impl ExternalAccount {
    /// Size of a file with a MAC key, in bytes.
    pub const MAX_KEY: usize = 4096;

    /// The MAC key that such a file holds, in base64url with padding or without.
    #[must_use]
    pub fn key(content: &[u8]) -> Option<Vec<u8>> {
        let text = content.trim_ascii();
        let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
        BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|key| !key.is_empty())
    }
}

choice! {
    /// How an authority looks whether a name is ours.
    pub enum AcmeChallenge {
        /// It asks for a file on port 80 (RFC 8555 section 8.3), which every listener without TLS has.
        Http01 = ["http-01", "http01", "http"],
        /// It opens a TLS connection to port 443 (RFC 8737), which this listener answers.
        TlsAlpn01 = ["tls-alpn-01", "tls-alpn", "tlsalpn01"],
    }
}

text_value!(
    /// The URL of a directory, or a word for one.
    AcmeDirectory(String), directory, "`letsencrypt`, `letsencrypt-staging` or the URL of a directory", {
    "type": "string",
    "description": "letsencrypt, letsencrypt-staging or an https URL.",
    "pattern": "^(letsencrypt|letsencrypt-staging|https://.+|.*[$][{].*)$"
});

fn directory(text: &str) -> Result<AcmeDirectory, String> {
    let url = match text {
        "letsencrypt" => LETS_ENCRYPT,
        "letsencrypt-staging" => LETS_ENCRYPT_STAGING,
        other => other,
    };
    let parsed = url.parse::<http::Uri>().ok().filter(|url| url.host().is_some_and(|host| !host.is_empty()));
    match parsed.as_ref().and_then(http::Uri::scheme_str) {
        Some("https") => Ok(AcmeDirectory(url.to_owned())),
        // RFC 8555 section 6.1.
        Some(_) => Err(with_hint(format!("`{text}` is not HTTPS"), "directories are asked over HTTPS only")),
        None => Err(with_hint(
            format!("`{text}` is no directory"),
            "`letsencrypt`, `letsencrypt-staging` or a URL such as `https://ca.internal/acme/directory`",
        )),
    }
}

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The one for trying things out, whose certificates nobody trusts.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_key_is_one_that_can_be_decoded() {
        for (text, length) in [
            ("MDEyMzQ1Njc4OWFiY2RlZg", Some(16)),
            ("MDEyMzQ1Njc4OWFiY2RlZg==\n", Some(16)),
            ("-_-_", Some(3)),
            ("abcde", None),
            ("ab+/", None),
            ("=", None),
            ("", None),
        ] {
            assert_eq!(ExternalAccount::key(text.as_bytes()).map(|key| key.len()), length, "{text:?}");
        }
    }
}
