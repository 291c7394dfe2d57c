//! The start-up summary of `attache run`: where it listens, what it serves and, above all, what is not protected. At
//! most twelve lines for every size of configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::terminal::count;
use crate::a2a::card::SignedCards;
use crate::config::model::{
    A2a, AdminAddress, AuthMode, ClientAuth, Cluster, Config, HttpVersion, LimitMode, Listener, ListenerId,
    MemberAddress, ProbeKind, RateLimitId, Route, TlsVersion,
};

/// Addresses a running gateway is bound to.
#[derive(Debug)]
pub(super) struct Bound {
    /// By listener name.
    pub(super) listeners: BTreeMap<String, SocketAddr>,
    /// Metrics and health.
    pub(super) metrics: Option<SocketAddr>,
    /// The admin API.
    pub(super) admin: Option<AdminAddress>,
}

/// The summary's lines.
pub(super) fn summary(config: &Config, bound: &Bound) -> Vec<String> {
    let mut lines = vec![format!("attache {} is running, configuration {}", env!("CARGO_PKG_VERSION"), config.hash)];
    lines.extend(shorten(config.listeners.iter().map(|listener| about(listener, bound)).collect(), 4, "listener"));
    let routes: Vec<_> = config.routes.iter().map(|route| route.name.clone()).collect();
    lines.push(format!("  routes    {}", names(routes)));
    let clusters = config.clusters.iter();
    let clusters = clusters.map(|cluster| format!("{} ({})", cluster.name, count(cluster.members.len(), "endpoint")));
    lines.push(format!("  clusters  {}", names(clusters.collect())));
    lines.push(match bound.metrics {
        Some(address) => format!("  metrics   http://{address}/metrics"),
        None => "  metrics   off".to_owned(),
    });
    lines.extend(bound.admin.iter().map(|address| format!("  admin     {address}")));
    let unprotected = unprotected(config, bound);
    let marked = unprotected.into_iter().map(|what| format!("  not protected: {what}")).collect();
    lines.extend(shorten(marked, MAX_LINES.saturating_sub(lines.len()), "unprotected thing"));
    lines
}

/// Missing protection that an operator might expect.
fn unprotected(config: &Config, bound: &Bound) -> Vec<String> {
    let open = |listener: &&Listener| listener.tls.is_none() && listener.https_redirect.is_none();
    let outside = |listener: &&Listener| !address_of(listener, bound).ip().is_loopback();
    let cleartext = config.listeners.iter().filter(open).filter(outside);
    let cleartext: Vec<_> = cleartext.map(|listener| listener.name.clone()).collect();
    let mut found = Vec::new();
    if !cleartext.is_empty() {
        found.push(format!("no TLS on {}, reachable from outside", names(cleartext)));
    }
    let trusts = !config.client_ip.trusted_proxies.is_empty();
    // A listener that redirects to itself serves clients that use HTTPS according to a trusted proxy.
    let serves = |at: usize, listener: &Listener| {
        let redirect = listener.https_redirect.as_ref();
        redirect.is_none_or(|redirect| trusts && redirect.serves == ListenerId(at))
    };
    let anonymous = config.listeners.iter().enumerate();
    let anonymous = anonymous
        .filter(|(at, listener)| serves(*at, listener) && !has_client_auth(listener))
        .map(|(at, listener)| (ListenerId(at), listener));
    found.extend(without_authentication(config, anonymous));
    found.extend(without_rate_limit(config));
    found.extend(unprotected_agents(config));
    if let Some(address) = bound.metrics.filter(|address| !address.ip().is_loopback()) {
        found.push(format!("anybody who reaches {address} reads the metrics"));
    }
    let plain: Vec<_> =
        config.clusters.iter().filter(|cluster| leaves_in_clear(cluster)).map(|cluster| cluster.name.clone()).collect();
    if !plain.is_empty() {
        found.push(format!("no TLS towards {}", names(plain)));
    }
    if config.access_log.iter().all(|log| log.output.is_none()) {
        found.push("the access log is off".to_owned());
    }
    found
}

/// Routes whose requests are not limited, and those that limit some calls of agents alone.
fn without_rate_limit(config: &Config) -> impl Iterator<Item = String> {
    let enforced = |id: &RateLimitId| {
        let limit = config.rate_limits.get(id.0);
        limit.is_some_and(|limit| limit.mode == LimitMode::Enforce)
    };
    let some_calls = |route: &&Arc<Route>| route.calls.iter().flat_map(|call| &call.rate_limits).any(enforced);
    let routes = config.routes.iter().filter(|route| route.action.forwards());
    let open = routes.filter(|route| !route.rate_limits.iter().any(enforced));
    let (partly, not_at_all): (Vec<_>, Vec<_>) = open.partition(some_calls);
    let said = [("no rate limit", not_at_all), ("rate limits of single operations only", partly)];
    let said = said.into_iter().filter(|(_, routes)| !routes.is_empty());
    said.map(|(what, routes)| format!("{what} on {}", names(routes.iter().map(|route| route.name.clone()).collect())))
}

/// What clients of agents may lose, or where they may get past the gateway. Of cards only routes are named that say
/// themselves that they lead to agents.
fn unprotected_agents(config: &Config) -> Vec<String> {
    let of = |test: &dyn Fn(&Route, &A2a) -> bool| {
        let routes = config.routes.iter();
        let found = routes.filter(|route| route.a2a.as_ref().is_some_and(|settings| test(route, settings)));
        found.map(|route| route.name.clone()).collect::<Vec<_>>()
    };
    let keeps =
        |settings: &A2a| settings.agent_card.as_ref().is_some_and(|card| card.signed_cards == SignedCards::Keep);
    let said = [
        ("tasks are not followed", of(&|route, settings| settings.affinity.is_none() && config.has_replicas(route))),
        ("agent cards are not mapped", of(&|_, settings| settings.agent_card.is_none())),
        ("signed agent cards are left alone", of(&|route, settings| leads_to_agents(route, config) && keeps(settings))),
    ];
    let said = said.into_iter().filter(|(_, routes)| !routes.is_empty());
    said.map(|(what, routes)| format!("{what} on {}", names(routes))).collect()
}

/// Whether the configuration says that a route leads to agents: it has a word about A2A, or their cards are checked.
fn leads_to_agents(route: &Route, config: &Config) -> bool {
    let checks =
        |cluster: &Cluster| cluster.health_check.as_ref().is_some_and(|check| check.kind == ProbeKind::AgentCard);
    route.a2a.as_ref().is_some_and(|settings| *settings != A2a::default()) || config.clusters_of(route).any(checks)
}

fn about(listener: &Listener, bound: &Bound) -> String {
    let address = address_of(listener, bound);
    let versions = spoken(listener);
    let what = match (&listener.https_redirect, &listener.tls) {
        (Some(redirect), _) => match &listener.public_url {
            Some(url) => {
                return format!("  listener  {} on {address}, redirects to {url}", listener.name);
            }
            None => format!("redirects to https, port {}", redirect.port),
        },
        (None, Some(tls)) => {
            let least = match tls.min_version {
                TlsVersion::V12 => "1.2",
                TlsVersion::V13 => "1.3",
            };
            format!("TLS {least} and later, {versions}")
        }
        (None, None) => format!("cleartext, {versions}"),
    };
    let public = listener.public_url.as_ref();
    let public = public.map_or_else(String::new, |url| format!(", clients see {url}"));
    format!("  listener  {} on {address}, {what}{public}", listener.name)
}

/// HTTP versions of a listener, in its order. It names how clients use HTTP/2 without TLS, because not every operator
/// knows that.
pub(super) fn spoken(listener: &Listener) -> String {
    if listener.protocols == [HttpVersion::Http1] {
        return "http/1.1 only, so no gRPC".to_owned();
    }
    let versions = listener.protocols.iter().map(|version| match version {
        HttpVersion::Http1 => "http/1.1",
        HttpVersion::H2 if listener.tls.is_none() => "h2 (prior knowledge)",
        HttpVersion::H2 => "h2",
    });
    versions.collect::<Vec<_>>().join(" ")
}

fn address_of(listener: &Listener, bound: &Bound) -> SocketAddr {
    bound.listeners.get(&listener.name).copied().unwrap_or(listener.address)
}

/// Whose callers nobody has to know, of these listeners; of one where some routes ask, the routes that do not.
fn without_authentication<'a>(
    config: &Config,
    listeners: impl Iterator<Item = (ListenerId, &'a Listener)>,
) -> Vec<String> {
    let asks = |route: &&Arc<Route>| route.auth.as_ref().is_some_and(|auth| !auth.optional);
    let (mut whole, mut partly) = (Vec::new(), BTreeSet::new());
    for (id, listener) in listeners {
        let routes = config.routes.iter().filter(|route| route.listeners.contains(&id));
        let (asking, open): (Vec<_>, Vec<_>) = routes.partition(asks);
        if asking.is_empty() {
            whole.push(listener.name.clone());
        } else {
            partly.extend(open.into_iter().map(|route| route.name.clone()));
        }
    }
    let said = [
        ("callers of", whole, "are not authenticated"),
        ("callers are not authenticated on", Vec::from_iter(partly), ""),
    ];
    let said = said.into_iter().filter(|(_, named, _)| !named.is_empty());
    said.map(|(before, named, after)| format!("{before} {} {after}", names(named)).trim_end().to_owned()).collect()
}

fn has_client_auth(listener: &Listener) -> bool {
    let required = |auth: &ClientAuth| auth.mode == AuthMode::Require;
    listener.tls.as_ref().is_some_and(|tls| required(&tls.client_auth))
}

fn leaves_in_clear(cluster: &Cluster) -> bool {
    let is_local = |address: &MemberAddress| match address {
        MemberAddress::Socket(address) => address.ip().is_loopback(),
        MemberAddress::Name { host, .. } => host == "localhost",
    };
    cluster.tls.is_none() && cluster.members.iter().any(|member| !is_local(&member.address))
}

/// At most `limit` lines; the last says how many are left out.
fn shorten(mut lines: Vec<String>, limit: usize, what: &str) -> Vec<String> {
    if lines.len() > limit {
        let kept = limit.saturating_sub(1);
        let rest = lines.len() - kept;
        lines.truncate(kept);
        lines.push(format!("  and {}", count(rest, &format!("more {what}"))));
    }
    lines
}

/// A few names and how many more there are.
fn names(all: Vec<String>) -> String {
    let total = all.len();
    let shown: Vec<_> = all.into_iter().take(MAX_NAMES).collect();
    match (shown.is_empty(), total.saturating_sub(MAX_NAMES)) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

const MAX_LINES: usize = 12;
const MAX_NAMES: usize = 5;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::config::{self, Environment};

    fn said(text: &str, metrics: Option<&str>) -> Vec<String> {
        let loaded = config::parse(text, "test.yaml", &Environment::empty(UNIX_EPOCH));
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        let metrics = metrics.map(|address| address.parse().unwrap());
        summary(&config, &Bound { listeners: BTreeMap::new(), metrics, admin: None })
    }

    #[test]
    fn what_is_open_is_named() {
        let text = "
listeners: { web: { address: \"0.0.0.0:8080\" }, local: { address: \"127.0.0.1:8081\" } }
routes: { far: { hosts: [far.test], endpoints: [\"10.0.0.1:80\"] }, near: { endpoints: [\"127.0.0.1:80\"] } }
accessLog: { output: off }
";
        let all = said(text, Some("0.0.0.0:9090")).join("\n");
        for part in [
            "no TLS on web, reachable from outside",
            "callers of local, web are not authenticated",
            "no rate limit on far, near",
            "anybody who reaches 0.0.0.0:9090 reads the metrics",
            "no TLS towards far\n",
            "the access log is off",
        ] {
            assert!(format!("{all}\n").contains(part), "`{part}` is missing in\n{all}");
        }
        let limited = text.replace("near: {", "near: { rateLimit: { key: clientIp, rate: 10/s, burst: 20 },");
        let limited = said(&limited, None).join("\n");
        assert!(limited.contains("no rate limit on far\n"), "{limited}");
        let call =
            "near: { a2a: { methods: { SendMessage: { rateLimit: { key: clientIp, rate: 10/s, burst: 20 } } } },";
        let partly = said(&text.replace("near: {", call), None).join("\n");
        for part in ["no rate limit on far\n", "rate limits of single operations only on near\n"] {
            assert!(partly.contains(part), "`{part}` is missing in\n{partly}");
        }
        let local = said(&text.replace("0.0.0.0", "127.0.0.1").replace("10.0.0.1", "127.0.0.1"), None).join("\n");
        assert!(!local.contains("TLS on") && !local.contains("TLS towards"), "loopback needs none\n{local}");
        assert!(local.contains("metrics   off"), "{local}");
    }

    #[test]
    fn callers_that_a_route_asks_for_are_authenticated() {
        let keys = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&keys, format!("ann:{}\n", "0".repeat(64))).unwrap();
        let text = format!(
            "
listeners: {{ web: {{ address: \"127.0.0.1:8080\" }} }}
authProviders: {{ keys: {{ apiKey: {{ keysFile: {} }} }} }}
routes:
  asking: {{ hosts: [a.test], auth: keys, endpoints: [\"127.0.0.1:80\"] }}
",
            keys.path().display()
        );
        let of = |more: &str| said(&format!("{text}{more}"), None).join("\n") + "\n";
        assert!(!of("").contains("authenticated"), "{}", of(""));
        let open = of("  open: { endpoints: [\"127.0.0.1:80\"] }\n");
        assert!(open.contains("callers are not authenticated on open\n"), "{open}");
        let optional = of("  some: { auth: { anyOf: [keys], optional: true }, endpoints: [\"127.0.0.1:80\"] }\n");
        assert!(optional.contains("callers are not authenticated on some\n"), "{optional}");
    }

    #[test]
    fn what_agents_lack_is_named() {
        let text = "
listeners: { web: { address: \"127.0.0.1:8080\" } }
clusters:
  many: { endpoints: [\"10.0.0.1:80\", \"10.0.0.2:80\"] }
  one: { endpoints: [\"10.0.0.1:80\"] }
  name: { endpoints: [\"agent.test:80\"] }
  checked: { endpoints: [\"10.0.0.1:80\"], healthCheck: { type: agent-card } }
routes:
  a: { hosts: [a.test], cluster: many, a2a: { affinity: off, agentCard: { signedCards: strip } } }
  b: { hosts: [b.test], cluster: one, a2a: { affinity: off, agentCard: off } }
  c: { hosts: [c.test], cluster: name, a2a: { affinity: off } }
  d: { hosts: [d.test], cluster: checked }
  e: { hosts: [e.test], cluster: many, a2a: off }
  f: { hosts: [f.test], cluster: many }
accessLog: { output: off }
";
        let all = said(text, None).join("\n");
        for part in [
            "tasks are not followed on a, c\n",
            "agent cards are not mapped on b\n",
            "signed agent cards are left alone on c, d\n",
        ] {
            assert!(all.contains(part), "`{part}` is missing in\n{all}");
        }
        let usual = "
listeners: { web: { address: \"127.0.0.1:8080\" } }
routes: { a: { endpoints: [\"10.0.0.1:80\", \"10.0.0.2:80\"] } }
";
        let all = said(usual, None).join("\n");
        assert!(!all.contains("tasks") && !all.contains("cards"), "the defaults protect them\n{all}");
    }

    #[test]
    fn the_address_that_clients_see_is_named() {
        let text = "
listeners:
  http: { address: \"127.0.0.1:8080\", httpsRedirect: true }
  web: { address: \"127.0.0.1:8081\", publicUrl: \"https://agents.test\" }
routes: { all: { respond: {} } }
";
        let all = said(text, None).join("\n");
        for part in [
            "http on 127.0.0.1:8080, redirects to https://agents.test\n",
            "web on 127.0.0.1:8081, cleartext, h2 (prior knowledge) http/1.1, clients see https://agents.test\n",
        ] {
            assert!(all.contains(part), "`{part}` is missing in\n{all}");
        }
        assert!(all.contains("callers of web are not"), "{all}");
        let lone = "
listeners: { http: { address: \"127.0.0.1:8080\", httpsRedirect: true } }
clientIp: { trustedProxies: [10.0.0.1] }
routes: { all: { respond: {} } }
";
        let all = said(lone, None).join("\n");
        assert!(all.contains("callers of http are not authenticated"), "it serves who is on HTTPS already\n{all}");
    }

    #[test]
    fn what_a_listener_speaks_is_said() {
        for (more, expected) in [
            ("", "cleartext, h2 (prior knowledge) http/1.1"),
            (", protocols: [http/1.1, h2]", "cleartext, http/1.1 h2 (prior knowledge)"),
            (", protocols: [h2]", "cleartext, h2 (prior knowledge)"),
            (", protocols: [http/1.1]", "cleartext, http/1.1 only, so no gRPC"),
        ] {
            let text = format!(
                "listeners: {{ web: {{ address: \"127.0.0.1:8080\"{more} }} }}\nroutes: {{ all: {{ respond: {{}} }} }}\n"
            );
            let all = said(&text, None);
            let line = format!("  listener  web on 127.0.0.1:8080, {expected}");
            assert!(all.contains(&line), "`{line}` is missing in {all:?}");
        }
    }

    #[test]
    fn a_large_configuration_does_not_make_it_longer() {
        use std::fmt::Write;

        let mut text = "accessLog: { output: off }\nlisteners:\n".to_owned();
        (0..30).for_each(|at| {
            writeln!(text, "  l{at}: {{ address: \"0.0.0.0:{}\" }}", 8000 + at).unwrap();
        });
        text.push_str("routes:\n");
        (0..30).for_each(|at| {
            writeln!(text, "  r{at}: {{ hosts: [h{at}.test], endpoints: [\"10.0.0.1:80\"] }}").unwrap();
        });
        let lines = said(&text, Some("0.0.0.0:9090"));
        assert!(lines.len() <= MAX_LINES, "{}", lines.join("\n"));
        assert!(lines.iter().any(|line| line.contains("27 more listeners")), "{}", lines.join("\n"));
        assert!(lines.iter().all(|line| line.len() < 160), "{}", lines.join("\n"));
        let last = lines.last().unwrap();
        assert!(last.contains("unprotected things"), "nothing is left out silently: {last}");
    }
}
