//! What the path of a request has to do with certificates that the gateway orders: it answers the challenges of the
//! authority. Who orders them, and when, is in `gateway::acme`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use crate::config::model::{Acme, Certificate, HostPattern};

/// Challenges that wait to be looked at: for files (http-01) by their token, for handshakes (tls-alpn-01) by the name.
#[derive(Debug, Default)]
pub struct Challenges {
    files: ArcSwap<HashMap<String, String>>,
    handshakes: ArcSwap<HashMap<String, Arc<ServerConfig>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct PendingChallenge {
    of: Arc<Challenges>,
    key: String,
}

impl Challenges {
    /// What the file at this path holds (RFC 8555 section 8.3), if its challenge waits.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(PLACE)?;
        self.files.load().get(token).cloned()
    }

    /// How to answer a handshake for `name` that agrees on nothing but this challenge (RFC 8737 section 3).
    #[must_use]
    pub fn handshake(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.handshakes.load().get(&name.to_ascii_lowercase()).cloned()
    }

    /// Answers with a file.
    #[must_use]
    pub fn with_file(self: &Arc<Self>, token: &str, content: &str) -> PendingChallenge {
        self.files.rcu(|files| added(files, token, content.to_owned()));
        PendingChallenge { of: Arc::clone(self), key: token.to_owned() }
    }

    /// Answers with a handshake.
    #[must_use]
    pub fn with_handshake(self: &Arc<Self>, name: &str, config: &Arc<ServerConfig>) -> PendingChallenge {
        self.handshakes.rcu(|handshakes| added(handshakes, name, Arc::clone(config)));
        PendingChallenge { of: Arc::clone(self), key: name.to_owned() }
    }
}

impl Drop for PendingChallenge {
    fn drop(&mut self) {
        self.of.files.rcu(|files| without(files, &self.key));
        self.of.handshakes.rcu(|handshakes| without(handshakes, &self.key));
    }
}

fn added<T: Clone>(map: &HashMap<String, T>, key: &str, value: T) -> HashMap<String, T> {
    let mut map = map.clone();
    map.insert(key.to_owned(), value);
    map
}

fn without<T: Clone>(map: &HashMap<String, T>, key: &str) -> HashMap<String, T> {
    let mut map = map.clone();
    map.remove(key);
    map
}

/// Where everything from one directory is kept, below `storage`: what a staging directory issues is never taken for
/// what the real one does.
#[must_use]
pub fn place(acme: &Acme) -> PathBuf {
    let rest = acme.directory.strip_prefix("https://").unwrap_or(&acme.directory);
    let label = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' };
    acme.storage.join(rest.chars().map(label).collect::<String>())
}

/// The certificates of a listener, each with its key in the same file, which may not be there yet.
#[must_use]
pub fn certificates(acme: &Acme) -> Vec<Certificate> {
    let place = place(acme);
    acme.domains.iter().map(|domain| certificate(&place, domain)).collect()
}

fn certificate(place: &Path, domain: &HostPattern) -> Certificate {
    let file = place.join(format!("{domain}.pem"));
    Certificate { hosts: vec![domain.clone()], cert_file: file.clone(), key_file: file }
}

/// The path of challenges, without the token.
pub const PLACE: &str = "/.well-known/acme-challenge/";
/// The protocol of a handshake that looks at a challenge, in ALPN.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_until_it_is_over() {
        let challenges = Arc::new(Challenges::default());
        let first = challenges.with_file("token", "token.print");
        let second = challenges.with_file("other", "other.print");
        assert_eq!(challenges.file("/.well-known/acme-challenge/token").as_deref(), Some("token.print"));
        for path in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/toke", "/token", "/"] {
            assert_eq!(challenges.file(path), None, "{path}");
        }
        drop(first);
        assert_eq!(challenges.file("/.well-known/acme-challenge/token"), None);
        assert!(challenges.file("/.well-known/acme-challenge/other").is_some());
        drop(second);
        assert!(challenges.handshake("a.example").is_none());
    }

    #[test]
    fn each_directory_has_a_place_of_its_own() {
        let at = |directory: &str| {
            let acme = Acme { directory: directory.to_owned(), storage: PathBuf::from("/s"), ..Acme::default() };
            place(&acme).display().to_string()
        };
        assert_eq!(at("https://ca.example:14000/dir"), "/s/ca.example_14000_dir");
        assert_eq!(at("https://ca.example/../../etc"), "/s/ca.example_.._.._etc");
        assert_ne!(at("https://ca.example/a"), at("https://ca.example/b"));
    }
}
