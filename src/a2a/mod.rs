//! A2A as it goes over the wire, in all generations (0.1, 0.2 and 0.3, 1.0) and bindings (JSON-RPC, REST, gRPC): which
//! operation a request is, which task, context and tenant it is about, and what an answer or an event says of a task.
//! Pure: bytes come in pieces cut anywhere, nothing is read, written, waited for or encoded again, and memory is
//! bounded whatever the size of a body.
//!
//! A request: [`Recognition::of`] looks at the head. It names the call ([`HeadCall`]), or asks for the body
//! ([`Candidate`]); then [`BodyReader::json_rpc`] is fed the pieces and [`BodyReader::finish`] gives a [`Body`], whose
//! [`Body::operation`] and [`Body::ids`] say the rest. The same with [`BodyReader::rest`] for the body of a REST call
//! whose head named it. When a call is refused before its body is whole, [`BodyReader::so_far`] knows the id as far as
//! it has come.
//!
//! An answer: [`AnswerReader`] for a body, [`EventReader`] around it for an event stream, [`GrpcAnswerReader`] for
//! gRPC, all giving an [`Answer`]. [`GrpcRequestReader`] gives the [`Body`] of a gRPC request.
//!
//! The gateway itself asks agents who holds what: [`Question`].
//!
//! What is read is for routing and guarding. It is not validated beyond what that needs, and what could be read in two
//! ways says so: [`Body::is_ambiguous`].
//!
//! A card is read as a whole, and changed: see [`card`]. So are frames and small messages: see [`wire`].

mod answer;
mod ask;
pub mod card;
mod envelope;
mod events;
mod final_events;
mod grpc;
mod head;
mod json;
mod operation;
mod path;
mod protobuf;
mod request;
mod task;
mod texts;
pub mod wire;

pub use answer::{AgentError, Answer, AnswerReader, Kind};
pub use ask::{Question, Subject, path_segment};
pub use envelope::id_span;
pub use events::{BYTE_ORDER_MARK, Event, EventReader, Lines};
pub use final_events::EventShape;
pub use grpc::{GrpcAnswerReader, GrpcRequestReader};
pub use head::{Candidate, Head, HeadCall, Recognition, VERSION, Version};
pub use json::Fault;
pub use operation::{Binding, Generation, Operation, RetryClass};
pub use path::{is_rest_path, respelled, tenant_of_path};
pub use request::{Body, BodyReader, Ids, Misshapen};
pub use task::{Phase, TaskState};
