//! What a metric family is declared as, and whose names its labels carry: with a name, the series go.

/// One metric family as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name on the wire.
    pub name: &'static str,
    /// Its Prometheus type.
    pub kind: Kind,
    /// Label names, in the order values are given.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
    /// What more an object has to have for its series to stay.
    pub only: Option<Object>,
}

/// Prometheus type of a [`Family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// The word Prometheus uses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What has series and may be gone after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A route.
    Route,
    /// A route that has a rollout.
    Rollout,
    /// A cluster.
    Cluster,
    /// A cluster that has a health check.
    HealthCheck,
    /// A cluster that has a half-open breaker.
    Breaker,
    /// A cluster whose limit on requests is found out.
    Adaptive,
    /// A listener.
    Listener,
    /// A rate limit.
    RateLimit,
    /// A provider that knows clients.
    AuthProvider,
    /// A tenant that has series of its own.
    Tenant,
    /// An authorization rule of a route, as `route\nrule`: rules of many routes have the same name.
    Rule,
    /// A pattern that the requests of a route are searched for, as `route\npattern`.
    Pattern,
}

impl Family {
    /// What the values of a label name; `None` where they are fixed words.
    #[must_use]
    pub fn object(&self, label: &str) -> Option<Object> {
        if self.labels.contains(&"endpoint") {
            // Those of an endpoint go with it: see `endpoints`.
            return None;
        }
        let object = match label {
            "route" => Object::Route,
            "cluster" | "agent_id" => Object::Cluster,
            "listener" => Object::Listener,
            "limit" => Object::RateLimit,
            "tenant" => Object::Tenant,
            "provider" => Object::AuthProvider,
            _ => return None,
        };
        Some(self.only.unwrap_or(object))
    }

    /// What a label value names within a route, with the name of that; `None` for families without.
    #[must_use]
    pub fn part_of_route(&self, values: &[Box<str>]) -> Option<(Object, String)> {
        let value = |wanted: &str| values.get(self.labels.iter().position(|label| *label == wanted)?);
        let (object, name) = match (value("rule"), value("pattern")) {
            (Some(rule), _) => (Object::Rule, rule),
            (None, Some(pattern)) => (Object::Pattern, pattern),
            (None, None) => return None,
        };
        Some((object, format!("{}\n{name}", value("route")?)))
    }
}
