//! Who the client is: the providers of the route are asked, and whoever is not known does not come in.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use tokio::time::Instant;

use super::auth_failures;
use super::exchange::Exchange;
use super::stage::{Entry, Passage, ServedRoute};
use super::{resource_metadata, tenant};
use crate::error::Error;
use crate::policy::auth::{Decision, Presented, Progress, Refusal, RouteAuth, Step, Waiting};

/// Takes the fields out of a request that tell agents who a client is, on routes without providers too: nobody must
/// take a client's word for the gateway's. It comes before anything is read from the fields, and before the end of a
/// body can have come.
pub(super) fn take_out_forged(exchange: &mut Exchange, entry: &Entry) {
    if let Some(protected) = &entry.view.snapshot.auth.protected
        && let Some(message) = &mut exchange.message
    {
        protected.clean(message.headers_mut());
        message.body_mut().keep_out(protected);
    }
}

/// Finds out whose the request is.
pub(super) async fn check(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(auth) = route.auth.as_deref() else { return Ok(Passage::On) };
    if !auth.is_public(&exchange.request.method, exchange.request.path()) {
        let is_free = auth_failures::admit(exchange, entry, route, exchange.request.started)?;
        let presented = presented(exchange)?;
        let mut progress = Progress::default();
        let (decision, has_waited) = match auth.go_on(&presented, &mut progress, None) {
            Step::Decided(decision) => (decision, false),
            Step::Wait(waiting) => (Box::pin(find_out(auth, &presented, progress, waiting)).await, true),
        };
        // Many guesses may have been under way at once: who is slowed down by the first of them learns nothing from
        // the others.
        let admitted =
            if has_waited && is_free { auth_failures::admit(exchange, entry, route, Instant::now()) } else { Ok(true) };
        if matches!(decision, Decision::Refused(_, Refusal::Invalid)) {
            auth_failures::count(exchange, entry);
        }
        admitted?;
        conclude(exchange, route, auth, decision)?;
        tenant::prove(exchange, entry)?;
    }
    strip_query(exchange, auth)?;
    Ok(Passage::On)
}

/// Waits for the providers that have to find out.
pub(super) async fn find_out(
    auth: &RouteAuth,
    presented: &Presented<'_>,
    mut progress: Progress,
    mut waiting: Waiting,
) -> Decision {
    loop {
        let found = waiting.await;
        match auth.go_on(presented, &mut progress, Some(found)) {
            Step::Decided(decision) => return decision,
            Step::Wait(more) => waiting = more,
        }
    }
}

/// What a request presents.
pub(super) fn presented(exchange: &Exchange) -> Result<Presented<'_>, Error> {
    let (request, client) = (&exchange.request, &exchange.client);
    Ok(Presented {
        method: &request.method,
        authority: request.asked(),
        path: request.path(),
        query: request.uri.query(),
        headers: exchange.message()?.headers(),
        tls: exchange.connection.tls.as_ref(),
        client: client.address,
        https: client.https,
        time: request.time,
        now: request.started,
    })
}

/// Counts what was decided, and notes whose the request is.
fn conclude(
    exchange: &mut Exchange,
    route: &ServedRoute<'_>,
    auth: &RouteAuth,
    decision: Decision,
) -> Result<(), Error> {
    let (provider, result) = match &decision {
        Decision::Verified(at, _) => (Some(*at), "ok"),
        Decision::Anonymous => (None, "anonymous"),
        Decision::Open(at) => (Some(*at), "open"),
        Decision::Answered(at, _) => (Some(*at), "denied"),
        Decision::Missing => (None, "missing"),
        Decision::Refused(at, refusal) => (Some(*at), refusal.word()),
    };
    if let Some(handles) = &route.auth_handles {
        handles.count(provider, result);
    }
    match decision {
        Decision::Anonymous | Decision::Open(_) => Ok(()),
        Decision::Answered(_, answer) => Err(Error::AuthAnswered(answer)),
        Decision::Verified(_, verified) => {
            exchange.client.identity.principal = Some(verified.principal);
            exchange.request.vouched = verified.fields;
            Ok(())
        }
        Decision::Missing => Err(Error::CredentialsMissing(resource_metadata::challenges(exchange, route, auth, None))),
        Decision::Refused(at, Refusal::Invalid) => {
            Err(Error::CredentialsInvalid(resource_metadata::challenges(exchange, route, auth, Some(at))))
        }
        Decision::Refused(_, Refusal::Unavailable) => Err(Error::AuthUnavailable),
    }
}

/// Takes credentials out of the query, before anybody else looks at it.
fn strip_query(exchange: &mut Exchange, auth: &RouteAuth) -> Result<(), Error> {
    let request = &mut exchange.request;
    let Some(left) = request.uri.query().and_then(|query| auth.stripped_query(query)) else { return Ok(()) };
    let (path, mark) = (request.uri.path(), if left.is_empty() { "" } else { "?" });
    let target = format!("{path}{mark}{left}");
    let with_target = |uri: &Uri| {
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(target.parse().ok()?);
        Uri::from_parts(parts).ok()
    };
    let uri = with_target(&request.uri).ok_or_else(|| Error::BadRequest("path"))?;
    request.uri = uri.clone();
    if let Some(target) = exchange.message.as_mut().map(Request::uri_mut) {
        *target = uri;
    }
    Ok(())
}

/// Puts fields in, each as often as it is given, in the place of those that have their names.
pub(super) fn replace(fields: &mut HeaderMap, given: &[(HeaderName, HeaderValue)]) {
    for (name, _) in given {
        fields.remove(name);
    }
    for (name, value) in given {
        fields.append(name, value.clone());
    }
}

/// Tells the agent who the client is.
pub(super) fn tell(exchange: &Exchange, route: &ServedRoute<'_>, fields: &mut HeaderMap) {
    let Some(auth) = &route.auth else { return };
    if let Some(principal) = &exchange.client.identity.principal {
        auth.tell(fields, principal);
    }
    replace(fields, exchange.request.vouched.as_deref().unwrap_or_default());
}
