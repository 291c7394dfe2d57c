//! The admin API as an OpenAPI document, made from the table of operations and the types of the answers. A copy is
//! committed as `docs/openapi.json`.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::access::Act;
use super::operation::{Answer, Ask, Change, Kind, Look, OPERATIONS, Operation, Parameter, Verb};
use super::query::MAX_TEXT;
use super::view::{agents, certificates, clusters, errors, limits, routes, streams, tasks};

/// The document, as it is served and committed.
#[must_use]
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", whole()));
    &DOCUMENT
}

/// The operations as a table of Markdown, as the documentation has it.
#[must_use]
pub fn table() -> String {
    let rows = OPERATIONS.iter().map(|operation| {
        let names = operation.parameters.iter().map(|one| {
            let name = format!("`{}`", one.name);
            if one.required { name } else { format!("[{name}]") }
        });
        let names = names.collect::<Vec<_>>().join(" ");
        let form = match operation.answer {
            Answer::Json => "JSON",
            Answer::Yaml => "YAML",
            Answer::Html => "HTML",
            Answer::Events => "events",
        };
        let needs = match operation.act {
            Act::Page | Act::Read => "",
            Act::Write(writes) => writes.word(),
        };
        let (method, path, about) = (operation.method.name(), operation.path, operation.about);
        format!("| `{method} {path}` | {names} | {needs} | {about} ({form}) |\n")
    });
    format!(
        "\n| Operation | Parameters | Needs `writes` | What it does |\n|---|---|---|---|\n{}\n",
        rows.collect::<String>()
    )
}

fn whole() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let described = described(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.name().to_ascii_lowercase(), described);
        }
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "attache admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a running gateway tells operators, and what they can do to it.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9901" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "What `admin.tokenFile` holds. Without that key none is needed.",
            } },
        },
        "security": [{ "token": [] }, {}],
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": { "type": "string", "description": "What is wrong." } },
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    let mut responses = Map::new();
    responses.insert("200".to_owned(), good(operation, generator));
    let usual = [
        (400, "the query is wrong", true),
        (401, "the token is missing or wrong", true),
        (403, "not for this caller, or `admin.writes` does not allow it", true),
        (415, "a POST needs `content-type: application/json`", operation.method == Verb::Post),
        (503, "busy", true),
    ];
    for (status, about, _) in usual.into_iter().filter(|(_, _, there)| *there) {
        responses.insert(status.to_string(), json!({ "description": about }));
    }
    for (status, about) in operation.refusals {
        responses.insert(status.to_string(), refusal(*status, about));
    }
    if let Some(wrong) = responses.get_mut("400") {
        *wrong = refusal(400, "the query is wrong");
    }
    let mut described = json!({
        "operationId": format!("{:?}", operation.ask).replace(['(', ')'], ""),
        "summary": operation.about,
        "parameters": parameters,
        "responses": responses,
    });
    if let (Act::Page, Some(fields)) = (operation.act, described.as_object_mut()) {
        fields.insert("security".to_owned(), json!([]));
    }
    if let (Act::Write(needed), Some(fields)) = (operation.act, described.as_object_mut()) {
        fields.insert("description".to_owned(), format!("Needs `admin.writes: {}`.", needed.word()).into());
    }
    if operation.method == Verb::Post
        && let Some(fields) = described.as_object_mut()
    {
        // Nothing is read from it: the parameters are in the query.
        let body = json!({ "content": { "application/json": { "schema": {} } } });
        fields.insert("requestBody".to_owned(), body);
    }
    described
}

fn refusal(status: u16, about: &str) -> Value {
    // Answers of the listener itself are text.
    let is_text = status == 503;
    if is_text {
        return json!({ "description": about });
    }
    let schema =
        if status == 422 { json!({ "type": "object" }) } else { json!({ "$ref": "#/components/schemas/Error" }) };
    json!({ "description": about, "content": { "application/json": { "schema": schema } } })
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({ "type": "string", "minLength": 1, "maxLength": MAX_TEXT }),
        Kind::Number(most) => json!({ "type": "integer", "minimum": 0, "maximum": most }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    })
}

fn good(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let (kind, schema) = match operation.answer {
        Answer::Json => ("application/json", answered(operation.ask, generator)),
        Answer::Yaml => ("application/yaml", json!({ "type": "object" })),
        Answer::Html => ("text/html", json!({ "type": "string" })),
        Answer::Events => ("text/event-stream", json!({ "type": "string" })),
    };
    json!({ "description": operation.about, "content": { kind: { "schema": schema } } })
}

/// The form of a good answer in JSON.
fn answered(ask: Ask, generator: &mut SchemaGenerator) -> Value {
    fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
        generator.subschema_for::<T>().to_value()
    }
    match ask {
        Ask::Look(Look::Agents) => of::<agents::Agents>(generator),
        Ask::Look(Look::Certificates) => of::<certificates::Certificates>(generator),
        Ask::Look(Look::Clusters) => of::<clusters::Clusters>(generator),
        Ask::Look(Look::Errors) => of::<errors::ErrorsView>(generator),
        Ask::Look(Look::Limits) => of::<limits::Limits>(generator),
        Ask::Look(Look::Routes) => of::<routes::Routes>(generator),
        Ask::Look(Look::Streams) => of::<streams::Streams>(generator),
        Ask::Look(Look::Tasks) => of::<tasks::Tasks>(generator),
        Ask::Look(Look::Events) => object(&["events"]),
        Ask::Look(Look::History) => object(&["interval", "all", "routes"]),
        Ask::Look(Look::LogLevel) | Ask::Change(Change::LogLevel) => object(&["level", "configured", "left"]),
        Ask::Look(Look::Reloads) => object(&["reloads"]),
        Ask::Look(Look::Rollouts) => object(&["now", "routes"]),
        Ask::Look(Look::Status) => object(&["version", "status", "ready", "configHash", "lastReload", "clusters"]),
        Ask::Look(Look::Blocks) => object(&["now", "configured", "operators", "failures", "leftOut"]),
        Ask::Endpoint => object(&["done", "cluster", "endpoints"]),
        Ask::Change(Change::Rollout) => object(&["done", "status"]),
        Ask::Change(Change::Block) => object(&["blocked"]),
        Ask::Change(Change::Unblock) => object(&["unblocked", "blockedByConfiguration"]),
        Ask::Reload => object(&["at", "trigger", "verdict", "hash", "summary"]),
        Ask::Config | Ask::Dashboard | Ask::Follow(_) | Ask::OpenApi => json!({ "type": "object" }),
    }
}

fn object(required: &[&str]) -> Value {
    json!({ "type": "object", "required": required })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_once_and_every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(described, OPERATIONS.len());
        let ids: std::collections::BTreeSet<_> = paths
            .values()
            .flat_map(|methods| methods.as_object().unwrap().values())
            .map(|one| one["operationId"].as_str())
            .collect();
        assert_eq!(ids.len(), OPERATIONS.len(), "an id each");
        let text = super::document();
        for reference in text.split("\"$ref\": \"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
