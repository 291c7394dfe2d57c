//! YAML to validated configuration.
pub mod model;
