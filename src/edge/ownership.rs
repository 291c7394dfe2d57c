//! Tasks and contexts belong to the client that made them, where the route says so: for everybody else there are none.

use super::exchange::Exchange;
use super::facts::Makes;
use super::stage::{Entry, Passage, ServedRoute};
use super::{guards, headers, limits};
use crate::a2a::{Body, Generation};
use crate::cluster::{Affinity, HeldKind, Maker};
use crate::error::{CallRefusal, Error};
use crate::policy::ownership::{self, Named, Touch};

/// Refuses a call about what another client made, and notes who makes what is new.
pub(super) fn check(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let settings = route.settings().a2a.as_ref().and_then(|settings| settings.ownership.as_deref());
    let (Some(settings), Some(call)) = (settings, exchange.call.as_deref()) else {
        return Ok(Passage::On);
    };
    if call.body().is_some_and(Body::is_incomplete) {
        return Err(guards::refuse(route, CallRefusal::Incomplete));
    }
    let agents = &entry.view.snapshot.agents;
    let maker = agents.makers.of(&settings.by, entry.config().client_ip.ipv6_prefix, &limits::caller(exchange)?);
    let maker = Maker(maker);
    let (ids, is_send) = (call.ids(), call.operation.is_some_and(crate::a2a::Operation::is_send));
    // In 0.1 the client makes up the ids of what is new.
    let is_made_up = is_send && call.generation == Generation::V0_1;
    let of = |kind, id: Option<&str>| match named(exchange, route, &agents.affinity, (kind, id), maker) {
        Named::Unknown if is_made_up => Named::Nothing,
        named => named,
    };
    let (task, context) = (of(HeldKind::Task, ids.task), of(HeldKind::Context, ids.context));
    match ownership::may_touch(call.operation, task, context, settings.unknown) {
        Touch::Passes => {}
        Touch::NotFound => return Err(guards::refuse(route, CallRefusal::NotOwner)),
        Touch::Lists => return Err(guards::refuse(route, CallRefusal::List)),
    }
    if is_send && task == Named::Nothing {
        exchange.destination.makes = Some(Box::new(Makes { maker, context: context == Named::Nothing }));
        if let Some(message) = &mut exchange.message {
            // What cannot be read belongs to nobody.
            headers::ask_uncoded(message.headers_mut(), exchange.request.grpc);
        }
    }
    Ok(Passage::On)
}

/// What an id is for its caller, in whichever cluster of the route it is known.
fn named(
    exchange: &Exchange,
    route: &ServedRoute<'_>,
    table: &Affinity,
    (kind, id): (HeldKind, Option<&str>),
    maker: Maker,
) -> Named {
    let Some(id) = id else { return Named::Nothing };
    let now = exchange.request.started;
    let known =
        route.clusters().filter_map(|cluster| table.maker(table.key(cluster.scope(), kind, id.as_bytes()), now));
    known.fold(Named::Unknown, |found, made_by| match found {
        Named::Others => Named::Others,
        _ if made_by == maker => Named::Own,
        _ => Named::Others,
    })
}
