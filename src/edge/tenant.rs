//! The tenant that a client proves: where `tenants.claim` names a claim, who is known by a token acts for the tenant in
//! it and for no other. What the client says besides must be the same.

use super::exchange::Exchange;
use super::stage::Entry;
use crate::error::Error;

/// Takes the tenant from what was proven. Who proves none on a route that asks for credentials may name none.
pub(super) fn prove(exchange: &mut Exchange, entry: &Entry) -> Result<(), Error> {
    let Some(claim) = &entry.config().tenants.claim else { return Ok(()) };
    let identity = &mut exchange.client.identity;
    let principal = identity.principal.as_deref();
    let proven = principal.and_then(|principal| principal.claims.get(claim.as_str())?.as_str());
    let proven: Option<Box<str>> = proven.filter(|tenant| !tenant.is_empty()).map(Box::from);
    if identity.tenant.as_ref().is_some_and(|named| proven.as_ref() != Some(named)) {
        return Err(Error::TenantMismatch);
    }
    identity.tenant = proven;
    exchange.request.is_tenant_proven = true;
    Ok(())
}

/// Compares the tenant with that of the call, now that it is known. A call that could not be read was refused before.
pub(super) fn compare(exchange: &Exchange) -> Result<(), Error> {
    let identity = &exchange.client.identity;
    if !exchange.request.is_tenant_proven {
        return Ok(());
    }
    let named = exchange.call.as_deref().and_then(|call| call.ids().tenant).filter(|tenant| !tenant.is_empty());
    if named.is_some_and(|named| identity.tenant.as_deref() != Some(named)) {
        return Err(Error::TenantMismatch);
    }
    Ok(())
}
