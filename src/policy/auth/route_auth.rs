//! What a route asks of who wants in: which providers, in which order, and what is public.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Carrier, Presented, Provider, Refusal, Verdict, Verified, Waiting};
use crate::a2a::card::{NAMES, Scheme, Security};
use crate::config::model::{self, AuthException, Credentials, IdentityHeaders, Needed, PathMatch};
use crate::context::{Principal, strip_spellings};
use crate::error::AuthAnswer;

/// What one route asks.
#[derive(Debug)]
pub struct RouteAuth {
    providers: Box<[Arc<Provider>]>,
    /// Whether all of them must know the client.
    all: bool,
    optional: bool,
    except: Box<[Exception]>,
    strips: bool,
    identity: IdentityHeaders,
    /// What clients without credentials are told to bring.
    challenges: Arc<[HeaderValue]>,
    /// The same where those for a provider were not good, by provider.
    after_refusal: Box<[Arc<[HeaderValue]>]>,
}

#[derive(Debug)]
enum Exception {
    Cards,
    Health,
    Path { path: PathMatch, methods: Box<[Method]> },
}

/// How far a request has come.
#[derive(Debug, Default)]
pub struct Progress {
    at: usize,
    refused: Option<(usize, Refusal)>,
    known: Option<(usize, Verified)>,
    lacks: bool,
    open: Option<usize>,
}

/// How it goes on.
pub enum Step {
    /// It is decided.
    Decided(Decision),
    /// The provider whose turn it is has to find out. What comes of it is handed over to [`RouteAuth::go_on`].
    Wait(Waiting),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided(decision) => decision.fmt(f),
            Self::Wait(_) => f.write_str("Wait"),
        }
    }
}

/// Whether a request may come in. Providers are named by their position in [`RouteAuth::providers`].
#[derive(Debug)]
pub enum Decision {
    /// As this client's.
    Verified(usize, Verified),
    /// As nobody's: it presents nothing, and that is enough here.
    Anonymous,
    /// As nobody's: this provider could not say, and it is configured to let everybody pass then.
    Open(usize),
    /// It may not: a server that was asked says so, and what the client is told.
    Answered(usize, Arc<AuthAnswer>),
    /// It presents nothing.
    Missing,
    /// What it presents is not good.
    Refused(usize, Refusal),
}

impl RouteAuth {
    /// Puts a route's providers together; `all` are those of the configuration. `canonical` brings a path into the
    /// spelling in which requests are matched.
    #[must_use]
    pub fn new(settings: &model::RouteAuth, all: &[Arc<Provider>], canonical: fn(&PathMatch) -> PathMatch) -> Self {
        let find = |id: &model::AuthProviderId| all.get(id.0).map(Arc::clone);
        let providers: Box<[_]> = settings.needed.providers().iter().filter_map(find).collect();
        let realm = settings.realm.as_str();
        Self {
            challenges: challenges(&providers, realm, None),
            after_refusal: (0..providers.len()).map(|at| challenges(&providers, realm, Some(at))).collect(),
            all: matches!(settings.needed, Needed::All(_)),
            optional: settings.optional,
            except: settings.except.iter().map(|exception| Exception::new(exception, canonical)).collect(),
            strips: settings.credentials == Credentials::Strip,
            identity: settings.identity_headers.clone(),
            providers,
        }
    }

    /// The providers, in order.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Whether all of them must know a client.
    #[must_use]
    pub fn needs_all(&self) -> bool {
        self.all
    }

    /// Whether requests without credentials pass.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether a request needs no credentials whatever it carries. `path` is in the spelling that is forwarded.
    #[must_use]
    pub fn is_public(&self, method: &Method, path: &str) -> bool {
        !self.except.is_empty()
            && is_plain(path)
            && self.except.iter().any(|exception| match exception {
                Exception::Cards => {
                    matches!(*method, Method::GET | Method::HEAD) && NAMES.iter().any(|name| path.ends_with(name))
                }
                Exception::Health => matches!(*method, Method::GET | Method::HEAD) && HEALTH.contains(&path),
                Exception::Path { path: rule, methods } => {
                    (methods.is_empty() || methods.contains(method)) && rule.holds(path)
                }
            })
    }

    /// Asks one provider after the other until it is decided or one has to find out. `found` is what that came to.
    pub fn go_on(&self, presented: &Presented<'_>, progress: &mut Progress, mut found: Option<Verdict>) -> Step {
        while let Some(provider) = self.providers.get(progress.at) {
            let verdict = match found.take() {
                Some(verdict) => verdict,
                None if !self.is_asked(provider, progress) => Verdict::Absent,
                None => provider.verify(presented),
            };
            match verdict {
                Verdict::Wait(waiting) => return Step::Wait(waiting),
                Verdict::Absent => progress.lacks = true,
                Verdict::Answered(answer) => return Step::Decided(Decision::Answered(progress.at, answer)),
                Verdict::Open if self.all => progress.open = Some(progress.at),
                Verdict::Open => return Step::Decided(Decision::Open(progress.at)),
                Verdict::Verified(verified) if self.all => progress.unite(verified),
                Verdict::Verified(verified) => return Step::Decided(Decision::Verified(progress.at, verified)),
                Verdict::Refused(refusal) => {
                    progress.refuse(refusal);
                    if self.all || refusal == Refusal::Denied {
                        break;
                    }
                }
            }
            progress.at += 1;
        }
        Step::Decided(self.end(progress))
    }

    /// After a refusal, only those are asked that look at the same place: a client that has presented what is wrong
    /// gets no other chance.
    fn is_asked(&self, provider: &Provider, progress: &Progress) -> bool {
        let refused = progress.refused.and_then(|(at, _)| self.providers.get(at));
        refused.is_none_or(|refused| refused.carrier() == provider.carrier())
    }

    fn end(&self, progress: &mut Progress) -> Decision {
        match (progress.refused, progress.known.take()) {
            (Some((at, refusal)), _) => Decision::Refused(at, refusal),
            (None, Some((at, verified))) if !progress.lacks => Decision::Verified(at, verified),
            (None, None) if self.optional => Decision::Anonymous,
            (None, None) if !progress.lacks && progress.open.is_some() => {
                progress.open.map_or(Decision::Missing, Decision::Open)
            }
            (None, _) => Decision::Missing,
        }
    }

    /// The values of `WWW-Authenticate`; `refused`: what was there for this provider is not good.
    #[must_use]
    pub fn challenges(&self, refused: Option<usize>) -> Arc<[HeaderValue]> {
        let after = refused.and_then(|at| self.after_refusal.get(at));
        Arc::clone(after.unwrap_or(&self.challenges))
    }

    /// What agent cards say of it.
    #[must_use]
    pub fn card_security(&self) -> Security {
        let scheme = |provider: &Arc<Provider>| {
            let scheme = match provider.carrier() {
                Carrier::Authorization(scheme) => Scheme::Http(scheme),
                Carrier::Header(name) => Scheme::Header(name.as_str().to_owned()),
                Carrier::Query(name) => Scheme::Query(name.to_owned()),
                Carrier::Certificate => Scheme::MutualTls,
                // What a server looks at is not known here.
                Carrier::Request => return None,
            };
            Some((provider.name().to_owned(), scheme))
        };
        Security {
            schemes: self.providers.iter().filter_map(scheme).collect(),
            all: self.all,
            is_optional: self.optional,
        }
    }

    /// Takes the credentials out of what an agent gets, unless it shall see them.
    pub fn strip(&self, headers: &mut HeaderMap) {
        for provider in self.providers.iter().filter(|_| self.strips) {
            match provider.carrier() {
                Carrier::Authorization(_) => strip_spellings(headers, &header::AUTHORIZATION),
                Carrier::Header(name) => strip_spellings(headers, name),
                Carrier::Query(_) | Carrier::Certificate | Carrier::Request => {}
            }
        }
    }

    /// A query without the credentials in it, empty if there is nothing else; `None` when it stays as it is.
    #[must_use]
    pub fn stripped_query(&self, query: &str) -> Option<String> {
        let providers = self.providers.iter().filter(|_| self.strips);
        let names: Vec<&str> = providers
            .filter_map(|provider| match provider.carrier() {
                Carrier::Query(name) => Some(name),
                _ => None,
            })
            .collect();
        let is_secret = |pair: &&str| {
            let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name);
            name.is_some_and(|name| names.contains(&&*name))
        };
        let holds = !names.is_empty() && query.split('&').any(|pair| is_secret(&pair));
        holds.then(|| query.split('&').filter(|pair| !is_secret(pair)).collect::<Vec<_>>().join("&"))
    }

    /// Tells an agent who the client is. What the client sent under these names is gone by then.
    pub fn tell(&self, headers: &mut HeaderMap, principal: &Principal) {
        let mut tell = |name: &Option<HeaderName>, text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).ok();
            if let (Some(name), Some(value)) = (name, value) {
                headers.insert(name, value);
            }
        };
        tell(&self.identity.principal, &principal.name);
        tell(&self.identity.provider, &principal.provider);
        if self.identity.roles.is_some() {
            tell(&self.identity.roles, &principal.roles.join(","));
        }
        if let Some(spiffe) = &principal.spiffe {
            tell(&self.identity.spiffe, spiffe);
        }
    }
}

impl Progress {
    /// That nobody can say weighs more than that it is wrong: it may be right.
    fn refuse(&mut self, refusal: Refusal) {
        if self.refused.is_none_or(|(_, before)| before == Refusal::Invalid && refusal != Refusal::Invalid) {
            self.refused = Some((self.at, refusal));
        }
    }

    /// The first says who it is; roles come from all.
    fn unite(&mut self, more: Verified) {
        let Some((_, first)) = &mut self.known else {
            self.known = Some((self.at, more));
            return;
        };
        let known = &first.principal;
        let roles: Vec<_> = more.principal.roles.iter().filter(|role| !known.roles.contains(role)).cloned().collect();
        if !roles.is_empty() || (known.spiffe.is_none() && more.principal.spiffe.is_some()) {
            let mut united = Principal::clone(known);
            united.roles = united.roles.into_iter().chain(roles).collect();
            united.spiffe = united.spiffe.or_else(|| more.principal.spiffe.clone());
            first.principal = Arc::new(united);
        }
        first.fields = match (first.fields.take(), more.fields) {
            (Some(first), Some(more)) => Some(first.iter().chain(&*more).cloned().collect()),
            (first, more) => first.or(more),
        };
    }
}

impl Exception {
    fn new(settings: &AuthException, canonical: fn(&PathMatch) -> PathMatch) -> Self {
        match settings {
            AuthException::Cards => Self::Cards,
            AuthException::Health => Self::Health,
            AuthException::Path { path, methods } => {
                Self::Path { path: canonical(path), methods: methods.as_slice().into() }
            }
        }
    }
}

/// Whether all agents read a path alike. Some decode what was encoded a second time, take backslashes for slashes, or
/// leave out what stands behind a semicolon, and then see dot segments that are none here. What is excused must be what
/// they see.
fn is_plain(path: &str) -> bool {
    let shapes = |digits: &str| matches!(digits.to_ascii_lowercase().as_str(), "2f" | "5c" | "25" | "2e" | "3b" | "00");
    let is_shaped = path.split('%').skip(1).any(|rest| rest.get(..2).is_none_or(shapes));
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    !is_shaped && !path.contains('\\') && !path.split('/').any(is_dots)
}

/// One challenge for each kind of credentials; that of `refused` says so.
fn challenges(providers: &[Arc<Provider>], realm: &str, refused: Option<usize>) -> Arc<[HeaderValue]> {
    let carrier = refused.and_then(|at| providers.get(at)).map(|provider| provider.carrier());
    let mut values: Vec<HeaderValue> = Vec::new();
    for provider in providers {
        let text = provider.challenge(realm, carrier == Some(provider.carrier()));
        let value = HeaderValue::from_str(&text).ok();
        values.extend(value.filter(|value| !values.contains(value)));
    }
    values.into()
}

/// By what agents and servers are asked whether they are well. Whole paths: behind a prefix, a task could have such a
/// name.
const HEALTH: [&str; 5] = ["/health", "/healthz", "/livez", "/readyz", "/a2a/health"];

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::super::presented::tests::{fields, presented};
    use super::*;
    use crate::config::model::{ApiKeys, AuthKind, AuthProvider, AuthProviderId, KeyCarrier, KnownKey};

    /// Three providers, each with the key of its own name: `one` and `two` look at `x-key`, `token` at bearer tokens.
    fn providers() -> Vec<Arc<Provider>> {
        let header = || KeyCarrier::Header(HeaderName::from_static("x-key"));
        let provider = |(name, carrier): (&str, KeyCarrier)| {
            let key = KnownKey {
                name: format!("of {name}").into(),
                digest: digest(&SHA256, name.as_bytes()).as_ref().try_into().unwrap(),
                roles: [name.into(), "all".into()].into(),
            };
            let kind = AuthKind::ApiKey(ApiKeys { carrier, keys: vec![key] });
            Arc::new(Provider::adopt(&AuthProvider { name: name.into(), kind }, None))
        };
        [("one", header()), ("two", header()), ("token", KeyCarrier::Bearer)].map(provider).into()
    }

    fn settings(needed: Needed, optional: bool) -> model::RouteAuth {
        model::RouteAuth {
            needed,
            except: vec![
                AuthException::Cards,
                AuthException::Health,
                AuthException::Path { path: PathMatch::Prefix("/open".to_owned()), methods: vec![Method::GET] },
            ],
            optional,
            credentials: Credentials::Strip,
            identity_headers: IdentityHeaders::default(),
            realm: "a \"b\"".to_owned(),
            resource_metadata: None,
        }
    }

    fn auth(needed: Needed, optional: bool) -> RouteAuth {
        RouteAuth::new(&settings(needed, optional), &providers(), PathMatch::clone)
    }

    fn any(optional: bool) -> RouteAuth {
        auth(Needed::Any([0, 1, 2].map(AuthProviderId).into()), optional)
    }

    fn decided(auth: &RouteAuth, sent: &[(&'static str, &str)]) -> String {
        let headers = fields(sent);
        match auth.go_on(&presented(&headers, None), &mut Progress::default(), None) {
            Step::Decided(Decision::Verified(at, verified)) => {
                format!("{at} {} {}", verified.principal.name, verified.principal.roles.join("+"))
            }
            Step::Decided(other) => format!("{other:?}"),
            Step::Wait(_) => "wait".to_owned(),
        }
    }

    const TOKEN: (&str, &str) = ("authorization", "Bearer token");

    #[test]
    fn the_first_whose_credentials_are_there_decides() {
        for (sent, expected) in [
            (&[("x-key", "one")][..], "0 of one one+all"),
            (&[("x-key", "two")], "1 of two two+all"),
            (&[TOKEN], "2 of token token+all"),
            (&[TOKEN, ("x-key", "two")], "1 of two two+all"),
            (&[TOKEN, ("x-key", "wrong")], "Refused(0, Invalid)"),
            (&[("authorization", "Bearer wrong"), ("x-key", "one")], "0 of one one+all"),
            (&[("authorization", "Bearer wrong")], "Refused(2, Invalid)"),
            (&[("authorization", "Basic wrong")], "Missing"),
            (&[("x-key", "one"), ("x-key", "one")], "Refused(0, Invalid)"),
            (&[], "Missing"),
        ] {
            assert_eq!(decided(&any(false), sent), expected, "{sent:?}");
            let optional = if expected == "Missing" { "Anonymous" } else { expected };
            assert_eq!(decided(&any(true), sent), optional, "{sent:?}, optional");
        }
    }

    #[test]
    fn all_must_know_the_client_and_the_first_says_who_it_is() {
        for (sent, expected) in [
            (&[("x-key", "one"), TOKEN][..], "0 of one one+all+token"),
            (&[("x-key", "one")], "Missing"),
            (&[TOKEN], "Missing"),
            (&[("x-key", "wrong"), TOKEN], "Refused(0, Invalid)"),
            (&[("x-key", "one"), ("authorization", "Bearer wrong")], "Refused(1, Invalid)"),
            (&[], "Missing"),
        ] {
            let all = |optional| auth(Needed::All([0, 2].map(AuthProviderId).into()), optional);
            assert_eq!(decided(&all(false), sent), expected, "{sent:?}");
            // Half of what is asked for is not nothing.
            let optional = if sent.is_empty() { "Anonymous" } else { expected };
            assert_eq!(decided(&all(true), sent), optional, "{sent:?}, optional");
        }
    }

    #[tokio::test]
    async fn what_has_to_be_found_out_goes_on_where_it_stopped() {
        let (auth, headers) = (any(false), fields(&[TOKEN]));
        let presented = presented(&headers, None);
        for (found, expected) in [
            (Verdict::Absent, "Decided 2"),
            (Verdict::Refused(Refusal::Invalid), "Refused(0, Invalid)"),
            (Verdict::Refused(Refusal::Unavailable), "Refused(0, Unavailable)"),
            (Verdict::Refused(Refusal::Denied), "Refused(0, Denied)"),
        ] {
            let said = match auth.go_on(&presented, &mut Progress::default(), Some(found)) {
                Step::Decided(Decision::Verified(at, _)) => format!("Decided {at}"),
                other => format!("{other:?}"),
            };
            assert_eq!(said, expected);
        }
        let waits = Verdict::Wait(Box::pin(async { Verdict::Absent }));
        let Step::Wait(waiting) = auth.go_on(&presented, &mut Progress::default(), Some(waits)) else {
            panic!("it waits");
        };
        assert_eq!(waiting.await.word(), "absent");
    }

    #[test]
    fn what_is_public_needs_nothing() {
        let auth = any(false);
        for (method, path, expected) in [
            (Method::GET, "/.well-known/agent-card.json", true),
            (Method::HEAD, "/research/.well-known/agent.json", true),
            (Method::POST, "/.well-known/agent-card.json", false),
            (Method::GET, "/.well-known/agent-card.json/x", false),
            (Method::GET, "/healthz", true),
            (Method::HEAD, "/a2a/health", true),
            (Method::POST, "/health", false),
            (Method::GET, "/research/health", false),
            (Method::GET, "/health/", false),
            (Method::GET, "/open", true),
            (Method::GET, "/open/%C3%A4;a=b/...", true),
            (Method::GET, "/open/..;/x", false),
            (Method::GET, "/open/.;a/x", false),
            (Method::GET, "/open/..%2fx", false),
            (Method::GET, "/open/%5C", false),
            (Method::GET, "/open/%252e", false),
            (Method::GET, "/open/%3B", false),
            (Method::GET, "/open/%00", false),
            (Method::GET, "/open/%2", false),
            (Method::GET, "/open\\x", false),
            (Method::GET, "/x/..;/.well-known/agent-card.json", false),
            (Method::GET, "/open/x", true),
            (Method::POST, "/open", false),
            (Method::GET, "/opened", false),
            (Method::GET, "/Open", false),
            (Method::GET, "/", false),
        ] {
            assert_eq!(auth.is_public(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn challenges_are_told_once_and_the_wrong_one_says_so() {
        let values = |refused| {
            any(false).challenges(refused).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let key = r#"ApiKey realm="a \"b\"", in="header", name="x-key""#;
        assert_eq!(values(None), [key, r#"Bearer realm="a \"b\"""#]);
        assert_eq!(values(Some(2)), [key, r#"Bearer realm="a \"b\"", error="invalid_token""#]);
        assert_eq!(values(Some(0)), values(None));
    }

    #[test]
    fn credentials_are_taken_out_where_they_are_looked_for() {
        let mut headers = fields(&[TOKEN, ("x-key", "a"), ("x_key", "b"), ("x-other", "c")]);
        any(false).strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
        let kind = AuthKind::ApiKey(ApiKeys { carrier: KeyCarrier::Query("key".to_owned()), keys: Vec::new() });
        let provider = Arc::new(Provider::adopt(&AuthProvider { name: "q".into(), kind }, None));
        let settings = settings(Needed::Any(vec![AuthProviderId(0)]), false);
        let auth = RouteAuth::new(&settings, &[provider], PathMatch::clone);
        for (query, expected) in [
            ("key=secret", Some("")),
            ("a=1&key=secret&b=%20", Some("a=1&b=%20")),
            ("%6bey=secret&key&x", Some("x")),
            ("a=key&keys=1", None),
            ("", None),
        ] {
            assert_eq!(auth.stripped_query(query).as_deref(), expected, "{query}");
        }
    }
}
