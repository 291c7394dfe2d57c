//! The JSON Schema of a configuration file. It accepts whatever the program accepts, and as little else as a schema can
//! say: what holds for every value (`${..}` stands for it, a number is text where text is wanted) is put in here, other
//! spellings where they are read.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::forms::words::SUBSTITUTED;
use super::raw;

/// The schema as the declarations of the keys make it.
pub(super) fn tree() -> &'static Value {
    static TREE: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft07();
        settings.into_generator().into_root_schema_for::<raw::Root>().to_value()
    });
    &TREE
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
