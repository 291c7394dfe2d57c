//! The query of a request, read strictly by the parameters of its operation: nothing unknown, nothing twice, nothing
//! missing, and each value of its kind.

use std::time::Duration;

use super::operation::{Kind, Parameter};
use crate::config::parse_duration;
use crate::visible::visible;

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(parameters: &[Parameter], text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let Some(parameter) = parameters.iter().find(|parameter| parameter.name == name) else {
                return Err(format!("`{}` is not a parameter", visible(&short(&name))));
            };
            if query.text(parameter.name).is_some() {
                return Err(format!("`{}` is there twice", parameter.name));
            }
            parameter.kind.check(parameter.name, &value)?;
            query.0.push((parameter.name, value.into_owned()));
        }
        let missing = parameters.iter().find(|parameter| parameter.required && query.text(parameter.name).is_none());
        match missing {
            Some(missing) => Err(format!("`{}` is missing: {}", missing.name, missing.about)),
            None => Ok(query),
        }
    }

    /// The value of a parameter, if it is there.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a yes-or-no parameter says yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// How many entries the answer may have.
    pub(super) fn limit(&self) -> usize {
        let limit = self.number("limit").and_then(|limit| usize::try_from(limit).ok());
        limit.unwrap_or(super::view::LISTED).min(super::view::MOST)
    }

    /// Whether `name` is the one the parameter names, or it names none.
    pub(super) fn wants(&self, parameter: &str, name: &str) -> bool {
        self.text(parameter).is_none_or(|wanted| wanted == name)
    }

    /// The value of a parameter that is a number, if it is there.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// How long something is to last, if a parameter says it.
    ///
    /// # Errors
    /// When it is no time, or none at all.
    pub(super) fn time(&self, name: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = parse_duration(text).ok().filter(|time| !time.is_zero());
        time.map(Some).ok_or_else(|| format!("`{name}` is a time such as `30m` or `12h`"))
    }

    /// All that is there.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Kind {
    fn check(self, name: &str, value: &str) -> Result<(), String> {
        match self {
            Self::Text if value.is_empty() => Err(format!("`{name}` is empty")),
            Self::Text if value.chars().count() > MAX_TEXT => {
                Err(format!("`{name}` has more than {MAX_TEXT} characters"))
            }
            Self::Text => Ok(()),
            Self::Number(most) => match value.parse::<u64>() {
                Ok(number) if number <= most => Ok(()),
                _ => Err(format!("`{name}` is a whole number up to {most}")),
            },
            Self::Bool => match value {
                "true" | "false" => Ok(()),
                _ => Err(format!("`{name}` is true or false")),
            },
            Self::Word(words) => {
                let is_known = words.contains(&value);
                if is_known { Ok(()) } else { Err(format!("`{name}` is one of {}", words.join(", "))) }
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(NAME).collect()
}

/// Characters of a value.
pub(super) const MAX_TEXT: usize = 512;
/// Characters of an unknown name that are said.
const NAME: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &[Parameter] = &[
        Parameter { name: "route", kind: Kind::Text, required: true, about: "the route" },
        Parameter { name: "limit", kind: Kind::Number(100), required: false, about: "" },
        Parameter { name: "verb", kind: Kind::Word(&["drain", "undrain"]), required: false, about: "" },
        Parameter { name: "force", kind: Kind::Bool, required: false, about: "" },
    ];

    #[test]
    fn a_query_is_read_strictly() {
        let query = Query::parse(PARAMETERS, "route=a%20b&limit=7&force=true").unwrap();
        assert_eq!((query.text("route"), query.limit(), query.is_on("force")), (Some("a b"), 7, true));
        assert!(query.wants("route", "a b") && !query.wants("route", "a") && query.wants("verb", "x"));
        for (text, why) in [
            ("", "`route` is missing: the route"),
            ("route=", "`route` is empty"),
            ("route=a&route=b", "`route` is there twice"),
            ("route=a&limit=101", "up to 100"),
            ("route=a&limit=-1", "up to 100"),
            ("route=a&verb=jump", "`verb` is one of drain, undrain"),
            ("route=a&force=1", "`force` is true or false"),
            ("route=a&colour=red", "`colour` is not a parameter"),
        ] {
            let refused = Query::parse(PARAMETERS, text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        let long = format!("route={}", "x".repeat(MAX_TEXT + 1));
        assert!(Query::parse(PARAMETERS, &long).is_err());
    }

    #[test]
    fn a_time_is_more_than_none() {
        let time = |text: &str| Query::parse(PARAMETERS, &format!("route={text}")).unwrap().time("route");
        assert_eq!(time("90m"), Ok(Some(Duration::from_secs(5400))));
        for text in ["0s", "3600", "soon"] {
            assert!(time(text).is_err_and(|why| why.contains("`route` is a time")), "{text}");
        }
        assert_eq!(Query::default().time("for"), Ok(None));
    }
}
