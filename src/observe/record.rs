//! One line of the access log: what is known about an exchange when it is over, and how it is written. Written by hand because it
//! happens for every request: one pass over each value, no allocation, no formatting machinery.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::Version;

use super::clock::Clock;
use super::trace::TraceId;
use crate::config::model::TlsVersion;

/// A finished exchange. Absent facts are left out of the line.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When its head had arrived, since the Unix epoch.
    pub time: Duration,
    /// Its `x-request-id`.
    pub request_id: &'a str,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// The client, as forwarding headers of trusted proxies say.
    pub client_ip: IpAddr,
    /// Method as received.
    pub method: &'a str,
    /// Host it asked for.
    pub authority: &'a str,
    /// Path and query as received. Values of the query are masked when written: `?page=*&token=*`.
    pub path: &'a str,
    /// HTTP version of the client.
    pub proto: Version,
    /// Status the client saw, or would have seen.
    pub status: u16,
    /// Envoy's response flag, `-` if none.
    pub flags: &'static str,
    /// Reason word of the gateway's own answer.
    pub reason: Option<&'static str>,
    /// Name of the route.
    pub route: Option<&'a str>,
    /// Name of the cluster.
    pub cluster: Option<&'a str>,
    /// Endpoint that answered, or was tried last.
    pub endpoint: Option<&'a str>,
    /// Times an endpoint was tried.
    pub attempts: u32,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// From the request head to the end.
    pub duration: Duration,
    /// From the request head to the response head.
    pub time_to_head: Option<Duration>,
    /// The client's `User-Agent`; at most 256 bytes are written.
    pub user_agent: Option<&'a [u8]>,
    /// TLS version of the client's connection.
    pub tls: Option<TlsVersion>,
    /// Whether it was an event stream, a gRPC stream or an upgraded connection.
    pub stream: bool,
    /// Status of the endpoint, where there was one.
    pub upstream_status: Option<u16>,
}

/// Appends `record` to `out` as one JSON object and a newline.
pub fn write_json(record: &Record<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    todo!()
}

/// Appends `record` to `out` as one line for people, with colour if asked.
pub fn write_text(record: &Record<'_>, clock: &mut Clock, color: bool, out: &mut Vec<u8>) {
    todo!()
}
