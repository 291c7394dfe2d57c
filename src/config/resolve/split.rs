//! Splits and the rollouts that move them.

use std::path::Path;
use std::time::Duration;

use super::Scope;
use super::references::References;
use crate::config::files::reason;
use crate::config::keys::split::{self as raw, Unit};
use crate::config::model::{
    Analysis, CookieKey, HashKey, Listener, Measure, Metric, Part, Rollout, Split, Step, Threshold,
};
use crate::config::node::{Step as At, steps};
use crate::config::report::Diagnostic;

/// Resolves a split and its rollout; `None` when nothing could be made of it.
pub(super) fn resolve(
    route: &str,
    raw: &raw::Split,
    rollout: Option<&raw::Rollout>,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Option<Split> {
    let parts = parts(route, raw, rollout.is_some(), references, scope)?;
    let sticky = rollout.and_then(|rollout| rollout.sticky.as_ref());
    let section = if sticky.is_some() { "rollout" } else { "split" };
    if sticky.is_some() && raw.sticky.is_some() {
        scope.add_key(
            &steps!["routes", route, "rollout", "sticky"],
            Diagnostic::conflict("the split says already what is `sticky`").hint("keep one of them"),
        );
    }
    let chosen_by = raw.chosen_by.clone();
    if chosen_by == Some(HashKey::ClientIp) {
        scope.add(
            &steps!["routes", route, "split", "chosenBy"],
            Diagnostic::invalid("an address does not name a cluster")
                .hint("write `{ header: name }` or `{ cookie: name }`"),
        );
    }
    let sticky = sticky.or(raw.sticky.as_ref());
    let at = steps!["routes", route, section, "sticky", "keyFile"];
    let key_file = sticky.and_then(|sticky| sticky.key_file.as_deref());
    let cookie_key = key_file.and_then(|file| cookie_key(Path::new(file), &at, scope));
    let rollout = rollout.and_then(|raw| self::rollout(route, raw, &parts, scope));
    Some(Split { parts, sticky: sticky.map(|sticky| sticky.key.clone()), cookie_key, chosen_by, rollout })
}

/// The key that a file holds.
fn cookie_key(file: &Path, at: &[At], scope: &mut Scope<'_>) -> Option<CookieKey> {
    let shown = file.display();
    let diagnostic = match scope.env.read(file, MAX_KEY) {
        Ok(bytes) if bytes.trim_ascii().len() >= MIN_KEY => {
            return Some(CookieKey::of(bytes.trim_ascii()));
        }
        Ok(_) => Diagnostic::invalid(format!("`{shown}` holds fewer than {MIN_KEY} bytes"))
            .hint("`openssl rand -hex 32` makes a good one"),
        Err(error) => {
            let message = format!("cannot read `{shown}`: {}", reason(&error));
            if scope.env.is_lenient() {
                Diagnostic::warning("missing-file", message)
            } else {
                Diagnostic::error("missing-file", message)
            }
        }
    };
    scope.add(at, diagnostic);
    None
}

/// The key of cookies that have none of their own: it comes from what only this gateway and its replicas know. The
/// files have been read when this is asked.
pub(super) fn default_key(listeners: &[Listener], scope: &Scope<'_>) -> Option<CookieKey> {
    let read = scope.env.with_seen(|seen| seen.beside());
    let settings = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let files = settings.flat_map(|tls| &tls.certificates);
    let hashes = files.filter_map(|pair| read.get(&scope.env.resolve(&pair.key_file)));
    let secret: Vec<u8> = hashes.flat_map(|hash| hash.to_be_bytes()).collect();
    (!secret.is_empty()).then(|| CookieKey::of(&secret))
}

/// Bytes of a key.
const MIN_KEY: usize = 16;
const MAX_KEY: usize = 4 << 10;

fn parts(
    route: &str,
    raw: &raw::Split,
    moved: bool,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Option<Vec<Part>> {
    let at = |index: usize, key: &str| -> Vec<At> {
        if raw.listed {
            steps!["routes", route, "split", index, key].into()
        } else {
            steps!["routes", route, "split", "clusters", index, key].into()
        }
    };
    let whole = steps!["routes", route, "split"];
    let mut parts: Vec<Part> = Vec::new();
    let mut complete = true;
    for (index, part) in raw.parts.iter().enumerate() {
        let (Some(name), Some(weight)) = (&part.cluster, part.weight) else {
            let diagnostic = Diagnostic::lacks("a share needs both parts");
            scope.missing(&whole, diagnostic.hint("write `{ cluster: name, weight: 10 }`"));
            complete = false;
            continue;
        };
        let Some(cluster) = references.clusters.get(name) else {
            let known = references.clusters.keys().map(String::as_str);
            scope.dangling(&at(index, "cluster"), "cluster", name, known);
            complete = false;
            continue;
        };
        if parts.iter().any(|other| other.name == *name) {
            let diagnostic = Diagnostic::invalid(format!("`{name}` is given twice"));
            scope.add(&at(index, "cluster"), diagnostic.hint("add the weights up"));
        }
        parts.push(Part { cluster: *cluster, name: name.clone(), weight });
    }
    check_weights(&parts, raw.parts.len(), moved, &whole, scope);
    (complete && !parts.is_empty()).then_some(parts)
}

fn check_weights(parts: &[Part], given: usize, moved: bool, at: &[At], scope: &mut Scope<'_>) {
    if given == 0 {
        let diagnostic = Diagnostic::lacks("this split has no clusters");
        scope
            .missing(at, diagnostic.hint("write `[{ cluster: stable, weight: 90 }, { cluster: canary, weight: 10 }]`"));
        return;
    }
    if given > MAX_PARTS {
        let message = format!("a split has at most {MAX_PARTS} clusters");
        scope.add(at, Diagnostic::invalid(message));
    }
    let sum: u64 = parts.iter().map(|part| u64::from(part.weight)).sum();
    if parts.len() < given {
        return;
    }
    if sum == 0 {
        scope.add(at, Diagnostic::invalid("every weight of this split is 0").hint("nothing would be served"));
    } else if sum != 100 && !moved {
        let message = format!("the weights of this split add up to {sum}, not to 100");
        scope.add(at, Diagnostic::warning("weights", message).hint("they are taken as shares of their sum"));
    }
}

fn rollout(route: &str, raw: &raw::Rollout, parts: &[Part], scope: &mut Scope<'_>) -> Option<Rollout> {
    let at = steps!["routes", route, "rollout"];
    let Some(name) = &raw.canary else {
        let diagnostic = Diagnostic::lacks("a rollout needs a `canary`");
        scope.missing(&at, diagnostic.hint("name the cluster of the new version"));
        return None;
    };
    let Some(canary) = parts.iter().position(|part| part.name == *name) else {
        let known = parts.iter().map(|part| part.name.as_str());
        scope.dangling(&steps!["routes", route, "rollout", "canary"], "cluster of this split", name, known);
        return None;
    };
    if parts.len() < 2 {
        let diagnostic = Diagnostic::invalid("a rollout needs a second version");
        scope.add(&steps!["routes", route, "split"], diagnostic.hint("add the stable cluster"));
    }
    let steps = taken_steps(route, raw, scope)?;
    let analysis = raw.analysis.as_ref().map(|raw| analysis(route, raw, steps.len(), scope));
    if let Some(analysis) = &analysis {
        comparable(route, analysis, &steps, scope);
    }
    Some(Rollout { canary, steps, analysis, on_failure: raw.on_failure, losing: raw.losing, start_at: raw.start_at })
}

fn taken_steps(route: &str, raw: &raw::Rollout, scope: &mut Scope<'_>) -> Option<Vec<Step>> {
    let given = raw.steps.as_deref().unwrap_or_default();
    if given.is_empty() {
        let diagnostic = Diagnostic::lacks("a rollout needs `steps`");
        scope.missing(
            &steps!["routes", route, "rollout"],
            diagnostic.hint("write `steps: [{ setWeight: 10 }, { pause: { duration: 2m } }]`"),
        );
        return None;
    }
    let mut steps = Vec::new();
    for (index, step) in given.iter().enumerate() {
        let at = steps!["routes", route, "rollout", "steps", index];
        match (step.set_weight, &step.pause) {
            (Some(weight), None) => steps.push(Step::SetWeight(weight)),
            (None, Some(pause)) => steps.push(Step::Pause(pause.0)),
            _ => scope.missing(
                &at,
                Diagnostic::invalid("a step does exactly one thing").hint("`setWeight: 10` or `pause: 2m`"),
            ),
        }
    }
    let weights: Vec<u32> = steps
        .iter()
        .filter_map(|step| match step {
            Step::SetWeight(weight) => Some(*weight),
            Step::Pause(_) => None,
        })
        .collect();
    let at = steps!["routes", route, "rollout", "steps"];
    if weights.windows(2).any(|pair| pair.last() <= pair.first()) {
        let diagnostic = Diagnostic::warning("weights", "the canary's share does not always grow");
        scope.add(&at, diagnostic);
    }
    if weights.last().is_some_and(|weight| *weight < 100) || weights.is_empty() {
        let diagnostic = Diagnostic::warning("weights", "the last step jumps to 100 % without a look");
        scope.add(&at, diagnostic.hint("end with `setWeight: 100`"));
    }
    Some(steps)
}

fn analysis(route: &str, raw: &raw::Analysis, step_count: usize, scope: &mut Scope<'_>) -> Analysis {
    let under = |key: &str| steps!["routes", route, "rollout", "analysis", key];
    if raw.interval < Duration::from_millis(100) {
        let diagnostic = Diagnostic::invalid("an interval is 100ms or more");
        scope.add(&under("interval"), diagnostic);
    }
    if raw.starting_step >= step_count {
        let message = format!("there is no step {}: the last is {}", raw.starting_step, step_count - 1);
        scope.add(&under("startingStep"), Diagnostic::invalid(message).hint("steps are counted from 0"));
    }
    let given = raw.metrics.as_deref().unwrap_or_default();
    if given.is_empty() {
        let diagnostic = Diagnostic::lacks("an analysis needs `metrics`");
        scope.missing(
            &steps!["routes", route, "rollout", "analysis"],
            diagnostic.hint("write `metrics: [{ name: success-rate, successCondition: \">= 0.95\" }]`"),
        );
    }
    let mut metrics = Vec::new();
    for (index, raw) in given.iter().enumerate() {
        metrics.extend(metric(route, index, raw, scope));
    }
    Analysis {
        starting_step: raw.starting_step,
        interval: raw.interval,
        count: raw.count,
        failure_limit: raw.failure_limit,
        min_requests: raw.min_requests,
        metrics,
    }
}

/// At 100 % the other versions get nothing, so what they did before has to have been measured.
fn comparable(route: &str, analysis: &Analysis, steps: &[Step], scope: &mut Scope<'_>) {
    let last = steps.iter().position(|step| *step == Step::SetWeight(100)).unwrap_or(steps.len());
    let measured = steps.iter().take(last).skip(analysis.starting_step).any(|step| matches!(step, Step::Pause(_)));
    if analysis.compares() && !measured {
        let message = "nothing is measured before `setWeight: 100`, when no other version is left to compare with";
        scope.add(
            &steps!["routes", route, "rollout", "analysis"],
            Diagnostic::invalid(message).hint("begin with an earlier `startingStep` that has a pause after it"),
        );
    }
}

fn metric(route: &str, index: usize, raw: &raw::Metric, scope: &mut Scope<'_>) -> Option<Metric> {
    let (Some(name), Some(written)) = (raw.name, raw.success_condition) else {
        let diagnostic = Diagnostic::lacks("a metric needs both parts");
        scope.missing(
            &steps!["routes", route, "rollout", "analysis", "metrics", index],
            diagnostic.hint("write `{ name: success-rate, successCondition: \">= 0.95\" }`"),
        );
        return None;
    };
    let at = steps!["routes", route, "rollout", "analysis", "metrics", index, "successCondition"];
    let is_time = matches!(name, Measure::LatencyP99 | Measure::LatencyP95);
    let problem = match (is_time, written.unit) {
        (true, Unit::None) => Some(("a time needs a unit", "write `<= 0.5s` or `<= 500ms`")),
        (true, Unit::Percent) => Some(("a time is not a percentage", "write `<= 0.5s`")),
        (false, Unit::Time) => Some(("a rate is not a time", "write `>= 0.95` or `>= 95%`")),
        _ => None,
    };
    if let Some((message, hint)) = problem {
        scope.add(&at, Diagnostic::invalid(message).hint(hint));
    }
    if let (false, Threshold::Value(value)) = (is_time, written.condition.threshold)
        && value > 1.0
    {
        let diagnostic = Diagnostic::invalid("a rate is at most 1");
        scope.add(&at, diagnostic.hint("write `>= 0.95` or `>= 95%`"));
    }
    Some(Metric { measure: name, condition: written.condition })
}

/// Clusters of one split.
const MAX_PARTS: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::config::{Environment, parse};

    /// What is said about a route with this split and rollout.
    fn said(rest: &str) -> Vec<String> {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}
clusters: {{ a: {{ endpoints: ['10.0.0.1:80'] }}, b: {{ endpoints: ['10.0.0.2:80'] }} }}
routes: {{ r: {{ {rest} }} }}"
        );
        let env = Environment::empty(SystemTime::UNIX_EPOCH);
        let report = match parse(&text, "gateway.yaml", &env) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        let said = report.diagnostics().iter().filter(|diagnostic| diagnostic.code != "unused");
        said.map(|diagnostic| diagnostic.message.clone()).collect()
    }

    const SPLIT: &str = "split: [{ cluster: a, weight: 100 }, { cluster: b, weight: 0 }]";

    #[test]
    fn what_is_legal_is_said_to_be_so_or_doubted() {
        let steps = "steps: [{ setWeight: 10 }, { pause: {} }, { setWeight: 100 }]";
        let rollout = |rest: &str| format!("{SPLIT}, rollout: {{ canary: b, {rest} }}");
        let metric = |metric: &str| rollout(&format!("{steps}, analysis: {{ metrics: [{{ {metric} }}] }}"));
        for (route, expected) in [
            ("split: [{ cluster: a, weight: 90 }, { cluster: b, weight: 10 }]".to_owned(), None),
            (
                "split: [{ cluster: a, weight: 9 }, { cluster: b, weight: 1 }]".to_owned(),
                Some("add up to 10, not to 100"),
            ),
            (rollout(steps), None),
            (rollout("steps: [{ setWeight: 10 }, { pause: 5m }, { setWeight: 100 }]"), None),
            (
                rollout("steps: [{ setWeight: 50 }, { setWeight: 20 }, { setWeight: 100 }]"),
                Some("does not always grow"),
            ),
            (rollout("steps: [{ setWeight: 50 }]"), Some("jumps to 100 %")),
            (metric("name: success-rate, successCondition: '>= 0.95'"), None),
            (metric("name: latency-p99, successCondition: '<= stable * 1.2'"), None),
            (rollout(&format!("{steps}, startAt: 2026-12-01T08:00:00Z")), None),
        ] {
            let said = said(&route);
            match expected {
                None => assert!(said.is_empty(), "{route}: {said:?}"),
                Some(expected) => assert!(said.iter().any(|said| said.contains(expected)), "{route}: {said:?}"),
            }
        }
    }
}
