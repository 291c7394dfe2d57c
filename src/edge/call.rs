//! An A2A call: what the head and the body of a request say about it.

use http::{HeaderMap, Method};

use super::facts::RequestFacts;
use crate::a2a::{Binding, Body, Generation, Head, HeadCall, Ids, Operation, Recognition};
use crate::context::Identity;

/// A call of an agent.
#[derive(Debug)]
pub(super) struct Call {
    /// How it is carried.
    pub(super) binding: Binding,
    /// The generation whose shape it has.
    pub(super) generation: Generation,
    /// What is asked. `None`: something of A2A that this gateway does not know.
    pub(super) operation: Option<Operation>,
    /// The ids that the path names.
    task: Option<Box<str>>,
    context: Option<Box<str>>,
    config: Option<Box<str>>,
    tenant: Option<Box<str>>,
    /// What the body says, where it was looked at.
    body: Option<Body>,
}

impl Call {
    /// A call that the head names. `base` is the path under which the agent is reached.
    pub(super) fn of_head(head: &HeadCall<'_>, base: &str) -> Self {
        let text = |id: Option<&str>| id.map(Box::from);
        Self {
            binding: head.binding,
            generation: head.generation,
            operation: head.operation,
            task: text(head.task.as_deref()),
            context: text(head.context.as_deref()),
            config: text(head.config.as_deref()),
            // Older generations have no tenants.
            tenant: text(head.tenant(base).filter(|_| head.generation == Generation::V1_0).as_deref()),
            body: None,
        }
    }

    /// A call of JSON-RPC; `None` when the body is none of A2A's.
    pub(super) fn of_body(body: Body) -> Option<Self> {
        body.operation().is_some().then(|| Self::of_any_body(body))
    }

    /// A call of JSON-RPC, whatever its method.
    pub(super) fn of_any_body(body: Body) -> Self {
        let (operation, generation) = body.operation().unzip();
        Self {
            binding: Binding::JsonRpc,
            generation: generation.unwrap_or(Generation::V1_0),
            operation,
            task: None,
            context: None,
            config: None,
            tenant: None,
            body: Some(body),
        }
    }

    /// The same with what the body says.
    pub(super) fn with(self, body: Body) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The tenants it names, in its path and in its body.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &str> {
        self.tenant.as_deref().into_iter().chain(self.said().tenant)
    }

    /// The ids that the body names.
    fn said(&self) -> Ids<'_> {
        let said = self.operation.zip(self.body.as_ref());
        said.map(|(operation, body)| body.ids(operation, self.generation)).unwrap_or_default()
    }

    /// The ids it names. What the path says counts more than what the body says, as it does for agents.
    pub(super) fn ids(&self) -> Ids<'_> {
        let said = self.said();
        Ids {
            task: self.task.as_deref().or(said.task),
            context: self.context.as_deref().or(said.context),
            message: said.message,
            tenant: self.tenant.as_deref().or(said.tenant),
            config: self.config.as_deref().or(said.config),
        }
    }

    /// What the body says, where it was looked at.
    pub(super) fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// The id of a JSON-RPC call as it was written.
    pub(super) fn id(&self) -> Option<&str> {
        self.body.as_ref()?.id()
    }
}

/// On whose behalf a request acts: as its header says, else as its call does, in its path before its body.
pub(super) fn tenant<'a>(identity: &'a Identity, call: Option<&'a Call>) -> Option<&'a str> {
    identity.tenant.as_deref().or_else(|| call?.ids().tenant)
}

/// What the head of a request tells. `path` is the request's, or how it should be spelled; `is_agent` says whether its
/// route is known to lead to agents, and `is_elsewhere` whether a REST path of the client is none any more where the
/// agent sees it.
pub(super) fn of_head<'a>(
    request: &'a RequestFacts,
    path: &'a str,
    headers: &'a HeaderMap,
    is_agent: bool,
    is_elsewhere: impl FnOnce() -> bool,
) -> Recognition<'a> {
    let head = Head { method: &request.method, path, query: request.uri.query(), headers };
    match Recognition::of(head, is_agent) {
        // A GET has no body that could say more.
        Recognition::Call(call)
            if call.binding == Binding::Rest && request.method == Method::POST && is_elsewhere() =>
        {
            Recognition::of_body(head, is_agent)
        }
        known => known,
    }
}
