//! `authProviders.X.clientCertificate`.

use super::{Many, choice, section, text_value};
use crate::config::de::with_hint;
use crate::config::types::TextPattern;

section! {
    #[derive(PartialEq, Eq)]
    /// The certificate that a client has shown to the listener (`tls.clientAuth`). Where any of these lists is given, a
    /// certificate that it does not fit is none for this provider.
    pub struct ClientCertificates {
        /// Which name in it is the principal's: `auto` takes the SPIFFE id, and the subject where there is none.
        principal: CertificateName = auto,
        /// Trust domains of SPIFFE ids, such as `example.org`.
        trust_domains: Vec<String> as Many<String> = [],
        /// Subjects in the form of RFC 4514, `CN=planner,O=Example`, with `*` at the end or beginning for any rest.
        subjects: Vec<TextPattern> as Many<NamePattern> = [],
        /// DNS names, URIs and addresses of mail of which it has one, with `*` at the end or beginning for any rest.
        subject_alt_names: Vec<TextPattern> as Many<NamePattern> = [],
        /// Roles of everybody whom this provider knows.
        roles: Vec<String> as Many<String> = [],
    }
}

choice! {
    /// Which name of a certificate is its owner's.
    pub enum CertificateName {
        /// The SPIFFE id, else the subject.
        Auto = ["auto"],
        /// The SPIFFE id.
        Spiffe = ["spiffe"],
        /// The whole subject.
        Subject = ["subject", "dn"],
        /// The common name of the subject.
        CommonName = ["common-name", "cn"],
        /// The only DNS name.
        Dns = ["dns"],
        /// The only address of mail.
        Email = ["email"],
    }
}

text_value!(
    /// A name in a certificate, with `*` at its end or beginning for any rest.
    NamePattern(TextPattern), pattern, "a name such as `spiffe://example.org/*`", {
    "type": "string",
    "description": "A name, with * at its end or beginning for any rest."
});

fn pattern(text: &str) -> Result<NamePattern, String> {
    let plain = |rest: &str| !rest.is_empty() && !rest.contains('*');
    Ok(NamePattern(match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (None, None) if plain(text) => TextPattern::Exact(text.into()),
        (Some(end), None) if plain(end) => TextPattern::Suffix(end.into()),
        (None, Some(start)) if plain(start) => TextPattern::Prefix(start.into()),
        _ => {
            let message = format!("`{text}` is no name, nor the beginning or end of names");
            return Err(with_hint(message, "write `start*` or `*end`; several stand in a list"));
        }
    }))
}
