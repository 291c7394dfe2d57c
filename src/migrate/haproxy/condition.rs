//! `acl` and what stands behind `if`: what a request must look like, as far as a route can ask for it.

use std::collections::{HashMap, HashSet};

use crate::migrate::case::Case;
use crate::migrate::directive::Directive;
use crate::migrate::words;

/// The conditions of a section by their names.
#[derive(Debug, Default)]
pub(super) struct Acls<'a> {
    by_name: HashMap<&'a str, Acl<'a>>,
}

/// The lines of one name, of which any may hold.
#[derive(Debug, Default)]
struct Acl<'a> {
    tests: Vec<&'a [String]>,
    words: usize,
}

/// Alternatives of one condition, and lines of one name; more are not followed.
const MAX_CASES: usize = 64;
/// Terms of one condition; with more it counts as one that no route can ask for.
const MAX_TERMS: usize = 256;
/// Words of all terms of one condition; a term with which there are more counts as one that no route can ask for.
const MAX_WORDS: usize = 1_000;

impl<'a> Acls<'a> {
    pub(super) fn new(directives: &[&'a Directive]) -> Self {
        let mut by_name: HashMap<&str, Acl<'_>> = HashMap::new();
        for acl in directives {
            acl.mark();
            if let Some((name, test)) = acl.arguments.split_first() {
                let known = by_name.entry(name).or_default();
                known.tests.push(test);
                known.words += test.len();
            }
        }
        Self { by_name }
    }

    /// The cases in which what stands behind `if` holds. One without conditions is one case.
    pub(super) fn cases(&self, terms: &[String], is_unless: bool) -> Vec<Case> {
        let (mut case, mut done) = (Case::default(), Vec::new());
        let mut asked: HashSet<&[String]> = HashSet::new();
        let (mut rest, mut count, mut words) = (terms, 0_usize, 0_usize);
        while let Some((word, after)) = rest.split_first() {
            if matches!(word.as_str(), "or" | "||") {
                done.push(std::mem::take(&mut case));
                asked.clear();
                rest = after;
                continue;
            }
            let (term, after) = Term::first(rest);
            let text = rest.get(..rest.len() - after.len()).unwrap_or_default();
            rest = after;
            count += 1;
            if count > MAX_TERMS {
                break;
            }
            if !asked.insert(text) {
                continue;
            }
            words += term.inside.len() + self.by_name.get(term.name).map_or(1, |acl| acl.words);
            let found = if words > MAX_WORDS { unknown(term.name) } else { self.ask(&term, term.is_not != is_unless) };
            case = case.and(found);
        }
        done.push(case);
        if is_unless && count > 1 {
            // Not (a and b) is another thing than not a and not b.
            done.iter_mut().for_each(|case| case.unknown.push("unless".to_owned()));
        }
        bounded(done, count > MAX_TERMS)
    }

    /// What a term asks for.
    fn ask(&self, term: &Term<'_>, is_not: bool) -> Case {
        let mut case = Case::default();
        if term.name == "{" {
            ask(term.inside, is_not, &mut case);
            return case;
        }
        let Some(acl) = self.by_name.get(term.name) else {
            ask(&[term.name.to_owned()], is_not, &mut case);
            return case;
        };
        if acl.tests.len() > MAX_CASES || acl.tests.len() > 1 && !is_one_kind(&acl.tests) {
            return unknown(term.name);
        }
        acl.tests.iter().for_each(|test| ask(test, is_not, &mut case));
        case
    }
}

/// One term of a condition.
struct Term<'t> {
    is_not: bool,
    /// A name, or the brace that opens a test.
    name: &'t str,
    /// What stands between braces.
    inside: &'t [String],
}

impl<'t> Term<'t> {
    /// The first of some words, and what stands behind it.
    fn first(words: &'t [String]) -> (Self, &'t [String]) {
        let (word, after) = words.split_first().map_or(("", words), |(word, after)| (word.as_str(), after));
        let (is_not, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
        let (name, after) = match after.split_first() {
            Some((next, after)) if word.is_empty() => (next.as_str(), after),
            _ => (word, after),
        };
        if name != "{" {
            return (Self { is_not, name, inside: &[] }, after);
        }
        let end = after.iter().position(|word| word == "}").unwrap_or(after.len());
        let (inside, after) = after.split_at_checked(end).unwrap_or((after, &[]));
        (Self { is_not, name, inside }, after.get(1..).unwrap_or_default())
    }
}

fn unknown(what: &str) -> Case {
    Case { unknown: vec![what.to_owned()], ..Case::default() }
}

/// Each case once, and one that nothing can ask for where some are left out.
fn bounded(found: Vec<Case>, has_more: bool) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut has_more = has_more;
    for mut case in found {
        if has_more {
            case.unknown.push("..".to_owned());
        }
        if cases.contains(&case) {
            continue;
        }
        if cases.len() >= MAX_CASES {
            has_more = true;
            break;
        }
        cases.push(case);
    }
    if has_more {
        cases.push(unknown(".."));
    }
    cases
}

/// Whether several lines of one name ask for the same, of which any may hold.
fn is_one_kind(tests: &[&[String]]) -> bool {
    let mut kinds = tests.iter().map(|test| test.first().map_or("", String::as_str));
    let first = kinds.next().unwrap_or_default();
    let is_list = first.starts_with("path") || first.contains("(host)") || first == "src" || first == "method";
    is_list && kinds.all(|kind| kind == first)
}

/// Adds a test to a case.
fn ask(test: &[String], is_not: bool, case: &mut Case) {
    let Some((criterion, rest)) = test.split_first() else { return };
    let mut is_case_free = false;
    let mut kind = None;
    let mut values = Vec::new();
    let mut words = rest.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-i" => is_case_free = true,
            "-m" => kind = words.next(),
            "-n" | "--" => {}
            "-f" | "-M" => {
                case.unknown.push(format!("{criterion} {word} {}", words.next().unwrap_or_default()));
                return;
            }
            word => values.push(word),
        }
    }
    let (name, argument, converters) = pieces(criterion);
    let name = name.strip_prefix("req.").unwrap_or(name);
    let question = Question { name, argument, kind, is_case_free, values: &values, is_not };
    let is_plain =
        converters.is_empty() || question.is_of_host() && converters.split(',').all(|one| HARMLESS.contains(&one));
    if !is_plain || !question.put(case) {
        let not = if is_not { "!" } else { "" };
        case.unknown.push(format!("{not}{{ {} }}", test.join(" ")));
    }
}

/// Converters that make no difference to a host, which is compared without port and case.
const HARMLESS: [&str; 2] = ["lower", "host_only"];

/// Name, argument and converters of `name(argument),converter,..`.
fn pieces(criterion: &str) -> (&str, &str, &str) {
    let end = criterion.find([',', '(']).unwrap_or(criterion.len());
    let (name, rest) = criterion.split_at_checked(end).unwrap_or((criterion, ""));
    let (argument, rest) = match rest.strip_prefix('(') {
        Some(inside) => inside.split_once(')').unwrap_or((inside, "")),
        None => ("", rest),
    };
    (name, argument, rest.strip_prefix(',').unwrap_or(rest))
}

struct Question<'q> {
    name: &'q str,
    argument: &'q str,
    kind: Option<&'q str>,
    is_case_free: bool,
    values: &'q [&'q str],
    is_not: bool,
}

impl Question<'_> {
    /// Returns false where no route can ask this.
    fn put(&self, case: &mut Case) -> bool {
        let name = self.name;
        match name {
            "ssl_fc" => case.tls = Some(!self.is_not),
            "src" if !self.values.is_empty() => {
                let (_, networks) = case.clients.get_or_insert_with(|| (!self.is_not, Vec::new()));
                networks.extend(self.values.iter().map(|value| (*value).to_owned()));
            }
            "sc_http_req_rate" | "sc0_http_req_rate" | "src_http_req_rate" => return self.count(&mut case.rate),
            "sc_conn_cur" | "sc0_conn_cur" | "src_conn_cur" | "sc_conn_rate" if name.ends_with("cur") => {
                return self.count(&mut case.connections);
            }
            _ if self.is_not => return false,
            "TRUE" | "always_true" => {}
            "METH_GET" => case.methods.extend(["GET", "HEAD"].map(str::to_owned)),
            "METH_POST" | "METH_PUT" | "METH_DELETE" | "METH_OPTIONS" | "METH_HEAD" => {
                case.methods.push(name.trim_start_matches("METH_").to_owned());
            }
            "method" => case.methods.extend(self.values.iter().map(|value| (*value).to_owned())),
            _ if name.starts_with("path") => return self.paths(case),
            _ if name.starts_with("hdr") || name.starts_with("fhdr") || name == "ssl_fc_sni" => {
                if self.is_of_host() {
                    return self.hosts(case);
                }
                return self.field().is_some_and(|(name, kind, text)| {
                    case.header(name, kind, text);
                    true
                });
            }
            "url_param" | "urlp" => {
                return self.field().is_some_and(|(name, kind, text)| {
                    case.parameter(name, kind, text);
                    true
                });
            }
            _ => return false,
        }
        true
    }

    /// Whether it asks which host a request is for.
    fn is_of_host(&self) -> bool {
        let is_field = self.name.starts_with("hdr") || self.name.starts_with("fhdr");
        self.name == "ssl_fc_sni" || is_field && self.argument.split(',').next() == Some("host")
    }

    /// `gt 20`, `ge 21`.
    fn count(&self, into: &mut Option<u64>) -> bool {
        let number = self.values.last().and_then(|number| number.parse::<u64>().ok());
        let most = match (self.is_not, self.values, number) {
            (false, ["gt", _], Some(number)) => Some(number),
            (false, ["ge", _], Some(number)) => number.checked_sub(1),
            _ => None,
        };
        *into = most;
        most.is_some()
    }

    /// What the end of the name, or `-m`, says: `beg`, `end`, `reg` and so on.
    fn how(&self) -> &str {
        self.kind.or_else(|| self.name.split_once('_').map(|(_, how)| how)).unwrap_or("str")
    }

    fn paths(&self, case: &mut Case) -> bool {
        if self.values.is_empty() {
            return false;
        }
        for value in self.values {
            let text = words::literal(value);
            let flag = if self.is_case_free { "(?i)" } else { "" };
            let trimmed = words::literal(value.trim_matches('/'));
            case.paths.push(match (self.how(), self.is_case_free) {
                ("str", false) => ("exact", (*value).to_owned()),
                ("beg", false) => ("prefix", (*value).to_owned()),
                ("str", true) => ("regex", format!("{flag}{text}")),
                ("beg", true) => ("regex", format!("{flag}{text}.*")),
                ("end", _) => ("regex", format!("{flag}.*{text}")),
                ("sub", _) => ("regex", format!("{flag}.*{text}.*")),
                ("dir", _) => ("regex", format!("{flag}(?:.*/)?{trimmed}(?:/.*)?")),
                ("reg", _) => ("regex", words::whole_pattern(value, self.is_case_free)),
                _ => return false,
            });
        }
        true
    }

    fn hosts(&self, case: &mut Case) -> bool {
        for value in self.values {
            let value = match value.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => host,
                _ => value,
            };
            match self.how() {
                "str" | "hdr" | "fc_sni" => case.hosts.push(value.to_owned()),
                "end" if value.starts_with('.') => case.hosts.push(format!("*{value}")),
                "dom" => case.hosts.extend([value.to_owned(), format!("*.{value}")]),
                _ => return false,
            }
        }
        !self.values.is_empty()
    }

    /// Name, kind and text of a field, where a route can ask for it.
    fn field(&self) -> Option<(String, &'static str, String)> {
        let name = self.argument.split(',').next().unwrap_or_default();
        let (kind, text) = match (self.how(), self.values) {
            ("found", []) | ("cnt", ["gt", "0"] | ["ge", "1"]) => ("present", "true".to_owned()),
            ("str" | "hdr", [one]) if !self.is_case_free => ("exact", (*one).to_owned()),
            ("beg", [one]) if !self.is_case_free => ("prefix", (*one).to_owned()),
            (how, [_, ..]) => {
                let (before, after) = match how {
                    "str" | "hdr" => ("", ""),
                    "beg" => ("", ".*"),
                    "end" => (".*", ""),
                    "sub" => (".*", ".*"),
                    _ => return None,
                };
                let texts: Vec<String> = self.values.iter().map(|value| words::literal(value)).collect();
                let flag = if self.is_case_free { "(?i)" } else { "" };
                ("regex", format!("{flag}{before}(?:{}){after}", texts.join("|")))
            }
            _ => return None,
        };
        Some((name.to_ascii_lowercase(), kind, text))
    }
}

/// What stands before `if` or `unless`, what behind, and which of both it is.
pub(super) fn split(directive: &Directive) -> (Vec<&str>, &[String], bool) {
    let at = directive.arguments.iter().position(|word| matches!(word.as_str(), "if" | "unless"));
    let end = at.unwrap_or(directive.arguments.len());
    let before = directive.arguments.iter().take(end).map(String::as_str).collect();
    let after = directive.arguments.get(end + 1..).unwrap_or_default();
    (before, after, directive.argument(end) == "unless")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(acls: &str, condition: &str) -> Vec<Case> {
        let text = format!("frontend f\n{acls}\n use_backend b {condition}\n");
        let read = super::super::syntax::read(&text).unwrap();
        let block = crate::migrate::directive::Block::new(read[0].children());
        let (_, terms, is_unless) = split(block.named("use_backend")[0]);
        Acls::new(block.named("acl")).cases(terms, is_unless)
    }

    #[test]
    fn conditions_are_cases() {
        let found = cases("acl a path_beg /x /y\nacl h hdr(host) -i E.com:80", "if a h METH_POST or { path /z }");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].paths, [("prefix", "/x".to_owned()), ("prefix", "/y".to_owned())]);
        assert_eq!(
            (found[0].hosts.clone(), found[0].methods.clone()),
            (vec!["E.com".to_owned()], vec!["POST".to_owned()])
        );
        assert_eq!(found[1].paths, [("exact", "/z".to_owned())]);
        assert_eq!(cases("", "if !{ ssl_fc }")[0].tls, Some(false));
        assert_eq!(cases("", "unless { ssl_fc }")[0].tls, Some(false));
        assert_eq!(cases("", "if { sc_http_req_rate(0) gt 20 }")[0].rate, Some(20));
        assert_eq!(cases("", "if { src 10.0.0.0/8 }")[0].clients, Some((true, vec!["10.0.0.0/8".to_owned()])));
        assert_eq!(
            cases("", "if { hdr(x-a) -m found }")[0].headers,
            [("x-a".to_owned(), "present", "true".to_owned())]
        );
    }

    #[test]
    fn what_no_route_can_ask_is_named() {
        for condition in [
            "if nobody", "if !{ path /x }", "if { path -f /etc/list }", "if { rand(10) lt 3 }",
            "unless { path /a } { src x }",
        ] {
            assert!(!cases("", condition)[0].unknown.is_empty(), "{condition}");
        }
    }

    #[test]
    fn two_terms_that_both_must_hold_are_not_one_that_either_may() {
        let acls = "acl inside src 10.0.0.0/8\nacl scanner src 192.0.2.7\nacl a hdr(host) a.com\nacl b hdr(host) b.com";
        for condition in [
            "if { path_beg /api } { path_end .json }",
            "if METH_POST { method PUT }",
            "if !inside scanner",
            "if a b",
            "if { hdr(x) 1 } { hdr(x) 2 }",
            "if { url_param(q) 1 } { url_param(q) 2 }",
            "if { sc_conn_cur(0) gt 3 } { sc_conn_cur(0) gt 5 }",
        ] {
            let found = cases(acls, condition);
            assert!(found.len() == 1 && !found[0].unknown.is_empty(), "{condition}: {found:?}");
        }
        let twice = cases(acls, "if inside inside { path /x } { path /x }");
        assert!(twice[0].unknown.is_empty(), "a term that is written twice is one: {twice:?}");
        let either = cases("acl x path_beg /x\nacl x hdr(y) z", "if x");
        assert_eq!(either, [unknown("x")], "lines of two kinds, of which either may hold");
    }

    #[test]
    fn a_field_that_must_be_missing_is_not_one_that_must_be_there() {
        for (condition, is_known) in [
            ("if { hdr_cnt(x) gt 0 }", true),
            ("if { req.hdr_cnt(x) ge 1 }", true),
            ("if { hdr(x) -m found }", true),
            ("if { hdr_cnt(x) eq 0 }", false),
            ("if { hdr_cnt(x) lt 1 }", false),
            ("if { hdr_cnt(x) gt 1 }", false),
            ("if { hdr_cnt(x) 0 }", false),
            ("if !{ hdr(x) -m found }", false),
            ("if { hdr(x) -m found 1 }", false),
            ("if { url_param(x) -m len 0 }", false),
        ] {
            assert_eq!(cases("", condition)[0].unknown.is_empty(), is_known, "{condition}");
        }
    }

    #[test]
    fn what_converters_make_of_a_value_is_not_the_value() {
        for (condition, is_known) in [
            ("if { path,lower -m beg /admin }", false),
            ("if { path,url_dec /x }", false),
            ("if { hdr(x-a),lower a }", false),
            ("if { req.hdr(x-a,1),base64 a }", false),
            ("if { src,ipmask(24) 10.0.0.0 }", false),
            ("if { hdr(host),lower a.com }", true),
            ("if { req.hdr(host),host_only,lower a.com }", true),
            ("if { hdr(host),regsub(a,b) a.com }", false),
            ("if { hdr(x-a,1) a }", true),
        ] {
            assert_eq!(cases("", condition)[0].unknown.is_empty(), is_known, "{condition}");
        }
        assert_eq!(cases("", "if { hdr(host),lower a.com }")[0].hosts, ["a.com"]);
    }

    #[test]
    fn what_is_left_out_is_a_case_of_its_own_that_nothing_can_ask_for() {
        let alternatives = |count: usize| {
            let one = |at: usize| format!("{{ path /{at} }}");
            format!("if {}", (0..count).map(one).collect::<Vec<_>>().join(" or "))
        };
        assert!(cases("", &alternatives(MAX_CASES)).iter().all(|case| case.unknown.is_empty()));
        for count in [MAX_CASES + 1, MAX_TERMS + 1] {
            let found = cases("", &alternatives(count));
            assert_eq!((found.len(), found.last()), (MAX_CASES + 1, Some(&unknown(".."))), "{count}");
        }
    }

    #[test]
    fn values_of_a_condition_are_bounded() {
        let list = (0..2_000).map(|at| format!(" /{at}")).collect::<String>();
        let large = cases(&format!("acl large path{list}"), "if large");
        assert_eq!(large, [unknown("large")]);
        let list = (0..400).map(|at| format!(" /{at}")).collect::<String>();
        let acls = format!("acl one path{list}\nacl two path_beg{list}\nacl three path_end{list}");
        assert_eq!(cases(&acls, &format!("if one{}", " one".repeat(MAX_TERMS - 1)))[0].paths.len(), 400);
        let found = cases(&acls, "if one or two or three");
        assert!(found[0].unknown.is_empty() && found[1].unknown.is_empty(), "{found:?}");
        assert_eq!(found[2], unknown("three"));
    }
}
