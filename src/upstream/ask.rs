//! Questions of the gateway itself to one certain endpoint. They count as in flight there, and nothing else: how an
//! endpoint answers them is not held against it, because clients choose what is asked.

use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tokio::time::Instant;

use super::{WorkerEndpoint, address};
use crate::body::RequestBody;
use crate::cluster::{InFlight, Kind};
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::pool::ResponseBody;

/// The same question for several endpoints.
#[derive(Debug)]
pub struct AskPlan<'a> {
    /// Its head, as endpoints shall see it.
    pub head: &'a Parts,
    /// Its body.
    pub body: &'a Bytes,
    /// The Host header towards endpoints.
    pub host: &'a UpstreamHost,
    /// Whether it is a gRPC call.
    pub grpc: bool,
    /// When an answer is of no use any more.
    pub deadline: Instant,
}

/// An answer, whose endpoint is counted as busy until the guard is dropped.
#[derive(Debug)]
pub struct Asked {
    /// The response; its body owns the connection.
    pub response: Response<ResponseBody>,
    /// To be dropped at the end of the body.
    pub in_flight: InFlight<Rc<WorkerEndpoint>>,
}

/// Asks an endpoint, over another connection where one broke: a question may be asked twice. Dropping the future
/// cancels what is under way.
///
/// # Errors
/// The last try's error, or that the endpoint has no room.
pub async fn ask(plan: &AskPlan<'_>, worker_endpoint: Rc<WorkerEndpoint>) -> Result<Asked, Error> {
    let full = worker_endpoint.endpoint().full(Kind::Request);
    let in_flight = InFlight::enter(worker_endpoint, Kind::Request);
    let in_flight = in_flight.ok_or_else(|| full.map_or(Error::Internal, Error::at_ceiling))?;
    let mut left = TRIES;
    loop {
        left -= 1;
        let mut slot = Some(plan.request(in_flight.handle()));
        let pool = in_flight.handle().pool(plan.grpc);
        match pool.send(&mut slot, Instant::now(), false, Some(plan.deadline)).await {
            Ok(response) => return Ok(Asked { response, in_flight }),
            Err(error) if left == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

impl AskPlan<'_> {
    fn request(&self, worker_endpoint: &WorkerEndpoint) -> Request<RequestBody> {
        let body =
            if self.body.is_empty() { RequestBody::Empty } else { RequestBody::Whole(Box::new(self.body.clone())) };
        let mut request = Request::from_parts(self.head.clone(), body);
        address(&mut request, self.host, worker_endpoint.name(self.grpc));
        request
    }
}

/// Connections that may break: those that were idle may all be closed, after a restart of the endpoint.
const TRIES: u32 = 3;
