//! The level of the gateway's log over the admin API.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::audit::Operator;
use super::query::Query;
use crate::observe::live::LogLevel;
use crate::snapshot::Snapshot;

/// How it is.
pub(super) fn show(level: &LogLevel) -> Value {
    let now = level.now(Instant::now());
    json!({ "level": now.level, "configured": now.configured, "left": now.left.map(|left| left.as_secs_f64()) })
}

/// Sets it as an operator wants.
pub(super) fn set(
    snapshot: &Snapshot,
    level: &LogLevel,
    operator: &Operator<'_>,
    query: &Query,
) -> (StatusCode, Value) {
    let refused = |status, why: String| (status, json!({ "error": why }));
    let until = match query.time("for") {
        Ok(lasts) => lasts.and_then(|lasts| Instant::now().checked_add(lasts)),
        Err(why) => return refused(StatusCode::BAD_REQUEST, why),
    };
    let wanted = query.text("level");
    if !level.can_be_set() {
        return refused(StatusCode::CONFLICT, "this process has no log whose level could be set".to_owned());
    }
    if let Err(why) = level.choose(wanted, until) {
        return refused(StatusCode::BAD_REQUEST, why);
    }
    operator.changed(
        snapshot,
        "log_level",
        query.text("by").unwrap_or_default(),
        None,
        wanted.unwrap_or("as configured"),
    );
    (StatusCode::OK, show(level))
}
