//! The mapping that was probably meant where one value was written instead.

use super::fold;

/// The mapping for a value at `key`, in a section such as `clusters`.
pub(in crate::config) fn long_form(section: &str, key: &str, text: &str) -> Option<String> {
    let shown: String = text.chars().take(60).collect();
    let is_number = text.parse::<u64>().is_ok();
    let is_yes = ["true", "on", "yes", "enabled"].contains(&fold(text).as_str());
    if is_yes {
        return yes(section, key).map(|form| format!("write `{key}: {form}`"));
    }
    let inside = match key {
        "retries" if is_number => "attempts",
        "healthCheck" if text.starts_with('/') => "path",
        "healthCheck" if WORDS_OF_CHECKS.contains(&fold(text).as_str()) => "type",
        "healthCheck" if is_time(text) => "interval",
        "outlierDetection" if is_number => "consecutive5xxErrors",
        "circuitBreaker" if is_number => "maxRequests",
        "mirror" => "cluster",
        "panic" if text.ends_with('%') => "threshold",
        "discovery" => "dns",
        "keepalive" | "streaming" if is_time(text) => "idleTimeout",
        "redirect" | "respond" if is_number => "status",
        "respond" => "body",
        "rewrite" if text.starts_with('/') => "prefix",
        "accessLog" => "output",
        "logging" => "level",
        "metrics" | "admin" => "address",
        "dns" => "servers",
        "state" => "file",
        "shutdown" if is_time(text) => "drainTimeout",
        "reload" if text == "false" => "watch",
        "delay" if is_time(text) => {
            return Some(format!("write `delay: {{ percentage: 1%, fixedDelay: {shown} }}`"));
        }
        "abort" if is_number => {
            return Some(format!("write `abort: {{ percentage: 1%, httpStatus: {shown} }}`"));
        }
        _ => return None,
    };
    Some(format!("write `{key}: {{ {inside}: {shown} }}`"))
}

/// What turns a policy on that has no switch.
fn yes(section: &str, key: &str) -> Option<&'static str> {
    Some(match (section, key) {
        ("clusters", "tls" | "outlierDetection") | ("routes", "retries") | (_, "admin" | "metrics") => "{}",
        ("clusters", "healthCheck") => "{ path: /health }",
        ("clusters", "circuitBreaker") => "{ halfOpen: {} }",
        ("listeners", "tls") => "{ certificates: [{ certFile: .., keyFile: .. }] }",
        _ => return None,
    })
}

fn is_time(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h', 'd'])
}

const WORDS_OF_CHECKS: [&str; 4] = ["http", "tcp", "grpc", "agentcard"];
