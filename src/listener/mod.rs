//! The listener room: binds, accepts, speaks TLS and the PROXY protocol, and hands every HTTP request of a connection
//! to a service it is given. It never knows what the service does; the facts about a connection travel in
//! [`Connection`](crate::context::Connection).

pub mod accept;
pub mod bind;
pub mod ceiling;
pub mod certificates;
mod clients;
pub mod command;
pub mod connection_handle;
mod fault;
pub mod frames;
pub mod host;
pub mod inherited;
pub mod io;
pub mod io_progress;
mod odd;
pub mod open;
pub mod proxy_protocol;
pub mod running;
pub mod scan;
pub mod serve;
pub mod settings;
#[cfg(test)]
mod socket_tests;
mod strict_service;
pub mod tls;
mod tls_config;
mod tls_error;
pub mod watchdog;

pub use accept::{Report, start};
pub use bind::{bind, probe};
pub use command::Expiry;
pub use host::is_valid_host;
pub use inherited::Inherited;
pub use open::HandshakeEnd;
pub use running::Running;
pub use serve::ConnectionEnd;
pub use settings::{Settings, Shared};
pub use tls::Tls;
pub use tls_error::TlsError;
pub use watchdog::Watchdog;
