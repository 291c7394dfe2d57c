//! `routes.X.mirror`: the cluster it names, and requests that should not be carried out twice.

use std::collections::BTreeMap;

use http::Method;

use super::Scope;
use crate::config::keys::mirror::{Mirror, MirrorTo, SAFE};
use crate::config::model::{ClusterId, Percentage, Route};
use crate::config::node::{below, steps};
use crate::config::report::Diagnostic;

/// Resolves `mirror` of the route `name`; `forwards` is false for routes that answer by themselves.
pub(super) fn resolve(
    name: &str,
    mirror: Option<Box<Mirror>>,
    forwards: bool,
    clusters: &BTreeMap<String, ClusterId>,
    scope: &mut Scope<'_>,
) -> Option<Box<MirrorTo>> {
    let settings = *mirror?;
    let at = steps!["routes", name, "mirror"];
    let Some(wanted) = settings.cluster.as_deref() else {
        scope.lacks(&at, "a mirror says who gets the copies", "add `cluster: name`");
        return None;
    };
    let cluster = clusters.get(wanted).copied();
    if cluster.is_none() {
        scope.dangling(&below(&at, "cluster"), "cluster", wanted, clusters.keys().map(String::as_str));
    }
    let cluster = cluster?;
    if !forwards {
        let message = format!("`routes.{name}` answers by itself, and nothing is mirrored");
        scope.warn_key(&at, "without-effect", message, "take it out");
        return None;
    }
    methods(name, &settings, scope);
    Some(Box::new(MirrorTo { cluster, settings }))
}

fn methods(name: &str, mirror: &Mirror, scope: &mut Scope<'_>) {
    let Some(given) = &mirror.methods else { return };
    let at = steps!["routes", name, "mirror", "methods"];
    if given.is_empty() {
        let diagnostic = Diagnostic::invalid("an empty list mirrors nothing");
        scope.missing(&at, diagnostic.hint("leave it out for GET, HEAD and OPTIONS"));
    }
    let risky = given.iter().find(|method| !SAFE.contains(method));
    if let Some(risky) = risky.filter(|_| !mirror.allow_unsafe) {
        let diagnostic = Diagnostic::conflict(format!("a mirrored {risky} is carried out twice"));
        scope.add(&at, diagnostic.hint("take it out, or add `unsafe: true` if twice does no harm"));
    }
}

/// What is legal but probably not meant.
pub(super) fn lint(route: &Route, scope: &mut Scope<'_>) {
    let Some(mirror) = &route.mirror else { return };
    let name = route.name.as_str();
    let at = |key: &str| steps!["routes", name, "mirror", key];
    let is_risky = |method: &Method| !SAFE.contains(method);
    if mirror.settings.methods.as_ref().map_or(mirror.settings.allow_unsafe, |list| list.iter().any(is_risky)) {
        let message = format!("`routes.{name}` mirrors requests that change something: they run twice");
        let hint = "make sure that the mirror's work reaches nobody";
        scope.warn_key(&at("unsafe"), "mirror-unsafe", message, hint);
    }
    if mirror.settings.percentage == Percentage::NONE {
        let hint = "take the mirror out, or raise it";
        scope.warn(&at("percentage"), "without-effect", "0% mirrors nothing", hint);
    }
    if route.action.clusters().contains(&mirror.cluster) {
        let message = format!("`routes.{name}` mirrors to a cluster it forwards to");
        scope.warn(&at("cluster"), "mirror-of-itself", message, "its endpoints get such requests twice");
    }
}
