//! Which names say that a secret stands under them, and which header fields are known to hold none.

use std::borrow::Cow;

/// Keys of the language and of other proxies that only sound like secrets: they name files and other things.
const PLAIN: [&str; 16] = [
    "certFile", "keyFile", "caFile", "tokenFile", "secretFile", "clientAuth", "authProviders", "authorizationPolicies",
    "authorizationServers", "credentialName", "serverName", "proxy_pass", "csrf", "authFailures", "allowCredentials",
    "cookiesNeedOrigin",
];

/// Secret anywhere in a name.
const PARTS: [&str; 19] = [
    "accesskey", "apikey", "authorization", "bearer", "cookie", "credential", "hmac", "jwt", "licensekey", "passcode",
    "passphrase", "passwd", "password", "privatekey", "pwd", "secret", "sessid", "signature", "token",
];

/// Secret as a whole word of a name.
const WORDS: [&str; 19] = [
    "assertion", "auth", "authn", "authz", "creds", "csrf", "nonce", "oauth2", "otp", "pass", "pin", "psk", "saml",
    "sas", "session", "sessionid", "sid", "sig", "xsrf",
];

/// Secret as the end of a word: `x-basicauth`, `userpass`.
const ENDS: [&str; 3] = ["auth", "key", "pass"];

/// Words with such an end that name no secret.
const INNOCENT: [&str; 6] = ["monkey", "turkey", "hotkey", "bypass", "compass", "donkey"];

/// Header fields with values that describe a message and are no credentials.
const HEADERS: [&str; 45] = [
    "a2a-extensions", "a2a-version", "age", "allow", "alt-svc", "cache-control", "clear-site-data", "connection",
    "cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy", "date",
    "deprecation", "expect-ct", "expires", "forwarded", "from", "host", "last-modified", "link", "location",
    "mcp-protocol-version", "origin", "origin-agent-cluster", "permissions-policy", "pragma", "priority",
    "referrer-policy", "retry-after", "server", "server-timing", "strict-transport-security", "sunset",
    "timing-allow-origin", "user-agent", "vary", "via", "warning", "x-content-type-options", "x-dns-prefetch-control",
    "x-frame-options", "x-powered-by", "x-robots-tag", "x-served-by", "x-xss-protection",
];

/// The same for whole families of them.
const FAMILIES: [&str; 4] = ["accept", "access-control-", "content-", "x-forwarded-"];

/// Keys whose value is a path, relative to the file it is written in.
pub(super) const FILE_KEYS: [&str; 13] = [
    "certFile", "keyFile", "caFile", "crlFile", "tokenFile", "lastGoodFile", "keysFile", "usersFile", "secretFile",
    "networksFile", "allowFile", "denyFile", "headersFile",
];

/// Whether the value `text` of `key`, which stands in the mapping `parent`, is a path.
pub(in crate::config) fn is_file(parent: &str, key: &str, text: &str) -> bool {
    match (parent, key) {
        ("state" | "jwks", "file") | ("acme", "storage") => true,
        // A word without either is no file.
        ("accessLog" | "auditLog", "output") => text.contains(['/', '.']) && !text.starts_with("syslog:"),
        _ => FILE_KEYS.contains(&key),
    }
}

/// What a rate limit counts by. Such a word is the value of a field named `key`, and no secret.
pub(in crate::config) const LIMIT_KEYS: [&str; 10] =
    ["clientIp", "global", "method", "header", "cookie", "jwt", "tenant", "operation", "apiKey", "principal"];
/// Words for the address of the client, as they are read.
pub(in crate::config) const CLIENT_IP: [&str; 6] =
    ["clientip", "ip", "remoteaddr", "remoteaddress", "src", "binaryremoteaddr"];
/// Words for one bucket that all clients share.
pub(in crate::config) const EVERYBODY: [&str; 2] = ["global", "route"];

/// Whether a field, header, parameter or variable of this name holds a secret. Names of files and of other things are
/// not secrets.
pub(in crate::config) fn is_secret_name(name: &str) -> bool {
    if PLAIN.contains(&name) {
        return false;
    }
    let lower = lower(name);
    let is_secret =
        |word: &str| WORDS.contains(&word) || (ENDS.iter().any(|end| word.ends_with(end)) && !INNOCENT.contains(&word));
    PARTS.iter().any(|part| lower.contains(part) || (lower.contains(['-', '_']) && squeezed(&lower).contains(part)))
        || words(name, &lower).any(|(word, is_last)| is_secret(word) && (is_last || !word.ends_with("key")))
}

/// Whether what a header field of this name holds may be printed.
pub(in crate::config) fn is_plain_header(name: &str) -> bool {
    let lower = lower(name);
    HEADERS.contains(&&*lower) || FAMILIES.iter().any(|family| lower.starts_with(family))
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

/// A name without what joins its words: `pass_word` is `password`.
fn squeezed(lower: &str) -> String {
    lower.chars().filter(|c| !matches!(c, '-' | '_')).collect()
}

/// The words of a name, split at signs and where a capital follows a small letter; with whether each is the last.
fn words<'a>(name: &str, lower: &'a str) -> impl Iterator<Item = (&'a str, bool)> {
    let bytes = name.as_bytes();
    let is_end = |at: usize| {
        let (here, next) = (bytes.get(at), bytes.get(at + 1));
        here.is_some_and(u8::is_ascii_lowercase) && next.is_some_and(u8::is_ascii_uppercase)
    };
    let mut ends: Vec<usize> = (0..bytes.len()).filter(|at| is_end(*at)).map(|at| at + 1).collect();
    ends.push(bytes.len());
    let mut start = 0;
    let pieces: Vec<&str> = ends
        .into_iter()
        .filter_map(|end| {
            let piece = lower.get(start..end);
            start = end;
            piece
        })
        .flat_map(|piece| piece.split(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| !word.is_empty())
        .collect();
    let last = pieces.len().saturating_sub(1);
    pieces.into_iter().enumerate().map(move |(index, word)| (word, index == last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names() {
        for name in [
            "authorization", "X-Api-Key", "ADMIN_TOKEN", "client_secret", "Cookie", "proxy-authorization", "x-auth",
            "DB_PASS", "session", "x-jwt", "x-basicAuth", "x-userpwd", "x-accesskey", "x-licensekey", "x-hmac",
            "x-auth-profile", "x-secret-file", "x-token-name", "pass-word", "SharedAccessKey", "key",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "keyFile", "tokenFile", "secretFile", "x-keyboard", "monkey", "contentType", "keepalive", "clientAuth",
            "authProviders", "x-author", "x-key-id", "bypass", "maxConcurrentPerClient",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn every_key_that_names_a_file_is_a_path() {
        let reference = include_str!("../../../docs/configuration.md").lines();
        let keys = reference.filter(|row| row.contains("| file |")).filter_map(|row| row.split('`').nth(1));
        let keys: Vec<_> = keys.collect();
        assert!(keys.len() > 12, "{keys:?}");
        for key in keys {
            assert!(FILE_KEYS.contains(&key), "{key} is not taken relative to the file it stands in");
        }
    }

    #[test]
    fn no_key_of_the_language_hides_what_is_no_secret() {
        let found = crate::config::schema::keys();
        assert!(found.len() > 100, "{found:?}");
        let hidden: Vec<_> = found.iter().filter(|key| is_secret_name(key)).collect();
        // All name what a request carries, which the tree knows by where they stand.
        assert_eq!(hidden, ["apiKey", "auth", "authorization", "bearer", "cookie", "credentials", "jwt", "key"]);
    }
}
