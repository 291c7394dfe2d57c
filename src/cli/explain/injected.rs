//! The lines of `attache explain` about faults and mirrors: what may happen to a request besides being forwarded.

use std::time::Duration;

use super::describe::{bytes, time};
use crate::config::model::{AbortAnswer, Config, Fault, HeaderMatch, Mirror, Route};
use crate::observe::clock::Clock;
use crate::route::Facts;

/// The lines of a route that forwards.
pub(super) fn lines(config: &Config, route: &Route, facts: &Facts<'_>) -> Vec<String> {
    let faults = route.fault.iter().flat_map(|fault| faults(fault, facts));
    let mirror = route.mirror.iter().map(|mirror| mirrored(config, mirror, facts));
    faults.chain(mirror).collect()
}

fn faults(fault: &Fault, facts: &Facts<'_>) -> Vec<String> {
    let mut kinds = Vec::new();
    if let Some(delay) = &fault.delay {
        let what = format!("{} delayed by {}", delay.percentage, time(delay.fixed_delay));
        kinds.push(format!("{what}{}", condition(&delay.when, facts)));
    }
    if let Some(abort) = &fault.abort {
        let what = match abort.answer {
            AbortAnswer::Http(status) => status.as_str().to_owned(),
            AbortAnswer::Grpc(code) => format!("gRPC {}", code.name()),
        };
        let condition = condition(&abort.when, facts);
        kinds.push(format!("{} answered {what}{condition}", abort.percentage));
    }
    if let Some(stream) = &fault.stream {
        let cut = stream.disturbance.cut_after;
        let cut = cut.map(|events| format!("cut after {events} events"));
        let pause = stream.disturbance.delay;
        let pause = pause.map(|pause| format!("{} between events", time(pause)));
        let what: Vec<_> = cut.into_iter().chain(pause).collect();
        let condition = condition(&stream.when, facts);
        kinds.push(format!("{} of the streams {}{condition}", stream.percentage, what.join(", ")));
    }
    if let Some(by) = &fault.by_header {
        let longest = time(by.max_delay);
        kinds.push(format!("by header {} of those that may, at most {longest}", by.percentage));
    }
    let until = fault.until.map_or_else(|| "for ever".to_owned(), end);
    let most = fault.max_active;
    let mut lines: Vec<_> = kinds.into_iter().map(|kind| format!("fault     {kind}")).collect();
    lines.push(format!("faults    {until}, at most {most} at once"));
    lines
}

fn end(until: Duration) -> String {
    let mut clock = Clock::default();
    let stamp = clock.stamp(until);
    let stamp = String::from_utf8_lossy(stamp);
    format!("until {}", stamp.replace(".000Z", "Z"))
}

/// Whether what is explained meets the conditions.
fn condition(when: &[HeaderMatch], facts: &Facts<'_>) -> String {
    match when.iter().find(|field| !field.holds(facts.headers)) {
        Some(missing) => format!(" (not this request: {} is missing or differs)", missing.name),
        None if when.is_empty() => String::new(),
        None => " (its header fields are there)".to_owned(),
    }
}

fn mirrored(config: &Config, mirror: &Mirror, facts: &Facts<'_>) -> String {
    let name = config.clusters.get(mirror.cluster.0).map_or("-", |cluster| &cluster.name);
    if !mirror.methods.is_empty() && !mirror.methods.contains(facts.method) {
        return format!("mirror    none to {name}: {} is not copied", facts.method);
    }
    format!(
        "mirror    {} to {name}, bodies up to {}, at most {} at once",
        mirror.percentage,
        bytes(mirror.max_body_bytes),
        mirror.max_active
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::config::{self, Environment};

    fn explained(route: &str, method: &Method) -> Vec<String> {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
             routes: {{ a: {{ cluster: one, {route} }} }}\n\
             clusters: {{ one: {{ endpoints: ['127.0.0.1:1'] }}, two: {{ endpoints: ['127.0.0.1:2'] }} }}\n"
        );
        let env = Environment::empty(SystemTime::UNIX_EPOCH);
        let config = config::parse(&text, "test.yaml", &env).unwrap().config;
        let headers = HeaderMap::new();
        let facts = Facts { host: "", path: "/", query: None, method, headers: &headers };
        lines(&config, config.routes.first().unwrap(), &facts)
    }

    #[test]
    fn what_may_happen_is_said() {
        let (get, post) = (Method::GET, Method::POST);
        for (route, method, expected) in [
            ("timeout: 1s", &get, &[][..]),
            (
                "fault: { delay: { percentage: 0.1%, fixedDelay: 2s }, until: 2026-12-31T00:00:00Z }",
                &get,
                &["fault     0.1% delayed by 2s", "faults    until 2026-12-31T00:00:00Z, at most 100 at once"],
            ),
            (
                "fault: { abort: { percentage: 5%, grpcStatus: 14, whenHeader: { x-chaos: 'on' } },
                   stream: { percentage: 1%, cutAfterEvents: 3, delayBetweenEvents: 500ms },
                   byHeader: { clients: 10.0.0.0/8 }, maxActive: 7 }",
                &get,
                &[
                    "fault     5% answered gRPC UNAVAILABLE (not this request: x-chaos is missing or differs)",
                    "fault     1% of the streams cut after 3 events, 500ms between events",
                    "fault     by header 100% of those that may, at most 10s",
                    "faults    for ever, at most 7 at once",
                ],
            ),
            (
                "mirror: { cluster: two, percentage: 5% }",
                &get,
                &["mirror    5% to two, bodies up to 256KiB, at most 100 at once"],
            ),
            ("mirror: { cluster: two }", &post, &["mirror    none to two: POST is not copied"]),
        ] {
            assert_eq!(explained(route, method), expected, "{route}");
        }
    }
}
