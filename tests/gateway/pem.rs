//! Certificates, keys and authorities as editors of other systems leave them.

use std::path::Path;

use crate::support::{Backend, Ca, Gw, Place, Speak, Tls, get};

/// A byte order mark and other line ends.
fn disturb(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    std::fs::write(path, format!("\u{feff}{text}")).unwrap();
}

#[tokio::test]
async fn files_with_a_byte_order_mark_are_served_and_believed() {
    let ca = Ca::new();
    let tls = Tls::new(&ca, &["http/1.1"]);
    let outer = ca.issue(&["gateway.example"]);
    let inner = ca.issue(&["127.0.0.1"]);
    let speak = Speak { tls: Some(inner.server(&["http/1.1"], Some(&ca))), ..Speak::default() };
    let backend = Backend::replying_as(speak, 200).await;
    let client = ca.issue(&["client"]);
    for identity in [&outer, &client] {
        disturb(identity.cert_path());
        disturb(identity.key_path());
    }
    disturb(Path::new(&ca.place()));
    let template = "
        listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {0} }] } } }
        routes: { all: { cluster: one } }
        clusters: { one: { endpoints: ['{1}'], tls: { caFile: '{2}', {3} } } }
    ";
    let gw = Gw::with(template, &[&outer, &backend, &ca, &client]).await;
    let mut client = gw.tls(&tls, "gateway.example").await.expect("a handshake");
    assert_eq!(client.reply(get("/")).await.status, 200);
}
