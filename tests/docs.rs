//! The documents hold together: links, anchors and tables of every page, the pages that must know every word of the
//! program, and the examples that stand both in a page and in a file. Every checker is a function from text to
//! complaints, and has a test that shows it complaining.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

// ---------------------------------------------------------------------------------------------- the documents

#[test]
fn links_and_anchors_lead_somewhere() {
    let pages: BTreeMap<PathBuf, String> = documents().into_iter().map(|path| (path.clone(), read(&path))).collect();
    assert!(pages.len() > 50, "only {} pages were found", pages.len());
    let anchors = |path: &Path| pages.get(path).map(|text| anchors(text));
    let mut complaints = Vec::new();
    for (path, text) in &pages {
        let broken = broken_links(path, text, |path| path.exists(), anchors);
        complaints.extend(broken.into_iter().map(|complaint| format!("{}:{complaint}", shown(path))));
    }
    report(&complaints);
}

#[test]
fn tables_are_whole() {
    let mut complaints = Vec::new();
    for path in documents() {
        let found = broken_tables(&read(&path));
        complaints.extend(found.into_iter().map(|complaint| format!("{}:{complaint}", shown(&path))));
    }
    report(&complaints);
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let listed: BTreeSet<String> = links(&summary).into_iter().map(|(_, target)| target).collect();
    let pages = documents().into_iter().filter_map(|path| Some(shown(&path).strip_prefix("docs/")?.to_owned()));
    let absent = pages.filter(|page| page != "SUMMARY.md" && !listed.contains(page));
    report(&absent.map(|page| format!("docs/SUMMARY.md does not list {page}")).collect::<Vec<_>>());
}

// ---------------------------------------------------------------------------------- what pages say of the program

#[test]
fn troubleshooting_knows_every_reason_word() {
    // Another test holds the page of the access log to the sources.
    let log = read(&root().join("docs/access-log.md"));
    let known = first_column(&log, "## Reasons");
    assert!(known.len() > 80, "only {} reasons were found", known.len());
    let page = read(&root().join("docs/troubleshooting.md"));
    report(&differences(&known, &first_column(&page, "## By reason word"), "the reason"));
}

#[test]
fn troubleshooting_knows_every_diagnostic_code() {
    let mut known = BTreeSet::new();
    for path in files_below(&root().join("src/config"), "rs") {
        known.extend(diagnostic_codes(&read(&path)));
    }
    assert!(known.len() > 50, "only {} codes were found", known.len());
    let page = read(&root().join("docs/troubleshooting.md"));
    report(&differences(&known, &first_column(&page, "## By diagnostic code"), "the code"));
    // What was said of mistakes is kept: no code among it may have escaped the reading of the sources.
    for path in files_below(&root().join("tests/snapshots"), "snap") {
        let said = codes_said(&read(&path));
        let escaped: Vec<_> = said.difference(&known).collect();
        assert!(escaped.is_empty(), "{}: no source was found to say {escaped:?}", shown(&path));
    }
}

#[test]
fn pages_name_only_metrics_that_exist() {
    let known = metrics_named(&read(&root().join("docs/metrics.md")));
    assert!(known.len() > 80, "only {} metrics were found", known.len());
    let mut complaints = Vec::new();
    for path in documents().into_iter().filter(|path| !path.ends_with("CHANGELOG.md")) {
        let absent: Vec<_> = metrics_named(&read(&path)).difference(&known).cloned().collect();
        complaints.extend(absent.into_iter().map(|name| format!("{}: there is no metric `{name}`", shown(&path))));
    }
    report(&complaints);
}

#[test]
fn pages_name_only_keys_that_exist() {
    let schema = read(&root().join("config/gateway.schema.json"));
    let mut complaints = Vec::new();
    let mut check = |path: &Path, text: &str| {
        let absent = keys_named(text).into_iter().filter(|key| !schema.contains(&format!("\"{key}\"")));
        complaints.extend(absent.map(|key| format!("{}: there is no key `{key}`", shown(path))));
    };
    for path in files_below(&root().join("docs/migrate"), "md") {
        let text = read(&path);
        // What is ours stands in the last column; a bar inside of code is written `\|`.
        let rows = prose(&text).0.into_iter().filter(|(_, line)| line.starts_with('|'));
        rows.for_each(|(_, row)| check(&path, row.rsplit(" | ").next().unwrap_or_default()));
    }
    for page in ["concepts", "streaming", "observability", "production", "performance", "troubleshooting"] {
        let path = root().join(format!("docs/{page}.md"));
        let text: Vec<String> = prose(&read(&path)).0.into_iter().map(|(_, line)| line.to_owned()).collect();
        check(&path, &text.join("\n").replace("`terminationGracePeriodSeconds`", ""));
    }
    report(&complaints);
}

#[test]
fn pages_on_migration_show_examples_that_are_loaded() {
    let mut complaints = Vec::new();
    let pages = files_below(&root().join("docs/migrate"), "md");
    assert_eq!(pages.len(), 8, "a page for each proxy");
    for path in pages {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
        let example = read(&root().join(format!("config/examples/{name}.yaml")));
        let text = read(&path);
        if !text.contains(&format!("```yaml\n{}\n```", example.trim_end())) {
            complaints.push(format!("{}: does not show config/examples/{name}.yaml as it is", shown(&path)));
        }
        for heading in ["## Theirs", "## Ours", "## Word by word", "## What is different"] {
            if !text.contains(&format!("\n{heading}\n")) {
                complaints.push(format!("{}: has no section `{heading}`", shown(&path)));
            }
        }
    }
    report(&complaints);
}

// ------------------------------------------------------------------------------------------------ checkers

/// What is wrong with the links of a page at `path`. `exists` says whether a file is there, `anchors` which anchors a
/// page has, where it is one.
fn broken_links(
    path: &Path,
    text: &str,
    exists: impl Fn(&Path) -> bool,
    anchors: impl Fn(&Path) -> Option<BTreeSet<String>>,
) -> Vec<String> {
    let folder = path.parent().expect("a page lies in a folder");
    let mut complaints = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = match target.split_once('#') {
            Some((file, anchor)) => (file, Some(anchor)),
            None => (target.as_str(), None),
        };
        let page = if file.is_empty() { path.to_owned() } else { normal(&folder.join(file)) };
        if !exists(&page) {
            complaints.push(format!("{line}: links to {target}, which is not there"));
            continue;
        }
        let Some(anchor) = anchor else { continue };
        match anchors(&page) {
            Some(known) if known.contains(anchor) => {}
            Some(_) => complaints.push(format!("{line}: links to {target}, but there is no heading `#{anchor}`")),
            None => complaints.push(format!("{line}: links to {target}, which is no page")),
        }
    }
    complaints
}

/// What is wrong with the tables of a page: rows of different length, rows that go on in the next line, no line under
/// the head, and a paragraph right above, which some programs take the head for a part of. And a block that is not
/// closed.
fn broken_tables(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let (lines, is_closed) = prose(text);
    let mut above = (0, "");
    let mut table: Option<(usize, usize)> = None;
    for (number, line) in lines {
        let is_next = number == above.0 + 1;
        let is_row = line.starts_with('|');
        let (start, width) = match table {
            Some(open) if is_row && is_next => open,
            _ if is_row => {
                if is_next && !above.1.trim().is_empty() {
                    complaints.push(format!("{number}: a blank line is missing above the table"));
                }
                (number, cells(line))
            }
            Some((start, _)) => {
                if above.0 < start + 2 {
                    complaints.push(format!("{start}: a table without rows"));
                }
                table = None;
                above = (number, line);
                continue;
            }
            None => {
                above = (number, line);
                continue;
            }
        };
        table = Some((start, width));
        if !line.ends_with('|') {
            complaints.push(format!("{number}: the row does not end with a bar"));
        } else if cells(line) != width {
            complaints.push(format!("{number}: {} cells, {width} in the first row", cells(line)));
        }
        let is_rule = line.contains("--") && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
        if (number == start + 1) != is_rule {
            complaints.push(format!("{number}: the line under the head of a table is `|---|`, and no other is"));
        }
        above = (number, line);
    }
    if !is_closed {
        complaints.push("0: a block of code is not closed".to_owned());
    }
    complaints
}

fn cells(row: &str) -> usize {
    row.replace("\\|", "").matches('|').count()
}

/// The lines of a page with their numbers, without blocks of code; and whether every block is closed.
fn prose(text: &str) -> (Vec<(usize, &str)>, bool) {
    let (mut lines, mut fence) = (Vec::new(), None::<String>);
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let ticks: String = start.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if start.trim_end() == open.as_str() => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => lines.push((index + 1, line)),
        }
    }
    (lines, fence.is_none())
}

/// Targets of the links of a page, with their lines. Code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let (lines, _) = prose(text);
    let mut found = Vec::new();
    for (number, line) in lines {
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = outside.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.map(|target| (number, target.to_owned())));
    }
    found
}

/// The anchors of a page: its headings as GitHub and mdBook name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (_, line) in prose(text).0 {
        let Some(title) = line.starts_with('#').then(|| line.trim_start_matches('#')) else { continue };
        let Some(title) = title.strip_prefix(' ') else { continue };
        let slug = slug(title);
        let count = seen.entry(slug.clone()).or_default();
        found.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}

fn slug(title: &str) -> String {
    let mut text = String::new();
    // Of a link only the words count.
    for part in title.trim().split('[') {
        match part.split_once("](") {
            Some((words, rest)) => {
                text.push_str(words);
                text.push_str(rest.split_once(')').map_or("", |(_, after)| after));
            }
            None => text.push_str(part),
        }
    }
    let kept =
        text.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect::<String>();
    kept.replace(' ', "-")
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(parts.pop()),
            std::path::Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

/// Words between backticks in the first column of the tables below a heading.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).expect("the page has the heading");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split(", ")).map(|word| word.trim_matches('`').to_owned()).collect()
}

fn differences(known: &BTreeSet<String>, shown: &BTreeSet<String>, what: &str) -> Vec<String> {
    let absent = known.difference(shown).map(|word| format!("docs/troubleshooting.md lacks {what} `{word}`"));
    let gone =
        shown.difference(known).map(|word| format!("docs/troubleshooting.md has {what} `{word}`, which nothing says"));
    absent.chain(gone).collect()
}

/// The codes with which a source makes diagnostics: the literals in the place of a code.
fn diagnostic_codes(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let first = ["Diagnostic::error(", "Diagnostic::warning(", "Self::error(", "Problem::new(", "kind("];
    let second = [".error(", ".warn(", ".warn_key("];
    let calls = first.iter().map(|call| (call, 0)).chain(second.iter().map(|call| (call, 1)));
    let mut found = BTreeSet::new();
    for (call, place) in calls {
        for rest in source.split(call).skip(1) {
            found.extend(arguments(rest).get(place).and_then(|argument| code_in(argument)));
        }
    }
    for assigned in ["code: ", "MISSING: &str = "] {
        found.extend(source.split(assigned).skip(1).filter_map(code_in));
    }
    found
}

/// The word in quotation marks with which a text begins, where it looks like a code.
fn code_in(text: &str) -> Option<String> {
    let word = text.strip_prefix('"')?.split('"').next()?;
    let is_code = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    is_code.then(|| word.to_owned())
}

/// The arguments of a call whose opening bracket is gone.
fn arguments(rest: &str) -> Vec<String> {
    let (mut all, mut one, mut depth, mut quoted, mut escaped) = (Vec::new(), String::new(), 0_usize, false, false);
    for c in rest.chars() {
        let is_end = !quoted && depth == 0 && matches!(c, ',' | ')' | '}' | ']');
        if is_end {
            all.push(one.trim().to_owned());
            one.clear();
            if c != ',' {
                break;
            }
            continue;
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        one.push(c);
    }
    all
}

/// The names of our own metrics in a text, without what a histogram adds to them.
fn metrics_named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    // Names of files begin like this too: `attache_0.1.0_amd64.deb`.
    let is_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase()) && !rest.ends_with('_');
    let own = words.filter(|word| word.strip_prefix("attache_").is_some_and(is_name));
    own.map(|word| ["_bucket", "_sum", "_count"].iter().fold(word, |name, end| name.strip_suffix(end).unwrap_or(name)))
        .map(str::to_owned)
        .collect()
}

/// What looks like a key of the configuration in the code of a text: `maxFails`, not `weight` and not `Retry-After`.
fn keys_named(text: &str) -> BTreeSet<String> {
    let code = text.split('`').skip(1).step_by(2);
    let words = code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-'));
    let is_key = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.contains(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    words.filter(is_key).map(str::to_owned).collect()
}

/// The codes in what is said about a configuration: `error[unknown-field]`.
fn codes_said(text: &str) -> BTreeSet<String> {
    let marks = ["error[", "warning["];
    let said = marks.iter().flat_map(|mark| text.split(mark).skip(1)).filter_map(|rest| rest.split_once("]: "));
    said.map(|(code, _)| code.to_owned()).collect()
}

// ------------------------------------------------------------------------------------------------ files

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the repository that people read.
fn documents() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).expect("the root can be listed").map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    for folder in ["docs", "deploy", "benches", "certs", "fuzz", "tests/interop"] {
        pages.extend(files_below(&root().join(folder), "md"));
    }
    pages.sort();
    pages
}

/// The files with an extension in a folder and those in it, but not what tools leave behind.
fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !["target", "node_modules", "venv"].contains(&name) && !name.starts_with('.') {
                found.extend(files_below(&path, extension));
            }
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

// ------------------------------------------------------------------------------------- checkers that complain

#[test]
fn a_broken_link_is_seen() {
    let page = "# A page\n\n## What is `here`\n[a](#what-is-here) [b](#nothing) [c](other.md#there) [d](other.md#gone)\n\
                [e](gone.md) [f](../up.md) [g](https://example.com/x) `[h](code.md)`\n\n```\n[i](code.md)\n```\n";
    let there = ["/docs/page.md", "/docs/other.md", "/up.md"];
    let exists = |path: &Path| there.iter().any(|known| Path::new(known) == path);
    let known = |path: &Path| match path.to_str() {
        Some("/docs/page.md") => Some(anchors(page)),
        Some("/docs/other.md") => Some(anchors("# There\n")),
        _ => None,
    };
    let complaints = broken_links(Path::new("/docs/page.md"), page, exists, known);
    let wanted = ["4: links to #nothing", "4: links to other.md#gone", "5: links to gone.md"];
    assert_eq!(complaints.len(), wanted.len(), "{complaints:?}");
    for (complaint, wanted) in complaints.iter().zip(wanted) {
        assert!(complaint.starts_with(wanted), "{complaint}");
    }
}

#[test]
fn headings_get_the_anchors_that_readers_get() {
    let text = "# `listeners.<name>`\n## Weights, and draining\n## Weights, and draining\n```sh\n# no heading\n```\n#no\n## [A](b.md) 4_2\n";
    let wanted = ["listenersname", "weights-and-draining", "weights-and-draining-1", "a-4_2"];
    assert_eq!(anchors(text), wanted.into_iter().map(str::to_owned).collect());
}

#[test]
fn a_broken_table_is_seen() {
    for (text, complaint) in [
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", None),
        ("| a | b |\n|---|---|\n| `x\\|y` | 2 |\n\ntext\n", None),
        ("```\n| no table\n```\n", None),
        ("| a | b |\n|---|---|\n| 1 |\n", Some("3: 2 cells, 3 in the first row")),
        ("| a | b |\n|---|---|\n| 1 | 2\n", Some("3: the row does not end with a bar")),
        ("| a | b |\n| 1 | 2 |\n", Some("2: the line under the head")),
        ("text\n| a |\n|---|\n| 1 |\n", Some("2: a blank line is missing")),
        ("| a |\n\ntext\n", Some("1: a table without rows")),
        ("```sh\nls\n", Some("0: a block of code is not closed")),
    ] {
        let complaints = broken_tables(text);
        match complaint {
            Some(wanted) => assert!(complaints.iter().any(|one| one.starts_with(wanted)), "{text}: {complaints:?}"),
            None => assert!(complaints.is_empty(), "{text}: {complaints:?}"),
        }
    }
}

#[test]
fn codes_are_found_where_sources_say_them() {
    let source = "Diagnostic::error(\"one\", x); scope.warn(&at(\"y\", [1, 2]), \"two\", \"a, b\", z); Problem { code: \"three\", m }\n\
                  scope.error(&steps![\"a\"], code, \"no-code\");\n#[cfg(test)]\nDiagnostic::error(\"not-this\", x)";
    assert_eq!(diagnostic_codes(source), ["one", "two", "three"].into_iter().map(str::to_owned).collect());
    assert_eq!(codes_said("error[one]: x\nwarning[two]: y"), ["one", "two"].into_iter().map(str::to_owned).collect());
}

#[test]
fn names_of_metrics_are_found() {
    let text = "`attache_requests_total{x}` attache_wait_seconds_bucket, attache_endpoint_*, my_attache_x attache attache_0.1_amd64";
    let wanted = ["attache_requests_total", "attache_wait_seconds"];
    assert_eq!(metrics_named(text), wanted.into_iter().map(str::to_owned).collect());
}

#[test]
fn names_of_keys_are_found() {
    let text = "`outlierDetection: { maxFails: 3 }`, `retries`, maxNothing, `Retry-After`, `X-Real-IP`, `routes.X.mapLocation`";
    let wanted = ["mapLocation", "maxFails", "outlierDetection"];
    assert_eq!(keys_named(text), wanted.into_iter().map(str::to_owned).collect());
}
