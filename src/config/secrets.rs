//! What must never be printed, and where it stands: everything under a name that says so, what a request must carry to
//! match, text that looks like a credential, user names and queries in URLs. Decided once, on the tree; whatever prints
//! asks the tree.

use std::borrow::Cow;

use super::node::{Node, Span, Value};
use super::raw::limits::names_key;

/// A limit's key is not longer than a header's name, and hostile lines are.
const LONGEST_KEY: usize = 80;
/// Shown instead of a secret.
pub(super) const REDACTED: &str = "(redacted)";

/// Whether a field, header, parameter or variable of this name holds a secret. Names of files and of other things are
/// not secrets.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name: Cow<'_, str> =
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() };
    // The last is nginx's word for a place.
    if name.ends_with("file") || name.ends_with("name") || name == "proxy_pass" {
        return false;
    }
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    PARTS.iter().any(|part| name.contains(part))
        || words.any(|word| WORDS.contains(&word))
        || name == "key"
        || name.ends_with("-key")
        || name.ends_with("_key")
}

/// Secret anywhere in a name.
const PARTS: [&str; 10] =
    ["authorization", "token", "secret", "password", "passwd", "api-key", "apikey", "api_key", "cookie", "credential"];

/// Secret as a whole word of a name.
const WORDS: [&str; 13] =
    ["auth", "bearer", "creds", "jwt", "otp", "pass", "passphrase", "pin", "psk", "pwd", "session", "sig", "signature"];

/// Whether this is `key: clientIp`, which says whom a rate limit counts and holds no secret.
fn names_clients(name: &str, value: &str) -> bool {
    name == "key" && names_key(value.trim_matches([' ', '"', '\'']))
}

/// What stands under these names cookies and holds none: `hash: { cookie: name }`.
const NAMING: [&str; 3] = ["hash", "sticky", "chosenBy"];

/// Sections whose keys are names that somebody gave.
const SECTIONS: [&str; 4] = ["listeners", "routes", "clusters", "rateLimits"];

/// Under these, what a request carries is told by name only.
const CARRIED: [&str; 3] = ["headers", "query", "cookies"];

/// Where in a file a secret is written: from a line and column to just before another, columns in characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    from: (usize, usize),
    to: (usize, usize),
}

/// Marks every secret of a file's tree, after substitution. Returns where in its text they stand; a reference such as
/// `${TOKEN}` is none.
pub(super) fn conceal(root: &mut Node) -> Vec<Stretch> {
    let mut found = Found::default();
    let top = Around { key: "", names: false, is_match: false, is_secret: false };
    found.walk(root, top);
    found.stretches()
}

/// What a node stands under.
#[derive(Clone, Copy)]
struct Around<'a> {
    key: &'a str,
    /// Its keys are names of routes, clusters and the like.
    names: bool,
    /// Under what a request must look like.
    is_match: bool,
    is_secret: bool,
}

#[derive(Default)]
struct Found {
    /// Secrets written on one line.
    short: Vec<Stretch>,
    /// Where secrets begin that are written over several lines.
    long: Vec<(usize, usize)>,
    /// Where any key or value begins; only gathered to find the ends of those.
    starts: Vec<(usize, usize)>,
}

impl Found {
    fn walk(&mut self, node: &mut Node, around: Around<'_>) {
        match &mut node.value {
            Value::Map(entries) => {
                let carried = around.is_match && CARRIED.contains(&around.key);
                let carried = carried || around.key == "whenHeader";
                for entry in entries {
                    let key = entry.key.as_str();
                    self.starts.push(start(entry.key_span));
                    let names_cookie = key == "cookie" && NAMING.contains(&around.key);
                    let below = Around {
                        key,
                        names: around.key.is_empty() && SECTIONS.contains(&key),
                        is_match: around.is_match || key == "match",
                        is_secret: around.is_secret
                            || carried
                            || (is_secret_name(key) && !names_cookie && !around.names),
                    };
                    self.walk(&mut entry.value, below);
                }
            }
            Value::List(items) => {
                let is_secret = around.is_secret || around.is_match && CARRIED.contains(&around.key);
                for item in items {
                    self.walk(item, Around { is_secret, ..around });
                }
            }
            Value::Scalar(scalar) => {
                self.starts.push(start(node.span));
                let is_word = scalar.plain && matches!(scalar.text.as_str(), "true" | "false");
                let written = scalar.written.as_deref().unwrap_or(&scalar.text);
                let is_secret = (around.is_secret || looks_secret(written)) && !names_clients(around.key, written);
                let is_empty = scalar.is_null() || scalar.text.is_empty() || is_word;
                if is_secret && !is_empty {
                    scalar.secret = true;
                }
                let is_reference = scalar.substituted && is_reference(written);
                let is_partly = matches!(mask_parts(written), Cow::Owned(_));
                if (is_secret && !is_empty && !is_reference) || is_partly {
                    // What is written over several lines has the length one.
                    let is_short = node.span.len() != 1 || (scalar.plain && scalar.text.len() == 1);
                    self.add(node.span, is_short);
                }
            }
            Value::Blank => self.starts.push(start(node.span)),
        }
    }

    fn add(&mut self, span: Span, is_short: bool) {
        let from = start(span);
        if is_short {
            let to = (from.0, from.1 + span.len());
            self.short.push(Stretch { from, to });
        } else {
            self.long.push(from);
        }
    }

    fn stretches(mut self) -> Vec<Stretch> {
        if !self.long.is_empty() {
            self.starts.sort_unstable();
        }
        for from in self.long {
            let next = self.starts.partition_point(|start| *start <= from);
            let to = self.starts.get(next).copied();
            let to = to.unwrap_or((usize::MAX, usize::MAX));
            self.short.push(Stretch { from, to });
        }
        self.short
    }
}

fn start(span: Span) -> (usize, usize) {
    (span.line(), span.column())
}

/// Whether text is `${..}` alone, without a default that could be a secret itself.
fn is_reference(written: &str) -> bool {
    written
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inner| !inner.contains(['$', '{']) && !inner.contains(":-"))
}

/// Whether a value is a credential by its looks, wherever it stands.
fn looks_secret(text: &str) -> bool {
    let begins = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && text.len() > scheme.len()
    };
    let has_bearer = || {
        text.len() < LONGEST_VALUE
            && text.to_ascii_lowercase().split_once("bearer ").is_some_and(|(_, rest)| !rest.is_empty())
    };
    // `x-api-key:value` where the space was forgotten, `session=value`; `auth:8080` is a port.
    let is_pair = || {
        text.split_once([':', '=']).is_some_and(|(name, rest)| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !rest.starts_with(|c: char| c.is_ascii_digit() || c == ':' || c == '/')
                && !rest.is_empty()
                && name.chars().all(is_name)
                && is_secret_name(name)
        })
    };
    SCHEMES.iter().any(|scheme| begins(scheme))
        || has_bearer()
        || text.contains("PRIVATE KEY-----")
        || (text.starts_with("eyJ") && text.matches('.').count() >= 2)
        || is_pair()
}

/// How credentials in a header begin.
const SCHEMES: [&str; 6] = ["basic ", "digest ", "negotiate ", "ntlm ", "apikey ", "aws4-hmac-sha256 "];

/// Longer text is an answer's body, not a header.
const LONGEST_VALUE: usize = 16 << 10;

/// Takes `user:password@` and the values of queries out of URLs and paths.
pub(super) fn mask_parts(text: &str) -> Cow<'_, str> {
    let is_url = text.contains("://");
    let has_query = text.starts_with('/') && text.contains('?');
    if !is_url && !has_query {
        return Cow::Borrowed(text);
    }
    let masked = mask_queries(&if is_url { mask_urls(text) } else { text.to_owned() });
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

/// The same for what stands between back-ticks in a message: values are quoted there.
pub(super) fn mask_quoted(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(index, part)| match index % 2 {
        0 => Cow::Borrowed(part),
        _ => Cow::Owned(mask_queries(&mask_user(&mask_urls(part)))),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// Takes `user:password@` out of a value that is no URL.
fn mask_user(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        Some((user, host)) if user.contains(':') && !text.contains("://") => {
            let before = user.rfind(['"', '\'', ' ', '[', '/']).map_or("", |end| user.get(..=end).unwrap_or_default());
            Cow::Owned(format!("{before}{REDACTED}@{host}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Takes the values out of every `?name=value&..` in `text`.
fn mask_queries(text: &str) -> String {
    let Some((before, after)) = text.split_once('?') else {
        return text.to_owned();
    };
    let end = after.find(['#', ' ', '"', '\'']).unwrap_or(after.len());
    let (query, rest) = after.split_at(end);
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    format!("{before}?{query}{}", mask_queries(rest))
}

/// Takes `user:password@` out of URLs in `text`.
fn mask_urls(text: &str) -> String {
    let Some((before, after)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = after.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let authority =
        authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("{REDACTED}@{host}"));
    format!("{before}://{authority}{}", mask_urls(rest))
}

/// A line of a file without its secrets, each character replaced by one `*` so that carets still fit. Where the secrets
/// stand is not known in a file that is no YAML: then everything but keys and signs is blotted out.
pub(super) fn mask(line: &str, number: usize, concealed: Option<&[Stretch]>) -> String {
    let Some(concealed) = concealed else {
        return mask_values(line);
    };
    let covers = |column: usize| {
        let here = (number, column);
        concealed.iter().any(|stretch| stretch.from <= here && here < stretch.to)
    };
    let masked: String = line
        .chars()
        .enumerate()
        .map(|(index, c)| if !matches!(c, ' ' | '"' | '\'') && covers(index + 1) { '*' } else { c })
        .collect();
    mask_by_names(&masked)
}

/// Blots out everything behind the first key of a line, or all of it where there is none, but the signs YAML is made
/// of.
fn mask_values(line: &str) -> String {
    let after_key = line
        .char_indices()
        .find(|(at, c)| {
            let rest = line.get(at + 1..).unwrap_or_default();
            *c == ':' && (rest.is_empty() || rest.starts_with(char::is_whitespace))
        })
        .map_or(0, |(at, _)| at);
    let (key, value) = line.split_at_checked(after_key).unwrap_or(("", line));
    let blotted = value.chars().map(|c| {
        let is_sign = c.is_whitespace() || SIGNS.contains(c);
        if is_sign { c } else { '*' }
    });
    key.chars().chain(blotted).collect()
}

const SIGNS: &str = "{}[],:\"'#&*|>-";

/// A source line with the values of secret keys blotted out, each character by one `*` so that carets still fit.
fn mask_by_names(line: &str) -> String {
    let mut out: Vec<char> = mask_userinfo(line).chars().collect();
    let mut start = 0;
    while let Some(colon) = out.iter().skip(start).position(|c| *c == ':').map(|at| at + start) {
        let key: String = out
            .iter()
            .take(colon)
            .rev()
            .skip_while(|c| matches!(c, ' ' | '"' | '\''))
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .collect();
        let key: String = key.chars().rev().collect();
        let names_cookies = || {
            let before: String = out.iter().take(colon).collect();
            key == "cookie" && NAMING.iter().any(|word| before.contains(word))
        };
        let names_clients = || {
            let rest = out.iter().skip(colon + 1).take(LONGEST_KEY);
            let value: String = rest.take_while(|c| !",}#".contains(**c)).collect();
            names_clients(&key, &value)
        };
        if is_secret_name(&key)
            && matches!(out.get(colon + 1), None | Some(' '))
            && !names_cookies()
            && !names_clients()
        {
            blot(&mut out, colon + 1);
        }
        start = colon + 1;
    }
    out.into_iter().collect()
}

/// Blots out from `from` to the end of the value: the closing quote, the end of a flow entry, or a comment.
fn blot(line: &mut [char], from: usize) {
    let mut quote = None;
    let mut before = ' ';
    for c in line.iter_mut().skip(from).skip_while(|c| **c == ' ') {
        let now = *c;
        match (quote, now) {
            (None, '"' | '\'') if before == ' ' => quote = Some(now),
            (Some(open), now) if now == open => return,
            // Substitutions name their source, not the secret; blotting them out too costs nothing.
            (None, ',' | '}') => return,
            (None, '#' | '{' | '[' | '&' | '*' | '|' | '>') if before == ' ' => return,
            (_, ' ') => {}
            _ => *c = '*',
        }
        before = now;
    }
}

fn mask_userinfo(line: &str) -> String {
    let Some((before, after)) = line.split_once("://") else {
        return line.to_owned();
    };
    let end = after.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let authority = authority
        .rsplit_once('@')
        .map_or_else(|| authority.to_owned(), |(user, host)| format!("{}@{host}", "*".repeat(user.chars().count())));
    format!("{before}://{authority}{}", mask_userinfo(rest))
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
            ("`https://u:S@a/` is no host", "`https://<redacted>@a/` is no host"),
            ("what? `a@b` and `x:80`", "what? `a@b` and `x:80`"),
        ] {
            let expected = expected.replace("<redacted>", REDACTED);
            assert_eq!(mask_quoted(message), expected);
        }
    }

    #[test]
    fn secret_names() {
        for name in [
            "authorization",
            "X-Api-Key",
            "ADMIN_TOKEN",
            "client_secret",
            "Cookie",
            "proxy-authorization",
            "x-auth",
            "DB_PASS",
            "session",
            "x-jwt",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "keyFile",
            "tokenFile",
            "x-keyboard",
            "monkey",
            "contentType",
            "keepalive",
            "clientAuth",
            "x-author",
            "maxConcurrentPerClient",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn lines_keep_their_length() {
        for (line, masked) in [
            ("  authorization: Bearer abc # x", "  authorization: ****** *** # x"),
            ("{ set: { x-api-key: \"a b\", other: y } }", "{ set: { x-api-key: \"* *\", other: y } }"),
            ("  url: https://me:pw@host/x", "  url: https://*****@host/x"),
            ("loadBalancer: { hash: { cookie: session } }", "loadBalancer: { hash: { cookie: session } }"),
            ("  keyFile: certs/a.key", "  keyFile: certs/a.key"),
            ("a: { key: clientIp, rate: 1/s }", "a: { key: clientIp, rate: 1/s }"),
            ("  key: header:x-api-key", "  key: header:x-api-key"),
            ("  key: clinetIp # slip", "  key: clinetIp # slip"),
            ("  key: c2VjcmV0 # x", "  key: ******** # x"),
            ("  location: \"a:b\"", "  location: \"a:b\""),
        ] {
            assert_eq!(mask_by_names(line), masked);
        }
        assert_eq!(
            mask_urls("see https://a:b@c/d and http://e@f"),
            "see https://(redacted)@c/d and http://(redacted)@f"
        );
    }

    #[test]
    fn values_that_look_like_credentials() {
        for text in [
            "Bearer abc",
            "bearer abc",
            "x Bearer abc",
            "Basic dXNlcjpwYXNz",
            "eyJhbGciOiJIUzI1NiJ9.e30.abc",
            "-----BEGIN PRIVATE KEY-----",
            "x-api-key:abc",
            "session=abc; Path=/",
        ] {
            assert!(looks_secret(text), "{text}");
        }
        for text in [
            "Bearer",
            "basic",
            "auth:8080",
            "token-service:80",
            "https://token.example",
            "header:x-api-key",
            "unix:/run/token",
            "eyJ",
            "",
        ] {
            assert!(!looks_secret(text), "{text}");
        }
    }

    #[test]
    fn what_stands_in_urls_and_paths() {
        for (text, masked) in [
            ("/healthz?token=abc", "/healthz?token=(redacted)"),
            ("/a?b&c=&d=e#f", "/a?b&c=&d=(redacted)#f"),
            ("https://h/?a=b", "https://h/?a=(redacted)"),
            ("https://u:p@h/?a=b", "https://(redacted)@h/?a=(redacted)"),
            ("^/a?b=c$", "^/a?b=c$"),
            ("what?a=b", "what?a=b"),
        ] {
            assert_eq!(mask_parts(text), masked);
        }
    }

    #[test]
    fn lines_are_masked_where_the_parser_says() {
        let text = "\
match:
  headers: { x-any: { exact: 'S1', regex: \"S2\" }, x-b: S3 }
  path: { exact: /open }
list:
  x-api-key:
    deep: [S4, { er: S5 }]
    long: |
      S6 S6
      S6
  check: /a?token=S7
  bearer: ${TOKEN}
  folded: \"Bearer
    S8\"
  last: open
clusters:
  by-cookie: { endpoints: open-too }
";
        let mut report = crate::config::Report::default();
        let mut tree = crate::config::yaml::parse(text, 0, &mut report).unwrap();
        let concealed = conceal(&mut tree);
        let masked: Vec<String> =
            text.lines().enumerate().map(|(index, line)| mask(line, index + 1, Some(&concealed))).collect();
        let masked = masked.join("\n");
        assert!(!masked.contains('S'), "{masked}");
        for open in ["exact: /open", "last: open", "open-too", "x-any: { exact: '**', regex: \"**\""] {
            assert!(masked.contains(open), "{open} in {masked}");
        }
        for (line, shown) in text.lines().zip(masked.lines()) {
            assert_eq!(line.chars().count(), shown.chars().count(), "{line}");
        }
    }

    #[test]
    fn a_file_that_is_no_yaml_shows_its_keys_only() {
        for (line, masked) in [
            ("  x-auth: a: b # c", "  x-auth: *: * # *"),
            ("  exact: \"SECRET", "  exact: \"******"),
            ("SECRET", "******"),
            ("  - SECRET", "  - ******"),
            ("a: { b: c", "a: { *: *"),
            ("key:value", "***:*****"),
        ] {
            assert_eq!(mask(line, 1, None), masked);
        }
    }
}
