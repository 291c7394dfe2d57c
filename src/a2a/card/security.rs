//! How a card says that clients prove who they are: the schemes, and which of them are needed together. Generation 1.0
//! writes both in other forms than those before.

use serde_json::{Map, Value, json};

/// What clients have to present, as a card says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Schemes by their names.
    pub schemes: Vec<(String, Scheme)>,
    /// Whether all of them are needed, not only one.
    pub all: bool,
    /// Whether a client may present nothing.
    pub is_optional: bool,
}

/// One way to prove who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A key in a header field.
    Header(String),
    /// A key in a parameter of the query.
    Query(String),
    /// A scheme of `Authorization`, in lower case.
    Http(&'static str),
    /// A certificate of the client.
    MutualTls,
}

impl Security {
    /// The members of a card, in the form of 1.0 or of the generations before it.
    pub(super) fn members(&self, is_current: bool) -> String {
        let schemes: Map<_, _> =
            self.schemes.iter().map(|(name, scheme)| (name.clone(), scheme.written(is_current))).collect();
        let names = || self.schemes.iter().map(|(name, _)| name.as_str());
        let required = |names: &[&str]| {
            let none = if is_current { json!({}) } else { json!([]) };
            let each = names.iter().map(|name| ((*name).to_owned(), none.clone())).collect::<Map<_, _>>();
            if is_current { json!({ "schemes": each }) } else { Value::Object(each) }
        };
        let mut requirements: Vec<Value> = if self.all {
            vec![required(&names().collect::<Vec<_>>())]
        } else {
            names().map(|name| required(&[name])).collect()
        };
        requirements.extend(self.is_optional.then(|| required(&[])));
        let [schemes, requirements] = [Value::Object(schemes), Value::Array(requirements)];
        format!(
            "\"{SCHEMES}\":{schemes},\"{}\":{requirements}",
            if is_current { REQUIREMENTS } else { OLD_REQUIREMENTS }
        )
    }
}

impl Scheme {
    fn written(&self, is_current: bool) -> Value {
        match (self, is_current) {
            (Self::Header(name), true) => json!({ "apiKeySecurityScheme": { "location": "header", "name": name } }),
            (Self::Header(name), false) => json!({ "type": "apiKey", "in": "header", "name": name }),
            (Self::Query(name), true) => json!({ "apiKeySecurityScheme": { "location": "query", "name": name } }),
            (Self::Query(name), false) => json!({ "type": "apiKey", "in": "query", "name": name }),
            (Self::Http(scheme), true) => json!({ "httpAuthSecurityScheme": { "scheme": scheme } }),
            (Self::Http(scheme), false) => json!({ "type": "http", "scheme": scheme }),
            (Self::MutualTls, true) => json!({ "mtlsSecurityScheme": {} }),
            (Self::MutualTls, false) => json!({ "type": "mutualTLS" }),
        }
    }
}

/// Whether a member of a card says this.
pub(super) fn is_about(name: &str) -> bool {
    matches!(name, SCHEMES | REQUIREMENTS | OLD_REQUIREMENTS)
}

const SCHEMES: &str = "securitySchemes";
const REQUIREMENTS: &str = "securityRequirements";
const OLD_REQUIREMENTS: &str = "security";

#[cfg(test)]
mod tests {
    use super::super::{Outcome, Place, SignedCards, Verdict, map_with};
    use super::*;

    fn security(all: bool, is_optional: bool) -> Security {
        let schemes = vec![
            ("keys".to_owned(), Scheme::Header("x-api-key".to_owned())),
            ("tokens".to_owned(), Scheme::Http("bearer")),
        ];
        Security { schemes, all, is_optional }
    }

    fn mapped(card: &str, place: Place, security: &Security) -> String {
        let found = map_with(card.as_bytes(), place, SignedCards::Strip, Some(security), |_, _| Verdict::Public);
        match found.unwrap().outcome {
            Outcome::Changed(card) => String::from_utf8(card).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_card_says_what_clients_present_in_the_form_of_its_generation() {
        let old = mapped(r#"{"url":"http://a/","name":"a"}"#, Place::Whole, &security(false, false));
        assert_eq!(
            old,
            concat!(
                r#"{"url":"http://a/","name":"a","securitySchemes":{"keys":{"in":"header","name":"x-api-key","#,
                r#""type":"apiKey"},"tokens":{"scheme":"bearer","type":"http"}},"security":[{"keys":[]},{"tokens":[]}]}"#
            )
        );
        let current = mapped(r#"{"supportedInterfaces":[],"name":"a"}"#, Place::Whole, &security(true, true));
        assert_eq!(
            current,
            concat!(
                r#"{"supportedInterfaces":[],"name":"a","securitySchemes":{"keys":{"apiKeySecurityScheme":"#,
                r#"{"location":"header","name":"x-api-key"}},"tokens":{"httpAuthSecurityScheme":{"scheme":"bearer"}}},"#,
                r#""securityRequirements":[{"schemes":{"keys":{},"tokens":{}}},{"schemes":{}}]}"#
            )
        );
    }

    #[test]
    fn what_the_agent_says_of_it_is_replaced_and_all_else_stays() {
        let one = Security { schemes: vec![("m".to_owned(), Scheme::MutualTls)], ..Security::default() };
        let made = r#""securitySchemes":{"m":{"type":"mutualTLS"}},"security":[{"m":[]}]"#;
        for (before, after) in [
            (
                r#" { "security": [{"a":[]}], "name" : "a", "securitySchemes":{"a":{}}, "x":1 } "#,
                r#" { "name" : "a", "x":1 ,@} "#,
            ),
            (r#"{"name":"a","securitySchemes":{}}"#, r#"{"name":"a",@}"#),
            (r#"{"name":"a","signatures":[{"signature":"x"}]}"#, r#"{"name":"a",@}"#),
            (
                r#"{"name":"a","skills":[{"security":[{"a":[]}]}]}"#,
                r#"{"name":"a","skills":[{"security":[{"a":[]}]}],@}"#,
            ),
        ] {
            assert_eq!(mapped(before, Place::Whole, &one), after.replace('@', made), "{before}");
        }
        let answer = mapped(r#"{"jsonrpc":"2.0","result":{"name":"a"},"id":1}"#, Place::Result, &one);
        assert_eq!(answer, format!(r#"{{"jsonrpc":"2.0","result":{{"name":"a",{made}}},"id":1}}"#));
    }
}
