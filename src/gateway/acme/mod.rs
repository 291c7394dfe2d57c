//! Orders and renews certificates (`listeners.X.tls.acme`). They are written to files, and served from there like those
//! that somebody else renews: a restart finds them, and a renewal drops no connection.

mod http;
mod issue;
mod schedule;
mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::{Account, CertificateIdentifier};
use rustls_pki_types::CertificateDer;
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use self::http::Client;
use self::issue::{Failure, Wanted, account, issue};
use self::schedule::{Known, due, pause};
use self::store::{Attempts, Store, keep_certificate};
use super::certificates;
use crate::acme::{self, Challenges};
use crate::config::model::{Acme, AcmeChallenge, Certificate};
use crate::config::read_regular;
use crate::error::chain_within;
use crate::listener::Shared;
use crate::listener::certificates::Validity;
use crate::observe::metrics::Metrics;
use crate::pem;

/// A listener that has certificates ordered.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) listener: String,
    pub(super) acme: Acme,
    pub(super) challenges: Arc<Challenges>,
}

impl Customer {
    /// Whether a certificate for this name is ordered.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.acme.domains.iter().any(|domain| domain.to_string() == name)
    }
}

/// Listeners with certificates to order.
pub(super) fn customers(listeners: &[(String, Arc<Shared>)], files: &Arc<Challenges>) -> Vec<Customer> {
    let customer = |(name, shared): &(String, Arc<Shared>)| {
        let tls = shared.settings().tls.clone()?;
        let acme = tls.acme()?.clone();
        let challenges = match acme.challenge {
            AcmeChallenge::Http01 => Arc::clone(files),
            AcmeChallenge::TlsAlpn01 => Arc::clone(tls.challenges()),
        };
        Some(Customer { listener: name.clone(), acme, challenges })
    };
    listeners.iter().filter_map(customer).collect()
}

/// Looks after the certificates for ever, one at a time.
pub(super) async fn run(customers: Arc<Vec<Customer>>, listeners: Vec<(String, Arc<Shared>)>, metrics: Arc<Metrics>) {
    let mut keeper = Keeper { listeners, metrics, stores: HashMap::new(), suggested: HashMap::new() };
    loop {
        let mut next = now().saturating_add(LONGEST);
        for customer in customers.iter() {
            for certificate in acme::certificates(&customer.acme) {
                next = next.min(keeper.look(customer, &certificate).await);
            }
        }
        let wait = u64::try_from(next.saturating_sub(now())).unwrap_or(0).max(SHORTEST);
        sleep(Duration::from_secs(wait)).await;
    }
}

struct Keeper {
    listeners: Vec<(String, Arc<Shared>)>,
    metrics: Arc<Metrics>,
    /// By their place.
    stores: HashMap<PathBuf, Place>,
    /// When the authority suggests to renew a certificate, and when to ask that again; by file.
    suggested: HashMap<PathBuf, Suggested>,
}

enum Place {
    Ours(Store),
    /// Somebody else has the lock, at so many looks in a row. After a reload that is this gateway itself, for a moment.
    Taken(u32),
}

#[derive(Clone, Copy, Debug)]
struct Suggested {
    window: Option<(i64, i64)>,
    again: i64,
}

/// A certificate as its file has it.
struct Kept {
    leaf: CertificateDer<'static>,
    validity: Validity,
}

/// A certificate that is ordered now.
struct Attempt<'a> {
    store: &'a Store,
    customer: &'a Customer,
    file: &'a Path,
    domain: &'a str,
    /// The one it comes in place of, for authorities that ask.
    replaces: Option<CertificateIdentifier<'static>>,
}

impl Keeper {
    /// Orders a certificate if it is time for that; says when to look again.
    async fn look(&mut self, customer: &Customer, certificate: &Certificate) -> i64 {
        let place = acme::place(&customer.acme);
        let store = match self.stores.remove(&place) {
            Some(Place::Ours(store)) => store,
            other => {
                let looks = if let Some(Place::Taken(looks)) = other { looks } else { 0 };
                let wait = if looks == 0 { 1 } else { LOCKED };
                let Some(store) = self.claim(place.clone(), looks) else { return now().saturating_add(wait) };
                store
            }
        };
        let domain = certificate.hosts.first().map(ToString::to_string).unwrap_or_default();
        let again = self.look_with(&store, customer, &certificate.cert_file, &domain).await;
        self.stores.insert(place, Place::Ours(store));
        again
    }

    async fn look_with(&mut self, store: &Store, customer: &Customer, file: &Path, domain: &str) -> i64 {
        let kept = kept(file);
        let attempts = store.attempts(domain, now());
        let mut known = Known {
            validity: kept.as_ref().map(|kept| kept.validity),
            suggested: None,
            not_before: (attempts != Attempts::default()).then_some(attempts.not_before),
        };
        let luck = kept.as_ref().map_or(0.0, |kept| luck(&kept.leaf));
        let mut asks_again = i64::MAX;
        if let Some(kept) = &kept {
            let suggested = self.suggestion(store, customer, file, kept).await;
            (known.suggested, asks_again) = (suggested.window, suggested.again);
        }
        let at = due(&known, luck);
        if at > now() {
            return at.min(asks_again);
        }
        let replaces = kept.as_ref().filter(|_| known.suggested.is_some()).and_then(|kept| identifier(&kept.leaf));
        self.order(Attempt { store, customer, file, domain, replaces }, attempts).await
    }

    /// Takes the lock, if nobody else has it.
    fn claim(&mut self, place: PathBuf, looks: u32) -> Option<Store> {
        let error = match Store::open(&place) {
            Ok(store) => return Some(store),
            Err(error) => error,
        };
        if looks == 1 {
            tracing::warn!(
                place = %place.display(), %error,
                "this gateway orders no certificates, it serves those it finds there"
            );
        }
        self.stores.insert(place, Place::Taken(looks.saturating_add(1)));
        None
    }

    /// When the authority suggests to renew a certificate, if it has an opinion (RFC 9773).
    async fn suggestion(&mut self, store: &Store, customer: &Customer, file: &Path, kept: &Kept) -> Suggested {
        if let Some(known) = self.suggested.get(file).filter(|known| known.again > now()) {
            return *known;
        }
        let (window, wait) = match suggested(store, &customer.acme, &kept.leaf).await {
            Ok((from, to, wait)) => (Some((from, to)), wait.clamp(ASK_SOONEST, ASK_LATEST)),
            Err(error) => {
                tracing::debug!(error = chain_within(&error, MAX_SAID), "the authority suggests no time for a renewal");
                (None, ASK_LATEST)
            }
        };
        let suggested = Suggested { window, again: now().saturating_add(wait) };
        self.suggested.insert(file.to_owned(), suggested);
        suggested
    }

    /// Gets a certificate; says when to look again. Until it is there, or has failed, the next attempt is put off in
    /// the file already, so that neither a crash nor a reload makes two of one.
    async fn order(&mut self, attempt: Attempt<'_>, before: Attempts) -> i64 {
        let Attempt { store, customer, file, domain, .. } = attempt;
        let failures = before.failures.saturating_add(1);
        let begun = Attempts { failures, not_before: now().saturating_add(pause(failures, None, 0.0)) };
        let listener = customer.listener.as_str();
        if let Err(error) = store.keep_attempts(domain, begun) {
            tracing::error!(listener, domain, %error, "certificate not ordered, it could not be kept");
            self.metrics.acme_ordered(listener, domain, "failed");
            return begun.not_before;
        }
        tracing::info!(listener, domain, directory = customer.acme.directory, "certificate ordered");
        let mut asked = None;
        let outcome = match timeout(WHOLE, obtain(attempt, &mut asked)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut),
        };
        let asked = asked.and_then(|wait| i64::try_from(wait.as_secs()).ok());
        match outcome {
            Ok(()) => {
                let rest = Attempts { failures: 0, not_before: now().saturating_add(REST) };
                store.keep_attempts(domain, rest).ok();
                self.suggested.remove(file);
                tracing::info!(listener, domain, "certificate received");
                certificates::refresh(&self.listeners, &self.metrics).await;
                self.metrics.acme_ordered(listener, domain, "ok");
            }
            Err(failure) => {
                let wait = pause(failures, asked, fastrand::f64());
                store.keep_attempts(domain, Attempts { failures, not_before: now().saturating_add(wait) }).ok();
                if is_unknown_account(&failure) {
                    store.forget_account().ok();
                }
                let error = chain_within(&failure, MAX_SAID);
                tracing::error!(
                    listener,
                    domain,
                    error,
                    seconds = wait,
                    "no certificate; asked again after these seconds"
                );
                let result = if asked.is_some() { "rate_limited" } else { "failed" };
                self.metrics.acme_ordered(listener, domain, result);
            }
        }
        now()
    }
}

/// Gets a certificate and keeps it. `asked` is how long the server wants to be left alone.
async fn obtain(attempt: Attempt<'_>, asked: &mut Option<Duration>) -> Result<(), Failure> {
    let Attempt { store, customer, file, domain, replaces } = attempt;
    let client = client(&customer.acme)?;
    let got = async {
        let account = account(store, &customer.acme, &client).await?;
        let wanted = |replaces| Wanted { acme: &customer.acme, domain, challenges: &customer.challenges, replaces };
        match issue(&account, wanted(replaces)).await {
            // Somebody renewed it already; this is another one.
            Err(failure) if has_type(&failure, "alreadyReplaced") => issue(&account, wanted(None)).await,
            outcome => outcome,
        }
    };
    let got = Box::pin(got).await;
    *asked = client.asked_to_wait().filter(|_| got.is_err());
    keep_certificate(file, &got?).map_err(Failure::Account)
}

async fn suggested(store: &Store, acme: &Acme, leaf: &CertificateDer<'_>) -> Result<(i64, i64, i64), Failure> {
    let missing = |why: &'static str| Failure::Acme(instant_acme::Error::Str(why));
    let identifier = identifier(leaf).ok_or_else(|| missing("an authority key identifier"))?;
    let ask = async {
        // Without an account there is nobody to ask; it is made when something is ordered.
        store.account().ok_or_else(|| missing("an account"))?;
        let account: Account = account(store, acme, &client(acme)?).await?;
        Ok(account.renewal_info(&identifier).await?)
    };
    let (info, wait) = timeout(WHOLE, Box::pin(ask)).await.unwrap_or(Err(Failure::TimedOut))?;
    let window = info.suggested_window;
    Ok((window.start.unix_timestamp(), window.end.unix_timestamp(), i64::try_from(wait.as_secs()).unwrap_or(0)))
}

fn client(acme: &Acme) -> Result<Client, Failure> {
    Client::new(acme).map_err(|error| Failure::Account(std::io::Error::other(error)))
}

/// How an authority calls a certificate.
fn identifier(leaf: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
}

fn kept(file: &Path) -> Option<Kept> {
    let content = read_regular(file, MAX_FILE).ok()?;
    let chain = pem::certificates(&content).ok()?;
    let leaf = chain.first()?.clone();
    let validity = Validity::of(&leaf)?;
    Some(Kept { leaf, validity })
}

/// The same for a certificate each time.
fn luck(leaf: &CertificateDer<'_>) -> f64 {
    fastrand::Rng::with_seed(xxh3_64(leaf)).f64()
}

fn is_unknown_account(failure: &Failure) -> bool {
    has_type(failure, "accountDoesNotExist")
}

fn has_type(failure: &Failure, word: &str) -> bool {
    let Failure::Acme(instant_acme::Error::Api(problem)) = failure else { return false };
    problem.r#type.as_deref().is_some_and(|kind| kind.rsplit(':').next() == Some(word))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// All of an attempt.
const WHOLE: Duration = Duration::from_secs(300);
/// Size of a file with a certificate.
const MAX_FILE: usize = 1 << 20;
/// Characters of what an authority says that are logged.
const MAX_SAID: usize = 500;
/// Between two looks at all certificates, in seconds.
const SHORTEST: u64 = 1;
const LONGEST: i64 = 3600;
/// Until it is looked again whether the lock is free, in seconds.
const LOCKED: i64 = 5;
/// After a certificate was received no other is ordered for its name, whatever it says, in seconds.
const REST: i64 = 3600;
/// How often an authority is asked for its suggestion, in seconds.
const ASK_SOONEST: i64 = 3600;
const ASK_LATEST: i64 = 86_400;
