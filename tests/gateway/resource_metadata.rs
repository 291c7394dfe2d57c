//! RFC 9728: where clients of a route get tokens.

use serde_json::{Value, json};

use crate::support::{Backend, Gw, Reply, TextFile, at_host, get, post, request, with_field};

const TEMPLATE: &str = "
    authProviders: { tokens: { apiKey: { bearer: true, keysFile: '{1}' } }, keys: { apiKey: { keysFile: '{1}' } } }
    routes:
      research:
        match: { path: { prefix: /research } }
        endpoints: ['{0}']
        auth: { anyOf: [tokens, keys], resourceMetadata: { authorizationServers: ['https://login.example/'],
          scopes: [agents.read, agents.write], name: Research, documentation: 'https://a.example/docs' } }
      root: { hosts: [b.example], endpoints: ['{0}'], auth: { anyOf: [keys], resourceMetadata: {} } }
      fixed: { match: { path: { regex: '/f.*' } }, endpoints: ['{0}'],
        auth: { anyOf: [tokens], resourceMetadata: { resource: 'https://fixed.example/agents/' } } }
      plain: { match: { path: { prefix: /plain } }, endpoints: ['{0}'], auth: tokens }
";

async fn gateway(more: &str) -> Gw {
    let backend = Backend::replying(200).await;
    let keys = TextFile::new("bob:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"); // "secret"
    Gw::with(&format!("{TEMPLATE}{more}"), &[&backend, &keys]).await
}

fn challenges(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

const NAME: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn rfc9728_3_metadata_is_behind_the_well_known_name_for_everybody() {
    let gw = gateway("").await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let reply = client.reply(at_host("a.example", get(&format!("{NAME}/research")))).await;
        let said: Value = serde_json::from_str(reply.text()).unwrap();
        assert_eq!(
            said,
            json!({
                "resource": "http://a.example/research", "authorization_servers": ["https://login.example/"],
                "scopes_supported": ["agents.read", "agents.write"], "bearer_methods_supported": ["header"],
                "resource_name": "Research", "resource_documentation": "https://a.example/docs",
            })
        );
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!((reply.header("cache-control"), reply.header("vary")), ("private, max-age=300", "Host"));
    }
    for (host, path, expected) in [
        ("a.example", "/research/", 200),
        ("b.example", "/research", 200),
        ("b.example", "", 200),
        ("b.example", "/", 200),
        ("c.example", "/agents", 200),
        // Nobody's: the request finds the route that serves the path, if one does.
        ("a.example", "", 404),
        ("a.example", "/plain", 404),
        ("a.example", "/researches", 404),
        ("a.example", "x/research", 404),
        ("b.example", "x", 401),
    ] {
        let reply = gw.send(at_host(host, get(&format!("{NAME}{path}")))).await;
        assert_eq!(reply.status, expected, "{host} {path}");
    }
    let asked = |method| at_host("a.example", request(method, &format!("{NAME}/research"), crate::support::empty()));
    let head = gw.send(asked("HEAD")).await;
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(gw.send(asked("DELETE")).await.status, 404);
    let fixed = gw.send(at_host("c.example", get(&format!("{NAME}/agents")))).await;
    assert!(fixed.text().contains(r#""resource":"https://fixed.example/agents""#), "{}", fixed.text());
    assert_eq!((fixed.header("cache-control"), fixed.header("vary")), ("max-age=300", ""));
}

#[tokio::test]
async fn rfc9728_5_1_refused_clients_are_told_where_it_is() {
    let gw = gateway("").await;
    let of = |path: &str| format!(r#"resource_metadata="{path}""#);
    let key = r#"ApiKey realm="agents", in="header", name="x-api-key""#;
    let research = of("http://a.example/.well-known/oauth-protected-resource/research");
    let reply = gw.send(at_host("a.example", post("/research/x", "{}"))).await;
    assert_eq!(challenges(&reply), [&format!(r#"Bearer realm="agents", {research}"#), key]);
    let wrong = with_field("authorization", "Bearer none", get("/research"));
    let reply = gw.send(at_host("a.example", wrong)).await;
    assert_eq!(challenges(&reply)[0], format!(r#"Bearer realm="agents", error="invalid_token", {research}"#));
    let reply = gw.send(at_host("b.example", get("/"))).await;
    assert_eq!(
        challenges(&reply),
        [key, &format!("Bearer {}", of("http://b.example/.well-known/oauth-protected-resource"))]
    );
    let reply = gw.send(at_host("a.example", get("/f"))).await;
    let fixed = of("https://fixed.example/.well-known/oauth-protected-resource/agents");
    assert_eq!(challenges(&reply), [format!(r#"Bearer realm="agents", {fixed}"#)]);
    let reply = gw.send(at_host("a.example", get("/plain"))).await;
    assert_eq!(challenges(&reply), [r#"Bearer realm="agents""#]);
}

#[tokio::test]
async fn the_public_address_is_in_both() {
    let listener = "listeners: { http: { address: '127.0.0.1:0', publicUrl: 'https://agents.example/gw' } }";
    let gw = gateway(&format!("    {listener}\n")).await;
    let url = "https://agents.example/.well-known/oauth-protected-resource/gw/research";
    let reply = gw.get("/research").await;
    assert!(challenges(&reply)[0].contains(url), "{:?}", challenges(&reply));
    // With and without what a proxy in front takes away.
    for path in ["/gw/research", "/research"] {
        let reply = gw.get(&format!("{NAME}{path}")).await;
        assert!(
            reply.text().contains(r#""resource":"https://agents.example/gw/research""#),
            "{path}: {}",
            reply.text()
        );
    }
}
