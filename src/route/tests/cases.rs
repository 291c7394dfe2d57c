//! Precedence, one step after the other.

use http::{HeaderName, HeaderValue, Method};

use super::{HERE, Request, exact, header, host, name_found, on, prefix, query, regex, route};
use crate::config::model::{HeaderMatch, HostPattern, ListenerId, Match, QueryMatch, RouteId};
use crate::route::{Found, Miss, Table};

#[test]
fn hosts_come_first() {
    let routes = [
        route("any", vec![], vec![on(exact("/a"))]),
        route("wide", vec![host("*.example")], vec![on(prefix("/"))]),
        route("near", vec![host("*.agents.example")], vec![on(prefix("/a"))]),
        route("exact", vec![host("x.agents.example")], vec![on(prefix("/a/b"))]),
        route("six", vec![HostPattern::Exact("::1".to_owned())], vec![on(prefix("/"))]),
    ];
    let cases = [
        ("x.agents.example", "/a/b/c", Some("exact")),
        ("x.agents.example", "/a", Some("near")),
        ("x.agents.example", "/c", Some("wide")),
        ("y.x.agents.example", "/a", Some("near")),
        ("agents.example", "/a", Some("wide")),
        ("example", "/a", Some("any")),
        ("example", "/b", None),
        (".example", "/a", Some("any")),
        ("notexample", "/b", None),
        ("", "/a", Some("any")),
        ("[::1]", "/a", Some("six")),
    ];
    for (host, path, expected) in cases {
        assert_eq!(name_found(&routes, &Request::get(host, path)).as_deref(), expected, "{host}{path}");
    }
}

#[test]
fn paths_come_second() {
    let routes = [
        route("root", vec![], vec![on(prefix("/"))]),
        route("v2", vec![], vec![on(prefix("/v2"))]),
        route("deep", vec![], vec![on(prefix("/v2/a/b"))]),
        route("exact", vec![], vec![on(exact("/v2/a"))]),
        route("home", vec![], vec![on(prefix("/%7Eme"))]),
    ];
    let cases = [
        ("/", "root"),
        ("/x", "root"),
        ("/v2", "v2"),
        ("/v2/", "v2"),
        ("/v2/x", "v2"),
        ("/v2example", "root"),
        ("/v2/a", "exact"),
        ("/v2/a/", "v2"),
        ("/v2/a/b", "deep"),
        ("/v2/a/bc", "v2"),
        ("/v2/a/b/c/d/e/f/g", "deep"),
        ("/v2//a", "v2"),
        ("/~me/x", "home"),
    ];
    for (path, expected) in cases {
        assert_eq!(name_found(&routes, &Request::get("a", path)).as_deref(), Some(expected), "{path}");
    }
    let no_path = Request::get("a", "*");
    assert_eq!(name_found(&routes, &no_path), None, "the asterisk of OPTIONS is no path");
}

#[test]
fn regular_expressions_come_last() {
    let routes = [
        route("long", vec![], vec![on(regex("/a/[0-9]+/tasks"))]),
        route("short", vec![], vec![on(regex("/a/.*"))]),
        route("third", vec![], vec![on(regex("/b"))]),
        route("fourth", vec![], vec![on(regex("/c"))]),
        route("fifth", vec![], vec![on(prefix("/a/9"))]),
    ];
    let cases = [
        ("/a/1/tasks", Some("long")),
        ("/a/1/tasks/x", Some("short")),
        ("/a/9/tasks", Some("fifth")),
        ("/b", Some("third")),
        ("/bb", None),
    ];
    for (path, expected) in cases {
        assert_eq!(name_found(&routes, &Request::get("a", path)).as_deref(), expected, "{path}");
    }
}

#[test]
fn few_regular_expressions_need_no_set() {
    let routes =
        [route("long", vec![], vec![on(regex("/a/[0-9]+/tasks"))]), route("short", vec![], vec![on(regex("/a/.*"))])];
    for (path, expected) in [("/a/1/tasks", Some("long")), ("/a/1", Some("short")), ("/b", None)] {
        assert_eq!(name_found(&routes, &Request::get("a", path)).as_deref(), expected, "{path}");
    }
}

#[test]
fn conditions_come_third_and_fall_through() {
    let with = |methods: Vec<Method>, headers: Vec<HeaderMatch>, query: Vec<QueryMatch>| {
        vec![Match { path: prefix("/a"), methods, headers, query, tenant: None }]
    };
    let routes = [
        route("plain", vec![], with(vec![], vec![], vec![])),
        route("query", vec![], with(vec![], vec![], vec![query("v", "1")])),
        route("header", vec![], with(vec![], vec![header("x-v", "1")], vec![])),
        route("headers", vec![], with(vec![], vec![header("x-v", "1"), header("x-w", "1")], vec![])),
        route("method", vec![], with(vec![Method::POST], vec![], vec![])),
        route("shorter", vec![], vec![on(prefix("/"))]),
    ];
    let mut request = Request::get("a", "/a/b");
    assert_eq!(name_found(&routes, &request).as_deref(), Some("plain"));
    request.query = Some("v=1".to_owned());
    assert_eq!(name_found(&routes, &request).as_deref(), Some("query"));
    request.headers.insert("x-v", HeaderValue::from_static("1"));
    assert_eq!(name_found(&routes, &request).as_deref(), Some("header"));
    request.headers.insert("x-w", HeaderValue::from_static("1"));
    assert_eq!(name_found(&routes, &request).as_deref(), Some("headers"));
    request.method = Method::POST;
    assert_eq!(name_found(&routes, &request).as_deref(), Some("method"));
    let stricter = &routes[4..];
    request.method = Method::GET;
    assert_eq!(name_found(stricter, &request).as_deref(), Some("shorter"), "a failed condition falls through");
}

#[test]
fn ties_go_by_name() {
    let routes = [route("b", vec![], vec![on(prefix("/"))]), route("a", vec![], vec![on(prefix("/"))])];
    assert_eq!(name_found(&routes, &Request::get("x", "/")).as_deref(), Some("a"));
}

#[test]
fn other_listeners_have_other_routes() {
    let mut only_there = route("there", vec![], vec![on(prefix("/"))]);
    only_there.listeners = vec![ListenerId(2)];
    let table = Table::build(&[only_there]);
    let request = Request::get("x", "/");
    let found = Found { route: RouteId(0), matched: 0 };
    assert_eq!(table.find(ListenerId(2), &request.facts()), Some(found));
    for listener in [0, 1, 3] {
        assert_eq!(table.find(ListenerId(listener), &request.facts()), None);
        assert!(table.explain(ListenerId(listener), &request.facts()).is_empty());
    }
}

#[test]
fn explain_gives_the_first_reason() {
    let post = Match { methods: vec![Method::POST], ..on(prefix("/a/b")) };
    let versioned = Match { headers: vec![header("x-v", "1")], ..on(prefix("/a")) };
    let routes = [
        route("elsewhere", vec![host("b")], vec![on(exact("/a/b"))]),
        route("exact", vec![host("a")], vec![on(exact("/a"))]),
        route("root", vec![], vec![on(prefix("/"))]),
        route("two", vec![host("a")], vec![post, versioned]),
    ];
    let request = Request::get("a", "/a/b");
    let considered = Table::build(&routes).explain(HERE, &request.facts());
    let seen: Vec<_> = considered.iter().map(|one| (one.name.as_str(), one.matched, one.miss.clone())).collect();
    let expected = [
        ("exact", 0, Some(Miss::Path)),
        ("two", 0, Some(Miss::Method)),
        ("two", 1, Some(Miss::Header(HeaderName::from_static("x-v")))),
        ("root", 0, None),
        ("elsewhere", 0, Some(Miss::Host)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(seen[2].2.as_ref().map(ToString::to_string).as_deref(), Some("the header x-v is missing or differs"));
}
