//! How the context of a trace travels in header fields: W3C Trace Context, and the two forms of B3
//! (<https://github.com/openzipkin/b3-propagation>). A context that cannot be read is none.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::trace::{SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, caller, hex};
use crate::config::model::Propagation;

/// What a caller says of its trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The trace and the caller's span in it.
    pub context: Option<TraceContext>,
    /// Whether it is sampled; `None` leaves that to us.
    pub sampled: Option<bool>,
    /// Its `tracestate`.
    pub state: Option<Box<str>>,
    /// Whether this came in the form of W3C. A `tracestate` beside another form belongs to another trace.
    pub is_w3c: bool,
}

/// What the first of these forms says that a request carries.
#[must_use]
pub fn read(fields: &HeaderMap, forms: &[Propagation]) -> Caller {
    let found = forms.iter().find_map(|form| match form {
        Propagation::TraceContext => w3c(fields),
        Propagation::B3 => only(fields, &B3).and_then(b3),
        Propagation::B3Multi => b3_multi(fields),
        Propagation::Baggage => None,
    });
    found.unwrap_or_default()
}

/// Writes the context in these forms, in place of the caller's. `parent` is the span that this one belongs to;
/// `is_continued` says whether `tracestate` belongs to this trace.
pub fn write(
    fields: &mut HeaderMap,
    forms: &[Propagation],
    context: TraceContext,
    parent: Option<SpanId>,
    is_continued: bool,
) {
    let mut put = |name: HeaderName, value: &[u8]| {
        // Digits and dashes are legal in every field.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.insert(name, value);
        }
    };
    let sampled: &[u8] = if context.sampled() { b"1" } else { b"0" };
    let (trace, span) = (context.trace_id().hex(), context.span_id().hex());
    let mut forgets_state = false;
    for form in forms {
        match form {
            Propagation::TraceContext => {
                put(TRACEPARENT, &context.to_bytes());
                forgets_state = !is_continued;
            }
            Propagation::B3 => {
                let parent = parent.map(SpanId::hex);
                let parts = [&trace[..], &span, sampled].into_iter().chain(parent.as_ref().map(|id| &id[..]));
                put(B3, &parts.collect::<Vec<_>>().join(&b'-'));
            }
            Propagation::B3Multi => {
                put(B3_TRACE, &trace);
                put(B3_SPAN, &span);
                put(B3_SAMPLED, sampled);
                if let Some(parent) = parent {
                    put(B3_PARENT, &parent.hex());
                }
            }
            Propagation::Baggage => {}
        }
    }
    if forgets_state {
        fields.remove(&TRACESTATE);
    }
    if forms.contains(&Propagation::B3Multi) {
        // Debugging means sampling, which is written.
        fields.remove(&B3_FLAGS);
        if parent.is_none() {
            fields.remove(&B3_PARENT);
        }
    }
}

/// Takes `baggage` out where it is not wanted, or longer than everybody must carry it (W3C Baggage section 3.3.2).
pub fn limit_baggage(fields: &mut HeaderMap, forms: &[Propagation]) {
    let length: usize = fields.get_all(&BAGGAGE).iter().map(|value| value.len() + 1).sum();
    if length > 0 && (!forms.contains(&Propagation::Baggage) || length > MAX_BAGGAGE) {
        fields.remove(&BAGGAGE);
    }
}

fn w3c(fields: &HeaderMap) -> Option<Caller> {
    let context = caller(fields)?;
    let states: Vec<&str> = fields.get_all(&TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    let state = state.filter(|state| state.len() <= MAX_STATE).map(Box::from);
    Some(Caller { context: Some(context), sampled: Some(context.sampled()), state, is_w3c: true })
}

/// `{trace}-{span}`, `{trace}-{span}-{decision}`, the same with a parent, or the decision alone.
fn b3(value: &[u8]) -> Option<Caller> {
    let mut parts = value.split(|byte| *byte == b'-');
    let (first, span) = (parts.next()?, parts.next());
    let Some(span) = span else {
        return decision(first).map(|sampled| Caller { sampled: Some(sampled), ..Caller::default() });
    };
    let sampled = match parts.next() {
        Some(word) => Some(decision(word)?),
        None => None,
    };
    let is_whole = parts.next().is_none_or(|parent| parent.len() == 16) && parts.next().is_none();
    let context = ids(first, span)?;
    let context = Some(context.with_sampled(sampled == Some(true)));
    is_whole.then_some(Caller { context, sampled, ..Caller::default() })
}

fn b3_multi(fields: &HeaderMap) -> Option<Caller> {
    let debug = only(fields, &B3_FLAGS) == Some(b"1");
    let sampled = if debug { Some(true) } else { only(fields, &B3_SAMPLED).and_then(decision) };
    let context = only(fields, &B3_TRACE).zip(only(fields, &B3_SPAN)).and_then(|(trace, span)| ids(trace, span));
    let context = context.map(|context| context.with_sampled(sampled == Some(true)));
    (context.is_some() || sampled.is_some()).then(|| Caller { context, sampled, ..Caller::default() })
}

/// Old traces have ids of 64 bits.
fn ids(trace: &[u8], span: &[u8]) -> Option<TraceContext> {
    if !matches!(trace.len(), 16 | 32) || span.len() != 16 {
        return None;
    }
    let span = u64::try_from(hex(span)?).ok()?;
    Some(TraceContext::of(TraceId::new(hex(trace)?)?, SpanId::new(span)?))
}

fn decision(word: &[u8]) -> Option<bool> {
    match word {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

fn only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
/// Bytes of all `baggage` fields together.
const MAX_BAGGAGE: usize = 8192;
/// Bytes of a `tracestate` that a span keeps; longer ones pass all the same.
const MAX_STATE: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn context() -> TraceContext {
        TraceContext::parse(format!("00-{TRACE}-{SPAN}-00").as_bytes()).unwrap()
    }

    #[test]
    fn b3_in_one_field() {
        let with = |sampled: Option<bool>| {
            let context = Some(context().with_sampled(sampled == Some(true)));
            Some(Caller { context, sampled, ..Caller::default() })
        };
        let alone = |sampled| Some(Caller { sampled: Some(sampled), ..Caller::default() });
        for (value, expected) in [
            (format!("{TRACE}-{SPAN}-1"), with(Some(true))),
            (format!("{TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"), with(Some(true))),
            (format!("{TRACE}-{SPAN}-0-05e3ac9a4f6e3b90"), with(Some(false))),
            (format!("{TRACE}-{SPAN}"), with(None)),
            ("0".to_owned(), alone(false)),
            ("d".to_owned(), alone(true)),
            (format!("{TRACE}-{SPAN}-2"), None),
            (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90-1"), None),
            (format!("{TRACE}-{SPAN}-1-5"), None),
            (format!("{TRACE}-{}", "0".repeat(16)), None),
            (TRACE.to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(b3(value.as_bytes()), expected, "{value}");
        }
        let short = b3(format!("a3ce929d0e0e4736-{SPAN}-1").as_bytes()).unwrap().context.unwrap();
        assert_eq!(short.trace_id().to_string(), "0000000000000000a3ce929d0e0e4736");
    }

    #[test]
    fn b3_in_several_fields() {
        let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        let read = |more: &[(&'static str, &str)]| read(&fields(&[&ids[..], more].concat()), &[Propagation::B3Multi]);
        assert_eq!(read(&[]).sampled, None);
        assert_eq!(read(&[("x-b3-sampled", "1")]).sampled, Some(true));
        assert_eq!(read(&[("x-b3-sampled", "0"), ("x-b3-flags", "1")]).sampled, Some(true), "debugging");
        assert_eq!((read(&[]).context, read(&[]).is_w3c), (Some(context()), false));
        let twice = self::read(&fields(&[ids[0], ids[0], ids[1]]), &[Propagation::B3Multi]);
        assert_eq!(twice, Caller::default());
    }

    #[test]
    fn the_first_form_that_a_request_has_counts_and_all_are_written() {
        let forms = [Propagation::B3, Propagation::TraceContext, Propagation::B3Multi];
        let other = format!("00-{}-{SPAN}-01", "1".repeat(32));
        let mut fields = fields(&[
            ("traceparent", &other),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
            ("b3", "nonsense"),
            ("x-b3-flags", "1"),
            ("x-b3-parentspanid", SPAN),
        ]);
        let found = read(&fields, &forms);
        assert_eq!(found.context.unwrap().trace_id().to_string(), "1".repeat(32));
        assert_eq!((found.state.as_deref(), found.is_w3c), (Some("a=1,b=2"), true));
        let parent = SpanId::new(1);
        write(&mut fields, &forms, context().with_sampled(true), parent, true);
        let value = |name: &str| fields.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(value("traceparent"), format!("00-{TRACE}-{SPAN}-01"));
        assert_eq!(value("b3"), format!("{TRACE}-{SPAN}-1-0000000000000001"));
        assert_eq!((value("x-b3-traceid"), value("x-b3-spanid")), (TRACE.to_owned(), SPAN.to_owned()));
        assert_eq!(
            (value("x-b3-sampled"), value("x-b3-parentspanid")),
            ("1".to_owned(), "0000000000000001".to_owned())
        );
        assert_eq!(value("x-b3-flags"), "-");
        assert_eq!(value("tracestate"), "a=1");
        let mut fresh = fields.clone();
        write(&mut fresh, &forms, context(), None, false);
        assert_eq!((fresh.get("tracestate"), fresh.get("x-b3-parentspanid")), (None, None), "a trace of our own");
    }

    #[test]
    fn forms_that_are_not_listed_are_left_alone() {
        let mut fields = fields(&[("traceparent", "kept"), ("tracestate", "a=1")]);
        assert_eq!(read(&fields, &[Propagation::B3]), Caller::default());
        write(&mut fields, &[Propagation::B3], context(), None, false);
        assert_eq!(fields["traceparent"], "kept");
        assert_eq!(fields["tracestate"], "a=1");
    }

    #[test]
    fn baggage_passes_within_its_limit_where_it_is_wanted() {
        let both = [Propagation::TraceContext, Propagation::Baggage];
        for (forms, length, stays) in [(&both[..], 8191, true), (&both, 8192, false), (&both[..1], 1, false)] {
            let mut fields = fields(&[("baggage", &"x".repeat(length))]);
            limit_baggage(&mut fields, forms);
            assert_eq!(fields.contains_key("baggage"), stays, "{forms:?} {length}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_sent(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let found = b3(&value);
            prop_assert!(found.is_none_or(|found| found.context.is_some() || found.sampled.is_some()));
        }
    }
}
