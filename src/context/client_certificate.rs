//! Whose certificate a client has shown: the names in it, each of a kind that cannot be taken for another. That it is
//! good, and from an authority that is trusted, is known before.

use std::fmt::Write;

use x509_parser::prelude::{FromDer, GeneralName, RelativeDistinguishedName, X509Certificate, X509Name};

use crate::config::model::trust_domain;

/// The names in a client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject in the form of RFC 4514, `CN=planner,O=Example`; `None` when it is empty or has what is no text.
    pub subject: Option<Box<str>>,
    /// The common name in it, where there is exactly one.
    pub common_name: Option<Box<str>>,
    /// Its SPIFFE id. A certificate with an id has no other URI (X.509-SVID section 2).
    pub spiffe: Option<Box<str>>,
    /// DNS names, in lower case.
    pub dns: Box<[Box<str>]>,
    /// Addresses of mail.
    pub emails: Box<[Box<str>]>,
    /// URIs.
    pub uris: Box<[Box<str>]>,
}

impl ClientCertificate {
    /// Reads a certificate in DER; `None` when it cannot be read.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let mut read =
            Self { subject: subject(parsed.subject()), common_name: common_name(parsed.subject()), ..Self::default() };
        let names = parsed.subject_alternative_name().ok()?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        read.dns = names.iter().filter_map(dns).collect();
        read.emails = names.iter().filter_map(email).collect();
        read.uris = names.iter().filter_map(uri).collect();
        let uris = names.iter().filter(|name| matches!(name, GeneralName::URI(_))).count();
        read.spiffe = read.uris.first().filter(|id| uris == 1 && trust_domain(id).is_some()).cloned();
        Some(read)
    }

    /// All names of its extension.
    pub fn alternative_names(&self) -> impl Iterator<Item = &str> {
        self.uris.iter().chain(&self.dns).chain(&self.emails).map(|name| &**name)
    }
}

fn dns(name: &GeneralName<'_>) -> Option<Box<str>> {
    let GeneralName::DNSName(name) = name else { return None };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
    (!name.is_empty() && name.bytes().all(is_legal)).then(|| name.to_ascii_lowercase().into())
}

fn email(name: &GeneralName<'_>) -> Option<Box<str>> {
    let GeneralName::RFC822Name(name) = name else { return None };
    let is_legal = name.matches('@').count() == 1 && name.bytes().all(|byte| byte.is_ascii_graphic());
    (is_legal && !name.contains(['/', ':'])).then(|| (*name).into())
}

fn uri(name: &GeneralName<'_>) -> Option<Box<str>> {
    let GeneralName::URI(name) = name else { return None };
    let is_legal = name.bytes().all(|byte| byte.is_ascii_graphic());
    (is_legal && (name.contains("://") || name.starts_with("urn:"))).then(|| (*name).into())
}

fn common_name(name: &X509Name<'_>) -> Option<Box<str>> {
    let mut names = name.iter_common_name();
    let only = names.next().filter(|_| names.next().is_none())?.as_str().ok()?;
    (!only.is_empty() && !only.chars().any(char::is_control)).then(|| only.into())
}

/// The last part comes first, and what could be taken for a part of its own is escaped (RFC 4514 sections 2.1 and 2.4).
fn subject(name: &X509Name<'_>) -> Option<Box<str>> {
    let parts: Vec<&RelativeDistinguishedName<'_>> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            let sign = match (index, text.is_empty()) {
                (0, true) => "",
                (0, false) => ",",
                _ => "+",
            };
            let oid = attribute.attr_type().to_id_string();
            let known = TYPES.iter().find(|(known, _)| *known == oid).map(|(_, word)| *word);
            write!(text, "{sign}{}=", known.unwrap_or(&oid)).ok()?;
            escape(attribute.as_str().ok()?, &mut text)?;
        }
    }
    (!text.is_empty()).then(|| text.into())
}

fn escape(value: &str, out: &mut String) -> Option<()> {
    let last = value.chars().count().saturating_sub(1);
    for (at, sign) in value.chars().enumerate() {
        match sign {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => write!(out, "\\{sign}").ok()?,
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            sign if sign.is_control() => {
                let mut bytes = [0; 4];
                sign.encode_utf8(&mut bytes).bytes().try_for_each(|byte| write!(out, "\\{byte:02X}")).ok()?;
            }
            sign => out.push(sign),
        }
    }
    Some(())
}

/// Words for types (RFC 4514 section 3), and one that everybody writes.
const TYPES: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn read(parts: &[(DnType, &str)], names: Vec<SanType>) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der()).unwrap()
    }

    #[test]
    fn a_subject_has_one_spelling() {
        for (parts, expected) in [
            (
                &[(DnType::OrganizationName, "Example"), (DnType::CommonName, "planner")][..],
                Some("CN=planner,O=Example"),
            ),
            (&[(DnType::CommonName, "x,O=Example")], Some("CN=x\\,O\\=Example")),
            (&[(DnType::CommonName, " a+b\\ ")], Some("CN=\\ a\\+b\\\\\\ ")),
            (&[(DnType::CommonName, "#1\u{7}")], Some("CN=\\#1\\07")),
            (&[(DnType::CommonName, "Zoë")], Some("CN=Zoë")),
            (&[], None),
        ] {
            assert_eq!(read(parts, Vec::new()).subject.as_deref(), expected);
        }
        assert_eq!(read(&[(DnType::CommonName, "a")], Vec::new()).common_name.as_deref(), Some("a"));
    }

    #[test]
    fn names_are_of_their_kind_or_left_out() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
        let mail = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
        let read = read(
            &[],
            vec![
                uri("spiffe://example.org/a"),
                dns("A.Example"),
                dns("spiffe://example.org/b"),
                mail("ops@a.example"),
                mail("spiffe://x@y/z"),
            ],
        );
        assert_eq!(read.spiffe.as_deref(), Some("spiffe://example.org/a"));
        let names: Vec<_> = read.alternative_names().collect();
        assert_eq!(names, ["spiffe://example.org/a", "a.example", "ops@a.example"]);
    }

    #[test]
    fn one_with_two_uris_has_no_id() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        for other in ["spiffe://example.org/b", "https://example.org/b", "strange"] {
            let read = read(&[], vec![uri("spiffe://example.org/a"), uri(other)]);
            assert_eq!(read.spiffe, None, "{other}");
        }
        assert_eq!(ClientCertificate::read(b"nothing"), None);
    }
}
