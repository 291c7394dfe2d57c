//! The route room: which route a request belongs to, and what its path becomes. Paths and hosts are written in one
//! spelling first, so that the gateway forwards exactly what it matched. Everything here is a pure function of the
//! configuration and the request; it must never know clusters, connections or bodies.

pub mod card;
mod condition;
mod host;
mod index;
mod location;
mod path;
mod path_mapping;
mod path_match;
pub mod public;
mod redirect;
mod rewrite;
pub mod rollout;
pub mod split;
mod table;

#[cfg(test)]
mod tests;

pub use condition::{BodyTenant, Facts, Miss};
pub use host::host_of;
pub use location::LocationMap;
pub use path::normalise;
pub use path_mapping::{PathMapping, PathMappings};
pub use path_match::canonical_path;
pub use redirect::redirect;
pub use rewrite::rewrite;
pub use table::{Considered, Found, Table};
