//! Fields that tell agents who a client is, which no client may send: neither under that name nor under one that a
//! server may take for it.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names that only the gateway sends, of all routes and providers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectedFields {
    /// In the one spelling in which names are compared.
    names: Vec<Box<[u8]>>,
}

impl ProtectedFields {
    /// Protects these names; `None` when there are none.
    pub fn of(names: impl IntoIterator<Item = HeaderName>) -> Option<Self> {
        let mut names: Vec<Box<[u8]>> =
            names.into_iter().map(|name| name.as_str().bytes().map(folded).collect()).collect();
        names.sort();
        names.dedup();
        (!names.is_empty()).then_some(Self { names })
    }

    /// Takes these fields out in every spelling.
    pub fn clean(&self, headers: &mut HeaderMap) {
        let is_protected = |name: &HeaderName| self.names.iter().any(|known| is_spelling(name, known));
        remove(headers, is_protected);
    }
}

/// Takes out the field `name` in every spelling.
pub fn strip_spellings(headers: &mut HeaderMap, name: &HeaderName) {
    remove(headers, |other| is_spelling(other, name.as_str().as_bytes()));
}

/// All values of the field `name`, in every spelling.
pub fn all_spellings<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h HeaderValue> {
    headers.iter().filter(|(other, _)| is_spelling(other, name.as_str().as_bytes())).map(|(_, value)| value)
}

fn remove(headers: &mut HeaderMap, is_meant: impl Fn(&HeaderName) -> bool) {
    // Nearly always there is none.
    while let Some(name) = headers.keys().find(|name| is_meant(name)).cloned() {
        headers.remove(name);
    }
}

/// Servers that hand fields on as variables write them with underscores, and some take every sign for one. The case is
/// the same here: `http` has lower case only.
fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

fn is_spelling(name: &HeaderName, known: &[u8]) -> bool {
    let name = name.as_str().as_bytes();
    name.len() == known.len() && name.iter().zip(known).all(|(byte, known)| folded(*byte) == folded(*known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protected_name_is_known_in_every_spelling() {
        let names = ["x-auth-principal", "x_roles"].map(HeaderName::from_static);
        let protected = ProtectedFields::of(names).unwrap();
        let mut headers = HeaderMap::new();
        for name in [
            "X-Auth-Principal", "x-auth-principal", "x_auth_principal", "X_Auth-Principal", "x.auth.principal",
            "x-roles", "x_roles", "x~roles", "x-auth-principals", "xauth-principal", "x-auth-principal-", "accept",
        ] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), "forged".parse().unwrap());
        }
        protected.clean(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-auth-principal-", "x-auth-principals", "xauth-principal"]);
        assert_eq!(ProtectedFields::of([]), None);
    }

    #[test]
    fn credentials_go_in_every_spelling() {
        let mut headers = HeaderMap::new();
        for name in ["x-api-key", "x_api_key", "x-api-keys", "x-api-key"] {
            headers.append(HeaderName::from_static(name), "secret".parse().unwrap());
        }
        assert_eq!(all_spellings(&headers, &HeaderName::from_static("x_api-key")).count(), 3);
        strip_spellings(&mut headers, &HeaderName::from_static("x-api-key"));
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-api-keys"]);
    }
}
