//! What `outcome.rs` does, held to its promises.

use std::io;

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::error::{CONNECTING, HANDSHAKE};

const FAILED: EjectionClass = EjectionClass::Failed { down: false };
const DOWN: EjectionClass = EjectionClass::Failed { down: true };

fn grpc(code: u8, with_head: bool) -> Application {
    Application::Grpc { code, with_head }
}

/// What head and end say, to outlier detection with and without `count500`, and to the breaker, and whether a
/// version succeeded.
type Row = ([EjectionClass; 2], EjectionClass, [Option<bool>; 2], bool);

fn row(status: u16, application: Application) -> Row {
    let status = StatusCode::from_u16(status).unwrap();
    let with_head = matches!(application, Application::Grpc { with_head: true, .. });
    let known = if with_head { application } else { Application::Silent };
    let (head, end) = (Outcome::answered(status, known), Outcome::complete(status, application));
    let breaker = [head, end].map(|outcome| outcome.breaker().map(|class| class.is_bad));
    ([head.ejection(true), head.ejection(false)], end.ejection(true), breaker, end.success().unwrap())
}

#[test]
fn statuses_mean_the_same_to_everybody() {
    use EjectionClass::{Alive, Good, Nothing};
    let fine: Row = ([Nothing, Nothing], Good, [Some(false), Some(false)], true);
    let faulty: Row = ([FAILED, Alive], Nothing, [Some(true), None], false);
    let down: Row = ([DOWN, DOWN], Nothing, [Some(true), None], false);
    for (status, expected) in [
        (200, fine),
        (404, fine),
        (429, fine),
        (499, fine),
        (500, faulty),
        (501, fine),
        (502, down),
        (503, down),
        (504, down),
        (505, fine),
        (506, faulty),
        (507, faulty),
        (599, faulty),
        (600, fine),
    ] {
        assert_eq!(row(status, Application::Silent), expected, "{status}");
    }
}

#[test]
fn a_grpc_status_counts_where_it_comes() {
    use EjectionClass::{Alive, Good, Nothing};
    for code in 0..=17 {
        let in_head: Row = match code {
            14 => ([DOWN, DOWN], Nothing, [Some(true), None], false),
            13 => ([FAILED, Alive], Nothing, [Some(true), None], false),
            2 | 15 | 17 => ([Alive, Alive], Nothing, [Some(false), Some(false)], false),
            _ => ([Nothing, Nothing], Good, [Some(false), Some(false)], true),
        };
        assert_eq!(row(200, grpc(code, true)), in_head, "{code} with the head");
        let at_end: Row = match code {
            14 => ([Nothing, Nothing], DOWN, [Some(false), Some(true)], false),
            13 => ([Nothing, Nothing], FAILED, [Some(false), Some(true)], false),
            2 | 15 | 17 => ([Nothing, Nothing], Alive, [Some(false), Some(false)], false),
            _ => ([Nothing, Nothing], Good, [Some(false), Some(false)], true),
        };
        assert_eq!(row(200, grpc(code, false)), at_end, "{code} in trailers");
    }
}

#[test]
fn a_failure_is_told_to_each_as_far_as_it_concerns_them() {
    let (head, body) = (Some((false, true)), Some((true, true)));
    let (no, well) = (Some(false), EjectionClass::Nothing);
    for (transport, ejection, breaker, presence, failure, success) in [
        (Transport::ConnectFailed, DOWN, head, no, Some(Failure::Connect), no),
        (Transport::ConnectTimedOut, DOWN, head, no, Some(Failure::ConnectTimeout), no),
        (Transport::Refused, well, None, None, Some(Failure::Refused), no),
        (Transport::GaveUp, DOWN, head, no, Some(Failure::Refused), no),
        (Transport::Reset, DOWN, head, no, Some(Failure::Reset), no),
        (Transport::Invalid, DOWN, head, no, Some(Failure::Invalid), no),
        (Transport::TimedOut, DOWN, head, no, Some(Failure::Timeout), no),
        (Transport::OutOfTime, DOWN, head, no, None, no),
        (Transport::BrokenOff, DOWN, body, None, None, no),
        (Transport::NotAsked, well, None, None, None, no),
        (Transport::ByClient, well, None, None, None, None),
        (Transport::ByGateway, well, None, None, None, None),
    ] {
        let outcome = Outcome::ended(transport);
        assert_eq!(outcome.ejection(true), ejection, "{transport:?}");
        assert_eq!(outcome.ejection(false), ejection, "{transport:?}");
        let found = outcome.breaker().map(|class| (class.is_body, class.is_bad));
        assert_eq!(found, breaker, "{transport:?}");
        assert_eq!(outcome.presence(), presence, "{transport:?}");
        assert_eq!(outcome.failure(), failure, "{transport:?}");
        assert_eq!(outcome.success(), success, "{transport:?}");
    }
}

#[test]
fn errors_are_told_apart_by_how_far_the_try_was() {
    use Phase::{Answered, Sent, Unsent};
    let limit = |limit_hit| Error::at_ceiling(limit_hit);
    for (error, phase, expected) in [
        (Error::ConnectFailed(io::Error::other("x")), Unsent, Transport::ConnectFailed),
        (Error::UpstreamTls(io::Error::other("x")), Unsent, Transport::ConnectFailed),
        (Error::ConnectTimeout(CONNECTING), Unsent, Transport::ConnectTimedOut),
        (Error::HeadTimeout, Unsent, Transport::ConnectTimedOut),
        (Error::HeadTimeout, Sent, Transport::TimedOut),
        (Error::Timeout, Unsent, Transport::OutOfTime),
        (Error::Timeout, Sent, Transport::OutOfTime),
        (Error::Timeout, Answered, Transport::BrokenOff),
        (Error::UpstreamInvalid("x", None), Sent, Transport::Invalid),
        (Error::UpstreamInvalid("x", None), Answered, Transport::BrokenOff),
        (Error::StreamIdle, Answered, Transport::BrokenOff),
        (Error::StreamTooLong, Answered, Transport::ByGateway),
        (Error::FaultDelay, Sent, Transport::ByGateway),
        (Error::FaultCut, Answered, Transport::ByGateway),
        (Error::Withdrawn, Answered, Transport::ByGateway),
        (Error::SignedCard, Answered, Transport::ByGateway),
        (Error::Internal, Unsent, Transport::ByGateway),
        (Error::ClientGone, Sent, Transport::ByClient),
        (Error::BodyTooLarge, Sent, Transport::ByClient),
        (Error::BodyTimeout, Sent, Transport::ByClient),
        (Error::NoEndpoint("x"), Unsent, Transport::NotAsked),
        (limit(LimitHit::Breaker), Unsent, Transport::NotAsked),
        (limit(LimitHit::Requests), Unsent, Transport::ByGateway),
    ] {
        assert_eq!(Transport::of(&error, phase), expected, "{error:?} {phase:?}");
    }
}

#[test]
fn an_endpoints_failure_is_told_down_to_its_cause() {
    let refused = || io::Error::from_raw_os_error(111);
    let invalid = rustls::CertificateError::UnknownIssuer;
    let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(invalid));
    for (error, expected) in [
        (Error::ConnectFailed(refused()), Some("could not connect to the endpoint: Connection refused (os error 111)")),
        (
            Error::UpstreamTls(tls),
            Some("TLS handshake with the endpoint failed: invalid peer certificate: UnknownIssuer"),
        ),
        (
            Error::UpstreamInvalid("two body lengths", None),
            Some("the endpoint's answer is not valid: two body lengths"),
        ),
        (Error::ConnectTimeout(CONNECTING), Some("connecting to the endpoint timed out")),
        (Error::ConnectTimeout(HANDSHAKE), Some("the TLS handshake with the endpoint timed out")),
        (Error::ClientGone, None),
        (Error::NoEndpoint("x"), None),
        (Error::StreamTooLong, None),
    ] {
        assert_eq!(upstream_error(&error).as_deref(), expected);
    }
}

#[test]
fn grpc_statuses_are_read() {
    for (text, expected) in [("0", 0), ("14", 14), ("16", 16), ("255", 255), ("256", 255), ("", 255), ("OK", 255)] {
        let fields = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(text))]);
        assert_eq!(Application::of_trailers(&fields), grpc(expected, false), "{text}");
        assert_eq!(Application::of_head(&fields), grpc(expected, true), "{text}");
    }
    assert_eq!(Application::of_head(&HeaderMap::new()), Application::Silent);
}

#[test]
fn an_endpoint_says_no_with_what_is_not_its_own_failure() {
    let silent = Application::Silent;
    for (status, application, is_error, is_refusal) in [
        (200, silent, false, false),
        (200, grpc(0, false), false, false),
        (200, grpc(5, true), true, true),
        (200, grpc(7, false), true, true),
        (200, grpc(14, true), true, false),
        (200, grpc(13, false), true, false),
        (200, grpc(2, false), true, false),
        (404, silent, true, true),
        (500, silent, true, false),
        (501, silent, true, false),
        (503, silent, true, false),
    ] {
        let outcome = Outcome::answered(StatusCode::from_u16(status).unwrap(), application);
        assert_eq!((outcome.is_error(), outcome.is_refusal()), (is_error, is_refusal), "{status} {application:?}");
    }
}
