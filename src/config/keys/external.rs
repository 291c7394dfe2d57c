//! `authProviders.X.external`.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::retries::FieldName;
use super::{Count, Limit, Many, choice, section};
use crate::config::types::WebUrl;

section! {
    #[derive()]
    /// A server that decides about each request, as nginx's `auth_request` and Traefik's `forwardAuth` have it. It is
    /// asked with GET and never sees a body: 2xx lets the request pass; 401, 403, 404, 429 and redirects are what the
    /// client is answered, and other 4xx a 403.
    pub(in crate::config) struct External {
        /// Whom to ask. Required.
        url: Option<WebUrl>,
        /// How long the answer may take.
        timeout: Duration as Limit = 2s,
        /// Fields of the request that the server sees. Beside these it sees `X-Forwarded-Method`, `-Proto`, `-Host`,
        /// `-Uri` and `-For`, and `X-Original-URL`.
        forward_headers: Vec<HeaderName> as Many<FieldName> = [authorization, cookie],
        /// Fields of the server's 2xx answer that agents get. No client can set these fields itself.
        copy_headers: Vec<HeaderName> as Many<FieldName> = [],
        /// Fields of the server's refusal that the client gets.
        refusal_headers: Vec<HeaderName> as Many<FieldName> = [www-authenticate, location, retry-after],
        /// The field of the server's answer with the name of the client. An answer without it lets nobody pass.
        /// Default: none, the client has the name of this provider.
        principal_header: Option<HeaderName> as FieldName,
        /// The field of the server's answer with the roles of the client, with commas between them.
        roles_header: Option<HeaderName> as FieldName,
        /// How long a 2xx answer counts for further requests. Default: for one request.
        cache: Option<ExternalCache>,
        /// What happens when the server gives no answer that decides, such as 5xx: `refuse` (503), or `allow`, which
        /// lets everybody pass as nobody.
        on_failure: OnAuthFailure = refuse,
        /// Questions that a gateway has open; further requests are refused with 503.
        max_concurrent: usize as Count<1, 100_000> = 256,
        /// PEM bundle of the authorities that vouch for the server; relative to this file. Default: the system's.
        ca_file: Option<PathBuf> as String,
    }

    #[derive()]
    /// Answers that count for a while.
    pub(in crate::config) struct ExternalCache {
        /// How long.
        ttl: Duration as Limit = 30s,
        /// For which requests: for those that are equal in all the server sees (`request`), or for all with the same
        /// `forwardHeaders` (`credentials`), where the server looks at nothing else.
        scope: CacheScope = request,
    }
}

choice! {
    /// What happens when a server that decides does not.
    pub enum OnAuthFailure {
        /// Nobody passes.
        Refuse = ["refuse", "deny", "closed"],
        /// Everybody passes, as nobody.
        Allow = ["allow", "open"],
    }
}

choice! {
    /// For which requests an answer counts.
    pub enum CacheScope {
        /// For those that are equal in all the server sees.
        Request = ["request"],
        /// For those with the same credentials.
        Credentials = ["credentials"],
    }
}
