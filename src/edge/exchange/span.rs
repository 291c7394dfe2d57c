//! The span of a request, made of what is known at its end, in the words of OpenTelemetry's semantic conventions.

use std::borrow::Cow;

use http::Version;
use tokio::time::Instant;

use super::{End, Exchange};
use crate::a2a::{Binding, Operation};
use crate::config::model::TlsVersion;
use crate::context::Connection;
use crate::edge::facts::without_userinfo;
use crate::grpc_status::GrpcStatus;
use crate::observe::handles::RouteHandles;
use crate::observe::mask::masked_query;
use crate::observe::record::shortened;
use crate::observe::short::{NAME, PATH, short};
use crate::observe::span::Attributes;
use crate::observe::trace::SpanId;
use crate::observe::tracer::{Served, add_method, method_name};
use crate::outcome::{AgentFault, Transport};

impl Exchange {
    /// Ends the trace of the request. Returns the id of its span, where that is exported.
    pub(super) fn trace(&mut self, flags: &'static str, reason: Option<&'static str>, now: Instant) -> Option<SpanId> {
        let mut trace = self.attempts.trace.take()?;
        let failure = self.failure(reason);
        let whole = now.saturating_duration_since(self.request.started);
        let took = self.outcome.time_to_head.filter(|_| self.is_stream()).unwrap_or(whole);
        if !trace.is_kept(failure.is_some(), took) {
            return None;
        }
        let tray = self.worker.spans.as_ref()?;
        let mut attributes = self.facts_of_http();
        let pattern = trace.take_pattern();
        let name = self.span_name(pattern.as_deref());
        attributes.add_some("http.route", pattern);
        self.add_rpc(&mut attributes);
        self.add_agent(&mut attributes);
        let error = failure.as_ref().map(|_| match reason {
            Some(reason) => Cow::Borrowed(reason),
            None => self.outcome.status.to_string().into(),
        });
        attributes.add_some("error.type", error);
        attributes.add_some("attache.reason", reason);
        if flags != "-" {
            attributes.add("attache.flags", flags);
        }
        let id = trace.span_id();
        tray.add(trace.into_spans(Served {
            name,
            attributes,
            failure,
            time: self.request.time,
            started: self.request.started,
            ended: now,
            first_event: self.told().and_then(|told| told.first_event),
        }));
        Some(id)
    }

    /// Why it counts as failed, if it does: a status 4xx is the client's mistake.
    fn failure(&self, reason: Option<&'static str>) -> Option<Cow<'static, str>> {
        let outcome = &self.outcome;
        let fault = match outcome.agent_fault {
            Some(AgentFault::Error(_)) | None => None,
            Some(fault) => Some(fault.word()),
        };
        let is_broken = outcome.transport == Transport::BrokenOff;
        let has_failed = outcome.status >= 500 || is_broken || outcome.outcome().is_failed_answer();
        let is_ours = matches!(outcome.end, End::Failed { .. }) && !outcome.transport.is_by_client();
        let ended_badly = has_failed || fault.is_some() || is_ours && outcome.upstream_status.is_some();
        ended_badly.then(|| match (&self.attempts.failure, fault) {
            (Some(cause), _) => short(cause, PATH).to_owned().into(),
            (None, Some(fault)) => fault.into(),
            (None, None) => reason.unwrap_or_default().into(),
        })
    }

    /// The operation of an agent, or the method and what its route matches; of gRPC the path, where it is the one that
    /// the route matches. Of all paths there would be as many names as clients invent.
    fn span_name(&self, pattern: Option<&str>) -> Cow<'static, str> {
        if let Some(operation) = self.operation {
            return operation.name().into();
        }
        if self.request.grpc && pattern == Some(self.request.path()) {
            return self.request.path().trim_start_matches('/').to_owned().into();
        }
        let method = method_name(&self.request.method);
        match pattern {
            Some(pattern) => format!("{method} {pattern}").into(),
            None => method.into(),
        }
    }

    fn facts_of_http(&self) -> Attributes {
        let (request, connection) = (&self.request, &self.connection);
        let mut attributes = Attributes::default();
        add_method(&mut attributes, &request.method);
        attributes.add("url.scheme", if self.client.https { "https" } else { "http" });
        attributes.add("url.path", short(request.uri.path(), PATH).to_owned());
        attributes.add_some("url.query", request.uri.query().map(|query| masked_query(query, PATH)));
        let authority = without_userinfo(request.asked());
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = authority.rsplit_once(':').filter(|(_, port)| is_port(port)).unwrap_or((authority, ""));
        if !host.is_empty() {
            attributes.add("server.address", host.trim_start_matches('[').trim_end_matches(']').to_owned());
        }
        attributes.add_some("server.port", port.parse::<u16>().ok());
        attributes.add("client.address", self.client.address.to_string());
        attributes.add("network.peer.address", connection.peer_ip().to_string());
        attributes.add("network.protocol.name", "http");
        attributes.add("network.protocol.version", version(request.version));
        let user_agent = request.user_agent.as_ref().map(|value| shortened(value.as_bytes()));
        attributes.add_some("user_agent.original", user_agent.map(|text| String::from_utf8_lossy(text).into_owned()));
        attributes.add_some("tls.protocol.version", tls(connection));
        attributes.add("http.response.status_code", self.outcome.status);
        attributes.add("http.request.body.size", request.upload.received());
        attributes.add("http.response.body.size", self.outcome.sent);
        if let Some(handles) = self.route.handles.as_ref().filter(|_| self.route.id.is_some()) {
            attributes.add("attache.route", RouteHandles::route(handles).to_owned());
        }
        let id = request.id.as_ref().map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        attributes.add_some("attache.request_id", id);
        attributes.add("attache.attempts", self.attempts.count);
        attributes.add_some("attache.tenant", self.tenant().map(|tenant| short(tenant, NAME).to_owned()));
        if self.is_stream() {
            attributes.add("attache.stream", true);
        }
        attributes
    }

    /// What is known of a call by gRPC or JSON-RPC.
    fn add_rpc(&self, attributes: &mut Attributes) {
        if self.request.grpc {
            attributes.add("rpc.system.name", "grpc");
            let method = self.request.path().trim_start_matches('/');
            attributes.add("rpc.method", short(method, NAME).to_owned());
            let status = self.outcome.application.grpc_status();
            let word = status.map(|code| GrpcStatus::from_code(code).map_or("OK", GrpcStatus::name));
            attributes.add_some("rpc.response.status_code", word);
            return;
        }
        let Some(call) = self.call.as_deref().filter(|call| call.binding == Binding::JsonRpc) else { return };
        attributes.add("rpc.system.name", "jsonrpc");
        attributes.add_some("rpc.method", call.operation.map(Operation::name));
        attributes.add("jsonrpc.protocol.version", "2.0");
        let code = self.outcome.agent_fault.and_then(AgentFault::code);
        attributes.add_some("rpc.response.status_code", code.map(|code| code.to_string()));
    }

    /// What is known of a call of an agent.
    fn add_agent(&self, attributes: &mut Attributes) {
        let Some(call) = self.call.as_deref() else { return };
        let ids = call.ids();
        attributes.add_some("a2a.method.name", call.operation.map(Operation::name));
        attributes.add("a2a.protocol.version", call.generation.name());
        attributes.add("a2a.protocol.binding", call.binding.name());
        let task = ids.task.or_else(|| self.told()?.task.as_deref());
        attributes.add_some("a2a.task.id", task.map(str::to_owned));
        attributes.add_some("a2a.context.id", ids.context.map(str::to_owned));
        attributes.add_some("attache.a2a.outcome", self.outcome.agent_fault.map(AgentFault::word));
        if self.outcome.continued > 0 {
            attributes.add("attache.a2a.continued", self.outcome.continued);
        }
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn tls(connection: &Connection) -> Option<&'static str> {
    connection.tls.as_ref().map(|tls| match tls.version {
        TlsVersion::V12 => "1.2",
        TlsVersion::V13 => "1.3",
    })
}
