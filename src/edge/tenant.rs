//! The tenant that a client proves: where `tenants.claim` names a claim, who is known by a token acts for the tenant in
//! it and for no other. What the client says besides must be the same.

use http::HeaderMap;

use super::exchange::Exchange;
use super::stage::Entry;
use crate::config::model::Config;
use crate::context::{Principal, all_spellings};
use crate::error::Error;

/// Takes the tenant from what was proven. Who proves none on a route that asks for credentials may name none.
pub(super) fn prove(exchange: &mut Exchange, entry: &Entry) -> Result<(), Error> {
    let principal = exchange.client.identity.principal.as_deref();
    if let Some(proven) = proven(entry.config(), principal, exchange.message()?.headers())? {
        exchange.client.identity.tenant = proven.map(Box::from);
        exchange.request.is_tenant_proven = true;
    }
    Ok(())
}

/// The tenant that a client has proven; `None` where none has to be. The header may name no other, however often it
/// comes and however it is spelled: which of them an agent reads is not known here.
pub(super) fn proven<'p>(
    config: &Config,
    principal: Option<&'p Principal>,
    fields: &HeaderMap,
) -> Result<Option<Option<&'p str>>, Error> {
    let Some(claim) = &config.tenants.claim else { return Ok(None) };
    let proven = principal.and_then(|principal| principal.tenant(claim));
    let mut named = config.tenants.header.iter().flat_map(|name| all_spellings(fields, name));
    let is_other =
        named.any(|value| !value.is_empty() && proven.is_none_or(|proven| value.as_bytes() != proven.as_bytes()));
    if is_other { Err(Error::TenantMismatch) } else { Ok(Some(proven)) }
}

/// Compares the tenant with that of the call, now that it is known. A call that could not be read was refused before.
pub(super) fn compare(exchange: &Exchange) -> Result<(), Error> {
    let proven = exchange.client.identity.tenant.as_deref();
    let mut named = exchange.call.iter().flat_map(|call| call.tenants());
    if exchange.request.is_tenant_proven && named.any(|named| !named.is_empty() && proven != Some(named)) {
        return Err(Error::TenantMismatch);
    }
    Ok(())
}
