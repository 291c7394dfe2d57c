//! `routes.X`.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use http::{Method, StatusCode};

use super::a2a::A2a;
use super::abuse::IpAccess;
use super::auth::{Auth, AuthForm};
use super::authorization::AuthorizationUse;
use super::browser::{Cors, Csrf};
use super::fault::Fault;
use super::limits::RateLimitUse;
use super::mirror::Mirror;
use super::retries::Retries;
use super::screening::Screening;
use super::split::{Rollout, Split};
use super::tracing::RouteTracing;
use super::{
    Boxed, Count, Limit, List, MILLION, Many, Named, OrOff, PathText, Size, Status, Verb, choice, section, word_values,
    words,
};
use crate::config::forms::names::OneHost;
use crate::config::types::{
    HeaderMatch, HostPattern, Member, PathMatch, PublicUrl, Rewrite, Scheme, UpstreamHost, ValueMatch,
};
use crate::config::units::time_or_none;

// There may be thousands, and they are moved about: what most do not have is in boxes.
section! {
    #[derive()]
    /// One route: what it matches and what happens.
    pub(in crate::config) struct Route {
        /// Listeners it is reachable through. Default: all that do not redirect.
        listeners: Option<Vec<String>> as Many<String>,
        /// Hosts it serves. Default: every host.
        hosts: Option<Vec<HostPattern>> as Many<HostPattern>,
        /// Where clients see what the gateway serves under `/`, for this route. Default: the listener's.
        public_url: Option<Box<PublicUrl>>,
        /// One condition, or a list of which any may hold. Default: everything.
        matches: Option<Vec<Match>> as Many<Match>; whole [serde(rename = "match")],
        /// Forward to this cluster.
        cluster: Option<String>; one of action,
        /// Forward to these endpoints: short for a cluster of the route's name.
        endpoints: Option<Many<Member>>; one of action,
        /// Divide the traffic over clusters by weight.
        split: Option<Box<Split>>; one of action,
        /// Move the split's weights step by step.
        rollout: Option<Box<Rollout>>,
        /// Answer with a redirect.
        redirect: Option<Box<Redirect>>; whole one of action,
        /// Answer at once.
        respond: Option<Box<Respond>>; whole one of action,
        /// Change the path before forwarding.
        rewrite: Option<Box<Rewrite>>; whole,
        /// Bring an agent's `Location` that leads back to itself into the form clients use.
        map_location: bool = true,
        /// Header changes towards the upstream.
        request_headers: Option<Box<Headers>>,
        /// Header changes towards the client.
        response_headers: Option<Box<ResponseHeaders>>,
        /// The Host header towards upstreams: `preserve`, `endpoint`, or a name.
        upstream_host: UpstreamHost = preserve,
        /// Total time of an exchange; for event and gRPC streams it ends at the response head.
        timeout: Option<Duration> as OrOff<Limit> = off,
        /// Time to the response head, per try. Default: 30s for GET and HEAD, off for the rest.
        response_head_timeout: Option<OrOff<Limit>>,
        /// Try again what failed. Default: one more try, when nothing was sent or a GET, HEAD or OPTIONS was not
        /// answered.
        retries: Option<Box<OrOff<Retries>>>,
        /// Limits of event and gRPC streams.
        streaming: Streaming = {},
        /// Pass `Upgrade: websocket` on.
        websocket: bool = false,
        /// Size of a request body. Default: the listener's `limits.maxBodyBytes`.
        max_body_bytes: Option<OrOff<Size>>,
        /// Who may come in: the name of one of `authProviders`, a list of names of which one must know the client, or
        /// `{ anyOf: [..], except: [..] }`. `off` asks nobody.
        auth: Option<Box<Auth>> as OrOff<AuthForm> = off; whole,
        /// Who may do what here: names of shared policies, or policies of its own, whose rules count together; `off`
        /// lets everybody pass.
        authorization: Option<Vec<AuthorizationUse>> as OrOff<Many<AuthorizationUse>> = off; whole,
        /// Patterns that its requests are searched for: what scanners and exploits send.
        screening: Option<Box<Screening>> as OrOff<Boxed<Screening>> = off,
        /// Rate limits: names of shared ones, or limits of its own.
        rate_limit: Vec<RateLimitUse> as Many<RateLimitUse> = []; whole,
        /// What one client may have open, streams included.
        max_concurrent_per_client: Option<NonZeroU32> as OrOff<Count<1, MILLION>> = off,
        /// Write access records.
        access_log: bool = true,
        /// Spans of its requests, in a share of its own; `off` makes none. Default: as `tracing` says.
        tracing: Option<Box<OrOff<RouteTracing>>>,
        /// Faults injected on purpose.
        fault: Option<Box<Fault>> as OrOff<Boxed<Fault>> = off,
        /// What is done for agents that speak A2A; `off` treats them as any HTTP server.
        a2a: Option<A2a> as OrOff<A2a> = {},
        /// Which addresses of clients are served, beside what the listener says.
        ip_access: Option<Box<IpAccess>> as OrOff<Boxed<IpAccess>> = off,
        /// Which pages of other origins may use the route from a browser.
        cors: Option<Box<Cors>> as OrOff<Boxed<Cors>> = off,
        /// Refuse what a browser sends for a foreign page.
        csrf: Option<Box<Csrf>> as OrOff<Boxed<Csrf>> = off,
        /// Copies of requests for another cluster.
        mirror: Option<Box<Mirror>> as OrOff<Boxed<Mirror>> = off,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// Limits of a streamed response.
    pub struct Streaming {
        /// Silence of a stream, of the agent and of a client that still sends together.
        idle_timeout: Option<Duration> as OrOff<Limit> = 5m,
        /// Whole life of a stream.
        max_duration: Option<Duration> as OrOff<Limit> = off,
    }

    #[derive()]
    /// A condition: all parts must hold.
    pub(in crate::config) struct Match {
        /// The path. Default: prefix `/`.
        path: Option<PathMatch>,
        /// Methods; none of them are all.
        methods: Vec<Method> as Many<Verb> = [],
        /// One method: short for `methods`.
        method: Option<Method> as Verb,
        /// Header conditions, by name.
        headers: Vec<HeaderMatch> as Named<ValueMatch> = {},
        /// Query parameter conditions, by name.
        query: Vec<(String, ValueMatch)> as Named<ValueMatch> = {},
        /// The tenant: as `tenants.header` says, else as an A2A call does, in its path before its body.
        tenant: Option<ValueMatch>,
    }

    #[derive()]
    /// A redirect answer. Parts not given are the request's.
    pub struct Redirect {
        /// 301, 302, 303, 307 or 308. Default: 302 for GET and HEAD, 307 for the rest.
        status: Option<StatusCode> as Status,
        /// `http` or `https`.
        scheme: Option<Scheme>,
        /// Host.
        host: Option<String> as OneHost,
        /// Port.
        port: Option<NonZeroU16> as Count<1, 65_535>,
        /// The whole path.
        path: Option<String> as PathText,
        /// Replaces the matched prefix.
        prefix: Option<String> as PathText,
    }

    #[derive()]
    /// A direct answer.
    pub(in crate::config) struct Respond {
        /// Status.
        status: StatusCode as Status = 200,
        /// Body.
        body: String = "",
        /// The Content-Type. Default: text/plain, or application/json when the body is a JSON object or list.
        content_type: Option<String>,
    }

    #[derive()]
    /// Header changes, applied in the order remove, set, tell, add.
    pub(in crate::config) struct Headers {
        /// Fields taken out.
        remove: Vec<String> as List<String> = [],
        /// Fields replaced.
        set: Vec<(String, String)> as Named<String> = {},
        /// Fields that tell what is known of a request, by name: `tenant`, `operation` or `principal`. Where nothing is
        /// known they are taken out.
        tell: Vec<(String, RequestFact)> as Named<RequestFact> = {},
        /// Fields added beside those there.
        add: Vec<(String, String)> as Named<String> = {},
    }

    #[derive()]
    /// Header changes towards the client.
    pub(in crate::config) struct ResponseHeaders {
        /// `secure`: nosniff, no framing, HSTS for a year with all names below where clients use HTTPS, CSP
        /// `default-src 'self'`, referrer policy. `starter`: the same, without the names below. `strict`: HSTS for two
        /// years, and pages may do nothing at all. What `set` and `remove` name wins.
        preset: Option<Preset>,
        /// Fields taken out.
        remove: Vec<String> as List<String> = [],
        /// Fields replaced.
        set: Vec<(String, String)> as Named<String> = {},
        /// Fields added beside those there.
        add: Vec<(String, String)> as Named<String> = {},
    }
}

impl fmt::Display for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (silence, life) = (time_or_none(self.idle_timeout), time_or_none(self.max_duration));
        write!(f, "stream silence {silence}, stream life {life}")
    }
}

choice! {
    /// What may be known of a request beside its head.
    pub enum RequestFact {
        /// Who its client proved to be.
        Principal = ["principal"],
        /// On whose behalf it acts.
        Tenant = ["tenant"],
        /// What it asks of an agent, by its name in A2A 1.0.
        Operation = ["operation"],
    }

    /// A named set of response headers.
    pub(in crate::config) enum Preset {
        /// What browsers are told to keep a site safe.
        Secure = ["secure"],
        /// The same while some names below are not on HTTPS yet.
        Starter = ["starter"],
        /// For answers that no browser shows as a page.
        Strict = ["strict"],
    }
}

words!(Scheme, "Scheme", Self::Http => ["http"], Self::Https => ["https"]);

word_values!(Scheme);
