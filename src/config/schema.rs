//! The JSON Schema of a configuration file. It accepts whatever the program accepts, and as little else as a schema can
//! say: what holds for every value (`${..}` stands for it, a number is text where text is wanted) is put in here, other
//! spellings where they are read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::forms::words::SUBSTITUTED;
use super::keys::Root;

/// The schema as the declarations of the keys make it.
pub(super) fn tree() -> &'static Value {
    static TREE: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft07();
        let mut tree = settings.into_generator().into_root_schema_for::<Root>().to_value();
        tell_restarts(&mut tree);
        tree
    });
    &TREE
}

/// What a schema names by `$ref`, or the schema itself; with the name.
pub(super) fn definition(schema: &Value) -> (&str, &Value) {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let found = name.and_then(|name| Some((name, tree().get("definitions")?.get(name)?)));
    found.unwrap_or(("", schema))
}

/// The alternatives or parts of a schema.
pub(super) fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "allOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten()
}

/// The keys of the mapping that a schema describes, in any of its forms.
pub(super) fn properties(schema: &Value) -> Vec<(&str, &Value)> {
    let (_, schema) = definition(schema);
    let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let own = own.map(|(key, property)| (key.as_str(), property));
    own.chain(parts(schema).flat_map(properties)).collect()
}

/// Every key of the language.
pub(super) fn keys() -> &'static BTreeSet<String> {
    fn collect(schema: &Value, found: &mut BTreeSet<String>) {
        let known = schema.get("properties").and_then(Value::as_object);
        found.extend(known.into_iter().flat_map(|known| known.keys().cloned()));
        match schema {
            Value::Object(fields) => fields.values().for_each(|inner| collect(inner, found)),
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    static KEYS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut found = BTreeSet::new();
        collect(tree(), &mut found);
        found
    });
    &KEYS
}

/// What is declared of a key beside its value, such as `whole`; see `section!`.
pub(super) fn rule(property: &Value) -> &str {
    property.get("x-rule").and_then(Value::as_str).unwrap_or_default().trim_start()
}

/// The paths of all keys that need a restart.
pub(super) fn restart_keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let sections = properties(tree());
        let inside = |(section, schema)| {
            let keys = properties(schema).into_iter().filter(|(_, property)| rule(property) == "restart");
            let keys = keys.map(|(key, _)| format!("{section}.{key}")).collect::<Vec<_>>();
            if rule(schema) == "restart" { vec![String::from(section)] } else { keys }
        };
        sections.into_iter().flat_map(inside).collect()
    });
    &KEYS
}

/// Says of each key that needs a restart that it does.
fn tell_restarts(schema: &mut Value) {
    if rule(schema) == "restart"
        && let Some(Value::String(text)) = schema.get_mut("description")
    {
        let (meaning, default) = text.split_once("Default:").unwrap_or((text, ""));
        let default = if default.is_empty() { String::new() } else { format!(" Default:{default}") };
        *text = format!("{} Needs a restart.{default}", meaning.trim_end());
    }
    match schema {
        Value::Object(fields) => fields.values_mut().for_each(tell_restarts),
        Value::Array(items) => items.iter_mut().for_each(tell_restarts),
        _ => {}
    }
}

/// JSON Schema of a configuration file.
#[must_use]
pub fn schema() -> String {
    let mut schema = tree().clone();
    loosen(&mut schema);
    // As a schema again, which is printed in the order people read.
    let schema = schemars::Schema::try_from(schema).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-rule");
            for (name, inner) in fields.iter_mut() {
                match inner {
                    // A value, not a schema.
                    _ if name == "default" => {}
                    // Types of one text say themselves what they take.
                    Value::Object(types) if name == "definitions" => {
                        types.values_mut().for_each(loosen_definition);
                    }
                    _ => loosen(inner),
                }
            }
            substituted(fields);
            as_text(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

fn loosen_definition(schema: &mut Value) {
    let is_text = schema.get("type").is_some_and(|kind| kind == "string");
    if !is_text {
        loosen(schema);
    }
}

/// What is no text may be put in by a variable.
fn substituted(fields: &mut Map<String, Value>) {
    const SCALARS: [&str; 3] = ["boolean", "integer", "number"];
    let mut kinds = kinds(fields);
    let is_scalar = kinds.iter().any(|kind| SCALARS.contains(&kind.as_str()));
    if is_scalar && !kinds.iter().any(|kind| kind == "string") {
        kinds.push("string".to_owned());
        fields.insert("type".to_owned(), json!(kinds));
        fields.insert("pattern".to_owned(), json!(SUBSTITUTED));
    }
}

/// Where any text is legal, `1.2`, `8080` and `true` need no quotes.
fn as_text(fields: &mut Map<String, Value>) {
    const NARROWER: [&str; 5] = ["const", "enum", "format", "pattern", "minimum"];
    let mut kinds = kinds(fields);
    let is_any = !NARROWER.iter().any(|word| fields.contains_key(*word));
    if is_any && kinds.iter().any(|kind| kind == "string") {
        for other in ["number", "boolean"] {
            if !kinds.iter().any(|kind| kind == other) {
                kinds.push(other.to_owned());
            }
        }
        fields.insert("type".to_owned(), json!(kinds));
    }
}

/// The types a schema names, in their order.
fn kinds(fields: &Map<String, Value>) -> Vec<String> {
    match fields.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => {
            let several = several.iter().filter_map(Value::as_str);
            several.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}
