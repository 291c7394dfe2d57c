//! What TLS says about an endpoint, in words for people: rustls has names of its own code for most of it.

use std::io;

use rustls::{CertificateError, Error};

use super::pinned::OtherName;

/// The same failure with words an operator can act on.
pub(super) fn plain(error: io::Error) -> io::Error {
    let words = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).map(words);
    match words {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => format!("the endpoint's certificate {}", certificate(error)),
        Error::AlertReceived(alert) => format!("the endpoint refused the handshake: {}", spaced(&format!("{alert:?}"))),
        Error::PeerIncompatible(why) => format!("the endpoint is not compatible: {}", spaced(&format!("{why:?}"))),
        Error::PeerMisbehaved(why) => format!("the endpoint misbehaved: {}", spaced(&format!("{why:?}"))),
        Error::InvalidMessage(_) => "the endpoint's answer is not TLS".to_owned(),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the endpoint sent a message out of turn".to_owned()
        }
        Error::NoCertificatesPresented => "the endpoint showed no certificate".to_owned(),
        Error::NoApplicationProtocol => "the endpoint speaks none of the protocols offered (ALPN)".to_owned(),
        other => other.to_string(),
    }
}

/// What is wrong with a certificate, to follow its name.
fn certificate(error: &CertificateError) -> String {
    let words = match error {
        CertificateError::ExpiredContext { time, not_after } => {
            return format!("expired {} ago", span(time.as_secs().saturating_sub(not_after.as_secs())));
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            return format!(
                "is not valid before {} from now",
                span(not_before.as_secs().saturating_sub(time.as_secs()))
            );
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            return format!("is not valid for name \"{}\" but for {names}", expected.to_str());
        }
        CertificateError::Other(other) if other.0.is::<OtherName>() => return other.0.to_string(),
        CertificateError::BadEncoding => "cannot be read",
        CertificateError::Expired => "has expired",
        CertificateError::NotValidYet => "is not valid yet",
        CertificateError::Revoked => "was revoked",
        CertificateError::UnhandledCriticalExtension => "has a critical extension that is not known",
        CertificateError::UnknownIssuer => "is from an unknown authority; name its own in `tls: { caFile }`",
        CertificateError::UnknownRevocationStatus => "may have been revoked: that is not known",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be checked: the revocation list has expired"
        }
        CertificateError::BadSignature => {
            "has a bad signature: it is from another authority of the same name, or damaged"
        }
        CertificateError::NotValidForName => "is not valid for the name of the endpoint",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers: its extended key usage lacks serverAuth"
        }
        CertificateError::InvalidOcspResponse => "came with an OCSP answer that is not valid",
        CertificateError::ApplicationVerificationFailure => "was refused",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => UNSUPPORTED,
        other => return rare(&format!("{other:?}")),
    };
    words.to_owned()
}

/// What rustls has only its own code's name for.
fn rare(name: &str) -> String {
    for (part, words) in [
        ("CaUsedAsEndEntity", "is an authority's (CA:TRUE): an endpoint needs one of its own, issued by that"),
        ("EndEntityUsedAsCa", "was issued by a certificate that is no authority's"),
        ("PathLenConstraintViolated", "has more authorities above it than one of them allows"),
        ("NameConstraintViolation", "has a name that its authority may not give"),
        ("UnsupportedCertVersion", "is not of version 3"),
        ("UnsupportedSignatureAlgorithm", UNSUPPORTED),
    ] {
        if name.contains(part) {
            return words.to_owned();
        }
    }
    let innermost = name.rsplit(['(', ' ']).next().unwrap_or_default();
    format!("cannot be used: {}", spaced(innermost.trim_end_matches([')', '}'])))
}

/// The name of an enum's variant as words.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && words.ends_with(|last: char| last.is_ascii_lowercase()) {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// Seconds, in the unit that people would use.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

const UNSUPPORTED: &str = "is signed with an algorithm that is not supported";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::{AlertDescription, PeerIncompatible};
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn a_certificate_that_is_refused_is_explained() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = ServerName::try_from("a.example").unwrap();
        for (error, words) in [
            (CertificateError::UnknownIssuer, "is from an unknown authority; name its own in `tls: { caFile }`"),
            (CertificateError::ExpiredContext { time: at(864_000), not_after: at(0) }, "expired 10 days ago"),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(60) },
                "is not valid before 60 seconds from now",
            ),
            (
                CertificateError::NotValidForNameContext { expected, presented: vec!["b.example".to_owned()] },
                "is not valid for name \"a.example\" but for b.example",
            ),
            (CertificateError::InvalidPurpose, "is not for servers: its extended key usage lacks serverAuth"),
        ] {
            assert_eq!(certificate(&error), words);
        }
        let authority = "is an authority's (CA:TRUE): an endpoint needs one of its own, issued by that";
        assert_eq!(rare("Other(OtherError(CaUsedAsEndEntity))"), authority);
        assert_eq!(rare("Other(OtherError(InvalidSerialNumber))"), "cannot be used: invalid serial number");
    }

    #[test]
    fn no_name_of_code_is_shown() {
        for (error, expected) in [
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "handshake failure"),
            (Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), "no cipher suites in common"),
        ] {
            let text = plain(io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
            assert!(text.ends_with(expected), "{text}");
        }
        assert_eq!(plain(io::Error::other("else")).to_string(), "else");
    }
}
