//! What agent cards say of how clients prove who they are.

use serde_json::{Value, json};

use crate::support::{Backend, Gw, TextFile, get};

#[tokio::test]
async fn cards_say_what_the_providers_of_their_route_want() {
    let current = json!({
        "name": "a", "supportedInterfaces": [], "securitySchemes": { "own": { "mtlsSecurityScheme": {} } },
        "securityRequirements": [{ "schemes": { "own": {} } }],
    });
    let old = json!({ "name": "a", "url": "http://elsewhere.example/", "security": [{ "own": [] }] });
    let keys = TextFile::new("bob:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n");
    for (card, expected) in [
        (
            &current,
            json!({
                "name": "a", "supportedInterfaces": [],
                "securitySchemes": {
                    "keys": { "apiKeySecurityScheme": { "location": "header", "name": "x-api-key" } },
                    "tokens": { "httpAuthSecurityScheme": { "scheme": "bearer" } },
                },
                "securityRequirements": [{ "schemes": { "keys": {} } }, { "schemes": { "tokens": {} } }],
            }),
        ),
        (
            &old,
            json!({
                "name": "a", "url": "http://elsewhere.example/",
                "securitySchemes": {
                    "keys": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                    "tokens": { "type": "http", "scheme": "bearer" },
                },
                "security": [{ "keys": [] }, { "tokens": [] }],
            }),
        ),
    ] {
        let backend = Backend::replying(200).await.header("content-type", "application/json").body(card.to_string());
        let gw = Gw::with(
            "
    authProviders:
      keys: { apiKey: { keysFile: '{1}' } }
      tokens: { apiKey: { bearer: true, keysFile: '{1}' } }
    routes:
      filled: { endpoints: ['{0}'], auth: { anyOf: [keys, tokens], except: cards },
        a2a: { agentCard: { securitySchemes: providers } } }
      kept: { match: { path: { prefix: /kept } }, rewrite: { prefix: / }, endpoints: ['{0}'],
        auth: { anyOf: [keys, tokens], except: cards }, a2a: { agentCard: {} } }
",
            &[&backend, &keys],
        )
        .await;
        let read = async |path: &str| -> Value { serde_json::from_str(gw.get(path).await.text()).unwrap() };
        assert_eq!(read("/.well-known/agent-card.json").await, expected);
        assert_eq!(read("/kept/.well-known/agent-card.json").await, *card);
        assert_eq!(gw.send(get("/")).await.status, 401);
    }
}
