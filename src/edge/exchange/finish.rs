//! The end of a request: what it is reported to, counted in, and the record that is written of it.

use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::{End, Exchange};
use crate::a2a::Operation;
use crate::context::network;
use crate::edge::facts::without_userinfo;
use crate::edge::told;
use crate::error::{Error, FAULT_INJECTED};
use crate::observe::calls::{CallEnd, FinishedCall};
use crate::observe::handles::{RouteHandles, grpc_word};
use crate::observe::live::{OpenStream, StreamFacts};
use crate::observe::record::{AccessRecord, AgentFacts, went_wrong};
use crate::outcome::{AgentFault, Outcome, Transport};

impl Exchange {
    /// Reports the end of the answer's body to outlier detection.
    fn report(&mut self, now: Instant) {
        let (Some(in_flight), Some(_)) = (&self.guards.in_flight, self.outcome.upstream_status) else {
            return;
        };
        let ended = self.outcome.outcome();
        let broken = ended.transport == Transport::BrokenOff;
        if broken && self.guards.stream.is_none() && self.request.upload.awaits_client() {
            // The endpoint gave up waiting for the client's body: it may be well.
            return;
        }
        let transport = if broken { Transport::BrokenOff } else { Transport::Complete };
        let client = network(self.client.address);
        let ejected = in_flight.handle().report_seen_by(Some(client), Outcome { transport, ..ended }, now);
        self.attempts.ejected(ejected);
    }

    /// The sample of an exchange for its rollout: how the exchange ended, and the agent's own time. Exchanges that a
    /// client or the gateway's own limits ended do not count, and neither do exchanges that ended before the client had
    /// sent the whole request: otherwise a client could decide. A canary without usable endpoints counts as failed.
    fn sample_for_rollout(&self, duration: Duration) {
        let Some(sample) = &self.guards.sample else { return };
        if self.guards.fault.as_ref().is_some_and(|fault| fault.is_felt()) {
            // What was done on purpose says nothing about a version.
            return;
        }
        let (outcome, upload) = (&self.outcome, &self.request.upload);
        if upload.is_unfinished() {
            return;
        }
        if outcome.left_waiting {
            let since = outcome.paused.map_or(duration, |since| since.elapsed());
            return sample.abandoned(self.client.address, since.saturating_sub(upload.client_time()));
        }
        let was_asked = outcome.upstream_status.is_some() || self.attempts.count > 0;
        if !was_asked && outcome.transport != Transport::NotAsked {
            return;
        }
        let Some(succeeded) = outcome.outcome().success() else {
            return;
        };
        let took = match (outcome.time_to_head, self.is_stream()) {
            (Some(_), true) => outcome.endpoint_time,
            (Some(_), false) => outcome.endpoint_time + outcome.gaps,
            (None, _) => duration.saturating_sub(upload.client_time()),
        };
        sample.finished(succeeded, took);
    }

    /// Whether the next move is the endpoint's, and the client may expect one: a stream may be silent.
    fn is_kept_waiting(&self) -> bool {
        match self.outcome.upstream_status {
            None => self.attempts.count > 0,
            Some(_) => self.outcome.paused.is_some() && self.guards.stream.is_none(),
        }
    }

    /// Reports, counts and writes down how it ended.
    pub(super) fn finish(&mut self) {
        if self.outcome.end == End::Open {
            let error = if self.connection.cut.get() {
                Error::Draining
            } else {
                self.outcome.left_waiting = self.is_kept_waiting();
                Error::ClientGone
            };
            self.failed(&error);
        }
        let now = Instant::now();
        self.report(now);
        let (flags, reason) = self.flags();
        if let (End::Failed { reason, .. }, Some(handles)) = (self.outcome.end, &self.route.handles) {
            handles.ends().errors.count(reason);
        }
        let duration = now.saturating_duration_since(self.request.started);
        self.sample_for_rollout(duration);
        if let Some(handles) = &self.route.handles {
            let first_byte = self.outcome.time_to_head.filter(|_| self.outcome.upstream_status.is_some());
            handles.finished(&self.request.method, self.outcome.status, duration, first_byte);
            self.worker.count_tenant(|| self.tenant(), self.outcome.status);
            if let Some(call) = self.finished_call() {
                handles.called(call, duration);
                self.count_answer(handles);
            }
            if self.is_stream() {
                handles.ends().stream_duration.get().observe(duration);
            }
            if self.outcome.grpc {
                let status = self.outcome.application.grpc_status();
                handles.ends().grpc_responses.count(grpc_word(status.map(u16::from)));
            }
        }
        self.worker.metrics.count_bytes(self.request.upload.received(), self.outcome.sent);
        let span_id = if self.attempts.trace.is_some() { self.trace(flags, reason, now) } else { None };
        let is_written = self.route.logged && self.worker.has_access_log();
        let is_error = went_wrong(reason, self.outcome.status, self.outcome.agent_fault.is_some());
        if is_written || self.worker.live.wants(is_error) {
            let record = AccessRecord { span_id, ..self.record(flags, reason, duration) };
            if is_written {
                self.worker.write_down(&record, self.request.path());
            }
            self.worker.live.ended(&record);
        }
    }

    /// Counts what the answer of an agent told, and how its stream went.
    fn count_answer(&self, handles: &RouteHandles) {
        if let (Some(call), Some(told)) = (self.call.as_deref(), self.told()) {
            told::count_tasks(call, told, handles);
        }
        if let Some(stream) = &self.guards.call_stream {
            let is_cut = self.outcome.agent_fault == Some(AgentFault::Truncated);
            stream.ended(self.first_event(), is_cut || self.outcome.transport == Transport::BrokenOff);
        }
    }

    /// How long the first event of the answer took.
    fn first_event(&self) -> Option<Duration> {
        let at = self.told()?.first_event?;
        Some(at.saturating_duration_since(self.request.started))
    }

    /// The call of an agent in the words of metrics.
    fn finished_call(&self) -> Option<FinishedCall> {
        let call = self.call.as_deref()?;
        let (outcome, operation) = (&self.outcome, call.operation?);
        let end = match (outcome.agent_fault, outcome.end) {
            (Some(AgentFault::Error(_)), _) => CallEnd::Error,
            (Some(AgentFault::Internal), _) => CallEnd::Internal,
            (Some(AgentFault::Unreadable), _) => CallEnd::Unreadable,
            (Some(AgentFault::Truncated), _) => CallEnd::Truncated,
            (None, End::Failed { .. }) if outcome.transport.is_by_client() => CallEnd::Left,
            (None, End::Failed { .. }) if outcome.transport.is_by_endpoint() => CallEnd::Failed,
            (None, End::Failed { .. }) => CallEnd::Refused,
            (None, End::Open | End::Complete) if outcome.outcome().is_failed_answer() => CallEnd::Failed,
            (None, End::Open | End::Complete) if outcome.outcome().is_error() => CallEnd::Error,
            (None, End::Open | End::Complete) => CallEnd::Ok,
        };
        Some(FinishedCall { operation, binding: call.binding, generation: call.generation, end })
    }

    /// What is shown of it while it is open.
    pub(in crate::edge) fn stream_facts(&self) -> StreamFacts {
        let (request, handles) = (&self.request, self.route.handles.as_ref());
        let call = self.call.as_deref();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        StreamFacts {
            request_id: request.id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned(),
            client: self.client.address,
            principal: owned(self.client.identity.name()),
            route: handles.map_or("-", RouteHandles::route).to_owned(),
            cluster: handles.map_or("-", RouteHandles::cluster).to_owned(),
            endpoint: self.attempts.last.as_ref().map_or("-", |endpoint| endpoint.label()).to_owned(),
            operation: self.operation.map(Operation::name),
            task: owned(call.and_then(|call| call.ids().task).or_else(|| self.told()?.task.as_deref())),
            context: owned(call.and_then(|call| call.ids().context)),
            time: request.time,
        }
        .bounded()
    }

    /// The stream that it is, shown to operators while what is returned lives.
    pub(in crate::edge) fn show_stream(&self) -> Option<OpenStream> {
        if !self.is_stream() {
            return None;
        }
        self.worker.live.stream(|| self.stream_facts())
    }

    /// The task that the answer has told of.
    pub(in crate::edge) fn told_task(&self) -> Option<&str> {
        self.told()?.task.as_deref()
    }

    /// Flag and reason of the access record.
    fn flags(&self) -> (&'static str, Option<&'static str>) {
        match self.outcome.end {
            // Another try was wanted instead of this answer.
            End::Open | End::Complete => match (&self.guards.fault, self.attempts.stopped) {
                (Some(fault), _) if fault.is_felt() => ("DI", Some(FAULT_INJECTED)),
                (_, Some(stopped)) => ("URX", Some(stopped)),
                _ => ("-", None),
            },
            End::Failed { flag, reason } => (flag, Some(reason)),
        }
    }

    fn record(&self, flags: &'static str, reason: Option<&'static str>, duration: Duration) -> AccessRecord<'_> {
        let (request, outcome, handles) = (&self.request, &self.outcome, self.route.handles.as_ref());
        let noted = self.client.noted.as_deref();
        let authority = without_userinfo(request.asked());
        AccessRecord {
            time: request.time,
            request_id: request.id.as_ref().map_or(b"-", HeaderValue::as_bytes),
            trace_id: request.trace_id,
            span_id: None,
            client_ip: self.client.address,
            principal: self.client.identity.name(),
            auth: self.client.identity.provider(),
            tenant: self.tenant(),
            operation: self.operation.map(Operation::name),
            agent: self.call.as_deref().map(|call| (call, call.ids())).map(|(call, ids)| AgentFacts {
                transport: call.binding.name(),
                version: call.generation.name(),
                task: ids.task.or_else(|| self.told()?.task.as_deref()),
                context: ids.context,
                fault: outcome.agent_fault.map(AgentFault::word),
                code: outcome.agent_fault.and_then(AgentFault::code),
                continued: outcome.continued,
                first_event: self.first_event(),
            }),
            method: request.method.as_str(),
            authority: if authority.is_empty() { "-" } else { authority },
            path: request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            proto: request.version,
            status: outcome.status,
            flags,
            reason,
            rule: noted.and_then(|noted| noted.rule.as_deref()),
            screened: noted.and_then(|noted| noted.pattern.as_deref()),
            names: handles.map(RouteHandles::names),
            endpoint: self.attempts.last.as_ref().map(|worker_endpoint| worker_endpoint.label()),
            attempts: self.attempts.count,
            bytes_received: request.upload.received(),
            bytes_sent: outcome.sent,
            duration,
            time_to_head: outcome.time_to_head,
            user_agent: request.user_agent.as_ref().map(HeaderValue::as_bytes),
            tls: self.connection.tls.as_ref().map(|tls| tls.version),
            stream: self.is_stream(),
            upstream_status: outcome.upstream_status,
            grpc_status: outcome.application.grpc_status(),
            upstream_error: self.attempts.failure.as_deref(),
            request_fields: request.noted_fields.as_deref().map_or(&[], |noted| &noted.request),
            response_fields: request.noted_fields.as_deref().map_or(&[], |noted| &noted.response),
        }
    }
}
