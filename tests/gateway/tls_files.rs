//! Keys and chains in the forms that other programs write.

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::support::{Ca, Gw, Identity, Tls, at_host, get};

const TEMPLATE: &str = "
    listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {0} }] } } }
    routes: { all: { respond: { body: ok } } }
";

async fn is_served(ca: &Ca, identity: &Identity) {
    let gw = Gw::with(TEMPLATE, &[identity]).await;
    let mut client = gw.tls(&Tls::new(ca, &["h2"]), "a.example").await.expect("a handshake");
    assert_eq!(client.reply(at_host("a.example", get("/"))).await.text(), "ok");
}

/// The octet string inside of PKCS #8 (RFC 5208 section 5), which is what older forms hold alone. It begins with a
/// sequence whose header has `header` bytes, and then with `first`.
fn inner(pkcs8: &[u8], header: usize, first: &[u8]) -> Vec<u8> {
    let at = pkcs8.windows(first.len()).rposition(|window| window == first).unwrap();
    pkcs8[at - header..].to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]);
            text.push(if at <= three.len() { letter } else { '=' });
        }
    }
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[tokio::test]
async fn keys_are_read_in_every_form() {
    let ca = Ca::new();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    // An RSA key begins with version 0 and a modulus of 257 bytes, an EC key with version 1 and 48 bytes.
    for (key, label, header, first) in [
        (&rsa, "RSA PRIVATE KEY", 4, &b"\x02\x01\x00\x02\x82\x01\x01"[..]),
        (&ec, "EC PRIVATE KEY", 3, b"\x02\x01\x01\x04\x30"),
    ] {
        let identity = ca.issue_with(&["a.example"], key);
        is_served(&ca, &identity).await;
        let old = pem(label, &inner(&key.serialize_der(), header, first));
        std::fs::write(identity.key_path(), &old).unwrap();
        let read = PrivateKeyDer::from_pem_slice(old.as_bytes()).unwrap();
        assert!(matches!(read, PrivateKeyDer::Pkcs1(_) | PrivateKeyDer::Sec1(_)), "{label}");
        is_served(&ca, &identity).await;
    }
}

#[tokio::test]
async fn a_chain_may_be_in_any_order() {
    let ca = Ca::new();
    let identity = ca.issue(&["a.example"]);
    let leaf = std::fs::read_to_string(identity.cert_path()).unwrap();
    let authority = std::fs::read_to_string(crate::support::Place::place(&ca)).unwrap();
    for chain in [format!("{authority}{leaf}"), format!("{leaf}{authority}")] {
        std::fs::write(identity.cert_path(), chain).unwrap();
        is_served(&ca, &identity).await;
    }
}

#[tokio::test]
async fn a_key_with_a_password_replaces_none_that_works() {
    let ca = Ca::new();
    let identity = ca.issue(&["a.example"]);
    let gw = Gw::with(TEMPLATE, &[&identity]).await;
    let key = std::fs::read_to_string(identity.key_path()).unwrap();
    std::fs::write(identity.key_path(), key.replace("PRIVATE", "ENCRYPTED PRIVATE")).unwrap();
    gw.refresh_certificates().await;
    assert_eq!(gw.metric("attache_certificate_reloads_total", &[("result", "failed")]).await, 1.0);
    gw.tls(&Tls::new(&ca, &["h2"]), "a.example").await.expect("the old one is served");
}
