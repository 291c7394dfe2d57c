//! What the head of a request alone tells of an A2A call: nothing, the whole operation, or that its body has to be
//! looked at. Knows no route: the caller says whether the route is known to speak A2A.

use std::borrow::Cow;

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method};

use super::operation::{Binding, Generation, Operation};
use super::path::{RestPath, tenant_in};

/// The field that names the generation a client speaks (A2A 1.0 section 3.6).
pub static VERSION: HeaderName = HeaderName::from_static("a2a-version");

/// The parts of a head that matter. The path is in canonical form.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path, without the query.
    pub path: &'a str,
    /// Query, without its question mark.
    pub query: Option<&'a str>,
    /// Fields.
    pub headers: &'a HeaderMap,
}

/// What a head tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Recognition<'a> {
    /// Nothing of A2A.
    Other,
    /// Which operation it is.
    Call(HeadCall<'a>),
    /// A JSON-RPC call, if the body says so; see [`super::request::BodyReader::json_rpc`].
    Body(Candidate),
}

/// A call that its head names.
#[derive(Debug, PartialEq, Eq)]
pub struct HeadCall<'a> {
    /// REST or gRPC.
    pub binding: Binding,
    /// The generation whose shape the call has.
    pub generation: Generation,
    /// What is asked. `None`: a method of A2A's gRPC service that this gateway does not know.
    pub operation: Option<Operation>,
    /// What the client says about its generation.
    pub version: Version,
    /// The task, where the path names one.
    pub task: Option<Cow<'a, str>>,
    /// The webhook, where the path names one.
    pub config: Option<Cow<'a, str>>,
    /// The context that a list is about.
    pub context: Option<Cow<'a, str>>,
    /// The path before the part that names the operation; see [`HeadCall::tenant`].
    pub prefix: &'a str,
    /// Whether it is A2A beyond doubt. `GET /tasks/1` may be anybody's.
    pub is_certain: bool,
    /// Whether the body is compressed and cannot be looked at.
    pub is_coded: bool,
}

/// A request whose body may be a JSON-RPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the client says about its generation.
    pub version: Version,
    /// Whether the body is compressed and cannot be looked at.
    pub is_coded: bool,
}

/// What a client says about the generation it speaks. The patch level does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Nothing; by the specification that means 0.3.
    Unsaid,
    /// One of the known.
    Known(Generation),
    /// Something else, or several things at once.
    Other,
}

impl Version {
    /// Reads the field, or the parameter of the query that may stand for it.
    #[must_use]
    pub fn read(headers: &HeaderMap, query: Option<&str>) -> Self {
        let mut fields = headers.get_all(&VERSION).iter().map(|field| field.as_bytes().trim_ascii());
        match (fields.next(), fields.next()) {
            (None, _) => query
                .and_then(|query| parameter(query, "A2A-Version"))
                .map_or(Self::Unsaid, |value| Self::of(value.trim_ascii().as_bytes())),
            (Some(first), None) => Self::of(first),
            (Some(first), Some(second)) if first == second && fields.all(|other| other == first) => Self::of(first),
            (Some(_), Some(_)) => Self::Other,
        }
    }

    fn of(value: &[u8]) -> Self {
        if value.is_empty() {
            return Self::Unsaid;
        }
        let mut parts = value.split(|byte| *byte == b'.');
        let (major, minor, patch) = (parts.next(), parts.next(), parts.next());
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        if parts.next().is_some() || ![minor, patch].into_iter().flatten().all(is_number) {
            return Self::Other;
        }
        match (major, minor) {
            (Some(b"1"), Some(b"0") | None) => Self::Known(Generation::V1_0),
            (Some(b"0"), Some(b"1")) => Self::Known(Generation::V0_1),
            (Some(b"0"), Some(b"2" | b"3")) => Self::Known(Generation::V0_3),
            _ => Self::Other,
        }
    }
}

impl<'a> Recognition<'a> {
    /// The tenant that the path of a call names; `base` is where the agent begins.
    #[must_use]
    pub fn tenant(&self, base: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Call(call) => call.tenant(base),
            Self::Other | Self::Body(_) => None,
        }
    }

    /// Looks at a head. `is_agent`: the route is known to lead to A2A agents, so whatever may be a call is taken for
    /// one.
    #[must_use]
    pub fn of(head: Head<'a>, is_agent: bool) -> Self {
        if let Some(call) = grpc(head) {
            return Self::Call(call);
        }
        if let Some(call) = rest(head, is_agent) {
            return Self::Call(call);
        }
        Self::of_body(head, is_agent)
    }

    /// The same whatever its path is: of a path that the agent does not get.
    #[must_use]
    pub fn of_body(head: Head<'a>, is_agent: bool) -> Self {
        let may_be_call = is_agent || (media_type(head.headers).is_some_and(is_json) && !is_mcp(head.headers));
        if head.method == Method::POST && may_be_call {
            let version = Version::read(head.headers, head.query);
            return Self::Body(Candidate { version, is_coded: is_coded(head.headers) });
        }
        Self::Other
    }
}

fn grpc(head: Head<'_>) -> Option<HeadCall<'_>> {
    let (operation, generation) = Operation::from_grpc_path(head.path)?;
    let is_grpc = media_type(head.headers).is_some_and(is_grpc);
    (is_grpc && head.method == Method::POST).then(|| HeadCall {
        binding: Binding::Grpc,
        generation,
        operation,
        version: Version::read(head.headers, None),
        task: None,
        config: None,
        context: None,
        prefix: "",
        is_certain: true,
        is_coded: false,
    })
}

fn rest(head: Head<'_>, is_agent: bool) -> Option<HeadCall<'_>> {
    let path = RestPath::read(head.method, head.path)?;
    let version = Version::read(head.headers, head.query);
    let (outer, is_older) = path.prefix.strip_suffix("/v1").map_or((path.prefix, false), |outer| (outer, true));
    // A version that is said counts, else the spelling. An address of 1.0 may end in `/v1` too.
    let generation = match version {
        Version::Known(generation) => generation,
        Version::Unsaid | Version::Other if is_older => Generation::V0_3,
        Version::Unsaid | Version::Other => Generation::V1_0,
    };
    let is_list = path.operation == Operation::ListTasks;
    Some(HeadCall {
        binding: Binding::Rest,
        generation,
        operation: Some(path.operation),
        version,
        task: path.task,
        config: path.config,
        context: head.query.filter(|_| is_list).and_then(context),
        prefix: if generation == Generation::V1_0 { path.prefix } else { outer },
        is_certain: path.is_unique || is_agent || version != Version::Unsaid || has_signs(head.headers),
        is_coded: is_coded(head.headers),
    })
}

impl HeadCall<'_> {
    /// The tenant of a REST call: the one segment between the path under which the agent is reached and the operation
    /// (A2A 1.0 section 11).
    #[must_use]
    pub fn tenant(&self, base: &str) -> Option<Cow<'_, str>> {
        tenant_in(self.prefix, base).filter(|_| self.binding == Binding::Rest)
    }
}

/// The first value of that name in a query.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// The context in a query. `None` where it is empty or said twice, because agents differ in what they take then, and
/// where it is said in another spelling, which agents pass over.
fn context(query: &str) -> Option<Cow<'_, str>> {
    let is_context = |key: &str| key.eq_ignore_ascii_case("contextId") || key.eq_ignore_ascii_case("context_id");
    let mut said = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| is_context(key));
    let (key, value) = said.next().filter(|(_, value)| !value.is_empty())?;
    (said.next().is_none() && matches!(&*key, "contextId" | "context_id")).then_some(value)
}

/// The media type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&[u8]> {
    let field = headers.get(CONTENT_TYPE)?.as_bytes();
    field.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii)
}

fn is_json(media_type: &[u8]) -> bool {
    let Some((kind, name)) = media_type.split_at_checked("application/".len()) else {
        return false;
    };
    let ending = name.len().checked_sub("+json".len()).and_then(|at| name.split_at_checked(at));
    let is_kind = kind.eq_ignore_ascii_case(b"application/");
    is_kind && (name.eq_ignore_ascii_case(b"json") || ending.is_some_and(|(_, end)| end.eq_ignore_ascii_case(b"+json")))
}

/// gRPC itself. gRPC-Web, whose bodies end otherwise, is none.
fn is_grpc(media_type: &[u8]) -> bool {
    let (kind, codec) = media_type.split_at_checked("application/grpc".len()).unwrap_or_default();
    kind.eq_ignore_ascii_case(b"application/grpc") && matches!(codec.first(), None | Some(b'+'))
}

/// Clients of MCP post JSON-RPC as well, and some of its methods have the names of older A2A.
fn is_mcp(headers: &HeaderMap) -> bool {
    headers.contains_key("mcp-protocol-version") || headers.contains_key("mcp-session-id")
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether a field beside the version says that the client speaks A2A.
fn has_signs(headers: &HeaderMap) -> bool {
    let names = ["a2a-extensions", "x-a2a-extensions"];
    let types = [CONTENT_TYPE, ACCEPT].into_iter().filter_map(|name| headers.get(name));
    let mut types = types.map(|field| field.as_bytes().to_ascii_lowercase());
    names.iter().any(|name| headers.contains_key(*name))
        || types.any(|field| memchr::memmem::find(&field, b"application/a2a+json").is_some())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    /// Binding, generation, operation and certainty; or the word for the other results.
    fn seen(method: &str, target: &str, fields: &[(&'static str, &'static str)], is_agent: bool) -> String {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let (method, headers) = (Method::from_bytes(method.as_bytes()).unwrap(), headers(fields));
        match Recognition::of(Head { method: &method, path, query, headers: &headers }, is_agent) {
            Recognition::Other => "other".to_owned(),
            Recognition::Body(candidate) if candidate.is_coded => "coded body".to_owned(),
            Recognition::Body(_) => "body".to_owned(),
            Recognition::Call(call) => {
                let (binding, generation) = (call.binding.name(), call.generation.name());
                let operation = call.operation.map_or("unknown", Operation::name);
                let doubt = if call.is_certain { "" } else { "?" };
                format!("{binding} {generation} {operation}{doubt}")
            }
        }
    }

    #[test]
    fn a_head_tells_what_it_can() {
        let grpc = ("content-type", "application/grpc");
        let v1 = ("a2a-version", "1.0");
        for (method, target, fields, expected) in [
            ("POST", "/lf.a2a.v1.A2AService/GetTask", &[grpc][..], "grpc 1.0 GetTask"),
            (
                "POST",
                "/a2a.v1.A2AService/TaskSubscription",
                &[("content-type", "application/grpc+proto")],
                "grpc 0.3 SubscribeToTask",
            ),
            ("POST", "/lf.a2a.v1.A2AService/Sing", &[grpc], "grpc 1.0 unknown"),
            ("POST", "/lf.a2a.v1.A2AService/GetTask", &[("content-type", "application/grpc-web")], "other"),
            ("POST", "/grpc.health.v1.Health/Check", &[grpc], "other"),
            ("POST", "/message:send", &[JSON], "rest 1.0 SendMessage"),
            ("POST", "/v1/message:send", &[JSON], "rest 0.3 SendMessage"),
            ("POST", "/a2a/v1/message:send", &[JSON, v1], "rest 1.0 SendMessage"),
            ("POST", "/message:send", &[JSON, ("a2a-version", "0.3")], "rest 0.3 SendMessage"),
            ("GET", "/tasks/x", &[], "rest 1.0 GetTask?"),
            ("GET", "/tasks/x", &[v1], "rest 1.0 GetTask"),
            ("GET", "/tasks/x?A2A-Version=1.0", &[], "rest 1.0 GetTask"),
            ("GET", "/tasks/x", &[("accept", "application/a2a+json, application/json")], "rest 1.0 GetTask"),
            ("GET", "/v1/tasks", &[], "rest 0.3 ListTasks?"),
            ("POST", "/tasks/x:cancel", &[JSON], "rest 1.0 CancelTask?"),
            ("POST", "/tasks/x:cancel", &[("content-type", "application/a2a+json")], "rest 1.0 CancelTask"),
            ("POST", "/tasks/x:subscribe", &[], "rest 1.0 SubscribeToTask"),
            ("GET", "/v1/card", &[], "rest 0.3 GetExtendedAgentCard?"),
            ("GET", "/x/.well-known/agent-card.json", &[], "rest 1.0 GetAgentCard"),
            ("POST", "/", &[JSON], "body"),
            ("POST", "/rpc", &[("content-type", "Application/JSON; charset=utf-8")], "body"),
            ("POST", "/", &[("content-type", "application/a2a+json")], "body"),
            ("POST", "/", &[JSON, ("content-encoding", "gzip")], "coded body"),
            ("POST", "/", &[("content-type", "text/plain")], "other"),
            ("POST", "/", &[JSON, ("mcp-protocol-version", "2025-11-25")], "other"),
            ("POST", "/", &[], "other"),
            ("GET", "/", &[], "other"),
            ("PUT", "/", &[JSON], "other"),
        ] {
            assert_eq!(seen(method, target, fields, false), expected, "{method} {target} {fields:?}");
        }
    }

    #[test]
    fn a_route_to_agents_dispels_doubt() {
        for (method, target, fields, expected) in [
            ("GET", "/tasks/x", &[][..], "rest 1.0 GetTask"),
            ("POST", "/tasks/x:cancel", &[JSON], "rest 1.0 CancelTask"),
            // Agents that do not look at the type of a body take it for a call.
            ("POST", "/", &[("content-type", "text/plain")], "body"),
            ("POST", "/", &[JSON, ("mcp-session-id", "1")], "body"),
            ("GET", "/", &[], "other"),
        ] {
            assert_eq!(seen(method, target, fields, true), expected, "{method} {target}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_field_then_of_the_query() {
        use Generation::{V0_1, V0_3, V1_0};
        for (fields, query, expected) in [
            (&[][..], None, Version::Unsaid),
            (&[""], None, Version::Unsaid),
            (&["1.0"], None, Version::Known(V1_0)),
            (&["1.0.1"], None, Version::Known(V1_0)),
            (&["1"], None, Version::Known(V1_0)),
            (&[" 0.3 "], Some("A2A-Version=1.0"), Version::Known(V0_3)),
            (&["0.2.6"], None, Version::Known(V0_3)),
            (&["0.1"], None, Version::Known(V0_1)),
            (&["0.30"], None, Version::Other),
            (&["2.0"], None, Version::Other),
            (&["1.0.0.0"], None, Version::Other),
            (&["1.x"], None, Version::Other),
            (&["1.0", "1.0"], None, Version::Known(V1_0)),
            (&["1.0", "0.3"], None, Version::Other),
            (&[], Some("a=b&A2A-Version=1%2E0"), Version::Known(V1_0)),
            (&[], Some("version=1.0"), Version::Unsaid),
        ] {
            let mut map = HeaderMap::new();
            for field in fields {
                map.append(&VERSION, HeaderValue::from_static(field));
            }
            assert_eq!(Version::read(&map, query), expected, "{fields:?} {query:?}");
        }
    }

    #[test]
    fn a_tenant_is_the_segment_between_the_base_and_the_operation() {
        for (path, base, expected) in [
            ("/message:send", "/", None),
            ("/north/message:send", "/", Some("north")),
            ("/north/message:send", "", Some("north")),
            ("/billing/message:send", "/billing", None),
            ("/billing/north/tasks/x:subscribe", "/billing/", Some("north")),
            ("/billing/a%20b/message:send", "/billing", Some("a b")),
            ("/billing/a/b/message:send", "/billing", None),
            ("/billings/message:send", "/billing", None),
            ("/north/v1/message:send", "/", Some("north")),
        ] {
            let (method, headers) = (Method::POST, HeaderMap::new());
            let head = Head { method: &method, path, query: None, headers: &headers };
            let Recognition::Call(call) = Recognition::of(head, false) else { panic!("{path}") };
            assert_eq!(call.tenant(base).as_deref(), expected, "{path} below {base:?}");
        }
    }

    #[test]
    fn a_list_names_its_context_in_the_query() {
        let (method, headers) = (Method::GET, HeaderMap::new());
        for (query, expected) in [
            ("pageSize=5&contextId=c%2F1", Some("c/1")),
            ("context_id=c", Some("c")),
            ("contextId=", None),
            ("CONTEXTID=c", None),
            ("contextId=a&contextId=b", None),
            ("contextId=a&context_id=b", None),
            ("contextId=a&ContextId=b", None),
            ("pageSize=5", None),
        ] {
            let head = Head { method: &method, path: "/tasks", query: Some(query), headers: &headers };
            let Recognition::Call(call) = Recognition::of(head, true) else { panic!("a list") };
            assert_eq!(call.context.as_deref(), expected, "{query}");
        }
    }
}
