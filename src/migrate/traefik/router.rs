//! Routers: routes.

use super::{World, dropped, middleware, rule, service};
use crate::config::foreign::Foreign;
use crate::migrate::case::{self, Case};
use crate::migrate::model::{Kind, Origin, Part, TooLarge, Value};
use crate::migrate::note::Note;

pub(super) fn translate(name: &str, line: usize, router: &Foreign, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let rule = router.text_at(&["rule"]).unwrap_or_default().to_owned();
    let (good, bad): (Vec<Case>, Vec<Case>) = rule::cases(&rule).into_iter().partition(|case| case.unknown.is_empty());
    if let Some(case) = bad.first() {
        let what = case.unknown.first().map_or("", String::as_str);
        let text = format!("routers.{name}, rule: no route can ask for {what}, so what needs it is left out");
        world.draft.note(Note::danger(line, text));
    }
    if good.is_empty() {
        router.all_seen();
        return Ok(());
    }
    if let Some(tls) = router.get("tls") {
        tls.all_seen();
    }
    // Cases with other hosts, or other clients, are other routes.
    let mut groups: Vec<Vec<Case>> = Vec::new();
    for case in good {
        let fits = |group: &&mut Vec<Case>| {
            group.iter().all(|other| other.hosts == case.hosts && other.clients == case.clients)
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    for group in groups {
        let mut part = Part::new(world.draft.name(Kind::Route, name), Origin::new(line, format!("routers.{name}")));
        listeners(router, &mut part, world);
        case::ask(&group, &Origin::new(line, format!("rule: {rule}")), &mut part);
        prefixes(&group, line, &mut part);
        if let Some((_, networks)) = group.first().and_then(|case| case.clients.clone()) {
            part.put(&["ipAccess", "allow"], Value::texts(networks), &Origin::new(line, "rule: ClientIP"));
            part.notes.push(Note::changed(
                line,
                "ClientIP in a rule: other clients are refused here, no other router gets them",
            ));
        }
        let target = router.text_at(&["service"]).unwrap_or_default().to_owned();
        if target != "noop@internal" {
            service::lead(&target, line, &mut part, world)?;
        }
        for middleware in router.texts_at(&["middlewares"]) {
            middleware::apply(middleware, &group, &mut part, world, 0)?;
        }
        if !["cluster", "split", "redirect", "respond"].iter().any(|key| part.has(&[key])) {
            part.unserved(&Origin::new(line, "service"), &format!("routers.{name}: no service that is known"));
        }
        world.draft.add(Kind::Route, part)?;
    }
    Ok(())
}

fn listeners(router: &Foreign, part: &mut Part, world: &mut World<'_, '_>) {
    let wanted = router.texts_at(&["entryPoints"]);
    for entry in wanted.iter().filter(|wanted| !world.entries.iter().any(|(name, ..)| name == *wanted)) {
        part.notes.push(Note::dropped(router.line, format!("entryPoints: {entry}: it is not in the file")));
    }
    let fits = |(name, _, redirects): &&(String, String, bool)| {
        !redirects && (wanted.is_empty() || wanted.contains(&name.as_str()))
    };
    let names: Vec<&String> = world.entries.iter().filter(fits).map(|(_, ours, _)| ours).collect();
    if !names.is_empty() {
        part.put(&["listeners"], Value::texts(names), &Origin::new(router.line, "entryPoints"));
    } else if !world.entries.is_empty() {
        dropped(router.line, "entryPoints: none of them serves, so every listener does", world);
    }
}

fn prefixes(cases: &[Case], line: usize, part: &mut Part) {
    if let Some(path) = cases.iter().find_map(Case::loose_prefix) {
        let text = format!("PathPrefix({path}): a prefix ends where a segment ends here; Traefik takes {path}x too");
        part.notes.push(Note::changed(line, text));
    }
}
