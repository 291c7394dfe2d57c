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

    /// Whether it decides about credentials as `other` does, whatever else is asked for with them.
    #[must_use]
    pub fn decides_like(&self, other: &Self) -> bool {
        let is_same = |(own, other): (&Arc<Provider>, &Arc<Provider>)| {
            // A server that is asked looks at the whole request.
            Arc::ptr_eq(own, other) && own.carrier() != Carrier::Request
        };
        (self.all, self.optional, self.providers.len()) == (other.all, other.optional, other.providers.len())
            && self.providers.iter().zip(&other.providers).all(is_same)
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
                    if self.all {
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

/// Who must know a client, what becomes of others, and whether agents see the credentials.
impl fmt::Display for RouteAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.providers.iter().map(|provider| provider.name()).collect();
        let which = match (names.len(), self.all) {
            (1, _) => "",
            (_, false) => "one of ",
            (_, true) => "all of ",
        };
        let others = if self.optional { "without credentials as nobody" } else { "others get 401" };
        let agents = if self.strips { "agents do not see" } else { "agents see" };
        write!(f, "{which}{}, {others}; {agents} the credentials", names.join(", "))
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
            (Some(first), Some(more)) => {
                let is_kept = |(name, _): &&(HeaderName, HeaderValue)| !more.iter().any(|(other, _)| other == name);
                Some(first.iter().filter(is_kept).chain(&*more).cloned().collect())
            }
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
mod tests;
