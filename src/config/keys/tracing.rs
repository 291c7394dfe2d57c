//! `tracing` and `routes.X.tracing`: spans of requests, and the context that goes with them.

use std::path::PathBuf;
use std::time::Duration;

use super::{Limit, Many, Named, OrOff, Percentage, choice, section};
use crate::config::types::WebUrl;

section! {
    #[derive()]
    /// Spans of requests and of tries, and the trace context that goes with them. Without this section requests carry
    /// `traceparent` on and no span is made.
    pub(in crate::config) struct Tracing {
        /// Where spans go. Default: nowhere, only the context is passed on.
        otlp: Option<Otlp>,
        /// Share of the traces that begin here and are exported; a route may have a share of its own.
        sampling: Percentage = "100%",
        /// Whose decision about a trace that began elsewhere counts.
        follow_parent: FollowParent = always,
        /// What is exported whatever was decided when it began.
        keep: Keep = {},
        /// What carries the context: all of these are written, and the first that a request has is read. Without
        /// `baggage` in the list, that field is taken out.
        propagation: Vec<Propagation> as Many<Propagation> = [tracecontext, baggage],
        /// Name of this gateway among the services of a trace.
        service_name: String = attache,
        /// Further attributes of the gateway, such as `deployment.environment.name`.
        attributes: Vec<(String, String)> as Named<String> = {},
    }

    #[derive(Copy, PartialEq, Eq)]
    /// What is exported although it was not sampled. Agents do not know of that: the spans of the gateway stand alone.
    pub struct Keep {
        /// Requests that failed: status 5xx, a broken stream, or an agent's failure inside its answer.
        errors: bool = true,
        /// Requests that took so long; for a stream, to its head.
        slow: Option<Duration> as OrOff<Limit> = off,
    }

    #[derive()]
    /// A collector that speaks OTLP.
    pub(in crate::config) struct Otlp {
        /// Its address. With `protocol: http` the path of the signal is added, as in `/v1/traces`. Required.
        endpoint: Option<WebUrl>,
        /// What it speaks: OTLP over gRPC (usually port 4317) or over HTTP (4318), both in protobuf.
        protocol: OtlpProtocol = grpc,
        /// File with a line `name: value` for each field that it is sent, such as its credentials; relative to this
        /// file. Default: none.
        headers_file: Option<PathBuf> as String,
        /// PEM bundle of the authorities that vouch for it; relative to this file. Default: the system's.
        ca_file: Option<PathBuf> as String,
        /// How long it may take over one delivery.
        timeout: Duration as Limit = 10s,
    }

    #[derive()]
    /// Spans of one route's requests.
    pub(in crate::config) struct RouteTracing {
        /// Share of the traces that begin here and are exported. Default: that of `tracing`.
        sampling: Option<Percentage>,
    }
}

choice! {
    /// Whose decision to sample counts.
    pub enum FollowParent {
        /// That of every caller.
        Always = ["always"],
        /// That of trusted proxies (`clientIp.trustedProxies`).
        Trusted = ["trusted"],
        /// Nobody's: each trace is decided about as if it began here.
        Never = ["never", "off"],
    }

    /// Header fields that carry the context of a trace.
    pub enum Propagation {
        /// `traceparent` and `tracestate` (W3C).
        TraceContext = ["tracecontext", "trace-context", "w3c"],
        /// `baggage` (W3C).
        Baggage = ["baggage"],
        /// `b3` in one field.
        B3 = ["b3", "b3-single"],
        /// `X-B3-TraceId` and its kin.
        B3Multi = ["b3multi", "b3-multi"],
    }

    /// How a collector is spoken to.
    pub enum OtlpProtocol {
        /// gRPC, over HTTP/2.
        Grpc = ["grpc"],
        /// HTTP/1.1 with bodies in protobuf.
        Http = ["http", "http/protobuf", "http-protobuf"],
    }
}
