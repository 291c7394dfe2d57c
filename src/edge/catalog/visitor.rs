//! Which agents a client may see in a catalog: those whose card its route would let it have. What the client presents
//! is judged as a request for the card would be, once for all routes that ask the same, and what is wrong counts once.

use std::sync::Arc;

use http::Method;
use tokio::time::{Instant, timeout_at};

use crate::a2a::Operation;
use crate::config::model::{LimitMode, PolicyMode};
use crate::context::Principal;
use crate::edge::exchange::Exchange;
use crate::edge::stage::Entry;
use crate::edge::worker_route::WorkerRoute;
use crate::edge::{auth_failures, authentication, tenant};
use crate::error::Error;
use crate::policy::auth::{Decision, Presented, Progress, Refusal, RouteAuth, Step};
use crate::policy::authorization as rules;

/// Who asks for a catalog.
pub(super) struct Visitor<'e> {
    exchange: &'e Exchange,
    entry: &'e Entry,
    /// When it is answered at the latest.
    end: Instant,
    /// What routes came to that ask for the same.
    known: Vec<(&'e RouteAuth, Entrance)>,
    has_failed: bool,
    /// Whether every route could say.
    pub(super) is_sure: bool,
    /// Questions to others so far.
    questions: usize,
    /// Routes that would have had one more.
    pub(super) unasked: usize,
}

/// Whether a route lets a client in, and as whom.
type Entrance = Option<Option<Arc<Principal>>>;

impl<'e> Visitor<'e> {
    pub(super) fn new(exchange: &'e Exchange, entry: &'e Entry, end: Instant) -> Self {
        Self { exchange, entry, end, known: Vec::new(), has_failed: false, is_sure: true, questions: 0, unasked: 0 }
    }

    /// Whether it may have the card at `path` of the route; `https`: whether it uses HTTPS, as the route knows it.
    pub(super) async fn may_have(&mut self, route: &'e WorkerRoute, path: &str, https: bool) -> Result<bool, Error> {
        let client = self.exchange.client.address;
        let access = route.settings().ip_access.as_ref().filter(|access| access.mode == LimitMode::Enforce);
        if access.is_some_and(|access| access.refusal(client).is_some()) {
            return Ok(false);
        }
        let Some(auth) = route.auth.as_deref().filter(|auth| !auth.is_public(&Method::GET, path)) else {
            return Ok(self.rules_let(route, path, None, self.exchange.client.identity.tenant.as_deref()));
        };
        let Some(principal) = self.entrance(auth, path, https).await? else { return Ok(false) };
        let principal = principal.as_deref();
        let fields = self.exchange.message()?.headers();
        let Ok(proven) = tenant::proven(self.entry.config(), principal, fields) else { return Ok(false) };
        let tenant = proven.unwrap_or(self.exchange.client.identity.tenant.as_deref());
        Ok(self.rules_let(route, path, principal, tenant))
    }

    fn rules_let(&self, route: &WorkerRoute, path: &str, who: Option<&Principal>, tenant: Option<&str>) -> bool {
        let Some(policies) = &route.authorization else { return true };
        let card = rules::Call::Known { operation: Some(Operation::GetAgentCard), tenant: None };
        let asked = rules::Asked {
            who: who.map_or(rules::Who::Nobody, rules::Who::Known),
            client: Some(self.exchange.client.address),
            method: &Method::GET,
            path: rules::RulePath::new(path),
            tenant,
            call: if route.settings().sees_calls() { card } else { rules::Call::NONE },
        };
        !policies.has(PolicyMode::Enforce)
            || !matches!(policies.decide(PolicyMode::Enforce, &asked), rules::Decision::Denied(_))
    }

    async fn entrance(&mut self, auth: &'e RouteAuth, path: &str, https: bool) -> Result<Entrance, Error> {
        if let Some((_, known)) = self.known.iter().find(|(other, _)| auth.decides_like(other)) {
            return Ok(known.clone());
        }
        let shown = authentication::presented(self.exchange)?;
        let entrance = self.ask(auth, &Presented { method: &Method::GET, path, https, ..shown }).await;
        self.known.push((auth, entrance.clone()));
        Ok(entrance)
    }

    /// Asks the providers of a route. Who guesses waits here as everywhere.
    async fn ask(&mut self, auth: &RouteAuth, presented: &Presented<'_>) -> Entrance {
        if auth_failures::is_slowed(self.exchange, self.entry, Instant::now()) {
            return None;
        }
        let mut progress = Progress::default();
        let decision = match auth.go_on(presented, &mut progress, None) {
            Step::Decided(decision) => decision,
            Step::Wait(_) if Instant::now() >= self.end => {
                self.is_sure = false;
                return None;
            }
            // One request, of a client that is nobody yet, must not become one for each route.
            Step::Wait(_) if self.questions >= MAX_QUESTIONS => {
                self.unasked += 1;
                self.is_sure = false;
                return None;
            }
            Step::Wait(waiting) => {
                self.questions += 1;
                let found = authentication::find_out(auth, presented, progress, waiting);
                let Ok(decision) = timeout_at(self.end, found).await else {
                    self.is_sure = false;
                    return None;
                };
                // Others of this client may have failed meanwhile.
                if auth_failures::is_slowed(self.exchange, self.entry, Instant::now()) {
                    return None;
                }
                decision
            }
        };
        match decision {
            Decision::Verified(_, verified) => Some(Some(verified.principal)),
            Decision::Anonymous | Decision::Open(_) => Some(None),
            Decision::Answered(..) | Decision::Missing => None,
            Decision::Refused(_, refusal) => {
                self.is_sure &= refusal != Refusal::Unavailable;
                if refusal == Refusal::Invalid && !std::mem::replace(&mut self.has_failed, true) {
                    auth_failures::count(self.exchange, self.entry);
                }
                None
            }
        }
    }
}

/// Routes whose providers have to ask others about one client, for one catalog.
const MAX_QUESTIONS: usize = 32;
