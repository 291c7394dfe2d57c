//! What claims of tokens are for beside a name: limits, and rules about who may do what.

use std::io::Write as _;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::{Backend, Gw, Issuer, get, with_field};

/// A gateway whose route takes tokens of `issuer`.
async fn gateway(issuer: &Issuer, backend: &Backend, sections: &str, route: &str) -> Gw {
    let mut keys = NamedTempFile::new().unwrap();
    keys.write_all(Issuer::set(&[issuer]).as_bytes()).unwrap();
    let template = format!(
        "authProviders: {{ corp: {{ jwt: {{ issuer: 'https://login.example/', audiences: [agents], \
         jwks: {{ file: '{}' }}, rolesClaim: groups, trustDomain: corp.example }} }} }}\n{sections}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], auth: {{ anyOf: [corp], optional: true }}, {route} }} }}",
        keys.path().display()
    );
    Gw::with(&template, &[backend]).await
}

async fn status(gw: &Gw, issuer: &Issuer, claims: &Value) -> u16 {
    let token = format!("Bearer {}", issuer.token(claims));
    gw.send(with_field("authorization", &token, get("/"))).await.status
}

#[tokio::test]
async fn limits_count_by_a_claim() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let limit = "rateLimits: { each: { key: 'jwt:org.tenant', rate: 1/hour } }";
    let gw = gateway(&issuer, &backend, limit, "rateLimit: each").await;
    for (claims, expected) in [
        (json!({ "org": { "tenant": "north" } }), 200),
        (json!({ "org": { "tenant": "north" }, "sub": "bob" }), 429),
        (json!({ "org": { "tenant": "south" } }), 200),
        // Who has no such claim is counted by its address.
        (json!({}), 200),
        (json!({ "sub": "bob" }), 429),
    ] {
        assert_eq!(status(&gw, &issuer, &claims).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn rules_know_claims_roles_and_ids_of_tokens() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let north = json!({ "org": { "unit": ["north", "sales"] } });
    let ops = json!({ "groups": ["ops"] });
    let workload = json!({ "sub": "spiffe://corp.example/ns/prod/sa/planner" });
    let foreign = json!({ "sub": "spiffe://other.example/ns/prod/sa/planner" });
    for (rule, passing) in [
        ("{ claims: { org.unit: north } }", vec![&north]),
        ("{ roles: ops }", vec![&ops]),
        ("{ namespaces: prod }", vec![&workload]),
        ("{ principals: { provider: corp, name: ann } }", vec![&north, &ops]),
        ("{ roles: authenticated }", vec![&north, &ops, &workload, &foreign]),
    ] {
        let gw = gateway(&issuer, &backend, "", &format!("authorization: {{ rules: [{rule}] }}")).await;
        for claims in [&north, &ops, &workload, &foreign] {
            let expected = if passing.contains(&claims) { 200 } else { 403 };
            // A token that was verified is remembered with all that it says.
            for _ in 0..2 {
                assert_eq!(status(&gw, &issuer, claims).await, expected, "{rule}: {claims}");
            }
        }
        assert_eq!(gw.get("/").await.status, 403, "{rule}: who proves nothing");
    }
}
