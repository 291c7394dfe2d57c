//! Words of Istio's objects that are about their structure: what they wrap is written without the wrapping here.

use super::Foreign;

/// Looked at first: some of these words mean something else elsewhere.
pub(super) const FOREIGN: &[Foreign] = &[
    (
        &["trafficPolicy"],
        "loadBalancer",
        "what it holds stands in the cluster itself: `loadBalancer`, `circuitBreaker`, `outlierDetection`",
    ),
    (&["simple"], "hash", "write the word itself: `loadBalancer: least-connection`"),
    (&["consistentHash"], "hash", "that is `hash: clientIp` or `hash: { header: name }` here"),
    (&["subsets"], "endpoints", "each of them is a cluster of its own here"),
    (&["host"], "discovery", "that is `endpoints: [..]` or `discovery: { dns: \"name:port\" }` here"),
    (&["route"], "split", "that is `cluster: name` or `split: [{ cluster: name, weight: 90 }, ..]` here"),
    (&["uri", "prefix", "pathPrefix", "startsWith"], "query", "that is `path: { prefix: /x }` here"),
    (&["mode"], "clientAuth", "`SIMPLE` needs no word; `MUTUAL` is `clientAuth: { mode: require, caFile: .. }` here"),
    (&["httpsRedirect"], "clientAuth", "`httpsRedirect` stands in the listener itself, beside `tls`"),
];
