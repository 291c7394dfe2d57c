//! What it costs to know a client: by an API key among ten thousand (the bar is 1 µs), and by a signed token: one that
//! was verified before (the bar is 3 µs), and new ones, with keys that are there (the bar is 25 µs for ES256).

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use attache::config::model::{ApiKeys, AuthKind, AuthProvider, Jwt, JwtKeys, KeyCarrier, KnownKey};
use attache::jose::{Algorithm, ClaimRules, KeySet};
use attache::policy::auth::{Presented, Provider, Verdict};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::time::Instant;

const TIME: Duration = Duration::from_secs(1_800_000_000);

/// A provider for one way of signing, and the field of a request with a token for it.
fn provider(algorithm: Algorithm, library: jsonwebtoken::Algorithm) -> Option<(AuthProvider, HeaderMap)> {
    let (key, keys) = match algorithm {
        Algorithm::Hs256 => {
            let secret = [7; 32];
            (EncodingKey::from_secret(&secret).ok()?, KeySet::secret(&secret, &[algorithm]).ok()?)
        }
        _ => {
            let key = signing(algorithm)?;
            let mut public = serde_json::to_value(Jwk::from_encoding_key(&key, library).ok()?).ok()?;
            public.as_object_mut()?.insert("kid".to_owned(), "one".into());
            let set = json!({ "keys": [public] }).to_string();
            (key, KeySet::read(set.as_bytes(), &[algorithm]).ok()?)
        }
    };
    let claims = json!({
        "iss": "https://login.example.com/", "aud": ["agents", "tools"], "sub": "4fdbc1b6-6a8e-4e0c-9a43-6a1d77b7d0aa",
        "exp": TIME.as_secs() + 300, "iat": TIME.as_secs(), "nbf": TIME.as_secs(), "azp": "console", "scope": "openid email",
        "email": "ann@example.com", "realm_access": { "roles": ["user", "ops", "admin"] },
    });
    let mut head = Header::new(library);
    head.kid = Some("one".to_owned());
    let token = jsonwebtoken::encode(&head, &claims, &key).ok()?;
    let mut fields = HeaderMap::new();
    fields.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).ok()?);
    let jwt = Jwt {
        rules: ClaimRules {
            issuer: Some("https://login.example.com/".into()),
            audiences: vec!["agents".into()],
            clock_skew: Duration::from_secs(60),
            subject: "sub".into(),
        },
        algorithms: vec![algorithm],
        keys: JwtKeys::Known(Arc::new(keys)),
        header: None,
        forward_claims: Vec::new(),
        roles_claim: "realm_access.roles".to_owned(),
        trust_domain: None,
    };
    Some((AuthProvider { name: "corp".into(), kind: AuthKind::Jwt(Box::new(jwt)) }, fields))
}

fn signing(algorithm: Algorithm) -> Option<EncodingKey> {
    Some(match algorithm {
        Algorithm::Rs256 => {
            let key = KeyPair::generate(KeySize::Rsa2048).ok()?.as_der().ok()?;
            // The library wants PKCS#1, which stands in PKCS#8 behind a head of 26 bytes.
            EncodingKey::from_rsa_der(key.as_ref().get(26..)?)
        }
        Algorithm::EdDsa => {
            EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).ok()?.as_ref())
        }
        _ => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).ok()?;
            EncodingKey::from_ec_der(&key.serialize_der())
        }
    })
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    Presented {
        method: &Method::POST,
        authority: "agents.example.com",
        path: "/research",
        query: None,
        headers,
        tls: None,
        client: IpAddr::from([192, 0, 2, 1]),
        https: true,
        time: TIME,
        now: Instant::now(),
    }
}

fn tokens(c: &mut Criterion) {
    use jsonwebtoken::Algorithm as Library;
    for (algorithm, library) in [
        (Algorithm::Es256, Library::ES256),
        (Algorithm::Rs256, Library::RS256),
        (Algorithm::EdDsa, Library::EdDSA),
        (Algorithm::Hs256, Library::HS256),
    ] {
        let made = provider(algorithm, library);
        assert!(made.is_some(), "{algorithm}: a key can be made");
        let Some((settings, headers)) = made else { continue };
        let verify = |provider: &Provider| provider.verify(black_box(&presented(&headers)));
        let is_good = |verdict: &Verdict| matches!(verdict, Verdict::Verified(_));
        let provider = Provider::adopt(&settings, None);
        assert!(is_good(&verify(&provider)) && is_good(&verify(&provider)), "{algorithm}: the token counts");
        if algorithm == Algorithm::Es256 {
            c.bench_function("token, known", |b| b.iter(|| verify(&provider)));
        }
        // Each provider sees the token for the first time.
        c.bench_function(&format!("token, new, {algorithm}"), |b| {
            b.iter_batched_ref(|| Provider::adopt(&settings, None), |fresh| verify(fresh), BatchSize::SmallInput);
        });
    }
}

fn keys(c: &mut Criterion) {
    let key = |number: u32| format!("{number:08x}4d1e46b9e15b2d8b3a1d2dd1f2ac2a6c1a2dd1cf31b7c1100aabbccddeeff");
    let known = |number: u32| KnownKey {
        name: format!("client-{number}").into(),
        digest: digest(&SHA256, key(number).as_bytes()).as_ref().try_into().unwrap_or_default(),
        roles: Box::default(),
    };
    let carrier = KeyCarrier::Header(HeaderName::from_static("x-api-key"));
    let kind = AuthKind::ApiKey(ApiKeys { carrier, keys: (0..10_000).map(known).collect() });
    let provider = Provider::adopt(&AuthProvider { name: "keys".into(), kind }, None);
    for (name, number, expected) in [("key, known", 4711, "ok"), ("key, unknown", 10_000, "invalid")] {
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::try_from(key(number)).ok().map(|key| (HeaderName::from_static("x-api-key"), key)));
        let verify = || provider.verify(black_box(&presented(&headers)));
        assert_eq!(verify().word(), expected);
        c.bench_function(name, |b| b.iter(verify));
    }
}

criterion_group!(benches, keys, tokens);
criterion_main!(benches);
