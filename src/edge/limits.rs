//! Asks a route's limits whether this client may send its request now.

use http::request::Parts;

use super::exchange::Exchange;
use super::worker::View;
use crate::config::model::RouteId;
use crate::error::Error;
use crate::policy::{Admitted, Caller, Refused};

/// Counts the request, or refuses it. The exchange holds the permits to the end of the answer's body.
pub(super) fn admit(exchange: &mut Exchange, view: &View, route: RouteId, head: &Parts) -> Result<(), Error> {
    let Some(limits) = view.limits(route) else {
        return Ok(());
    };
    let caller = Caller { client: exchange.client, method: &head.method, headers: &head.headers };
    match limits.admit(&caller) {
        Ok(Admitted { open, standing }) => {
            exchange.open = open;
            exchange.standing = standing.map(Box::new);
            Ok(())
        }
        Err(Refused { error, standing }) => {
            exchange.standing = standing.map(Box::new);
            Err(error)
        }
    }
}
