//! Certificates are judged when the configuration is read, by the time that is given.

use std::fs;
use std::time::{Duration, SystemTime};

use attache::config::{Report, Severity, parse};

use crate::{TODAY, codes, env};

/// A directory of certificates.
struct Certificates {
    root: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a directory") }
    }

    fn make(&self, name: &str, hosts: &[&str], days: (i64, i64)) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(hosts).expect("legal names");
        let day = |days: i64| {
            let seconds = TODAY.saturating_add_signed(days * 86_400);
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            date.into()
        };
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(self.root.path().join(format!("{name}.crt")), certificate.pem()).expect("written");
        fs::write(self.root.path().join(format!("{name}.key")), key.serialize_pem()).expect("written");
    }

    fn check(&self, certificate: &str, key: &str, hosts: &str) -> Report {
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
    ("good.crt", "good.key", "a.example.com, x.b.example.com", &[]),
    ("good.crt", "other.key", "a.example.com", &["key-mismatch"]),
    ("good.key", "good.crt", "a.example.com", &["bad-certificate", "bad-certificate"]),
    ("none.crt", "none.key", "a.example.com", &["missing-file", "missing-file"]),
    ("text.crt", "good.key", "a.example.com", &["bad-certificate"]),
    ("broken.crt", "good.key", "a.example.com", &["bad-certificate"]),
    ("old.crt", "old.key", "a.example.com", &["expired"]),
    ("early.crt", "early.key", "a.example.com", &["not-yet-valid"]),
    ("soon.crt", "soon.key", "a.example.com", &["expires-soon"]),
    ("good.crt", "good.key", "c.example.com, x.y.b.example.com", &["host-not-covered", "host-not-covered"]),
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
    fs::write(files.root.path().join("broken.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("written");
    for (certificate, key, hosts, expected) in JUDGEMENTS {
        let report = files.check(certificate, key, hosts);
        assert_eq!(codes(&report), *expected, "{certificate} {key}:\n{report}");
    }
    let soon = files.check("soon.crt", "soon.key", "a.example.com");
    assert_eq!(soon.diagnostics()[0].severity, Severity::Warning);
    assert!(soon.human(false).contains("expires in 5 days"), "{soon}");
}

#[test]
fn a_redirect_knows_its_port_and_hosts() {
    let files = Certificates::new();
    files.make("good", &["a.example.com"], (-1, 90));
    let text = "listeners:\n  http: { address: '127.0.0.1:80', httpsRedirect: true }\n  https: { address: '127.0.0.1:8443', tls: { certificates: [{ certFile: good.crt, keyFile: good.key }] } }\n\
                routes: { a: { hosts: [b.a.example.com], endpoints: ['b:80'] } }\n";
    let loaded =
        parse(text, "gateway.yaml", &env().with_root(files.root.path())).unwrap_or_else(|report| panic!("{report}"));
    let redirect = loaded.config.listeners[0].https_redirect.clone().expect("it redirects");
    let hosts: Vec<String> = redirect.hosts.iter().map(ToString::to_string).collect();
    assert_eq!((redirect.port, hosts), (8443, vec!["a.example.com".to_owned(), "b.a.example.com".to_owned()]));
    assert_eq!(loaded.config.routes[0].listeners.len(), 1, "the redirecting listener is not among them");
}

/// Base64 in lines, as PEM has it.
fn encode(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits = group.iter().chain([&0; 3]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = char::from(ALPHABET[bits >> (18 - 6 * place) & 63]);
            text.push(if place > group.len() { '=' } else { letter });
        }
        if text.len() % 65 == 64 {
            text.push('\n');
        }
    }
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", text.trim_end())
}

/// The key in its own form, which PKCS #8 wraps.
fn unwrapped(key: &rcgen::KeyPair) -> Vec<u8> {
    let der = key.serialize_der();
    let (_, whole) = x509_parser::der_parser::parse_der(&der).expect("DER");
    let parts = whole.as_sequence().expect("a sequence");
    parts[2].as_slice().expect("an octet string").to_vec()
}

#[test]
fn every_form_of_a_key_and_every_editor_is_understood() {
    let files = Certificates::new();
    let at = |name: &str| files.root.path().join(name);
    for (label, algorithm) in [
        ("EC PRIVATE KEY", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("EC PRIVATE KEY", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("RSA PRIVATE KEY", &rcgen::PKCS_RSA_SHA256),
    ] {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let mut params = rcgen::CertificateParams::new(["a.example.com".to_owned()]).expect("legal names");
        params.not_before = SystemTime::UNIX_EPOCH.into();
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let forms = [key.serialize_pem(), encode(label, &unwrapped(&key))];
        for key in forms {
            for (what, change) in [
                ("as it is", (|text| text) as fn(String) -> String),
                ("BOM", |text| format!("\u{feff}{text}")),
                ("CRLF", |text| text.replace("\r\n", "\n").replace('\n', "\r\n")),
                ("indented", |text| text.replace('\n', "\n    ")),
                ("text around", |text| format!("Bag Attributes\n  name: a\n{text}\nbye")),
            ] {
                fs::write(at("a.crt"), change(certificate.clone())).expect("written");
                fs::write(at("a.key"), change(key.clone())).expect("written");
                let report = files.check("a.crt", "a.key", "a.example.com");
                assert_eq!(codes(&report), [""; 0], "{label} {what}:\n{report}");
            }
        }
    }
}

/// Files of which each has something wrong with it.
fn odd_files() -> Certificates {
    let files = Certificates::new();
    files.make("good", &["a.example.com"], (-1, 90));
    let at = |name: &str| files.root.path().join(name);
    let read = |name: &str| fs::read_to_string(at(name)).expect("it is there");
    let encrypted = read("good.key").replace("PRIVATE", "ENCRYPTED PRIVATE");
    fs::write(at("encrypted.key"), encrypted).expect("written");
    fs::write(
        at("older.key"),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    )
    .expect("written");
    let wide: Vec<u8> =
        "\u{feff}".encode_utf16().chain(read("good.crt").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(at("wide.crt"), wide).expect("written");
    // The version is the first thing in a certificate: `[0] { INTEGER 2 }`, 0 for version 1.
    let certificate = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).expect("made");
    let mut der = certificate.cert.der().to_vec();
    let mark = [0xa0, 3, 2, 1, 2];
    let place = der.windows(5).position(|five| five == mark).expect("a version");
    der[place + 4] = 0;
    fs::write(at("first.crt"), encode("CERTIFICATE", &der)).expect("written");
    fs::write(at("first.key"), certificate.signing_key.serialize_pem()).expect("written");
    fs::write(at("binary.crt"), &der).expect("written");
    files
}

#[test]
fn what_is_wrong_with_a_file_is_said_in_plain_words_at_its_key() {
    let files = odd_files();
    for (certificate, key, place, words) in [
        ("good.crt", "encrypted.key", "keyFile", &["encrypted private key", "openssl pkey"][..]),
        ("good.crt", "older.key", "keyFile", &["encrypted private key", "openssl pkey"]),
        ("first.crt", "first.key", "certFile", &["X.509 certificate of version 1", "needs version 3"]),
        ("wide.crt", "good.key", "certFile", &["UTF-16", "UTF-8"]),
        ("binary.crt", "first.key", "certFile", &["binary", "-inform der"]),
        ("good.crt", "good.crt", "keyFile", &["holds no private key"]),
    ] {
        let report = files.check(certificate, key, "a.example.com");
        assert_eq!(codes(&report), ["bad-certificate"], "{certificate} {key}:\n{report}");
        let text = report.human(false);
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        let caret = text.lines().find(|line| line.contains("^^^")).expect("a caret");
        let column = caret.find('^').expect("a caret");
        let line = text.lines().find(|line| line.contains("certificates: [{")).expect("the line");
        let before = line.get(..column).expect("the place");
        let (cert, key) = (before.rfind("certFile:"), before.rfind("keyFile:"));
        let found = if key > cert { "keyFile" } else { "certFile" };
        assert_eq!(found, place, "{text}");
    }
}

#[test]
fn revocation_lists_that_are_no_use_are_refused_at_their_key() {
    let files = Certificates::new();
    files.make("good", &["a.example.com"], (-1, 90));
    fs::write(files.root.path().join("empty.crl"), "").expect("written");
    let good = fs::read(files.root.path().join("good.crt")).expect("it is there");
    fs::write(files.root.path().join("certificate.crl"), good).expect("written");
    fs::write(files.root.path().join("broken.crl"), encode("X509 CRL", b"nonsense")).expect("written");
    for (auth, code, words) in [
        ("mode: require, caFile: good.crt, crlFile: empty.crl", "bad-certificate", "holds no revocation list"),
        ("mode: require, caFile: good.crt, crlFile: certificate.crl", "bad-certificate", "holds no revocation list"),
        (
            "mode: require, caFile: good.crt, crlFile: broken.crl",
            "bad-certificate",
            "holds a revocation list that is broken",
        ),
        ("mode: require, caFile: good.crt, crlFile: none.crl", "missing-file", "there is no such file"),
        ("crlFile: empty.crl", "missing-field", "revocation lists without authorities have no use"),
    ] {
        let text = format!(
            "listeners: {{ web: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ certFile: good.crt, keyFile: \
             good.key }}], clientAuth: {{ {auth} }} }} }} }}\nroutes: {{ a: {{ respond: {{}} }} }}\n"
        );
        let report = parse(&text, "gateway.yaml", &env().with_root(files.root.path())).expect_err("refused");
        assert_eq!(codes(&report), [code], "{auth}:\n{report}");
        let shown = report.human(false);
        assert!(shown.contains(words) && shown.contains("crlFile"), "{auth}: {shown}");
    }
}

/// The report of a gateway that orders certificates: what is shown, and each problem with its key.
fn ordering(acme: &str, http: &str, hosts: &str) -> (String, Vec<String>) {
    let root = tempfile::tempdir().expect("a directory");
    fs::write(root.path().join("good.key"), "bWFjLWtleQ==\n").expect("written");
    fs::write(root.path().join("bad.key"), "no key at all\n").expect("written");
    let text = format!(
        "listeners:\n  {http}\n  https: {{ address: '127.0.0.1:443', tls: {{ acme: {{ {acme} }} }} }}\n\
         routes: {{ a: {{ listeners: [https], hosts: [{hosts}], respond: {{}} }} }}\n"
    );
    match parse(&text, "gateway.yaml", &env().with_root(root.path())) {
        Ok(loaded) => (loaded.warnings.human(false), vec![]),
        Err(report) => {
            let problem = |one: &attache::config::Diagnostic| format!("{} {}", one.code, one.path);
            (report.human(false), report.diagnostics().iter().map(problem).collect())
        }
    }
}

const HTTP: &str = "http: { address: '127.0.0.1:80', httpsRedirect: true }";

#[test]
fn certificates_can_be_ordered_for_whole_names() {
    for (acme, http, hosts) in [
        ("storage: acme", HTTP, "a.example.com"),
        ("storage: acme, domains: b.example.com", HTTP, "'*.x.example'"),
        ("storage: acme, challenge: tls-alpn-01", "", "a.example.com"),
        ("storage: acme, directory: letsencrypt-staging, email: me@a.example", HTTP, "a.example, '*.b.example'"),
        ("storage: acme, directory: 'https://ca:14000/dir', eab: { keyId: k, keyFile: good.key }", HTTP, "a.example"),
    ] {
        let (shown, problems) = ordering(acme, http, hosts);
        assert!(problems.is_empty(), "{acme}: {shown}");
    }
}

#[test]
fn what_cannot_be_ordered_is_refused_at_its_key() {
    const AT: &str = "listeners.https.tls.acme";
    for (acme, http, hosts, expected, words) in [
        ("email: me@a.example", HTTP, "a.example", "missing-field", "there is no place for the certificates"),
        ("storage: s", "", "a.example", "conflict", "no listener without TLS can answer"),
        ("storage: s", HTTP, "'*.example.com'", "missing-field", "there is no name to order a certificate for"),
    ] {
        let (shown, problems) = ordering(acme, http, hosts);
        assert_eq!(problems, [format!("{expected} {AT}")], "{acme}: {shown}");
        assert!(shown.contains(words), "{acme}: {shown}");
    }
    for (acme, code, key, words) in [
        ("domains: ['*.a.example']", "invalid-value", "domains[0]", "no certificate can be ordered"),
        ("domains: [a.example, 10.0.0.1]", "invalid-value", "domains[1]", "10.0.0.1"),
        ("domains: localhost", "invalid-value", "domains", "a whole name with a dot"),
        ("directory: 'http://ca/dir'", "invalid-value", "directory", "is not HTTPS"),
        ("directory: lets-encrypt", "invalid-value", "directory", "is no directory"),
        ("challenge: dns-01", "invalid-value", "challenge", "tls-alpn-01"),
        ("caFile: none.pem", "missing-file", "caFile", "there is no such file"),
        ("eab: { keyId: k }", "missing-field", "eab", "give `keyId` and `keyFile`"),
        ("eab: { keyId: k, keyFile: bad.key }", "bad-key", "eab.keyFile", "base64url"),
        ("eab: { keyId: k, keyFile: none }", "missing-file", "eab.keyFile", "cannot read"),
    ] {
        let (shown, problems) = ordering(&format!("storage: s, {acme}"), HTTP, "a.example");
        assert_eq!(problems, [format!("{code} {AT}.{key}")], "{acme}: {shown}");
        assert!(shown.contains(words), "{acme}: {shown}");
    }
}
