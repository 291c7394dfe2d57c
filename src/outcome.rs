//! What became of a try, or of a whole exchange: how the transport ended it, which status the endpoint answered with,
//! and what the protocol inside said. It is classified here and nowhere else, exhaustively; outlier detection, breaker,
//! retries, rollouts, metrics and the access log read it. docs/resilience.md shows the same as a table.

mod agent;
mod application;

use http::StatusCode;

use crate::config::model::Failure;
use crate::error::{Error, LimitHit, chain};

pub use agent::AgentFault;
pub use application::{Application, GRPC_STATUS};

/// What became of a try or an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How far it came, and how it ended.
    pub transport: Transport,
    /// Status of the endpoint's answer; none where none came.
    pub status: Option<StatusCode>,
    /// What the protocol inside said.
    pub application: Application,
}

/// How far a try came, and how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A response head came; what comes after it is not known.
    #[default]
    Head,
    /// The answer came to its end, or its client left after the head.
    Complete,
    /// No connection: refused, its TLS handshake failed, or it was dead before the request was written.
    ConnectFailed,
    /// No connection in time.
    ConnectTimedOut,
    /// An HTTP/2 endpoint said that it did nothing about the request, and is well.
    Refused,
    /// An HTTP/2 endpoint said that it did nothing about the request, and gave up its connection because of an error.
    GaveUp,
    /// The connection ended after the request was sent and before a response head.
    Reset,
    /// What came was not HTTP.
    Invalid,
    /// No response head in time.
    TimedOut,
    /// The time of the whole exchange was over before a response head.
    OutOfTime,
    /// The answer broke off or fell silent after its head.
    BrokenOff,
    /// The cluster had no endpoint that could be asked, or is left alone.
    NotAsked,
    /// The client ended it: what it asked for, how it sends and reads, that it left.
    ByClient,
    /// The gateway ended it: a limit, an order, a fault on purpose.
    ByGateway,
}

/// The kinds of [`Transport`] that all but retries tell apart; [`Transport::ended`] sorts each way to end into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// So far there is a response head.
    Head,
    /// The answer is complete.
    Complete,
    /// The endpoint failed before a response head.
    Unanswered,
    /// The endpoint failed after its response head.
    BrokenOff,
    /// A healthy endpoint did nothing about the request.
    Refused,
    /// No endpoint was asked.
    NotAsked,
    /// The client or the gateway ended it, which says nothing about an endpoint.
    NotByEndpoint,
}

/// How far a try was when an error ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request is still here as it was.
    Unsent,
    /// The endpoint may have it.
    Sent,
    /// The response head came.
    Answered,
}

/// What an outcome says about the endpoint to outlier detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionClass {
    /// An exchange went well to its end. A head alone proves nothing: what breaks off every stream has fine heads.
    Good,
    /// It failed, `down` if in a way that shows it down or broken.
    Failed {
        /// Down or broken, rather than unable to handle this request.
        down: bool,
    },
    /// It failed in a way that one input can make every endpoint fail: a failure where rates are compared, and in a row
    /// once several clients have seen it.
    Suspect,
    /// It is there, and no more is said.
    Alive,
    /// Nothing yet, or nothing new.
    Nothing,
}

/// What an outcome says about the cluster to its breaker. Heads and bodies are judged apart: every stream that broke
/// off began with a good head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerClass {
    /// Whether it is about the answer after its head.
    pub is_body: bool,
    /// Whether it is a failure.
    pub is_bad: bool,
}

/// What an answer says about the endpoint it came from, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// It did its work, or said that the request is wrong or is not for it.
    Fine,
    /// Something went wrong with this request. One input can do that to every endpoint, so it is held against a version
    /// and not against an endpoint.
    Doubtful,
    /// The same, said by an agent in words of its own. Where rates are compared, one input weighs little enough to hold
    /// it against an endpoint too.
    Suspect,
    /// It could not handle this request.
    Faulty,
    /// It, or what it needs, is down or overloaded.
    Down,
}

impl Outcome {
    /// A response head came; `application` is what it carries of the protocol inside.
    #[must_use]
    pub const fn answered(status: StatusCode, application: Application) -> Self {
        Self { transport: Transport::Head, status: Some(status), application }
    }

    /// The answer came to its end.
    #[must_use]
    pub const fn complete(status: StatusCode, application: Application) -> Self {
        Self { transport: Transport::Complete, status: Some(status), application }
    }

    /// No answer came, or it broke off.
    #[must_use]
    pub const fn ended(transport: Transport) -> Self {
        Self { transport, status: None, application: Application::Silent }
    }

    /// What `error` ended, that far.
    #[must_use]
    pub fn failed(error: &Error, phase: Phase) -> Self {
        Self::ended(Transport::of(error, phase))
    }

    /// For outlier detection; `count_500` says whether an endpoint that cannot handle a request has failed.
    #[must_use]
    pub fn ejection(self, count_500: bool) -> EjectionClass {
        let failed = |answer| match answer {
            Answer::Fine => None,
            Answer::Doubtful => Some(EjectionClass::Alive),
            Answer::Suspect => Some(EjectionClass::Suspect),
            Answer::Faulty if !count_500 => Some(EjectionClass::Alive),
            Answer::Faulty => Some(EjectionClass::Failed { down: false }),
            Answer::Down => Some(EjectionClass::Failed { down: true }),
        };
        match self.transport.ended() {
            Ended::Head => failed(self.head()).unwrap_or(EjectionClass::Nothing),
            // Failed heads were counted as such, good ones are with their end.
            Ended::Complete if self.head() != Answer::Fine => EjectionClass::Nothing,
            Ended::Complete => failed(self.end()).unwrap_or(EjectionClass::Good),
            Ended::Unanswered | Ended::BrokenOff => EjectionClass::Failed { down: true },
            Ended::Refused | Ended::NotAsked | Ended::NotByEndpoint => EjectionClass::Nothing,
        }
    }

    /// For the breaker; `None` when it says nothing, or was said with the head.
    #[must_use]
    pub fn breaker(self) -> Option<BreakerClass> {
        let (is_body, is_bad) = match self.transport.ended() {
            Ended::Head => (false, is_failure(self.head())),
            Ended::Complete if is_failure(self.head()) => return None,
            Ended::Complete => (true, is_failure(self.end())),
            Ended::Unanswered => (false, true),
            Ended::BrokenOff => (true, true),
            Ended::Refused | Ended::NotAsked | Ended::NotByEndpoint => return None,
        };
        Some(BreakerClass { is_body, is_bad })
    }

    /// Whether a try found somebody there; `None` when it says nothing about that.
    #[must_use]
    pub fn presence(self) -> Option<bool> {
        match self.transport.ended() {
            Ended::Head => Some(self.head() != Answer::Down),
            Ended::Unanswered => Some(false),
            Ended::Complete | Ended::BrokenOff | Ended::Refused | Ended::NotAsked | Ended::NotByEndpoint => None,
        }
    }

    /// For retries: the kind of a failure that can be repeated at all. None for an answer, for what is the client's
    /// doing, for the end of all time, and for a refusal of ours.
    #[must_use]
    pub fn failure(self) -> Option<Failure> {
        match self.transport {
            Transport::ConnectFailed => Some(Failure::Connect),
            Transport::ConnectTimedOut => Some(Failure::ConnectTimeout),
            Transport::Refused | Transport::GaveUp => Some(Failure::Refused),
            Transport::Reset => Some(Failure::Reset),
            Transport::Invalid => Some(Failure::Invalid),
            Transport::TimedOut => Some(Failure::Timeout),
            Transport::Head
            | Transport::Complete
            | Transport::OutOfTime
            | Transport::BrokenOff
            | Transport::NotAsked
            | Transport::ByClient
            | Transport::ByGateway => None,
        }
    }

    /// For what a version is measured by: whether the whole exchange went well; `None` where that was not for the
    /// version to decide.
    #[must_use]
    pub fn success(self) -> Option<bool> {
        match self.transport.ended() {
            Ended::Complete => Some(self.head() == Answer::Fine && self.end() == Answer::Fine),
            Ended::Unanswered | Ended::BrokenOff | Ended::Refused | Ended::NotAsked => Some(false),
            Ended::Head | Ended::NotByEndpoint => None,
        }
    }

    /// Whether it is an answer that says that the endpoint failed.
    #[must_use]
    pub fn is_failed_answer(self) -> bool {
        match self.transport.ended() {
            Ended::Head | Ended::Complete => is_failure(self.head().max(self.end())),
            Ended::Unanswered | Ended::BrokenOff | Ended::Refused | Ended::NotAsked | Ended::NotByEndpoint => false,
        }
    }

    /// Whether it is an error by its status of HTTP or gRPC.
    #[must_use]
    pub fn is_error(self) -> bool {
        let by_grpc = self.application.grpc_status().is_some_and(|code| code != 0);
        by_grpc || self.status.is_some_and(|status| status.as_u16() >= 400)
    }

    /// Whether the endpoint said no to what was asked of it. Where it could not serve the request, it did not say.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        let by_grpc = self.application.grpc_status().is_some_and(|code| code != 0 && of_grpc(code) == Answer::Fine);
        by_grpc || self.status.is_some_and(|status| status.is_client_error())
    }

    /// The gRPC status, for the log and metrics.
    #[must_use]
    pub fn grpc_status(self) -> Option<u8> {
        self.application.grpc_status()
    }

    /// What the head says.
    fn head(self) -> Answer {
        self.status.map_or(Answer::Fine, of_status).max(self.application.answers().0)
    }

    /// What the end says that the head did not.
    fn end(self) -> Answer {
        self.application.answers().1
    }
}

impl Transport {
    /// How `error` ended what had come that far.
    #[must_use]
    pub fn of(error: &Error, phase: Phase) -> Self {
        let (unsent, answered) = (phase == Phase::Unsent, phase == Phase::Answered);
        match error {
            Error::ConnectFailed(_) | Error::UpstreamTls(_) => Self::ConnectFailed,
            Error::ConnectTimeout(_) => Self::ConnectTimedOut,
            Error::StreamRefused(cause) if gave_up(cause) => Self::GaveUp,
            Error::StreamRefused(_) => Self::Refused,
            Error::UpstreamReset(_) | Error::UpstreamInvalid(..) | Error::HeadTimeout | Error::Timeout if answered => {
                Self::BrokenOff
            }
            Error::UpstreamReset(_) if unsent => Self::ConnectFailed,
            Error::UpstreamReset(_) => Self::Reset,
            Error::UpstreamInvalid(..) => Self::Invalid,
            Error::HeadTimeout if unsent => Self::ConnectTimedOut,
            Error::HeadTimeout => Self::TimedOut,
            Error::Timeout => Self::OutOfTime,
            Error::StreamIdle | Error::UpstreamAborted(_) => Self::BrokenOff,
            Error::NoEndpoint(_) | Error::CircuitOpen { limit_hit: LimitHit::Breaker, .. } => Self::NotAsked,
            Error::BadRequest(_)
            | Error::MethodRefused
            | Error::TargetTooLong
            | Error::HeadTooLarge
            | Error::BodyTooLarge
            | Error::BodyTimeout
            | Error::UnknownExpectation
            | Error::UnmetExpectation
            | Error::Misdirected
            | Error::NoRoute
            | Error::UpgradeRefused
            | Error::OriginRefused
            | Error::Blocked { .. }
            | Error::AddressRefused(_)
            | Error::AuthSlowed(_)
            | Error::CrossSite
            | Error::CredentialsMissing(_)
            | Error::CredentialsInvalid(_)
            | Error::TenantMismatch
            | Error::AuthAnswered(_)
            | Error::CallRefused(_)
            | Error::RateLimited(_)
            | Error::TooManyOpen
            | Error::ClientGone
            | Error::ClientStalled => Self::ByClient,
            Error::Forbidden
            | Error::Screened
            | Error::CircuitOpen { .. }
            | Error::StreamTooLong
            | Error::Withdrawn
            | Error::SignedCard
            | Error::Draining
            | Error::AuthUnavailable
            | Error::FaultAbort(_)
            | Error::FaultDelay
            | Error::FaultCut
            | Error::Internal => Self::ByGateway,
        }
    }

    /// Whether the client ended it.
    #[must_use]
    pub fn is_by_client(self) -> bool {
        self == Self::ByClient
    }

    /// Whether an endpoint ended it.
    #[must_use]
    pub fn is_by_endpoint(self) -> bool {
        match self.ended() {
            Ended::Unanswered | Ended::BrokenOff | Ended::Refused => true,
            Ended::Head | Ended::Complete | Ended::NotAsked | Ended::NotByEndpoint => false,
        }
    }

    fn ended(self) -> Ended {
        match self {
            Self::Head => Ended::Head,
            Self::Complete => Ended::Complete,
            Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::GaveUp
            | Self::Reset
            | Self::Invalid
            | Self::TimedOut
            | Self::OutOfTime => Ended::Unanswered,
            Self::BrokenOff => Ended::BrokenOff,
            Self::Refused => Ended::Refused,
            Self::NotAsked => Ended::NotAsked,
            Self::ByClient | Self::ByGateway => Ended::NotByEndpoint,
        }
    }
}

/// As [`upstream_error`], and why no endpoint could be asked at all.
#[must_use]
pub fn why_none_answered(error: &Error) -> Option<Box<str>> {
    if matches!(error, Error::NoEndpoint(_)) { Some(error.to_string().into()) } else { upstream_error(error) }
}

/// What an endpoint did wrong, with every cause down to the system's or the TLS library's words; `None` where no
/// endpoint failed.
#[must_use]
pub fn upstream_error(error: &Error) -> Option<Box<str>> {
    Transport::of(error, Phase::Sent).is_by_endpoint().then(|| chain(error).into())
}

impl Application {
    /// What it says of the endpoint: as much as came with the head, and what came later.
    fn answers(self) -> (Answer, Answer) {
        match self {
            Self::Silent => (Answer::Fine, Answer::Fine),
            Self::Grpc { code, with_head: true } => (of_grpc(code), Answer::Fine),
            Self::Grpc { code, with_head: false } => (Answer::Fine, of_grpc(code)),
            Self::Agent(fault) => (Answer::Fine, of_agent(fault)),
        }
    }
}

/// By status. 501 and 505 say that the endpoint works and cannot do what was asked, as HAProxy sees it too; a 5xx that
/// nobody knows is a 500 (RFC 9110 section 15).
fn of_status(status: StatusCode) -> Answer {
    match status.as_u16() {
        502..=504 => Answer::Down,
        500 | 506..=599 => Answer::Faulty,
        0..=499 | 501 | 505 | 600.. => Answer::Fine,
    }
}

/// By gRPC status: UNAVAILABLE is what 503 is, INTERNAL what 500 is. UNKNOWN is what libraries make of an exception
/// that nobody caught, DATA_LOSS says that something is lost for good.
fn of_grpc(code: u8) -> Answer {
    match code {
        14 => Answer::Down,
        13 => Answer::Faulty,
        2 | 15 | 17.. => Answer::Doubtful,
        0 | 1 | 3..=12 | 16 => Answer::Fine,
    }
}

/// By the failure of a call of A2A. One input can make every replica fail or write nonsense.
fn of_agent(fault: AgentFault) -> Answer {
    match fault {
        AgentFault::Error(_) => Answer::Fine,
        AgentFault::Internal | AgentFault::Unreadable => Answer::Suspect,
        AgentFault::Truncated => Answer::Faulty,
    }
}

fn is_failure(answer: Answer) -> bool {
    match answer {
        Answer::Fine | Answer::Doubtful | Answer::Suspect => false,
        Answer::Faulty | Answer::Down => true,
    }
}

/// Whether an endpoint that did not work on a stream gave up its connection because of an error.
fn gave_up(refused: &hyper::Error) -> bool {
    let peaceful = [h2::Reason::NO_ERROR, h2::Reason::REFUSED_STREAM];
    let mut cause = std::error::Error::source(refused);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<h2::Error>() {
            return found.reason().is_some_and(|reason| !peaceful.contains(&reason));
        }
        cause = current.source();
    }
    false
}

#[cfg(test)]
mod tests;
