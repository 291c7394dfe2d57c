//! The table held against a plain model of matching: put every alternative in order, try one after the other. The model
//! shares nothing with the table but the configuration's types.

use std::cmp::{Ordering, Reverse};

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::{HERE, Request, exact, header, host, name_found, prefix, query, regex, route};
use crate::config::model::{
    HeaderMatch, HostPattern, Match, PathMatch, PathPolicy, QueryMatch, Route, RouteId, ValueMatch,
};
use crate::route::{Found, Table};

/// The model's own reading of one alternative: how specific its host is for this request, if it matches at all.
fn model_holds(route: &Route, alternative: &Match, request: &Request) -> Option<usize> {
    let host_of = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (*name == request.host).then_some(1000),
        HostPattern::Wildcard(suffix) => {
            let before = request.host.strip_suffix(suffix)?.strip_suffix('.')?;
            (!before.is_empty()).then_some(1 + suffix.len())
        }
    };
    let host = if route.hosts.is_empty() { Some(0) } else { route.hosts.iter().filter_map(host_of).max() }?;
    let is_path = match &alternative.path {
        PathMatch::Exact(path) => *path == request.path,
        PathMatch::Prefix(prefix) => format!("{}/", request.path).starts_with(&format!("{prefix}/")),
        PathMatch::Regex(regex) => regex.is_match(&request.path),
    };
    let is_method = alternative.methods.is_empty() || alternative.methods.contains(&request.method);
    let text = |value: &ValueMatch| match value {
        ValueMatch::Exact(text) => text.clone(),
        other => panic!("not in the model: {other:?}"),
    };
    let has_header =
        |wanted: &HeaderMatch| request.headers.get_all(&wanted.name).iter().any(|v| v == text(&wanted.value).as_str());
    let has_query = |wanted: &QueryMatch| {
        let pairs = request.query.as_deref().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| *name == wanted.name).is_some_and(|(_, value)| value == text(&wanted.value))
    };
    let holds =
        is_path && is_method && alternative.headers.iter().all(has_header) && alternative.query.iter().all(has_query);
    holds.then_some(host)
}

fn model_order(left: (&Route, &Match), right: (&Route, &Match)) -> Ordering {
    let path = |path: &PathMatch| match path {
        PathMatch::Exact(_) => (0, Reverse(0)),
        PathMatch::Prefix(prefix) => (1, Reverse(prefix.len())),
        PathMatch::Regex(regex) => (2, Reverse(regex.as_str().len())),
    };
    let key = |(route, one): (&Route, &Match)| {
        (
            path(&one.path),
            one.methods.is_empty(),
            Reverse(one.headers.len()),
            Reverse(one.query.len()),
            route.name.clone(),
        )
    };
    key(left).cmp(&key(right))
}

fn model_find(routes: &[Route], request: &Request) -> Option<Found> {
    let mut found: Vec<_> = routes
        .iter()
        .enumerate()
        .flat_map(|(id, route)| route.matches.iter().enumerate().map(move |(at, one)| (id, at, route, one)))
        .filter_map(|(id, at, route, one)| model_holds(route, one, request).map(|host| (host, id, at, route, one)))
        .collect();
    found.sort_by(|left, right| {
        right.0.cmp(&left.0).then(model_order((left.3, left.4), (right.3, right.4))).then(left.2.cmp(&right.2))
    });
    found.first().map(|(_, id, at, _, _)| Found { route: RouteId(*id), matched: *at })
}

const HOSTS: [&str; 6] = ["a.example", "b.a.example", "c.b.a.example", "example", "*.example", "*.a.example"];
const REGEXES: [&str; 6] = ["/a/.*", "/a/[ab]", "/.*", "/b/a/?", "/a", "/(a|b)/a/b"];

fn any_path() -> impl Strategy<Value = String> {
    "(/[ab]{1,2}){0,4}/?".prop_map(|path| if path.is_empty() { "/".to_owned() } else { path })
}

fn any_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        2 => any_path().prop_map(|path| exact(&path)),
        4 => any_path().prop_map(|path| prefix(&path)),
        1 => prop::sample::select(&REGEXES[..]).prop_map(regex),
    ];
    let methods = prop::sample::subsequence(vec![Method::GET, Method::POST], 0..=2);
    let headers = prop::sample::subsequence(vec![header("x-a", "1"), header("x-b", "1")], 0..=2);
    let query = prop::sample::subsequence(vec![query("a", "1"), query("b", "1")], 0..=2);
    (path, methods, headers, query).prop_map(|(path, methods, headers, query)| Match {
        path,
        methods,
        headers,
        query,
        tenant: None,
    })
}

fn any_routes() -> impl Strategy<Value = Vec<Route>> {
    let hosts = prop::sample::subsequence(HOSTS.to_vec(), 0..=2);
    let one = (hosts, prop::collection::vec(any_match(), 1..4));
    prop::collection::vec(one, 1..14).prop_map(|all| {
        let named = all.into_iter().enumerate();
        named
            .map(|(at, (hosts, matches))| route(&format!("r{at:02}"), hosts.into_iter().map(host).collect(), matches))
            .collect()
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let query = prop::sample::select(vec![None, Some("a=1"), Some("b=1&a=1"), Some("a=2&a=1"), Some("a=1&b=2")]);
    let headers =
        prop::collection::vec((prop::sample::select(vec!["x-a", "x-b"]), prop::sample::select(vec!["1", "2"])), 0..4);
    let method = prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]);
    (prop::sample::select(&HOSTS[..4]), any_path(), query, method, headers).prop_map(
        |(host, path, query, method, lines)| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            Request { host: host.to_owned(), path, query: query.map(str::to_owned), method, headers }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_table_agrees_with_the_model(routes in any_routes(), requests in prop::collection::vec(any_request(), 1..8)) {
        let table = Table::build(&routes);
        for request in requests {
            let found = table.find(HERE, &request.facts());
            prop_assert_eq!(found, model_find(&routes, &request), "{:?}", request);
            let considered = table.explain(HERE, &request.facts());
            let first = considered.iter().find(|one| one.miss.is_none());
            prop_assert_eq!(found, first.map(|one| Found { route: one.route, matched: one.matched }));
        }
    }

    #[test]
    fn the_order_of_the_file_does_not_matter(routes in any_routes(), request in any_request()) {
        let mut turned = routes.clone();
        turned.reverse();
        prop_assert_eq!(name_found(&routes, &request), name_found(&turned, &request));
    }

    #[test]
    fn a_second_spelling_finds_the_same_route(
        routes in any_routes(),
        request in any_request(),
        detours in prop::collection::vec(prop::sample::select(vec!["/", "//", "/./", "/x/../", "/%2e/", "/%78/%2E./"]), 8),
        is_encoded in prop::collection::vec(any::<bool>(), 8),
    ) {
        let policy = PathPolicy { merge_slashes: true, allow_encoded_slash: false };
        let mut turns = detours.iter().cycle().zip(is_encoded.iter().cycle());
        let spelt: String = request.path.chars().map(|character| {
            let (detour, is_encoded) = turns.next().unwrap();
            match character {
                '/' => (*detour).to_owned(),
                letter if *is_encoded => format!("%{:02x}", u32::from(letter)),
                letter => letter.to_string(),
            }
        }).collect();
        let settled = crate::route::normalise(&spelt, policy).unwrap().into_owned();
        prop_assert_eq!(&settled, &request.path, "what is forwarded is what was matched");
        let again = Request { path: settled, ..request.clone() };
        prop_assert_eq!(name_found(&routes, &again), name_found(&routes, &request), "{}", spelt);
    }
}
