//! Which texts are credentials by their looks, wherever they stand, and which parts of others are: user names and
//! queries in URLs, parameters in paths, what follows a key whose space was forgotten.

use std::borrow::Cow;

use super::names::{CLIENT_IP, EVERYBODY, LIMIT_KEYS, is_secret_name};
use crate::config::suggest::{closest, fold};

/// Shown instead of a secret.
pub(in crate::config) const REDACTED: &str = "(redacted)";

/// How credentials in a header begin, before a space or a tab.
const SCHEMES: [&str; 9] =
    ["basic", "bearer", "digest", "negotiate", "ntlm", "apikey", "hmac", "token", "aws4-hmac-sha256"];

/// How tokens of well-known makers begin.
const MAKERS: [&str; 33] = [
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "sk-ant-", "sk-proj-", "sk-or-",
    "sk_live_", "sk_test_", "rk_live_", "whsec_", "xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-", "xapp-",
    "AIza", "ya29.", "hf_", "npm_", "pypi-", "dop_v1_", "hvs.", "tskey-", "shpat_", "AGE-SECRET-KEY-",
];

/// Fewer characters behind a maker's sign are a word.
const SHORTEST: usize = 4;

/// Longer text is an answer's body, not a header.
const LONGEST_VALUE: usize = 16 << 10;

/// Whether a value is a credential by its looks, wherever it stands.
pub(in crate::config) fn looks_secret(text: &str) -> bool {
    if text.len() < 4 {
        return false;
    }
    let text = &*mask_parts(text);
    text.contains("PRIVATE KEY-----") || has_scheme(text) || has_pair(text, false) || has_token(text)
}

/// Whether text names what follows as a credential: `Bearer ..` anywhere, the others at its beginning.
fn has_scheme(text: &str) -> bool {
    let named = |text: &str| {
        let (scheme, rest) = text.split_once([' ', '\t'])?;
        let rest = rest.trim_start();
        let is_scheme = SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // A sentence may begin with `token`.
        let is_one = !scheme.eq_ignore_ascii_case("token") || !rest.trim_end().contains([' ', '\t']);
        (is_scheme && is_one && !rest.is_empty()).then_some(())
    };
    let has_bearer = || {
        let lower = text.to_ascii_lowercase();
        lower
            .split("bearer")
            .skip(1)
            .any(|rest| rest.starts_with([' ', '\t']) && rest.trim_start().starts_with(|c: char| !c.is_whitespace()))
    };
    named(text.trim_start()).is_some() || (text.len() < LONGEST_VALUE && has_bearer())
}

/// Whether text holds `name: value` or `name=value` with the name of a secret: `sv=1&sig=S`, `x; password=S`, and
/// `x-api-key:S` where a space was forgotten. `auth:8080` is a port, `/v1/auth:refresh` a path.
fn has_pair(text: &str, is_quoted: bool) -> bool {
    let is_path = text.starts_with('/') || text.contains("://");
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices([':', '=']).any(|(at, sign)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let before = before.trim_end_matches(['"', '\'', ' ', '\\']);
        let name = before.get(before.rfind(|c| !is_name(c)).map_or(0, |end| end + 1)..).unwrap_or_default();
        let value = after.trim_start_matches(['"', '\'', ' ', '\t', '\\']);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let is_port =
            sign == ":" && (1..=5).contains(&digits) && matches!(after.as_bytes().get(digits), None | Some(b'/'));
        let is_value = !value.is_empty()
            && !value.starts_with([':', '/', '{', '['])
            && !value.starts_with(REDACTED)
            && !(sign == ":" && (is_path || is_port))
            // Messages show how something is written.
            && !(is_quoted && (after.starts_with(' ') || matches!(name, "cookie" | "key" | "header" | "jwt")));
        is_value && is_secret_name(name) && !names_clients(name, value)
    })
}

/// Whether this is `key: clientIp`, which says whom a rate limit counts and holds no secret.
pub(in crate::config) fn names_clients(name: &str, value: &str) -> bool {
    let value = value.trim_matches([' ', '"', '\'']);
    let is_word = || [&CLIENT_IP[..], &EVERYBODY].concat().contains(&&*fold(value));
    let kind = value.split(':').next().unwrap_or(value);
    name == "key" && (is_word() || closest(kind, LIMIT_KEYS).is_some())
}

/// Whether a word of the text is a token: begun as its maker begins them, a JWT, or letters and digits mixed as in
/// random text.
fn has_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=');
    text.split(|c| !is_part(c)).any(|word| {
        let word = word.trim_start_matches(['-', '.', '=', '/']);
        let is_made = MAKERS.iter().any(|maker| {
            word.match_indices(maker).any(|(at, _)| {
                let (before, after) = word.split_at_checked(at).unwrap_or((word, ""));
                !before.ends_with(|c: char| c.is_ascii_alphanumeric()) && after.len() >= maker.len() + SHORTEST
            })
        });
        is_made || is_jwt(word) || word.split('/').any(|part| is_access_key(part) || is_mixed(part))
    })
}

fn is_jwt(word: &str) -> bool {
    word.find("eyJ").and_then(|at| word.get(at..)).is_some_and(|rest| rest.matches('.').count() >= 2)
}

/// Whether this is the name of a key at AWS.
fn is_access_key(word: &str) -> bool {
    ["AKIA", "ASIA"].iter().any(|start| word.starts_with(start))
        && word.len() >= 12
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether letters and digits alternate as only chance has them: base64 or hexadecimal digits of a key.
fn is_mixed(word: &str) -> bool {
    if word.len() < 20 || word.contains('.') {
        return false;
    }
    let bytes = word.as_bytes();
    let turns = bytes.windows(2).filter(|pair| {
        let [left, right] = pair else { return false };
        left.is_ascii_alphanumeric() && right.is_ascii_alphanumeric() && left.is_ascii_digit() != right.is_ascii_digit()
    });
    let turns = turns.count();
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    let is_base64 = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && turns >= 4;
    let is_hex = bytes.len() >= 32 && bytes.iter().all(u8::is_ascii_hexdigit) && turns >= 2;
    is_base64 || is_hex
}

/// Whether a text can be the path of a file. A token that was written in place of its file cannot.
pub(in crate::config) fn is_plausible_path(text: &str) -> bool {
    let is_long = text.len() >= 12 && !text.contains(['/', '.']);
    let has_more = text.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'=');
    !(looks_secret(text) || is_long && has_more)
}

/// Takes `user:password@`, the values of queries and those of parameters out of URLs, addresses and paths.
pub(in crate::config) fn mask_parts(text: &str) -> Cow<'_, str> {
    let is_url = text.contains("://");
    let has_parameters = (is_url || text.starts_with('/')) && text.contains(['?', ';', '#']);
    let has_user = !is_url && text.contains('@');
    if !is_url && !has_parameters && !has_user {
        return Cow::Borrowed(text);
    }
    let masked = if is_url { mask_urls(text) } else { mask_user(text).into_owned() };
    let masked = if has_parameters { mask_parameters(&masked) } else { masked };
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

/// The same for what stands between back-ticks in a message, where values and keys are quoted; there, what looks like
/// a credential is taken out as well.
pub(in crate::config) fn mask_quoted(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(index, part)| match index % 2 {
        0 => Cow::Borrowed(part),
        _ => {
            let masked = mask_parameters(&mask_user(&mask_urls(part)));
            let is_secret = masked.contains("PRIVATE KEY-----") || has_pair(&masked, true) || has_token(&masked);
            Cow::Owned(if is_secret { REDACTED.to_owned() } else { masked })
        }
    });
    parts.collect::<Vec<_>>().join("`")
}

/// What stands before the host of an address that is no URL: `user:password` of `user:password@host`, and any text
/// before a host with its port.
pub(in crate::config) fn user_of(text: &str) -> Option<&str> {
    let (user, host) = text.rsplit_once('@').filter(|_| !text.contains("://"))?;
    let has_port = || host.rsplit_once(':').is_some_and(|(_, port)| port.starts_with(|c: char| c.is_ascii_digit()));
    let start = user.rfind(['"', '\'', ' ', '[', '/']).map_or(0, |end| end + 1);
    let user = user.get(start..).filter(|user| !user.is_empty() && *user != REDACTED)?;
    (user.contains(':') || has_port()).then_some(user)
}

/// Takes the user out of an address that is no URL.
fn mask_user(text: &str) -> Cow<'_, str> {
    match user_of(text) {
        Some(user) => Cow::Owned(text.replacen(&format!("{user}@"), &format!("{REDACTED}@"), 1)),
        None => Cow::Borrowed(text),
    }
}

/// Takes the values out of every `?name=value&..`, `;name=value` and `#name=value` in `text`.
fn mask_parameters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(['?', ';', '&', '#', '=', ' ', '"', '\'']) {
        let (name, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let sign = from.chars().next().unwrap_or_default();
        out.push_str(name);
        out.push(sign);
        rest = from.get(1..).unwrap_or_default();
        let Some(kind) = before.filter(|_| sign == '=' && !name.is_empty()) else {
            before = match sign {
                '?' | ';' | '#' => Some(sign),
                // Only within a query.
                '&' => before,
                _ => None,
            };
            continue;
        };
        let ends: &[char] =
            if kind == ';' { &[';', '?', '#', '/', ' ', '"', '\''] } else { &['&', ';', '#', ' ', '"', '\''] };
        let end = rest.find(ends).unwrap_or(rest.len());
        let (value, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(if value.is_empty() { "" } else { REDACTED });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Takes `user:password@` out of URLs in `text`.
pub(in crate::config) fn mask_urls(text: &str) -> String {
    let Some((before, after)) = text.split_once("://") else { return text.to_owned() };
    let end = after.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end).unwrap_or((after, ""));
    let authority =
        authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("{REDACTED}@{host}"));
    format!("{before}://{authority}{}", mask_urls(rest))
}

/// Where the value begins in a key whose space was forgotten: `authorization:S`, `token=S`. A port is none.
pub(in crate::config) fn value_in_key(key: &str) -> Option<usize> {
    let (at, sign) = key.match_indices([':', '=']).next()?;
    let rest = key.get(at + 1..).filter(|rest| !rest.is_empty())?;
    let is_port = sign == ":" && rest.len() <= 5 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = key.starts_with('[') || key.parse::<std::net::IpAddr>().is_ok();
    (!is_port && !is_address).then_some(at + 1)
}

/// A key as it may be printed: without a value that was written into it, and not when it is a credential itself.
pub(in crate::config) fn shown_key(key: &str) -> Cow<'_, str> {
    if !key.contains([':', '=', ' ', '\t', '@']) && key.len() < 8 {
        return Cow::Borrowed(key);
    }
    match value_in_key(key) {
        Some(at) if !key.contains("://") => Cow::Owned(format!("{}{REDACTED}", key.get(..at).unwrap_or_default())),
        _ if looks_secret(key) => Cow::Borrowed(REDACTED),
        _ => mask_parts(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_messages_quote_are_masked() {
        for (message, expected) in [
            ("`/a?token=S` is more than a path", "`/a?token=<redacted>` is more than a path"),
            ("write `healthCheck: { path: /h?token=S }`", "write `healthCheck: { path: /h?token=<redacted> }`"),
            ("write `user:S@127.0.0.1:1`", "write `<redacted>@127.0.0.1:1`"),
            ("`S@127.0.0.1:1` is no host", "`<redacted>@127.0.0.1:1` is no host"),
            ("`https://u:S@a/` is no host", "`https://<redacted>@a/` is no host"),
            ("no field `authorization:S`", "no field `<redacted>`"),
            ("cannot read `dir/ghp_SSSSSSSS`", "cannot read `<redacted>`"),
            ("`/a;v=S/b;c` is no path", "`/a;v=<redacted>/b;c` is no path"),
            ("what? `a@b` and `x:80`", "what? `a@b` and `x:80`"),
            ("that is `cookie: name` here, `key: clientIp`", "that is `cookie: name` here, `key: clientIp`"),
            ("add `tokenFile`, or write `127.0.0.1:9901`", "add `tokenFile`, or write `127.0.0.1:9901`"),
        ] {
            let expected = expected.replace("<redacted>", REDACTED);
            assert_eq!(mask_quoted(message), expected);
        }
    }

    #[test]
    fn values_that_look_like_credentials() {
        let schemes = ["Bearer abc", "bearer abc", "x Bearer abc", "Bearer\tabc", "Token abc", "Basic dXNlcjpwYXNz"];
        let pairs = [
            "x-api-key:abc", "session=abc; Path=/", "foo; password=abc", "sv=2024-01-01&sig=abc", "Server=db;Pwd=abc",
            "{\"token\": \"abc\"}", "otp=123456",
        ];
        let tokens = [
            "eyJhbGciOiJIUzI1NiJ9.e30.abc", "-----BEGIN PRIVATE KEY-----", "ghp_abcdefgh", "AKIAIOSFODNN7EXAMPLE",
            "see sk-ant-api03-abcdefgh", "xoxb-1234-abcd", "glpat-abcdefgh",
        ];
        let mixed = ["wJalrXUtnFEMI/K7MDENG1b/bPx2RfiCY3EXa4MPLEKEY", "0123456789abcdef0123456789abcdef"];
        let defaults = ["${NONE:-ghp_abcdefgh}", "${NONE:-Bearer abc}", "${PASSWORD:-x} password=abc"];
        for text in [&schemes[..], &pairs, &tokens, &mixed, &defaults].concat() {
            assert!(looks_secret(text), "{text}");
        }
        let words = ["Bearer", "basic", "header:x-api-key", "token of the first kind", "eyJ", "", "sk-learn:80"];
        let addresses = [
            "auth:8080", "auth:8080/x", "token-service:80", "https://token.example", "/v1/auth:refresh",
            "unix:/run/token", "/v1/tasks/{id}", "researchAgentCluster2024", "2030-01-01T00:00:00Z",
        ];
        let long = [
            "https://token.example/v1/auth:refresh",
            "agent-7d9f8b6c5d-x2x4z.agents.svc.cluster.local:8080",
            "max-age=31536000; includeSubDomains",
            "default-src 'self'; img-src https:",
            "5xx,reset,connect-failure",
        ];
        for text in [&words[..], &addresses, &long].concat() {
            assert!(!looks_secret(text), "{text}");
        }
    }

    #[test]
    fn what_stands_in_urls_and_paths() {
        for (text, masked) in [
            ("/healthz?token=abc", "/healthz?token=(redacted)"),
            ("/a?b&c=&d=e#f", "/a?b&c=&d=(redacted)#f"),
            ("/a;token=abc/b;x", "/a;token=(redacted)/b;x"),
            ("/a;t=abc?u=abc;v=abc", "/a;t=(redacted)?u=(redacted);v=(redacted)"),
            ("/a#access_token=abc", "/a#access_token=(redacted)"),
            ("https://h/?a=b", "https://h/?a=(redacted)"),
            ("https://u:p@h/?a=b", "https://(redacted)@h/?a=(redacted)"),
            ("user:abc@host:80", "(redacted)@host:80"),
            ("abc@host:80", "(redacted)@host:80"),
            ("ops@example.com", "ops@example.com"),
            ("^/a?b=c$", "^/a?b=c$"),
            ("what?a=b", "what?a=b"),
        ] {
            assert_eq!(mask_parts(text), masked);
        }
        assert_eq!(
            mask_urls("see https://a:b@c/d and http://e@f"),
            "see https://(redacted)@c/d and http://(redacted)@f"
        );
    }

    #[test]
    fn keys_with_a_value_in_them() {
        for (key, shown) in [
            ("authorization:S", "authorization:(redacted)"),
            ("x-any:S", "x-any:(redacted)"),
            ("token=S", "token=(redacted)"),
            ("ghp_abcdefgh", "(redacted)"),
            ("Bearer S", "(redacted)"),
            ("https://u:S@h/", "https://(redacted)@h/"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("agent:8080", "agent:8080"),
            ("[::1]:80", "[::1]:80"),
            ("fe80::1", "fe80::1"),
            ("x-api-key", "x-api-key"),
            ("", ""),
        ] {
            assert_eq!(shown_key(key), shown);
        }
    }

    #[test]
    fn a_token_is_no_path() {
        for path in ["token", "/run/secrets/admin", "certs/a.key", "admin-token", "./AdminToken2024", "token.txt"] {
            assert!(is_plausible_path(path), "{path}");
        }
        for token in ["c2VjcmV0LXRva2Vu", "ghp_abcdefgh", "eyJhbGciOiJIUzI1NiJ9.e30.abc", "hunter2hunter2"] {
            assert!(!is_plausible_path(token), "{token}");
        }
    }
}
