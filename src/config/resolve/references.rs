//! What a route may refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;

use super::{authorization, limits::Found, screening};
use crate::config::model::{AuthProvider, ClusterId, ListenerId};

/// What a route may refer to.
pub(super) struct References<'a> {
    pub(super) listeners: &'a BTreeMap<String, ListenerId>,
    /// For each listener, whether it only redirects.
    pub(super) redirects: &'a [bool],
    pub(super) clusters: &'a BTreeMap<String, ClusterId>,
    /// Rate limits; those of routes are added.
    pub(super) limits: &'a mut Found,
    /// Who proves who clients are, in name order.
    pub(super) providers: &'a [Arc<AuthProvider>],
    /// Authorization policies; those of routes are added.
    pub(super) authorization: &'a mut authorization::Found,
    /// What requests are searched for; that of routes is added.
    pub(super) screenings: &'a mut screening::Found,
    /// The header that names the tenant.
    pub(super) tenant_header: Option<&'a HeaderName>,
}
