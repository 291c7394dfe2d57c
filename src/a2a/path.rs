//! Operations of the REST binding by the end of a path (A2A 1.0 section 11, 0.3 section 3.5.3). Whatever stands before
//! it is the route's prefix, the tenant, or both.

use std::borrow::Cow;

use http::Method;

use super::operation::Operation;

/// What the end of a path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RestPath<'a> {
    pub(super) operation: Operation,
    /// What stands before it, without a slash at the end.
    pub(super) prefix: &'a str,
    pub(super) task: Option<Cow<'a, str>>,
    pub(super) config: Option<Cow<'a, str>>,
    /// Whether no other protocol has such paths.
    pub(super) is_unique: bool,
}

impl<'a> RestPath<'a> {
    /// Reads a path in canonical form, without its query. A slash at the end means nothing, as to many agents.
    pub(super) fn read(method: &Method, path: &'a str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        Self::fixed(method, path).or_else(|| Self::of_tasks(method, path))
    }

    /// Paths whose last segment says everything.
    fn fixed(method: &Method, path: &'a str) -> Option<Self> {
        let (before, last) = path.rsplit_once('/')?;
        let (operation, prefix, is_unique) = match last {
            // An encoded colon means the same to agents that decode a path before they match it.
            "message:send" | "message%3Asend" | "message%3asend" => (Operation::SendMessage, before, true),
            "message:stream" | "message%3Astream" | "message%3astream" => {
                (Operation::SendStreamingMessage, before, true)
            }
            "agent-card.json" | "agent.json" => (Operation::GetAgentCard, before.strip_suffix("/.well-known")?, true),
            "extendedAgentCard" => (Operation::GetExtendedAgentCard, before, true),
            "authenticatedExtendedCard" => (Operation::GetExtendedAgentCard, before.strip_suffix("/agent")?, true),
            "card" if before.ends_with("/v1") => (Operation::GetExtendedAgentCard, before, false),
            _ => return None,
        };
        let is_its_method = match operation {
            Operation::GetAgentCard => matches!(*method, Method::GET | Method::HEAD),
            Operation::GetExtendedAgentCard => method == Method::GET,
            _ => method == Method::POST,
        };
        is_its_method.then_some(Self { operation, prefix, task: None, config: None, is_unique })
    }

    /// `/tasks` and what may follow it.
    fn of_tasks(method: &Method, path: &'a str) -> Option<Self> {
        if let Some(prefix) = path.strip_suffix("/tasks").filter(|_| method == Method::GET) {
            let operation = Operation::ListTasks;
            return Some(Self { operation, prefix, task: None, config: None, is_unique: false });
        }
        let (prefix, rest) = last_tasks(path)?;
        let (id, below) = rest.split_once('/').map_or((rest, None), |(id, below)| (id, Some(below)));
        let (id, operation, config, is_unique) = match below {
            None => {
                let (id, operation, is_unique) = of_task(method, id)?;
                (id, operation, None, is_unique)
            }
            Some(below) => {
                let (operation, config) = of_config(method, below.strip_prefix("pushNotificationConfigs")?)?;
                (id, operation, config, true)
            }
        };
        let task = (!id.is_empty()).then(|| decoded(id))?;
        Some(Self { operation, prefix, task: Some(task), config: config.map(decoded), is_unique })
    }
}

/// Whether agents take a request with this path, in canonical form and without its query, for a REST call.
#[must_use]
pub fn is_rest_path(method: &Method, path: &str) -> bool {
    RestPath::read(method, path).is_some()
}

/// The tenant that a path names: the one segment between the path under which an agent is reached and the operation
/// (A2A 1.0 section 11).
#[must_use]
pub fn tenant_of_path<'a>(method: &Method, path: &'a str, base: &str) -> Option<Cow<'a, str>> {
    tenant_in(RestPath::read(method, path)?.prefix, base)
}

/// The same in what stands before the operation.
pub(super) fn tenant_in<'a>(prefix: &'a str, base: &str) -> Option<Cow<'a, str>> {
    let rest = prefix.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/')?;
    (!rest.is_empty() && !rest.contains('/')).then(|| decoded(rest))
}

/// The path in the letters of the specification, where it is one of REST in others: some servers, such as Express,
/// match paths without regard to case. Ids keep their letters. `None` where nothing changes.
#[must_use]
pub fn respelled(path: &str) -> Option<String> {
    // Most paths are none of REST at all, and nothing is made for them.
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let is_last_word = |last: &str| LAST_WORDS.iter().any(|word| word.eq_ignore_ascii_case(last));
    if !segments.next().is_some_and(is_last_word) && !segments.any(|segment| segment.eq_ignore_ascii_case("tasks")) {
        return None;
    }
    let lower = path.to_ascii_lowercase().replace("pushnotificationconfigs", CONFIGS);
    let end = lower.strip_suffix('/').unwrap_or(&lower);
    let (before, last) = end.rsplit_once('/')?;
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut rest = before;
    if let Some(word) = LAST_WORDS.iter().find(|word| word.eq_ignore_ascii_case(last)) {
        words.push((before.len() + 1, word));
        for folder in ["/agent", "/.well-known"] {
            words.extend(before.strip_suffix(folder).map(|outer| (outer.len(), folder)));
        }
    } else {
        let (outer, below) = last_tasks(end)?;
        rest = outer;
        let start = outer.len() + "/tasks/".len();
        words.push((outer.len(), "/tasks/"));
        match below.split_once('/') {
            Some((id, below)) => {
                words.extend(below.starts_with(CONFIGS).then(|| (start + id.len() + 1, CONFIGS)));
            }
            None => {
                let verb = VERBS.iter().find(|verb| below.ends_with(*verb));
                words.extend(verb.map(|verb| (end.len() - verb.len(), *verb)));
            }
        }
    }
    words.extend(rest.strip_suffix("/v1").map(|outer| (outer.len(), "/v1")));
    let mut bytes = path.as_bytes().to_vec();
    for (at, word) in words {
        bytes.get_mut(at..at + word.len())?.copy_from_slice(word.as_bytes());
    }
    String::from_utf8(bytes).ok().filter(|respelled| respelled != path)
}

/// What a path of REST may end in.
const LAST_WORDS: [&str; 10] = [
    "message:send", "message:stream", "message%3asend", "message%3astream", "agent-card.json", "agent.json",
    "extendedAgentCard", "authenticatedExtendedCard", "card", "tasks",
];
/// What may follow the id of a task.
const VERBS: [&str; 4] = [":cancel", ":subscribe", "%3acancel", "%3asubscribe"];
const CONFIGS: &str = "pushNotificationConfigs";
const TASKS: &str = "/tasks/";

/// The last `/tasks/` with something below it that can be an id, since the prefix may have a segment of that name too.
fn last_tasks(path: &str) -> Option<(&str, &str)> {
    // Most paths are short and have none: to prepare a search for it would cost more than the search.
    let at = path.as_bytes().windows(TASKS.len()).rposition(|window| window == TASKS.as_bytes())?;
    let (prefix, rest) = (path.get(..at)?, path.get(at + TASKS.len()..)?);
    // A task of the name `tasks`, with its webhooks.
    match prefix.strip_suffix("/tasks").filter(|_| rest.starts_with("pushNotificationConfigs")) {
        Some(outer) => Some((outer, path.get(outer.len() + TASKS.len()..)?)),
        None => Some((prefix, rest)),
    }
}

/// One task: `x`, `x:cancel`, `x:subscribe`.
fn of_task<'a>(method: &Method, segment: &'a str) -> Option<(&'a str, Operation, bool)> {
    let is_get = method == Method::GET;
    if !is_get && method != Method::POST {
        return None;
    }
    // A client may encode a colon inside an id. Only where nothing else fits does an encoded one begin the verb.
    let verbs: &[(&str, Operation)] = &[
        (":subscribe", Operation::SubscribeToTask),
        (":cancel", Operation::CancelTask),
        ("%3asubscribe", Operation::SubscribeToTask),
        ("%3Asubscribe", Operation::SubscribeToTask),
        ("%3acancel", Operation::CancelTask),
        ("%3Acancel", Operation::CancelTask),
    ];
    let verbs = if is_get { verbs.get(..1).unwrap_or_default() } else { verbs };
    let found = verbs.iter().find_map(|(end, operation)| Some((segment.strip_suffix(end)?, *operation)));
    match found {
        Some((id, operation)) => Some((id, operation, operation == Operation::SubscribeToTask)),
        None => is_get.then_some((segment, Operation::GetTask, false)),
    }
}

/// What follows `pushNotificationConfigs`.
fn of_config<'a>(method: &Method, rest: &'a str) -> Option<(Operation, Option<&'a str>)> {
    if rest.is_empty() {
        return match *method {
            Method::GET => Some((Operation::ListTaskPushNotificationConfigs, None)),
            Method::POST => Some((Operation::CreateTaskPushNotificationConfig, None)),
            _ => None,
        };
    }
    let id = rest.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains('/'))?;
    match *method {
        Method::GET => Some((Operation::GetTaskPushNotificationConfig, Some(id))),
        Method::DELETE => Some((Operation::DeleteTaskPushNotificationConfig, Some(id))),
        _ => None,
    }
}

/// A segment with its escapes resolved, slashes among them. One that is no text then stays as it is.
pub(super) fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    loop {
        rest = match rest {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
            [] => break,
        };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

/// The value of a hexadecimal digit.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_in_other_letters_is_spelled_as_it_should_be() {
        for (path, expected) in [
            ("/Message:Send", Some("/message:send")),
            ("/Team/V1/MESSAGE:STREAM/", Some("/Team/v1/message:stream/")),
            ("/message%3Asend", Some("/message%3asend")),
            ("/Tasks", Some("/tasks")),
            ("/V1/Tasks/AbC", Some("/v1/tasks/AbC")),
            ("/tasks/AbC:Cancel", Some("/tasks/AbC:cancel")),
            ("/tasks/AbC%3ASubscribe", Some("/tasks/AbC%3asubscribe")),
            ("/TASKS/TASKS", Some("/TASKS/tasks")),
            ("/Tasks/Ab/PushnotificationConfigs/Cd", Some("/tasks/Ab/pushNotificationConfigs/Cd")),
            ("/X/.Well-Known/Agent-Card.json", Some("/X/.well-known/agent-card.json")),
            ("/Agent/AuthenticatedExtendedCard", Some("/agent/authenticatedExtendedCard")),
            ("/message:send", None),
            ("/tasks/AbC", None),
            ("/V1/other", None),
            ("/Tasklist/x", None),
            ("", None),
        ] {
            assert_eq!(respelled(path).as_deref(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn respelling_keeps_all_but_the_case(path in "(/[a-zA-Z:%.é]{0,9}|/TASKS|/Message:Send|/x:CANCEL){0,5}") {
            if let Some(respelled) = respelled(&path) {
                prop_assert!(respelled.eq_ignore_ascii_case(&path));
                prop_assert_eq!(super::respelled(&respelled), None);
            }
        }
    }

    #[test]
    fn the_end_of_a_path_says_the_operation() {
        use Operation::{
            CancelTask, CreateTaskPushNotificationConfig as Create, DeleteTaskPushNotificationConfig as Delete,
            GetAgentCard, GetExtendedAgentCard, GetTask, GetTaskPushNotificationConfig as GetConfig,
            ListTaskPushNotificationConfigs as ListConfigs, ListTasks, SendMessage, SendStreamingMessage,
            SubscribeToTask,
        };
        let long = "/tasks/1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        for (method, path, expected) in [
            ("POST", "/message:send", Some((SendMessage, "", None, None))),
            ("POST", "/v1/message:stream", Some((SendStreamingMessage, "/v1", None, None))),
            ("POST", "/billing/north/message:send", Some((SendMessage, "/billing/north", None, None))),
            ("POST", "/message%3asend", Some((SendMessage, "", None, None))),
            ("GET", "/message:send", None),
            ("POST", "/Message:Send", None),
            ("POST", "/xmessage:send", None),
            ("GET", long, Some((GetTask, "", Some("1b4e28ba-2fa1-11d2-883f-0016d3cca427"), None))),
            ("GET", "/v1/tasks/x", Some((GetTask, "/v1", Some("x"), None))),
            ("GET", "/tasks/a%20b", Some((GetTask, "", Some("a b"), None))),
            ("GET", "/tasks/a%2Fb", Some((GetTask, "", Some("a/b"), None))),
            ("GET", "/tasks/a/b", None),
            ("GET", "/tasks/%ff", Some((GetTask, "", Some("%ff"), None))),
            ("GET", "/tasks/a%2", Some((GetTask, "", Some("a%2"), None))),
            ("GET", "/tasks/", Some((ListTasks, "", None, None))),
            ("GET", "/tasks/x/", Some((GetTask, "", Some("x"), None))),
            ("GET", "/tasks/x//", None),
            ("POST", "/v1/message:send/", Some((SendMessage, "/v1", None, None))),
            ("POST", "/tasks/x", None),
            ("GET", "/tasks", Some((ListTasks, "", None, None))),
            ("GET", "/north/v1/tasks", Some((ListTasks, "/north/v1", None, None))),
            ("POST", "/tasks", None),
            ("POST", "/tasks/x:cancel", Some((CancelTask, "", Some("x"), None))),
            ("POST", "/tasks/a:b:cancel", Some((CancelTask, "", Some("a:b"), None))),
            ("POST", "/tasks/a%3Asubscribe:cancel", Some((CancelTask, "", Some("a:subscribe"), None))),
            ("POST", "/tasks/x%3acancel", Some((CancelTask, "", Some("x"), None))),
            ("POST", "/tasks/:cancel", None),
            ("GET", "/tasks/x:cancel", Some((GetTask, "", Some("x:cancel"), None))),
            ("GET", "/tasks/x:subscribe", Some((SubscribeToTask, "", Some("x"), None))),
            ("POST", "/tasks/x:subscribe", Some((SubscribeToTask, "", Some("x"), None))),
            ("GET", "/tasks/x%3Asubscribe", Some((GetTask, "", Some("x:subscribe"), None))),
            ("GET", "/tasks/tasks/x", Some((GetTask, "/tasks", Some("x"), None))),
            ("POST", "/tasks/x/pushNotificationConfigs", Some((Create, "", Some("x"), None))),
            ("GET", "/tasks/x/pushNotificationConfigs", Some((ListConfigs, "", Some("x"), None))),
            ("GET", "/tasks/tasks/pushNotificationConfigs", Some((ListConfigs, "", Some("tasks"), None))),
            ("GET", "/v1/tasks/x/pushNotificationConfigs/c", Some((GetConfig, "/v1", Some("x"), Some("c")))),
            ("DELETE", "/tasks/x/pushNotificationConfigs/c%2F1", Some((Delete, "", Some("x"), Some("c/1")))),
            ("GET", "/tasks/x/pushNotificationConfigs/c/d", None),
            ("GET", "/tasks/x/pushNotificationConfigsc", None),
            ("DELETE", "/tasks/x/pushNotificationConfigs", None),
            ("DELETE", "/tasks/x", None),
            ("GET", "/.well-known/agent-card.json", Some((GetAgentCard, "", None, None))),
            ("HEAD", "/billing/.well-known/agent.json", Some((GetAgentCard, "/billing", None, None))),
            ("GET", "/well-known/agent.json", None),
            ("GET", "/extendedAgentCard", Some((GetExtendedAgentCard, "", None, None))),
            ("GET", "/v1/card", Some((GetExtendedAgentCard, "/v1", None, None))),
            ("GET", "/card", None),
            ("GET", "/x/agent/authenticatedExtendedCard", Some((GetExtendedAgentCard, "/x", None, None))),
            ("GET", "/", None),
            ("GET", "", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = RestPath::read(&method, path);
            let found = found
                .as_ref()
                .map(|found| (found.operation, found.prefix, found.task.as_deref(), found.config.as_deref()));
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_and_what_stands_before_is_its_beginning(
            path in "(/|tasks|message:send|v1|:cancel|:subscribe|pushNotificationConfigs|%2F|%|ü|a|\\.well-known){0,9}",
        ) {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                if let Some(found) = RestPath::read(&method, &path) {
                    prop_assert!(path.starts_with(found.prefix));
                    prop_assert!(found.task.is_none_or(|task| !task.is_empty()));
                }
            }
        }
    }
}
