//! The card of a gRPC answer: the one message is read and mapped, and the trailers follow as they came.

use std::rc::Rc;

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{collect, end_of, mapping};
use crate::a2a::card::{MAX_CARD, Place};
use crate::a2a::wire::{Framed, framed, in_frame};
use crate::edge::exchange::Exchange;
use crate::edge::stage::{Answered, Entry, ServedRoute};
use crate::edge::tracked_body::BodyLimits;
use crate::error::Error;
use crate::outcome::Application;
use crate::pool;
use crate::upstream::WorkerCluster;

/// Maps the card in an answer; what is none passes as it is.
pub(super) async fn take(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    cluster: &Rc<WorkerCluster>,
    response: Response<pool::ResponseBody>,
    limits: BodyLimits,
) -> Result<Answered, Error> {
    let generation = exchange.call.as_ref().map(|call| call.generation);
    let is_answer = response.status() == StatusCode::OK && exchange.outcome.application == Application::Silent;
    let Some(generation) = generation.filter(|_| limits.grpc && is_answer) else {
        return Ok(Answered::Streamed(response, limits));
    };
    let (mut head, body) = response.into_parts();
    let (mut come, rest) = collect::message(body, MAX_CARD, end_of(limits)).await?;
    let cards = route.handles.cards();
    let new = match in_frame(&come.data) {
        Framed::Whole(card, _) if card.len() > MAX_CARD => {
            cards.agent_cards.count("too_large");
            None
        }
        Framed::Whole(card, rest) => {
            let mapped = mapping::map(exchange, entry, route, cluster, (card, Place::Message(generation)))?;
            mapped.card.map(|changed| framed(&changed.card, rest))
        }
        // A call that failed is answered without a message.
        Framed::Begun { .. } if come.data.is_empty() => None,
        Framed::Begun { length: Some(length) } if length > MAX_CARD => {
            cards.agent_cards.count("too_large");
            None
        }
        Framed::Compressed | Framed::Begun { .. } | Framed::Other => {
            mapping::unreadable(route);
            None
        }
    };
    if let Some(new) = new {
        come.data = Bytes::from(new);
        head.headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Answered::Streamed(collect::given_back(&mut exchange.reply, head, come, rest), limits))
}
