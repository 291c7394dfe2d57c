//! Clients that are known by the certificate they have shown when the connection was made. The listener has verified
//! it; what is left is whether this provider knows its names.

use std::sync::Arc;

use super::{Presented, Refusal, Verdict, Verified};
use crate::config::model::{CertificateName, ClientCertificates, trust_domain};
use crate::context::{ClientCertificate, Principal, PrincipalKind};

/// The certificates that one provider knows.
#[derive(Debug)]
pub(super) struct Certificates {
    provider: Arc<str>,
    settings: ClientCertificates,
    roles: Box<[Box<str>]>,
}

impl Certificates {
    pub(super) fn new(provider: &Arc<str>, settings: &ClientCertificates) -> Self {
        Self {
            provider: Arc::clone(provider),
            roles: settings.roles.iter().map(|role| role.as_str().into()).collect(),
            settings: settings.clone(),
        }
    }

    pub(super) fn verify(&self, presented: &Presented<'_>) -> Verdict {
        let shown = presented.tls.filter(|tls| tls.client_verified).and_then(|tls| tls.certificate.as_deref());
        let Some(certificate) = shown.filter(|certificate| self.fits(certificate)) else {
            return Verdict::Absent;
        };
        match self.name(certificate) {
            Some(name) => Verdict::Verified(Verified {
                principal: Arc::new(Principal {
                    name: name.into(),
                    provider: Arc::clone(&self.provider),
                    kind: PrincipalKind::Certificate,
                    roles: self.roles.clone(),
                    spiffe: certificate.spiffe.clone(),
                    ..Principal::default()
                }),
                fields: None,
            }),
            None => Verdict::Refused(Refusal::Invalid),
        }
    }

    fn fits(&self, certificate: &ClientCertificate) -> bool {
        let ClientCertificates { trust_domains, subjects, subject_alt_names, .. } = &self.settings;
        let domain = certificate.spiffe.as_deref().and_then(trust_domain);
        let is_of_domain = domain.is_some_and(|domain| trust_domains.iter().any(|known| known == domain));
        let subject = certificate.subject.as_deref();
        let is_subject = subject.is_some_and(|subject| subjects.iter().any(|known| known.fits(subject)));
        let mut names = certificate.alternative_names();
        let is_named = names.any(|name| subject_alt_names.iter().any(|known| known.fits(name)));
        (trust_domains.is_empty() || is_of_domain)
            && (subjects.is_empty() || is_subject)
            && (subject_alt_names.is_empty() || is_named)
    }

    /// Its owner's name. Of two names of a kind neither counts.
    fn name<'c>(&self, certificate: &'c ClientCertificate) -> Option<&'c str> {
        let only = |names: &'c [Box<str>]| match names {
            [one] => Some(&**one),
            _ => None,
        };
        match self.settings.principal {
            CertificateName::Auto => certificate.spiffe.as_deref().or(certificate.subject.as_deref()),
            CertificateName::Spiffe => certificate.spiffe.as_deref(),
            CertificateName::Subject => certificate.subject.as_deref(),
            CertificateName::CommonName => certificate.common_name.as_deref(),
            CertificateName::Dns => only(&certificate.dns),
            CertificateName::Email => only(&certificate.emails),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::presented::tests::{fields, presented};
    use super::*;
    use crate::config::model::{TextPattern, TlsVersion};
    use crate::context::TlsFacts;

    fn tls(certificate: Option<ClientCertificate>) -> TlsFacts {
        TlsFacts {
            server_name: None,
            version: TlsVersion::V13,
            resumed: false,
            client_verified: certificate.is_some(),
            certificate: certificate.map(Arc::new),
        }
    }

    fn planner() -> ClientCertificate {
        ClientCertificate {
            subject: Some("CN=planner,O=Example".into()),
            common_name: Some("planner".into()),
            spiffe: Some("spiffe://example.org/ns/prod/sa/planner".into()),
            dns: ["planner.example.org".into()].into(),
            emails: ["a@example.org".into(), "b@example.org".into()].into(),
            uris: ["spiffe://example.org/ns/prod/sa/planner".into()].into(),
        }
    }

    fn said(settings: &ClientCertificates, tls: &TlsFacts) -> String {
        let headers = fields(&[]);
        let presented = Presented { tls: Some(tls), ..presented(&headers, None) };
        match Certificates::new(&"mesh".into(), settings).verify(&presented) {
            Verdict::Verified(verified) => verified.principal.name.to_string(),
            other => other.word().to_owned(),
        }
    }

    #[test]
    fn the_principal_is_the_name_that_was_asked_for() {
        for (principal, expected) in [
            (CertificateName::Auto, "spiffe://example.org/ns/prod/sa/planner"),
            (CertificateName::Spiffe, "spiffe://example.org/ns/prod/sa/planner"),
            (CertificateName::Subject, "CN=planner,O=Example"),
            (CertificateName::CommonName, "planner"),
            (CertificateName::Dns, "planner.example.org"),
            (CertificateName::Email, "invalid"),
        ] {
            let settings = ClientCertificates { principal, ..ClientCertificates::default() };
            assert_eq!(said(&settings, &tls(Some(planner()))), expected);
            assert_eq!(said(&settings, &tls(None)), "absent");
            let unverified = TlsFacts { client_verified: false, ..tls(Some(planner())) };
            assert_eq!(said(&settings, &unverified), "absent");
        }
        let plain = ClientCertificate { spiffe: None, ..planner() };
        assert_eq!(said(&ClientCertificates::default(), &tls(Some(plain))), "CN=planner,O=Example");
    }

    #[test]
    fn one_that_a_list_does_not_name_is_nobodys() {
        let pattern = |text: &str| match text.strip_suffix('*') {
            Some(start) => TextPattern::Prefix(start.into()),
            None => TextPattern::Exact(text.into()),
        };
        for (domain, subject, name, expected) in [
            ("example.org", "CN=planner,*", "planner.example.org", "planner"),
            ("example.org", "CN=planner,*", "spiffe://example.org/*", "planner"),
            ("example.com", "CN=planner,*", "planner.example.org", "absent"),
            ("example.org", "CN=plan", "planner.example.org", "absent"),
            ("example.org", "CN=planner,*", "spiffe://example.com/*", "absent"),
        ] {
            let settings = ClientCertificates {
                principal: CertificateName::CommonName,
                trust_domains: vec![domain.to_owned()],
                subjects: vec![pattern(subject)],
                subject_alt_names: vec![pattern(name)],
                roles: vec!["mesh".to_owned()],
            };
            assert_eq!(said(&settings, &tls(Some(planner()))), expected, "{domain} {subject} {name}");
            let strange = ClientCertificate { spiffe: None, subject: None, ..ClientCertificate::default() };
            assert_eq!(said(&settings, &tls(Some(strange))), "absent");
        }
    }
}
