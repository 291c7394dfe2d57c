//! Names and passwords (RFC 7617). Hashes of passwords are slow on purpose, so none is computed on a worker's thread:
//! so many at a time run beside, a bounded number waits for a while, and what was good is remembered. A name that
//! nobody has takes as long as one that somebody has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::seen::{Seen, SeenKey};
use super::{Presented, Refusal, Verdict, Verified};
use crate::config::model::{Argon2Variant, BasicUsers, KnownUser, PasswordHash};
use crate::context::{Principal, PrincipalKind};

/// The users of one provider.
#[derive(Debug)]
pub(super) struct Passwords {
    settings: BasicUsers,
    users: HashMap<Box<str>, User, foldhash::quality::RandomState>,
    /// What is computed for a name that nobody has.
    stand_in: Option<Arc<PasswordHash>>,
    seen: Seen<Arc<Principal>>,
    places: Arc<Places>,
}

#[derive(Debug)]
struct User {
    principal: Arc<Principal>,
    hash: Arc<PasswordHash>,
}

/// How many passwords are checked, and how many wait for that.
#[derive(Debug)]
struct Places {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    /// Passwords that are remembered, and requests whose password is computed or waits for that.
    pub(super) fn load(&self) -> (usize, usize) {
        let places = self.settings.at_once + MAX_WAITING;
        (self.seen.len(), places.saturating_sub(self.places.waiting.available_permits()))
    }

    /// The users that `settings` describe. Where they are those of `previous`, what was good stays remembered.
    pub(super) fn adopt(provider: &Arc<str>, settings: &BasicUsers, previous: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.settings == *settings) {
            return Arc::clone(previous);
        }
        let places = previous.filter(|previous| previous.settings.at_once == settings.at_once);
        let places = places.map_or_else(|| Arc::new(Places::new(settings.at_once)), |same| Arc::clone(&same.places));
        let users = settings.users.iter().map(|user| (user.name.clone(), User::new(provider, user)));
        let first = settings.users.first();
        Arc::new(Self {
            users: users.collect(),
            stand_in: first.map(|user| Arc::new(user.hash.clone())),
            seen: Seen::new(),
            places,
            settings: settings.clone(),
        })
    }

    pub(super) fn verify(self: &Arc<Self>, presented: &Presented<'_>) -> Verdict {
        let credentials = match presented.authorization("basic") {
            Ok(None) => return Verdict::Absent,
            Ok(Some(credentials)) => credentials,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let Some((name, password)) = name_and_password(credentials) else {
            return Verdict::Refused(Refusal::Invalid);
        };
        let key = self.seen.key([name.as_bytes(), password.as_bytes()]);
        if let Some(principal) = key.and_then(|key| self.seen.get(key)) {
            return verified(principal);
        }
        let passwords = Arc::clone(self);
        Verdict::Wait(Box::pin(async move { passwords.find_out(&name, password, key).await }))
    }

    /// Computes the hash, when it is this one's turn. Dropping the future leaves what runs to its end and forgets it.
    async fn find_out(&self, name: &str, password: String, key: Option<SeenKey>) -> Verdict {
        let user = self.users.get(name);
        let Some(hash) = user.map(|user| &user.hash).or(self.stand_in.as_ref()).map(Arc::clone) else {
            return Verdict::Refused(Refusal::Invalid);
        };
        let Ok(_place) = self.places.waiting.try_acquire() else {
            return Verdict::Refused(Refusal::Unavailable);
        };
        let turn = timeout(PATIENCE, Arc::clone(&self.places.running).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Verdict::Refused(Refusal::Unavailable) };
        // Another request with the same may have been first.
        if let Some(principal) = key.and_then(|key| self.seen.get(key)) {
            return verified(principal);
        }
        // Its turn is over when the hash is, even if nobody waits for it any more.
        let job = spawn_blocking(move || {
            let is_good = holds(&hash, password.as_bytes());
            drop(turn);
            is_good
        });
        let Ok(Ok(is_good)) = timeout(PATIENCE, job).await else { return Verdict::Refused(Refusal::Unavailable) };
        let Some(user) = user.filter(|_| is_good) else { return Verdict::Refused(Refusal::Invalid) };
        if let Some(key) = key {
            self.seen.note(key, Arc::clone(&user.principal), 0);
        }
        verified(Arc::clone(&user.principal))
    }
}

impl User {
    fn new(provider: &Arc<str>, settings: &KnownUser) -> Self {
        let principal = Principal {
            name: settings.name.clone(),
            provider: Arc::clone(provider),
            kind: PrincipalKind::Basic,
            roles: settings.roles.clone(),
            ..Principal::default()
        };
        Self { principal: Arc::new(principal), hash: Arc::new(settings.hash.clone()) }
    }
}

impl Places {
    fn new(at_once: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(at_once)), waiting: Arc::new(Semaphore::new(at_once + MAX_WAITING)) }
    }
}

fn verified(principal: Arc<Principal>) -> Verdict {
    Verdict::Verified(Verified { principal, fields: None })
}

/// What stands in the field: `name:password` in Base64 (RFC 7617 section 2). A name has no colon.
fn name_and_password(credentials: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (name, password) = text.split_once(':').filter(|_| !text.chars().any(char::is_control))?;
    Some((name.to_owned(), password.to_owned()))
}

/// Whether the password has this hash.
fn holds(hash: &PasswordHash, password: &[u8]) -> bool {
    match hash {
        PasswordHash::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
        PasswordHash::Argon2 { variant, version, memory, passes, parts, salt, tag } => {
            let algorithm = match variant {
                Argon2Variant::D => Algorithm::Argon2d,
                Argon2Variant::I => Algorithm::Argon2i,
                Argon2Variant::Id => Algorithm::Argon2id,
            };
            let version = if *version == 0x10 { Version::V0x10 } else { Version::V0x13 };
            let Ok(params) = Params::new(*memory, *passes, *parts, Some(tag.len())) else { return false };
            let mut made = vec![0; tag.len()];
            let is_made = Argon2::new(algorithm, version, params).hash_password_into(password, salt, &mut made);
            is_made.is_ok() && bool::from(made.ct_eq(tag))
        }
    }
}

/// Requests of one provider that wait for their turn; one more is told that nobody can say.
const MAX_WAITING: usize = 256;
/// How long one waits for its turn, and how long for its hash.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::presented::tests::{fields, presented};
    use super::*;

    /// Memory, passes and parts.
    const CHEAP: (u32, u32, u32) = (64, 1, 1);

    fn argon2(password: &str) -> PasswordHash {
        let (memory, passes, parts) = CHEAP;
        let mut tag = vec![0; 32];
        let params = Params::new(memory, passes, parts, Some(32)).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(password.as_bytes(), b"somesalt", &mut tag).unwrap();
        let (variant, salt) = (Argon2Variant::Id, b"somesalt"[..].into());
        PasswordHash::Argon2 { variant, version: 0x13, memory, passes, parts, salt, tag: tag.into() }
    }

    fn passwords(at_once: usize) -> Arc<Passwords> {
        let bcrypt = bcrypt::hash_with_salt("pass:word", 4, [7; 16]).unwrap().to_string();
        let user = |name: &str, hash: PasswordHash, roles: &[&str]| KnownUser {
            name: name.into(),
            hash,
            roles: roles.iter().map(|role| (*role).into()).collect(),
        };
        let users = vec![
            user("ann", argon2("grüße"), &["admin"]),
            user("bob", PasswordHash::Bcrypt(bcrypt.into()), &[]),
            user("empty", argon2(""), &[]),
        ];
        Passwords::adopt(&"staff".into(), &BasicUsers { users, at_once }, None)
    }

    async fn said(passwords: &Arc<Passwords>, field: &str) -> String {
        let headers = fields(&[("authorization", field)]);
        let verdict = match passwords.verify(&presented(&headers, None)) {
            Verdict::Wait(waiting) => waiting.await,
            now => now,
        };
        match verdict {
            Verdict::Verified(verified) => verified.principal.name.to_string(),
            other => other.word().to_owned(),
        }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn hashes_of_the_reference_implementations_hold() {
        // The test vectors of the reference implementation of argon2 and of crypt_blowfish.
        let tag = "89e9029f4637b295beb027056a7336c414fadd43f6b208645281cb214a56452f";
        let tag: Vec<u8> = tag
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect();
        let argon2 = PasswordHash::Argon2 {
            variant: Argon2Variant::I,
            version: 0x13,
            memory: 256,
            passes: 2,
            parts: 1,
            salt: b"somesalt"[..].into(),
            tag: tag.into(),
        };
        assert!(holds(&argon2, b"password"));
        assert!(!holds(&argon2, b"passwore"));
        let bcrypt = PasswordHash::Bcrypt("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into());
        assert!(holds(&bcrypt, b"U*U"));
        assert!(!holds(&bcrypt, b"U*V"));
    }

    #[tokio::test]
    async fn a_password_is_its_users_or_refused() {
        let passwords = passwords(2);
        for (field, expected) in [
            (basic("ann:grüße"), "ann"),
            (basic("bob:pass:word"), "bob"),
            (basic("empty:"), "empty"),
            (basic("ann:grusse"), "invalid"),
            (basic("ann:"), "invalid"),
            (basic("Ann:grüße"), "invalid"),
            (basic("bob:grüße"), "invalid"),
            (basic("eve:grüße"), "invalid"),
            (basic(":grüße"), "invalid"),
            (basic("ann"), "invalid"),
            (basic("ann:grüße\0"), "invalid"),
            ("Basic =!".to_owned(), "invalid"),
            ("Basic /w==".to_owned(), "invalid"),
            ("Basic".to_owned(), "invalid"),
            ("Bearer x".to_owned(), "absent"),
        ] {
            assert_eq!(said(&passwords, &field).await, expected, "{field}");
        }
    }

    #[tokio::test]
    async fn what_was_good_is_remembered_until_the_users_change() {
        let before = passwords(2);
        let headers = fields(&[("authorization", &basic("ann:grüße"))]);
        assert!(matches!(before.verify(&presented(&headers, None)), Verdict::Wait(_)));
        assert_eq!(said(&before, &basic("ann:grüße")).await, "ann");
        assert!(matches!(before.verify(&presented(&headers, None)), Verdict::Verified(_)));
        let same = Passwords::adopt(&"staff".into(), &before.settings, Some(&before));
        assert!(matches!(same.verify(&presented(&headers, None)), Verdict::Verified(_)));
        let mut changed = before.settings.clone();
        changed.users.retain(|user| &*user.name != "ann");
        let after = Passwords::adopt(&"staff".into(), &changed, Some(&before));
        assert!(Arc::ptr_eq(&after.places, &before.places), "what runs is still counted");
        assert_eq!(said(&after, &basic("ann:grüße")).await, "invalid");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_have_a_bound_and_a_limit() {
        let passwords = passwords(1);
        let turn = passwords.places.running.acquire().await.unwrap();
        assert_eq!(said(&passwords, &basic("ann:grüße")).await, "unavailable", "after a while");
        let all = u32::try_from(passwords.places.waiting.available_permits()).unwrap();
        let places = passwords.places.waiting.acquire_many(all).await.unwrap();
        drop(turn);
        assert_eq!(said(&passwords, &basic("ann:grüße")).await, "unavailable", "at once");
        drop(places);
    }
}
