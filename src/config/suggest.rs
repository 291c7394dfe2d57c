//! The name that was probably meant: the nearest known one, or ours for another proxy's word.

mod neighbours;
mod shape;

use neighbours::NEIGHBOURS;
pub(super) use shape::long_form;

/// The candidate nearest to `name`, when it is near enough to be a slip.
pub(super) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(name);
    if folded.is_empty() || folded.len() > 80 {
        return None;
    }
    let allowed = (folded.chars().count() / 3).clamp(1, 3);
    // `h3` is not a slip for `h1`, nor `1.1` for `1.2`.
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let slip = |candidate: &&str| fold(candidate) == folded || letters(&fold(candidate)) != letters(&folded);
    let nearest = candidates
        .into_iter()
        .filter(slip)
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .min_by_key(|(d, _)| *d)?;
    (nearest.0 <= allowed).then_some(nearest.1)
}

/// Advice for an unknown field, in a mapping of kind `within` that knows `expected`.
pub(super) fn unknown_field(field: &str, within: &str, expected: &[&str]) -> Advice {
    if LATER.iter().any(|(kind, keys)| *kind == within && keys.contains(&field)) {
        return Advice::Later;
    }
    if let Some(hint) = foreign(field, expected) {
        return Advice::Hint(hint);
    }
    if let Some(name) = closest(field, expected.iter().copied()) {
        return Advice::Hint(format!("did you mean `{name}`?"));
    }
    for (kind, keys, place) in NEIGHBOURS {
        if *kind == within
            && let Some(name) = closest(field, keys.iter().copied())
        {
            return Advice::Hint(format!("`{name}` belongs in {place}"));
        }
    }
    match expected {
        [] => Advice::Hint("nothing is expected here".to_owned()),
        [..] if expected.len() <= 6 => Advice::Hint(format!("one of `{}`", expected.join("`, `"))),
        [..] => Advice::None,
    }
}

/// What can be said about an unknown field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    None,
    Hint(String),
    /// A word of the language that this version does not have.
    Later,
}

/// Words of the language that this version does not have, by the kind of mapping they belong to.
const LATER: &[(&str, &[&str])] = &[("Route", &["compression"]), ("Admin", &["dashboard"])];

/// Other proxies' words. A line is `theirs, theirs > ours: hint`, and an indented one goes on with it. The hint is
/// given where `ours` is a key (nothing: anywhere); without one it is "that is `ours` here". The first that fits
/// counts.
const FOREIGN: &str = include_str!("suggest/words.txt");

/// Ours for a word of another proxy, in a mapping that knows `expected`.
fn foreign(field: &str, expected: &[&str]) -> Option<String> {
    let folded = fold(field);
    let text = FOREIGN.replace("\n    ", " ");
    text.lines().find_map(|line| {
        let (theirs, meaning) = line.split_once(" > ")?;
        let (ours, hint) = meaning.split_once(": ").map_or((meaning, None), |(ours, hint)| (ours, Some(hint)));
        let fits = theirs.split(", ").any(|word| fold(word) == folded);
        let advice = || hint.map_or_else(|| format!("that is `{ours}` here"), str::to_owned);
        (fits && (ours.is_empty() || expected.contains(&ours))).then(advice)
    })
}

/// As words are compared: without case, `-` and `_`.
pub(super) fn fold(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["loadBalancer", "endpoints", "protocol", "tls", "connectTimeout"];
        for (slip, meant) in [
            ("lodBalancer", Some("loadBalancer")),
            ("load_balancer", Some("loadBalancer")),
            ("enpdoints", Some("endpoints")),
            ("tsl", Some("tls")),
            ("connectionTimeout", Some("connectTimeout")),
            ("tls1", None),
            ("banana", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(slip, names), meant, "{slip}");
        }
    }

    #[test]
    fn words_for_later_and_of_neighbours_are_no_keys_of_the_mapping() {
        let tree = super::super::schema::tree();
        let later = LATER.iter().map(|(kind, keys)| (*kind, *keys));
        for (kind, keys) in later.chain(NEIGHBOURS.iter().map(|(kind, keys, _)| (*kind, *keys))) {
            let schema = if kind == "Root" { tree } else { &tree["definitions"][kind] };
            let known = schema["properties"].as_object().unwrap_or_else(|| panic!("there is no `{kind}`"));
            let stale = keys.iter().find(|key| known.contains_key(**key));
            assert_eq!(stale, None, "`{kind}` has it");
        }
    }

    #[test]
    fn other_words_get_ours() {
        let Advice::Hint(hint) = unknown_field("lb_policy", "Cluster", &["loadBalancer", "endpoints"]) else {
            panic!("a hint")
        };
        assert!(hint.contains("loadBalancer"), "{hint}");
        assert_eq!(unknown_field("compression", "Route", &["timeout"]), Advice::Later);
        let top = "`accessLog` belongs in the top level of the file";
        assert_eq!(unknown_field("accessLog", "Logging", &["level", "format"]), Advice::Hint(top.into()));
        assert_eq!(unknown_field("mirror", "Cluster", &["timeout"]), Advice::Hint("one of `timeout`".into()));
    }
}
