//! What a listener agrees to with nothing configured but a certificate: Mozilla's "intermediate", with a key exchange
//! that a quantum computer does not break, and without early data.

use rustls::{CipherSuite, ProtocolVersion};

use crate::support::{Ca, Gw, Raw, Tls, at_host, get};

const TEMPLATE: &str = "
    listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {0} }] } } }
    routes: { all: { respond: { body: ok } } }
";

async fn gateway(ca: &Ca) -> Gw {
    Gw::with(TEMPLATE, &[&ca.issue(&["a.example"])]).await
}

#[tokio::test]
async fn the_key_exchange_is_post_quantum_where_the_client_can() {
    let ca = Ca::new();
    let gw = gateway(&ca).await;
    let socket = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
    let stream = Tls::new(&ca, &["h2"]).stream(socket, "a.example").await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(format!("{:?}", group.name()), "X25519MLKEM768");
}

#[tokio::test]
async fn rfc9325_4_2_every_suite_has_forward_secrecy_and_is_authenticated() {
    let ca = Ca::new();
    let gw = gateway(&ca).await;
    let every = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
    let mut agreed = Vec::new();
    for suite in every {
        let provider = rustls::crypto::CryptoProvider {
            cipher_suites: vec![*suite],
            ..rustls::crypto::aws_lc_rs::default_provider()
        };
        let builder = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(ca.roots()).with_no_client_auth();
        let tls = Tls::new(&ca, &[]).changed(|own| *own = config);
        let socket = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
        if let Ok(stream) = tls.stream(socket, "a.example").await {
            let session = stream.get_ref().1;
            let version = session.protocol_version().unwrap();
            agreed.push((version, session.negotiated_cipher_suite().unwrap().suite()));
        }
    }
    assert!(agreed.contains(&(ProtocolVersion::TLSv1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)));
    assert!(agreed.contains(&(ProtocolVersion::TLSv1_3, CipherSuite::TLS13_AES_128_GCM_SHA256)));
    for (version, suite) in agreed {
        let name = format!("{suite:?}");
        let is_new = version == ProtocolVersion::TLSv1_3 && name.starts_with("TLS13_");
        let is_old = version == ProtocolVersion::TLSv1_2
            && name.starts_with("TLS_ECDHE_ECDSA_")
            && (name.contains("_GCM_") || name.contains("CHACHA20_POLY1305"));
        assert!(is_new || is_old, "{version:?} {name}");
    }
}

#[tokio::test]
async fn rfc8470_no_early_data_is_offered() {
    let ca = Ca::new();
    let gw = gateway(&ca).await;
    let tls = Tls::new(&ca, &["http/1.1"]).changed(|config| config.enable_early_data = true);
    let mut first = gw.tls(&tls, "a.example").await.unwrap();
    first.reply(at_host("a.example", get("/"))).await;
    let mut second = gw.tls(&tls, "a.example").await.unwrap();
    assert!(second.resumed, "it has a ticket");
    assert_eq!(second.reply(at_host("a.example", get("/"))).await.status, 200);
    let socket = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
    let mut stream = tls.stream(socket, "a.example").await.unwrap();
    let (_, session) = stream.get_mut();
    assert!(!session.is_early_data_accepted());
    assert!(session.early_data().is_none(), "the ticket allows none");
}

#[tokio::test]
async fn the_order_of_suites_is_ours_but_clients_that_are_slow_at_aes_choose() {
    use rustls::crypto::aws_lc_rs::cipher_suite as suites;
    let ca = Ca::new();
    let gw = gateway(&ca).await;
    let (aes_128, aes_256) = (suites::TLS13_AES_128_GCM_SHA256, suites::TLS13_AES_256_GCM_SHA384);
    let (old_128, old_256) =
        (suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
    let (chacha, old_chacha) =
        (suites::TLS13_CHACHA20_POLY1305_SHA256, suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    for (offered, expected) in [
        (vec![aes_256, aes_128, chacha], aes_128),
        (vec![aes_256, chacha], aes_256),
        (vec![chacha, aes_128, aes_256], chacha),
        (vec![old_256, old_chacha, old_128], old_128),
        (vec![old_chacha, old_256, old_128], old_chacha),
    ] {
        let provider = rustls::crypto::CryptoProvider {
            cipher_suites: offered.clone(),
            ..rustls::crypto::aws_lc_rs::default_provider()
        };
        let builder = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(ca.roots()).with_no_client_auth();
        let tls = Tls::new(&ca, &[]).changed(|own| *own = config);
        let socket = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
        let stream = tls.stream(socket, "a.example").await.unwrap();
        let agreed = stream.get_ref().1.negotiated_cipher_suite().unwrap();
        assert_eq!(agreed.suite(), expected.suite(), "{offered:?}");
    }
}

#[tokio::test]
async fn the_groups_are_the_usual_ones() {
    let ca = Ca::new();
    let gw = gateway(&ca).await;
    let mut agreed = Vec::new();
    for group in rustls::crypto::aws_lc_rs::ALL_KX_GROUPS {
        let provider =
            rustls::crypto::CryptoProvider { kx_groups: vec![*group], ..rustls::crypto::aws_lc_rs::default_provider() };
        let builder = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(ca.roots()).with_no_client_auth();
        let tls = Tls::new(&ca, &[]).changed(|own| *own = config);
        let socket = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
        if tls.stream(socket, "a.example").await.is_ok() {
            agreed.push(format!("{:?}", group.name()));
        }
    }
    agreed.sort();
    assert_eq!(agreed, ["X25519", "X25519MLKEM768", "secp256r1", "secp384r1"]);
}

/// The first message of a client of TLS 1.2 or older.
fn hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let sized = |body: Vec<u8>| [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
    let extension = |number: u16, body: Vec<u8>| [&number.to_be_bytes()[..], &sized(body)].concat();
    let name = [&[0][..], &sized(b"a.example".to_vec())].concat();
    let extensions = [
        extension(0, sized(name)),
        // P-256 and X25519; uncompressed points; ECDSA and RSA with SHA-256.
        extension(10, sized(vec![0, 23, 0, 29])),
        extension(11, vec![1, 0]),
        extension(13, sized(vec![4, 3, 4, 1])),
    ];
    let suites = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let body = [&version[..], &[7; 32], &[0], &sized(suites), &[1, 0], &sized(extensions.concat())].concat();
    let message = [&[1, 0][..], &sized(body)].concat();
    [&[22, 3, 1][..], &sized(message)].concat()
}

#[tokio::test]
async fn rfc8996_old_versions_and_suites_end_with_an_alert() {
    const ECDHE_ECDSA_GCM: u16 = 0xc02b;
    const ECDHE_ECDSA_CBC: u16 = 0xc023;
    const RSA_GCM: u16 = 0x009c;
    const RSA_3DES: u16 = 0x000a;
    const NULL: u16 = 0x0002;
    const PROTOCOL_VERSION: u8 = 70;
    const HANDSHAKE_FAILURE: u8 = 40;
    let ca = Ca::new();
    let gw = gateway(&ca).await;
    for (version, suite, expected) in [
        ([3, 0], ECDHE_ECDSA_GCM, PROTOCOL_VERSION),
        ([3, 1], ECDHE_ECDSA_GCM, PROTOCOL_VERSION),
        ([3, 2], ECDHE_ECDSA_GCM, PROTOCOL_VERSION),
        ([3, 3], ECDHE_ECDSA_CBC, HANDSHAKE_FAILURE),
        ([3, 3], RSA_GCM, HANDSHAKE_FAILURE),
        ([3, 3], RSA_3DES, HANDSHAKE_FAILURE),
        ([3, 3], NULL, HANDSHAKE_FAILURE),
    ] {
        let mut client = Raw::connect(gw.address()).await;
        client.write(&hello(version, &[suite])).await;
        let answer = client.read_to_end().await;
        let [21, _, _, 0, 2, 2, alert] = answer[..] else { panic!("{version:?} {suite:04x}: {answer:?}") };
        assert_eq!(alert, expected, "{version:?} {suite:04x}");
    }
    let mut client = Raw::connect(gw.address()).await;
    client.write(&hello([3, 3], &[ECDHE_ECDSA_GCM])).await;
    assert_eq!(client.read_exact(1).await, [22], "a client like these is served where it offers what is good");
}
