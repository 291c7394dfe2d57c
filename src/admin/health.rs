//! What probes ask about: started, ready, draining, and the named checks behind the verdict.

/// Outcome of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not as it should be, but traffic is served.
    Degraded,
    /// Traffic must go elsewhere.
    Failing,
}

/// One named fact behind the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, for example `cluster agents`.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// In words.
    pub detail: String,
}

/// State shared by the gateway, which sets it, and the listener, which shows it.
#[derive(Debug, Default)]
pub struct Health {}

impl Health {
    /// Nothing started yet. `checks` is called for every probe and must be quick.
    pub fn new(checks: impl Fn() -> Vec<Check> + Send + Sync + 'static) -> Self {
        todo!()
    }

    /// The first configuration is in use and every listener accepts: started and ready.
    pub fn set_started(&self) {
        todo!()
    }

    /// Shutdown began: not ready any more.
    pub fn set_draining(&self) {
        todo!()
    }

    /// Names the configuration in use.
    pub fn set_config_hash(&self, hash: &str) {
        todo!()
    }
}
