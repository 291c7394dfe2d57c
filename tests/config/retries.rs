//! `retries`: defaults, and the words of several proxies.

use std::time::Duration;

use attache::config::model::{Failure, Retries, RetryBudget, RetryPolicy};

use crate::loaded;

fn policy(route: &str) -> RetryPolicy {
    let text = format!(
        "listeners: {{ a: {{ address: '127.0.0.1:80' }} }}\nroutes: {{ a: {{ endpoints: ['b:80'], {route} }} }}"
    );
    let loaded = loaded(&text);
    assert!(loaded.warnings.is_empty(), "{route}: {}", loaded.warnings);
    loaded.config.routes[0].retries.clone()
}

fn retries(route: &str) -> Retries {
    match policy(route) {
        RetryPolicy::By(retries) => *retries,
        other => panic!("{route}: {other:?}"),
    }
}

#[test]
fn defaults() {
    let retries = retries("retries: {}");
    let unsafe_ones = retries.causes(false);
    assert_eq!(retries.attempts, 2);
    assert_eq!(retries.retry_on.failures, Failure::ALL);
    assert!(!retries.retry_on.looks_at_answers() && !unsafe_ones.is_risky());
    assert_eq!(unsafe_ones.failures.len(), 3);
    assert_eq!(retries.max_replay_bytes, RetryPolicy::REPLAY_BYTES);
    let budget = RetryBudget { millionths: 200_000, min_concurrent: 3 };
    assert_eq!(retries.budget, Some(budget));
    assert_eq!(retries.backoff.base, Duration::from_millis(25));
    assert_eq!(retries.backoff.max, Duration::from_millis(250));
    let usual = policy("timeout: 1s");
    assert_eq!(usual, RetryPolicy::Default);
    assert_eq!(policy("retries: null"), usual);
    assert_eq!(policy("retries: off"), RetryPolicy::Off);
}

#[test]
fn words_of_istio_and_nginx_in_one_text_or_a_list() {
    let istio = "retryOn: '5xx,reset,connect-failure,refused-stream'";
    let text = retries(&format!("retries: {{ attempts: 3, {istio} }}"));
    let list = retries("retries: { attempts: 3, retryOn: [5xx, reset, connect-failure, refused-stream] }");
    assert_eq!(text, list);
    let nginx = retries("retries: { retryOn: error timeout invalid_header http_500 http_502 http_503 }");
    assert!(nginx.retry_on.has_status(502) && !nginx.retry_on.has_status(504));
    assert_eq!(nginx.retry_on.failures.len(), Failure::ALL.len());
    let mixed = retries("retries: { retryOn: [reset, 503] }");
    assert!(mixed.retry_on.has_status(503));
}
