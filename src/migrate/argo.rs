//! Argo Rollouts: Rollout and AnalysisTemplate.

use std::collections::HashMap;

use super::model::{Draft, Item, Kind, Origin, Part, Section, TooLarge, Value};
use super::note::Note;
use super::{tree, words};
use crate::config::foreign::Foreign;

pub(super) fn translate(documents: &[Foreign], draft: &mut Draft) -> Result<(), TooLarge> {
    tree::named(documents);
    let kind = |document: &Foreign| document.text_at(&["kind"]).unwrap_or_default().to_owned();
    let name = |document: &Foreign| document.text_at(&["metadata", "name"]).unwrap_or_default().to_owned();
    let templates: HashMap<String, &Foreign> = documents
        .iter()
        .filter(|document| kind(document).ends_with("AnalysisTemplate"))
        .map(|document| (name(document), document))
        .collect();
    templates.values().for_each(|template| template.marked());
    let rollouts = documents.iter().filter(|document| kind(document) == "Rollout").count();
    for document in documents {
        let _version = document.text_at(&["apiVersion"]);
        match kind(document).as_str() {
            "Rollout" => {
                let at = draft.routes.len();
                rollout(document, &name(document), &templates, draft)?;
                // Each would match every request.
                if let Some(route) = draft.routes.get_mut(at).filter(|_| rollouts > 1) {
                    let hosts = Value::texts([route.name.clone()]);
                    route.put(&["hosts"], hosts, &Origin::new(0, "not in the file: choose"));
                }
            }
            "AnalysisTemplate" | "ClusterAnalysisTemplate" => {}
            other => {
                document.all_seen();
                draft.note(Note::dropped(document.line, format!("{other}: attache has nothing that is made of it")));
            }
        }
    }
    if rollouts > 0 {
        let origin = Origin::new(0, "kubectl argo rollouts: `attache rollout` asks here");
        draft.settings.put(&["admin", "address"], Value::text("127.0.0.1:9901"), &origin);
        let origin = Origin::new(0, "status of the Rollout: progress survives a restart");
        draft.settings.put(&["state", "file"], Value::text("/var/lib/attache/state.json"), &origin);
    }
    tree::note_unseen(documents, WHY, draft);
    Ok(())
}

const WHY: &[(&str, &str)] = &[
    ("labels annotations", "names in Kubernetes have no meaning here"),
    (
        "replicas template selector revisionHistoryLimit minReadySeconds progressDeadlineSeconds workloadRef maxSurge maxUnavailable \
      scaleDownDelaySeconds abortScaleDownDelaySeconds dynamicStableScale antiAffinity canaryMetadata stableMetadata restartAt paused \
      rollbackWindow previewReplicaCount scaleDownDelayRevisionLimit",
        "attache moves the traffic and starts no Pods: each version is a Deployment with a Service of its own",
    ),
    ("trafficRouting", "attache divides the traffic itself"),
    (
        "args provider dryRun measurementRetention initialDelay consecutiveErrorLimit",
        "the gateway measures by itself: no query",
    ),
];

fn rollout(
    document: &Foreign,
    name: &str,
    templates: &HashMap<String, &Foreign>,
    draft: &mut Draft,
) -> Result<(), TooLarge> {
    let canary = document.at(&["spec", "strategy", "canary"]);
    let green = document.at(&["spec", "strategy", "blueGreen"]);
    let Some(strategy) = canary.or(green) else {
        draft.note(Note::dropped(document.line, format!("Rollout {name}: it has neither canary nor blueGreen")));
        return Ok(());
    };
    let keys = if canary.is_some() { ["stableService", "canaryService"] } else { ["activeService", "previewService"] };
    let mut names = Vec::new();
    for key in keys {
        names.push(version(document, strategy, key, draft)?);
    }
    let mut part = Part::new(draft.name(Kind::Route, name), Origin::new(document.line, format!("Rollout {name}")));
    let weights = ["100", "0"];
    let shares = names.iter().zip(weights).zip(keys).map(|((name, weight), key)| Item {
        value: Value::Map(Section::of("cluster", Value::plain(name)).with("weight", Value::plain(weight))),
        origin: Origin::new(strategy.line, key),
    });
    part.put(&["split", "clusters"], Value::List(shares.collect()), &Origin::default());
    if canary.is_some() {
        let newer = names.last().cloned().unwrap_or_default();
        part.put(&["rollout", "canary"], Value::plain(newer), &Origin::new(strategy.line, "strategy.canary"));
        steps(strategy, &mut part);
        analysis(strategy, templates, &mut part);
    } else {
        let text =
            "blueGreen: `attache rollout switch` moves everything from one to the other; nothing switches by itself";
        part.notes.push(Note::changed(strategy.line, text));
    }
    draft.add(Kind::Route, part)
}

/// The cluster of one version.
fn version(document: &Foreign, strategy: &Foreign, key: &str, draft: &mut Draft) -> Result<String, TooLarge> {
    let service = strategy.get(key);
    let host = service.and_then(Foreign::text).unwrap_or(key);
    let full = match document.text_at(&["metadata", "namespace"]) {
        Some(namespace) if service.is_some() => format!("{host}.{namespace}.svc.cluster.local."),
        _ => host.to_owned(),
    };
    let containers = document.items_at(&["spec", "template", "spec", "containers"]);
    let ports = containers.iter().flat_map(|container| container.items_at(&["ports"]));
    let port = ports.filter_map(|port| port.text_at(&["containerPort"])).next().unwrap_or("8080");
    if let Some(template) = document.at(&["spec", "template"]) {
        template.all_seen();
        let text = "template: attache starts no Pods: each version is a Deployment with a Service of its own";
        draft.note(Note::dropped(template.line, text));
    }
    let name = draft.name(Kind::Cluster, host);
    let line = service.map_or(strategy.line, |service| service.line);
    let mut part = Part::new(name.clone(), Origin::new(line, format!("{key}: {host}")));
    part.put(&["discovery", "dns"], Value::text(format!("{full}:{port}")), &Origin::new(line, key));
    let text = match service {
        Some(_) => format!("{key}: make the Service headless (`clusterIP: None`), so that each Pod is an endpoint"),
        None => {
            format!("{key} is not in the file: without it Argo moves Pods, attache needs a Service for each version")
        }
    };
    part.notes.push(Note::changed(line, text));
    draft.add(Kind::Cluster, part)?;
    Ok(name)
}

fn steps(strategy: &Foreign, part: &mut Part) {
    for step in strategy.items_at(&["steps"]) {
        if let Some(weight) = step.get("setWeight") {
            let text = weight.text().unwrap_or_default();
            let value = Value::Map(Section::of("setWeight", Value::plain(text)));
            part.settings.push(&["rollout", "steps"], value, &tree::origin(weight, "setWeight"));
        } else if let Some(pause) = step.get("pause") {
            let duration = pause.get("duration");
            let time = duration.and_then(Foreign::text).and_then(|text| words::time(text, 1_000));
            let value = match time {
                Some(time) => Value::Map(Section::of("duration", Value::plain(time))),
                None => Value::Map(Section::default()),
            };
            let value = Value::Map(Section::of("pause", value));
            part.settings.push(&["rollout", "steps"], value, &Origin::new(pause.line, "pause"));
        } else if let Some(header) = step.get("setHeaderRoute") {
            let first =
                header.items_at(&["match"]).first().and_then(|one| one.text_at(&["headerName"])).unwrap_or_default();
            part.put(&["split", "chosenBy", "header"], Value::text(first), &Origin::new(header.line, "setHeaderRoute"));
            header.all_seen();
            let text = "setHeaderRoute: the header's value names the cluster here, at any step";
            part.notes.push(Note::changed(header.line, text));
        } else {
            step.all_seen();
            let name = step.entries().first().map_or("", |(name, ..)| name.as_str());
            part.notes.push(Note::dropped(step.line, format!("step {name}: a rollout here has weights and pauses")));
        }
    }
}

fn analysis(strategy: &Foreign, templates: &HashMap<String, &Foreign>, part: &mut Part) {
    let Some(analysis) = strategy.get("analysis") else { return };
    tree::take(analysis, &[(&["rollout", "analysis", "startingStep"], &["startingStep"], tree::plain)], part);
    for one in analysis.items_at(&["templates"]) {
        let Some(name) = one.get("templateName") else { continue };
        let Some(template) = templates.get(name.text().unwrap_or_default()) else {
            let text =
                format!("{}: it is not in the file, so it is not measured", tree::origin(name, "templateName").text);
            part.notes.push(Note::danger(name.line, text));
            continue;
        };
        for metric in template.items_at(&["spec", "metrics"]) {
            measure(metric, part);
        }
    }
    if !part.has(&["rollout", "analysis", "metrics"]) {
        part.notes
            .push(Note::danger(analysis.line, "analysis: nothing is measured, so the steps follow the clock alone"));
        return;
    }
    let origin = Origin::new(0, "not in Argo: a window with fewer requests says nothing");
    part.put(&["rollout", "analysis", "minRequests"], Value::plain(50), &origin);
    part.put(&["rollout", "onFailure"], Value::plain("rollback"), &Origin::new(0, "what Argo does"));
}

/// One metric: what it measures is known by its name or its query.
fn measure(metric: &Foreign, part: &mut Part) {
    let called = metric.text_at(&["name"]).unwrap_or_default().to_owned();
    let query = metric.text_at(&["provider", "prometheus", "query"]).unwrap_or_default().to_owned();
    if let Some(provider) = metric.get("provider") {
        provider.all_seen();
    }
    let text = format!("{called} {query}").to_ascii_lowercase();
    let name = if text.contains("p95") || text.contains("quantile(0.95") {
        "latency-p95"
    } else if text.contains("p99") || text.contains("quantile(0.99") || text.contains("latency") {
        "latency-p99"
    } else if text.contains("success") || text.contains("error") || text.contains("5..") {
        "success-rate"
    } else {
        let text = format!("metric {called}: the gateway measures success-rate, latency-p99 and latency-p95");
        metric.all_seen();
        return part.notes.push(Note::danger(metric.line, text));
    };
    let condition = metric.get("successCondition").or_else(|| metric.get("failureCondition"));
    let Some(wanted) = condition.and_then(Foreign::text).and_then(|text| condition_of(text, name)) else {
        let text = format!(
            "metric {called}: its condition is none of `result[0] >= N` and `result[0] <= N`, so it is not measured"
        );
        return part.notes.push(Note::danger(metric.line, text));
    };
    if metric.get("failureCondition").is_some() && metric.get("successCondition").is_none() {
        let text = format!("metric {called}: failureCondition alone: write what must hold as `successCondition`");
        return part.notes.push(Note::danger(metric.line, text));
    }
    let value = Section::of("name", Value::plain(name)).with("successCondition", Value::text(wanted));
    let origin = condition.map_or_else(Origin::default, |condition| tree::origin(condition, "successCondition"));
    part.settings.push(&["rollout", "analysis", "metrics"], Value::Map(value), &origin);
    part.notes.push(Note::changed(
        metric.line,
        format!("metric {called}: measured by the gateway itself as {name}, without a query"),
    ));
    for (key, convert) in
        [("interval", tree::time as tree::Convert), ("count", tree::plain), ("failureLimit", tree::plain)]
    {
        let Some(found) = metric.get(key) else { continue };
        let Some(value) = found.text().and_then(convert) else { continue };
        let is_same = part.settings.put_new(&["rollout", "analysis", key], value, &tree::origin(found, key));
        if !is_same {
            let text =
                format!("{}: one {key} holds for all metrics here, that of the first", tree::origin(found, key).text);
            part.notes.push(Note::changed(found.line, text));
        }
    }
}

/// `result[0] >= 0.95` as `>= 0.95`, and with its unit for a latency.
fn condition_of(text: &str, name: &str) -> Option<String> {
    let rest = text.trim().strip_prefix("result")?.trim_start();
    let rest = rest.strip_prefix("[0]").unwrap_or(rest).trim_start();
    let sign = [">=", "<=", ">", "<"].into_iter().find(|sign| rest.starts_with(sign))?;
    let number: f64 = rest.strip_prefix(sign)?.trim().parse().ok()?;
    let sign = if sign.starts_with('>') { ">=" } else { "<=" };
    let unit = if name.starts_with("latency") { "s" } else { "" };
    Some(format!("{sign} {number}{unit}"))
}
