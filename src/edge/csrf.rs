//! Refuses what a browser sends for a foreign page, where the route says so.

use super::audit;
use super::exchange::Exchange;
use super::public;
use super::stage::{Entry, Passage, ServedRoute};
use crate::config::model::LimitMode;
use crate::error::Error;
use crate::policy::cross_site::{Sender, sender};

/// Refuses it, or in shadow mode only counts it.
pub(super) fn check(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let settings = route.settings();
    let Some(guard) = &settings.csrf else {
        return Ok(Passage::On);
    };
    let own = || public::sources(exchange, route.listener.public_url.as_deref(), Some(settings)).face().origin();
    let shared = settings.cors.as_deref().map_or(&[][..], |cors| &cors.origins);
    let fields = exchange.message()?.headers();
    if sender(guard, shared, &exchange.request.method, fields, own) == Sender::Fine {
        return Ok(Passage::On);
    }
    let foreign = &route.handles.browsers().foreign;
    match guard.mode {
        LimitMode::Shadow => {
            foreign.count("shadow");
            audit::shadow(exchange, entry, &Error::CrossSite);
            Ok(Passage::On)
        }
        LimitMode::Enforce => {
            foreign.count("enforce");
            Err(Error::CrossSite)
        }
    }
}
