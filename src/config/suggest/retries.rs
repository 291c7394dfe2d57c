//! Other proxies' words for retries.

use super::Foreign;

pub(super) const FOREIGN: &[Foreign] = &[
    (
        &[
            "retryPolicy",
            "retry_policy",
            "retry",
            "proxy_next_upstream",
            "proxy_next_upstream_tries",
            "retry-on",
            "retryOn",
            "perTryTimeout",
        ],
        "retries",
        "that is `retries: { attempts: 2, retryOn: 5xx }` here",
    ),
    (
        &["numRetries", "num_retries", "tries", "maxRetries"],
        "attempts",
        "that is `attempts` here: tries beyond the first",
    ),
    (
        &["retryRemoteLocalities", "retriableStatusCodes"],
        "retryOn",
        "statuses stand in `retryOn` here: `retryOn: [reset, 503]`",
    ),
    (&["on"], "retryOn", "that is `retryOn: [reset, 5xx]` here"),
    (
        &["connect-failure", "refused-stream", "reset", "timeout", "5xx", "gateway-error", "unavailable", "cancelled"],
        "retryOn",
        "inside `{ }` a comma ends the value: write `retryOn: [5xx, reset]`",
    ),
    (
        &["retryBackOff", "retry_back_off", "baseInterval"],
        "backoff",
        "that is `backoff: { base: 25ms, max: 250ms }` here",
    ),
];
