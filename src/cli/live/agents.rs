//! `attache agents`: agents behind the routes of a running gateway, and the cards seen of them.

use clap::Args;
use serde_json::Value;

use super::{Look, left_out, list, text};
use crate::cli::table::Table;
use crate::cli::{Ending, Failure};

/// Arguments of `attache agents`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    look: Look,
}

/// Performs the verb.
pub(in crate::cli) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    arguments.look.show("/agents", described)
}

fn described(answer: &Value) -> String {
    let mut table = Table::of(&["route", "clusters", "speaks A2A", "name", "version", "skills"]);
    for agent in list(answer, "agents") {
        let clusters: Vec<&str> = list(agent, "clusters").filter_map(Value::as_str).collect();
        let card = agent.get("card").filter(|card| !card.is_null());
        let of_card = |name: &str| card.map_or_else(|| "-".to_owned(), |card| text(card, name));
        let skills = card.into_iter().flat_map(|card| list(card, "skills")).count();
        let has_answered = agent.get("hasAnswered").is_some_and(|answered| *answered == true);
        let speaks = match (has_answered, card) {
            (true, _) => "yes",
            (false, Some(_)) => "says its card",
            (false, None) => "not seen yet",
        };
        table.row([
            text(agent, "route"),
            clusters.join(" "),
            speaks.to_owned(),
            of_card("name"),
            of_card("version"),
            if card.is_some() { skills.to_string() } else { "-".to_owned() },
        ]);
    }
    if table.is_empty() { "no route leads to agents".to_owned() } else { table.text() + &left_out(answer) }
}

const HELP: &str = "\
Examples:
  attache agents -c gateway.yaml
  attache agents --json -c gateway.yaml

Exit codes: 0 answered, 1 not reached or refused, 2 wrong usage";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_whose_card_was_seen_is_not_unknown() {
        let card = json!({ "name": "ada", "version": "1.2", "skills": [] });
        for (has_answered, card, expected) in [
            (true, Value::Null, "yes"),
            (true, card.clone(), "yes"),
            (false, card, "says its card"),
            (false, Value::Null, "not seen yet"),
        ] {
            let agent = json!({ "route": "all", "clusters": ["pool"], "hasAnswered": has_answered, "card": card });
            let text = described(&json!({ "agents": [agent] }));
            assert!(text.contains(expected), "{text}");
        }
    }
}
