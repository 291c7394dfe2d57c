//! What `attache explain` says about the limits of clients.

use crate::config::model::{Config, LimitKey, LimitMode, RateLimit, Route};

/// A line for each limit of the route, in their order.
pub(super) fn lines(config: &Config, route: &Route) -> Vec<String> {
    let open = route.concurrency.map(|limit| {
        let max = limit.max;
        format!("at a time {max} of one client address, more get 429")
    });
    let limits = route.rate_limits.iter();
    let rates = limits.filter_map(|id| config.rate_limits.get(id.0).map(rate));
    open.into_iter().chain(rates).collect()
}

fn rate(limit: &RateLimit) -> String {
    let quota = limit.buckets.quota;
    let keys: Vec<_> = limit.buckets.key.iter().map(key).collect();
    let mode = match limit.mode {
        LimitMode::Enforce => "more get 429",
        LimitMode::Shadow => "only counted",
    };
    let free = limit.cost.iter().map(|(method, cost)| format!(", {method} counts {cost}"));
    format!(
        "rate      {}: by {}, {} at once and then one in {:?}, {mode}{}",
        limit.scope,
        keys.join(" and "),
        quota.capacity,
        quota.interval(),
        free.collect::<String>(),
    )
}

fn key(key: &LimitKey) -> String {
    match key {
        LimitKey::ClientIp => "client address".to_owned(),
        LimitKey::Global => "nothing: everybody together".to_owned(),
        LimitKey::Method => "method".to_owned(),
        LimitKey::Principal => "principal".to_owned(),
        LimitKey::Tenant => "tenant".to_owned(),
        LimitKey::Operation => "operation".to_owned(),
        LimitKey::Header(name) => format!("header {name}"),
        LimitKey::Cookie(name) => format!("cookie {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};

    #[test]
    fn a_limit_is_told_in_one_line() {
        let text = "
listeners: { http: { address: '127.0.0.1:0' } }
rateLimits: { edge: { rate: 10r/s, burst: 20 } }
routes:
  all:
    rateLimit: [edge, { key: [method, 'header:x-user'], rate: 20/10s, cost: { POST: 5 }, mode: shadow }]
    maxConcurrentPerClient: 3
    respond: {}
";
        let config = config::parse(text, "a.yaml", &Environment::process()).unwrap().config;
        let expected = [
            "at a time 3 of one client address, more get 429",
            "rate      edge: by client address, 21 at once and then one in 100ms, more get 429",
            "rate      routes.all[1]: by method and header x-user, 20 at once and then one in 500ms, only counted, POST counts 5",
        ];
        assert_eq!(lines(&config, &config.routes[0]), expected);
    }
}
