//! Who may come in, where clients really are, and what is logged.

use super::Levels;
use crate::migrate::directive::Block;
use crate::migrate::model::{Draft, Origin, Part, Value};
use crate::migrate::note::Note;

/// `set_real_ip_from`.
pub(super) fn real_ip(levels: &Levels<'_, '_>, draft: &mut Draft) {
    for from in levels.block.named("set_real_ip_from") {
        draft.settings.push(&["clientIp", "trustedProxies"], Value::text(from.mark().argument(0)), &from.origin());
    }
    if let Some(header) = levels.block.last("real_ip_header") {
        let name = header.argument(0);
        if !matches!(name.to_ascii_lowercase().as_str(), "x-forwarded-for" | "proxy_protocol") {
            let text = format!("{}: clients are known by X-Forwarded-For of trusted proxies", header.shown());
            draft.note(Note::danger(header.place.line, text));
        }
    }
    if let Some(recursive) = levels.block.last("real_ip_recursive").filter(|one| one.argument(0) == "off") {
        let text = "real_ip_recursive off: the last address that no trusted proxy has counts here";
        draft.note(Note::changed(recursive.place.line, text));
    }
}

/// `access_log` of `http` and `server`: there is one for all routes.
pub(super) fn log(block: &Block<'_>, draft: &mut Draft) {
    for log in block.named("access_log").iter().filter(|log| log.argument(0) == "off") {
        let text = "access_log off: write `accessLog: false` in the routes that need no log";
        draft.note(Note::changed(log.mark().place.line, text));
    }
}

/// What a location says of its clients.
pub(super) fn translate(levels: &Levels<'_, '_>, part: &mut Part) {
    if let Some(log) = levels.block.last("access_log").filter(|log| log.argument(0) == "off") {
        part.put(&["accessLog"], Value::plain("false"), &log.origin());
    }
    addresses(levels, part);
    for (name, provider) in [
        ("auth_basic", "`authProviders`: `basic` with a `usersFile` of hashes by argon2 or bcrypt (`htpasswd -B`)"),
        ("auth_request", "`authProviders`: `external` with the `url` that is asked"),
        ("auth_jwt", "`authProviders`: `jwt` with the keys of the issuer"),
    ] {
        if let Some(directive) = levels.last(name).filter(|directive| directive.argument(0) != "off") {
            let why = format!("{}: write {provider}, and `auth` in the route", directive.shown());
            part.close(&directive.origin(), &why);
        }
    }
    let _users = levels.last("auth_basic_user_file");
}

/// `allow` and `deny`, of which nginx takes the first that fits.
fn addresses(levels: &Levels<'_, '_>, part: &mut Part) {
    let Some(rules) = rules(levels) else { return };
    let Some((first, ..)) = rules.first() else { return };
    let origin = Origin::new(*first, "allow, deny");
    let is_last_deny = rules.iter().any(|(_, is_allow, what)| !is_allow && what == "all");
    let (mut allow, mut deny) = (Vec::new(), Vec::new());
    for (line, is_allow, what) in &rules {
        match (is_allow, what.as_str()) {
            (true, "all") => break,
            (false, "all") => {
                if allow.is_empty() {
                    deny.extend(["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
                }
                break;
            }
            (true, network) => {
                if is_last_deny {
                    allow.push(network.to_owned());
                } else {
                    let text = format!("allow {network}: what `deny` names stays out here, whatever the order");
                    part.notes.push(Note::changed(*line, text));
                }
            }
            (false, network) => deny.push(network.to_owned()),
        }
    }
    if !allow.is_empty() {
        part.put(&["ipAccess", "allow"], Value::texts(allow), &origin);
    }
    if !deny.is_empty() {
        part.put(&["ipAccess", "deny"], Value::texts(deny), &origin);
    }
}

/// The rules of the innermost block that has any, in their order.
fn rules(levels: &Levels<'_, '_>) -> Option<Vec<(usize, bool, String)>> {
    let here = levels.block.all.iter().filter(|one| matches!(one.name.as_str(), "allow" | "deny"));
    let rules: Vec<_> =
        here.map(|one| (one.mark().place.line, one.name == "allow", one.argument(0).to_owned())).collect();
    if rules.is_empty() { rules_above(levels) } else { Some(rules) }
}

fn rules_above(levels: &Levels<'_, '_>) -> Option<Vec<(usize, bool, String)>> {
    levels.outer.and_then(rules)
}
