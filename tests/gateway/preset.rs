//! `responseHeaders: { preset: secure }`, and what of it belongs on TLS only.

use crate::support::{Backend, Ca, Client, Gw, Tls, get};

#[tokio::test]
async fn rfc6797_7_2_hsts_goes_out_over_tls_only() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let identity = ca.issue(&["localhost"]);
    let gw = Gw::with(
        "
        listeners:
          clear: { address: '127.0.0.1:0' }
          tls: { address: '127.0.0.1:0', tls: { certificates: [{ {1} }] } }
        defaults: { route: { responseHeaders: { preset: secure } } }
        routes:
          all: { endpoints: ['{0}'] }
          own: { match: { path: { exact: /own } }, respond: { body: ok } }
          moved: { match: { path: { exact: /moved } }, redirect: { path: / } }
        ",
        &[&backend, &identity],
    )
    .await;
    let mut tls = Tls::new(&ca, &["h2"]).connect(gw.at("tls"), "localhost").await.unwrap();
    let mut clear = Client::h1(gw.at("clear")).await;
    for path in ["/", "/own", "/moved"] {
        let reply = tls.reply(get(path)).await;
        let hsts = reply.headers.get("strict-transport-security");
        let expected = "max-age=31536000; includeSubDomains";
        assert_eq!(hsts.map(|value| value.to_str().unwrap()), Some(expected), "{path}");
        let reply = clear.reply(get(path)).await;
        assert!(!reply.headers.contains_key("strict-transport-security"), "{path}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{path}");
    }
}
