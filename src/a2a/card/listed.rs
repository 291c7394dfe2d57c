//! What a catalog says of an agent, taken from its card: who it is and what it can do. A card may be large and its
//! texts anything, so what is taken has a bound.

use serde_json::{Map, Value};

/// The members of a catalog's entry that come from a card, as JSON without the braces around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed(Box<str>);

impl Listed {
    /// What a card says; `None` where it is none: no JSON object with a name and a place where the agent is.
    #[must_use]
    pub fn of(card: &[u8]) -> Option<Self> {
        let card: Map<String, Value> = serde_json::from_slice(card).ok()?;
        let is_somewhere = text(&card, "url").is_some() || !list(&card, "supportedInterfaces").is_empty();
        let name = text(&card, "name").filter(|_| is_somewhere)?;
        let mut members = vec![member("name", &short(name, NAME))];
        let more = [("description", PROSE), ("version", NAME)];
        members.extend(more.iter().filter_map(|(key, most)| Some(member(key, &short(text(&card, key)?, *most)))));
        members.extend(provider(&card));
        members.extend(skills(&card));
        Some(Self(members.join(",").into()))
    }

    /// As JSON.
    #[must_use]
    pub fn members(&self) -> &str {
        &self.0
    }
}

fn provider(card: &Map<String, Value>) -> Option<String> {
    let said = card.get("provider")?.as_object()?;
    let part = |key| Some(member(key, &short(text(said, key)?, PROSE)));
    let parts: Vec<_> = ["organization", "url"].into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| format!("\"provider\":{{{}}}", parts.join(",")))
}

/// As many skills as there is room for, and how many are left out.
fn skills(card: &Map<String, Value>) -> Vec<String> {
    let mut room = SKILLS;
    let mut shown = Vec::new();
    let all = list(card, "skills").iter().filter_map(Value::as_object);
    let all: Vec<_> = all.filter(|skill| text(skill, "id").is_some()).collect();
    for skill in &all {
        let said = self::skill(skill);
        let Some(left) = room.checked_sub(said.len()) else { break };
        room = left;
        shown.push(said);
    }
    let left_out = all.len() - shown.len();
    let left_out = (left_out > 0).then(|| format!("\"skillsLeftOut\":{left_out}"));
    std::iter::once(format!("\"skills\":[{}]", shown.join(","))).chain(left_out).collect()
}

fn skill(skill: &Map<String, Value>) -> String {
    let names = ["id", "name"].into_iter().filter_map(|key| Some(member(key, &short(text(skill, key)?, NAME))));
    let tags = list(skill, "tags").iter().filter_map(Value::as_str).take(TAGS).map(|tag| quoted(&short(tag, NAME)));
    let tags = format!("\"tags\":[{}]", tags.collect::<Vec<_>>().join(","));
    format!("{{{}}}", names.chain([tags]).collect::<Vec<_>>().join(","))
}

fn text<'c>(fields: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn list<'c>(fields: &'c Map<String, Value>, name: &str) -> &'c [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn member(key: &str, value: &str) -> String {
    format!("\"{key}\":{}", quoted(value))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text, cut where it is longer than `most` characters.
fn short(text: &str, most: usize) -> String {
    let mut rest = text.chars();
    let begun: String = rest.by_ref().take(most).collect();
    if rest.next().is_none() { begun } else { begun + "…" }
}

/// Characters of a name, a version or a tag.
const NAME: usize = 200;
/// Characters of a description.
const PROSE: usize = 1000;
/// Tags of one skill.
const TAGS: usize = 20;
/// Bytes of the skills of one agent.
const SKILLS: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(card: &Value) -> Option<Value> {
        let listed = Listed::of(card.to_string().as_bytes())?;
        Some(serde_json::from_str(&format!("{{{}}}", listed.members())).unwrap())
    }

    #[test]
    fn what_is_taken_of_a_card() {
        let card = json!({
            "name": "planner", "description": "plans", "version": "2", "url": "http://10.0.0.1/", "secret": "x",
            "provider": { "organization": "ACME", "url": "https://acme.example", "more": 1 },
            "skills": [{ "id": "a", "name": "A", "description": "long", "tags": ["t", 7] }, { "name": "no id" }, 5],
        });
        let expected = json!({
            "name": "planner", "description": "plans", "version": "2",
            "provider": { "organization": "ACME", "url": "https://acme.example" },
            "skills": [{ "id": "a", "name": "A", "tags": ["t"] }],
        });
        assert_eq!(read(&card), Some(expected));
        let bare = json!({ "name": "a", "supportedInterfaces": [{}], "provider": {}, "description": 7 });
        assert_eq!(read(&bare), Some(json!({ "name": "a", "skills": [] })));
    }

    #[test]
    fn what_is_no_card_is_not_listed() {
        for card in [json!([]), json!({}), json!({ "name": "a" }), json!({ "url": "http://a/" }), json!({ "name": 7 })]
        {
            assert_eq!(read(&card), None, "{card}");
        }
        for text in [&b""[..], b"{", b"<html>", b"\xff"] {
            assert_eq!(Listed::of(text), None);
        }
        assert_eq!(Listed::of("[".repeat(100_000).as_bytes()), None, "deep nesting");
    }

    #[test]
    fn what_is_taken_has_a_bound() {
        let skills: Vec<_> =
            (0..5_000).map(|at| json!({ "id": format!("{at}"), "tags": ["\u{1}".repeat(900)] })).collect();
        let long = "\u{202e}".repeat(100_000);
        let card = json!({ "name": long, "description": long, "url": "u", "version": long, "skills": skills });
        let listed = Listed::of(card.to_string().as_bytes()).unwrap();
        assert!(listed.members().len() < 32 << 10, "{}", listed.members().len());
        let read = read(&card).unwrap();
        let shown = read["skills"].as_array().unwrap().len();
        assert!(shown > 0);
        assert_eq!(read["skillsLeftOut"], json!(5_000 - shown));
        assert_eq!(read["name"].as_str().unwrap().chars().count(), NAME + 1);
    }
}
