//! Files of users with their passwords: a line `name:hash` for each, or `name:hash:role,role`, where the hash is one of
//! argon2 or bcrypt, so that files of `htpasswd -B` can be used. What is wrong is said by the number of its line and
//! never with what stands there.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::keys_file::{BadLine, entries, name, roles};
use super::model::{Argon2Variant, KnownUser, PasswordHash};

/// Reads a file of users. Empty lines and those that begin with `#` are left out.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<KnownUser>, BadLine> {
    let (mut users, mut names) = (Vec::new(), HashSet::new());
    for (line, text) in entries(bytes) {
        let bad = |what| BadLine { line, what };
        let user = user(text.map_err(|_not_utf8| bad("it is not UTF-8"))?).map_err(bad)?;
        if !names.insert(user.name.clone()) {
            return Err(bad("this name is there already"));
        }
        users.push(user);
    }
    Ok(users)
}

fn user(text: &str) -> Result<KnownUser, &'static str> {
    let (name, rest) = text.split_once(':').ok_or("write `name:hash`")?;
    let (hash, listed) = rest.split_once(':').unwrap_or((rest, ""));
    Ok(KnownUser { name: self::name(name)?, hash: password_hash(hash.trim())?, roles: roles(listed)? })
}

/// Reads a hash in the form of PHC strings or of crypt.
fn password_hash(text: &str) -> Result<PasswordHash, &'static str> {
    match text.split('$').collect::<Vec<_>>().as_slice() {
        ["", "argon2id", rest @ ..] => argon2(Argon2Variant::Id, rest),
        ["", "argon2i", rest @ ..] => argon2(Argon2Variant::I, rest),
        ["", "argon2d", rest @ ..] => argon2(Argon2Variant::D, rest),
        ["", "2a" | "2b" | "2x" | "2y", cost, digest] => bcrypt(text, cost, digest),
        _ => Err("behind the name stands a hash of argon2 (`$argon2id$..`) or bcrypt (`$2y$..`)"),
    }
}

fn argon2(variant: Argon2Variant, parts: &[&str]) -> Result<PasswordHash, &'static str> {
    const FORM: &str = "a hash of argon2 is `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`";
    let (version, numbers, salt, tag) = match parts {
        ["v=16", numbers, salt, tag] | [numbers, salt, tag] => (0x10, numbers, salt, tag),
        ["v=19", numbers, salt, tag] => (0x13, numbers, salt, tag),
        _ => return Err(FORM),
    };
    let mut numbers = numbers.split(',');
    let mut number = |name: &str| -> Result<u32, &'static str> {
        let digits = numbers.next().and_then(|part| part.strip_prefix(name)).ok_or(FORM)?;
        digits.parse().map_err(|_no_number| FORM)
    };
    let (memory, passes, parts) = (number("m=")?, number("t=")?, number("p=")?);
    if numbers.next().is_some() {
        return Err(FORM);
    }
    if memory > MAX_MEMORY || !(1..=MAX_PASSES).contains(&passes) || !(1..=MAX_PARTS).contains(&parts) {
        return Err("a hash of argon2 has at most m=262144 (256 MiB), t=16 and p=16");
    }
    if memory < 8 * parts {
        return Err("the memory of argon2 (m) is at least eight times p");
    }
    let bytes = |text: &str| STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_not_base64| FORM);
    let (salt, tag) = (bytes(salt)?, bytes(tag)?);
    if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&tag.len()) {
        return Err("the salt of argon2 has 8 to 64 bytes, its hash 16 to 64");
    }
    Ok(PasswordHash::Argon2 { variant, version, memory, passes, parts, salt: salt.into(), tag: tag.into() })
}

fn bcrypt(whole: &str, cost: &str, digest: &str) -> Result<PasswordHash, &'static str> {
    let is_digest =
        digest.len() == 53 && digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    if cost.len() != 2 || !is_digest {
        return Err("a hash of bcrypt is `$2y$12$` and 53 letters");
    }
    match cost.parse() {
        Ok(4..=MAX_COST) => Ok(PasswordHash::Bcrypt(whole.into())),
        _ => Err("the cost of bcrypt is 04 to 15"),
    }
}

/// Argon2: memory in KiB, rounds and parts. Each check takes that much.
const MAX_MEMORY: u32 = 256 << 10;
const MAX_PASSES: u32 = 16;
const MAX_PARTS: u32 = 16;
/// Bcrypt: each one more takes twice the time; 15 is about two seconds.
const MAX_COST: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    const ARGON2: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    const BCRYPT: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

    #[test]
    fn users_are_read_with_hashes_and_roles() {
        let text = format!("# staff\r\nann:{ARGON2}:admin,ops\r\nbob:{BCRYPT}\n");
        let users = parse(text.as_bytes()).unwrap();
        let [ann, bob] = users.as_slice() else { panic!("{users:?}") };
        assert_eq!((&*ann.name, &*bob.name, ann.roles.len(), bob.roles.len()), ("ann", "bob", 2, 0));
        let PasswordHash::Argon2 { variant, version, memory, passes, parts, salt, tag } = &ann.hash else { panic!() };
        assert_eq!((*variant, *version, *memory, *passes, *parts), (Argon2Variant::Id, 0x13, 65536, 2, 1));
        assert_eq!((&salt[..], tag.len()), (&b"somesalt"[..], 32));
        assert!(matches!(&bob.hash, PasswordHash::Bcrypt(text) if **text == *BCRYPT));
        assert!(!format!("{users:?}").contains("bvIG6"), "a hash is nobody's to see");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_alone() {
        for (text, line) in [
            ("ann".to_owned(), 1),
            ("ann:topsecret".to_owned(), 1),
            ("# a\nann:{SHA}topsecret".to_owned(), 2),
            ("ann:$apr1$topsecret$x".to_owned(), 1),
            (format!("ann:{ARGON2}\nann:{BCRYPT}"), 2),
            (format!(":{ARGON2}"), 1),
            (format!("ann:{}", ARGON2.replace("65536", "262145")), 1),
            (format!("ann:{}", ARGON2.replace("65536", "7")), 1),
            (format!("ann:{}", ARGON2.replace("t=2", "t=0")), 1),
            (format!("ann:{}", ARGON2.replace("t=2", "t=17")), 1),
            (format!("ann:{}", ARGON2.replace("p=1", "p=17")), 1),
            (format!("ann:{}", ARGON2.replace("p=1", "p=1,q=1")), 1),
            (format!("ann:{}", ARGON2.replace("v=19", "v=20")), 1),
            (format!("ann:{}", ARGON2.replace("c29tZXNhbHQ", "c29t")), 1),
            (format!("ann:{}", ARGON2.replace("c29tZXNhbHQ", "!!")), 1),
            (format!("ann:{}", BCRYPT.replace("$05$", "$16$")), 1),
            (format!("ann:{}", BCRYPT.replace("$05$", "$03$")), 1),
            (format!("ann:{BCRYPT}x"), 1),
            (format!("ann:{ARGON2}:two words"), 1),
        ] {
            let bad = parse(text.as_bytes()).unwrap_err();
            assert_eq!(bad.line, line, "{text}");
            assert!(!bad.what.contains("topsecret"));
        }
        assert_eq!(parse(b"\n").unwrap(), []);
    }
}
