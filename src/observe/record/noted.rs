//! Header fields that are kept for the record because a log wants them. Where none does, nothing is kept.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header field with all its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedField {
    /// Its name.
    pub name: HeaderName,
    /// Its values with `, ` between them, 1024 bytes at most.
    pub value: Box<[u8]>,
}

/// What is kept of one exchange.
#[derive(Debug, Default)]
pub struct NotedFields {
    /// Of the request.
    pub request: Vec<NotedField>,
    /// Of the answer.
    pub response: Vec<NotedField>,
}

impl NotedField {
    /// Those of these names that are there.
    #[must_use]
    pub fn all(names: &[HeaderName], fields: &HeaderMap) -> Vec<Self> {
        let noted = |name: &HeaderName| {
            let values: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let value = values.join(&b", "[..]);
            (!values.is_empty()).then(|| Self { name: name.clone(), value: shortened(&value).into() })
        };
        names.iter().filter_map(noted).collect()
    }
}

fn shortened(value: &[u8]) -> &[u8] {
    value.get(..MAX_VALUE).unwrap_or(value)
}

/// Bytes of a field that are kept.
const MAX_VALUE: usize = 1024;

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, REFERER};

    use super::*;

    #[test]
    fn what_is_wanted_and_there_is_kept() {
        let long = "x".repeat(2 * MAX_VALUE);
        let mut fields = HeaderMap::new();
        for (name, value) in [(ACCEPT, "a/b"), (ACCEPT, "c/d"), (HOST, "a"), (REFERER, &long)] {
            fields.append(name, HeaderValue::from_str(value).unwrap());
        }
        let found = NotedField::all(&[REFERER, http::header::COOKIE, ACCEPT], &fields);
        let found: Vec<_> = found.iter().map(|field| (field.name.as_str(), &*field.value)).collect();
        assert_eq!(found, [("referer", &long.as_bytes()[..MAX_VALUE]), ("accept", b"a/b, c/d")]);
    }
}
