//! What the edge must withstand, sent as raw bytes and judged by what the endpoint received. docs/security.md lists the
//! behaviours and names the tests of each.

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
