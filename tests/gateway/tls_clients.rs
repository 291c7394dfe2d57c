//! Client certificates that were revoked.

use crate::support::{Ca, Gw, Identity, Place, TextFile, Tls, at_host, get};

const TEMPLATE: &str = "
    listeners:
      https:
        address: '127.0.0.1:0'
        tls: { certificates: [{ {0} }], clientAuth: { mode: require, caFile: '{1}', crlFile: '{2}' } }
    routes: { all: { respond: { body: ok } } }
";

/// Whether a client is served on a connection of its own.
async fn is_served(gw: &Gw, ca: &Ca, client: &Identity) -> bool {
    is_served_as(gw, &Tls::with_identity(ca, &["http/1.1"], client)).await
}

async fn is_served_as(gw: &Gw, tls: &Tls) -> bool {
    match gw.tls(tls, "a.example").await {
        Ok(mut client) => client.send(at_host("a.example", get("/"))).await.is_ok_and(|reply| reply.status() == 200),
        Err(_) => false,
    }
}

#[tokio::test]
async fn rfc5280_6_3_revoked_certificates_are_refused_and_lists_are_read_again() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example"]);
    let (good, bad) = (clients.issue(&["good"]), clients.issue(&["bad"]));
    let lists = TextFile::new(&clients.revoke(&[&bad], 7));
    let gw = Gw::with(TEMPLATE, &[&certificate, &clients, &lists]).await;
    let good_tls = Tls::with_identity(&ca, &["http/1.1"], &good);
    assert!(is_served_as(&gw, &good_tls).await);
    assert!(!is_served(&gw, &ca, &bad).await);
    lists.write(&clients.revoke(&[&bad, &good], 7));
    gw.refresh_certificates().await;
    // This one has a ticket of a handshake from before; it counts no more.
    assert!(!is_served_as(&gw, &good_tls).await);
    lists.write("half a file");
    gw.refresh_certificates().await;
    assert!(!is_served(&gw, &ca, &good).await, "the old lists stay");
    assert_eq!(gw.metric("attache_certificate_reloads_total", &[("result", "failed")]).await, 1.0);
    lists.write(&clients.revoke(&[], 7));
    gw.refresh_certificates().await;
    assert!(is_served(&gw, &ca, &bad).await, "the new lists name nobody");
}

#[tokio::test]
async fn without_a_list_that_counts_nobody_is_let_in() {
    let (ca, clients) = (Ca::new(), Ca::named("of clients"));
    let (another, namesake) = (Ca::named("of others"), Ca::named("of clients"));
    let certificate = ca.issue(&["a.example"]);
    let client = clients.issue(&["me"]);
    for (lists, served, why) in [
        (clients.revoke(&[], 7), true, "a list that counts"),
        (clients.revoke(&[], -1), false, "out of date"),
        (another.revoke(&[], 7), false, "of another authority"),
        (namesake.revoke(&[], 7), false, "of the authority by its name, but with another key"),
    ] {
        let gw = Gw::with(TEMPLATE, &[&certificate, &clients, &TextFile::new(&lists)]).await;
        assert_eq!(is_served(&gw, &ca, &client).await, served, "{why}");
    }
}

#[tokio::test]
async fn no_session_is_resumed_from_before_a_change_of_the_authorities() {
    let template = TEMPLATE.replace(", crlFile: '{2}'", "");
    let (ca, clients, others) = (Ca::new(), Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example"]);
    let mut gw = Gw::with(&template, &[&certificate, &clients]).await;
    let tls = Tls::with_identity(&ca, &["http/1.1"], &clients.issue(&["me"]));
    assert!(is_served_as(&gw, &tls).await);
    let mut client = gw.tls(&tls, "a.example").await.unwrap();
    assert!(client.resumed, "while nothing changes");
    assert_eq!(client.reply(at_host("a.example", get("/"))).await.status, 200);
    gw.reload(&template, &[&certificate, &others]).await.unwrap();
    assert!(!is_served_as(&gw, &tls).await, "by another file");
    gw.reload(&template, &[&certificate, &clients]).await.unwrap();
    let mut client = gw.tls(&tls, "a.example").await.unwrap();
    assert!(!client.resumed, "nor when the old authorities are back");
    assert_eq!(client.reply(at_host("a.example", get("/"))).await.status, 200);
    std::fs::copy(others.place(), clients.place()).unwrap();
    gw.refresh_certificates().await;
    assert!(!is_served_as(&gw, &tls).await, "by the content of the file");
}

#[tokio::test]
async fn lists_that_cannot_be_read_change_nothing() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example"]);
    let bad = clients.issue(&["bad"]);
    let lists = TextFile::new(&clients.revoke(&[&bad], 7));
    let gw = Gw::with(TEMPLATE, &[&certificate, &clients, &lists]).await;
    std::fs::remove_file(lists.path()).unwrap();
    gw.refresh_certificates().await;
    assert!(!is_served(&gw, &ca, &bad).await, "it stays revoked");
    assert!(is_served(&gw, &ca, &clients.issue(&["good"])).await);
}
