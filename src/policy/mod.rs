//! What is decided about a request between its route and its upstream: whether this client may send it now. Knows neither
//! endpoints nor connections; it is told who the client is and says yes, or how long to wait.

mod concurrency;
mod key;
mod limiter;
mod limits;
mod table;

pub use concurrency::{Concurrency, Open};
pub use key::{Caller, Key};
pub use limiter::{Limiter, Outcome};
pub use limits::{Admitted, Limits, Refused, RouteLimits, Standing, whole_seconds};
