//! Gateway: listeners.

use super::{World, name_of};
use crate::config::foreign::Foreign;
use crate::migrate::client_auth::Demand;
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::tree;

pub(super) fn translate(document: &Foreign, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let gateway = name_of(document).to_owned();
    for server in document.items_at(&["spec", "servers"]) {
        let (Some(port), protocol) = (server.at(&["port", "number"]), server.text_at(&["port", "protocol"])) else {
            continue;
        };
        let number = port.text().unwrap_or_default().to_owned();
        let _names = (server.text_at(&["port", "name"]), server.texts_at(&["hosts"]));
        let is_tls = matches!(protocol, Some("HTTPS" | "TLS"));
        let mode = server.text_at(&["tls", "mode"]);
        if mode == Some("PASSTHROUGH") || !matches!(protocol, Some("HTTP" | "HTTP2" | "GRPC" | "HTTPS" | "GRPC-WEB")) {
            let text = format!(
                "port {number}: attache ends TLS and speaks HTTP; {} is passed through nowhere",
                mode.or(protocol).unwrap_or("this")
            );
            world.draft.note(Note::dropped(port.line, text));
            server.all_seen();
            continue;
        }
        let address = format!("0.0.0.0:{number}");
        let there = world
            .draft
            .listeners
            .iter()
            .position(|part| part.settings.get(&["address"]) == Some(&Value::text(&address)));
        let at = match there {
            Some(at) => at,
            None => {
                let wanted = match (is_tls, number.as_str()) {
                    (true, "443") => "https".to_owned(),
                    (false, "80") => "http".to_owned(),
                    (true, _) => format!("https-{number}"),
                    (false, _) => format!("http-{number}"),
                };
                let name = world.draft.name(Kind::Listener, &wanted);
                let mut part = Part::new(name, Origin::new(port.line, format!("Gateway {gateway}")));
                part.put(&["address"], Value::text(&address), &tree::origin(port, "port.number"));
                world.draft.add(Kind::Listener, part)?;
                world.draft.listeners.len() - 1
            }
        };
        let Some(part) = world.draft.listeners.get_mut(at) else { continue };
        world.gateways.entry(gateway.clone()).or_default().push(part.name.clone());
        if is_tls {
            let demand = certificates(server, mode, part);
            let server = Origin::new(server.line, format!("Gateway {gateway}, servers[]"));
            world.demands.entry(part.name.clone()).or_default().add(demand, &server);
        }
        if let Some(redirect) = server.at(&["tls", "httpsRedirect"]).filter(|redirect| redirect.text() == Some("true"))
        {
            part.put(&["httpsRedirect"], Value::plain("true"), &tree::origin(redirect, "tls.httpsRedirect"));
        }
    }
    Ok(())
}

/// Puts certificates into a listener. What the server asks of its clients.
fn certificates(server: &Foreign, mode: Option<&str>, part: &mut Part) -> Option<Demand> {
    let credential = server.at(&["tls", "credentialName"]);
    let file = |key: &str, secret: &str| match (server.text_at(&["tls", key]), credential.and_then(Foreign::text)) {
        (Some(file), _) => file.to_owned(),
        (None, Some(name)) => format!("certs/{name}/{secret}"),
        (None, None) => format!("certs/{secret}"),
    };
    let line = credential.map_or(server.line, |credential| credential.line);
    let origin = credential.map_or_else(Origin::default, |credential| tree::origin(credential, "tls.credentialName"));
    let pair = Section::of("certFile", Value::text(file("serverCertificate", "tls.crt")))
        .with("keyFile", Value::text(file("privateKey", "tls.key")));
    part.settings.push(&["tls", "certificates"], Value::Map(pair), &origin);
    if credential.is_some() {
        let text = format!("{}: mount the Secret as the directory that `certificates` names", origin.text);
        part.notes.push(Note::changed(line, text));
    }
    let demand = mode.filter(|mode| matches!(*mode, "MUTUAL" | "OPTIONAL_MUTUAL")).map(|mode| {
        let mut demand = Demand::new(mode == "MUTUAL", Origin::new(server.line, format!("tls.mode: {mode}")));
        demand.file("caFile", &file("caCertificates", "ca.crt"), origin.clone());
        demand
    });
    if let Some(version) = server.at(&["tls", "minProtocolVersion"]) {
        let least = if version.text() == Some("TLSV1_3") { "1.3" } else { "1.2" };
        part.put(&["tls", "minVersion"], Value::text(least), &tree::origin(version, "minProtocolVersion"));
    }
    demand
}
