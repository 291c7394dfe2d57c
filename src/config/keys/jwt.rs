//! `authProviders.X.jwt`.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::retries::FieldName;
use super::{Boxed, Limit, Many, Named, Time, section, word_values, words};
use crate::config::types::WebUrl;
use crate::jose::Algorithm;

section! {
    #[derive()]
    /// Signed tokens (JWT, RFC 7519). Their keys come from one of `jwks` and `secretFile`.
    pub(in crate::config) struct Jwt {
        /// Who must have issued a token: its `iss`, letter by letter. Default: anybody who has the key.
        issuer: Option<String>,
        /// A token must be meant for one of these: its `aud`. With none it may be meant for anybody.
        audiences: Vec<String> as Many<String> = [],
        /// The public keys of the issuer.
        jwks: Option<Box<Jwks>> as Boxed<Jwks>; whole one of keys,
        /// File with the secret that tokens are signed with, for HS256, HS384 and HS512; read again when it changes,
        /// relative to this file. Default: none, the keys are public ones.
        secret_file: Option<PathBuf> as String; one of keys,
        /// Ways of signing that are accepted; what a token says of itself chooses among these only. Default: RS256,
        /// ES256 and EdDSA with `jwks`, HS256 with `secretFile`.
        algorithms: Option<Vec<Algorithm>> as Many<Algorithm>,
        /// How far clocks may be apart when the times of a token are judged.
        clock_skew: Duration as Time = 60s,
        /// The field with the token, and nothing else in it. Default: `Authorization: Bearer TOKEN`.
        header: Option<HeaderName> as FieldName,
        /// Claims that agents get, with the field for each. No client can set these fields itself. A claim within
        /// others is written with dots: `realm_access.level`.
        forward_claims: Vec<(String, FieldName)> as Named<FieldName> = {},
        /// The claim with the name of a client. A token without it is refused.
        principal_claim: String = sub,
        /// The claim with the roles of a client: a list, or words with blanks between them as in `scope`.
        roles_claim: String = roles,
        /// The trust domain whose SPIFFE ids this issuer gives to clients, in `sub` (JWT-SVID). Default: none, `sub` is
        /// no SPIFFE id.
        trust_domain: Option<String>,
    }

    #[derive()]
    /// Public keys as a set (JWKS, RFC 7517), from a `file` or a `url`.
    pub(in crate::config) struct Jwks {
        /// File with the set; read again when it changes, relative to this file.
        file: Option<PathBuf> as String; one of place,
        /// Where the issuer publishes it. Redirects are not followed.
        url: Option<WebUrl>; one of place,
        /// How often the URL is asked. An unknown key makes the gateway ask at once, every 10 s at most.
        refresh: Duration as Limit = 10m,
        /// How long keys count that could not be fetched again, beyond `refresh`. After that nobody gets in.
        stale_for: Duration as Time = 12h,
        /// PEM bundle of the authorities that vouch for the URL; relative to this file. Default: the system's.
        ca_file: Option<PathBuf> as String,
    }
}

words!(
    Algorithm, "Algorithm",
    Self::Hs256 => ["HS256"],
    Self::Hs384 => ["HS384"],
    Self::Hs512 => ["HS512"],
    Self::Rs256 => ["RS256"],
    Self::Rs384 => ["RS384"],
    Self::Rs512 => ["RS512"],
    Self::Ps256 => ["PS256"],
    Self::Ps384 => ["PS384"],
    Self::Ps512 => ["PS512"],
    Self::Es256 => ["ES256"],
    Self::Es384 => ["ES384"],
    Self::EdDsa => ["EdDSA"],
);

word_values!(Algorithm);
