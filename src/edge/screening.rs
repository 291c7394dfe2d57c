//! Searches a request for what scanners and exploits send, before an agent sees it: its path, query and chosen header
//! fields, and the beginning of its body.

use http::{HeaderMap, HeaderValue, Request, header};

use super::audit;
use super::exchange::Exchange;
use super::expectation;
use super::facts::is_grpc;
use super::reading::PATIENCE;
use super::stage::{Entry, Passage, ServedRoute};
use crate::body::{LookLimits, Looked};
use crate::config::model::{PolicyMode, ScreenedPart, Screening, Search};
use crate::error::{CallRefusal, Error};
use crate::policy::screening::{Coding, MAX_BODY, PatternNumber, find, in_target};

/// Refuses a request in which something is found, or notes it.
pub(super) async fn check(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(screening) = &route.screening else {
        return Ok(Passage::On);
    };
    let mut found = of_head(exchange, screening)?.map_or(Found::Nothing, Found::Pattern);
    if let (Found::Nothing, Some(search)) = (&found, screening.search(ScreenedPart::Body))
        && has_body(exchange)?
    {
        found = Box::pin(of_body(exchange, entry, route, search)).await?;
    }
    let (pattern, error) = match found {
        Found::Nothing => return Ok(Passage::On),
        Found::Pattern(number) => (Some(number), Error::Screened),
        Found::Unread(error) => (None, error),
    };
    let acts = screening.mode == PolicyMode::Enforce;
    let result = if acts { "refused" } else { "shadow" };
    if let Some(found) = route.screening_series.as_ref().and_then(|series| series.count(pattern, result)) {
        exchange.client.note(found);
    }
    if acts {
        return Err(error);
    }
    audit::shadow(exchange, entry, &error);
    Ok(Passage::On)
}

/// What there is in a request.
enum Found {
    Nothing,
    /// The pattern of this number.
    Pattern(PatternNumber),
    /// Its body cannot be searched, and where that matters it is refused with this.
    Unread(Error),
}

/// The first pattern in what came with the head.
fn of_head(exchange: &Exchange, screening: &Screening) -> Result<Option<PatternNumber>, Error> {
    let (request, fields) = (&exchange.request, exchange.message()?.headers());
    let in_part = |search: &Search| match search.part {
        ScreenedPart::Path | ScreenedPart::Query => in_target(search, request.path(), request.uri.query()),
        ScreenedPart::Headers => {
            let mut values = screening.headers.iter().flat_map(|name| fields.get_all(name));
            values.find_map(|value| find(search, value.as_bytes(), &[Coding::Percent]))
        }
        ScreenedPart::Body => None,
    };
    Ok(screening.searches.iter().find_map(in_part))
}

fn has_body(exchange: &Exchange) -> Result<bool, Error> {
    use http_body::Body as _;
    Ok(!exchange.message()?.body().is_end_stream())
}

/// Searches the beginning of the body. It stays in front of the rest, and is sent as it came.
async fn of_body(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    search: &Search,
) -> Result<Found, Error> {
    let fields = exchange.message()?.headers();
    if is_coded(fields) {
        return Ok(Found::Unread(Error::Screened));
    }
    let codings = codings(fields);
    expectation::meet(exchange, route.listener).await?;
    let limits = LookLimits {
        // However long it is, its beginning is looked at.
        bytes: usize::MAX,
        time: route.listener.limits.body_idle_timeout.min(PATIENCE),
        room: entry.view.snapshot.agents.room.clone(),
    };
    let Some(body) = exchange.message.as_mut().map(Request::body_mut) else { return Ok(Found::Nothing) };
    let mut begin = Vec::new();
    let looked = body.look(&limits, |piece| {
        let room = MAX_BODY.saturating_sub(begin.len());
        begin.extend_from_slice(piece.get(..room).unwrap_or(piece));
        begin.len() < MAX_BODY
    });
    let looked = looked.await;
    if let Some(error) = exchange.request.upload.failure() {
        return Err(error);
    }
    Ok(match looked {
        Looked::Broken => return Err(Error::ClientGone),
        Looked::Late => Found::Unread(Error::BodyTimeout),
        Looked::NoRoom => Found::Unread(Error::CallRefused(CallRefusal::NoRoom)),
        Looked::Whole | Looked::Enough | Looked::TooLong => {
            find(search, &begin, codings).map_or(Found::Nothing, Found::Pattern)
        }
    })
}

/// Whether a body is compressed, as a whole or message by message.
fn is_coded(fields: &HeaderMap) -> bool {
    let names = [header::CONTENT_ENCODING.as_str(), "grpc-encoding"];
    let mut values = names.iter().flat_map(|name| fields.get_all(*name));
    values.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The ways in which an agent may decode a body. Many take JSON whatever it is called, so only a message that is gRPC
/// by every word stands as it is.
fn codings(fields: &HeaderMap) -> &'static [Coding] {
    let mut types = fields.get_all(header::CONTENT_TYPE).iter().peekable();
    let is_json = |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().ends_with(b"+json");
    if types.peek().is_some() && types.all(|value| is_grpc(Some(value)) && !is_json(value)) {
        return &[];
    }
    let is_form =
        |value: &HeaderValue| value.as_bytes().get(..FORM.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FORM));
    if fields.get_all(header::CONTENT_TYPE).iter().any(is_form) {
        &[Coding::Form, Coding::Json]
    } else {
        &[Coding::Json]
    }
}

const FORM: &[u8] = b"application/x-www-form-urlencoded";
