//! What the claims of a token say (RFC 7519 section 4), once its signature is verified: whether it counts now and here,
//! and a claim by its place.

use std::time::Duration;

use serde_json::{Map, Value};

use super::base64url::decode;
use super::token::{Token, TokenFault};

/// Whose tokens are taken, for whom, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRules {
    /// Who must have issued it (`iss`); without one, anybody who has the key.
    pub issuer: Option<Box<str>>,
    /// It must be meant for one of these (`aud`); with none, for anybody.
    pub audiences: Vec<Box<str>>,
    /// How far clocks may be apart.
    pub clock_skew: Duration,
    /// The claim that names whom the token is about, by its place (see [`claim`]); usually `sub`.
    pub subject: Box<str>,
}

/// Claims that count.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// All of them.
    pub all: Map<String, Value>,
    /// Whom the token is about.
    pub subject: Box<str>,
    /// The end of the token, with the time clocks may be apart, since the epoch of Unix.
    pub end: Duration,
}

impl ClaimRules {
    /// The claims of a token whose signature was verified, if they count at `now` (since the epoch of Unix).
    ///
    /// # Errors
    /// When they do not.
    pub fn read(&self, token: &Token<'_>, now: Duration) -> Result<Claims, TokenFault> {
        let claims = decode(token.claims).ok_or(TokenFault::Malformed)?;
        let all: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_error| TokenFault::Malformed)?;
        if !all.values().all(|value| is_shallow(value, MAX_DEPTH)) {
            return Err(TokenFault::Claims);
        }
        if let Some(issuer) = &self.issuer
            && all.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenFault::Issuer);
        }
        if !self.audiences.is_empty() && !self.is_meant(all.get("aud")) {
            return Err(TokenFault::Audience);
        }
        let end = self.end(&all, now)?;
        let subject = claim(&all, &self.subject).and_then(Value::as_str).filter(|subject| is_name(subject));
        let subject = subject.ok_or(TokenFault::Subject)?.into();
        Ok(Claims { all, subject, end })
    }

    fn is_meant(&self, audience: Option<&Value>) -> bool {
        let known = |value: &Value| value.as_str().is_some_and(|name| self.audiences.iter().any(|own| **own == *name));
        match audience {
            Some(Value::Array(several)) => several.iter().any(known),
            Some(one) => known(one),
            None => false,
        }
    }

    /// The end of a token that counts now.
    fn end(&self, claims: &Map<String, Value>, now: Duration) -> Result<Duration, TokenFault> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => numeric_date(value).map(Some).ok_or(TokenFault::Claims),
        };
        let end = time("exp")?.ok_or(TokenFault::Expired)?.saturating_add(self.clock_skew);
        if now >= end {
            return Err(TokenFault::Expired);
        }
        if time("nbf")?.is_some_and(|begin| now.saturating_add(self.clock_skew) < begin) {
            return Err(TokenFault::NotYet);
        }
        Ok(end)
    }
}

/// Seconds since the epoch of Unix; a fraction is allowed (RFC 7519 section 2).
fn numeric_date(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64()?;
    // Beyond that it is no time that anybody means.
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time < LATEST)
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_shallow(item, depth - 1)),
        Value::Object(members) => depth > 0 && members.values().all(|item| is_shallow(item, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Whether it can be written into a header and a line of a log as it is.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && text.trim() == text && !text.chars().any(char::is_control)
}

/// The claim at `path`: the name of a claim, or names with dots between them that lead into objects, such as
/// `realm_access.roles`. Names may hold dots themselves: the longest name that is there counts.
#[must_use]
pub fn claim<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (inner, rest) = path.rmatch_indices('.').find_map(|(at, _)| {
        let (name, rest) = path.split_at_checked(at)?;
        Some((claims.get(name)?.as_object()?, rest.strip_prefix('.')?))
    })?;
    claim(inner, rest)
}

/// The words of a claim that is a list of texts, or one text with blanks between its words as `scope` is (RFC 8693
/// section 4.2). At most 128.
pub fn words(value: &Value) -> impl Iterator<Item = &str> {
    let (one, several) = match value {
        Value::String(text) => (Some(text.split_ascii_whitespace()), None),
        Value::Array(items) => (None, Some(items.iter().filter_map(Value::as_str))),
        _ => (None, None),
    };
    one.into_iter().flatten().chain(several.into_iter().flatten()).take(MAX_WORDS)
}

/// Objects and lists within each other, below a claim.
const MAX_DEPTH: usize = 8;
/// Bytes of a subject: more than any id has.
const MAX_NAME: usize = 512;
/// Words of one claim.
const MAX_WORDS: usize = 128;
/// The year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_800);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::base64url::encode;

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn rules() -> ClaimRules {
        ClaimRules {
            issuer: Some("https://login.example/".into()),
            audiences: vec!["agents".into(), "tools".into()],
            clock_skew: Duration::from_secs(60),
            subject: "sub".into(),
        }
    }

    fn read(rules: &ClaimRules, claims: &str) -> Result<Claims, TokenFault> {
        let text = format!("{}.{}.c2ln", encode(br#"{"alg":"ES256"}"#), encode(claims.as_bytes()));
        rules.read(&Token::read(&text).unwrap(), NOW)
    }

    fn usual() -> Value {
        json!({ "iss": "https://login.example/", "aud": "agents", "sub": "ann", "exp": 1_000_300 })
    }

    #[test]
    fn tokens_count_for_their_issuer_audience_and_time() {
        use TokenFault::{Audience, Claims as Form, Expired, Issuer, NotYet, Subject};
        for (name, value, expected) in [
            ("x", json!(1), Ok(())),
            ("iss", json!(null), Err(Issuer)),
            ("iss", json!("https://login.example"), Err(Issuer)),
            ("iss", json!(["https://login.example/"]), Err(Issuer)),
            ("aud", json!(["x", "tools"]), Ok(())),
            ("aud", json!(["x"]), Err(Audience)),
            ("aud", json!("Agents"), Err(Audience)),
            ("aud", json!(null), Err(Audience)),
            ("aud", json!({ "agents": 1 }), Err(Audience)),
            ("aud", json!([["agents"]]), Err(Audience)),
            // The clocks may be a minute apart.
            ("exp", json!(1_000_000), Ok(())),
            ("exp", json!(999_940.5), Ok(())),
            ("exp", json!(999_940), Err(Expired)),
            ("exp", json!(0), Err(Expired)),
            ("exp", json!("1000300"), Err(Form)),
            ("exp", json!(null), Err(Form)),
            ("exp", json!(-1), Err(Form)),
            ("exp", json!(1e300), Err(Form)),
            ("exp", json!(253_402_300_800_u64), Err(Form)),
            ("nbf", json!(1_000_060), Ok(())),
            ("nbf", json!(1_000_061), Err(NotYet)),
            ("nbf", json!("0"), Err(Form)),
            ("sub", json!(null), Err(Subject)),
            ("sub", json!(7), Err(Subject)),
            ("sub", json!(""), Err(Subject)),
            ("sub", json!("ann\r\nx-admin: 1"), Err(Subject)),
            ("sub", json!(" ann"), Err(Subject)),
            ("sub", json!("a".repeat(513)), Err(Subject)),
            ("sub", json!("Änn"), Ok(())),
        ] {
            let mut claims = usual();
            claims[name] = value.clone();
            assert_eq!(read(&rules(), &claims.to_string()).map(drop), expected, "{name}: {value}");
        }
    }

    #[test]
    fn what_a_token_must_have() {
        use TokenFault::{Audience, Expired, Issuer, Subject};
        for (name, expected) in [("iss", Issuer), ("aud", Audience), ("exp", Expired), ("sub", Subject)] {
            let mut claims = usual();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&rules(), &claims.to_string()), Err(expected));
        }
        let lax = ClaimRules { issuer: None, audiences: Vec::new(), ..rules() };
        let claims = read(&lax, r#"{"sub":"ann","exp":1000300}"#).unwrap();
        assert_eq!((&*claims.subject, claims.end), ("ann", Duration::from_secs(1_000_360)));
        let by_mail = ClaimRules { subject: "user.mail".into(), ..lax };
        let claims = read(&by_mail, r#"{"sub":"7","user":{"mail":"ann@corp.example"},"exp":1000300}"#).unwrap();
        assert_eq!(&*claims.subject, "ann@corp.example");
        assert_eq!(read(&by_mail, r#"{"sub":"7","exp":1000300}"#), Err(Subject), "there is no other name than that");
    }

    #[test]
    fn claims_are_an_object_and_not_deep() {
        for text in ["", "7", "[]", "null", "{", r#"{"sub":"ann"} x"#, "\u{feff}{}"] {
            assert_eq!(read(&rules(), text), Err(TokenFault::Malformed), "{text}");
        }
        for (depth, expected) in [(MAX_DEPTH, Ok(())), (MAX_DEPTH + 1, Err(TokenFault::Claims))] {
            let mut claims = usual();
            claims["deep"] = (0..depth).fold(json!(1), |inner, _| json!([inner]));
            assert_eq!(read(&rules(), &claims.to_string()).map(drop), expected, "{depth}");
        }
        let deepest = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(read(&rules(), &format!(r#"{{"a":{deepest}}}"#)), Err(TokenFault::Malformed));
    }

    #[test]
    fn claims_by_their_place() {
        let claims = json!({
            "scope": "read write", "a.b": 1, "a": { "b": 2, "c": { "d": 3 }, "c.d": 4 },
            "https://example.com/roles": ["admin"], "x.y": { "z": 5 }, "x": { "y": { "z": 6, "w": 7 } },
        });
        let claims = claims.as_object().unwrap();
        for (path, expected) in [
            ("scope", Some(json!("read write"))),
            ("a.b", Some(json!(1))),
            ("a.c.d", Some(json!(4))),
            ("https://example.com/roles", Some(json!(["admin"]))),
            ("x.y.z", Some(json!(5))),
            ("x.y.w", None),
            ("scope.x", None),
            ("a.", None),
            (".a", None),
            ("", None),
            ("b", None),
        ] {
            assert_eq!(claim(claims, path).cloned(), expected, "{path}");
        }
    }

    #[test]
    fn words_of_a_claim() {
        for (value, expected) in [
            (json!("read  write"), vec!["read", "write"]),
            (json!(["a b", 7, "c"]), vec!["a b", "c"]),
            (json!(7), vec![]),
            (json!({ "a": 1 }), vec![]),
        ] {
            assert_eq!(words(&value).collect::<Vec<_>>(), expected);
        }
        assert_eq!(words(&json!(vec!["a"; 1000])).count(), MAX_WORDS);
    }
}
