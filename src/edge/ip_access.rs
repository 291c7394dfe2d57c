//! Which addresses a listener and a route serve.

use super::audit;
use super::exchange::Exchange;
use super::stage::{Entry, Passage, ServedRoute};
use crate::config::model::{IpAccess, IpRule, LimitMode};
use crate::error::{AddressRule, Error};
use crate::observe::handles::RouteHandles;

/// Refuses whom the listener does not serve, whatever is asked for.
pub(super) fn of_listener(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let Some(access) = &entry.settings()?.ip_access else {
        return Ok(Passage::On);
    };
    check(exchange, entry, access, AddressRule::of_listener, entry.view.unrouted())
}

/// Refuses whom the route does not serve.
pub(super) fn of_route(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(access) = &route.settings().ip_access else {
        return Ok(Passage::On);
    };
    check(exchange, entry, access, AddressRule::of_route, &route.handles)
}

fn check(
    exchange: &Exchange,
    entry: &Entry,
    access: &IpAccess,
    rule: fn(IpRule) -> AddressRule,
    handles: &RouteHandles,
) -> Result<Passage, Error> {
    let Some(rule) = access.refusal(exchange.client.address).map(rule) else {
        return Ok(Passage::On);
    };
    let refused = &handles.addresses().refused;
    match access.mode {
        LimitMode::Shadow => {
            refused.count("shadow");
            audit::shadow(exchange, entry, &Error::AddressRefused(rule));
            Ok(Passage::On)
        }
        LimitMode::Enforce => {
            refused.count("enforce");
            Err(Error::AddressRefused(rule))
        }
    }
}
