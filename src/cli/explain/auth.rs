//! Who has to know the client.

use super::identity::Identity;
use super::subject::Subject;
use crate::config::model::{
    AuthKind, AuthProvider, CacheScope, Credentials, ExternalAuth, Jwt, JwtKeys, Needed, OnAuthFailure,
};

/// A line for the route's providers, and one for each of them.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let (Some(settings), Some(auth)) = (&subject.settings().auth, &subject.route.auth) else {
        return Vec::new();
    };
    if auth.is_public(subject.method(), subject.facts.path) {
        return vec!["auth      none for this path (`except`)".to_owned()];
    }
    let names: Vec<_> = auth.providers().iter().map(|provider| provider.name()).collect();
    let who = match (&settings.needed, names.as_slice()) {
        (_, [one]) => (*one).to_owned(),
        (Needed::Any(_), _) => format!("one of {}", names.join(", ")),
        (Needed::All(_), _) => format!("all of {}", names.join(", ")),
    };
    let without = if settings.optional { "without credentials as nobody" } else { "others get 401" };
    let agents = match settings.credentials {
        Credentials::Strip => "agents do not see the credentials",
        Credentials::Pass => "agents see the credentials",
    };
    let providers = settings.needed.providers().iter().filter_map(|id| subject.config.auth_providers.get(id.0));
    let told: Vec<_> = settings.identity_headers.names().map(ToString::to_string).collect();
    let told = (!told.is_empty()).then(|| format!("          agents are told {}", told.join(", ")));
    let first = format!("auth      {who}, {without}; {agents}");
    std::iter::once(first).chain(providers.map(|provider| described(provider))).chain(told).collect()
}

fn described(provider: &AuthProvider) -> String {
    match &provider.kind {
        AuthKind::ApiKey(keys) => {
            format!("          {}: {} API keys, in {}", provider.name, keys.keys.len(), keys.carrier)
        }
        AuthKind::Basic(basic) => {
            format!("          {}: {} names with passwords (Basic)", provider.name, basic.users.len())
        }
        AuthKind::ClientCertificate(_) => format!("          {}: client certificates", provider.name),
        AuthKind::Jwt(jwt) => format!("          {}: {}", provider.name, tokens(jwt)),
        AuthKind::External(external) => format!("          {}: {}", provider.name, server(external)),
    }
}

fn tokens(jwt: &Jwt) -> String {
    let place = jwt.header.as_ref().map_or("Authorization: Bearer", |name| name.as_str());
    let issuer = jwt.rules.issuer.as_deref().unwrap_or("anybody");
    let audiences =
        if jwt.rules.audiences.is_empty() { "anybody".to_owned() } else { jwt.rules.audiences.join(" or ") };
    let algorithms: Vec<_> = jwt.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    let keys = match &jwt.keys {
        JwtKeys::Known(keys) => format!("{} keys from a file", keys.len()),
        JwtKeys::Remote(source) => format!("keys of {}, asked every {:?}", source.url, source.refresh),
    };
    format!("tokens of {issuer} for {audiences} in {place}, {}; {keys}", algorithms.join(" or "))
}

fn server(external: &ExternalAuth) -> String {
    let failure = match external.on_failure {
        OnAuthFailure::Refuse => "503 when it fails",
        OnAuthFailure::Allow => "everybody passes when it fails",
    };
    let cached = match external.cache {
        None => "each time".to_owned(),
        Some((ttl, CacheScope::Request)) => format!("once in {ttl:?} for equal requests"),
        Some((ttl, CacheScope::Credentials)) => format!("once in {ttl:?} for the same credentials"),
    };
    format!("asks {} within {:?}, {cached}; {failure}", external.url, external.timeout)
}

/// Whose the request is, where anything is presented.
pub(super) fn client(subject: &Subject<'_>) -> Vec<String> {
    let said = match &subject.identity {
        Identity::Open | Identity::Nobody => return Vec::new(),
        Identity::Known(principal) => {
            let roles = if principal.roles.is_empty() { "none".to_owned() } else { principal.roles.join(", ") };
            let spiffe = principal.spiffe.as_ref().map(|id| format!(", SPIFFE id {id}")).unwrap_or_default();
            format!("{} of {}, roles {roles}{spiffe}", principal.name, principal.provider)
        }
        Identity::Refused(why) => format!("not let in: {why}"),
        Identity::Asks(providers) => format!("one of {providers} has to find out, and nobody is asked here"),
    };
    vec![format!("client    {said}")]
}
