//! What behaviour tests are made of: a gateway on free ports, backends that do as they are told, and clients of every
//! kind. A test waits for events; the only clocks are guards against hanging and, where a test says so, a stated limit.

mod acme;
mod acme_looks;
mod agent;
mod backend;
mod body;
mod certs;
mod client;
mod collector;
mod grpc_agent;
mod gw;
mod h2_peer;
mod issuer;
mod live;
mod names;
mod raw;
mod sse;
mod switchable_backend;
mod text_file;
mod wait;

pub(crate) use acme::{AcmeServer, Refusal};
pub(crate) use agent::{Agent, call, message, says};
pub(crate) use backend::{Backend, Seen, Speak};
pub(crate) use body::{Body, BodySender, channel, chunk, empty, full, with_trailers};
pub(crate) use certs::{Ca, Identity};
pub(crate) use client::{Client, Reply, Tls, at_host, delete, get, post, request, websocket, with_field};
pub(crate) use collector::{Collector, logged};
pub(crate) use grpc_agent::{ask_by_grpc, grpc, grpc_at, grpc_call};
pub(crate) use gw::{Gw, Place};
pub(crate) use h2_peer::{H2Peer, HEADERS, PING};
pub(crate) use issuer::{Issuer, KeyServer, claims, now, text};
pub(crate) use live::{DEFAULTS, Live};
pub(crate) use names::{NameServer, Says};
pub(crate) use raw::{Raw, RawBackend, field, refusing};
pub(crate) use sse::{EventStream, Sse};
pub(crate) use switchable_backend::SwitchableBackend;
pub(crate) use text_file::{TextFile, key_lines};
pub(crate) use wait::{GUARD, eventually, pass, promised, soon, within};
