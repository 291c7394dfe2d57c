//! Splits and rollouts over the admin API: how far they are, and what operators do to them.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use super::audit::Operator;
use super::query::Query;
use crate::observe::clock;
use crate::observe::metrics::Metrics;
use crate::route::rollout::{Event, Now, OperateError, RolloutControl, Verb};
use crate::snapshot::{Snapshot, now};
use crate::visible::is_hidden;

/// Every split with its rollout, by route.
pub(super) fn list(snapshot: &Snapshot) -> Value {
    let routes: serde_json::Map<String, Value> =
        snapshot.splits().map(|(route, control)| (route.to_owned(), status(control))).collect();
    json!({ "now": moment(now().wall), "routes": routes })
}

/// A split's state. The state file keeps its moments as numbers, which need no reading; the API says them in the way of
/// all its others.
fn status(control: &RolloutControl) -> Value {
    let mut status = json!(control.status());
    for (part, keys) in MOMENTS {
        for key in *keys {
            if let Some(value) = status.get_mut(part).and_then(|part| part.get_mut(key))
                && let Some(millis) = value.as_u64()
            {
                *value = moment(millis).into();
            }
        }
    }
    status
}

fn moment(millis: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    clock::rfc3339(at.unwrap_or(UNIX_EPOCH))
}

/// Carries out an operator's request and returns the result.
pub(super) fn operate(
    snapshot: &Snapshot,
    metrics: &Metrics,
    operator: &Operator<'_>,
    query: &Query,
) -> (StatusCode, Value) {
    let refused = |status, why: String| (status, json!({ "error": why }));
    let text = |name| query.text(name).unwrap_or_default();
    let (route, verb, by) = (text("route"), text("verb"), by(text("by")));
    let Some((route, control)) = snapshot.splits().find(|(known, _)| *known == route) else {
        return refused(StatusCode::NOT_FOUND, format!("no route `{route}` has a split"));
    };
    match carry_out(control, verb, query, &by, now()) {
        Ok(events) => {
            for event in &events {
                metrics.rollout_events(route, event.kind).inc();
            }
            let said: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
            let detail = format!("{route} {verb}: {}", said.join("; "));
            operator.changed(snapshot, "rollout", &by, None, &detail);
            tracing::info!(route, verb, by, "{}", said.join("; "));
            (StatusCode::OK, json!({ "done": said, "status": status(control) }))
        }
        Err(Refused::Unknown(why)) => refused(StatusCode::BAD_REQUEST, why),
        Err(Refused::Split(error)) => refused(StatusCode::CONFLICT, error.to_string()),
    }
}

/// Why an operator's request was not carried out.
#[derive(Debug)]
enum Refused {
    Unknown(String),
    Split(OperateError),
}

impl From<OperateError> for Refused {
    fn from(error: OperateError) -> Self {
        Self::Split(error)
    }
}

/// The name under which events tell who did it, by his own account.
fn by(given: &str) -> String {
    let by: String = given.chars().filter(|c| !is_hidden(*c)).take(MAX_NAME).collect();
    if by.is_empty() { "an operator".to_owned() } else { by }
}

fn carry_out(control: &RolloutControl, verb: &str, query: &Query, by: &str, now: Now) -> Result<Vec<Event>, Refused> {
    let cluster = query.text("cluster");
    let verb = match verb {
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "promote" => Verb::Promote,
        "abort" => Verb::Abort,
        "restart" => Verb::Restart,
        "set-weight" => {
            let Some(weight) = query.number("weight") else {
                return Err(Refused::Unknown("`weight` is missing".to_owned()));
            };
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            return Ok(vec![control.hold(cluster, weight, query.number("for"), by, now)?]);
        }
        "switch" => return Ok(vec![control.switch(cluster, by, now)?]),
        "release" => return Ok(vec![control.release(by, now)?]),
        other => return Err(Refused::Unknown(format!("the verb `{other}` is not known"))),
    };
    Ok(control.operate(verb, by, now)?)
}

/// What of a split's state is a moment.
const MOMENTS: &[(&str, &[&str])] =
    &[("progress", &["entered", "nextMeasurement", "measuredAt", "standing"]), ("held", &["until", "since"])];
/// Characters of an operator's name.
const MAX_NAME: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_hides_nothing_and_has_a_bound() {
        for (given, expected) in [("ann\n\u{202e}", "ann"), ("\n", "an operator"), ("", "an operator")] {
            assert_eq!(by(given), expected, "{given:?}");
        }
        assert_eq!(by(&"x".repeat(500)).len(), MAX_NAME);
    }
}
