//! sni
