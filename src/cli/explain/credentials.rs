//! Whom the providers of a route take a client for. Its credentials come from files: what stands on a command line is
//! there for everybody on the machine.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;

use super::super::{Failure, runtime};
use crate::config::model::{AuthKind, AuthProvider, KeyCarrier, TlsVersion};
use crate::config::read_regular;
use crate::context::{ClientCertificate, Principal, TlsFacts};
use crate::pem;
use crate::policy::auth::{Carrier, Decision, Presented, Progress, Provider, Refusal, RouteAuth, Step};
use crate::route::Facts;

/// What the client presents, by its kind.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    key: Option<String>,
    token: Option<String>,
    basic: Option<String>,
    certificate: Option<Arc<ClientCertificate>>,
}

/// Who the client is.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Who it proved to be.
    pub(super) principal: Option<Arc<Principal>>,
    /// A line about it.
    pub(super) line: Option<String>,
}

impl Credentials {
    /// Reads `KIND:FILE`.
    pub(super) fn read(given: &[String]) -> Result<Self, Failure> {
        let mut read = Self::default();
        for text in given {
            let known = text.split_once(':').filter(|(kind, _)| KINDS.contains(kind));
            let (kind, path) = known.ok_or_else(|| unknown(text))?;
            let content = read_regular(path.as_ref(), MAX_FILE)
                .map_err(|error| Failure::new(format_args!("cannot read {path}: {error}"), "name a file"))?;
            let whole = || {
                let text = String::from_utf8(content.clone()).map(|text| text.trim().to_owned());
                let told = format!("{path} holds no text");
                text.map_err(|_not_utf8| Failure::new(told, "write nothing but the credentials into the file"))
            };
            match kind {
                "key" => read.key = Some(whole()?),
                "token" => read.token = Some(whole()?),
                "basic" => read.basic = Some(whole()?),
                "cert" => {
                    let chain = pem::certificates(&content)
                        .map_err(|error| Failure::new(format_args!("{path}: {error}"), "name a file in PEM"))?;
                    let leaf = chain.first().and_then(|leaf| ClientCertificate::read(leaf));
                    let told = format!("{path} holds no certificate that can be read");
                    read.certificate = Some(Arc::new(
                        leaf.ok_or_else(|| Failure::new(told, "name a file in PEM, the client's first"))?,
                    ));
                }
                _ => return Err(unknown(text)),
            }
        }
        Ok(read)
    }

    fn is_empty(&self) -> bool {
        self.key.is_none() && self.token.is_none() && self.basic.is_none() && self.certificate.is_none()
    }

    /// Puts them where a provider looks for them.
    fn present(&self, provider: &Provider, settings: &AuthProvider, to: &mut HeaderMap, query: &mut String) {
        let mut put = |name: &HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                to.insert(name, value);
            }
        };
        match (&settings.kind, &self.key, &self.token, &self.basic) {
            (AuthKind::ApiKey(keys), Some(key), ..) => match &keys.carrier {
                KeyCarrier::Header(name) => put(name, key),
                KeyCarrier::Bearer => put(&header::AUTHORIZATION, &format!("Bearer {key}")),
                KeyCarrier::Query(name) => {
                    let separator = if query.is_empty() { "" } else { "&" };
                    let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, key).finish();
                    *query = format!("{query}{separator}{pair}");
                }
            },
            (AuthKind::Basic(_), .., Some(basic)) => {
                put(&header::AUTHORIZATION, &format!("Basic {}", STANDARD.encode(basic)));
            }
            (AuthKind::Jwt(_), _, Some(token), _) => match provider.carrier() {
                Carrier::Header(name) => put(name, token),
                _ => put(&header::AUTHORIZATION, &format!("Bearer {token}")),
            },
            // A certificate is no field, and what a server looks at is not known here.
            _ => {}
        }
    }

    /// Asks the providers of a route, as the gateway does.
    pub(super) fn client(
        &self,
        auth: &RouteAuth,
        settings: &[&AuthProvider],
        (facts, address): (&Facts<'_>, Option<IpAddr>),
    ) -> Result<Client, Failure> {
        if auth.is_public(facts.method, facts.path) {
            return Ok(Client::default());
        }
        let (mut headers, mut query) = (facts.headers.clone(), facts.query.unwrap_or_default().to_owned());
        for (provider, settings) in auth.providers().iter().zip(settings) {
            self.present(provider, settings, &mut headers, &mut query);
        }
        let tls = self.certificate.as_ref().map(|certificate| TlsFacts {
            server_name: None,
            version: TlsVersion::V13,
            resumed: false,
            client_verified: true,
            certificate: Some(Arc::clone(certificate)),
        });
        let presented = Presented {
            method: facts.method,
            authority: facts.host,
            path: facts.path,
            query: Some(query.as_str()).filter(|query| !query.is_empty()),
            headers: &headers,
            tls: tls.as_ref(),
            client: address.unwrap_or_else(|| Ipv4Addr::LOCALHOST.into()),
            https: tls.is_some(),
            time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            now: Instant::now(),
        };
        let decision = runtime()?.block_on(decide(auth, &presented));
        Ok(self.told(auth, decision))
    }

    fn told(&self, auth: &RouteAuth, decision: Decision) -> Client {
        let name = |at: usize| auth.providers().get(at).map_or("-", |provider| provider.name());
        let line = |text: String| Client { principal: None, line: Some(format!("client    {text}")) };
        match decision {
            Decision::Verified(at, verified) => {
                let principal = verified.principal;
                let roles = principal.roles.join(", ");
                let roles = if roles.is_empty() { roles } else { format!("; roles {roles}") };
                let told = line(format!("{}, as {} knows it{roles}", principal.name, name(at)));
                Client { principal: Some(principal), ..told }
            }
            Decision::Missing if self.is_empty() => Client::default(),
            Decision::Missing => line("nobody: 401 credentials_missing".to_owned()),
            Decision::Anonymous => line("nobody, which is enough here".to_owned()),
            Decision::Open(at) => line(format!("nobody: {} cannot be asked, and lets everybody pass then", name(at))),
            Decision::Answered(at, answer) => line(format!("refused by {}: {} auth_denied", name(at), answer.status)),
            Decision::Refused(at, refusal) => {
                let answer = match refusal {
                    Refusal::Invalid => "401 credentials_invalid",
                    Refusal::Denied => "403 auth_denied",
                    Refusal::Unavailable => "503 auth_unavailable",
                };
                line(format!("refused by {}: {answer}", name(at)))
            }
        }
    }
}

async fn decide(auth: &RouteAuth, presented: &Presented<'_>) -> Decision {
    let (mut progress, mut found) = (Progress::default(), None);
    loop {
        match auth.go_on(presented, &mut progress, found) {
            Step::Decided(decision) => return decision,
            Step::Wait(waiting) => found = Some(waiting.await),
        }
    }
}

fn unknown(text: &str) -> Failure {
    let next = "write key:FILE, token:FILE, basic:FILE (with name:password in it) or cert:FILE";
    Failure::new(format_args!("`{text}` does not say what the client presents"), next)
}

const KINDS: [&str; 4] = ["key", "token", "basic", "cert"];
/// Size of a file of credentials.
const MAX_FILE: usize = 1 << 20;
