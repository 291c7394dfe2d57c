//! `acl` and what stands behind `if`: what a request must look like, as far as a route can ask for it.

use std::collections::HashMap;

use crate::migrate::case::Case;
use crate::migrate::directive::Directive;
use crate::migrate::words;

/// The conditions of a section by their names.
#[derive(Debug, Default)]
pub(super) struct Acls<'a> {
    by_name: HashMap<&'a str, Vec<Vec<&'a str>>>,
}

/// Cases of one condition, and lines of one name; more are not followed.
const MAX_CASES: usize = 64;
/// Terms of one condition; with more it counts as one that no route can ask for.
const MAX_TERMS: usize = 256;

impl<'a> Acls<'a> {
    pub(super) fn new(directives: &[&'a Directive]) -> Self {
        let mut by_name: HashMap<&str, Vec<Vec<&str>>> = HashMap::new();
        for acl in directives {
            acl.mark();
            let words: Vec<&str> = acl.arguments.iter().map(String::as_str).collect();
            if let Some((name, test)) = words.split_first() {
                by_name.entry(name).or_default().push(test.to_vec());
            }
        }
        Self { by_name }
    }

    /// The cases in which what stands behind `if` holds. One without conditions is one case.
    pub(super) fn cases(&self, terms: &[String], is_unless: bool) -> Vec<Case> {
        let mut cases = vec![Case::default()];
        let mut done = Vec::new();
        let mut words = terms.iter().map(String::as_str);
        let mut count = 0;
        while let Some(word) = words.next() {
            if matches!(word, "or" | "||") {
                done.append(&mut cases);
                cases.push(Case::default());
                continue;
            }
            count += 1;
            if count > MAX_TERMS {
                cases.iter_mut().chain(&mut done).for_each(|case| case.unknown.push("..".to_owned()));
                break;
            }
            let (is_not, word) = match word.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let word = if word.is_empty() { words.next().unwrap_or_default() } else { word };
            let is_not = is_not != is_unless;
            let tests: Vec<Vec<&str>> = if word == "{" {
                vec![words.by_ref().take_while(|word| *word != "}").collect()]
            } else {
                let known = self.by_name.get(word).map(|tests| tests.iter().take(MAX_CASES + 1).cloned().collect());
                known.unwrap_or_else(|| vec![vec![word]])
            };
            for case in &mut cases {
                for test in tests.iter().take(MAX_CASES) {
                    ask(test, is_not, case);
                }
                if tests.len() > MAX_CASES || tests.len() > 1 && !is_one_kind(&tests) {
                    case.unknown.push(word.to_owned());
                }
            }
        }
        done.append(&mut cases);
        if is_unless && count > 1 {
            // Not (a and b) is another thing than not a and not b.
            done.iter_mut().for_each(|case| case.unknown.push("unless".to_owned()));
        }
        let mut cases: Vec<Case> = Vec::new();
        for case in done {
            if cases.len() < MAX_CASES && !cases.contains(&case) {
                cases.push(case);
            }
        }
        cases
    }
}

/// Whether several lines of one name ask for the same, of which any may hold.
fn is_one_kind(tests: &[Vec<&str>]) -> bool {
    let mut kinds = tests.iter().map(|test| test.first().copied().unwrap_or_default());
    let first = kinds.next().unwrap_or_default();
    let is_list = first.starts_with("path") || first.contains("(host)") || first == "src" || first == "method";
    is_list && kinds.all(|kind| kind == first)
}

/// Adds a test to a case.
fn ask(test: &[&str], is_not: bool, case: &mut Case) {
    let Some((criterion, rest)) = test.split_first() else { return };
    let mut is_case_free = false;
    let mut kind = None;
    let mut values = Vec::new();
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match *word {
            "-i" => is_case_free = true,
            "-m" => kind = words.next().copied(),
            "-n" | "--" => {}
            "-f" | "-M" => {
                case.unknown.push(format!("{criterion} {word} {}", words.next().copied().unwrap_or_default()));
                return;
            }
            word => values.push(word),
        }
    }
    let (name, argument) = match criterion.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end_matches(')')),
        None => (*criterion, ""),
    };
    let name = name.strip_prefix("req.").unwrap_or(name);
    let question = Question { name, argument, kind, is_case_free, values: &values, is_not };
    if !question.put(case) {
        let not = if is_not { "!" } else { "" };
        case.unknown.push(format!("{not}{{ {} }}", test.join(" ")));
    }
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
        let (name, argument) = (self.name, self.argument);
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
                let is_host = name == "ssl_fc_sni" || argument.split(',').next() == Some("host");
                return if is_host { self.hosts(case) } else { self.field(&mut case.headers) };
            }
            "url_param" | "urlp" => return self.field(&mut case.query),
            _ => return false,
        }
        true
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

    fn field(&self, fields: &mut Vec<(String, &'static str, String)>) -> bool {
        let name = self.argument.split(',').next().unwrap_or_default().to_ascii_lowercase();
        let (kind, text) = match (self.how(), self.values) {
            ("found" | "cnt", _) => ("present", "true".to_owned()),
            ("str" | "hdr", [one]) if !self.is_case_free => ("exact", (*one).to_owned()),
            ("beg", [one]) if !self.is_case_free => ("prefix", (*one).to_owned()),
            (how, [_, ..]) => {
                let (before, after) = match how {
                    "str" | "hdr" => ("", ""),
                    "beg" => ("", ".*"),
                    "end" => (".*", ""),
                    "sub" => (".*", ".*"),
                    _ => return false,
                };
                let texts: Vec<String> = self.values.iter().map(|value| words::literal(value)).collect();
                let flag = if self.is_case_free { "(?i)" } else { "" };
                ("regex", format!("{flag}{before}(?:{}){after}", texts.join("|")))
            }
            _ => return false,
        };
        fields.push((name, kind, text));
        true
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
}
