//! A certificate authority that speaks ACME (RFC 8555): it verifies signatures and nonces, looks at challenges itself
//! (over HTTP, or with a TLS handshake), and issues what the request asks for.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::CertificateSigningRequestParams;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::acme_looks::{look_at_file, look_at_handshake};
use super::{Ca, Place};

/// The authority. Dropping it ends it.
pub(crate) struct AcmeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
    /// What its own certificate is verified by.
    pub(crate) ca: Arc<Ca>,
}

struct Shared {
    address: SocketAddr,
    /// What certificates are issued by.
    ca: Arc<Ca>,
    state: Mutex<State>,
    /// Where challenges are looked at, instead of the ports 80 and 443 of the name. Until it is known they wait.
    looks_at: watch::Sender<Option<SocketAddr>>,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    count: u64,
    accounts: HashMap<String, Vec<u8>>,
    orders: HashMap<String, Issuance>,
    /// What the next requests for a new order are answered with.
    refusals: Vec<Refusal>,
    bad_nonces: usize,
    log: Vec<String>,
    window: Option<(String, String, u64)>,
    key_id: Option<(String, Vec<u8>)>,
}

/// How an order is refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) retry_after: Option<u64>,
}

#[derive(Clone)]
struct Issuance {
    domain: String,
    token: String,
    print: String,
    /// `pending`, `valid` or `invalid`.
    authorization: &'static str,
    error: Option<String>,
    /// How often it was looked at since it became ready to issue: it is being worked on for a while.
    looks: u32,
    chain: Option<String>,
}

struct Signed {
    payload: Value,
    account: Option<String>,
    jwk: Option<Value>,
}

type Reply = Response<Full<Bytes>>;
/// Status, type and detail.
type Problem = (u16, &'static str, &'static str);

impl AcmeServer {
    pub(crate) async fn start() -> Self {
        let ca = Arc::new(Ca::new());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let tls = TlsAcceptor::from(ca.issue(&["127.0.0.1"]).server(&["http/1.1"], None));
        let shared = Arc::new(Shared {
            address,
            ca: Arc::clone(&ca),
            state: Mutex::default(),
            looks_at: watch::Sender::default(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = socket.accept().await {
                let (tls, shared) = (tls.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    let answer = service_fn(move |request| {
                        let shared = Arc::clone(&shared);
                        async move { Ok::<_, std::convert::Infallible>(shared.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    drop(connection.serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        Self { address, shared, task, ca }
    }

    /// URL of its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}/directory", self.address)
    }

    /// Looks at challenges there.
    pub(crate) fn look_at(&self, address: SocketAddr) {
        self.shared.looks_at.send_replace(Some(address));
    }

    /// Refuses the next orders in these ways, the last one first.
    pub(crate) fn refuse(&self, refusals: &[Refusal]) {
        self.shared.state().refusals = refusals.to_vec();
    }

    /// Says of the nonces of the next so many requests that they are bad.
    pub(crate) fn refuse_nonces(&self, count: usize) {
        self.shared.state().bad_nonces = count;
    }

    /// Suggests to renew every certificate between these times, and to ask again after these seconds.
    pub(crate) fn suggest(&self, from: &str, to: &str, again: u64) {
        self.shared.state().window = Some((from.to_owned(), to.to_owned(), again));
    }

    /// Makes accounts only for who has this key.
    pub(crate) fn bind_accounts(&self, id: &str, key: &[u8]) {
        self.shared.state().key_id = Some((id.to_owned(), key.to_vec()));
    }

    /// What was asked for and looked at.
    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.state().log.clone()
    }

    /// The token of an order, by its number.
    pub(crate) fn token(&self, order: &str) -> String {
        self.shared.state().orders[order].token.clone()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.log().iter().filter(|known| known.starts_with(line)).count()
    }
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place for AcmeServer {
    /// The keys that name it in the configuration.
    fn place(&self) -> String {
        format!("directory: '{}', caFile: '{}'", self.directory(), self.ca.place())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let body = body.collect().await.unwrap().to_bytes();
        let reply = match (&head.method, path.as_str()) {
            (&Method::GET, "/directory") => json_of(StatusCode::OK, &self.directory()),
            (&Method::HEAD, "/nonce") => json_of(StatusCode::OK, &json!({})),
            (&Method::GET, path) if path.starts_with("/renewal/") => self.suggestion(path),
            (&Method::POST, path) => match self.verify(&head.headers, path, &body) {
                Ok(signed) => self.act(path, &signed),
                Err((status, kind, detail)) => problem(status, kind, detail),
            },
            _ => problem(404, "malformed", "there is nothing here"),
        };
        let nonce = {
            let mut state = self.state();
            state.count += 1;
            let nonce = format!("nonce-{}", state.count);
            state.nonces.insert(nonce.clone());
            nonce
        };
        let mut reply = reply;
        reply.headers_mut().insert("replay-nonce", nonce.parse().unwrap());
        reply
    }

    fn directory(&self) -> Value {
        let mut directory = json!({
            "newNonce": self.url("/nonce"), "newAccount": self.url("/account"), "newOrder": self.url("/order"),
            "revokeCert": self.url("/revoke"), "keyChange": self.url("/change"),
        });
        let state = self.state();
        if state.window.is_some() {
            directory["renewalInfo"] = json!(self.url("/renewal"));
        }
        directory["meta"] = json!({ "externalAccountRequired": state.key_id.is_some() });
        directory
    }

    fn suggestion(&self, path: &str) -> Reply {
        let mut state = self.state();
        state.log.push(format!("suggest {path}"));
        let (from, to, again) = state.window.clone().unwrap();
        let mut reply = json_of(StatusCode::OK, &json!({ "suggestedWindow": { "start": from, "end": to } }));
        reply.headers_mut().insert("retry-after", again.into());
        reply
    }

    /// Takes a request apart, and believes nothing that is not signed (RFC 8555 section 6.2).
    fn verify(&self, headers: &http::HeaderMap, path: &str, body: &[u8]) -> Result<Signed, Problem> {
        let malformed = |what| (400, "malformed", what);
        if headers.get("content-type").map(http::HeaderValue::as_bytes) != Some(b"application/jose+json") {
            return Err((415, "malformed", "content type"));
        }
        let jws: Value = serde_json::from_slice(body).ok().ok_or_else(|| malformed("no JSON"))?;
        let part = |name: &str| jws[name].as_str().unwrap_or_default().to_owned();
        let protected: Value = serde_json::from_slice(&decode(&part("protected"))).unwrap();
        let mut state = self.state();
        let nonce = protected["nonce"].as_str().unwrap_or_default();
        let is_fresh = state.nonces.remove(nonce);
        if !is_fresh || state.bad_nonces > 0 {
            state.bad_nonces = state.bad_nonces.saturating_sub(1);
            state.log.push("bad nonce".to_owned());
            return Err((400, "badNonce", "use another"));
        }
        if protected["url"] != json!(self.url(path)) || protected["alg"] != json!("ES256") {
            return Err(malformed("url or algorithm"));
        }
        let account = protected["kid"].as_str().map(str::to_owned);
        let jwk = protected.get("jwk").cloned();
        let key = match (&account, &jwk) {
            (Some(kid), None) => match state.accounts.get(kid) {
                Some(key) => key.clone(),
                None => return Err((400, "accountDoesNotExist", "who is that?")),
            },
            (None, Some(jwk)) if path == "/account" => point(jwk),
            _ => return Err(malformed("either kid or jwk")),
        };
        let input = format!("{}.{}", part("protected"), part("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key)
            .verify(input.as_bytes(), &decode(&part("signature")))
            .ok()
            .ok_or_else(|| malformed("signature"))?;
        let payload = decode(&part("payload"));
        let payload = if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).unwrap() };
        Ok(Signed { payload, account, jwk })
    }

    fn act(self: &Arc<Self>, path: &str, signed: &Signed) -> Reply {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts[..] {
            ["account"] => self.make_account(signed),
            ["order"] => self.begin(signed),
            ["order", id] => self.order_reply(id, StatusCode::OK),
            ["authorization", id] => self.authorization(id),
            ["challenge", id, kind] => self.challenge(id, kind),
            ["finalize", id] => self.finalize(id, &signed.payload),
            ["certificate", id] => {
                let chain = self.state().orders[id].chain.clone().unwrap();
                let reply = Response::builder().header("content-type", "application/pem-certificate-chain");
                reply.body(Full::from(chain)).unwrap()
            }
            _ => problem(404, "malformed", "there is nothing here"),
        }
    }

    fn make_account(&self, signed: &Signed) -> Reply {
        let jwk = signed.jwk.as_ref().unwrap();
        let mut state = self.state();
        if let Some((id, key)) = &state.key_id {
            let bound = &signed.payload["externalAccountBinding"];
            let part = |name: &str| bound[name].as_str().unwrap_or_default().to_owned();
            let protected: Value = serde_json::from_slice(&decode(&part("protected"))).unwrap_or_default();
            let input = format!("{}.{}", part("protected"), part("payload"));
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
            let is_signed = aws_lc_rs::hmac::verify(&key, input.as_bytes(), &decode(&part("signature"))).is_ok();
            if protected["kid"] != json!(id) || !is_signed {
                return problem(401, "externalAccountRequired", "who sent you?");
            }
        }
        if signed.payload["termsOfServiceAgreed"] != json!(true) {
            return problem(403, "userActionRequired", "agree to the terms");
        }
        let url = self.url(&format!("/account/{}", state.accounts.len()));
        state.accounts.insert(url.clone(), point(jwk));
        state.log.push(format!("account {}", signed.payload["contact"]));
        let mut reply = json_of(StatusCode::CREATED, &json!({ "status": "valid" }));
        reply.headers_mut().insert("location", url.parse().unwrap());
        reply
    }

    fn begin(&self, signed: &Signed) -> Reply {
        let domain = signed.payload["identifiers"][0]["value"].as_str().unwrap().to_owned();
        let id = {
            let mut state = self.state();
            let replaces = signed.payload["replaces"].as_str().map_or(String::new(), |_| " as another".to_owned());
            state.log.push(format!("order {domain}{replaces}"));
            if let Some(refusal) = state.refusals.pop() {
                let mut reply = problem(refusal.status, refusal.kind, "not now");
                if let Some(seconds) = refusal.retry_after {
                    reply.headers_mut().insert("retry-after", seconds.into());
                }
                return reply;
            }
            let id = state.orders.len().to_string();
            let print = print_of(&state.accounts[signed.account.as_ref().unwrap()]);
            let token = format!("token-{id}-{}", fastrand::u64(..));
            let made = Issuance { domain, token, print, authorization: "pending", error: None, looks: 0, chain: None };
            state.orders.insert(id.clone(), made);
            id
        };
        let mut reply = self.order_reply(&id, StatusCode::CREATED);
        if let Some(replaced) = signed.payload.get("replaces") {
            let mut body = self.order_json(&id);
            body["replaces"] = replaced.clone();
            *reply.body_mut() = Full::from(body.to_string());
        }
        reply.headers_mut().insert("location", self.url(&format!("/order/{id}")).parse().unwrap());
        reply
    }

    fn order_json(&self, id: &str) -> Value {
        let mut state = self.state();
        let order = state.orders.get_mut(id).unwrap();
        order.looks += u32::from(order.chain.is_some());
        let status = match (order.authorization, &order.chain) {
            ("pending", _) => "pending",
            ("invalid", _) => "invalid",
            (_, None) => "ready",
            (_, Some(_)) if order.looks < 2 => "processing",
            (_, Some(_)) => "valid",
        };
        let mut body = json!({
            "status": status, "identifiers": [{ "type": "dns", "value": order.domain }],
            "authorizations": [self.url(&format!("/authorization/{id}"))],
            "finalize": self.url(&format!("/finalize/{id}")),
        });
        if status == "valid" {
            body["certificate"] = json!(self.url(&format!("/certificate/{id}")));
        }
        body
    }

    fn order_reply(&self, id: &str, status: StatusCode) -> Reply {
        json_of(status, &self.order_json(id))
    }

    fn authorization(&self, id: &str) -> Reply {
        let state = self.state();
        let order = &state.orders[id];
        let challenge = |kind: &str| {
            let mut challenge = json!({
                "type": kind, "url": self.url(&format!("/challenge/{id}/{kind}")), "token": order.token,
                "status": order.authorization,
            });
            if let Some(error) = &order.error {
                challenge["error"] =
                    json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": error, "status": 403 });
            }
            challenge
        };
        let body = json!({
            "status": order.authorization, "identifier": { "type": "dns", "value": order.domain },
            "challenges": [challenge("http-01"), challenge("tls-alpn-01")],
        });
        drop(state);
        json_of(StatusCode::OK, &body)
    }

    /// Looks at the challenge beside, as authorities do.
    fn challenge(self: &Arc<Self>, id: &str, kind: &str) -> Reply {
        let order = self.state().orders[id].clone();
        let mut place = self.looks_at.subscribe();
        let (shared, owner, by) = (Arc::clone(self), id.to_owned(), kind.to_owned());
        let authorization = format!("{}.{}", order.token, order.print);
        let (token, domain) = (order.token, order.domain);
        tokio::spawn(async move {
            let known = *place.wait_for(Option::is_some).await.unwrap();
            let address = known.unwrap();
            let looked = match by.as_str() {
                "http-01" => look_at_file(address, &domain, &authorization).await,
                _ => look_at_handshake(address, &domain, &authorization).await,
            };
            let mut state = shared.state();
            state.log.push(format!("look {by} {domain} {}", if looked.is_ok() { "ok" } else { "wrong" }));
            let order = state.orders.get_mut(&owner).unwrap();
            order.authorization = if looked.is_ok() { "valid" } else { "invalid" };
            order.error = looked.err();
        });
        let url = self.url(&format!("/challenge/{id}/{kind}"));
        json_of(StatusCode::OK, &json!({ "type": kind, "url": url, "token": token, "status": "processing" }))
    }

    fn finalize(&self, id: &str, payload: &Value) -> Reply {
        let request = decode(payload["csr"].as_str().unwrap());
        let domain = self.state().orders[id].domain.clone();
        // rcgen verifies that the request is signed by its own key.
        let request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
        let names = &request.params.subject_alt_names;
        if *names != [rcgen::SanType::DnsName(domain.as_str().try_into().unwrap())] {
            return problem(403, "badCSR", "other names than those of the order");
        }
        if request.params.distinguished_name.iter().next().is_some() {
            return problem(403, "badCSR", "a subject that is no name of the order");
        }
        let chain = self.ca.sign(request);
        self.state().orders.get_mut(id).unwrap().chain = Some(chain);
        self.order_reply(id, StatusCode::OK)
    }
}

fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

/// The point of a key on P-256, uncompressed.
fn point(jwk: &Value) -> Vec<u8> {
    let part = |name: &str| decode(jwk[name].as_str().unwrap());
    [vec![4], part("x"), part("y")].concat()
}

/// The thumbprint of a key (RFC 7638).
fn print_of(point: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = point[1..].split_at(32);
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y));
    encode(digest(&SHA256, text.as_bytes()).as_ref())
}

fn json_of(status: StatusCode, body: &Value) -> Reply {
    let reply = Response::builder().status(status).header("content-type", "application/json");
    reply.body(Full::from(body.to_string())).unwrap()
}

fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status });
    let reply = Response::builder().status(status).header("content-type", "application/problem+json");
    reply.body(Full::from(body.to_string())).unwrap()
}
