//! The rules of the house that neither the compiler nor clippy knows. Every checker is a function from text to
//! complaints, and each has a test that shows it complaining.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms on a request's path, in order. A room may import those after it.
const PATH: &[&str] = &["listener", "edge", "route", "policy", "upstream", "cluster", "pool"];

/// Rooms everybody on the path may import.
const BASE: &[&str] = &[
    "error", "outcome", "context", "body", "config", "observe", "bounded", "head", "host", "visible", "pem", "jose",
    "acme", "a2a", "grpc_status",
];

/// Rooms that put the others together and may import anything.
const FREE: &[&str] = &["gateway", "snapshot", "otlp", "cli", "admin", "demo", "fuzzing"];

/// Rooms beside the path: only those that put others together import them.
const BESIDE: &[&str] = &["migrate"];

/// What the base rooms, and those beside the path, may import themselves.
const BASE_ARROWS: &[(&str, &[&str])] = &[
    ("bounded", &[]),
    ("head", &[]),
    ("host", &[]),
    ("visible", &[]),
    ("pem", &[]),
    ("grpc_status", &[]),
    ("jose", &[]),
    ("acme", &["config"]),
    ("a2a", &["jose", "host"]),
    ("config", &["error", "visible", "pem", "jose", "a2a", "grpc_status", "host"]),
    ("migrate", &["config", "visible"]),
    ("error", &["context", "config"]),
    ("outcome", &["error", "config"]),
    ("context", &["error", "config", "jose"]),
    ("observe", &["error", "context", "config", "head", "visible", "a2a"]),
    ("body", &["error", "context", "config", "observe", "bounded", "a2a"]),
];

/// Arrows along the path that are refused all the same.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("policy", "upstream", "whether a client may is decided without knowing where it would go"),
    ("policy", "cluster", "whether a client may is decided without knowing where it would go"),
    ("policy", "pool", "whether a client may is decided without knowing where it would go"),
];

/// Arrows that need a reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[("edge", "snapshot", "the conductor reads the state it serves")];

/// Circles of files that are still there: the room, and files that import each other. A list that only gets shorter.
const CIRCLES: &[(&str, &str)] = &[];

/// Files with `unsafe`, and how often it is there. The security page names each of them.
const UNSAFE: &[(&str, usize)] = &[("src/gateway/memory.rs", 1)];

const MAX_FILE: usize = 500;
const MAX_FUNCTION: usize = 70;
const MAX_LINE: usize = 120;

// ------------------------------------------------------------------------------------------------ the tree

#[test]
fn no_source_file_is_too_long() {
    check_sources(|file| {
        let lines = file.code.lines().count();
        let complaint = format!("{lines} lines without tests, at most {MAX_FILE}: give one of its ideas a file");
        if lines > MAX_FILE { vec![complaint] } else { Vec::new() }
    });
}

#[test]
fn no_function_is_too_long() {
    check_sources(|file| {
        let long = functions(&file.code).into_iter().filter(|function| function.lines > MAX_FUNCTION);
        long.map(|long| {
            format!("line {}: fn {} has {} lines, at most {MAX_FUNCTION}", long.line, long.name, long.lines)
        })
        .collect()
    });
}

#[test]
fn imports_point_along_the_path() {
    check_sources(|file| {
        let Some(room) = room_of(&file.path) else {
            return Vec::new();
        };
        let imported = imported_rooms(&file.code, depth_of(&file.path));
        imported.iter().filter_map(|target| complaint_about_arrow(&room, target)).collect()
    });
}

#[test]
fn no_files_of_a_room_go_in_a_circle() {
    let modules: BTreeMap<ModulePath, String> =
        sources().into_iter().filter_map(|file| Some((module_of(&file.path)?, file.code))).collect();
    let found = circles(&modules);
    let is_of = |circle: &Circle, listed: &(&str, &str)| {
        circle.room == listed.0 && circle.files.iter().all(|file| listed.1.split(' ').any(|known| known == file))
    };
    let new = found.iter().filter(|circle| !CIRCLES.iter().any(|listed| is_of(circle, listed)));
    let new = new.map(|circle| format!("{} import each other in a circle", circle.shown()));
    let gone = CIRCLES.iter().filter(|listed| !found.iter().any(|circle| is_of(circle, listed)));
    let gone = gone.map(|(room, files)| format!("{room}: {files} is no circle any more, strike it off the list"));
    report(&new.chain(gone).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is_for() {
    check_sources(|file| {
        let is_silent = !file.text.starts_with("//!");
        if is_silent { vec!["begins without a `//!` paragraph".to_owned()] } else { Vec::new() }
    });
}

#[test]
fn no_note_to_self_is_left() {
    check_sources(|file| lines_with(&file.text, &["TODO", "FIXME", "XXX"]));
}

#[test]
fn nothing_unwraps_outside_tests() {
    check_sources(|file| lines_with(&masked(&file.code), &[".unwrap()"]));
}

#[test]
fn sources_name_only_documents_that_exist() {
    check_sources(|file| {
        let absent = documents_named(&file.text).into_iter().filter(|name| {
            let places = [root().join(name), root().join("docs").join(name), root().join("certs").join(name)];
            !places.iter().any(|place| place.exists())
        });
        absent.map(|name| format!("names {name}, which is not in the repository")).collect()
    });
}

#[test]
fn documents_are_about_the_program() {
    let mut complaints = Vec::new();
    for name in ["README.md", "CONTRIBUTING.md"] {
        let found = words_about_work(&document(name));
        complaints.extend(found.into_iter().map(|word| format!("{name}: the word `{word}`")));
    }
    report(&complaints);
}

#[test]
fn every_line_of_the_security_page_names_its_tests() {
    let files = ["tests", "src"].into_iter().flat_map(files_below);
    let sources: Vec<_> = files.map(|file| (module_of_test(&file.path), file.text)).collect();
    let is_there = |name: &str| {
        let (module, function) = name.rsplit_once("::").unwrap_or_default();
        // At the bottom of the file that they test.
        let file = module.strip_suffix("::tests").unwrap_or(module);
        let declaration = format!("fn {function}()");
        sources.iter().any(|(path, text)| (path == module || path == file) && text.contains(&declaration))
    };
    let mut complaints = Vec::new();
    for item in list_items(&document("docs/security.md")) {
        let names = tests_named(&item);
        if names.is_empty() {
            complaints.push(format!("names no test: {item}"));
        }
        let absent = names.into_iter().filter(|name| !is_there(name));
        complaints.extend(absent.map(|name| format!("names `{name}`, which does not exist")));
    }
    report(&complaints);
}

#[test]
fn unsafe_code_is_where_the_security_page_says() {
    let page = document("docs/security.md");
    check_rust(|file| {
        let path = file.path.to_string_lossy();
        let known = UNSAFE.iter().find(|(listed, _)| *listed == path).map_or(0, |(_, count)| *count);
        let found = words_in(&file.text, "unsafe");
        let complaint = format!("`unsafe` is there {found} times, {known} are on the list");
        if found == known { Vec::new() } else { vec![complaint] }
    });
    let unsaid = UNSAFE.iter().filter(|(path, _)| !page.contains(&format!("`{path}`")));
    report(&unsaid.map(|(path, _)| format!("docs/security.md does not say why {path} is unsafe")).collect::<Vec<_>>());
    let manifest = document("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"deny\""), "elsewhere the compiler refuses it");
}

#[test]
fn tests_are_named_after_a_behaviour() {
    check_rust(|file| numbered_tests(&masked(&file.text)));
}

#[test]
fn lines_are_at_most_120_columns() {
    check_rust(|file| long_lines(&file.text));
}

#[test]
fn one_thing_has_one_word() {
    check_rust(|file| odd_words(&file.text));
}

#[test]
fn the_readme_shows_the_minimal_configuration() {
    let minimal = document("config/minimal.yaml");
    assert!(
        document("README.md").contains(&format!("```yaml\n{}\n```", minimal.trim_end())),
        "the example in README.md is not config/minimal.yaml as it is"
    );
}

#[test]
fn every_metric_is_documented() {
    let catalogue = fs::read_to_string(root().join("src/observe/catalogue.rs")).unwrap_or_default();
    let families = metric_families(&catalogue);
    if catalogue.is_empty() {
        return;
    }
    assert!(!families.is_empty(), "the catalogue has families this test cannot read");
    let manual = fs::read_to_string(root().join("docs/metrics.md")).unwrap_or_default();
    report(&undocumented(&families, &manual, "docs/metrics.md"));
}

#[test]
fn every_configuration_key_is_documented() {
    let Ok(manual) = fs::read_to_string(root().join("docs/configuration.md")) else {
        return;
    };
    let schema = schema_files().into_iter().find_map(|file| fs::read_to_string(file).ok());
    let schema = schema.expect("docs/configuration.md needs a schema in config/ to be checked against");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let keys = schema_keys(&schema);
    assert!(keys.contains("listeners"), "the schema has keys this test cannot read");
    report(&undocumented(&keys, &manual, "docs/configuration.md"));
}

// ------------------------------------------------------------------------------------------------ checkers

/// What is wrong with `room` importing `target`, if anything.
fn complaint_about_arrow(room: &str, target: &str) -> Option<String> {
    let position = |name: &str| PATH.iter().position(|room| *room == name);
    let tables = [BASE, FREE, BESIDE];
    let is_known = |name: &str| position(name).is_some() || tables.iter().any(|table| table.contains(&name));
    if !is_known(room) {
        return Some(format!("the room `{room}` is not in the tables of tests/tidy.rs"));
    }
    let is_exception = EXCEPTIONS.iter().any(|(from, to, _)| *from == room && *to == target);
    if room == target || FREE.contains(&room) || is_exception {
        return None;
    }
    if let Some((.., reason)) = FORBIDDEN.iter().find(|(from, to, _)| *from == room && *to == target) {
        return Some(format!("`{room}` imports `{target}`: {reason}"));
    }
    let is_allowed = match (position(room), position(target)) {
        (Some(from), Some(to)) => to > from,
        (Some(_), None) => BASE.contains(&target),
        (None, _) => BASE_ARROWS.iter().any(|(from, allowed)| *from == room && allowed.contains(&target)),
    };
    (!is_allowed).then(|| format!("`{room}` imports `{target}`: imports point along the path or to the base"))
}

/// Rooms named by `crate::room`, `crate::{room, ...}` or enough `super::` in code that is `depth` modules deep.
fn imported_rooms(code: &str, depth: usize) -> BTreeSet<String> {
    let code: String = masked(code).split_whitespace().collect::<Vec<_>>().join(" ").replace(":: ", "::");
    let up = "super::".repeat(depth);
    let mut rooms = BTreeSet::new();
    for root in ["crate::", up.as_str()].iter().filter(|root| !root.is_empty()) {
        for (at, _) in code.match_indices(root) {
            let before = code.get(..at).unwrap_or_default();
            if before.ends_with("super::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let after = code.get(at + root.len()..).unwrap_or_default();
            match after.strip_prefix('{') {
                Some(group) => rooms.extend(group_heads(group)),
                None => rooms.extend(head(after)),
            }
        }
    }
    // Types at the root and further `super`s are not rooms.
    rooms.retain(|room| room != "super" && room.starts_with(|c: char| c.is_ascii_lowercase()));
    rooms
}

/// First identifiers of the members of a `{...}` import group whose opening brace is gone.
fn group_heads(group: &str) -> Vec<String> {
    group_members(group).into_iter().filter_map(head).collect()
}

/// The members of such a group.
fn group_members(group: &str) -> Vec<&str> {
    let (mut members, mut level, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                members.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members
}

fn head(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Names from the root of the crate to a module, or to something in it.
type ModulePath = Vec<String>;

/// Files below one module of which each imports the next, and the last the first. A folder counts as one file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Circle {
    room: String,
    files: BTreeSet<String>,
}

impl Circle {
    fn shown(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        format!("{}: {}", self.room, files.join(" "))
    }
}

/// The circles among the children of each module. What a module imports from its own children, and they from it, is
/// none; a name that the parent only passes on comes from where it is.
fn circles(modules: &BTreeMap<ModulePath, String>) -> BTreeSet<Circle> {
    let passed_on: BTreeMap<&ModulePath, Vec<ModulePath>> =
        modules.iter().map(|(module, code)| (module, imports(module, code, modules, true))).collect();
    let mut arrows: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, code) in modules {
        for path in imports(module, code, modules, false) {
            let target = home_of(path, modules, &passed_on);
            let shared = module.iter().zip(&target).take_while(|(one, other)| one == other).count();
            if let (1.., Some(from), Some(to)) = (shared, module.get(shared), target.get(shared)) {
                let room = arrows.entry(module[..shared].to_vec()).or_default();
                room.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let mut found = BTreeSet::new();
    for (room, arrows) in &arrows {
        for file in arrows.keys() {
            let reached = reached_from(file, arrows);
            let files: BTreeSet<String> =
                reached.into_iter().filter(|other| reached_from(other, arrows).contains(file)).collect();
            if files.len() > 1 {
                found.insert(Circle { room: room.join("::"), files });
            }
        }
    }
    found
}

fn reached_from(file: &str, arrows: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        for other in arrows.get(file).into_iter().flatten() {
            if reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    reached
}

/// The module in which a path ends, whatever modules pass the name on.
fn home_of(
    mut path: ModulePath,
    modules: &BTreeMap<ModulePath, String>,
    passed_on: &BTreeMap<&ModulePath, Vec<ModulePath>>,
) -> ModulePath {
    for _ in 0..8 {
        let length = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]));
        let (module, rest) = path.split_at(length.unwrap_or_default());
        let module = module.to_vec();
        let Some(name) = rest.first() else { return module };
        let origin = passed_on.get(&module).into_iter().flatten().find(|origin| origin.last() == Some(name));
        match origin.filter(|origin| !origin.starts_with(&path)) {
            Some(origin) => path = [origin.as_slice(), &rest[1..]].concat(),
            None => return module,
        }
    }
    path
}

/// Paths from the root of the crate that a module names; with `only_uses` those of its `use` declarations.
fn imports(
    module: &ModulePath,
    code: &str,
    modules: &BTreeMap<ModulePath, String>,
    only_uses: bool,
) -> Vec<ModulePath> {
    let code: String = masked(code).split_whitespace().collect::<Vec<_>>().join(" ").replace(":: ", "::");
    let mut found = Vec::new();
    for root in ["use ", "crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let is_inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$');
            let is_use = root == "use " || code[..at].ends_with("use ");
            if code[..at].ends_with(is_inside) || (only_uses && !is_use) {
                continue;
            }
            let tree = if root == "use " { &code[at + root.len()..] } else { &code[at..] };
            for path in paths_of(tree) {
                found.extend(from_the_root(module, path, modules));
            }
        }
    }
    found
}

/// `None` for what is not of this crate.
fn from_the_root(
    module: &ModulePath,
    mut path: ModulePath,
    modules: &BTreeMap<ModulePath, String>,
) -> Option<ModulePath> {
    path.retain(|name| name != "self");
    let mut from = module.clone();
    match path.first()?.as_str() {
        "crate" => return Some(path.split_off(1)),
        "super" => {
            while path.first().is_some_and(|name| name == "super") {
                path.remove(0);
                from.pop();
            }
        }
        child => {
            from.push(child.to_owned());
            let is_child = modules.contains_key(&from);
            from.pop();
            if !is_child {
                return None;
            }
        }
    }
    from.extend(path);
    Some(from)
}

/// The paths of a tree like `a::{b, c::d}`, whatever comes behind it.
fn paths_of(tree: &str) -> Vec<ModulePath> {
    let tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        return group_members(group).into_iter().flat_map(paths_of).collect();
    }
    let Some(name) = head(tree) else { return vec![Vec::new()] };
    let tails = tree[name.len()..].strip_prefix("::").map_or_else(|| vec![Vec::new()], paths_of);
    tails.into_iter().map(|tail| [vec![name.clone()], tail].concat()).collect()
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Functions with a body and its length.
fn functions(code: &str) -> Vec<Function> {
    let code = masked(code);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let is_word = code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let Some(name) = head(&code[at + 3..]).filter(|_| is_word) else {
            continue;
        };
        let rest = &code[at..];
        let Some(open) = rest.find(['{', ';']).filter(|open| rest[*open..].starts_with('{')) else {
            continue;
        };
        let Some(close) = closing_brace(&rest[open..]) else {
            continue;
        };
        // As clippy counts: what is between the braces, without comments and empty lines.
        let lines = rest[open + 1..open + close].lines().filter(|line| !line.trim().is_empty()).count();
        found.push(Function { name, line: code[..at].matches('\n').count() + 1, lines });
    }
    found
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut level = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => level += 1,
            '}' => {
                level = level.checked_sub(1)?;
                if level == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The code with comments, strings and character literals blanked out, line ends kept.
fn masked(code: &str) -> String {
    let chars: Vec<char> = code.chars().collect();
    let mut out = String::with_capacity(code.len());
    let mut at = 0;
    while at < chars.len() {
        let length = literal_length(&chars, at);
        let end = (at + length.max(1)).min(chars.len());
        for c in &chars[at..end] {
            out.push(if length == 0 || *c == '\n' { *c } else { ' ' });
        }
        at = end;
    }
    out
}

/// Length of the comment or literal that starts at `at`; 0 when none does.
fn literal_length(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let starts = |text: &str| text.chars().enumerate().all(|(index, c)| rest.get(index) == Some(&c));
    let until = |from: usize, end: &[char]| {
        let found = rest[from.min(rest.len())..].windows(end.len()).position(|window| window == end);
        found.map_or(rest.len(), |found| from + found + end.len())
    };
    let is_after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if starts("//") {
        return rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
    }
    if starts("/*") {
        return until(2, &['*', '/']);
    }
    if !is_after_word && (starts("r\"") || starts("r#")) {
        let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
        if rest.get(1 + hashes) == Some(&'"') {
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            return until(2 + hashes, &end);
        }
    }
    match rest[0] {
        '"' => quoted_length(rest, '"'),
        '\'' if rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'') => quoted_length(rest, '\''),
        _ => 0,
    }
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The file without its tests: everything before a `#[cfg(test)]` module at the left margin.
fn without_tests(text: &str) -> &str {
    let starts = text.match_indices("\n#[cfg(test)]\n");
    let tail = starts.map(|(at, mark)| (at, &text[at + mark.len()..])).find(|(_, rest)| {
        let declaration = rest.lines().find(|line| !line.starts_with("#["));
        declaration.is_some_and(|line| line.trim_start_matches("pub(crate) ").starts_with("mod "))
    });
    tail.map_or(text, |(at, _)| &text[..=at])
}

fn lines_with(text: &str, words: &[&str]) -> Vec<String> {
    let lines = text.lines().enumerate();
    let hits = lines.filter_map(|(index, line)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("line {}: `{word}`", index + 1))
    });
    hits.collect()
}

/// How often a word stands in code, outside comments and literals.
fn words_in(code: &str, word: &str) -> usize {
    masked(code).split(|c: char| !c.is_alphanumeric() && c != '_').filter(|found| *found == word).count()
}

/// Names like `ARCHITECTURE.md` in a text.
fn documents_named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.ends_with(".md") && word.len() > 3).map(str::to_owned).collect()
}

/// Items of the Markdown lists of a text, each on one line.
fn list_items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match (line.strip_prefix("- "), line.strip_prefix("  ")) {
            (Some(first), _) => items.push(first.to_owned()),
            (None, Some(more)) if is_inside => items.iter_mut().next_back().unwrap().extend([" ", more]),
            _ => {}
        }
        is_inside = line.starts_with("- ") || (is_inside && line.starts_with("  "));
    }
    items
}

/// Names like `file::function` between backticks.
fn tests_named(text: &str) -> Vec<String> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|name| name.contains("::") && name.chars().all(is_of_path)).map(str::to_owned).collect()
}

fn is_of_path(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':')
}

/// The module of a file, as `cargo test` shows it: `retries` for `tests/gateway/retries.rs`.
fn module_of_test(path: &Path) -> String {
    let inside = path.strip_prefix("src").or_else(|_| path.strip_prefix("tests/gateway"));
    let path = inside.or_else(|_| path.strip_prefix("tests")).unwrap_or(path).with_extension("");
    let names: Vec<_> = path.components().filter_map(|part| part.as_os_str().to_str()).collect();
    names.into_iter().filter(|name| *name != "mod").collect::<Vec<_>>().join("::")
}

/// Functions called by a number of some list instead of by what they show.
fn numbered_tests(text: &str) -> Vec<String> {
    let names = text.split("fn line_").skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    names.filter_map(head).map(|rest| format!("`line_{rest}` does not say what it shows")).collect()
}

/// Lines that are too long even without their string literals.
fn long_lines(text: &str) -> Vec<String> {
    let lines = without_strings(text);
    let long = lines.lines().enumerate().filter(|(_, line)| line.chars().count() > MAX_LINE);
    long.map(|(index, line)| format!("line {}: {} columns, at most {MAX_LINE}", index + 1, line.chars().count()))
        .collect()
}

/// The text without the characters between quotes, line ends and comments kept.
fn without_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let length = literal_length(&chars, at);
        let end = (at + length.max(1)).min(chars.len());
        let is_string = length > 0 && chars[at] != '/';
        out.extend(chars[at..end].iter().filter(|c| !is_string || **c == '\n'));
        at = end;
    }
    out
}

/// Identifiers that use a word of [`ODD_WORDS`].
fn odd_words(text: &str) -> Vec<String> {
    let code = masked(text);
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        for identifier in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let words = words_of(identifier);
            let odd = ODD_WORDS.iter().find(|(odd, _)| *odd == identifier || words.iter().any(|word| word == odd));
            found.extend(odd.map(|(odd, term)| format!("line {}: `{identifier}`: not {odd} but {term}", index + 1)));
        }
    }
    found
}

/// The words of an identifier, in lower case.
fn words_of(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && !before.is_uppercase()) {
            words.push(String::new());
        }
        if c != '_' {
            words.iter_mut().next_back().unwrap().extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Words that stood for things which have a standard term: a part of an identifier, or with a capital the whole of it.
const ODD_WORDS: &[(&str, &str)] = &[
    ("leash", "connection handle"),
    ("lane", "worker endpoint"),
    ("lanes", "worker endpoints"),
    ("crew", "workers"),
    ("moody", "switchable"),
    ("seat", "permit"),
    ("seats", "permits"),
    ("tripped", "limit hit"),
    ("crowd", "concurrency limit"),
    ("judge", "detector or check"),
    ("knocked", "woken or wanted"),
    ("knocks", "wakes"),
    ("obey", "perform"),
    ("stance", "availability"),
    ("wish", "request or routing hints"),
    ("wished", "requested"),
    ("Aside", "ConfigThread"),
    ("Flow", "UploadState"),
    ("Gate", "DeferredWaker"),
    ("Guarded", "TrackedBody"),
    ("Judge", "OutlierDetector"),
    ("Judged", "StrictService"),
    ("Knocks", "DeferredWakes"),
    ("Link", "IoProgress or UnusedConnection"),
    ("MaybeDisturbed", "FaultBody"),
    ("Moment", "AtomicInstant or Timestamp"),
    ("Order", "Command"),
    ("Pace", "StallDetector"),
    ("Reach", "Candidates"),
    ("Spare", "ReplayRequest"),
    ("Stance", "Availability"),
    ("Standing", "RateLimitHeaders"),
    ("Trial", "RolloutSample"),
    ("Terms", "AvailabilitySettings or ConnectionSettings"),
    ("Usual", "Default"),
    ("Way", "Acquired"),
];

/// Words that speak about how work is organised instead of about the program.
fn words_about_work(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| WORK.contains(&word.as_str())).collect()
}

const WORK: &[&str] =
    &["session", "sessions", "issue", "issues", "ticket", "worktree", "worktrees", "subagent", "milestone", "todo"];

/// Names declared in the table of metric families: `field: Kind "name" [labels] "help";`.
fn metric_families(catalogue: &str) -> BTreeSet<String> {
    let kinds = ["Counter \"", "Gauge \"", "Histogram \""];
    let starts = kinds.iter().flat_map(|kind| catalogue.match_indices(kind).map(|(at, mark)| at + mark.len()));
    starts.filter_map(|at| catalogue[at..].split('"').next()).map(str::to_owned).collect()
}

/// Names of all properties anywhere in a JSON Schema.
fn schema_keys(schema: &serde_json::Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    match schema {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(properties)) = (name == "properties", value.as_object()) {
                    keys.extend(properties.keys().cloned());
                }
                keys.extend(schema_keys(value));
            }
        }
        serde_json::Value::Array(values) => keys.extend(values.iter().flat_map(schema_keys)),
        _ => {}
    }
    keys
}

/// Complaints for each of `names` that `manual` does not show as code.
fn undocumented(names: &BTreeSet<String>, manual: &str, place: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let shown: BTreeSet<&str> = manual.split(|c: char| !is_name(c)).collect();
    let absent = names.iter().filter(|name| !shown.contains(name.as_str()));
    absent.map(|name| format!("{place} does not describe `{name}`")).collect()
}

// ------------------------------------------------------------------------------------------------ walking

struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

/// Runs a checker over every file below `src` and fails with all complaints at once.
fn check_sources(check: impl Fn(&Source) -> Vec<String>) {
    let mut complaints = Vec::new();
    let sources = sources();
    assert!(!sources.is_empty(), "no sources found below {}", root().display());
    for file in &sources {
        let found = check(file);
        complaints.extend(found.into_iter().map(|complaint| format!("{}: {complaint}", file.path.display())));
    }
    report(&complaints);
}

/// As [`check_sources`], over the code of tests and benches too.
fn check_rust(check: impl Fn(&Source) -> Vec<String>) {
    let files = ["src", "tests", "benches", "fuzz"].into_iter().flat_map(files_below);
    let complaints = files.flat_map(|file| {
        let found = check(&file);
        found.into_iter().map(move |complaint| format!("{}: {complaint}", file.path.display()))
    });
    report(&complaints.collect::<Vec<_>>());
}

fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints\n{}", complaints.len(), complaints.join("\n"));
}

fn sources() -> Vec<Source> {
    files_below("src")
}

/// The Rust files of a folder and of the folders in it.
fn files_below(folder: &str) -> Vec<Source> {
    let (mut found, mut directories) = (Vec::new(), vec![root().join(folder)]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("the folder can be listed") {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() && !path.ends_with("target") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source can be read");
                let path = path.strip_prefix(root()).expect("below the root").to_owned();
                // A file of tests belongs to the module that declares it under `cfg(test)`.
                let is_test = is_test_file(&path);
                let code = if is_test { String::new() } else { without_tests(&text).to_owned() };
                found.push(Source { path, text, code });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// A document of the repository, which must be there.
fn document(name: &str) -> String {
    let text = fs::read_to_string(root().join(name)).unwrap_or_default();
    assert!(!text.is_empty(), "{name} is missing");
    text
}

fn schema_files() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("config")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| file.to_string_lossy().ends_with("schema.json")).collect()
}

/// Whether a file holds nothing but tests: its name, or that of a folder it is in, is `tests` or ends in `_tests`.
fn is_test_file(path: &Path) -> bool {
    let path = path.with_extension("");
    let mut names = path.components().filter_map(|part| part.as_os_str().to_str());
    names.any(|name| name == "tests" || name.ends_with("_tests"))
}

/// The room a file of `src` belongs to; `None` for `lib.rs` and `main.rs`.
fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "lib" && room != "main").then(|| room.to_owned())
}

/// The module a file of `src` is; `None` for those at the root, which every room is below, and for tests.
fn module_of(path: &Path) -> Option<ModulePath> {
    room_of(path).filter(|_| !is_test_file(path))?;
    let names = path.strip_prefix("src").ok()?.with_extension("");
    let mut names: ModulePath = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    Some(names)
}

/// How many `super::` lead from a file's module to the root of the crate.
fn depth_of(path: &Path) -> usize {
    let components = path.strip_prefix("src").unwrap_or(path).components().count();
    if path.file_stem().is_some_and(|stem| stem == "mod") { components - 1 } else { components }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// ------------------------------------------------------------------------------------------------ checks of the
// checkers

mod checkers {
    use super::*;

    fn names(rooms: &BTreeSet<String>) -> Vec<&str> {
        rooms.iter().map(String::as_str).collect()
    }

    #[test]
    fn arrows_against_the_path_are_seen() {
        for (from, to) in [
            ("pool", "cluster"),
            ("policy", "cluster"),
            ("cluster", "route"),
            ("upstream", "edge"),
            ("config", "route"),
            ("config", "observe"),
            ("observe", "upstream"),
            ("observe", "body"),
            ("route", "gateway"),
            ("edge", "admin"),
            ("attic", "error"),
            ("route", "snapshot"),
            ("edge", "migrate"),
            ("config", "migrate"),
            ("migrate", "route"),
        ] {
            assert!(complaint_about_arrow(from, to).is_some(), "{from} -> {to} must be refused");
        }
        for (from, to) in
            [("edge", "pool"), ("pool", "observe"), ("gateway", "listener"), ("cli", "migrate"), ("cli", "demo")]
        {
            assert_eq!(complaint_about_arrow(from, to), None, "{from} -> {to} is fine");
        }
    }

    #[test]
    fn imports_are_found_in_every_spelling() {
        let code = "use crate::route::Table;\nuse crate::{\n    edge::{self, Edge},\n    pool,\n};\nfn f() { crate::cluster::g() }";
        assert_eq!(names(&imported_rooms(code, 1)), ["cluster", "edge", "pool", "route"]);
        assert_eq!(names(&imported_rooms("use super::super::edge::X; use super::near;", 2)), ["edge"]);
        assert_eq!(names(&imported_rooms("use super::edge::X;", 1)), ["edge"]);
        assert!(imported_rooms("// crate::edge\nlet text = \"crate::pool\"; crate::Error", 1).is_empty());
        assert!(imported_rooms("use mycrate::edge; use super::super::super::x;", 2).is_empty(), "not ours");
    }

    #[test]
    fn circles_are_seen_through_what_parents_pass_on() {
        let found = |files: &[(&str, &str)]| {
            let module = |path: &str| path.split("::").map(str::to_owned).collect::<ModulePath>();
            let modules = files.iter().map(|(path, code)| (module(path), (*code).to_owned())).collect();
            let found = circles(&modules);
            found.iter().map(Circle::shown).collect::<Vec<_>>()
        };
        let parent = ("a", "mod b; mod c; pub use b::B; use self::c::C; fn f() {}");
        for (b, c, expected) in [
            ("use super::c::C;", "use super::b::B;", &["a: b c"][..]),
            ("use super::c::C;", "use super::B;", &["a: b c"]),
            ("use super::{f, C};", "use crate::a::{f, B};", &["a: b c"]),
            ("fn g() { super::C::new() }", "fn g(b: &crate::a::b::B) {}", &["a: b c"]),
            ("use super::c::C;", "use super::f;", &[]),
            ("use super::c::C;", "// super::b\nuse b::B; use other::b::B;", &[]),
        ] {
            assert_eq!(found(&[parent, ("a::b", b), ("a::c", c)]), expected, "{b} {c}");
        }
        let nested =
            [("a", "mod b; mod c;"), ("a::b", "mod d;"), ("a::b::d", "use crate::a::c::C;"), ("a::c", "use super::b;")];
        assert_eq!(found(&nested), ["a: b c"], "a folder counts as one file");
        let parents = [
            ("a", "mod b; use b::B;"),
            ("a::b", "mod d; use d::D; use super::f;"),
            ("a::b::d", "use super::super::f;"),
        ];
        assert!(found(&parents).is_empty(), "parent and child");
    }

    #[test]
    fn long_functions_are_measured() {
        let body = "    let brace = '{'; // }\n".repeat(71);
        let code = format!("trait T {{ fn short(&self); }}\nfn long<'a>() {{\n{body}}}\nfn next() {{}}\n");
        let measured: Vec<_> = functions(&code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(measured, [("long".to_owned(), 2, 71), ("next".to_owned(), 75, 0)]);
    }

    #[test]
    fn literals_and_comments_are_blanked_out() {
        let code = r##"a("} \" {", '{', r#"{"{"#, 'x', b"{") /* { */ // {"##;
        assert!(!masked(code).contains(['{', '}', '"']), "{}", masked(code));
        assert_eq!(masked("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}", "lifetimes are code");
    }

    #[test]
    fn only_a_test_module_counts_as_tests() {
        let text = "code\n\n#[cfg(test)]\nfn helper() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(without_tests(text), "code\n\n#[cfg(test)]\nfn helper() {}\n\n");
        assert_eq!(without_tests("code\n"), "code\n");
    }

    #[test]
    fn forbidden_words_are_seen() {
        assert_eq!(lines_with("a\nb.unwrap()\n", &[".unwrap()"]), ["line 2: `.unwrap()`"]);
        assert_eq!(words_about_work("This Session closes issue 4."), ["issue", "session"].map(str::to_owned).into());
        assert!(words_about_work("issued, reissue").is_empty(), "whole words only");
        assert_eq!(documents_named("see RULINGS.md."), ["RULINGS.md".to_owned()].into());
        let code = "unsafe { a() }\n// unsafe\nallow(unsafe_code) \"unsafe\" r#unsafe; unsafe fn b() {}";
        assert_eq!(words_in(code, "unsafe"), 3);
    }

    #[test]
    fn items_of_a_list_and_the_tests_they_name_are_found() {
        let text = "# A\n- One,\n  `a::b_1` and `c`.\n- Two. `d::e::f`\n\n  Not an item: `g::h`.\n";
        let items = list_items(text);
        assert_eq!(items, ["One, `a::b_1` and `c`.", "Two. `d::e::f`"]);
        assert_eq!(items.iter().flat_map(|item| tests_named(item)).collect::<Vec<_>>(), ["a::b_1", "d::e::f"]);
        for (path, module) in [
            ("tests/gateway/retries.rs", "retries"),
            ("tests/gateway/chaos/mod.rs", "chaos"),
            ("tests/gateway/security/slow.rs", "security::slow"),
            ("tests/cli.rs", "cli"),
            ("src/route/rollout/tests/restarts.rs", "route::rollout::tests::restarts"),
        ] {
            assert_eq!(module_of_test(Path::new(path)), module);
        }
    }

    #[test]
    fn numbers_lengths_and_odd_words_are_seen() {
        let named = "fn line_12_x() {}\nfn line_ends() {}";
        assert_eq!(numbered_tests(named), ["`line_12_x` does not say what it shows"]);
        let long = "x".repeat(121);
        assert_eq!(long_lines(&format!("// {long}")), ["line 1: 124 columns, at most 120"]);
        assert!(long_lines(&format!("let x = \"{long}\\n\n{long}\";")).is_empty(), "text of a string");
        assert_eq!(words_of("MaxHTTPBodyBytes"), ["max", "httpbody", "bytes"]);
        assert_eq!(words_of("is_Knocked"), ["is", "knocked"]);
        assert_eq!(odd_words("let a_lane = Planes;"), ["line 1: `a_lane`: not lane but worker endpoint"]);
        assert_eq!(odd_words("struct Usual;"), ["line 1: `Usual`: not Usual but Default"]);
        assert!(odd_words("// a lane\nlet x = \"lane\"; usual").is_empty(), "only identifiers");
    }

    #[test]
    fn undocumented_names_are_seen() {
        let families =
            metric_families("up: Gauge \"attache_up\" [] \"Help.\";\nn: FloatGauge \"attache_n\" [] \"N.\";");
        assert_eq!(families, ["attache_n", "attache_up"].map(str::to_owned).into());
        assert_eq!(undocumented(&families, "| `attache_up` |", "m.md"), ["m.md does not describe `attache_n`"]);
        let schema =
            serde_json::json!({ "$defs": { "A": { "properties": { "rate": {} } } }, "properties": { "a": {} } });
        assert_eq!(schema_keys(&schema), ["a", "rate"].map(str::to_owned).into());
    }

    #[test]
    fn files_know_their_room_and_depth() {
        for path in ["src/demo/tests.rs", "src/route/tests/model.rs", "src/listener/socket_tests.rs"] {
            assert!(is_test_file(Path::new(path)), "{path} is a test");
        }
        let cases = [
            ("src/route/table.rs", Some("route"), 2),
            ("src/route/mod.rs", Some("route"), 1),
            ("src/gateway.rs", Some("gateway"), 1),
            ("src/lib.rs", None, 1),
        ];
        for (path, room, depth) in cases {
            assert_eq!((room_of(Path::new(path)).as_deref(), depth_of(Path::new(path))), (room, depth), "{path}");
        }
    }
}
