//! Changes to the header fields of requests and answers.

use http::{HeaderName, HeaderValue};

use super::RequestFact;

/// Header changes, applied in the order remove, set, tell, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Fields taken out.
    pub remove: Vec<HeaderName>,
    /// Fields replaced.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that tell what is known of the request. Where nothing is known they are taken out, so that nobody else
    /// can say it.
    pub tell: Vec<(HeaderName, RequestFact)>,
    /// Fields added beside those there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// `strict-transport-security`, where clients use HTTPS.
    pub hsts: Option<HeaderValue>,
}

impl HeaderChanges {
    /// What is changed, in words; `None` where nothing is. Names only: values may be credentials.
    #[must_use]
    pub fn names(&self) -> Option<String> {
        let removed = self.remove.iter().map(|name| format!("-{name}"));
        let set = self.set.iter().map(|(name, _)| format!("={name}"));
        let added = self.add.iter().map(|(name, _)| format!("+{name}"));
        let hsts = self.hsts.as_ref().map(|_| "=strict-transport-security".to_owned());
        let all: Vec<_> = removed.chain(set).chain(added).chain(hsts).collect();
        (!all.is_empty()).then(|| format!("{} (- removed, = set, + added)", all.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_not_shown() {
        let set = vec![(http::header::AUTHORIZATION, HeaderValue::from_static("secret"))];
        let names = HeaderChanges { set, ..HeaderChanges::default() }.names();
        assert_eq!(names.as_deref(), Some("=authorization (- removed, = set, + added)"));
    }
}
