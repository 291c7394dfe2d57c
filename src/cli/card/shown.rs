//! A card in words, and as JSON.

use serde_json::{Value, json};

use crate::a2a::card::inspect::{Inspection, Interface};
use crate::cli::terminal::count;

/// For people.
pub(super) fn text(url: &str, card: &Inspection) -> String {
    let mut lines = vec![url.to_owned()];
    let mut row = |title: &str, text: String| lines.push(format!("  {title:<13} {text}"));
    row("name", format!("{}, version {}", or(&card.name, "none"), or(&card.version, "none")));
    row("A2A", or(&card.generations.join(" and "), "no version's fields").to_owned());
    let width = card.interfaces.iter().map(|interface| spoken(interface).len()).max().unwrap_or_default();
    for (index, interface) in card.interfaces.iter().enumerate() {
        let title = if index == 0 { "interfaces" } else { "" };
        let tenant = interface.tenant.as_ref().map(|tenant| format!("  tenant {tenant}")).unwrap_or_default();
        row(title, format!("{:<width$}  {}{tenant}", spoken(interface), or(&interface.url, "no URL")));
    }
    row("capabilities", or(&card.capabilities.join(", "), "none").to_owned());
    let schemes: Vec<_> = card.security.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
    row("security", or(&schemes.join(", "), "none declared").to_owned());
    row("skills", card.skills.to_string());
    row(
        "signatures",
        if card.signatures == 0 { "none".to_owned() } else { format!("{}, not verified", card.signatures) },
    );
    if card.problems.is_empty() {
        lines.push("nothing wrong".to_owned());
    } else {
        lines.push(count(card.problems.len(), "problem"));
        lines.extend(card.problems.iter().map(|problem| format!("  {}: {}", problem.at, problem.what)));
    }
    lines.join("\n")
}

/// For programs.
pub(super) fn json(url: &str, card: &Inspection) -> Value {
    let interface = |one: &Interface| {
        json!({
            "at": one.at,
            "url": one.url,
            "transport": one.transport,
            "protocolVersion": one.protocol_version,
            "tenant": one.tenant,
        })
    };
    let security = card.security.iter().map(|(name, kind)| (name.clone(), Value::from(kind.as_str())));
    let problems = card.problems.iter().map(|problem| json!({ "at": problem.at, "what": problem.what }));
    json!({
        "url": url,
        "name": card.name,
        "version": card.version,
        "a2a": card.generations,
        "interfaces": card.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "capabilities": card.capabilities,
        "securitySchemes": Value::Object(security.collect()),
        "skills": card.skills,
        "signatures": card.signatures,
        "problems": problems.collect::<Vec<_>>(),
    })
}

/// Transport and version.
fn spoken(interface: &Interface) -> String {
    let version = interface.protocol_version.as_deref().unwrap_or_default();
    format!("{} {version}", or(&interface.transport, "unknown")).trim_end().to_owned()
}

fn or<'t>(text: &'t str, without: &'t str) -> &'t str {
    if text.is_empty() { without } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::card::inspect::{Fetched, inspect};

    const CARD: &str = r#"{
        "name": "planner", "version": "2", "description": "d", "capabilities": { "streaming": true },
        "supportedInterfaces": [
            { "url": "https://a.example/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": "https://a.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "t" }
        ],
        "defaultInputModes": [], "defaultOutputModes": [], "skills": [1, 2]
    }"#;

    #[test]
    fn a_card_in_words() {
        let card = inspect(CARD.as_bytes(), Fetched { https: true, host: "a.example" }).unwrap();
        let expected = "\
https://a.example/card.json
  name          planner, version 2
  A2A           1.0
  interfaces    JSONRPC 1.0  https://a.example/
                GRPC 1.0     https://a.example:443  tenant t
  capabilities  streaming
  security      none declared
  skills        2
  signatures    none
1 problem
  supportedInterfaces[1].url: `https://a.example:443` has a scheme; a gRPC address is a host and a port";
        assert_eq!(text("https://a.example/card.json", &card), expected);
        let shown = json("https://a.example/card.json", &card);
        assert_eq!((&shown["interfaces"][1]["tenant"], &shown["skills"]), (&json!("t"), &json!(2)));
        assert_eq!(shown["problems"][0]["at"], "supportedInterfaces[1].url");
        let empty = text("u", &Inspection::default());
        assert!(empty.contains("no version's fields") && empty.ends_with("nothing wrong"), "{empty}");
    }
}
