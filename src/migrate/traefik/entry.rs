//! Entry points with certificates: listeners.

use super::{World, dropped};
use crate::config::foreign::Foreign;
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::{tree, words};

pub(super) fn translate(world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let documents = world.documents;
    for (name, line, entry) in
        documents.iter().filter_map(|document| document.get("entryPoints")).flat_map(Foreign::entries)
    {
        entry.marked();
        let address = entry.text_at(&["address"]).unwrap_or_default().to_owned();
        let address = address.split('/').next().unwrap_or_default().to_owned();
        let Some(bind) = words::bind(&address) else {
            entry.all_seen();
            dropped(*line, format!("entryPoints.{name}: listeners have an IP address and a port"), world);
            continue;
        };
        let ours = world.draft.name(Kind::Listener, name);
        let mut part = Part::new(ours.clone(), Origin::new(*line, format!("entryPoints.{name}")));
        part.put(&["address"], Value::text(bind), &Origin::new(*line, format!("address: {address}")));
        tree::take(entry, LIMITS, &mut part);
        trust(entry, &mut part, world);
        let redirect = entry.at(&["http", "redirections", "entryPoint"]);
        let is_redirecting = redirect.is_some_and(|redirect| redirect.text_at(&["scheme"]) != Some("http"));
        if let Some(redirect) = redirect.filter(|_| is_redirecting) {
            let target = redirect.text_at(&["to"]).unwrap_or_default();
            let value = if target.starts_with(':') || target.is_empty() {
                Value::plain("true")
            } else {
                Value::Map(Section::of("listener", Value::text(target)))
            };
            let _permanent = redirect.text_at(&["permanent"]);
            part.put(&["httpsRedirect"], value, &Origin::new(redirect.line, "http.redirections.entryPoint"));
        }
        world.entries.push((name.clone(), ours, is_redirecting));
        if is_tls(name, entry, world) {
            certificates(entry, &mut part, world);
        }
        world.draft.add(Kind::Listener, part)?;
    }
    Ok(())
}

const LIMITS: tree::Table<'static> = &[
    (&["limits", "bodyIdleTimeout"], &["transport", "respondingTimeouts", "readTimeout"], tree::time),
    (&["limits", "idleTimeout"], &["transport", "respondingTimeouts", "idleTimeout"], tree::time),
    (&["limits", "maxConcurrentStreams"], &["http2", "maxConcurrentStreams"], tree::plain),
];

/// Whose word counts.
fn trust(entry: &Foreign, part: &mut Part, world: &mut World<'_, '_>) {
    for network in entry.texts_at(&["forwardedHeaders", "trustedIPs"]) {
        let origin = Origin::new(entry.line, "forwardedHeaders.trustedIPs");
        world.draft.settings.push(&["clientIp", "trustedProxies"], Value::text(network), &origin);
    }
    if let Some(insecure) = entry.at(&["forwardedHeaders", "insecure"]).filter(|one| one.text() == Some("true")) {
        let text = "forwardedHeaders.insecure: anybody could say whose client it is; name the proxies in `clientIp.trustedProxies`";
        part.notes.push(Note::danger(insecure.line, text));
    }
    let networks = entry.texts_at(&["proxyProtocol", "trustedIPs"]);
    if !networks.is_empty() {
        part.put(
            &["proxyProtocol", "trusted"],
            Value::texts(networks),
            &Origin::new(entry.line, "proxyProtocol.trustedIPs"),
        );
    }
    for (path, ours) in [("requestAcceptGraceTimeout", "drainDelay"), ("graceTimeOut", "drainTimeout")] {
        let Some(time) = entry.at(&["transport", "lifeCycle", path]) else { continue };
        if let Some(value) = time.text().and_then(tree::time) {
            world.draft.settings.put(&["shutdown", ours], value, &tree::origin(time, path));
        }
    }
}

/// Whether the entry point, or a router that it leads to, has `tls`.
fn is_tls(name: &str, entry: &Foreign, world: &World<'_, '_>) -> bool {
    let leads_here = |router: &Foreign| {
        let entries = router.texts_at(&["entryPoints"]);
        router.get("tls").is_some() && (entries.is_empty() || entries.contains(&name))
    };
    let is_last = world.entries.last().is_some_and(|(_, _, is_redirecting)| *is_redirecting);
    entry.at(&["http", "tls"]).is_some()
        || !is_last && world.all("routers").iter().any(|(_, _, router)| leads_here(router))
}

fn certificates(entry: &Foreign, part: &mut Part, world: &World<'_, '_>) {
    let documents = world.documents;
    for pair in documents.iter().flat_map(|document| document.items_at(&["tls", "certificates"])) {
        let (Some(certificate), Some(key)) = (pair.text_at(&["certFile"]), pair.text_at(&["keyFile"])) else {
            continue;
        };
        let value = Section::of("certFile", Value::text(certificate)).with("keyFile", Value::text(key));
        part.settings.push(&["tls", "certificates"], Value::Map(value), &Origin::new(pair.line, "tls.certificates"));
        let _stores = pair.texts_at(&["stores"]);
    }
    let options = documents.iter().find_map(|document| document.at(&["tls", "options", "default"]));
    if let Some(options) = options {
        of_options(options, part);
    }
    let router = world.all("routers").into_iter().find_map(|(_, _, router)| router.at(&["tls", "certResolver"]));
    let resolver = entry.at(&["http", "tls", "certResolver"]).or(router);
    if let Some(resolver) = resolver {
        let name = resolver.text().unwrap_or_default();
        let acme = documents.iter().find_map(|document| document.at(&["certificatesResolvers", name, "acme"]));
        let email = acme.and_then(|acme| acme.text_at(&["email"]));
        if let Some(email) = email {
            part.put(&["tls", "acme", "email"], Value::text(email), &Origin::new(resolver.line, "acme.email"));
        }
        let origin = Origin::new(resolver.line, format!("certResolver: {name}; its storage here is a directory"));
        part.put(&["tls", "acme", "storage"], Value::text("/var/lib/attache/acme"), &origin);
        if let Some(acme) = acme {
            if acme.get("dnsChallenge").is_some() {
                let text =
                    "acme.dnsChallenge: names are proved over port 80 or by TLS-ALPN here, so wildcards need a file";
                part.notes.push(Note::changed(acme.line, text));
            }
            acme.all_seen();
        }
    }
    if !part.has(&["tls"]) || part.settings.get(&["tls", "certificates"]).is_none() && resolver.is_none() {
        let text = "tls without a certificate: Traefik makes one that no client trusts; name one in `tls.certificates`";
        part.notes.push(Note::danger(entry.line, text));
        part.settings.put_new(&["tls", "certificates"], Value::List(Vec::new()), &Origin::default());
    }
}

fn of_options(options: &Foreign, part: &mut Part) {
    if let Some(version) = options.get("minVersion") {
        let least = if version.text() == Some("VersionTLS13") { "1.3" } else { "1.2" };
        part.put(&["tls", "minVersion"], Value::text(least), &tree::origin(version, "minVersion"));
    }
    if options.text_at(&["sniStrict"]) == Some("true") {
        part.put(&["tls", "unknownSni"], Value::plain("reject"), &Origin::new(options.line, "sniStrict"));
    }
    if let Some(client) = options.get("clientAuth") {
        let mode = match client.text_at(&["clientAuthType"]) {
            Some("RequireAndVerifyClientCert" | "RequireAnyClientCert") => "require",
            Some("VerifyClientCertIfGiven" | "RequestClientCert") => "optional",
            _ => "none",
        };
        part.put(&["tls", "clientAuth", "mode"], Value::plain(mode), &Origin::new(client.line, "clientAuthType"));
        if let [file, rest @ ..] = client.texts_at(&["caFiles"]).as_slice() {
            part.put(&["tls", "clientAuth", "caFile"], Value::text(*file), &Origin::new(client.line, "caFiles"));
            if !rest.is_empty() {
                part.notes.push(Note::changed(client.line, "caFiles: put all authorities into one file"));
            }
        }
    }
}
