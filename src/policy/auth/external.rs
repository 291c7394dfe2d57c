//! Asks a server whether a request may pass, in the shape that nginx's `auth_request` and Traefik's `forwardAuth` have:
//! the server sees chosen fields of the request and where it leads to, and its status decides. How it is asked is the
//! caller's; this room knows no connections.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use http::header::{LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, timeout};

use super::seen::{Seen, SeenKey};
use super::{Presented, Refusal, Verdict, Verified};
use crate::bounded::Count;
use crate::config::model::{CacheScope, ExternalAuth, OnAuthFailure};
use crate::context::{Principal, PrincipalKind};
use crate::error::AuthAnswer;
use crate::head::{only_value, owned};

/// A server that decides.
#[derive(Debug)]
pub(super) struct External {
    provider: Arc<str>,
    settings: ExternalAuth,
    ask: OnceLock<Ask>,
    /// Questions under way, whatever the settings are.
    open: Arc<Count>,
    known: Arc<Known>,
}

/// What is known of a server that is asked in one way.
#[derive(Debug)]
struct Known {
    seen: Seen<(Verified, Instant)>,
    /// Whether the last answer was none, so that the log says so once.
    fails: AtomicBool,
}

/// How a server is asked: with these fields; `None` when it does not answer.
#[derive(Clone)]
pub struct Ask(Arc<dyn Fn(HeaderMap) -> Asking + Send + Sync>);

/// Ends with the head of the answer.
pub type Asking = Pin<Box<dyn Future<Output = Option<(StatusCode, HeaderMap)>>>>;

impl Ask {
    /// Asks like this.
    pub fn new(ask: impl Fn(HeaderMap) -> Asking + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl External {
    /// The provider with these settings. What `previous` knows goes on where it means the same; how the server is asked
    /// does not, because its authorities may have changed.
    pub(super) fn adopt(provider: &Arc<str>, settings: &ExternalAuth, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let open = previous.map_or_else(|| Count::new(()), |previous| Arc::clone(&previous.open));
        let same = previous.filter(|previous| previous.settings == *settings);
        let new = || Arc::new(Known { seen: Seen::new(), fails: AtomicBool::new(false) });
        Arc::new(Self {
            provider: Arc::clone(provider),
            settings: settings.clone(),
            ask: OnceLock::new(),
            open,
            known: same.map_or_else(new, |same| Arc::clone(&same.known)),
        })
    }

    /// Says how the server is asked, once.
    pub(super) fn ask_with<E>(&self, ask: impl FnOnce(&ExternalAuth) -> Result<Ask, E>) -> Result<(), E> {
        let ask = ask(&self.settings)?;
        self.ask.get_or_init(|| ask);
        Ok(())
    }

    /// Answers that are remembered, and questions that are open.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.known.seen.len(), self.open.taken())
    }

    /// The fields that its answers give to agents.
    pub(super) fn forwards(&self) -> impl Iterator<Item = &HeaderName> {
        self.settings.copy_headers.iter()
    }

    pub(super) fn verify(self: &Arc<Self>, presented: &Presented<'_>) -> Verdict {
        let Some(question) = self.question(presented) else { return Verdict::Refused(Refusal::Invalid) };
        let key = self.key(&question);
        if let Some(key) = key
            && let Some((verified, until)) = self.known.seen.get(key)
        {
            if presented.now < until {
                return Verdict::Verified(verified);
            }
            self.known.seen.forget(key);
        }
        let Some(place) = self.open.enter(self.settings.max_concurrent) else { return self.fail("too_many_open") };
        let Some(ask) = self.ask.get().cloned() else { return self.fail("no_answer") };
        let external = Arc::clone(self);
        Verdict::Wait(Box::pin(async move {
            let _place = place;
            match timeout(external.settings.timeout, (ask.0)(question)).await {
                Ok(Some((status, fields))) => external.conclude(status, &fields, key),
                Ok(None) => external.fail("no_answer"),
                Err(_late) => external.fail("timeout"),
            }
        }))
    }

    /// What the server is asked. `None` when the request cannot be described.
    fn question(&self, presented: &Presented<'_>) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        for name in &self.settings.forward_headers {
            for value in presented.headers.get_all(name) {
                fields.append(name, value.clone());
            }
        }
        let scheme = if presented.https { "https" } else { "http" };
        let mark = if presented.query.is_some() { "?" } else { "" };
        let uri = format!("{}{mark}{}", presented.path, presented.query.unwrap_or_default());
        let url = format!("{scheme}://{}{uri}", presented.authority);
        for (name, value) in [
            (METHOD, presented.method.as_str()),
            (PROTO, scheme),
            (HOST, presented.authority),
            (URI, &*uri),
            (FOR, &*presented.client.to_string()),
            (ORIGINAL, &*url),
        ] {
            fields.insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        Some(fields)
    }

    /// How the answer to a question is remembered; `None` where it is not. Where it counts for the same credentials and
    /// there are none, it would count for everybody who has none.
    fn key(&self, question: &HeaderMap) -> Option<SeenKey> {
        let (_, scope) = self.settings.cache?;
        let counts = |name: &HeaderName| match scope {
            CacheScope::Request => true,
            CacheScope::Credentials => self.settings.forward_headers.contains(name),
        };
        let mut fields = question.iter().filter(|(name, _)| counts(name)).peekable();
        fields.peek()?;
        self.known.seen.key(fields.flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]))
    }

    fn conclude(&self, status: StatusCode, fields: &HeaderMap, key: Option<SeenKey>) -> Verdict {
        if status.is_success() {
            let Some(verified) = self.introduce(fields) else { return self.fail("no_name") };
            self.works();
            if let (Some(key), Some((ttl, _))) = (key, self.settings.cache) {
                let bytes = verified.bytes();
                self.known.seen.note(key, (verified.clone(), Instant::now() + ttl), bytes);
            }
            return Verdict::Verified(verified);
        }
        let Some(status) = told(status, fields) else { return self.fail("status") };
        self.works();
        let chosen = self.settings.refusal_headers.iter();
        let headers =
            chosen.flat_map(|name| fields.get_all(name).iter().map(move |value| (name.clone(), value.clone())));
        let mut headers: Vec<_> = headers.collect();
        // RFC 9110 section 15.5.2: a 401 says how to do better.
        if status == StatusCode::UNAUTHORIZED && !headers.iter().any(|(name, _)| *name == WWW_AUTHENTICATE) {
            headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Credentials")));
        }
        Verdict::Answered(Arc::new(AuthAnswer { status, headers }))
    }

    /// Whom an answer lets pass; `None` when it does not name anybody although it should.
    fn introduce(&self, answer: &HeaderMap) -> Option<Verified> {
        let settings = &self.settings;
        let name = match &settings.principal_header {
            None => Some(&*self.provider),
            Some(name) => text(answer, name),
        };
        let roles = settings.roles_header.as_ref().and_then(|name| text(answer, name)).unwrap_or_default();
        let roles = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
        let principal = Principal {
            name: name?.into(),
            provider: Arc::clone(&self.provider),
            kind: PrincipalKind::External,
            roles: roles.map(Into::into).collect(),
            ..Principal::default()
        };
        // An answer is a slice of the buffer that its head was read into, which must not live as long as what is
        // remembered.
        let copied = settings.copy_headers.iter();
        let copied = copied.flat_map(|name| answer.get_all(name).iter().map(move |value| (name.clone(), owned(value))));
        let fields: Vec<_> = copied.collect();
        Some(Verified { principal: Arc::new(principal), fields: (!fields.is_empty()).then(|| fields.into()) })
    }

    fn works(&self) {
        if self.known.fails.load(Relaxed) && self.known.fails.swap(false, Relaxed) {
            tracing::info!(auth = &*self.provider, "the server that decides who may come in answers again");
        }
    }

    fn fail(&self, why: &'static str) -> Verdict {
        let then = match self.settings.on_failure {
            OnAuthFailure::Refuse => "requests are refused with 503",
            OnAuthFailure::Allow => "requests pass as nobody's",
        };
        if !self.known.fails.swap(true, Relaxed) {
            let (auth, url) = (&*self.provider, self.settings.url.to_string());
            tracing::warn!(auth, url, reason = why, then, "the server that decides who may come in does not");
        }
        match self.settings.on_failure {
            OnAuthFailure::Refuse => Verdict::Refused(Refusal::Unavailable),
            OnAuthFailure::Allow => Verdict::Open,
        }
    }
}

/// The status that a client is told after this answer; `None` when the answer says nothing about the client. What is
/// meant for the gateway as the one who asked, such as 400, 407 or 408, is a refusal like 403.
fn told(status: StatusCode, fields: &HeaderMap) -> Option<StatusCode> {
    match status.as_u16() {
        401 | 403 | 404 | 429 => Some(status),
        301 | 302 | 303 | 307 | 308 if fields.contains_key(LOCATION) => Some(status),
        400..=499 => Some(StatusCode::FORBIDDEN),
        _ => None,
    }
}

/// The text of a field that is there once.
fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    only_value(fields, name)?.to_str().ok()
}

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const ORIGINAL: HeaderName = HeaderName::from_static("x-original-url");

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;
    use crate::policy::auth::presented::tests::{fields, presented};

    fn settings() -> ExternalAuth {
        ExternalAuth {
            url: serde_json::from_str("\"http://127.0.0.1:9000/verify\"").unwrap(),
            ca_file: None,
            timeout: std::time::Duration::from_secs(2),
            forward_headers: vec![AUTHORIZATION, COOKIE],
            copy_headers: vec![HeaderName::from_static("x-user")],
            refusal_headers: vec![LOCATION],
            principal_header: Some(HeaderName::from_static("x-user")),
            roles_header: Some(HeaderName::from_static("x-roles")),
            cache: Some((std::time::Duration::from_secs(30), CacheScope::Request)),
            on_failure: OnAuthFailure::Refuse,
            max_concurrent: 1,
        }
    }

    fn knows(external: &External, ask: impl Fn(HeaderMap) -> Asking + Send + Sync + 'static) {
        external.ask_with(|_| Ok::<_, std::convert::Infallible>(Ask::new(ask))).unwrap();
    }

    /// A provider whose server answers like this.
    fn answering(settings: &ExternalAuth, status: u16, answer: &[(&'static str, &str)]) -> Arc<External> {
        let external = External::adopt(&"gate".into(), settings, None);
        let (status, answer) = (StatusCode::from_u16(status).unwrap(), fields(answer));
        knows(&external, move |_| {
            let answer = answer.clone();
            Box::pin(async move { Some((status, answer)) })
        });
        external
    }

    async fn decided(verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Wait(waiting) => waiting.await,
            other => other,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_decides() {
        for (status, answer, expected) in [
            (200, &[("x-user", "ann")][..], "ok"),
            (204, &[("x-user", "ann")], "ok"),
            (200, &[], "unavailable"),
            (200, &[("x-user", "")], "unavailable"),
            (200, &[("x-user", "ann"), ("x-user", "root")], "unavailable"),
            (302, &[("location", "/login")], "denied"),
            (302, &[], "unavailable"),
            (304, &[("location", "/login")], "unavailable"),
            (401, &[("x-user", "ann")], "denied"),
            (403, &[], "denied"),
            (404, &[], "denied"),
            (407, &[], "denied"),
            (500, &[("x-user", "ann")], "unavailable"),
            (503, &[], "unavailable"),
            (101, &[("x-user", "ann")], "unavailable"),
        ] {
            let external = answering(&settings(), status, answer);
            let headers = fields(&[("cookie", "a=b")]);
            let verdict = decided(external.verify(&presented(&headers, None))).await;
            assert_eq!(verdict.word(), expected, "{status} {answer:?}");
            let lax = ExternalAuth { on_failure: OnAuthFailure::Allow, ..settings() };
            let verdict = decided(answering(&lax, status, answer).verify(&presented(&headers, None))).await;
            assert_eq!(verdict.word(), if expected == "unavailable" { "open" } else { expected }, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_not_many_wait() {
        let external = External::adopt(&"gate".into(), &settings(), None);
        let headers = HeaderMap::new();
        assert_eq!(external.verify(&presented(&headers, None)).word(), "unavailable", "it does not know how to ask");
        knows(&external, |_| Box::pin(std::future::pending()));
        let first = external.verify(&presented(&headers, None));
        assert_eq!(external.verify(&presented(&headers, None)).word(), "unavailable");
        assert_eq!(decided(first).await.word(), "unavailable");
        assert_eq!(external.verify(&presented(&headers, None)).word(), "wait", "the place is free again");
        let more = ExternalAuth { max_concurrent: 2, ..settings() };
        let after = External::adopt(&"gate".into(), &more, Some(&external));
        assert!(Arc::ptr_eq(&external.open, &after.open), "what is open is counted on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_answered_outlives_a_reload_and_how_it_was_asked_does_not() {
        let before = answering(&settings(), 200, &[("x-user", "ann")]);
        let (headers, other) = (fields(&[("cookie", "a=b")]), fields(&[("cookie", "a=c")]));
        assert_eq!(decided(before.verify(&presented(&headers, None))).await.word(), "ok");
        let after = External::adopt(&"gate".into(), &settings(), Some(&before));
        assert_eq!(after.verify(&presented(&headers, None)).word(), "ok");
        assert_eq!(after.verify(&presented(&other, None)).word(), "unavailable", "it does not know how to ask");
        let lax = ExternalAuth { roles_header: None, ..settings() };
        let after = External::adopt(&"gate".into(), &lax, Some(&before));
        assert_eq!(after.verify(&presented(&headers, None)).word(), "unavailable", "another answer is wanted");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_holds_no_buffer_of_an_answer() {
        let buffer = bytes::Bytes::from(b"ann in a buffer of 64 KiB".to_vec());
        let mut answer = HeaderMap::new();
        answer.append("x-user", HeaderValue::from_maybe_shared(buffer.slice(..3)).unwrap());
        let external = External::adopt(&"gate".into(), &settings(), None);
        let held = std::sync::Mutex::new(Some(answer));
        knows(&external, move |_| {
            let answer = held.lock().unwrap().take();
            Box::pin(async move { answer.map(|answer| (StatusCode::OK, answer)) })
        });
        let verdict = decided(external.verify(&presented(&fields(&[("cookie", "a=b")]), None))).await;
        let Verdict::Verified(verified) = verdict else { panic!("it lets everybody pass") };
        assert_eq!(verified.fields.unwrap()[0].1, "ann");
        assert!(buffer.is_unique(), "nobody else holds it");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_what_is_equal() {
        let external = answering(&settings(), 200, &[("x-user", "ann"), ("x-roles", "a, b,,")]);
        let headers = fields(&[("cookie", "a=b")]);
        let Verdict::Verified(verified) = decided(external.verify(&presented(&headers, None))).await else {
            panic!("it lets everybody pass")
        };
        assert_eq!(verified.principal.roles.iter().map(|role| &**role).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(external.verify(&presented(&headers, None)).word(), "ok");
        let other = fields(&[("cookie", "a=c")]);
        assert_eq!(external.verify(&presented(&other, None)).word(), "wait");
        assert_eq!(external.verify(&presented(&headers, Some("a"))).word(), "wait", "another query");
        let mut later = presented(&headers, None);
        later.now += std::time::Duration::from_secs(31);
        assert_eq!(external.verify(&later).word(), "wait");
        let by_credentials =
            ExternalAuth { cache: Some((std::time::Duration::from_secs(30), CacheScope::Credentials)), ..settings() };
        let external = answering(&by_credentials, 200, &[("x-user", "ann")]);
        assert_eq!(decided(external.verify(&presented(&headers, None))).await.word(), "ok");
        assert_eq!(external.verify(&presented(&headers, Some("a"))).word(), "ok");
        assert_eq!(external.verify(&presented(&other, Some("a"))).word(), "wait");
        let none = HeaderMap::new();
        assert_eq!(decided(external.verify(&presented(&none, None))).await.word(), "ok");
        assert_eq!(external.verify(&presented(&none, None)).word(), "wait", "without credentials nothing counts again");
    }

    #[test]
    fn what_a_client_is_told() {
        let (none, location) = (HeaderMap::new(), fields(&[("location", "/login")]));
        for (status, fields, expected) in [
            (401, &none, Some(401)),
            (403, &none, Some(403)),
            (404, &none, Some(404)),
            (429, &none, Some(429)),
            (400, &none, Some(403)),
            (407, &none, Some(403)),
            (408, &none, Some(403)),
            (431, &none, Some(403)),
            (302, &location, Some(302)),
            (307, &location, Some(307)),
            (302, &none, None),
            (300, &location, None),
            (304, &location, None),
            (500, &none, None),
            (999, &none, None),
        ] {
            let found = told(StatusCode::from_u16(status).unwrap(), fields).map(|status| status.as_u16());
            assert_eq!(found, expected, "{status}");
        }
    }
}
