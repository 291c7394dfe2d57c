//! `authProviders.X` and `routes.X.auth`.

use std::fmt;
use std::path::PathBuf;

use http::{HeaderName, Method};
use schemars::json_schema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::basic::Basic;
use super::client_certificate::ClientCertificates;
use super::external::External;
use super::jwt::Jwt;
use super::retries::FieldName;
use super::{Boxed, Many, OrOff, Verb, Written, choice, schema_of, section, text_or};
use crate::config::de::with_hint;
use crate::config::types::{PathMatch, PublicUrl};

section! {
    #[derive()]
    /// What proves who a client is. Exactly one kind is given.
    pub(in crate::config) struct AuthProvider {
        /// Keys that clients send with each request.
        api_key: Option<Box<ApiKey>> as Boxed<ApiKey>; whole one of kind,
        /// Names and passwords.
        basic: Option<Basic>; whole one of kind,
        /// Certificates that clients have shown to the listener.
        client_certificate: Option<Box<ClientCertificates>> as Boxed<ClientCertificates>; whole one of kind,
        /// Signed tokens (JWT, RFC 7519).
        jwt: Option<Box<Jwt>> as Boxed<Jwt>; whole one of kind,
        /// A server that is asked, as `auth_request` and `forwardAuth` do.
        external: Option<Box<External>> as Boxed<External>; whole one of kind,
    }

    #[derive()]
    /// API keys. Clients put theirs into one of `header`, `bearer` and `query`.
    pub(in crate::config) struct ApiKey {
        /// The header field with the key. Default: x-api-key.
        header: Option<HeaderName> as FieldName; one of carrier,
        /// Take the key from `Authorization: Bearer KEY`.
        bearer: bool = false,
        /// The query parameter with the key. Others write addresses down: prefer a header.
        query: Option<String>; one of carrier,
        /// File with a line `name:sha256hex` for each key, or `name:sha256hex:role,role`; read again when it changes,
        /// relative to this file. Required.
        keys_file: PathBuf as String; empty,
    }

    #[derive()]
    /// Who may come in. One of `anyOf` and `allOf` is given.
    pub(in crate::config) struct Auth {
        /// Providers of which one must know the client. The first whose credentials the client presents decides.
        any_of: Vec<String> as Many<String> = [],
        /// Providers that must all know the client. The first says who it is, and the roles of all are put together.
        all_of: Vec<String> as Many<String> = [],
        /// What needs no credentials: `cards` (agent cards by their well-known names), `health` (GET of `/health`,
        /// `/healthz`, `/livez`, `/readyz` or `/a2a/health`), or `{ path: .., methods: .. }`.
        except: Vec<AuthException> as Many<AuthException> = [],
        /// Let requests without credentials pass as nobody's. Wrong credentials are refused all the same.
        optional: bool = false,
        /// What becomes of the credentials: `strip` takes them out of what agents get, `pass` leaves them in.
        credentials: Credentials = strip,
        /// Header fields that tell agents who the client is. No client can set them itself.
        identity_headers: IdentityHeaders = {},
        /// Where clients get tokens (OAuth 2.0 Protected Resource Metadata, RFC 9728): a document at the well-known
        /// name, which refused clients are told.
        resource_metadata: Option<Box<ResourceMetadata>> as OrOff<Boxed<ResourceMetadata>> = off,
        /// What clients are told that the credentials are for (`realm`, RFC 9110 section 11.5).
        realm: String = agents,
    }

    #[derive(PartialEq, Eq)]
    /// Header fields that tell agents who the client is.
    pub struct IdentityHeaders {
        /// The field with the name of the principal.
        principal: Option<HeaderName> as FieldName,
        /// The field with the provider that knows it.
        provider: Option<HeaderName> as FieldName,
        /// The field with its roles, as a list with commas.
        roles: Option<HeaderName> as FieldName,
        /// The field with its SPIFFE id.
        spiffe: Option<HeaderName> as FieldName,
    }

    #[derive(PartialEq, Eq)]
    /// What the metadata of a protected resource says.
    pub struct ResourceMetadata {
        /// The issuers whose tokens are taken, letter for letter.
        authorization_servers: Vec<String> as Many<String> = [],
        /// The identifier of the resource, a URL without a query. Default: the public address of the route.
        resource: Option<Box<PublicUrl>>,
        /// Scopes that clients ask for.
        scopes: Vec<String> as Many<String> = [],
        /// A name for people.
        name: Option<String>,
        /// The URL of a page for developers.
        documentation: Option<String>,
    }

    #[derive()]
    /// What needs no credentials.
    pub(in crate::config) struct PublicPath {
        /// The path. Required.
        path: Option<PathMatch>,
        /// Methods; none of them are all.
        methods: Vec<Method> as Many<Verb> = [],
    }
}

choice! {
    /// What becomes of credentials.
    pub enum Credentials {
        /// Agents do not see them.
        Strip = ["strip", "remove"],
        /// Agents see them.
        Pass = ["pass", "keep"],
    }
}

impl IdentityHeaders {
    /// The fields that are given.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.principal, &self.provider, &self.roles, &self.spiffe].into_iter().flatten()
    }
}

/// One entry of `except`.
#[derive(Clone, Debug)]
pub(in crate::config) enum AuthException {
    Cards,
    Health,
    Path(Box<PublicPath>),
}

impl TryFrom<PublicPath> for AuthException {
    type Error = String;
    fn try_from(path: PublicPath) -> Result<Self, String> {
        if path.path.is_none() {
            return Err(with_hint("an exception names a path", "write `{ path: { exact: /health } }`"));
        }
        Ok(Self::Path(Box::new(path)))
    }
}

text_or!(
    AuthException, PublicPath, "`cards`, `health` or `{ path: .., methods: .. }`",
    |text| match text.to_ascii_lowercase().as_str() {
        "cards" | "card" | "agent-cards" | "agentcards" => Ok(Self::Cards),
        "health" => Ok(Self::Health),
        _ => Err(with_hint(format!("`{text}` is not known here"), "write `cards`, `health`, or `{ path: { exact: /x } }`")),
    },
    { "type": "string" }
);

/// `routes.X.auth` as it is written: the name of a provider, a list of names, or all of it.
#[derive(Clone, Debug)]
pub(in crate::config) struct AuthForm(Box<Auth>);

impl Written<Box<Auth>> for AuthForm {
    fn meaning(self) -> Box<Auth> {
        self.0
    }
}

impl<'de> Deserialize<'de> for AuthForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        let any_of = |any_of| Self(Box::new(Auth { any_of, ..Auth::default() }));
        impl<'de> Visitor<'de> for Either {
            type Value = Result<Vec<String>, Auth>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a provider, a list of names, or a mapping")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Ok(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Ok)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Auth::deserialize(MapAccessDeserializer::new(map)).map(Err)
            }
        }
        let read = deserializer.deserialize_str(Either)?;
        Ok(read.map_or_else(|whole| Self(Box::new(whole)), any_of))
    }
}

schema_of!(AuthForm as "AuthForm", |generator| {
    json_schema!({ "anyOf": [
        { "type": "string" },
        { "type": "array", "items": { "type": "string" } },
        generator.subschema_for::<Auth>()
    ] })
});
