//! The patterns that attache brings: what scanners and exploits send. They are found in decoded text, whatever its
//! case, and are narrow on purpose: agents talk about code and commands, so bodies are searched for little.

use crate::config::keys::screening::{PatternSet, ScreenedPart};

/// A pattern with its place.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct ShippedPattern {
    pub(in crate::config) set: PatternSet,
    pub(in crate::config) name: &'static str,
    pub(in crate::config) parts: &'static [ScreenedPart],
    pub(in crate::config) regex: &'static str,
}

const fn of(
    set: PatternSet,
    name: &'static str,
    parts: &'static [ScreenedPart],
    regex: &'static str,
) -> ShippedPattern {
    ShippedPattern { set, name, parts, regex }
}

use PatternSet::{Injection, Ssrf, Traversal};
use ScreenedPart::{Body, Headers, Path, Query};

const ALL: &[ScreenedPart] = &[Path, Query, Headers, Body];
const TARGET: &[ScreenedPart] = &[Path, Query];
const HEAD: &[ScreenedPart] = &[Path, Query, Headers];

/// All of them. docs/screening.md has the same list in words.
#[rustfmt::skip]
pub(in crate::config) const SHIPPED: &[ShippedPattern] = &[
    of(Traversal, "dot-segments", HEAD, r"(?:^|[^.\w])\.\.[/\\]|[/\\]\.\.(?:$|[/\\;?&#\s])"),
    of(Traversal, "deep-dot-segments", &[Body], r"(?:\.\.[/\\]){4}"),
    of(Traversal, "system-files", HEAD, r"/etc/(?:passwd|shadow|group|sudoers|hosts)\b|/proc/(?:self|\d+)/|\b(?:boot|win)\.ini\b|/windows/system32\b"),
    of(Traversal, "hidden-files", &[Path], r"/\.(?:git|svn|hg|env|aws|ssh|htaccess|htpasswd|ds_store|docker|kube|npmrc)(?:[/.]|$)"),
    of(Traversal, "nul-byte", TARGET, r"\x00"),
    of(Injection, "sql-union", HEAD, r"\bunion(?:\s|/\*[^*]{0,64}\*/)+(?:(?:all|distinct)(?:\s|/\*[^*]{0,64}\*/)+)?select\b"),
    of(Injection, "sql-tautology", HEAD, r#"['"`]\s*\)?\s*(?:or|and)\b\s*\(?\s*(?:['"`]?\w+['"`]?\s*(?:=|<|>|like\b)|true\b|not\b)"#),
    of(Injection, "sql-stacked", HEAD, r"['`)\d]\s*;\s*(?:drop|truncate|alter|create|delete|insert|update|exec|execute|shutdown|declare)\s+\w"),
    of(Injection, "sql-timing", HEAD, r"\b(?:pg_sleep|sleep|benchmark|dbms_pipe\.receive_message)\s*\(\s*['\d]|\bwaitfor\s+delay\s+'"),
    of(Injection, "script", HEAD, r"<\s*(?:script|iframe|object|embed|svg|img|body)\b[^>]{0,256}(?:>|\bon\w+\s*=|\bsrc\s*=)|\bjavascript\s*:\s*\w"),
    of(Injection, "shell-command", HEAD, r"(?:;|\|\|?|&&|`|\$\(|\n)\s*(?:/\w+)*/?(?:cat|ls|id|whoami|uname|wget|curl|nc|ncat|bash|sh|zsh|python\d?|perl|ruby|powershell|cmd\.exe|ping|nslookup)(?:\s|[`);|]|$)"),
    of(Injection, "shellshock", &[Query, Headers], r"\(\s*\)\s*\{[^}]{0,64}\}\s*;"),
    of(Injection, "jndi", ALL, r"\$\{\s*jndi\s*:|\$\{\s*(?:lower|upper|env|sys|date|main|base64)\s*:[^}]{0,64}\}[^}]{0,64}:|\$\{\s*::?-[a-z]\}"),
    of(Injection, "template", HEAD, r"\{\{[^}]{0,128}(?:__\w+__|\bconfig\b|\bself\b|\brequest\b|\d\s*\*\s*\d)[^}]{0,128}\}\}|\{%[^%]{0,128}%\}|<%=?[^%]{0,128}%>|[#$]\{\s*(?:\d+\s*\*\s*\d+|T\s*\(|new\s)"),
    of(Injection, "header-lines", TARGET, r"[\r\n]\s*(?:set-cookie|location|content-length|content-type|transfer-encoding|host|http/1)\b"),
    of(Injection, "stream-wrapper", TARGET, r"\b(?:php|expect|phar|zip|compress\.zlib)://|\bdata:[\w/+.-]{1,64};base64,"),
    of(Ssrf, "metadata-address", ALL, r"\b169\.254\.169\.254\b|\b100\.100\.100\.200\b|\bmetadata\.google\.internal\b|\bfd00:ec2::254\b|://\[?::ffff:(?:169\.254|a9fe:)|/latest/(?:meta-data|api/token)\b|/computemetadata/v1\b|://(?:2852039166|0xa9fea9fe)\b"),
    of(Ssrf, "loopback-address", TARGET, r"\b[a-z][a-z0-9+.-]{1,15}://(?:[^/@\s]{0,64}@)?(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|127\.1|0\.0\.0\.0|0|\[::1?\]|\[::ffff:127\.[\d.]+\]|2130706433|0x7f000001|017700000001)(?:[:/?#\s]|$)"),
    of(Ssrf, "odd-scheme", ALL, r"\b(?:gopher|dict|ldaps?|tftp|netdoc|jar:https?)://[\w.\[]|\bfile:(?://(?:localhost)?)?/(?:etc|proc|root|home|var|[a-z]:)\b"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_them_in_their_order() {
        let page = include_str!("../../../docs/screening.md");
        let rows = page.lines().filter_map(|line| {
            let cells: Vec<_> = line.split(" | ").collect();
            let [set, name, _, parts] = cells.as_slice() else { return None };
            let set = set.strip_prefix("| ")?;
            let parts = parts.strip_suffix(" |")?;
            name.starts_with('`').then(|| format!("{set} {name} {parts}"))
        });
        let declared = SHIPPED.iter().map(|shipped| {
            let parts: Vec<_> = shipped.parts.iter().map(|part| part.word()).collect();
            format!("{} `{}` {}", shipped.set.word(), shipped.name, parts.join(", "))
        });
        assert_eq!(rows.collect::<Vec<_>>(), declared.collect::<Vec<_>>());
    }
}
