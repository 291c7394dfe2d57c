//! Who may do what, for clients that prove who they are.

use attache::config::{self, Environment};
use http::Request;
use serde_json::json;

use crate::support::{
    Backend, Body, Gw, Issuer, Speak, TextFile, call, empty, get, grpc, post, request, says, with_field,
};

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

async fn agent() -> Backend {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}"#;
    Backend::replying_as(SPEAK, 200).await.header("content-type", "application/json").body(answer)
}

/// A gateway whose route knows Ann (an operator) and Bob by keys in `x-api-key`, and another Ann by bearer tokens.
async fn before(agent: &Backend, auth: &str, rules: &str) -> Gw {
    let staff = TextFile::keys(&[("ann-key", "ann:admin,ops"), ("bob-key", "bob:agent-user")]);
    let guests = TextFile::keys(&[("guest-token", "ann:admin")]);
    let text = format!(
        "workers: 1\n\
         authProviders: {{ staff: {{ apiKey: {{ keysFile: '{{1}}' }} }}, \
         guests: {{ apiKey: {{ bearer: true, keysFile: '{{2}}' }} }} }}\n\
         routes: {{ all: {{ cluster: agents, auth: {{ anyOf: [staff, guests], {auth} }}, authorization: {rules} }} }}\n\
         clusters: {{ agents: {{ endpoints: ['{{0}}'], protocol: h2c }} }}"
    );
    Gw::with(&text, &[agent, &staff, &guests]).await
}

fn known(key: &'static str, request: Request<Body>) -> Request<Body> {
    match key {
        "" => request,
        token if token.ends_with("-token") => with_field("authorization", &format!("Bearer {token}"), request),
        key => with_field("x-api-key", key, request),
    }
}

async fn decisions(gw: &Gw, rule: &str, result: &str) -> f64 {
    gw.metric("attache_authorization_total", &[("route", "all"), ("rule", rule), ("result", result)]).await
}

#[tokio::test]
async fn rules_know_who_a_client_proved_to_be() {
    let agent = agent().await;
    for (rules, ann, bob, other_ann, nobody) in [
        ("[{ principals: ann }]", true, false, true, false),
        ("[{ principals: { provider: staff, name: ann } }]", true, false, false, false),
        ("[{ principals: { provider: guests } }]", false, false, true, false),
        ("[{ principals: '*' }]", true, true, true, false),
        ("[{ notPrincipals: ann }]", false, true, false, true),
        ("[{ notPrincipals: ann, roles: authenticated }]", false, true, false, false),
        ("[{ roles: authenticated }]", true, true, true, false),
        ("[{ roles: public }]", true, true, true, true),
        ("[{ roles: [ops, system] }]", true, false, false, false),
        ("[{ roles: agent-user }, { roles: admin }]", true, true, true, false),
        ("[{ roles: public }, { action: deny, roles: admin }]", false, true, false, true),
        ("[{ action: deny, principals: bob }]", true, false, true, true),
        ("[{ claims: { sub: ann } }]", false, false, false, false),
        ("[{ spiffe: '*' }]", false, false, false, false),
    ] {
        let gw = before(&agent, "optional: true", &format!("{{ rules: {rules} }}")).await;
        let wanted = [("ann-key", ann), ("bob-key", bob), ("guest-token", other_ann), ("", nobody)];
        for (key, passes) in wanted {
            let hits = agent.hits();
            let reply = gw.send(known(key, get("/a"))).await;
            let expected = if passes { (200, "") } else { (403, "forbidden") };
            assert_eq!((reply.status, reply.reason()), expected, "{rules} {key}");
            assert_eq!(agent.hits() > hits, passes, "{rules} {key}");
        }
    }
}

#[tokio::test]
async fn what_was_decided_and_why_is_counted_and_recorded() {
    let agent = agent().await;
    let rules = "{ rules: [{ name: read, roles: authenticated, operations: GetTask }, \
        { name: ops, roles: ops }, { name: closed, action: deny, paths: { prefix: /closed } }] }";
    let gw = before(&agent, "optional: true", rules).await;
    for (key, request, status) in [
        ("bob-key", call("GetTask", &json!({ "id": "t" })), 200),
        ("bob-key", call("CancelTask", &json!({ "id": "t" })), 403),
        ("ann-key", call("CancelTask", &json!({ "id": "t" })), 200),
        ("ann-key", get("/closed/x"), 403),
        ("", get("/open"), 403),
    ] {
        assert_eq!(gw.send(known(key, request)).await.status, status);
    }
    let records = gw.records(5).await;
    let facts = |at: usize| {
        let record = &records[at];
        ["principal", "auth", "rule", "reason"].map(|field| record[field].as_str().unwrap_or_default())
    };
    assert_eq!(facts(0), ["bob", "staff", "read", ""]);
    assert_eq!(facts(1), ["bob", "staff", "-", "forbidden"]);
    assert_eq!(facts(2), ["ann", "staff", "ops", ""]);
    assert_eq!(facts(3), ["ann", "staff", "closed", "forbidden"]);
    assert_eq!(facts(4), ["", "", "-", "forbidden"]);
    for (rule, result, count) in
        [("read", "allowed", 1.0), ("ops", "allowed", 1.0), ("closed", "denied", 1.0), ("-", "denied", 2.0)]
    {
        assert_eq!(decisions(&gw, rule, result).await, count, "{rule}");
    }
}

#[tokio::test]
async fn a_refusal_is_said_in_the_protocol_of_its_caller() {
    let agent = agent().await;
    let gw = before(&agent, "", "{ rules: [{ roles: ops, operations: SendMessage }] }").await;
    let refused = gw.send(known("bob-key", call("SendMessage", &json!({ "message": {} })))).await;
    let said = says(&refused);
    assert_eq!((refused.status, refused.reason(), &said["id"]), (403, "forbidden", &json!("call-7")));
    assert_eq!(said["error"]["data"][0]["reason"], "forbidden");
    let rest = with_field("content-type", "application/json", post("/message:send", "{}"));
    let refused = gw.send(known("bob-key", rest)).await;
    assert_eq!((refused.status, &says(&refused)["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
    let refused = gw.h2().await.reply(known("bob-key", grpc("SendMessage", b""))).await;
    assert_eq!((refused.status, refused.header("grpc-status"), refused.reason()), (200, "7", "forbidden"));
    let refused = gw.send(known("bob-key", request("PUT", "/plain", empty()))).await;
    assert_eq!((refused.status, refused.reason()), (403, "forbidden"));
    assert!(!refused.text().contains("ops") && refused.header("www-authenticate").is_empty(), "{}", refused.text());
    assert_eq!(agent.hits(), 0);
}

#[tokio::test]
async fn who_is_not_known_is_asked_for_credentials_before_any_rule() {
    let agent = agent().await;
    let gw = before(&agent, "except: cards", "{ rules: [{ roles: admin }, { operations: GetAgentCard }] }").await;
    for (key, path, expected) in [
        ("", "/a", (401, "credentials_missing")),
        ("bad-key", "/a", (401, "credentials_invalid")),
        ("bob-key", "/a", (403, "forbidden")),
        ("ann-key", "/a", (200, "")),
        ("", "/.well-known/agent-card.json", (200, "")),
    ] {
        let reply = gw.send(known(key, get(path))).await;
        assert_eq!((reply.status, reply.reason()), expected, "{key} {path}");
    }
    assert_eq!(decisions(&gw, "-", "denied").await, 1.0, "of who was asked for credentials no rule heard");
}

#[tokio::test]
async fn rules_know_the_claims_of_a_token() {
    let (agent, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let set = TextFile::new(&Issuer::set(&[&issuer]));
    let web = "spiffe://corp.example/ns/prod/sa/web";
    let wanted = [
        ("[{ claims: { scope: tasks.write } }]", json!({ "scope": "tasks.read tasks.write" }), true),
        ("[{ claims: { scope: tasks.write } }]", json!({ "scope": "tasks.writer" }), false),
        ("[{ claims: { 'org.unit': [7, 8] } }]", json!({ "org": { "unit": 7 } }), true),
        ("[{ claims: { 'https://a.example/team': 'red-*' } }]", json!({ "https://a.example/team": ["red-1"] }), true),
        ("[{ claims: { email: '*@example.com' } }]", json!({ "email": "ann@example.com.evil.example" }), false),
        ("[{ claims: { admin: true } }]", json!({ "admin": true }), true),
        ("[{ claims: { admin: true } }]", json!({}), false),
        ("[{ notClaims: { suspended: true } }]", json!({ "suspended": true }), false),
        ("[{ roles: ops }]", json!({ "realm": { "roles": ["dev", "ops"] } }), true),
        ("[{ roles: ops }]", json!({ "roles": ["ops"] }), false),
        ("[{ namespaces: prod, spiffe: 'corp.example/*' }]", json!({ "sub": web }), true),
        ("[{ namespaces: prod }]", json!({ "sub": "spiffe://other.example/ns/prod/sa/web" }), false),
        (
            "[{ roles: authenticated }, { action: deny, claims: { tenant: south } }]",
            json!({ "tenant": "south" }),
            false,
        ),
    ];
    for (rules, claims, passes) in wanted {
        let text = format!(
            "workers: 1\nauthProviders: {{ corp: {{ jwt: {{ issuer: 'https://login.example/', audiences: agents, \
             jwks: {{ file: '{{1}}' }}, rolesClaim: realm.roles, trustDomain: corp.example }} }} }}\n\
             routes: {{ all: {{ endpoints: ['{{0}}'], auth: corp, authorization: {{ rules: {rules} }} }} }}"
        );
        let gw = Gw::with(&text, &[&agent, &set]).await;
        let hits = agent.hits();
        let token = format!("Bearer {}", issuer.token(&claims));
        let reply = gw.send(with_field("authorization", &token, get("/"))).await;
        let expected = if passes { (200, "") } else { (403, "forbidden") };
        assert_eq!((reply.status, reply.reason()), expected, "{rules} {claims}");
        assert_eq!(agent.hits() - hits, usize::from(passes), "{rules} {claims}");
    }
}

#[test]
fn rules_about_clients_need_somebody_who_knows_them() {
    let text = |route: &str| {
        format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nauthorizationPolicies: {{ staff: {{ rules: \
             [{{ name: no-bob, action: deny, principals: bob }}] }} }}\nroutes: {{ all: {{ endpoints: ['a:80'], {route} }} }}"
        )
    };
    let environment = Environment::empty(std::time::UNIX_EPOCH);
    let report = config::parse(&text("authorization: staff"), "test.yaml", &environment).unwrap_err().to_string();
    assert!(
        report.contains("the rule `staff/no-bob` asks who a client is, and `routes.all` has no `auth`"),
        "{report}"
    );
    config::parse(&text("authorization: { rules: [{ roles: public }] }"), "test.yaml", &environment)
        .expect("everybody is public");
}
