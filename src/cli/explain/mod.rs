//! `attache explain`: which listener and route a request would take, why, what was considered before, and what would
//! happen to it. Asks the same table the gateway asks, and builds the route as the gateway does; sends nothing.

mod authorization;
mod client;
mod content;
mod credential;
mod entry;
mod forward;
mod policies;
mod request;
mod route;
mod subject;

use std::cell::Cell;
use std::net::IpAddr;

use clap::Args;

use super::configuration::{Source, loaded};
use super::summary::spoken;
use super::words::{labelled, split, wrapped};
use super::{Ending, Failure, terminal};
use crate::config::model::{Config, Listener, ListenerId};
use crate::policy::auth::{Credential, Sender};
use crate::route::{BodyTenant, Considered, Facts, Miss, Table};
use crate::snapshot::route_at_start;
use entry::Entry;
use request::Request;
use subject::Subject;

/// Arguments of `attache explain`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Method of the request.
    #[arg(value_parser = method)]
    method: http::Method,
    /// Its URL as the client has it; public URLs, scheme and port choose the listener.
    url: http::Uri,
    /// A header field; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Whose request it is: `token:FILE`, `key:FILE` or `cert:FILE`, with `-` for standard input.
    #[arg(long = "as", value_name = "KIND:FILE")]
    credential: Option<String>,
    /// The listener, instead of the one the URL chooses.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The address of the client, for lists of addresses and for rules.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// Reads a method as the gateway does, to which `get` is not `GET`.
fn method(text: &str) -> Result<http::Method, String> {
    let shouted = text.to_ascii_uppercase();
    match text.parse() {
        Ok(method) if shouted == text => Ok(method),
        Ok(_) => Err(format!("methods are case-sensitive: write {shouted}")),
        Err(_) => Err("write a method such as GET".to_owned()),
    }
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let request = Request::read(&arguments.method, &arguments.url, &arguments.headers)?;
    let credential = arguments.credential.as_deref().map(credential::read).transpose()?;
    let document = arguments.source.document()?;
    let config = loaded(&document, &document.environment().without_certificates())?.config;
    let entry = entry::entry(&config, &request, arguments.listener.as_deref())?;
    let mut lines = vec![labelled("request", format_args!("{} {}", request.method, arguments.url))];
    lines.push(through(entry.listener));
    let is_found = match entry.served {
        Some(id) => {
            let credential = credential.as_ref();
            let explained = Explained { request: &request, credential, client: arguments.from };
            explain_route(&config, id, &entry, &explained, &mut lines)?
        }
        None => {
            lines.extend(route::redirected(&config, entry.listener, &request.method));
            true
        }
    };
    if arguments.json {
        terminal::print(as_json(&lines, is_found))?;
    } else {
        let lines: Vec<_> = lines.iter().map(|line| wrapped(line)).collect();
        terminal::print(lines.join("\n"))?;
    }
    Ok(if is_found { Ending::Done } else { Ending::Failed })
}

/// The same facts for programs: what each is about, in the order in which people read them.
fn as_json(lines: &[String], is_found: bool) -> serde_json::Value {
    let mut about = "";
    let facts = lines.iter().map(|line| {
        let (label, facts) = split(line, about);
        about = label;
        serde_json::json!({ "about": label, "says": facts })
    });
    serde_json::json!({ "matches": is_found, "facts": facts.collect::<Vec<_>>() })
}

/// The request, and whose it is said to be.
struct Explained<'a> {
    request: &'a Request,
    credential: Option<&'a Credential>,
    /// Its address, where it is given.
    client: Option<IpAddr>,
}

fn explain_route(
    config: &Config,
    id: ListenerId,
    entry: &Entry<'_>,
    explained: &Explained<'_>,
    lines: &mut Vec<String>,
) -> Result<bool, Failure> {
    let request = explained.request;
    let host = request.host()?;
    let path = request.path(entry.listener, entry.stripped)?;
    let is_missed = Cell::new(false);
    let facts = Facts {
        host: &host,
        path: &path,
        query: request.query.as_deref(),
        method: &request.method,
        headers: &request.headers,
        body_tenant: BodyTenant { named: None, is_missed: Some(&is_missed) },
    };
    lines.push(labelled("matched", format_args!("host {host}, path {path}")));
    if let Some(catalog) = config.listeners.get(id.0).and_then(|listener| route::catalog(listener, request, &path)) {
        lines.push(catalog);
        return Ok(true);
    }
    let considered = Table::build(&config.routes).explain(id, &facts);
    if is_missed.get() {
        lines.push(labelled("tenant", "none is named here; a call that names one in its body may have another route"));
    }
    let winner = considered.iter().position(|candidate| candidate.miss.is_none());
    match winner.and_then(|at| considered.get(at)) {
        Some(found) => lines.extend(on_route(config, entry.listener, found, &facts, explained)),
        None => lines.push(labelled("route", "none matches: the answer is 404")),
    }
    lines.extend(others(&considered, winner));
    Ok(winner.is_some())
}

/// The listener's line.
fn through(listener: &Listener) -> String {
    let kind = if listener.tls.is_some() { "TLS" } else { "cleartext" };
    labelled("listener", format_args!("{} on {}, {kind}, {}", listener.name, listener.address, spoken(listener)))
}

/// Everything that happens to a request on the route that was found.
fn on_route(
    config: &Config,
    listener: &Listener,
    found: &Considered,
    facts: &Facts<'_>,
    explained: &Explained<'_>,
) -> Vec<String> {
    let Some(settings) = config.routes.get(found.route.0) else {
        return Vec::new();
    };
    let route = &route_at_start(config, settings);
    let client = explained.client;
    let presented = credential::presented(facts, client);
    let sender = route.auth.as_deref().map_or(Sender::Nobody, |auth| auth.sender(&presented, explained.credential));
    policies::lines(&Subject { config, listener, route, matched: found.matched, facts, client, sender })
}

/// The other alternatives: first those that match too or nearly, in order of precedence, then those of other paths and
/// other hosts, by name.
fn others(considered: &[Considered], winner: Option<usize>) -> Vec<String> {
    let losers = considered.iter().enumerate();
    let mut losers: Vec<_> = losers.filter(|(at, _)| Some(*at) != winner).collect();
    losers.sort_by_key(|(_, candidate)| match candidate.miss {
        Some(Miss::Host) => (2, candidate.name.as_str()),
        Some(Miss::Path) => (1, candidate.name.as_str()),
        _ => (0, ""),
    });
    let mut lines: Vec<_> = losers
        .into_iter()
        .map(|(at, candidate)| {
            let name = &candidate.name;
            match (&candidate.miss, winner) {
                (Some(miss), _) => format!("not taken {name}: {miss}"),
                (None, Some(first)) if at > first => {
                    format!("not taken {name}: matches too, but less precisely")
                }
                (None, _) => format!("not taken {name}"),
            }
        })
        .collect();
    let more = lines.len().saturating_sub(MAX_OTHERS);
    lines.truncate(MAX_OTHERS);
    if more > 0 {
        lines.push(labelled("", format_args!("and {more} more")));
    }
    lines
}

const MAX_OTHERS: usize = 10;
const HELP: &str = "\
Examples:
  attache explain GET https://agents.example.com/research/tasks/42 -c config/gateway.yaml
  attache explain POST http://localhost:8080/ -H 'a2a-version: 1.0' -c config/gateway.yaml
  attache explain GET http://localhost:8080/tasks/42 --as token:ann.jwt -c config/gateway.yaml
  attache explain GET http://localhost:8080/tasks/42 -c config/gateway.yaml --json

Exit codes: 0 a route matches, 1 none does or the configuration is invalid, 2 wrong usage";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::RouteId;

    #[test]
    fn what_nearly_matches_comes_first_and_the_rest_by_name() {
        let considered = [
            ("w", None),
            ("longest", Some(Miss::Path)),
            ("near", Some(Miss::Method)),
            ("b", Some(Miss::Host)),
            ("short", Some(Miss::Path)),
            ("also", None),
            ("a", Some(Miss::Host)),
        ];
        let considered =
            considered.map(|(name, miss)| Considered { route: RouteId(0), name: name.to_owned(), matched: 0, miss });
        let lines = others(&considered, Some(0));
        let names: Vec<_> =
            lines.iter().filter_map(|line| line.strip_prefix("not taken ")?.split(':').next()).collect();
        assert_eq!(names, ["near", "also", "longest", "short", "a", "b"]);
    }

    #[test]
    fn methods_are_read_as_they_are_routed() {
        for (text, legal) in [("GET", true), ("M-SEARCH", true), ("get", false), ("G T", false), ("", false)] {
            assert_eq!(method(text).is_ok(), legal, "{text}");
        }
    }
}
