//! A signed token in its compact form (RFC 7515 section 7.1): three parts, and what its head says that matters. What a
//! head says of where to find a key (`jku`, `jwk`, `x5u`, `x5c`) is not read at all.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::algorithm::Algorithm;
use super::base64url::decode;

/// A token whose signature nobody has looked at yet.
#[derive(Debug)]
pub struct Token<'t> {
    /// How it says it is signed.
    pub algorithm: Algorithm,
    /// The name of the key it says it is signed with. Compared, never followed.
    pub key_id: Option<Box<str>>,
    /// Head and claims as they were signed.
    pub(super) message: &'t str,
    pub(super) claims: &'t str,
    pub(super) signature: &'t str,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is larger than [`MAX_TOKEN`].
    #[error("the token is too large")]
    TooLarge,
    /// It is not three parts in base64url with JSON in the first two.
    #[error("not a signed token")]
    Malformed,
    /// Its head asks for something that is not understood (`crit`), or names another type of token.
    #[error("a head that is not understood")]
    Head,
    /// It is signed in a way that is not allowed, or not at all.
    #[error("an algorithm that is not allowed")]
    Algorithm,
    /// None of the keys can have signed it.
    #[error("an unknown key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("a wrong signature")]
    Signature,
    /// Its time is over, or it has no end.
    #[error("expired, or without `exp`")]
    Expired,
    /// Its time has not begun.
    #[error("not valid yet")]
    NotYet,
    /// Somebody else issued it.
    #[error("another issuer")]
    Issuer,
    /// It is meant for others.
    #[error("another audience")]
    Audience,
    /// It names nobody, or in a way that could not be passed on.
    #[error("no usable name in it")]
    Subject,
    /// Its claims are nested too deeply, or a claim of RFC 7519 has another form.
    #[error("claims of another form")]
    Claims,
}

impl TokenFault {
    /// Its word in the log and as a label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Head => "head",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Claims => "claims",
        }
    }
}

#[derive(Deserialize)]
struct Head<'h> {
    #[serde(borrow)]
    alg: Cow<'h, str>,
    #[serde(borrow)]
    kid: Option<Cow<'h, str>>,
    #[serde(borrow)]
    typ: Option<Cow<'h, str>>,
    crit: Option<IgnoredAny>,
}

impl<'t> Token<'t> {
    /// Reads the head of a token. Nothing it says is true yet.
    ///
    /// # Errors
    /// When it is no token that could ever be taken.
    pub fn read(text: &'t str) -> Result<Self, TokenFault> {
        if text.len() > MAX_TOKEN {
            return Err(TokenFault::TooLarge);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (head, claims) = message.split_once('.').ok_or(TokenFault::Malformed)?;
        if claims.contains('.') {
            return Err(TokenFault::Malformed);
        }
        let head = decode(head).ok_or(TokenFault::Malformed)?;
        let head: Head<'_> = serde_json::from_slice(&head).map_err(|_error| TokenFault::Malformed)?;
        if head.crit.is_some() || !head.typ.is_none_or(|typ| is_access_token(&typ)) {
            return Err(TokenFault::Head);
        }
        let algorithm = Algorithm::of_name(&head.alg).ok_or(TokenFault::Algorithm)?;
        let key_id = head.kid.map(|kid| kid.into_owned().into_boxed_str());
        Ok(Self { algorithm, key_id, message, claims, signature })
    }
}

/// Types of tokens that say who somebody is (RFC 7519 section 5.1, RFC 9068 section 2.1). Tokens of other types, such
/// as those that log somebody out, are signed with the same keys and mean something else (RFC 8725 section 3.11).
fn is_access_token(typ: &str) -> bool {
    let typ = match typ.split_at_checked(APPLICATION.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(APPLICATION) => rest,
        _ => typ,
    };
    ["jwt", "at+jwt", "jose"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

const APPLICATION: &str = "application/";
/// Bytes a token may have.
pub const MAX_TOKEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jose::base64url::encode;

    fn token(head: &str) -> String {
        format!("{}.{}.c2ln", encode(head.as_bytes()), encode(b"{}"))
    }

    #[test]
    fn heads() {
        use TokenFault::{Algorithm as Alg, Head, Malformed};
        for (head, expected) in [
            (r#"{"alg":"ES256"}"#, Ok(None)),
            (r#"{"alg":"ES256","typ":"JWT","kid":"a"}"#, Ok(Some("a"))),
            (r#"{"alg":"ES256","typ":"application/AT+JWT"}"#, Ok(None)),
            (r#"{"alg":"ES256","kid":"../../etc/passwd"}"#, Ok(Some("../../etc/passwd"))),
            (r#"{"alg":"ES256","jwk":{"kty":"oct","k":"AA"},"jku":"http://evil/","x5u":"http://evil/"}"#, Ok(None)),
            (r#"{"alg":"none"}"#, Err(Alg)),
            (r#"{"alg":"nOnE"}"#, Err(Alg)),
            (r#"{"alg":""}"#, Err(Alg)),
            (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, Err(Head)),
            (r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, Err(Head)),
            (r#"{"alg":"ES256","crit":[]}"#, Err(Head)),
            (r#"{"alg":"ES256","typ":"logout+jwt"}"#, Err(Head)),
            (r#"{"alg":"ES256","typ":"dpop+jwt"}"#, Err(Head)),
            (r#"{"alg":"none","alg":"ES256"}"#, Err(Malformed)),
            (r#"{"alg":"ES256","kid":"a","kid":"b"}"#, Err(Malformed)),
            (r#"{"alg":"ES256","kid":7}"#, Err(Malformed)),
            (r#"{"alg":["ES256"]}"#, Err(Malformed)),
            (r#"{"typ":"JWT"}"#, Err(Malformed)),
            (r#"["ES256"]"#, Err(Malformed)),
            ("", Err(Malformed)),
        ] {
            let text = token(head);
            let read = Token::read(&text);
            let found = read.as_ref().map(|token| token.key_id.as_deref()).map_err(|fault| *fault);
            assert_eq!(found, expected, "{head}");
        }
    }

    #[test]
    fn a_token_has_three_parts_and_a_limit() {
        let head = encode(br#"{"alg":"ES256"}"#);
        for text in ["", ".", "..", "a.b.c", &*head, &format!("{head}.e30"), &format!("{head}.e30.e30.e30")] {
            assert_eq!(Token::read(text).unwrap_err(), TokenFault::Malformed, "{text}");
        }
        let long = format!("{head}.{}.c2ln", "A".repeat(MAX_TOKEN));
        assert_eq!(Token::read(&long).unwrap_err(), TokenFault::TooLarge);
        let standard = format!("{}=.e30.c2ln", encode(br#"{"alg":"ES256"} "#));
        assert_eq!(Token::read(&standard).unwrap_err(), TokenFault::Malformed, "padding is no part of it");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC{0,200}") {
            let _read = Token::read(&text).is_ok();
        }

        #[test]
        fn no_head_breaks_it(head in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = format!("{}.e30.c2ln", encode(&head));
            let read = Token::read(&text);
            prop_assert!(read.is_err() || serde_json::from_slice::<serde_json::Value>(&head).is_ok());
        }
    }
}
