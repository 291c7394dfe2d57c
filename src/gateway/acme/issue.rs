//! Gets one certificate: an order, a challenge that is answered, a request that is signed (RFC 8555 section 7.4).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeHandle, ChallengeType, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::http::Client;
use super::store::{Store, on_disk};
use crate::acme::{Challenges, PROTOCOL, PendingChallenge};
use crate::config::model::{Acme, AcmeChallenge, ExternalAccount};
use crate::config::read_regular;
use crate::pem::{self, PemError};
use crate::pool::ClientTlsError;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Acme(#[from] instant_acme::Error),
    #[error("the authority does not believe that the name is ours: {0}")]
    Refused(String),
    #[error("the authority offers no challenge {0:?} for this name")]
    NoChallenge(AcmeChallenge),
    #[error("no key or request could be made")]
    Made(#[from] rcgen::Error),
    #[error("what was issued {0}")]
    Issued(#[from] PemError),
    #[error("what was issued does not fit its key")]
    Pair(#[from] rustls::Error),
    #[error("the account, or the key it is bound by, cannot be read or written")]
    Account(#[source] std::io::Error),
    #[error("the file of the account is broken: put it back, or move it away to have another account made")]
    Broken(#[source] serde_json::Error),
    #[error("the authorities that vouch for the directory cannot be used")]
    Client(#[source] ClientTlsError),
    #[error("the certificate cannot be written")]
    Keep(#[source] std::io::Error),
    #[error("there was no end to it")]
    TimedOut,
}

/// One certificate that is wanted.
pub(super) struct Wanted<'a> {
    pub(super) acme: &'a Acme,
    pub(super) domain: &'a str,
    pub(super) challenges: &'a Arc<Challenges>,
    /// The one it comes in place of, for authorities that ask.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// The account, if there is one. A file that is no use is an error: with another account made in its place, the
/// authority's limits and what it allows this one would be lost.
pub(super) async fn known_account(store: &Arc<Store>, client: &Client) -> Result<Option<Account>, Failure> {
    let text = store.on_disk(Store::account).await.map_err(Failure::Account)?;
    let Some(text) = text else { return Ok(None) };
    let credentials = serde_json::from_slice(&text).map_err(Failure::Broken)?;
    Ok(Some(Account::builder_with_http(Box::new(client.clone())).from_credentials(credentials).await?))
}

/// The account, made when there is none yet.
pub(super) async fn account(store: &Arc<Store>, acme: &Acme, client: &Client) -> Result<Account, Failure> {
    if let Some(account) = known_account(store, client).await? {
        return Ok(account);
    }
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let contact = acme.email.iter().map(|email| format!("mailto:{email}")).collect::<Vec<_>>();
    let contact = contact.iter().map(String::as_str).collect::<Vec<_>>();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let bound = acme.eab.clone();
    let bound = on_disk(move || bound.as_ref().map(bound_key).transpose()).await?;
    let (account, credentials) = builder.create(&new, acme.directory.clone(), bound.as_ref()).await?;
    let text = serde_json::to_string(&credentials).map_err(|error| Failure::Account(error.into()))?;
    store.on_disk(move |store| store.keep_account(&text)).await.map_err(Failure::Account)?;
    tracing::info!(directory = acme.directory, "account made at the certificate authority");
    Ok(account)
}

fn bound_key(bound: &ExternalAccount) -> Result<ExternalAccountKey, Failure> {
    let text = read_regular(&bound.key_file, ExternalAccount::MAX_KEY).map_err(Failure::Account)?;
    let key = ExternalAccount::key(&text);
    let key = key.ok_or_else(|| Failure::Account(std::io::Error::other("the file holds no key in base64url")))?;
    Ok(ExternalAccountKey::new(bound.key_id.clone(), &key))
}

/// Gets the certificate; the key and the chain in one PEM text.
pub(super) async fn issue(account: &Account, wanted: Wanted<'_>) -> Result<String, Failure> {
    let identifiers = [Identifier::Dns(wanted.domain.to_owned())];
    let mut new = NewOrder::new(&identifiers);
    if let Some(replaced) = wanted.replaces {
        new = new.replaces(replaced);
    }
    let mut order = account.new_order(&new).await?;
    // Answered until the authority has looked.
    let mut pending = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let kind = match wanted.acme.challenge {
            AcmeChallenge::Http01 => ChallengeType::Http01,
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let challenge = authorization.challenge(kind);
        let mut challenge = challenge.ok_or(Failure::NoChallenge(wanted.acme.challenge))?;
        pending.push(answer(&challenge, wanted.acme.challenge, wanted.domain, wanted.challenges)?);
        challenge.set_ready().await?;
    }
    let ready = order.poll_ready(&PATIENCE).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        return Err(refusal(order.authorizations()).await.unwrap_or_else(|| match ready {
            Ok(status) => Failure::Refused(format!("the order is {status:?}")),
            Err(error) => error.into(),
        }));
    }
    let key = KeyPair::generate()?;
    order.finalize_csr(params(wanted.domain)?.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    drop(pending);
    let pair = pem::pair(
        pem::certificates(chain.as_bytes())?,
        pem::private_key(key.serialize_pem().as_bytes())?,
        &aws_lc_rs::default_provider(),
    );
    pair?;
    Ok(format!("{}{chain}", key.serialize_pem()))
}

/// What the authority says about a challenge that failed.
async fn refusal(mut authorizations: instant_acme::Authorizations<'_>) -> Option<Failure> {
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let mut errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = errors.next() {
            let detail = problem.detail.as_deref().unwrap_or("no reason was given");
            let kind = problem.r#type.as_deref().unwrap_or("no type");
            return Some(Failure::Refused(format!("{detail} ({kind})")));
        }
    }
    None
}

fn answer(
    challenge: &ChallengeHandle<'_>,
    kind: AcmeChallenge,
    domain: &str,
    challenges: &Arc<Challenges>,
) -> Result<PendingChallenge, Failure> {
    let authorization = challenge.key_authorization();
    Ok(match kind {
        AcmeChallenge::Http01 => challenges.with_file(&challenge.token, authorization.as_str()),
        AcmeChallenge::TlsAlpn01 => {
            challenges.with_handshake(domain, &handshake(domain, authorization.digest().as_ref())?)
        }
    })
}

/// The handshake that shows that a name is ours: a certificate for it that holds the digest (RFC 8737 section 3).
fn handshake(domain: &str, digest: &[u8]) -> Result<Arc<ServerConfig>, Failure> {
    let mut params = params(domain)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = CertificateDer::from(params.self_signed(&key)?);
    let provider = aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    // rustls does not check the certificate: it has an extension that is critical and that only authorities know.
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], signing));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A certificate for one name and no common name: authorities refuse requests whose common name is no name of theirs.
fn params(domain: &str) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

/// How often and how long an order is looked at: after 250 ms, then ever less often, for a minute and a half.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));
