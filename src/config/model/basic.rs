//! Names and passwords.

use std::fmt;

/// Users of HTTP Basic (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicUsers {
    /// The users, no two with the same name.
    pub users: Vec<KnownUser>,
    /// Passwords that are checked at the same time. Default 2.
    pub at_once: usize,
}

/// A user that the gateway knows by the hash of its password alone.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownUser {
    /// Its name.
    pub name: Box<str>,
    /// What its password is known by.
    pub hash: PasswordHash,
    /// Its roles.
    pub roles: Box<[Box<str>]>,
}

impl fmt::Debug for KnownUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownUser").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// A slow hash of a password, with everything that is needed to make it again.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// Argon2 (RFC 9106).
    Argon2 {
        /// Which of its kinds.
        variant: Argon2Variant,
        /// 0x10 or 0x13.
        version: u32,
        /// Its memory in KiB, at most 256 MiB.
        memory: u32,
        /// How often it goes over the memory.
        passes: u32,
        /// In how many parts.
        parts: u32,
        /// The salt.
        salt: Box<[u8]>,
        /// What comes of it.
        tag: Box<[u8]>,
    },
    /// Bcrypt, as crypt writes it. Only the first 72 bytes of a password count.
    Bcrypt(Box<str>),
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Argon2 { .. } => "Argon2",
            Self::Bcrypt(_) => "Bcrypt",
        })
    }
}

/// A kind of Argon2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argon2Variant {
    /// Fast over its memory, in an order that the password chooses.
    D,
    /// In an order of its own.
    I,
    /// The first half as `I`, the rest as `D`.
    Id,
}
