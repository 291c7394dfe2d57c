//! Rules of routers: functions joined by `&&`, `||`, `!` and brackets, as the cases in which they hold.

use crate::migrate::case::Case;
use crate::migrate::words;

/// Cases of one rule; more are not followed.
const MAX_CASES: usize = 64;
/// Brackets within brackets; more are not followed.
const MAX_DEPTH: usize = 16;

/// The cases in which a rule holds. What is not understood is named in each of them.
pub(super) fn cases(rule: &str) -> Vec<Case> {
    let mut reader = Reader { rest: rule, depth: 0 };
    let mut found = reader.any();
    if !reader.rest.trim().is_empty() {
        let rest: String = reader.rest.trim().chars().take(40).collect();
        found.iter_mut().for_each(|case| case.unknown.push(rest.clone()));
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn takes(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `a || b`.
    fn any(&mut self) -> Vec<Case> {
        let mut found = self.all();
        while self.takes("||") {
            let more = self.all();
            found.extend(more);
        }
        limited(found)
    }

    /// `a && b`: every case of one with every case of the other.
    fn all(&mut self) -> Vec<Case> {
        let mut found = self.one();
        while self.takes("&&") {
            let others = self.one();
            let both = found.iter().flat_map(|case| others.iter().map(|other| case.clone().and(other.clone())));
            found = limited(both.take(MAX_CASES + 1).collect());
        }
        found
    }

    fn one(&mut self) -> Vec<Case> {
        if self.takes("!") {
            let mut found = self.one_bounded();
            found.truncate(1);
            found.iter_mut().for_each(|case| *case = unknown("!"));
            return found;
        }
        self.one_bounded()
    }

    fn one_bounded(&mut self) -> Vec<Case> {
        if self.depth > MAX_DEPTH {
            self.rest = "";
            return vec![unknown("..")];
        }
        self.depth += 1;
        let found = if self.takes("(") {
            let found = self.any();
            if self.takes(")") { found } else { vec![unknown("(")] }
        } else if self.rest.trim_start().starts_with('!') {
            self.one()
        } else {
            self.function()
        };
        self.depth -= 1;
        found
    }

    /// `Name(`a`, `b`)`.
    fn function(&mut self) -> Vec<Case> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        self.rest = after;
        let mut arguments = Vec::new();
        if name.is_empty() || !self.takes("(") {
            self.rest = "";
            return vec![unknown(name)];
        }
        loop {
            let rest = self.rest.trim_start();
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '`' | '"' | '\'')) else { break };
            let Some((text, after)) = rest.get(1..).and_then(|rest| rest.split_once(quote)) else { break };
            arguments.push(text);
            self.rest = after;
            if !self.takes(",") {
                break;
            }
        }
        if !self.takes(")") {
            self.rest = "";
            return vec![unknown(name)];
        }
        let mut case = Case::default();
        ask(name, &arguments, &mut case);
        vec![case]
    }
}

fn unknown(what: &str) -> Case {
    Case { unknown: vec![what.to_owned()], ..Case::default() }
}

fn limited(mut cases: Vec<Case>) -> Vec<Case> {
    if cases.len() > MAX_CASES {
        cases.truncate(MAX_CASES);
        cases.iter_mut().for_each(|case| case.unknown.push("too many cases".to_owned()));
    }
    cases
}

fn ask(name: &str, arguments: &[&str], case: &mut Case) {
    let texts = || arguments.iter().map(|text| (*text).to_owned());
    let pair = || Some(((*arguments.first()?).to_owned(), (*arguments.get(1)?).to_owned()));
    match name {
        "Host" | "HostHeader" => case.hosts.extend(texts()),
        "PathPrefix" => case.paths.extend(texts().map(|path| ("prefix", path))),
        "Path" => case.paths.extend(texts().map(|path| ("exact", path))),
        "PathRegexp" => {
            let whole = |text: String| ("regex", words::whole_pattern(&text, false));
            case.paths.extend(texts().map(whole));
        }
        "Method" => case.methods.extend(texts()),
        "Header" | "Headers" => match pair() {
            Some((name, value)) => case.header(name.to_ascii_lowercase(), "exact", value),
            None => case.unknown.push(name.to_owned()),
        },
        "HeaderRegexp" | "HeadersRegexp" => match pair() {
            Some((name, value)) => {
                case.header(name.to_ascii_lowercase(), "regex", words::whole_pattern(&value, false));
            }
            None => case.unknown.push(name.to_owned()),
        },
        "Query" => {
            match pair().or_else(|| arguments.first()?.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()))) {
                Some((name, value)) => case.parameter(name, "exact", value),
                None => case.unknown.push(name.to_owned()),
            }
        }
        "ClientIP" => case.clients = Some((true, texts().collect())),
        _ => case.unknown.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_cases() {
        let found = cases("Host(`a.com`, `b.com`) && (PathPrefix(`/x`) || Path(`/y`)) && Method(`POST`)");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].hosts, ["a.com", "b.com"]);
        assert_eq!(
            (found[0].paths.clone(), found[1].paths.clone()),
            (vec![("prefix", "/x".into())], vec![("exact", "/y".into())])
        );
        assert!(found.iter().all(|case| case.unknown.is_empty() && case.methods == ["POST"]));
    }

    #[test]
    fn what_is_not_understood_is_named_and_bounded() {
        for rule in [
            "",
            "!Host(`a`)",
            "Frob(`x`)",
            "Host(`a",
            "Path(`/a`) && Path(`/b`)",
            "Host(`a`) x",
            "((((",
            "Host",
            "Header(`X`, `a`) && Header(`X`, `b`)",
            "ClientIP(`10.0.0.0/8`) && ClientIP(`10.1.0.0/16`)",
        ] {
            assert!(cases(rule).iter().all(|case| !case.unknown.is_empty()), "{rule}");
        }
        let many = vec!["(Path(`/a`) || Path(`/b`))"; 40].join(" && ");
        assert!(cases(&many).len() <= MAX_CASES);
        assert!(!cases(&"(".repeat(100_000)).is_empty());
        assert!(!cases(&"!".repeat(100_000)).is_empty());
    }
}
