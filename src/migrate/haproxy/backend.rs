//! `backend` sections: clusters, and what holds for each route that leads to one.

use super::{Proxy, Sections, headers, servers};
use crate::migrate::model::{Draft, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;

/// A cluster, and what its routes get.
pub(super) struct Backend {
    pub(super) cluster: String,
    pub(super) route: Part,
}

pub(super) fn translate(proxy: &Proxy<'_>, sections: &Sections<'_>, draft: &mut Draft) -> Result<Backend, TooLarge> {
    let name = draft.name(Kind::Cluster, proxy.name);
    let mut part = Part::new(name.clone(), proxy.directive.origin());
    balance(proxy, sections, &mut part);
    servers::translate(proxy, sections, &mut part);
    if let Some((time, origin)) = sections.time(proxy, "connect") {
        part.put(&["connectTimeout"], Value::plain(time), &origin);
    }
    if let Some((time, origin)) = sections.time(proxy, "queue") {
        part.put(&["circuitBreaker", "pendingTimeout"], Value::plain(time), &origin);
    }
    let mut route = Part::new(String::new(), proxy.directive.origin());
    if let Some((time, origin)) = sections.time(proxy, "server") {
        let of = |what: &str| Origin::new(origin.line, format!("{}, {what}", origin.text));
        route.put(&["responseHeadTimeout"], Value::plain(&time), &of("before an answer begins .."));
        route.put(&["streaming", "idleTimeout"], Value::plain(time), &of(".. and between two events of a stream"));
    }
    retries(proxy, sections, &mut route);
    if let Some(forward) = sections.last(proxy, "option", "forwardfor") {
        let text = "option forwardfor: always on; what clients made up is dropped unless a trusted proxy says it";
        route.notes.push(Note::changed(forward.place.line, text));
    }
    headers::of_section(proxy, &mut route);
    let auth = proxy.block.named("http-request").iter().find(|rule| rule.argument(0) == "auth");
    if let Some(auth) = auth {
        let why = format!(
            "{}: write `authProviders`: `basic` with a `usersFile`, and `auth` in the route",
            auth.origin().text
        );
        route.close(&auth.mark().origin(), &why);
    }
    draft.add(Kind::Cluster, part)?;
    Ok(Backend { cluster: name, route })
}

fn balance(proxy: &Proxy<'_>, sections: &Sections<'_>, part: &mut Part) {
    let balance = sections.last(proxy, "balance", "");
    let Some(balance) = balance else {
        let origin = Origin::new(0, "what HAProxy does where no balance is written");
        return part.put(&["loadBalancer"], Value::plain("round-robin"), &origin);
    };
    let hash = |key: Value| Value::Map(Section::of("hash", key));
    let by = |kind: &str, name: &str| Value::Map(Section::of(kind, Value::text(name)));
    let policy = balance.argument(0);
    let value = match policy {
        "roundrobin" | "static-rr" => Value::plain("round-robin"),
        "leastconn" => Value::plain("least-connection"),
        "source" => hash(Value::plain("clientIp")),
        _ if policy.starts_with("random") => Value::plain("random"),
        _ => match policy.strip_prefix("hdr(").map(|name| name.trim_end_matches(')')) {
            Some(name) => hash(by("header", name)),
            None => {
                let text = format!(
                    "{}: requests are spread by least connection, or by a hash of `clientIp`, a header or a \
                                    cookie",
                    balance.shown()
                );
                part.notes.push(Note::changed(balance.place.line, text));
                Value::plain("least-connection")
            }
        },
    };
    part.put(&["loadBalancer"], value, &balance.origin());
    if let Some(stick) = proxy.block.last("stick").filter(|stick| stick.argument(1) == "src") {
        part.put(&["loadBalancer"], hash(Value::plain("clientIp")), &stick.origin());
    }
    if let Some(cookie) = proxy.block.last("cookie") {
        part.put(&["loadBalancer"], hash(by("cookie", cookie.argument(0))), &cookie.origin());
        let text = format!(
            "{}: a hash of the cookie chooses here; calls about a task find their agent by themselves",
            cookie.origin().text
        );
        part.notes.push(Note::changed(cookie.place.line, text));
    }
}

fn retries(proxy: &Proxy<'_>, sections: &Sections<'_>, route: &mut Part) {
    let count = sections.last(proxy, "retries", "");
    let on = sections.last(proxy, "retry-on", "");
    if let Some(redispatch) = sections.last(proxy, "option", "redispatch") {
        let text = "option redispatch: another endpoint is always preferred for another try";
        route.notes.push(Note::changed(redispatch.place.line, text));
    }
    if let Some(off) = count.filter(|count| count.argument(0) == "0") {
        return route.put(&["retries"], Value::plain("off"), &off.origin());
    }
    if let Some(count) = count {
        route.put(&["retries", "attempts"], Value::plain(count.argument(0)), &count.origin());
    }
    if let Some(on) = on {
        route.put(&["retries", "retryOn"], Value::text(on.arguments.join(" ")), &on.origin());
        let text = "retry-on: HAProxy repeats a POST as well, so a task may be begun twice; here it is sent again only while \
                    no agent has seen it";
        route.notes.push(Note::danger(on.place.line, text));
    } else if let Some(count) = count {
        let origin = Origin::new(count.place.line, "what HAProxy does where no retry-on is written");
        route.put(&["retries", "retryOn"], Value::text("connect-failure"), &origin);
    }
}
