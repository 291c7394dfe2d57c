//! What the gateway answers by itself.

use super::request::Request;
use super::subject::Subject;
use crate::cli::words::time;
use crate::config::model::{Action, Listener};

/// The catalog of the listener, where that is asked for.
pub(super) fn catalog(listener: &Listener, request: &Request, path: &str) -> Option<String> {
    let catalog = listener.catalog.as_ref().filter(|catalog| catalog.is_asked_for(&request.method, path))?;
    let (ttl, limit) = (time(catalog.ttl), time(catalog.timeout));
    Some(format!(
        "answer    the catalog of the listener, no route; cards count for {ttl}, each agent has {limit} for one"
    ))
}

/// The answer of a route that does not forward.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    match &subject.settings().action {
        Action::Forward(_) | Action::Split(_) => Vec::new(),
        Action::Redirect(redirect) => {
            let status = redirect.status_for(subject.method()).as_u16();
            vec![format!("answer    {status}, redirect with {redirect}")]
        }
        Action::Respond(respond) => {
            let (status, length) = (respond.status.as_u16(), respond.body.len());
            vec![format!("answer    {status} with {length} bytes, no upstream")]
        }
    }
}
