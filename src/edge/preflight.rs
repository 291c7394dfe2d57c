//! Answers preflights: the questions of browsers whether a page of another origin may send a request (Fetch standard,
//! section "CORS-preflight fetch"). They carry no credentials, so they are answered before anybody asks for some, and
//! no agent hears of them.

use http::{Response, StatusCode};

use super::cors::{self, Asks};
use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use crate::body::Body;
use crate::error::Error;

/// Answers the request if it is a preflight, and else notes whose page may read its answer.
pub(super) fn answer(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(settings) = &route.settings().cors else {
        return Ok(Passage::On);
    };
    let fields = exchange.message()?.headers();
    let allowed = cors::allowed_origin(settings, fields);
    let may = match exchange.request.asks {
        Asks::Nothing => {
            exchange.request.allowed_origin = allowed;
            return Ok(Passage::On);
        }
        Asks::Leave => allowed,
        Asks::LeaveElsewhere => None,
    };
    let preflights = &route.handles.browsers().preflights;
    let Some(origin) = may else {
        preflights.count("refused");
        return Err(Error::OriginRefused);
    };
    preflights.count("granted");
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    cors::grant(response.headers_mut(), settings, origin, fields);
    Ok(Passage::Answer(Box::new(response)))
}
