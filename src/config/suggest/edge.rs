//! Words of Traefik, Envoy and Kubernetes' ingresses for what stands around a route here.

use super::Foreign;

pub(super) const FOREIGN: &[Foreign] = &[
    (
        &["static_resources", "dynamic_resources", "resources"],
        "listeners",
        "the sections stand at the top level: `listeners`, `routes`, `clusters`",
    ),
    (
        &["middlewares", "middleware", "filters", "plugins", "policies"],
        "clusters",
        "there are none here: each route says what happens to it, or `defaults.route` for all",
    ),
    (
        &["middlewares", "middleware", "filters", "plugins", "policies"],
        "requestHeaders",
        "the route says itself what happens: `rewrite`, `requestHeaders`, `rateLimit`, `retries`, ..",
    ),
    (&["logLevel", "log", "error_log", "loglevel", "verbosity"], "logging", "that is `logging: { level: info }` here"),
    (
        &["stripPrefix", "stripPathPrefix"],
        "rewrite",
        "that is `rewrite: { prefix: / }` here, in place of the prefix that `match` names",
    ),
    (
        &["prefixRewrite", "rewriteTarget", "pathRewrite", "urlRewrite"],
        "rewrite",
        "that is `rewrite: { prefix: /x }` here, in place of the prefix that `match` names",
    ),
    (&["replacePath"], "rewrite", "that is `rewrite: { path: /x }` here, in place of the whole path"),
    (
        &["regexRewrite", "replacePathRegex"],
        "rewrite",
        "that is `rewrite: { regex: { pattern: .., replacement: .. } }` here",
    ),
    (
        &["stripPrefix", "stripPathPrefix"],
        "prefix",
        "that is `prefix: /` here, in place of the prefix that `match` names",
    ),
    (
        &["prefixRewrite", "pathRewrite", "replacePrefixMatch"],
        "prefix",
        "that is `prefix: /x` here, in place of the prefix that `match` names",
    ),
];
