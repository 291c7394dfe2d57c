//! Listeners with their certificates.

use super::{World, manager, typed};
use crate::config::foreign::Foreign;
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::tree;

pub(super) fn translate(listener: &Foreign, world: &mut World<'_>) -> Result<(), TooLarge> {
    let called = listener.text_at(&["name"]).unwrap_or("listener").to_owned();
    let socket = listener.at(&["address", "socket_address"]);
    let Some((socket, host, port)) =
        socket.and_then(|socket| Some((socket, socket.text_at(&["address"])?, socket.text_at(&["port_value"])?)))
    else {
        listener.all_seen();
        world.draft.note(Note::dropped(listener.line, format!("listener {called}: it has no address and port")));
        return Ok(());
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut part =
        Part::new(world.draft.name(Kind::Listener, &called), Origin::new(listener.line, format!("name: {called}")));
    part.put(&["address"], Value::text(format!("{host}:{port}")), &Origin::new(socket.line, "socket_address"));
    let _protocol = socket.text_at(&["protocol"]);
    let chains = listener.items_at(&["filter_chains"]);
    for chain in chains {
        if let Some(matched) = chain.get("filter_chain_match") {
            let _names = matched.texts_at(&["server_names"]);
        }
        if let Some(tls) = chain.get("transport_socket").and_then(|socket| typed(socket, "DownstreamTlsContext")) {
            of_tls(tls, &mut part);
        }
    }
    let at = world.draft.listeners.len();
    let name = part.name.clone();
    world.draft.add(Kind::Listener, part)?;
    for filter in chains.iter().flat_map(|chain| chain.items_at(&["filters"])) {
        match typed(filter, "HttpConnectionManager") {
            Some(config) => manager::translate(config, &name, at, world)?,
            None => {
                let text = format!(
                    "filter {}: attache speaks HTTP, with an HttpConnectionManager",
                    filter.text_at(&["name"]).unwrap_or_default()
                );
                filter.all_seen();
                world.draft.note(Note::dropped(filter.line, text));
            }
        }
    }
    Ok(())
}

fn of_tls(tls: &Foreign, part: &mut Part) {
    let Some(common) = tls.get("common_tls_context") else { return };
    for pair in common.items_at(&["tls_certificates"]) {
        let file = |key: &str| pair.text_at(&[key, "filename"]);
        let (Some(certificate), Some(key)) = (file("certificate_chain"), file("private_key")) else {
            part.notes.push(Note::danger(pair.line, "tls_certificates: name files: `certFile` and `keyFile`"));
            continue;
        };
        let value = Section::of("certFile", Value::text(certificate)).with("keyFile", Value::text(key));
        part.settings.push(&["tls", "certificates"], Value::Map(value), &Origin::new(pair.line, "tls_certificates"));
    }
    if common.get("tls_certificate_sds_secret_configs").is_some() {
        part.notes.push(Note::danger(common.line, "secrets by SDS: name files in `tls.certificates`"));
    }
    if let Some(authority) = common.at(&["validation_context", "trusted_ca", "filename"]) {
        let required = tls.get("require_client_certificate");
        let mode = if required.and_then(Foreign::text) == Some("true") { "require" } else { "optional" };
        let origin = Origin::new(required.map_or(tls.line, |required| required.line), "require_client_certificate");
        part.put(&["tls", "clientAuth", "mode"], Value::plain(mode), &origin);
        let origin = tree::origin(authority, "trusted_ca");
        part.put(&["tls", "clientAuth", "caFile"], Value::text(authority.text().unwrap_or_default()), &origin);
    }
    if let Some(version) = common.at(&["tls_params", "tls_minimum_protocol_version"]) {
        let least = if version.text() == Some("TLSv1_3") { "1.3" } else { "1.2" };
        part.put(&["tls", "minVersion"], Value::text(least), &tree::origin(version, "tls_minimum_protocol_version"));
    }
}
