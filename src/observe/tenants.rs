//! Requests by tenant. Tenants are what clients or headers say, so only those that the configuration names have series;
//! the others share one.

use http::StatusCode;

pub use super::catalogue::TenantHandles;
use super::handle::CodeClass;
use super::metrics::Metrics;

/// Series of the tenants that are named, for one worker.
#[derive(Debug)]
pub struct TenantSeries {
    /// Sorted by name.
    named: Vec<(Box<str>, TenantHandles)>,
    others: TenantHandles,
}

impl TenantSeries {
    /// Series of these tenants; `None` where none is named.
    #[must_use]
    pub fn new(names: &[String], metrics: &Metrics) -> Option<Self> {
        let of = |name: &String| (Box::from(name.as_str()), TenantHandles::new(metrics, name));
        let mut named: Vec<(Box<str>, _)> = names.iter().map(of).collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        (!named.is_empty()).then(|| Self { named, others: TenantHandles::new(metrics, OTHERS) })
    }

    /// Counts an answer of this status.
    pub fn count(&self, tenant: &str, status: u16) {
        let found = self.named.binary_search_by(|(name, _)| (**name).cmp(tenant));
        let found = found.ok().and_then(|at| self.named.get(at));
        let handles = found.map_or(&self.others, |(_, handles)| handles);
        handles.tenant_requests.count(StatusCode::from_u16(status).map_or(CodeClass::Failed, CodeClass::of));
    }
}

/// The tenant whose series are those of all that are not named.
pub const OTHERS: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::Exposition;

    #[test]
    fn only_those_that_are_named_have_series() {
        let metrics = Metrics::new(&[1.0]).unwrap();
        assert!(TenantSeries::new(&[], &metrics).is_none());
        let names = ["north", "acme"].map(str::to_owned);
        let series = TenantSeries::new(&names, &metrics).unwrap();
        for (tenant, status) in [("acme", 200), ("acme", 204), ("acme", 503), ("north", 429), ("x", 200), ("y", 201)] {
            series.count(tenant, status);
        }
        let scrape = Exposition::parse(&metrics.render().unwrap());
        for (tenant, class, expected) in [
            ("acme", "2xx", Some(2.0)),
            ("acme", "5xx", Some(1.0)),
            ("north", "4xx", Some(1.0)),
            ("north", "2xx", None),
            ("other", "2xx", Some(2.0)),
            ("x", "2xx", None),
        ] {
            let labels = [("tenant", tenant), ("code_class", class)];
            assert_eq!(scrape.value("attache_tenant_requests_total", &labels), expected, "{tenant} {class}");
        }
    }
}
