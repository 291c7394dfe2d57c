//! Orders and renews certificates (`listeners.X.tls.acme`). They are written to files, and served from there like those
//! that somebody else renews: a restart finds them, and a renewal drops no connection.

mod http;
mod issue;
mod schedule;
mod store;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::CertificateIdentifier;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use self::http::Client;
use self::issue::{Failure, Wanted, account, issue, known_account};
use self::schedule::{Known, due, pause};
use self::store::{Attempts, Store, on_disk};
use super::certificates;
use super::files::replace;
use crate::acme::{self, Challenges};
use crate::config::model::{Acme, AcmeChallenge, Certificate};
use crate::config::read_regular;
use crate::error::chain_within;
use crate::listener::Shared;
use crate::listener::certificates::Validity;
use crate::observe::metrics::Metrics;
use crate::pem;

/// A listener that has certificates ordered.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) listener: String,
    pub(super) acme: Acme,
    pub(super) challenges: Arc<Challenges>,
}

impl Customer {
    /// Whether a certificate for this name is ordered.
    fn wants(&self, name: &str) -> bool {
        self.acme.domains.iter().any(|domain| domain.to_string() == name)
    }

    /// Whether an order for `other` is one for this customer, whatever its domains.
    fn is_as(&self, other: &Self) -> bool {
        let terms = |customer: &Self| Acme { domains: Vec::new(), ..customer.acme.clone() };
        self.listener == other.listener
            && Arc::ptr_eq(&self.challenges, &other.challenges)
            && terms(self) == terms(other)
    }
}

/// What the configuration in force wants ordered.
#[derive(Clone, Debug, Default)]
struct Wishes {
    customers: Vec<Customer>,
    listeners: Vec<(String, Arc<Shared>)>,
}

impl Wishes {
    fn want(&self, customer: &Customer, domain: &str) -> bool {
        self.customers.iter().any(|one| one.is_as(customer) && one.wants(domain))
    }
}

/// Tells the task that orders what is wanted. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders(watch::Sender<Wishes>);

impl Orders {
    /// Has ordered what these listeners want, and nothing else; says whether they want anything. `files` are the
    /// challenges that requests answer.
    pub(super) fn want(
        &self,
        listeners: Vec<(String, Arc<Shared>)>,
        files: &Arc<Challenges>,
        metrics: &Metrics,
    ) -> bool {
        let customers = customers(&listeners, files);
        let is_wanted = |listener: &str, domain: &str| {
            let mut here = customers.iter().filter(|customer| customer.listener == listener);
            here.any(|customer| customer.wants(domain))
        };
        metrics.keep_ordered(is_wanted);
        let is_any = !customers.is_empty();
        self.0.send_replace(Wishes { customers, listeners });
        is_any
    }

    /// Looks after the certificates for ever, one at a time. An order under way outlives every reload after which it is
    /// still wanted.
    pub(super) async fn run(self, metrics: Arc<Metrics>) {
        let mut wishes = self.0.subscribe();
        let mut keeper = Keeper { wishes: wishes.clone(), metrics, stores: HashMap::new(), suggested: HashMap::new() };
        loop {
            let wanted = wishes.borrow_and_update().clone();
            keeper.forget_all_but(&wanted);
            let mut next = now().saturating_add(LONGEST);
            for customer in &wanted.customers {
                for certificate in acme::certificates(&customer.acme) {
                    next = next.min(keeper.look_while_wanted(customer, &certificate).await);
                }
            }
            let wait = u64::try_from(next.saturating_sub(now())).unwrap_or(0).max(SHORTEST);
            // This task holds a sender, so there may always be a change.
            drop(timeout(Duration::from_secs(wait), wishes.changed()).await);
        }
    }
}

fn customers(listeners: &[(String, Arc<Shared>)], files: &Arc<Challenges>) -> Vec<Customer> {
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

struct Keeper {
    wishes: watch::Receiver<Wishes>,
    metrics: Arc<Metrics>,
    /// By their place.
    stores: HashMap<PathBuf, Place>,
    /// When the authority suggests to renew a certificate, and when to ask that again; by file.
    suggested: HashMap<PathBuf, Suggested>,
}

enum Place {
    Ours(Arc<Store>),
    Taken(Taken),
}

/// A place whose lock somebody else has, or that cannot be used.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// In seconds since 1970.
    since: i64,
    is_told: bool,
}

impl Taken {
    /// Whether it is time to tell. A gateway that this one replaces has the lock for a moment, which is no news.
    fn is_news(&mut self, now: i64) -> bool {
        let is_news = !self.is_told && now.saturating_sub(self.since) >= LOCKED;
        self.is_told |= is_news;
        is_news
    }
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
    store: &'a Arc<Store>,
    customer: &'a Customer,
    file: &'a Path,
    domain: &'a str,
    /// The one it comes in place of, for authorities that ask.
    replaces: Option<CertificateIdentifier<'static>>,
}

impl Keeper {
    /// Lets go of places, and of what is known of certificates, that nobody wants any more.
    fn forget_all_but(&mut self, wanted: &Wishes) {
        let places: HashSet<_> = wanted.customers.iter().map(|customer| acme::place(&customer.acme)).collect();
        self.stores.retain(|place, _| places.contains(place));
        self.suggested.retain(|file, _| file.parent().is_some_and(|place| places.contains(place)));
    }

    /// Orders a certificate if it is time for that; says when to look again. Given up when a reload takes it away.
    async fn look_while_wanted(&mut self, customer: &Customer, certificate: &Certificate) -> i64 {
        let domain = certificate.hosts.first().map(ToString::to_string).unwrap_or_default();
        let mut wishes = self.wishes.clone();
        tokio::select! {
            biased;
            _ = wishes.wait_for(|wishes| !wishes.want(customer, &domain)) => now(),
            again = self.look(customer, &certificate.cert_file, &domain) => again,
        }
    }

    async fn look(&mut self, customer: &Customer, file: &Path, domain: &str) -> i64 {
        let store = match self.claim(&acme::place(&customer.acme)).await {
            Ok(store) => store,
            Err(again) => return again,
        };
        let (path, name) = (file.to_owned(), domain.to_owned());
        let (kept, attempts) = store.on_disk(move |store| (kept(&path), store.attempts(&name, now()))).await;
        let mut known = Known {
            validity: kept.as_ref().map(|kept| kept.validity),
            suggested: None,
            not_before: (attempts != Attempts::default()).then_some(attempts.not_before),
        };
        let luck = kept.as_ref().map_or(0.0, |kept| luck(&kept.leaf));
        let mut asks_again = i64::MAX;
        if let Some(kept) = &kept {
            let suggested = self.suggestion(&store, customer, file, kept).await;
            (known.suggested, asks_again) = (suggested.window, suggested.again);
        }
        let at = due(&known, luck);
        if at > now() {
            return at.min(asks_again);
        }
        let replaces = kept.as_ref().filter(|_| known.suggested.is_some()).and_then(|kept| identifier(&kept.leaf));
        self.order(Attempt { store: &store, customer, file, domain, replaces }, attempts).await
    }

    /// The files of a place, with the lock. When to try again, if somebody else has that.
    async fn claim(&mut self, place: &Path) -> Result<Arc<Store>, i64> {
        let before = match self.stores.get(place) {
            Some(Place::Ours(store)) => return Ok(Arc::clone(store)),
            Some(Place::Taken(taken)) => Some(*taken),
            None => None,
        };
        let path = place.to_owned();
        let error = match on_disk(move || Store::open(&path)).await {
            Ok(store) => {
                let store = Arc::new(store);
                self.stores.insert(place.to_owned(), Place::Ours(Arc::clone(&store)));
                return Ok(store);
            }
            Err(error) => error,
        };
        let now = now();
        let mut taken = before.unwrap_or(Taken { since: now, is_told: false });
        if taken.is_news(now) {
            tracing::warn!(
                place = %place.display(), %error,
                "this gateway orders no certificates, it serves those it finds there"
            );
        }
        self.stores.insert(place.to_owned(), Place::Taken(taken));
        Err(now.saturating_add(if before.is_none() { 1 } else { LOCKED }))
    }

    /// When the authority suggests to renew a certificate, if it has an opinion (RFC 9773).
    async fn suggestion(&mut self, store: &Arc<Store>, customer: &Customer, file: &Path, kept: &Kept) -> Suggested {
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
        if let Err(error) = note(store, domain, begun).await {
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
                note(store, domain, rest).await.ok();
                self.suggested.remove(file);
                tracing::info!(listener, domain, "certificate received");
                let listeners = self.wishes.borrow().listeners.clone();
                certificates::refresh(&listeners, &self.metrics).await;
                self.metrics.acme_ordered(listener, domain, "ok");
            }
            Err(failure) => {
                let wait = pause(failures, asked, fastrand::f64());
                let failed = Attempts { failures, not_before: now().saturating_add(wait) };
                note(store, domain, failed).await.ok();
                if is_unknown_account(&failure) {
                    store.on_disk(Store::forget_account).await.ok();
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

/// Writes down how attempts for a name went.
async fn note(store: &Arc<Store>, domain: &str, attempts: Attempts) -> io::Result<()> {
    let domain = domain.to_owned();
    store.on_disk(move |store| store.keep_attempts(&domain, attempts)).await
}

/// Gets a certificate and keeps it. `asked` is how long the server wants to be left alone.
async fn obtain(attempt: Attempt<'_>, asked: &mut Option<Duration>) -> Result<(), Failure> {
    let Attempt { store, customer, file, domain, replaces } = attempt;
    let client = Client::build(&customer.acme).await.map_err(Failure::Client)?;
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
    let (file, text) = (file.to_owned(), got?);
    store.on_disk(move |_| replace(&file, &text)).await.map_err(Failure::Keep)
}

async fn suggested(store: &Arc<Store>, acme: &Acme, leaf: &CertificateDer<'_>) -> Result<(i64, i64, i64), Failure> {
    let missing = |why: &'static str| Failure::Acme(instant_acme::Error::Str(why));
    let identifier = identifier(leaf).ok_or_else(|| missing("an authority key identifier"))?;
    let ask = async {
        // Without an account there is nobody to ask; it is made when something is ordered.
        let client = Client::build(acme).await.map_err(Failure::Client)?;
        let account = known_account(store, &client).await?.ok_or_else(|| missing("an account"))?;
        Ok(account.renewal_info(&identifier).await?)
    };
    let (info, wait) = timeout(WHOLE, Box::pin(ask)).await.unwrap_or(Err(Failure::TimedOut))?;
    let window = info.suggested_window;
    Ok((window.start.unix_timestamp(), window.end.unix_timestamp(), i64::try_from(wait.as_secs()).unwrap_or(0)))
}

/// How an authority calls a certificate.
fn identifier(leaf: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
}

/// What can be served from a file; a certificate without its own key cannot.
fn kept(file: &Path) -> Option<Kept> {
    let content = read_regular(file, MAX_FILE).ok()?;
    let (chain, key) = (pem::certificates(&content).ok()?, pem::private_key(&content).ok()?);
    let pair = pem::pair(chain, key, &aws_lc_rs::default_provider()).ok()?;
    let leaf = pair.cert.first()?.clone();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::HostPattern;

    #[test]
    fn a_lock_that_somebody_has_for_a_moment_is_no_news_and_one_for_long_is_told_once() {
        let mut taken = Taken { since: 100, is_told: false };
        // Each of many certificates in one place looks.
        let told: Vec<bool> = [100, 100, 100, 101, 101, 104, 105, 105, 110, 900].map(|now| taken.is_news(now)).to_vec();
        assert_eq!(told, [false, false, false, false, false, false, true, false, false, false]);
    }

    #[test]
    fn a_certificate_counts_with_its_own_key_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pem");
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (key, is_kept) in [(made.signing_key.serialize_pem(), true), (other, false), (String::new(), false)] {
            std::fs::write(&file, key + &made.cert.pem()).unwrap();
            assert_eq!(kept(&file).is_some(), is_kept);
        }
    }

    #[test]
    fn a_reload_ends_the_orders_that_it_takes_away_and_no_other() {
        let challenges = Arc::new(Challenges::default());
        let customer = |listener: &str, domains: &[&str], email: &str| Customer {
            listener: listener.to_owned(),
            acme: Acme {
                domains: domains.iter().map(|domain| HostPattern::Exact((*domain).to_owned())).collect(),
                email: Some(email.to_owned()),
                ..Acme::default()
            },
            challenges: Arc::clone(&challenges),
        };
        let ours = customer("web", &["a.example"], "me");
        for (after, stays) in [
            (customer("web", &["a.example"], "me"), true),
            (customer("web", &["b.example", "a.example"], "me"), true),
            (customer("web", &["b.example"], "me"), false),
            (customer("other", &["a.example"], "me"), false),
            (customer("web", &["a.example"], "you"), false),
            (Customer { challenges: Arc::default(), ..ours.clone() }, false),
        ] {
            let wishes = Wishes { customers: vec![after.clone()], listeners: Vec::new() };
            assert_eq!(wishes.want(&ours, "a.example"), stays, "{after:?}");
        }
    }
}
