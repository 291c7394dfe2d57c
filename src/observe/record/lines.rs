//! A record as a line of text: for people, or in the formats that NCSA's and Apache's servers write and every tool
//! reads.

use http::Version;
use http::header::REFERER;

use super::text::{address, escape, masked_path, milliseconds, number, shortened, string, words};
use super::{AccessRecord, RecordNames, RecordPlan};
use crate::observe::clock::Clock;

/// Appends `record` to `out` as one line for people, with colour if asked.
pub fn write_text(record: &AccessRecord<'_>, clock: &mut Clock, color: bool, out: &mut Vec<u8>) {
    let (paint, dim, plain) = if color { (status_color(record.status), "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let time_of_day = clock.stamp(record.time).get(11..23).unwrap_or_default();
    words(out, &[dim.as_bytes(), time_of_day, plain.as_bytes(), b" ", paint.as_bytes()]);
    out.extend_from_slice(itoa::Buffer::new().format(record.status).as_bytes());
    words(out, &[plain.as_bytes(), b" "]);
    escape(out, record.method.as_bytes());
    out.push(b' ');
    escape(out, record.authority.as_bytes());
    masked_path(out, record.path);
    out.push(b' ');
    milliseconds(out, "", record.duration);
    out.extend_from_slice(b"ms ");
    out.extend_from_slice(itoa::Buffer::new().format(record.bytes_sent).as_bytes());
    out.push(b'B');
    if record.stream {
        out.extend_from_slice(b" stream");
    }
    if let Some(endpoint) = record.endpoint {
        out.extend_from_slice(b" -> ");
        escape(out, record.names.map_or("", RecordNames::cluster).as_bytes());
        out.push(b'/');
        escape(out, endpoint.as_bytes());
    }
    if record.attempts > 1 {
        number(out, " attempts=", record.attempts);
    }
    if let Some(reason) = record.reason {
        words(out, &[b" ", paint.as_bytes(), reason.as_bytes(), plain.as_bytes()]);
    }
    if let Some(error) = record.upstream_error {
        string(out, " upstream_error=", error.as_bytes());
    }
    words(out, &[b" ", dim.as_bytes()]);
    address(out, record.client_ip);
    out.push(b' ');
    escape(out, record.request_id);
    words(out, &[plain.as_bytes(), b"\n"]);
}

/// Appends `record` to `out` in the Common Log Format. A quote in a text is written as `\"`.
pub fn write_common(record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    common(record, clock, out);
    out.push(b'\n');
}

/// The same with the page that refers to it, as far as `plan` shows that, and the client's program.
pub fn write_combined(plan: &RecordPlan, record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    common(record, clock, out);
    out.extend_from_slice(b" \"");
    match record.request_fields.iter().find(|field| field.name == REFERER) {
        Some(referrer) => plan.write_value(referrer, out),
        None => out.push(b'-'),
    }
    string(out, "\" ", record.user_agent.map_or(b"-", shortened));
    out.push(b'\n');
}

fn common(record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    address(out, record.client_ip);
    out.extend_from_slice(b" - ");
    word(out, record.principal.filter(|name| !name.is_empty()).unwrap_or("-").as_bytes());
    out.extend_from_slice(b" [");
    date(out, clock.stamp(record.time));
    out.extend_from_slice(b" +0000] \"");
    escape(out, record.method.as_bytes());
    out.push(b' ');
    masked_path(out, record.path);
    words(out, &[b" ", numbered(record.proto).as_bytes(), b"\" "]);
    number(out, "", record.status);
    number(out, " ", record.bytes_sent);
}

/// A text that must stay one word.
fn word(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    escape(out, text);
    out.iter_mut().skip(start).filter(|byte| **byte == b' ').for_each(|byte| *byte = b'+');
}

/// `20/Nov/2026:18:30:01` of `2026-11-20T18:30:01.123Z`.
fn date(out: &mut Vec<u8>, stamp: &[u8]) {
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    let number = part(5, 7).iter().fold(0_usize, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
    let month = MONTHS.get(number.wrapping_sub(1)).map_or("---", |month| *month);
    words(out, &[part(8, 10), b"/", month.as_bytes(), b"/", part(0, 4), b":", part(11, 19)]);
}

/// What reads these formats expects a digit, a point and a digit.
fn numbered(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn status_color(status: u16) -> &'static str {
    match status {
        0..400 => "\x1b[32m",
        400..500 => "\x1b[33m",
        _ => "\x1b[31m",
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::super::tests::{plans, record};
    use super::*;
    use crate::observe::record::NotedField;

    fn line(record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        write_common(record, &mut Clock::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_common_format() {
        let expected = "192.0.2.10 - - [20/Nov/2026:18:30:01 +0000] \"POST /a2a HTTP/1.1\" 200 18446744073709551615\n";
        assert_eq!(line(&record()), expected);
        for (name, shown) in [("ann", "ann"), ("ann lee", "ann+lee"), ("a\"b\n", "a\\\"b\\n"), ("", "-")] {
            let line = line(&AccessRecord { principal: Some(name), ..record() });
            assert!(line.starts_with(&format!("192.0.2.10 - {shown} [")), "{line}");
        }
        let long_ago = AccessRecord { time: std::time::Duration::ZERO, proto: Version::HTTP_2, ..record() };
        let line = line(&AccessRecord { path: "/a b\"?token=secret", ..long_ago });
        assert!(line.contains("[01/Jan/1970:00:00:00 +0000] \"POST /a b\\\"?token=* HTTP/2.0\""), "{line}");
    }

    #[test]
    fn the_combined_format() {
        let plans = plans("{ format: combined }");
        let plan = plans.of(0).unwrap();
        let noted = |value: &[u8]| [NotedField { name: REFERER, value: value.into() }];
        for (referrer, expected) in
            [(&b"https://a.example/?key=secret"[..], "\"https://a.example/?key=*\""), (b"a\"\xff", "\"a\\\"\u{fffd}\"")]
        {
            let fields = noted(referrer);
            let mut out = Vec::new();
            let record = AccessRecord { request_fields: &fields, user_agent: Some(b"sdk/1"), ..record() };
            write_combined(plan, &record, &mut Clock::default(), &mut out);
            let line = String::from_utf8(out).unwrap();
            assert!(line.ends_with(&format!("18446744073709551615 {expected} \"sdk/1\"\n")), "{line}");
        }
        let mut out = Vec::new();
        write_combined(plan, &record(), &mut Clock::default(), &mut out);
        assert!(out.ends_with(b" \"-\" \"-\"\n"), "{}", String::from_utf8_lossy(&out));
    }
}
