//! W3C trace context (<https://www.w3.org/TR/trace-context/>): every hop keeps the trace id and the flags and puts its
//! own span id into `traceparent`. `tracestate` passes untouched. A context that cannot be read is restarted, as
//! section 4.3 demands.

use std::fmt;

use fastrand::Rng;
use http::{HeaderMap, HeaderName};

use crate::head::Values;

/// Id of a whole trace, never zero. Displays as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// What is not zero.
    #[must_use]
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// As it stands in a message of OTLP.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The 56 bits that are random in every trace id (Trace Context Level 2, section 3.2.2.3.2).
    #[must_use]
    pub fn random_part(self) -> u64 {
        u64::try_from(self.0 & RANDOM_PART).unwrap_or_default()
    }

    /// The 32 digits as ASCII.
    #[must_use]
    pub fn hex(self) -> [u8; 32] {
        let mut digits = [b'0'; 32];
        write_hex(self.0, &mut digits);
        digits
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// Id of a span, never zero. Displays as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self(rng.u64(1..))
    }

    /// What is not zero.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// The 16 digits as ASCII.
    #[must_use]
    pub fn hex(self) -> [u8; 16] {
        let mut digits = [b'0'; 16];
        write_hex(self.0.into(), &mut digits);
        digits
    }

    /// As it stands in a message of OTLP.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Position in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent` value. Versions above 00 are read as far as 00 goes (section 3.2.1).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (fields, rest) = value.split_at_checked(LENGTH)?;
        let version = u8::try_from(hex(fields.get(0..2)?)?).ok()?;
        let tail_fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let dashes = [2, 35, 52].iter().all(|&at| fields.get(at) == Some(&b'-'));
        if !tail_fits || !dashes {
            return None;
        }
        let trace_id = TraceId::new(hex(fields.get(3..35)?)?)?;
        let span_id = SpanId::new(u64::try_from(hex(fields.get(36..52)?)?).ok()?)?;
        let flags = u8::try_from(hex(fields.get(53..55)?)?).ok()? & KNOWN_FLAGS;
        Some(Self { trace_id, span_id, flags })
    }

    /// That of these ids, not sampled.
    #[must_use]
    pub fn of(trace_id: TraceId, span_id: SpanId) -> Self {
        Self { trace_id, span_id, flags: 0 }
    }

    /// The same place, sampled or not.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        Self { flags: if sampled { self.flags | SAMPLED } else { self.flags & !SAMPLED }, ..self }
    }

    /// The place of another span of the same trace.
    #[must_use]
    pub fn at(self, span_id: SpanId) -> Self {
        Self { span_id, ..self }
    }

    /// Id of the span.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The flags as they stand in a message of OTLP.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Begins a trace and marks it as sampled. Samplers follow their parent by default, so an unsampled trace would
    /// switch tracing off in every agent behind the gateway.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self { trace_id: TraceId(rng.u128(1..)), span_id: SpanId::generate(rng), flags: SAMPLED }
    }

    /// The next hop of this trace.
    #[must_use]
    pub fn child(self, rng: &mut Rng) -> Self {
        self.at(SpanId::generate(rng))
    }

    /// Id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Whether the caller recorded it.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `traceparent` value, version 00.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        for (field, number) in [(3..35, self.trace_id.0), (36..52, self.span_id.0.into()), (53..55, self.flags.into())]
        {
            if let Some(digits) = value.get_mut(field) {
                write_hex(number, digits);
            }
        }
        value
    }
}

/// Reads the caller's context from `headers` and replaces it by that of the next hop: same trace, new span. Without a
/// readable one a new trace begins and `tracestate` is dropped. `carried` says whether `headers` hold either field.
pub fn propagate(headers: &mut HeaderMap, carried: bool, rng: &mut Rng, values: &mut Values) -> TraceContext {
    let caller = if carried { caller(headers) } else { None };
    let context = match caller {
        Some(caller) => caller.child(rng),
        None => TraceContext::generate(rng),
    };
    if carried && caller.is_none() {
        headers.remove(&TRACESTATE);
    }
    if let Some(value) = values.make(&context.to_bytes()) {
        headers.insert(TRACEPARENT, value);
    }
    context
}

/// What the only `traceparent` says.
pub(super) fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => TraceContext::parse(value.as_bytes()),
        _ => None,
    }
}

/// Lower-case hexadecimal digits, at most 32. The specification forbids capitals.
pub(super) fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Writes the lowest digits of `number`, as many as fit.
fn write_hex(number: u128, digits: &mut [u8]) {
    let mut bytes = number.to_be_bytes().into_iter().rev();
    for pair in digits.rchunks_exact_mut(2) {
        let byte = usize::from(bytes.next().unwrap_or(0));
        if let (Some(text), [high, low]) = (HEX.get(byte), pair) {
            [*high, *low] = *text;
        }
    }
}

/// Every byte in two lower-case digits.
static HEX: [[u8; 2]; 256] = {
    let digits = *b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    #[allow(clippy::indexing_slicing, reason = "a constant: out of bounds would not compile")]
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// Length of a version 00 value.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
const RANDOM_PART: u128 = (1 << 56) - 1;
/// Sampled, and random trace id (Level 2); others must be sent as zero.
const KNOWN_FLAGS: u8 = SAMPLED | 2;
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use std::str;

    use http::HeaderValue;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_writes_the_specifications_example() {
        let context = TraceContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(&context.trace_id().hex(), b"4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.sampled());
        assert_eq!(context.to_bytes(), EXAMPLE.as_bytes());
    }

    #[test]
    fn refuses_what_is_not_a_context() {
        for (value, why) in [
            ("", "empty"),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", "short"),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", "version 00 has no tail"),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "capitals"),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", "zero trace"),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "zero span"),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "version ff"),
            ("0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "version not hex"),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "no dash"),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1", "sign"),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x", "tail without dash"),
        ] {
            assert_eq!(TraceContext::parse(value.as_bytes()), None, "{why}: {value}");
        }
    }

    #[test]
    fn a_later_version_is_read_and_passed_on_as_00() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-comes-later";
        let context = TraceContext::parse(later.as_bytes()).unwrap();
        assert_eq!(&context.to_bytes()[..3], b"00-");
        assert_eq!(&context.to_bytes()[53..], b"03", "only the flags we know");
    }

    #[test]
    fn a_hop_keeps_the_trace_and_changes_the_span() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(EXAMPLE));
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        let context = propagate(&mut headers, true, &mut Rng::with_seed(1), &mut Values::default());
        let sent = headers.get(TRACEPARENT).unwrap().as_bytes();
        assert_eq!(sent, context.to_bytes());
        assert_eq!(&sent[..36], &EXAMPLE.as_bytes()[..36], "version and trace");
        assert_ne!(&sent[36..52], &EXAMPLE.as_bytes()[36..52], "span");
        assert_eq!(&sent[52..], b"-01", "sampled stays");
        assert_eq!(headers.get_all(TRACESTATE).iter().count(), 2, "tracestate passes");
    }

    #[test]
    fn an_unsampled_trace_stays_unsampled() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, EXAMPLE.replace("-01", "-00").parse().unwrap());
        assert!(!propagate(&mut headers, true, &mut Rng::with_seed(1), &mut Values::default()).sampled());
    }

    #[test]
    fn a_trace_begins_anew_when_the_context_is_missing_broken_or_doubled() {
        for values in [&[][..], &["nonsense"], &[EXAMPLE, EXAMPLE]] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_static(value));
            }
            headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
            let context = propagate(&mut headers, true, &mut Rng::with_seed(2), &mut Values::default());
            assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1, "{values:?}");
            assert_eq!(headers.get(TRACEPARENT).unwrap(), str::from_utf8(&context.to_bytes()).unwrap());
            assert_eq!(headers.get(TRACESTATE), None, "belongs to the trace that was lost: {values:?}");
            assert!(!EXAMPLE.contains(&context.trace_id().to_string()), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_sent(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(TraceContext::parse(&value).is_none_or(|context| context.trace_id().0 != 0));
        }

        #[test]
        fn what_is_written_is_read_back(seed in any::<u64>()) {
            let context = TraceContext::generate(&mut Rng::with_seed(seed));
            prop_assert_eq!(TraceContext::parse(&context.to_bytes()), Some(context));
        }
    }
}
