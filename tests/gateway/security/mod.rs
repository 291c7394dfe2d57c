//! What the edge must withstand, sent as raw bytes and judged by what the endpoint received. Tests are named after the
//! behaviour's number in the list they check: 1 to 11 framing, 12 to 17 routing and header hygiene, 19 to 23 HTTP/2, 24
//! to 29 endpoints that misbehave, 30 to 33 clients that are slow or greedy.

#![allow(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::string_slice,
    reason = "tables of hostile bytes are long, and cut where they were found"
)]

mod bench;
mod body_line;
mod chunks;
mod frames;
mod framing;
mod h2_fields;
mod h2_floods;
mod h2_frames;
mod h2_streams;
mod hygiene;
mod origin;
mod paths;
mod redirects;
mod request_line;
mod slow;
mod upstream_bodies;
mod upstream_heads;
mod upstream_times;
