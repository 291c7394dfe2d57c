//! What an agent's card says that matters to a first configuration.

use std::time::Duration;

use crate::a2a::card::inspect::{Fetched, Inspection, Interface, inspect};
use crate::cli::card::fetch::{Request, fetch};
use crate::cli::starter::Agent;
use crate::visible::visible;

/// What is known of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// As the card has it.
    pub(super) name: String,
    pub(super) version: String,
    /// The port of its gRPC binding, where that is another than the agent's.
    pub(super) grpc: Option<u16>,
    /// Whether it speaks nothing but gRPC.
    pub(super) is_grpc_alone: bool,
    pub(super) is_signed: bool,
}

/// Fetches the card; an error is one line for people.
pub(super) async fn ask(agent: &Agent) -> Result<Known, String> {
    let first = |failure: crate::cli::Failure| failure.parts().0.to_owned();
    let request = Request::parse(&agent.url(), &[], None, PATIENCE).map_err(first)?;
    let card = fetch(&request).await.map_err(first)?;
    let fetched = Fetched { https: request.is_https(), host: request.host() };
    let found = inspect(&card.body, fetched).map_err(|error| format!("it is no agent card: {error}"))?;
    Ok(Known::of(&found, agent))
}

impl Known {
    fn of(found: &Inspection, agent: &Agent) -> Self {
        let is_grpc = |interface: &&Interface| interface.transport.eq_ignore_ascii_case("GRPC");
        let mut ports = found.interfaces.iter().filter(is_grpc).filter_map(|interface| port_at(&interface.url, agent));
        Self {
            name: found.name.clone(),
            version: found.version.clone(),
            grpc: ports.find(|port| *port != agent.port()),
            is_grpc_alone: !found.interfaces.is_empty() && found.interfaces.iter().all(|interface| is_grpc(&interface)),
            is_signed: found.signatures > 0,
        }
    }

    /// For people, in a few words. What the card says stays in one line and is short.
    pub(super) fn said(&self) -> String {
        let short = |text: &str| visible(&text.chars().take(60).collect::<String>()).into_owned();
        let mut said = format!("its card calls it \"{}\"", short(&self.name));
        if !self.version.is_empty() {
            said.push_str(&format!(", version {}", short(&self.version)));
        }
        if let Some(port) = self.grpc {
            said.push_str(&format!(", gRPC on port {port}"));
        }
        said
    }

    /// Its name as that of a route.
    pub(super) fn slug(&self) -> String {
        let mut slug = String::new();
        for byte in self.name.bytes() {
            match byte.to_ascii_lowercase() {
                byte @ (b'a'..=b'z' | b'0'..=b'9') if slug.len() < MAX_SLUG => slug.push(char::from(byte)),
                _ if !slug.is_empty() && !slug.ends_with('-') && slug.len() < MAX_SLUG => slug.push('-'),
                _ => {}
            }
        }
        let slug = slug.trim_end_matches('-');
        if slug.starts_with(|first: char| first.is_ascii_alphabetic()) { slug.to_owned() } else { "agent".to_owned() }
    }
}

/// The port in a URL of the card, where it leads to the agent itself. Addresses of gRPC have no scheme.
fn port_at(url: &str, agent: &Agent) -> Option<u16> {
    let uri: http::Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let is_itself = agent.is_at(crate::host::bare(authority.host()));
    authority.port_u16().filter(|_| is_itself)
}

const PATIENCE: Duration = Duration::from_secs(3);
/// Longest name of a route that is made of a card's.
const MAX_SLUG: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn known(card: &str) -> Known {
        let agent: Agent = "127.0.0.1:9101".parse().unwrap();
        let found = inspect(card.as_bytes(), Fetched { https: false, host: "127.0.0.1" }).unwrap();
        Known::of(&found, &agent)
    }

    #[test]
    fn ports_of_grpc_are_those_of_the_agent_itself() {
        let card = |url: &str, other: &str| {
            format!(
                r#"{{"name":"Echo Agent","version":"2","supportedInterfaces":[
                {{"url":"http://127.0.0.1:9101/","protocolBinding":"{other}","protocolVersion":"1.0"}},
                {{"url":"{url}","protocolBinding":"GRPC","protocolVersion":"1.0"}}]}}"#
            )
        };
        assert_eq!(known(&card("localhost:9102", "JSONRPC")).grpc, Some(9102));
        assert_eq!(known(&card("localhost:9101", "JSONRPC")).grpc, None, "one port serves all");
        assert_eq!(known(&card("agents.example.com:443", "JSONRPC")).grpc, None, "that is somebody else");
        assert!(!known(&card("localhost:9102", "JSONRPC")).is_grpc_alone);
        assert!(known(&card("localhost:9101", "GRPC")).is_grpc_alone);
    }

    #[test]
    fn names_become_names_of_routes() {
        for (name, slug) in [
            ("Echo Agent", "echo-agent"),
            ("  Übersetzer (v2)! ", "bersetzer-v2"),
            ("7 dwarfs", "agent"),
            ("", "agent"),
            ("日本", "agent"),
        ] {
            assert_eq!(Known { name: name.into(), ..Known::default() }.slug(), slug, "{name}");
        }
        let long = Known { name: "a".repeat(500), ..Known::default() };
        assert_eq!(long.slug().len(), MAX_SLUG);
        assert!(long.said().len() < 100, "{}", long.said());
    }

    #[test]
    fn what_a_card_says_stays_in_a_line() {
        let known = Known { name: "a\nroutes: {}\u{1b}[2J".into(), version: "1\r".into(), ..Known::default() };
        assert!(!known.said().contains(['\n', '\r', '\u{1b}']), "{}", known.said());
    }
}
