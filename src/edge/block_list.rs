//! Clients that are not served at all, whatever they ask for: those of the configuration's list, those that operators
//! block, and those that failed to authenticate too often.

use std::time::Duration;

use super::auth_failures;
use super::exchange::Exchange;
use super::stage::{Entry, Passage};
use crate::config::model::LimitMode;
use crate::error::{BlockedBy, Error};
use crate::policy::auth_failures::ClientState;

/// Refuses the request of such a client.
pub(super) fn check(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let Some((by, wait)) = blocked(exchange, entry) else {
        return Ok(Passage::On);
    };
    entry.view.blocks().blocked.count(by.word());
    Err(Error::Blocked { by, wait })
}

/// Who blocks the client, and how long that lasts where it ends by itself.
fn blocked(exchange: &Exchange, entry: &Entry) -> Option<(BlockedBy, Option<Duration>)> {
    let (config, abuse, now) = (entry.config(), &entry.view.snapshot.abuse, exchange.request.started);
    let client = exchange.client.address;
    if config.block_list.networks.contains(client) {
        return Some((BlockedBy::Configuration, None));
    }
    if let Some(wait) = abuse.blocks.blocks(client, now) {
        return Some((BlockedBy::Operator, wait));
    }
    let settings = config.auth_failures.as_ref().filter(|settings| settings.mode == LimitMode::Enforce)?;
    match abuse.failures.state(auth_failures::client(exchange, entry), settings, now) {
        ClientState::Blocked(wait) => Some((BlockedBy::Failures, Some(wait))),
        ClientState::Free | ClientState::Slowed(_) => None,
    }
}
