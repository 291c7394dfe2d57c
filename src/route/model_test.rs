//! Matching held against a plain model of it.
