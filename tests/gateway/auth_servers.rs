//! Servers that the gateway asks about clients: whom it believes, and how callers of A2A are told what they say.

use serde_json::{Value, json};

use crate::support::{Backend, Ca, Gw, Issuer, Place, Speak, TextFile, get, post, with_field};

const UNAVAILABLE: (u16, &str) = (503, "auth_unavailable");

async fn over_tls(ca: &Ca) -> Backend {
    let speak = Speak { tls: Some(ca.issue(&["127.0.0.1"]).server(&["http/1.1"], None)), ..Speak::default() };
    Backend::replying_as(speak, 200).await
}

#[tokio::test]
async fn keys_are_taken_from_a_server_that_a_known_authority_vouches_for() {
    let (ca, other, issuer) = (Ca::new(), Ca::new(), Issuer::new("one"));
    let backend = Backend::replying(200).await;
    let server = over_tls(&ca).await.body(Issuer::set(&[&issuer]));
    let template = "authProviders: { corp: { jwt: { issuer: 'https://login.example/', audiences: [agents], \
        jwks: { url: 'https://{1}/', caFile: '{2}' } } } }\nroutes: { all: { endpoints: ['{0}'], auth: corp } }";
    let token = format!("Bearer {}", issuer.token(&json!({})));
    for (authority, expected, result) in [(&ca, (200, ""), "ok"), (&other, UNAVAILABLE, "tls_failed")] {
        let gw = Gw::with(template, &[&backend, &server, authority]).await;
        assert_eq!(gw.send(with_field("authorization", &token, get("/"))).await.outcome(), expected);
        let labels = [("provider", "corp"), ("result", result)];
        assert!(gw.metric("attache_jwks_fetches_total", &labels).await >= 1.0, "{result}");
    }
    assert_eq!((server.hits(), backend.hits()), (1, 1));
}

#[tokio::test]
async fn a_server_that_decides_is_believed_where_a_known_authority_vouches_for_it() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (backend, server) = (Backend::replying(200).await, over_tls(&ca).await);
    let template = "authProviders: { gate: { external: { url: 'https://{1}/', caFile: '{2}' } } }\n\
        routes: { all: { endpoints: ['{0}'], auth: gate } }";
    for (authority, expected) in [(&ca, (200, "")), (&other, UNAVAILABLE)] {
        let gw = Gw::with(template, &[&backend, &server, authority]).await;
        let mut client = gw.h1().await;
        for _ in 0..2 {
            assert_eq!(client.reply(get("/")).await.outcome(), expected);
        }
    }
    assert_eq!((server.hits(), backend.hits()), (2, 2));
}

#[tokio::test]
async fn an_authority_that_is_exchanged_counts_after_a_reload() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (backend, server) = (Backend::replying(200).await, over_tls(&ca).await);
    let authorities = TextFile::new(&std::fs::read_to_string(other.place()).unwrap());
    let template = "authProviders: { gate: { external: { url: 'https://{1}/', caFile: '{2}' } } }\n\
        routes: { all: { endpoints: ['{0}'], auth: gate } }";
    let places: [&dyn Place; 3] = [&backend, &server, &authorities];
    let mut gw = Gw::with(template, &places).await;
    assert_eq!(gw.get("/").await.outcome(), UNAVAILABLE);
    for (authority, expected) in [(&ca, (200, "")), (&other, UNAVAILABLE), (&ca, (200, ""))] {
        authorities.write(&std::fs::read_to_string(authority.place()).unwrap());
        gw.reload(template, &places).await.unwrap();
        assert_eq!(gw.get("/").await.outcome(), expected);
    }
}

#[tokio::test]
async fn callers_of_a2a_are_told_in_their_protocol() {
    let backend = Backend::replying(200).await;
    let template = "authProviders: { gate: { external: { url: 'http://{1}/' } } }\n\
        routes: { all: { endpoints: ['{0}'], auth: gate } }";
    for (status, grpc) in [(401, "16"), (403, "7")] {
        let server = Backend::replying(status).await.header("www-authenticate", "Bearer realm=\"gate\"").body("inside");
        let gw = Gw::with(template, &[&backend, &server]).await;
        let call = r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"id":"a"}}"#;
        let reply = gw.send(with_field("content-type", "application/json", post("/", call))).await;
        assert_eq!(reply.outcome(), (status, "auth_denied"));
        let body: Value = serde_json::from_str(reply.text()).unwrap();
        assert_eq!(body["error"]["code"], -32603, "{body}");
        assert!(!reply.text().contains("inside"), "{body}");
        let call = with_field("content-type", "application/grpc", post("/lf.a2a.v1.A2AService/GetTask", ""));
        let reply = gw.h2().await.reply(call).await;
        assert_eq!((reply.status, reply.header("grpc-status"), reply.reason()), (200, grpc, "auth_denied"));
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"gate\"");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn a_401_always_says_what_to_bring() {
    let (backend, server) = (Backend::replying(200).await, Backend::replying(401).await);
    let template = "authProviders: { gate: { external: { url: 'http://{1}/' } } }\n\
        routes: { all: { endpoints: ['{0}'], auth: gate } }";
    let gw = Gw::with(template, &[&backend, &server]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.outcome(), reply.header("www-authenticate")), ((401, "auth_denied"), "Credentials"));
}
