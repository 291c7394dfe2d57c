//! The agent card of a demo agent: one document that holds the fields of both generations, because clients of either
//! ask for the same URL.

use serde_json::{Value, json};

use super::Personality;

/// The card of `personality`, reachable at `url` (which ends in a slash).
pub(super) fn card(personality: Personality, url: &str) -> Value {
    // REST paths are appended to the interface's URL, so that one has no trailing slash.
    let base = url.trim_end_matches('/');
    json!({
        "name": format!("attache demo: {}", personality.name()),
        "description": format!("A demo agent that {}.", personality.about()),
        "version": personality.version(),
        "supportedInterfaces": [
            { "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": base, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" },
            { "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "0.3" },
        ],
        "protocolVersion": "0.3.0",
        "url": url,
        "preferredTransport": "JSONRPC",
        "capabilities": { "streaming": true, "pushNotifications": false },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "echo",
            "name": "Echo",
            "description": "Says which agent heard what.",
            "tags": ["demo"],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_names_the_public_url_in_both_generations() {
        let card = card(Personality::Second, "https://localhost:8443/second/");
        assert_eq!(card["url"], "https://localhost:8443/second/");
        assert_eq!(card["supportedInterfaces"][1]["url"], "https://localhost:8443/second");
        assert_eq!(card["version"], "2.0.0");
    }
}
