//! The listener room: binds, accepts, speaks TLS and the PROXY protocol, and hands every HTTP request of a connection to a service
//! it is given. It never knows what the service does; what it learns about a connection travels in
//! [`Connection`](crate::context::Connection).

pub mod accept;
pub mod bind;
pub mod ceiling;
pub mod io;
pub mod proxy_protocol;
pub mod redirect;
pub mod scan;
pub mod serve;
pub mod settings;
pub mod sni;
pub mod tls;
pub mod watchdog;

pub use accept::{Running, start};
pub use bind::bind;
pub use serve::{ConnectionEnd, Report};
pub use settings::{Settings, Shared};
pub use tls::{Tls, TlsError};
pub use watchdog::{Expiry, Watchdog};
