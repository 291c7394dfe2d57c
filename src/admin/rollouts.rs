//! Splits and rollouts over the admin API: how far they are, and what operators do to them.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use super::audit::Operator;
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

/// What an operator wants, from the query of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct OperatorRequest {
    route: String,
    verb: String,
    weight: Option<u32>,
    cluster: Option<String>,
    /// Milliseconds.
    lasts: Option<u64>,
    by: String,
}

/// Carries out an operator's request and returns the result.
pub(super) fn operate(
    snapshot: &Snapshot,
    metrics: &Metrics,
    operator: &Operator<'_>,
    query: &str,
) -> (StatusCode, Value) {
    let refused = |status, why: String| (status, json!({ "error": why }));
    let request = match OperatorRequest::parse(query) {
        Ok(request) => request,
        Err(why) => return refused(StatusCode::BAD_REQUEST, why),
    };
    let Some((route, control)) = snapshot.splits().find(|(route, _)| *route == request.route) else {
        let why = format!("no route `{}` has a split", request.route);
        return refused(StatusCode::NOT_FOUND, why);
    };
    match request.carry_out(control, now()) {
        Ok(events) => {
            for event in &events {
                metrics.rollout_events(route, event.kind).inc();
            }
            let said: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
            let detail = format!("{route} {}: {}", request.verb, said.join("; "));
            operator.changed(snapshot, "rollout", &request.by, None, &detail);
            tracing::info!(route, verb = request.verb, by = request.by, "{}", said.join("; "));
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

impl OperatorRequest {
    fn parse(query: &str) -> Result<Self, String> {
        let mut request = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || value.parse::<u64>().map_err(|_not_a_number| format!("`{key}={value}` is not a number"));
            match &*key {
                "route" => request.route = value.into_owned(),
                "verb" => request.verb = value.into_owned(),
                "cluster" => request.cluster = Some(value.into_owned()),
                "weight" => request.weight = Some(u32::try_from(number()?).unwrap_or(u32::MAX)),
                "for" => request.lasts = Some(number()?),
                "by" => {
                    request.by = value.chars().filter(|c| !is_hidden(*c)).take(MAX_NAME).collect();
                }
                _ => return Err(format!("`{key}` is not known here")),
            }
        }
        if request.by.is_empty() {
            "an operator".clone_into(&mut request.by);
        }
        Ok(request)
    }

    fn carry_out(&self, control: &RolloutControl, now: Now) -> Result<Vec<Event>, Refused> {
        let (cluster, by) = (self.cluster.as_deref(), self.by.as_str());
        let verb = match self.verb.as_str() {
            "pause" => Verb::Pause,
            "resume" => Verb::Resume,
            "promote" => Verb::Promote,
            "abort" => Verb::Abort,
            "restart" => Verb::Restart,
            "set-weight" => {
                let Some(weight) = self.weight else {
                    return Err(Refused::Unknown("`weight` is missing".to_owned()));
                };
                let event = control.hold(cluster, weight, self.lasts, by, now)?;
                return Ok(vec![event]);
            }
            "switch" => return Ok(vec![control.switch(cluster, by, now)?]),
            "release" => return Ok(vec![control.release(by, now)?]),
            other => return Err(Refused::Unknown(format!("the verb `{other}` is not known"))),
        };
        Ok(control.operate(verb, by, now)?)
    }
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
    fn requests_are_read() {
        let request =
            OperatorRequest::parse("route=a%20b&verb=set-weight&weight=30&cluster=c&for=600000&by=ann%0A%E2%80%AE");
        let expected = OperatorRequest {
            route: "a b".to_owned(),
            verb: "set-weight".to_owned(),
            weight: Some(30),
            cluster: Some("c".to_owned()),
            lasts: Some(600_000),
            by: "ann".to_owned(),
        };
        assert_eq!(request, Ok(expected));
        assert_eq!(OperatorRequest::parse("").unwrap().by, "an operator");
        for query in ["weight=x", "for=-1", "speed=1"] {
            assert!(OperatorRequest::parse(query).is_err(), "{query}");
        }
    }
}
