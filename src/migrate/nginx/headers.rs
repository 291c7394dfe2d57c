//! Header fields in both directions.

use super::Levels;
use crate::migrate::directive::Directive;
use crate::migrate::model::{Origin, Part, Value};
use crate::migrate::note::Note;

/// `proxy_set_header`. Without `Host`, nginx sends the name that stands in `proxy_pass`.
pub(super) fn request(levels: &Levels<'_, '_>, authority: &str, part: &mut Part) {
    let fields = levels.all("proxy_set_header");
    let fields = if fields.is_empty() { levels.all("grpc_set_header") } else { fields };
    if !fields.iter().any(|field| field.argument(0).eq_ignore_ascii_case("host")) {
        let origin = Origin::new(0, "nginx sends the name in proxy_pass where no proxy_set_header Host is written");
        part.put(&["upstreamHost"], Value::text(authority), &origin);
    }
    for field in fields {
        let name = field.argument(0).to_ascii_lowercase();
        one(&name, field.argument(1), authority, field, part);
    }
}

fn one(name: &str, value: &str, authority: &str, field: &Directive, part: &mut Part) {
    let line = field.place.line;
    match (name, value) {
        ("host", "$http_host") => part.put(&["upstreamHost"], Value::plain("preserve"), &field.origin()),
        ("host", "$host") => {
            part.put(&["upstreamHost"], Value::plain("preserve"), &field.origin());
            part.notes
                .push(Note::changed(line, "proxy_set_header Host $host: a port in the client's Host stays in it here"));
        }
        ("host", "$proxy_host") => part.put(&["upstreamHost"], Value::text(authority), &field.origin()),
        ("host", value) if !value.contains('$') => {
            part.put(&["upstreamHost"], Value::text(value), &field.origin());
        }
        ("x-forwarded-for", "$proxy_add_x_forwarded_for") => {
            let text = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for: nginx adds to what a client made up; \
                        here only what proxies in `clientIp.trustedProxies` say is kept";
            part.notes.push(Note::danger(line, text));
        }
        ("x-real-ip" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port", value)
            if value.contains('$') =>
        {
            part.notes.push(Note::changed(line, format!("{}: always sent, there is nothing to write", field.shown())));
        }
        ("upgrade", "$http_upgrade") => part.put(&["websocket"], Value::plain("true"), &field.origin()),
        ("connection", value)
            if value.contains('$') || value.is_empty() || value.eq_ignore_ascii_case("keep-alive") =>
        {
            part.notes.push(Note::changed(line, format!("{}: attache sets this field itself", field.shown())));
        }
        ("connection", _) => {
            let text = format!(
                "{}: nginx sends this with every request, event streams too, and some agents stumble over it; here only \
                 with a WebSocket",
                field.shown()
            );
            part.notes.push(Note::danger(line, text));
        }
        (_, "") => part.settings.push(&["requestHeaders", "remove"], Value::text(name), &field.origin()),
        (name, value) if !value.contains('$') => {
            part.put(&["requestHeaders", "set", name], Value::text(value), &Origin::new(line, "proxy_set_header"));
        }
        (name, value) => {
            let text = format!("proxy_set_header {name} {value}: values of fields have no variables here");
            part.notes.push(Note::dropped(line, text));
        }
    }
}

/// `add_header` and `proxy_hide_header`.
pub(super) fn response(levels: &Levels<'_, '_>, part: &mut Part) {
    for hidden in levels.all("proxy_hide_header") {
        part.settings.push(&["responseHeaders", "remove"], Value::text(hidden.argument(0)), &hidden.origin());
    }
    let mut is_sometimes = None;
    for field in levels.all("add_header") {
        let (name, value) = (field.argument(0).to_ascii_lowercase(), field.argument(1));
        let line = field.place.line;
        if name == "x-xss-protection" {
            let text = "add_header X-XSS-Protection: obsolete, and a danger in the browsers that knew it: not sent";
            part.notes.push(Note::danger(line, text));
            continue;
        }
        if value.contains('$') {
            part.notes.push(Note::dropped(line, format!("{}: values of fields have no variables here", field.shown())));
            continue;
        }
        if !field.has_argument("always") {
            is_sometimes.get_or_insert(line);
        }
        if name.starts_with("access-control-") {
            let text = format!("add_header {name}: `cors` of the route answers preflights too, which this does not");
            part.notes.push(Note::changed(line, text));
        }
        if name == "content-type" && part.has(&["respond"]) {
            part.put(&["respond", "contentType"], Value::text(value), &field.origin());
            continue;
        }
        part.put(&["responseHeaders", "add", &name], Value::text(value), &Origin::new(line, "add_header"));
    }
    if let Some(line) = is_sometimes {
        let text = "add_header without `always`: nginx adds it to good answers alone; here it is in errors too";
        part.notes.push(Note::changed(line, text));
    }
    let is_answer = levels.block.has("return") && part.has(&["respond", "body"]);
    if let Some(default) = levels.last("default_type").filter(|_| is_answer) {
        part.put(&["respond", "contentType"], Value::text(default.argument(0)), &default.origin());
    }
}
