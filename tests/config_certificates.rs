//! Certificates are judged when the configuration is read, by the time that is given.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

use std::fs;
use std::time::{Duration, SystemTime};

use attache::config::{Environment, Report, Severity, parse};

/// The day of these tests.
fn env() -> Environment {
    Environment::empty(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000))
}

fn codes(report: &Report) -> Vec<&str> {
    report
        .diagnostics()
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

/// A directory of certificates.
struct Certificates {
    root: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a directory"),
        }
    }

    fn make(&self, name: &str, hosts: &[&str], days: (i64, i64)) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(hosts).expect("legal names");
        let day = |days: i64| {
            let seconds = 1_790_000_000 + days * 86_400;
            let date = SystemTime::UNIX_EPOCH
                + Duration::from_secs(u64::try_from(seconds).expect("after 1970"));
            date.into()
        };
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(
            self.root.path().join(format!("{name}.crt")),
            certificate.pem(),
        )
        .expect("written");
        fs::write(
            self.root.path().join(format!("{name}.key")),
            key.serialize_pem(),
        )
        .expect("written");
    }

    fn judge(&self, certificate: &str, key: &str, hosts: &str) -> Report {
        let text = format!(
            "listeners:\n  https:\n    address: '127.0.0.1:8443'\n    tls: {{ certificates: [{{ certFile: {certificate}, keyFile: {key} }}] }}\n\
             routes: {{ a: {{ hosts: [{hosts}], endpoints: ['b:80'] }} }}\n"
        );
        match parse(&text, "gateway.yaml", &env().with_root(self.root.path())) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        }
    }
}

/// Chain, key, hosts of the route, and what is said.
const JUDGEMENTS: &[(&str, &str, &str, &[&str])] = &[
    (
        "good.crt",
        "good.key",
        "a.example.com, x.b.example.com",
        &[],
    ),
    ("good.crt", "other.key", "a.example.com", &["key-mismatch"]),
    (
        "good.key",
        "good.crt",
        "a.example.com",
        &["bad-certificate", "bad-certificate"],
    ),
    (
        "none.crt",
        "none.key",
        "a.example.com",
        &["missing-file", "missing-file"],
    ),
    (
        "text.crt",
        "good.key",
        "a.example.com",
        &["bad-certificate"],
    ),
    (
        "broken.crt",
        "good.key",
        "a.example.com",
        &["bad-certificate"],
    ),
    ("old.crt", "old.key", "a.example.com", &["expired"]),
    (
        "early.crt",
        "early.key",
        "a.example.com",
        &["not-yet-valid"],
    ),
    ("soon.crt", "soon.key", "a.example.com", &["expires-soon"]),
    (
        "good.crt",
        "good.key",
        "c.example.com, x.y.b.example.com",
        &["host-not-covered", "host-not-covered"],
    ),
    (".", "good.key", "a.example.com", &["missing-file"]),
];

#[test]
fn bad_certificates() {
    let files = Certificates::new();
    files.make("good", &["a.example.com", "*.b.example.com"], (-1, 90));
    files.make("other", &["a.example.com"], (-1, 90));
    files.make("old", &["a.example.com"], (-90, -1));
    files.make("early", &["a.example.com"], (5, 90));
    files.make("soon", &["a.example.com"], (-80, 5));
    fs::write(files.root.path().join("text.crt"), "not a certificate").expect("written");
    fs::write(
        files.root.path().join("broken.crt"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .expect("written");
    for (certificate, key, hosts, expected) in JUDGEMENTS {
        let report = files.judge(certificate, key, hosts);
        assert_eq!(codes(&report), *expected, "{certificate} {key}:\n{report}");
    }
    let soon = files.judge("soon.crt", "soon.key", "a.example.com");
    assert_eq!(soon.diagnostics()[0].severity, Severity::Warning);
    assert!(soon.human(false).contains("expires in 5 days"), "{soon}");
}

#[test]
fn a_redirect_knows_its_port_and_hosts() {
    let files = Certificates::new();
    files.make("good", &["a.example.com"], (-1, 90));
    let text = "listeners:\n  http: { address: '127.0.0.1:80', httpsRedirect: true }\n  https: { address: '127.0.0.1:8443', tls: { certificates: [{ certFile: good.crt, keyFile: good.key }] } }\n\
                routes: { a: { hosts: [b.a.example.com], endpoints: ['b:80'] } }\n";
    let loaded = parse(text, "gateway.yaml", &env().with_root(files.root.path()))
        .unwrap_or_else(|report| panic!("{report}"));
    let redirect = loaded.config.listeners[0]
        .https_redirect
        .clone()
        .expect("it redirects");
    let hosts: Vec<String> = redirect.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(
        (redirect.port, hosts),
        (
            8443,
            vec!["a.example.com".to_owned(), "b.a.example.com".to_owned()]
        )
    );
    assert_eq!(
        loaded.config.routes[0].listeners.len(),
        1,
        "the redirecting listener is not among them"
    );
}
