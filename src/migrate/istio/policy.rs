//! AuthorizationPolicy: who may do what.

use super::{World, name_of};
use crate::config::foreign::Foreign;
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;

/// The policies that there are.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// Those for callers inside the cluster.
    inside: Vec<String>,
    /// Those that say who may, for what comes in through a gateway.
    allowing: Vec<String>,
    /// Those that say who may not, for the same.
    denying: Vec<String>,
    trust_domain: Option<String>,
    /// Whether one of them lets the ingress gateway do everything, which attache is now.
    trusts_ingress: bool,
}

impl Policies {
    /// The policies of a route. Where the ingress gateway may do everything, only those that deny are left of it.
    pub(super) fn names(&self, is_inside: bool) -> Vec<String> {
        if is_inside {
            return self.inside.clone();
        }
        let allowing = if self.trusts_ingress { &[][..] } else { &self.allowing };
        allowing.iter().chain(&self.denying).cloned().collect()
    }

    pub(super) fn trust_domain(&self) -> &str {
        self.trust_domain.as_deref().unwrap_or("cluster.local")
    }
}

pub(super) fn translate(document: &Foreign, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let name = world.draft.name(Kind::Policy, name_of(document));
    let mut part =
        Part::new(name.clone(), Origin::new(document.line, format!("AuthorizationPolicy {}", name_of(document))));
    let action = document.text_at(&["spec", "action"]).unwrap_or("ALLOW");
    if !matches!(action, "ALLOW" | "DENY") {
        let text = format!(
            "AuthorizationPolicy with action {action}: write what decides into `authProviders` or `authorization`"
        );
        document.all_seen();
        world.draft.note(Note::danger(document.line, text));
        return Ok(());
    }
    let did_trust = world.policies.trusts_ingress;
    for rule in document.items_at(&["spec", "rules"]) {
        rule_of(rule, action, &mut part, &mut world.policies);
    }
    if world.policies.trusts_ingress && !did_trust && document.at(&["spec", "selector"]).is_some() {
        let text = "AuthorizationPolicy, selector: it lets the ingress gateway into some workloads; here no policy that allows is \
                    asked on any route of a gateway";
        part.notes.push(Note::danger(document.line, text));
    }
    if !part.has(&["rules"]) {
        // A policy without rules lets nobody in, and so does one whose rules cannot be asked for.
        let rule = Section::of("name", Value::plain("nobody")).with("action", Value::plain("deny"));
        part.settings.push(&["rules"], Value::Map(rule), &Origin::new(document.line, "no rule that lets anybody in"));
    }
    if let Some(selector) = document.at(&["spec", "selector"]) {
        selector.all_seen();
        let text =
            "selector: attache does not know labels of Pods; the policy holds for every route of the listener `mesh`";
        part.notes.push(Note::changed(selector.line, text));
    }
    world.policies.inside.push(name.clone());
    if action == "ALLOW" {
        world.policies.allowing.push(name);
        return world.draft.add(Kind::Policy, part);
    }
    let (denying, more) = outside(document.line, &mut part, name, world);
    world.policies.denying.extend(denying);
    world.draft.add(Kind::Policy, part)?;
    more.map_or(Ok(()), |more| world.draft.add(Kind::Policy, more))
}

/// What a policy that denies is called for requests through a gateway, and that policy where it is another one. Callers
/// there are none of the mesh: rules that ask for one do not hold.
fn outside(line: usize, part: &mut Part, name: String, world: &mut World<'_, '_>) -> (Option<String>, Option<Part>) {
    let Some(Value::List(rules)) = part.settings.get(&["rules"]) else { return (Some(name), None) };
    let rest: Vec<Item> = rules.iter().filter(|item| !is_of_callers(item)).cloned().collect();
    if rest.len() == rules.len() {
        return (Some(name), None);
    }
    let text = "AuthorizationPolicy with action DENY: a rule that names callers of the mesh is not asked on routes of a \
                gateway, whose callers show no certificate of the mesh";
    part.notes.push(Note::danger(line, text));
    if rest.is_empty() {
        return (None, None);
    }
    let wanted = world.draft.name(Kind::Policy, &format!("{name}-gateway"));
    let mut outside = Part::new(wanted.clone(), part.origin.clone());
    outside.put(&["rules"], Value::List(rest), &Origin::default());
    (Some(wanted), Some(outside))
}

/// Whether a rule names callers of the mesh, and not the ingress gateway, which attache is now.
fn is_of_callers(item: &Item) -> bool {
    let Value::Map(rule) = &item.value else { return false };
    let callers: Vec<&Value> = ["spiffe", "namespaces"].iter().filter_map(|key| rule.get(&[key])).collect();
    !callers.is_empty() && !callers.into_iter().any(has_ingress)
}

fn has_ingress(callers: &Value) -> bool {
    let Value::List(items) = callers else { return false };
    items.iter().any(|item| match &item.value {
        Value::Text(text) => text == "*" || INGRESS.iter().any(|word| text.contains(word)),
        _ => false,
    })
}

/// What names of the ingress gateway and of its namespace have in them.
const INGRESS: [&str; 2] = ["ingressgateway", "istio-system"];

/// The rules of one `from` with one `to` each.
fn rule_of(rule: &Foreign, action: &str, part: &mut Part, policies: &mut Policies) {
    let everybody = [None];
    let sources: Vec<Option<&Foreign>> = rule.items_at(&["from"]).iter().map(|from| from.get("source")).collect();
    let operations: Vec<Option<&Foreign>> = rule.items_at(&["to"]).iter().map(|to| to.get("operation")).collect();
    let has_when = rule.get("when").is_some_and(|when| {
        when.all_seen();
        true
    });
    if has_when && action == "ALLOW" {
        let text = "AuthorizationPolicy, when: a rule asks for claims, roles, paths and addresses here; this one is left out, so \
                    it lets nobody in";
        return part.notes.push(Note::danger(rule.line, text));
    }
    if has_when {
        let text = "AuthorizationPolicy, when: a rule that denies does so here whatever `when` says";
        part.notes.push(Note::danger(rule.line, text));
    }
    let sources = if sources.is_empty() { &everybody[..] } else { &sources };
    let operations = if operations.is_empty() { &everybody[..] } else { &operations };
    for source in sources {
        for operation in operations {
            let mut section = Section::of("name", Value::plain(format!("rule-{}", count(part) + 1)));
            if action == "DENY" {
                section = section.with("action", Value::plain("deny"));
            }
            let is_whole = source.is_none_or(|source| who(source, &mut section, part, policies))
                & operation.is_none_or(|operation| what(operation, &mut section, part));
            if source.is_none_or(is_ingress) && operation.is_none() && action == "ALLOW" {
                policies.trusts_ingress = true;
            }
            if is_whole || action == "DENY" {
                part.settings.push(&["rules"], Value::Map(section), &Origin::new(rule.line, "rules[]"));
            }
        }
    }
}

fn count(part: &Part) -> usize {
    match part.settings.get(&["rules"]) {
        Some(Value::List(items)) => items.len(),
        _ => 0,
    }
}

fn is_ingress(source: &Foreign) -> bool {
    source.texts_at(&["principals"]).iter().any(|principal| principal.contains("ingressgateway"))
}

/// Returns false where a condition cannot be asked for.
fn who(source: &Foreign, section: &mut Section, part: &mut Part, policies: &mut Policies) -> bool {
    let mut is_whole = true;
    for (key, line, value) in source.entries() {
        let ours = match key.as_str() {
            "principals" => "spiffe",
            "notPrincipals" => "notSpiffe",
            "namespaces" | "notNamespaces" => key,
            "ipBlocks" | "remoteIpBlocks" => "clientIps",
            "notIpBlocks" | "notRemoteIpBlocks" => "notClientIps",
            _ => {
                is_whole = false;
                part.notes.push(Note::danger(*line, format!("AuthorizationPolicy, {key}: no rule here asks for this")));
                value.all_seen();
                continue;
            }
        };
        let texts = source.texts_at(&[key]);
        if ours == "spiffe" {
            let domain = texts.first().and_then(|text| text.split('/').next()).filter(|domain| !domain.contains('*'));
            policies.trust_domain = policies.trust_domain.take().or_else(|| domain.map(str::to_owned));
        }
        section.put(&[ours], Value::texts(texts), &Origin::new(*line, key));
    }
    is_whole
}

/// Returns false where a condition cannot be asked for.
fn what(operation: &Foreign, section: &mut Section, part: &mut Part) -> bool {
    let mut is_whole = true;
    for (key, line, value) in operation.entries() {
        let texts = operation.texts_at(&[key]);
        let value = match key.as_str() {
            "methods" | "notMethods" => Value::texts(texts),
            "paths" | "notPaths" => Value::List(texts.iter().map(|path| Item::of(Value::Map(path_of(path)))).collect()),
            _ => {
                is_whole = false;
                part.notes.push(Note::danger(*line, format!("AuthorizationPolicy, {key}: no rule here asks for this")));
                value.all_seen();
                continue;
            }
        };
        section.put(&[key], value, &Origin::new(*line, key));
    }
    is_whole
}

/// `/a`, `/a*` or `*a`.
fn path_of(path: &str) -> Section {
    if let Some(prefix) = path.strip_suffix('*') {
        let prefix = prefix.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(prefix);
        return match prefix {
            "" | "/" => Section::of("prefix", Value::text("/")),
            _ => Section::of("prefix", Value::text(prefix)),
        };
    }
    match path.strip_prefix('*') {
        Some(end) => Section::of("regex", Value::text(format!(".*{}", crate::migrate::words::literal(end)))),
        None => Section::of("exact", Value::text(path)),
    }
}
