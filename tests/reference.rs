//! `docs/configuration.md` describes every key of the schema: its tables are made from it and compared with what is
//! committed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on says why and stops"
)]

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

const BEGIN: &str = "<!-- reference -->\n";
const END: &str = "<!-- /reference -->";

#[test]
fn the_committed_reference_is_the_one_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("the page can be read");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the tables");
    let (committed, after) = rest.split_once(END).expect("the place has an end");
    let made = reference();
    if std::env::var_os("ATTACHE_UPDATE").is_some() {
        let page = format!("{before}{BEGIN}{made}{END}{after}");
        std::fs::write(&path, page).expect("the page can be written");
        return;
    }
    assert!(committed == made, "run `ATTACHE_UPDATE=1 cargo test --test reference`, or `just update`");
}

#[test]
fn the_committed_api_is_the_one_that_is_served() {
    let place = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    let page = std::fs::read_to_string(place("admin-api.md")).expect("the page can be read");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (committed, after) = rest.split_once(END).expect("the place has an end");
    let (table, document) = (attache::admin::openapi::table(), attache::admin::openapi::document());
    if std::env::var_os("ATTACHE_UPDATE").is_some() {
        std::fs::write(place("openapi.json"), document).expect("the document can be written");
        std::fs::write(place("admin-api.md"), format!("{before}{BEGIN}{table}{END}{after}")).expect("so can the page");
        return;
    }
    let is_same = std::fs::read_to_string(place("openapi.json")).is_ok_and(|committed| committed == document);
    assert!(is_same && committed == table, "run `ATTACHE_UPDATE=1 cargo test --test reference`, or `just update`");
}

#[test]
fn every_key_has_a_meaning() {
    let silent: Vec<_> = sections()
        .iter()
        .flat_map(|section| &section.keys)
        .filter(|key| key.meaning.is_empty() || key.form.is_empty())
        .map(|key| key.name.clone())
        .collect();
    assert!(silent.is_empty(), "not described: {silent:?}");
}

#[test]
fn every_key_of_the_schema_has_a_row() {
    let schema: Value = serde_json::from_str(&attache::config::schema()).expect("the schema is JSON");
    let definitions = schema["definitions"].as_object().expect("it has definitions").values();
    let every = definitions.chain([&schema]).filter_map(|mapping| mapping["properties"].as_object());
    let keys = sorted(every.flat_map(|properties| properties.keys().cloned()).collect());
    let rows = sections().into_iter().flat_map(|section| section.keys);
    let rows: Vec<String> = rows.map(|key| key.name).collect();
    assert!(rows.len() > 280, "only {} keys", rows.len());
    assert_eq!(sorted(rows), keys);
}

#[test]
fn the_example_of_a_new_key_is_in_the_source_as_it_is_on_the_page() {
    let page = file("docs/adding-a-key.md");
    let blocks = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let source = ["src/config/keys/listener.rs", "src/listener/serve.rs"].map(file).concat();
    let without_margin = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let source = without_margin(&source);
    let mut count = 0;
    for block in blocks {
        assert!(source.contains(without_margin(block).trim()), "not in the source:\n{block}");
        count += 1;
    }
    assert_eq!(count, 2, "the declaration and its use");
}

/// A mapping of the configuration.
struct Section {
    /// Where it stands, `<name>` for names the user chooses.
    path: String,
    meaning: String,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    form: String,
    default: String,
    meaning: String,
}

fn reference() -> String {
    let mut out = String::new();
    for section in sections() {
        let Section { path, meaning, keys } = section;
        let title = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
        let _infallible = write!(out, "\n### {title}\n\n{meaning}\n\n");
        out += "| Key | Type | Default | Meaning |\n|-----|------|---------|---------|\n";
        for key in keys {
            let _infallible = writeln!(out, "| `{}` | {} | {} | {} |", key.name, key.form, key.default, key.meaning);
        }
    }
    out.push('\n');
    out
}

/// Every mapping, each once, in the order in which a reader comes upon it.
fn sections() -> Vec<Section> {
    let schema: Value = serde_json::from_str(&attache::config::schema()).expect("the schema is JSON");
    let definitions = schema["definitions"].as_object().expect("it has definitions");
    let mut found = Vec::new();
    let mut waiting = vec![(String::new(), &schema)];
    let mut seen = Vec::new();
    while !waiting.is_empty() {
        let (path, mapping) = waiting.remove(0);
        let properties = mapping["properties"].as_object().expect("a mapping has properties");
        let keys = properties.iter().map(|(name, value)| key(name, value, definitions));
        found.push(Section { path: path.clone(), meaning: text(mapping).to_owned(), keys: keys.collect() });
        let mut inside = Vec::new();
        let each = mapping.get("additionalProperties").filter(|each| each.is_object());
        let each = each.map(|each| ("<name>".to_owned(), each));
        for (name, value) in properties.iter().map(|(name, value)| (name.clone(), value)).chain(each) {
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            for (suffix, name) in mappings_in(value, definitions) {
                // Not again for `defaults`, which are routes and clusters.
                if !seen.contains(&name) && !path.starts_with("defaults.") {
                    seen.push(name.clone());
                    inside.push((format!("{path}{suffix}"), &definitions[&name]));
                }
            }
        }
        if path.is_empty() {
            inside.sort_by_key(|(path, _)| MAIN.iter().position(|main| path.starts_with(main)).unwrap_or(MAIN.len()));
        }
        waiting.splice(0..0, inside);
    }
    found
}

/// What comes first in the page, because it comes first in a file.
const MAIN: [&str; 3] = ["listeners", "routes", "clusters"];

fn key(name: &str, value: &Value, definitions: &Map<String, Value>) -> Key {
    let text = text(value);
    let (meaning, words) = match text.split_once("Default: ") {
        Some((meaning, default)) => (meaning.trim_end(), default.trim_end_matches('.')),
        None => (text, ""),
    };
    let declared = match &value["default"] {
        Value::String(text) => text.clone(),
        // A section whose keys say what is without it.
        Value::Object(_) | Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        other => other.to_string().replace(',', ", "),
    };
    let default = if declared.is_empty() { words } else { &declared };
    Key {
        name: name.to_owned(),
        form: if name.ends_with("File") { "file".to_owned() } else { form(value, definitions) },
        default: cell(default),
        meaning: cell(meaning),
    }
}

/// Text as a cell of a table holds it: on one line, and without an end of the cell in it.
fn cell(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ").replace('|', "\\|")
}

fn text(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// A type in words.
fn form(schema: &Value, definitions: &Map<String, Value>) -> String {
    if let Some(name) = reference_of(schema) {
        return named(name, &definitions[name], definitions);
    }
    if let Some(one) = schema.get("const") {
        return format!("`{}`", one.as_str().unwrap_or_default());
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str);
        return words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(several) = schema["anyOf"].as_array() {
        // Other spellings are understood, but nobody has to know them.
        let several = several.iter().filter(|one| one["type"] != "null" && one.get("$comment").is_none());
        let forms: Vec<_> = several.map(|one| form(one, definitions)).collect();
        return match forms.as_slice() {
            [one, many] if *many == format!("list of {one}") => format!("{one}, or a list"),
            _ => forms.join(", or "),
        };
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    match types.first().copied() {
        Some("integer") => number(schema),
        Some("number") => "number".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("string") => "text".to_owned(),
        Some("array") => format!("list of {}", form(&schema["items"], definitions)),
        Some("object") => match schema.get("additionalProperties") {
            Some(Value::Object(_)) => {
                format!("{}, for each name", form(&schema["additionalProperties"], definitions))
            }
            _ => "mapping".to_owned(),
        },
        _ => String::new(),
    }
}

fn number(schema: &Value) -> String {
    match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
        (Some(low), Some(high)) if low == high => format!("{low}"),
        (Some(low), Some(high)) => format!("number, {low} to {high}"),
        (Some(low), None) if low > 0 => format!("number, at least {low}"),
        _ => "number".to_owned(),
    }
}

/// Types whose own name says more than what they are made of.
fn named(name: &str, schema: &Value, definitions: &Map<String, Value>) -> String {
    let word = match name {
        "Time" => "duration",
        "Size" => "size",
        "Bind" => "address and port",
        "Target" => "host and port",
        "Host" => "host",
        "Network" => "network",
        "PathText" => "path",
        "Pattern" => "regular expression",
        "Verb" => "method",
        "Status" => "status code",
        _ => return form(schema, definitions),
    };
    word.to_owned()
}

/// The mappings with keys of their own that a value may hold, each with what leads to it.
fn mappings_in(schema: &Value, definitions: &Map<String, Value>) -> Vec<(String, String)> {
    if let Some(name) = reference_of(schema) {
        let schema = &definitions[name];
        if schema.get("properties").is_some() {
            return vec![(String::new(), name.to_owned())];
        }
        return mappings_in(schema, definitions);
    }
    let under = |suffix: &str, schema: &Value| {
        let found = mappings_in(schema, definitions).into_iter();
        found.map(|(rest, name)| (format!("{suffix}{rest}"), name)).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        found.extend(mappings_in(one, definitions));
    }
    if let Some(items) = schema.get("items") {
        found.extend(under("[]", items));
    }
    if let Some(Value::Object(_)) = schema.get("additionalProperties") {
        found.extend(under(".<name>", &schema["additionalProperties"]));
    }
    found
}

fn reference_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/definitions/")
}

/// The files of a folder and of the folders in it.
fn files_below(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder of sources");
    let found = entries.flat_map(|entry| {
        let entry = entry.expect("the folder can be listed");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("a name in UTF-8"));
        if entry.path().is_dir() { files_below(&path) } else { vec![path] }
    });
    found.collect()
}

/// A file below the root.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Source without its unit tests.
fn source(path: &str) -> String {
    let text = file(path);
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The body of a function or of a method.
fn body<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.find(&format!("fn {name}(")).expect("it is there");
    let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
    let indent = if text[line..].starts_with(' ') { "    " } else { "" };
    let rest = &text[start..];
    &rest[..rest.find(&format!("\n{indent}}}\n")).expect("it ends")]
}

/// What stands in quotation marks and satisfies `is_word`.
fn words(text: &str, is_word: impl Fn(&str) -> bool) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter(|word| is_word(word)).map(str::to_owned).collect()
}

fn is_snake(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Words in the first column of the tables below a heading.
fn first_column(page: &str, heading: &str) -> Vec<String> {
    let (_, rest) = page.split_once(heading).expect("the page has the heading");
    let section = &rest[..rest.find("\n## ").unwrap_or(rest.len())];
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut words: Vec<String> = cells
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split(", ").map(|word| word.trim_matches('`').to_owned()))
        .collect();
    words.sort();
    words.dedup();
    words
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words.dedup();
    words
}

#[test]
fn the_page_of_the_access_log_knows_every_field_flag_and_reason() {
    let page = file("docs/access-log.md");
    let fields = attache::config::model::RecordField::ALL.iter().map(|field| field.word().to_owned());
    let fields = fields.chain(["request_headers", "response_headers"].map(str::to_owned)).collect();
    assert_eq!(first_column(&page, "## Fields"), sorted(fields));

    let (error, exchange) = (source("src/error.rs"), source("src/edge/exchange/finish.rs"));
    let is_flag = |word: &str| word == "-" || word.chars().all(|c| c.is_ascii_uppercase()) && !word.is_empty();
    let mut flags = words(body(&error, "flag"), is_flag);
    flags.extend(words(body(&exchange, "flags"), is_flag));
    assert_eq!(first_column(&page, "## Flags"), sorted(flags));

    let mut reasons = words(body(&error, "reason"), is_snake);
    reasons.extend(words(body(&source("src/error/call_refusal.rs"), "row"), is_snake));
    let named = [attache::error::FAULT_INJECTED, attache::context::PLAIN_ON_TLS, attache::context::TLS_ON_CLEARTEXT];
    reasons.extend(named.map(str::to_owned));
    reasons.extend(words(body(&source("src/listener/fault.rs"), "reason"), is_snake));
    reasons.extend(words(body(&source("src/edge/unparsed.rs"), "of"), |word| word.contains('_') && is_snake(word)));
    let retry = source("src/upstream/retry.rs");
    for name in ["prepare", "permit"] {
        reasons.extend(words(body(&retry, name), is_snake));
    }
    for path in ["host", "path", "rewrite"] {
        let text = source(&format!("src/route/{path}.rs"));
        reasons.extend(words(&text, |word| word.contains('_') && is_snake(word)));
    }
    let edge = files_below("src/edge");
    for path in edge.iter().map(String::as_str).chain(["src/body/upload_state.rs"]) {
        let text = source(path);
        let said = text.split("BadRequest(\"").skip(1);
        reasons.extend(said.filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
    }
    assert_eq!(first_column(&page, "## Reasons"), sorted(reasons));
}

#[test]
fn one_thing_has_one_word_in_all_logs() {
    let fields: Vec<&str> = attache::config::model::RecordField::ALL.iter().map(|field| field.word()).collect();
    let audit = source("src/observe/audit.rs").replace(['\\', ' '], "");
    let written = audit.split("\":").filter_map(|before| before.rsplit('"').next()).filter(|word| is_snake(word));
    let others: Vec<_> = written.filter(|word| !fields.contains(word)).map(str::to_owned).collect();
    let of_audit = ["by", "decision", "detail", "event", "listener", "network"];
    assert_eq!(sorted(others), of_audit, "the audit log has words of its own only for what a request has not");

    // What the gateway's own log must not call by another word.
    let other_words = ["client", "peer", "ip", "user", "provider", "upstream", "backend", "why", "milliseconds"];
    for path in files_below("src").iter().filter(|path| path.ends_with(".rs")) {
        let text = source(path);
        for event in ["info!(", "warn!(", "error!(", "debug!("].iter().flat_map(|event| text.split(event).skip(1)) {
            let fields = event.split('"').next().unwrap_or_default();
            let names = fields.split(',').filter_map(|field| field.split('=').next());
            for name in names.map(|name| name.trim().trim_start_matches(['%', '?'])) {
                assert!(!other_words.contains(&name), "{path}: an event calls something `{name}`");
            }
        }
    }
}
