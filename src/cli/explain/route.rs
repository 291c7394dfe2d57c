//! Which route serves the request, and why.

use super::subject::Subject;

/// The route's line.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let (route, facts) = (subject.settings(), subject.facts);
    let mut reasons = vec![if route.hosts.is_empty() { "any host".to_owned() } else { format!("host {}", facts.host) }];
    if let Some(alternative) = route.matches.get(subject.matched) {
        reasons.push(alternative.path.to_string());
        if !alternative.methods.is_empty() {
            reasons.push(format!("method {}", facts.method));
        }
        reasons.extend(alternative.headers.iter().map(|header| format!("header {}", header.name)));
        reasons.extend(alternative.query.iter().map(|query| format!("query {}", query.name)));
    }
    vec![format!("route     {}: {}", route.name, reasons.join(", "))]
}
