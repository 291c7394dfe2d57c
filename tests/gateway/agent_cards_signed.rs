//! Agent cards that the gateway signs anew: the signature can be verified with the key that the gateway shows, and
//! holds for the card as clients get it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Backend, Gw, Reply, empty, get, post, request, with_field};

const CARD: &str = "/a/.well-known/agent-card.json";
const JWKS: &str = "/a/.well-known/jwks.json";

/// A signed card of an agent at `at`, of which A2A 1.0 knows every field but one.
fn card(at: &str) -> Value {
    json!({
        "name": "planner \u{e9}", "description": "", "version": "1", "unknown": 1.50,
        "supportedInterfaces": [
            { "url": format!("http://{at}/rpc"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
        ],
        "capabilities": { "streaming": false }, "skills": [],
        "signatures": [{ "protected": "e30", "signature": "AA" }],
    })
}

async fn agent() -> Backend {
    let backend = Backend::replying(200).await;
    let card = card(&backend.address().to_string());
    backend.header("content-type", "application/json").body(card.to_string())
}

fn write_key(directory: &TempDir) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(directory.path().join("cards.key"), key.serialize_pem()).unwrap();
}

/// A route below `/a` that signs with the key of the directory.
fn template(directory: &TempDir, more: &str) -> String {
    let file = directory.path().join("cards.key");
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0', publicUrl: 'https://agents.example/team' }} }}\n\
         routes: {{ a: {{ match: {{ path: {{ prefix: /a }} }}, rewrite: {{ prefix: / }}, endpoints: ['{{0}}'], \
         a2a: {{ agentCard: {{ signedCards: resign, signing: {{ keyFile: '{}'{more} }} }} }} }} }}\n",
        file.display()
    )
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn decoded(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = Vec::new();
    let (mut joined, mut bits) = (0_u32, 0);
    for letter in text.chars() {
        joined = joined << 6 | u32::try_from(alphabet.find(letter).unwrap()).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(joined >> bits & 0xff).unwrap());
        }
    }
    bytes
}

fn encoded(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let sixth = |bits: &[u8]| (0..6).fold(0_usize, |all, at| all << 1 | usize::from(*bits.get(at).unwrap_or(&0)));
    bits.chunks(6).map(|bits| char::from(alphabet[sixth(bits)])).collect()
}

/// The header of the card's only signature, which is the one of a key of the set and fits the card.
fn verified(card: &Value, keys: &Value) -> Value {
    let [signature] = card["signatures"].as_array().unwrap().as_slice() else { panic!("one signature: {card}") };
    let protected = signature["protected"].as_str().unwrap();
    let header: Value = serde_json::from_slice(&decoded(protected)).unwrap();
    let key =
        keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).expect("the key is shown");
    let part = |name: &str| decoded(key[name].as_str().unwrap());
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], part("x"), part("y")].concat());
    let mut payload = card.clone();
    for gone in ["signatures", "unknown", "description", "skills"] {
        payload.as_object_mut().unwrap().remove(gone);
    }
    // With letters of ASCII alone as names this is the canonical form.
    let signed = format!("{protected}.{}", encoded(payload.to_string().as_bytes()));
    public.verify(signed.as_bytes(), &decoded(signature["signature"].as_str().unwrap())).expect("the signature holds");
    header
}

#[tokio::test]
async fn a_card_is_signed_anew_and_the_key_is_shown() {
    let (agent, directory) = (agent().await, TempDir::new().unwrap());
    write_key(&directory);
    let gw = Gw::with(&template(&directory, ""), &[&agent]).await;
    let shown = gw.get(JWKS).await;
    assert_eq!((shown.status, shown.header("content-type")), (200, "application/jwk-set+json"));
    let keys = json_of(&shown);
    let reply = gw.get(CARD).await;
    let mut mapped = json_of(&reply);
    let header = verified(&mapped, &keys);
    assert_eq!(header["jku"], "https://agents.example/team/a/.well-known/jwks.json");
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &keys["keys"][0]["kid"]));
    let mut expected = card("x");
    expected["supportedInterfaces"][0]["url"] = json!("https://agents.example/team/a/rpc");
    for card in [&mut mapped, &mut expected] {
        card.as_object_mut().unwrap().remove("signatures");
    }
    assert_eq!(mapped, expected, "all else is as the agent says it");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    // A signature is another each time, and the card is the same.
    let again = gw.get(CARD).await;
    assert_ne!(again.text(), reply.text());
    assert_eq!(again.header("etag"), reply.header("etag"));
    let known = with_field("if-none-match", reply.header("etag"), get(CARD));
    assert_eq!(gw.send(known).await.status, 304);
    let head = gw.send(request("HEAD", JWKS, empty())).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), shown.body.len().to_string());
    assert_eq!(agent.requests().iter().filter(|seen| seen.uri.path().ends_with("jwks.json")).count(), 0);
    assert!((gw.metric("attache_agent_cards_total", &[("result", "mapped")]).await - 3.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_new_key_is_taken_with_a_reload() {
    let (agent, directory) = (agent().await, TempDir::new().unwrap());
    write_key(&directory);
    let text = template(&directory, "");
    let mut gw = Gw::with(&text, &[&agent]).await;
    let before = json_of(&gw.get(JWKS).await);
    let tag = gw.get(CARD).await.header("etag").to_owned();
    write_key(&directory);
    gw.reload(&text, &[&agent]).await.unwrap();
    let after = json_of(&gw.get(JWKS).await);
    assert_ne!(before, after);
    let reply = gw.get(CARD).await;
    verified(&json_of(&reply), &after);
    assert_ne!(reply.header("etag"), tag, "clients have to fetch it again");
}

#[tokio::test]
async fn the_card_of_a_call_is_signed_and_the_key_may_stay_unshown() {
    let agent = Backend::handling(|request| async move {
        let at = request.headers()["host"].to_str().unwrap().to_owned();
        let body = match request.uri().path() {
            "/rpc" => json!({ "jsonrpc": "2.0", "id": 7, "result": card(&at) }),
            path => json!({ "asked": path }),
        };
        let answer = http::Response::builder().header("content-type", "application/json");
        answer.body(crate::support::full(body.to_string())).unwrap()
    })
    .await;
    let directory = TempDir::new().unwrap();
    write_key(&directory);
    let text = template(&directory, ", keyId: mine").replace("rewrite:", "upstreamHost: endpoint, rewrite:");
    let mut gw = Gw::with(&text, &[&agent]).await;
    let keys = json_of(&gw.get(JWKS).await);
    let call = || {
        let call = post("/a/rpc", r#"{"jsonrpc":"2.0","method":"GetExtendedAgentCard","id":7}"#);
        with_field("content-type", "application/json", call)
    };
    let reply = json_of(&gw.send(call()).await);
    assert_eq!((&reply["id"], &verified(&reply["result"], &keys)["kid"]), (&json!(7), &json!("mine")));
    let text = text.replace("keyId: mine", "keyId: mine, jwks: false");
    gw.reload(&text, &[&agent]).await.unwrap();
    assert_eq!(json_of(&gw.get(JWKS).await), json!({ "asked": "/.well-known/jwks.json" }), "it is the agent's path");
    let reply = json_of(&gw.send(call()).await);
    assert_eq!(verified(&reply["result"], &keys)["jku"], Value::Null);
}

#[tokio::test]
async fn a_signature_that_holds_stays() {
    let public = card("x").to_string().replace("http://x/rpc", "https://agents.example/team/a/rpc");
    let agent = Backend::replying(200).await.header("content-type", "application/json").body(public.clone());
    let directory = TempDir::new().unwrap();
    write_key(&directory);
    let gw = Gw::with(&template(&directory, ""), &[&agent]).await;
    assert_eq!(gw.get(CARD).await.text(), public);
}
