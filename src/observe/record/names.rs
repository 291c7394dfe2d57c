//! Names that many records have in common, written once.

use std::sync::Arc;

use super::string;

/// The route and cluster of a record; `-` where there is none.
#[derive(Clone, Debug)]
pub struct RecordNames {
    route: Box<str>,
    cluster: Arc<str>,
    /// Both as members of an object in JSON, each with its comma before it.
    json: Box<[u8]>,
    /// Where the second begins.
    route_end: usize,
}

impl RecordNames {
    /// Writes them, once for all records.
    #[must_use]
    pub fn new(route: &str, cluster: Arc<str>) -> Self {
        let mut json = Vec::new();
        let mut member = |key, name: &str| {
            if name != "-" {
                string(&mut json, key, name.as_bytes());
            }
            json.len()
        };
        let route_end = member(",\"route\":", route);
        member(",\"cluster\":", &cluster);
        Self { route: route.into(), cluster, json: json.into(), route_end }
    }

    /// Name of the route.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn route_in_json(&self) -> &[u8] {
        self.json.get(..self.route_end).unwrap_or_default()
    }

    pub(super) fn cluster_in_json(&self) -> &[u8] {
        self.json.get(self.route_end..).unwrap_or_default()
    }
}
