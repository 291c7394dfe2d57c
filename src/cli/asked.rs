//! Asking the admin API of a running gateway, and what to do about an answer that is none.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::Failure;
use super::operator::unreachable;
use super::terminal::waiting;
use crate::admin::client::Client;

/// What a question needs of `admin.writes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Reading,
    /// What moves rollouts.
    Rollouts,
    /// Everything.
    All,
}

/// Asks, and gives the answer if it is one. `name` is how the API is called.
pub(super) async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    name: &str,
    needs: Needs,
) -> Result<Value, Failure> {
    let asked = waiting(format_args!("the admin API at {name}"), client.ask(method, path, PATIENCE)).await;
    let (status, body) = asked.map_err(|error| unreachable(&error, name))?;
    let text = String::from_utf8_lossy(&body);
    let answer: Option<Value> = serde_json::from_str(&text).ok();
    match answer {
        Some(answer) if status == StatusCode::OK => Ok(answer),
        _ => Err(refused(status, &text, name, needs)),
    }
}

/// What to do about a refusal.
pub(super) fn refused(status: StatusCode, text: &str, name: &str, needs: Needs) -> Failure {
    let next = match (status, needs) {
        (StatusCode::UNAUTHORIZED, _) => "name the token's file with --token-file or ATTACHE_ADMIN_TOKEN_FILE",
        (StatusCode::FORBIDDEN, Needs::Reading) => "run it as the user of the gateway, or with its token",
        (StatusCode::FORBIDDEN, Needs::Rollouts) => "`admin.writes: rollouts` in the running configuration allows it",
        (StatusCode::FORBIDDEN, Needs::All) => "`admin.writes: all` in the running configuration allows it",
        (StatusCode::NOT_FOUND | StatusCode::CONFLICT, Needs::Rollouts) => "see `attache rollout status`",
        (StatusCode::NOT_FOUND | StatusCode::CONFLICT, Needs::All) => "see `attache status`",
        (StatusCode::SERVICE_UNAVAILABLE, _) => "try again",
        _ => "is that the admin API of this version of attache?",
    };
    let answer: Option<Value> = serde_json::from_str(text).ok();
    let error = answer.as_ref().and_then(|answer| answer.get("error")?.as_str());
    Failure::new(format_args!("{name}: {}", error.unwrap_or_else(|| text.trim())), next)
}

/// Who asks, for the audit log.
pub(super) fn by() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    user.unwrap_or_else(|| "attache".to_owned())
}

/// A path with a query.
pub(super) fn with_query<'a>(path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);
