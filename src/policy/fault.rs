//! Decides which faults a request gets. Each kind is drawn separately; a fault that a client may request replaces the
//! drawn one.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::falls_on;
use crate::config::model::{
    AbortAnswer, AbortFault, Disturbance, Fault, FaultByHeader, HeaderMatch, Percentage, StreamFault,
};
use crate::error::CallError;
use crate::grpc_status::GrpcStatus;

/// Asks for a delay.
pub const DELAY: HeaderName = HeaderName::from_static("x-attache-fault-delay");
/// Asks for an abort.
pub const ABORT: HeaderName = HeaderName::from_static("x-attache-fault-abort");

/// The facts of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// The client.
    pub client: IpAddr,
    /// When it came, since the Unix epoch.
    pub time: Duration,
}

/// The faults one request gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// It is held back first.
    pub delay: Option<Duration>,
    /// It is answered like this.
    pub abort: Option<AbortAnswer>,
    /// This is done to its answer if that is a stream.
    pub stream: Option<Disturbance>,
    /// Why requested faults were not injected, one reason each.
    pub ignored: [Option<Ignored>; 2],
}

impl Draw {
    /// Whether nothing is injected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.delay.is_none() && self.abort.is_none() && self.stream.is_none()
    }
}

/// Why a requested or drawn fault is not injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// This client may not ask.
    NotAllowed,
    /// The requested value cannot be read.
    Invalid,
    /// It is not of the share.
    Share,
    /// The faults are over.
    Ended,
    /// Too many are active.
    MaxActive,
}

impl Ignored {
    /// The word in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::Invalid => "invalid",
            Self::Share => "share",
            Self::Ended => "ended",
            Self::MaxActive => "max_active",
        }
    }
}

/// The faults of a request.
#[must_use]
pub fn draw(fault: &Fault, request: &Request<'_>, rng: &mut fastrand::Rng) -> Draw {
    let (delay, abort) = (request.headers.get(DELAY), request.headers.get(ABORT));
    if fault.until.is_some_and(|until| request.time >= until) {
        let over = |field: Option<&HeaderValue>| field.map(|_| Ignored::Ended);
        return Draw { ignored: [over(delay), over(abort)], ..Draw::default() };
    }
    let by = fault.by_header.as_ref();
    let delay = requested(by, request, delay, rng, |by, text| duration(text).map(|delay| delay.min(by.max_delay)));
    let abort = requested(by, request, abort, rng, |_, text| answer(text));
    let chosen = |share: Percentage, when: &[HeaderMatch], rng: &mut fastrand::Rng| {
        when.iter().all(|field| field.holds(request.headers)) && falls_on(share, rng)
    };
    let own_delay = fault.delay.as_ref().filter(|own| chosen(own.percentage, &own.when_header, rng));
    let own_delay = own_delay.and_then(|own| own.fixed_delay);
    let own_abort = fault.abort.as_ref().filter(|own| chosen(own.percentage, &own.when_header, rng));
    let own_abort = own_abort.map(AbortFault::answer);
    let stream = fault.stream.as_ref().filter(|own| chosen(own.percentage, &own.when_header, rng));
    Draw {
        delay: delay.ok().flatten().or(own_delay),
        abort: abort.ok().flatten().or(own_abort),
        stream: stream.map(StreamFault::disturbance),
        ignored: [delay.err(), abort.err()],
    }
}

/// The fault that a client requests, if the client may request it and is in the share.
fn requested<T>(
    by: Option<&FaultByHeader>,
    request: &Request<'_>,
    text: Option<&HeaderValue>,
    rng: &mut fastrand::Rng,
    read: impl FnOnce(&FaultByHeader, &str) -> Option<T>,
) -> Result<Option<T>, Ignored> {
    let Some(text) = text else { return Ok(None) };
    let by = by.filter(|by| may_ask(by, request)).ok_or(Ignored::NotAllowed)?;
    let text = text.to_str().map_err(|_not_text| Ignored::Invalid)?;
    let value = read(by, text.trim()).ok_or(Ignored::Invalid)?;
    if falls_on(by.percentage, rng) { Ok(Some(value)) } else { Err(Ignored::Share) }
}

fn may_ask(by: &FaultByHeader, request: &Request<'_>) -> bool {
    let is_client = by.clients.is_empty() || by.clients.iter().any(|network| network.contains(&request.client));
    is_client && by.when_header.iter().all(|field| field.holds(request.headers))
}

/// `250ms` or `2s`.
fn duration(text: &str) -> Option<Duration> {
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| number.parse().ok())??;
    let millis = number.checked_mul(scale).filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis))
}

/// `503`, the name of a gRPC status, or of an error of A2A.
fn answer(text: &str) -> Option<AbortAnswer> {
    if let Ok(code) = text.parse::<u16>() {
        return StatusCode::from_u16(code).ok().filter(|_| (400..=599).contains(&code)).map(AbortAnswer::Http);
    }
    GrpcStatus::from_name(text).map(AbortAnswer::Grpc).or_else(|| CallError::from_text(text).map(AbortAnswer::Call))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::model::{DelayFault, ValueMatch};

    const SECOND: Duration = Duration::from_secs(1);
    const BUSY: AbortAnswer = AbortAnswer::Http(StatusCode::SERVICE_UNAVAILABLE);

    fn has(name: &'static str, value: &str) -> HeaderMatch {
        HeaderMatch { name: HeaderName::from_static(name), value: ValueMatch::Exact(value.to_owned()) }
    }

    fn none() -> Fault {
        Fault { max_active: 10, ..Fault::default() }
    }

    fn delay(percentage: Percentage, when_header: Vec<HeaderMatch>) -> Option<DelayFault> {
        Some(DelayFault { percentage, fixed_delay: Some(SECOND), when_header })
    }

    fn abort(percentage: Percentage, when_header: Vec<HeaderMatch>) -> Option<AbortFault> {
        Some(AbortFault {
            percentage,
            http_status: Some(StatusCode::SERVICE_UNAVAILABLE),
            grpc_status: None,
            a2a_error: None,
            when_header,
        })
    }

    fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        list.iter().map(field).collect()
    }

    fn draw_at(fault: &Fault, headers: &HeaderMap, client: &str, seconds: u64, seed: u64) -> Draw {
        let request = Request { headers, client: client.parse().unwrap(), time: Duration::from_secs(seconds) };
        draw(fault, &request, &mut fastrand::Rng::with_seed(seed))
    }

    #[test]
    fn each_kind_has_conditions_of_its_own() {
        let cut = Disturbance { cut_after: Some(2), delay: None };
        let fault = Fault {
            delay: delay(Percentage::ALL, vec![has("x-slow", "on")]),
            abort: abort(Percentage::ALL, vec![has("x-chaos", "on"), has("x-two", "2")]),
            stream: Some(StreamFault {
                percentage: Percentage::ALL,
                cut_after_events: Some(2),
                when_header: vec![has("x-cut", "on")],
                ..StreamFault::default()
            }),
            ..none()
        };
        for (list, expected) in [
            (&[][..], (None, None, None)),
            (&[("x-slow", "on")], (Some(SECOND), None, None)),
            (&[("x-slow", "off")], (None, None, None)),
            (&[("x-chaos", "on")], (None, None, None)),
            (&[("x-chaos", "on"), ("x-two", "2")], (None, Some(BUSY), None)),
            (&[("x-cut", "on")], (None, None, Some(cut))),
            (
                &[("x-slow", "on"), ("x-chaos", "on"), ("x-two", "2"), ("x-cut", "on")],
                (Some(SECOND), Some(BUSY), Some(cut)),
            ),
        ] {
            let drawn = draw_at(&fault, &fields(list), "10.0.0.1", 0, 1);
            assert_eq!((drawn.delay, drawn.abort, drawn.stream), expected, "{list:?}");
            assert_eq!(drawn.ignored, [None, None]);
        }
    }

    #[test]
    fn they_end_when_they_are_said_to() {
        let fault =
            Fault { delay: delay(Percentage::ALL, Vec::new()), until: Some(Duration::from_secs(100)), ..none() };
        for (second, expected) in [(99, Some(SECOND)), (100, None), (101, None)] {
            let drawn = draw_at(&fault, &HeaderMap::new(), "10.0.0.1", second, 1);
            assert_eq!(drawn.delay, expected, "at {second}");
        }
        let headers = fields(&[("x-attache-fault-delay", "1s")]);
        let drawn = draw_at(&fault, &headers, "10.0.0.1", 100, 1);
        assert_eq!(drawn.ignored, [Some(Ignored::Ended), None]);
    }

    /// What became of a request of `client` that asks for this, in words. Clients of 10.0.0.0/8 with the right key may
    /// ask.
    fn granted(share: Percentage, client: &str, key: &str, delay: &str, abort: &str) -> String {
        let by_header = FaultByHeader {
            percentage: share,
            max_delay: Duration::from_secs(5),
            clients: vec!["10.0.0.0/8".parse().unwrap()],
            when_header: vec![has("x-key", "k")],
        };
        let fault = Fault { by_header: Some(by_header), ..none() };
        let all = [("x-key", key), ("x-attache-fault-delay", delay), ("x-attache-fault-abort", abort)];
        let given: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let drawn = draw_at(&fault, &fields(&given), client, 0, 1);
        let delay = drawn.delay.map(|delay| format!("{}ms", delay.as_millis()));
        let abort = drawn.abort.map(|answer| match answer {
            AbortAnswer::Http(status) => status.as_str().to_owned(),
            AbortAnswer::Grpc(code) => code.name().to_owned(),
            AbortAnswer::Call(error) => error.name().to_owned(),
        });
        let ignored = drawn.ignored.into_iter().flatten();
        let ignored = ignored.map(|ignored| ignored.word().to_owned());
        let words: Vec<_> = delay.into_iter().chain(abort).chain(ignored).collect();
        words.join(" ")
    }

    #[test]
    fn requested_faults_are_granted_within_limits() {
        let (all, none) = (Percentage::ALL, Percentage::NONE);
        for (share, client, key, delay, abort, expected) in [
            (all, "10.1.1.1", "k", "250ms", "", "250ms"),
            (all, "10.1.1.1", "k", "2s", "504", "2000ms 504"),
            (all, "10.1.1.1", "k", "90s", "", "5000ms"),
            (all, "10.1.1.1", "k", "", "unavailable", "UNAVAILABLE"),
            (all, "10.1.1.1", "k", "", "TaskNotFound", "TaskNotFound"),
            (all, "10.1.1.1", "k", "2", "200", "invalid invalid"),
            (all, "10.1.1.1", "k", "0s", "OK", "invalid invalid"),
            (all, "10.1.1.1", "k", "99999999999999999999s", "600", "invalid invalid"),
            (all, "10.1.1.1", "k", "+1s", "503", "503 invalid"),
            (all, "11.1.1.1", "k", "1s", "503", "not_allowed not_allowed"),
            (all, "10.1.1.1", "", "1s", "", "not_allowed"),
            (all, "10.1.1.1", "other", "", "503", "not_allowed"),
            (none, "10.1.1.1", "k", "1s", "", "share"),
            (all, "10.1.1.1", "k", "", "", ""),
        ] {
            let found = granted(share, client, key, delay, abort);
            assert_eq!(found, expected, "{client} {key} {delay} {abort}");
        }
    }

    #[test]
    fn requested_faults_are_ignored_where_nobody_may_ask() {
        let headers = fields(&[("x-attache-fault-delay", "1s")]);
        let drawn = draw_at(&none(), &headers, "10.0.0.1", 0, 1);
        assert!(drawn.is_empty());
        assert_eq!(drawn.ignored, [Some(Ignored::NotAllowed), None]);
    }

    #[test]
    fn a_requested_fault_replaces_the_drawn_one() {
        let fault = Fault {
            delay: delay(Percentage::ALL, Vec::new()),
            by_header: Some(FaultByHeader {
                percentage: Percentage::ALL,
                max_delay: SECOND * 10,
                clients: vec!["10.0.0.0/8".parse().unwrap()],
                when_header: Vec::new(),
            }),
            ..none()
        };
        let headers = fields(&[("x-attache-fault-delay", "3s")]);
        assert_eq!(draw_at(&fault, &headers, "10.0.0.1", 0, 1).delay, Some(SECOND * 3));
        let refused = draw_at(&fault, &headers, "11.0.0.1", 0, 1);
        assert_eq!(refused.delay, Some(SECOND), "what everybody gets");
        assert_eq!(refused.ignored[0], Some(Ignored::NotAllowed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn delay_and_abort_are_independent(first in 1_u32..1_000_000, second in 1_u32..1_000_000, seed: u64) {
            const DRAWS: u32 = 10_000;
            let fault = Fault {
                delay: delay(Percentage::millionths(first), Vec::new()),
                abort: abort(Percentage::millionths(second), Vec::new()),
                ..none()
            };
            let headers = HeaderMap::new();
            let request = Request { headers: &headers, client: [10, 0, 0, 1].into(), time: SECOND };
            let mut rng = fastrand::Rng::with_seed(seed);
            let draws: Vec<_> = (0..DRAWS).map(|_| draw(&fault, &request, &mut rng)).collect();
            let count = |wanted: fn(&Draw) -> bool| draws.iter().filter(|drawn| wanted(drawn)).count() as f64;
            let (p, q) = (f64::from(first) / 1e6, f64::from(second) / 1e6);
            for (found, share) in [
                (count(|drawn| drawn.delay.is_some()), p),
                (count(|drawn| drawn.abort.is_some()), q),
                (count(|drawn| drawn.delay.is_some() && drawn.abort.is_some()), p * q),
            ] {
                let n = f64::from(DRAWS);
                let margin = 6.0 * (n * share * (1.0 - share)).sqrt() + 1.0;
                prop_assert!((found - n * share).abs() <= margin, "{found} of {n} at {share}");
            }
        }
    }
}
