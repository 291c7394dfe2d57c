//! The mirror of a route.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use super::{Scope, to_usize};
use crate::config::model::{Action, ClusterId, Mirror, Percentage, Route};
use crate::config::node::steps;
use crate::config::raw::{self, OrOff};
use crate::config::report::Diagnostic;

/// Resolves `mirror` of the route `name`; `forwards` is false for routes that answer by themselves.
pub(super) fn resolve(
    name: &str,
    raw: Option<OrOff<raw::Mirror>>,
    forwards: bool,
    clusters: &BTreeMap<String, ClusterId>,
    scope: &mut Scope<'_>,
) -> Option<Box<Mirror>> {
    let raw = raw.and_then(OrOff::on)?;
    let at = |key: &str| steps!["routes", name, "mirror", key];
    let cluster = cluster(name, raw.cluster.as_deref(), clusters, scope)?;
    if !forwards {
        let diagnostic = Diagnostic::warning(
            "without-effect",
            format!("`routes.{name}` answers by itself, and nothing is mirrored"),
        );
        scope.add_key(&steps!["routes", name, "mirror"], diagnostic.hint("take it out"));
        return None;
    }
    let number = |scope: &mut Scope<'_>, key: &str, given: Option<u64>, usual, most, unit| {
        scope.range(&at(key), given.unwrap_or(usual), 1..=most, unit)
    };
    let size = raw.max_body_bytes.map(|size| size.0);
    let active = number(scope, "maxActive", raw.max_active, 100, 100_000, "");
    let time = raw.timeout.map(|time| u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX));
    let time = number(scope, "timeout", time, 30_000, 600_000, "ms");
    Some(Box::new(Mirror {
        cluster,
        percentage: raw.percentage.map_or(Percentage::ALL, |share| share.0),
        methods: methods(name, &raw, scope),
        max_body_bytes: number(scope, "maxBodyBytes", size, 256 << 10, 16 << 20, "B"),
        max_active: to_usize(active),
        timeout: Duration::from_millis(time),
    }))
}

fn cluster(
    name: &str,
    wanted: Option<&str>,
    clusters: &BTreeMap<String, ClusterId>,
    scope: &mut Scope<'_>,
) -> Option<ClusterId> {
    let Some(wanted) = wanted else {
        let diagnostic = Diagnostic::error("missing-field", "a mirror says who gets the copies");
        scope.missing(&steps!["routes", name, "mirror"], diagnostic.hint("add `cluster: name`"));
        return None;
    };
    let found = clusters.get(wanted).copied();
    if found.is_none() {
        scope.dangling(
            &steps!["routes", name, "mirror", "cluster"],
            "cluster",
            wanted,
            clusters.keys().map(String::as_str),
        );
    }
    found
}

fn methods(name: &str, raw: &raw::Mirror, scope: &mut Scope<'_>) -> Vec<Method> {
    let allowed = raw.allow_unsafe == Some(true);
    let Some(given) = &raw.methods else {
        return if allowed { Vec::new() } else { SAFE.to_vec() };
    };
    if given.0.is_empty() {
        let diagnostic = Diagnostic::error("invalid-value", "an empty list mirrors nothing");
        scope.missing(
            &steps!["routes", name, "mirror", "methods"],
            diagnostic.hint("leave it out for GET, HEAD and OPTIONS"),
        );
    }
    let risky = given.0.iter().find(|verb| !SAFE.contains(&verb.0));
    if let Some(risky) = risky.filter(|_| !allowed) {
        let diagnostic = Diagnostic::error("conflict", format!("a mirrored {} is carried out twice", risky.0));
        scope.add(
            &steps!["routes", name, "mirror", "methods"],
            diagnostic.hint("take it out, or add `unsafe: true` if twice does no harm"),
        );
    }
    given.0.iter().map(|verb| verb.0.clone()).collect()
}

/// What is legal but probably not meant.
pub(super) fn lint(route: &Route, scope: &mut Scope<'_>) {
    let Some(mirror) = &route.mirror else { return };
    let name = route.name.as_str();
    let risky = |method: &Method| !SAFE.contains(method);
    if mirror.methods.is_empty() || mirror.methods.iter().any(risky) {
        let diagnostic = Diagnostic::warning(
            "mirror-unsafe",
            format!("`routes.{name}` mirrors requests that change something: they run twice"),
        );
        scope.add_key(
            &steps!["routes", name, "mirror", "unsafe"],
            diagnostic.hint("make sure that the mirror's work reaches nobody"),
        );
    }
    if mirror.percentage == Percentage::NONE {
        let diagnostic = Diagnostic::warning("without-effect", "0% mirrors nothing");
        scope.add(&steps!["routes", name, "mirror", "percentage"], diagnostic.hint("take the mirror out, or raise it"));
    }
    let is_own = match &route.action {
        Action::Forward(cluster) => *cluster == mirror.cluster,
        Action::Split(split) => split.parts.iter().any(|part| part.cluster == mirror.cluster),
        Action::Redirect(_) | Action::Respond(_) => false,
    };
    if is_own {
        let diagnostic =
            Diagnostic::warning("mirror-of-itself", format!("`routes.{name}` mirrors to a cluster it forwards to"));
        scope.add(
            &steps!["routes", name, "mirror", "cluster"],
            diagnostic.hint("its endpoints get such requests twice"),
        );
    }
}

/// What changes nothing (RFC 9110 section 9.2.1) and is served.
const SAFE: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];
