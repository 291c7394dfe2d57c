//! Clients that failed to authenticate before may have to wait before they try again.

use std::time::Duration;

use tokio::time::Instant;

use super::audit;
use super::exchange::Exchange;
use super::stage::{Entry, ServedRoute};
use crate::config::model::LimitMode;
use crate::error::{BlockedBy, Error};
use crate::policy::auth_failures::{Client, ClientState};

/// The client, as failures are counted for it.
pub(super) fn client(exchange: &Exchange, entry: &Entry) -> Client {
    Client::new(exchange.client.address, entry.config().client_ip.ipv6_prefix)
}

/// How long a client has to wait before it may try; `None` when it may.
fn wait(exchange: &Exchange, entry: &Entry, now: Instant) -> Option<Duration> {
    let settings = entry.config().auth_failures.as_ref()?;
    match entry.view.snapshot.abuse.failures.state(client(exchange, entry), settings, now) {
        ClientState::Free => None,
        ClientState::Slowed(wait) | ClientState::Blocked(wait) => Some(wait),
    }
}

/// Whether a client has to wait before it may try.
pub(super) fn is_slowed(exchange: &Exchange, entry: &Entry, now: Instant) -> bool {
    let settings = entry.config().auth_failures.as_ref();
    settings.is_some_and(|settings| settings.mode == LimitMode::Enforce) && wait(exchange, entry, now).is_some()
}

/// Lets a client try, or refuses it whatever it presents. Says whether nothing is held against it.
pub(super) fn admit(exchange: &Exchange, entry: &Entry, route: &ServedRoute<'_>, now: Instant) -> Result<bool, Error> {
    let Some((wait, settings)) = wait(exchange, entry, now).zip(entry.config().auth_failures.as_ref()) else {
        return Ok(true);
    };
    let slowed = &route.handles.addresses().slowed;
    match settings.mode {
        LimitMode::Shadow => {
            slowed.count("shadow");
            audit::shadow(exchange, entry, &Error::AuthSlowed(wait));
            Ok(false)
        }
        LimitMode::Enforce => {
            slowed.count("enforce");
            Err(Error::AuthSlowed(wait))
        }
    }
}

/// Counts that what a client presented is not good. A proxy that names no client is none: to block it would shut out
/// everybody behind it.
pub(super) fn count(exchange: &Exchange, entry: &Entry) {
    let config = entry.config();
    let Some(settings) = &config.auth_failures else { return };
    if config.client_ip.trusts(exchange.client.address) {
        return;
    }
    let failures = &entry.view.snapshot.abuse.failures;
    let failed = failures.failed(client(exchange, entry), settings, Instant::now());
    let counted = &entry.view.blocks().auth_failures;
    match failed.state {
        ClientState::Free => counted.count("counted"),
        ClientState::Slowed(_) => counted.count("slowed"),
        ClientState::Blocked(wait) => {
            counted.count("blocked");
            if failed.is_new_block && settings.mode == LimitMode::Enforce {
                let blocked = Error::Blocked { by: BlockedBy::Failures, wait: Some(wait) };
                audit::blocked(exchange, entry, &blocked);
            }
        }
    }
}
