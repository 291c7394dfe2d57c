//! The mirror of a route.

use std::collections::BTreeMap;

use http::Method;

use super::Scope;
use crate::config::model::{Action, ClusterId, Mirror, Percentage, Route};
use crate::config::node::steps;
use crate::config::raw;
use crate::config::report::Diagnostic;

/// Resolves `mirror` of the route `name`; `forwards` is false for routes that answer by themselves.
pub(super) fn resolve(
    name: &str,
    raw: Option<raw::Mirror>,
    forwards: bool,
    clusters: &BTreeMap<String, ClusterId>,
    scope: &mut Scope<'_>,
) -> Option<Box<Mirror>> {
    let raw = raw?;
    let cluster = cluster(name, raw.cluster.as_deref(), clusters, scope)?;
    if !forwards {
        let diagnostic = Diagnostic::warning(
            "without-effect",
            format!("`routes.{name}` answers by itself, and nothing is mirrored"),
        );
        scope.add_key(&steps!["routes", name, "mirror"], diagnostic.hint("take it out"));
        return None;
    }
    Some(Box::new(Mirror {
        cluster,
        methods: methods(name, &raw, scope),
        percentage: raw.percentage,
        max_body_bytes: raw.max_body_bytes,
        max_active: raw.max_active,
        timeout: raw.timeout,
    }))
}

fn cluster(
    name: &str,
    wanted: Option<&str>,
    clusters: &BTreeMap<String, ClusterId>,
    scope: &mut Scope<'_>,
) -> Option<ClusterId> {
    let Some(wanted) = wanted else {
        let diagnostic = Diagnostic::lacks("a mirror says who gets the copies");
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
    let Some(given) = &raw.methods else {
        return if raw.allow_unsafe { Vec::new() } else { SAFE.to_vec() };
    };
    let at = steps!["routes", name, "mirror", "methods"];
    if given.is_empty() {
        let diagnostic = Diagnostic::invalid("an empty list mirrors nothing");
        scope.missing(&at, diagnostic.hint("leave it out for GET, HEAD and OPTIONS"));
    }
    let risky = given.iter().find(|method| !SAFE.contains(method));
    if let Some(risky) = risky.filter(|_| !raw.allow_unsafe) {
        let diagnostic = Diagnostic::conflict(format!("a mirrored {risky} is carried out twice"));
        scope.add(&at, diagnostic.hint("take it out, or add `unsafe: true` if twice does no harm"));
    }
    given.clone()
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
