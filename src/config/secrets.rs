//! What must never be printed, by name: values of fields that carry credentials, and user names in URLs.

use std::borrow::Cow;

use super::raw::limits::names_key;

/// A limit's key is not longer than a header's name, and hostile lines are.
const LONGEST_KEY: usize = 80;
/// Shown instead of a secret.
pub(super) const REDACTED: &str = "(redacted)";

/// Whether a field, header or variable of this name holds a secret. Names of files and of other things are not secrets.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name: Cow<'_, str> = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    };
    if name.ends_with("file") || name.ends_with("name") {
        return false;
    }
    [
        "authorization",
        "token",
        "secret",
        "password",
        "passwd",
        "api-key",
        "apikey",
        "api_key",
        "cookie",
        "credential",
    ]
    .iter()
    .any(|word| name.contains(word))
        || name == "key"
        || name.ends_with("-key")
        || name.ends_with("_key")
}

/// Whether this is `key: clientIp`, which says whom a rate limit counts and holds no secret.
pub(super) fn names_clients(name: &str, value: &str) -> bool {
    name == "key" && names_key(value.trim_matches([' ', '"', '\'']))
}

/// Whether what stands under `parent` names cookies and holds none: `hash: { cookie: name }`.
pub(super) fn names_cookies(parent: &str) -> bool {
    NAMING.contains(&parent)
}

const NAMING: [&str; 3] = ["hash", "sticky", "chosenBy"];

/// Takes `user:password@` out of URLs in `text`.
pub(super) fn mask_urls(text: &str) -> String {
    let Some((before, after)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = after
        .find(['/', '?', '#', ' ', '"', '\''])
        .unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let authority = authority.rsplit_once('@').map_or_else(
        || authority.to_owned(),
        |(_, host)| format!("{REDACTED}@{host}"),
    );
    format!("{before}://{authority}{}", mask_urls(rest))
}

/// A source line with the values of secret keys blotted out, each character by one `*` so that carets still fit.
pub(super) fn mask_line(line: &str) -> String {
    let mut out: Vec<char> = mask_userinfo(line).chars().collect();
    let mut start = 0;
    while let Some(colon) = out
        .iter()
        .skip(start)
        .position(|c| *c == ':')
        .map(|at| at + start)
    {
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
    let end = after
        .find(['/', '?', '#', ' ', '"', '\''])
        .unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let authority = authority.rsplit_once('@').map_or_else(
        || authority.to_owned(),
        |(user, host)| format!("{}@{host}", "*".repeat(user.chars().count())),
    );
    format!("{before}://{authority}{}", mask_userinfo(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names() {
        for name in [
            "authorization",
            "X-Api-Key",
            "ADMIN_TOKEN",
            "client_secret",
            "Cookie",
            "proxy-authorization",
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
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn lines_keep_their_length() {
        for (line, masked) in [
            (
                "  authorization: Bearer abc # x",
                "  authorization: ****** *** # x",
            ),
            (
                "{ set: { x-api-key: \"a b\", other: y } }",
                "{ set: { x-api-key: \"* *\", other: y } }",
            ),
            ("  url: https://me:pw@host/x", "  url: https://*****@host/x"),
            (
                "loadBalancer: { hash: { cookie: session } }",
                "loadBalancer: { hash: { cookie: session } }",
            ),
            ("  keyFile: certs/a.key", "  keyFile: certs/a.key"),
            (
                "a: { key: clientIp, rate: 1/s }",
                "a: { key: clientIp, rate: 1/s }",
            ),
            ("  key: header:x-api-key", "  key: header:x-api-key"),
            ("  key: clinetIp # slip", "  key: clinetIp # slip"),
            ("  key: c2VjcmV0 # x", "  key: ******** # x"),
            ("  location: \"a:b\"", "  location: \"a:b\""),
        ] {
            assert_eq!(mask_line(line), masked);
        }
        assert_eq!(
            mask_urls("see https://a:b@c/d and http://e@f"),
            "see https://(redacted)@c/d and http://(redacted)@f"
        );
    }
}
