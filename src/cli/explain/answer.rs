//! What the gateway answers by itself.

use super::subject::Subject;
use crate::config::model::Action;

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
