//! Look-ups by host and path whose cost does not grow with the number of routes. Each index yields numbers of
//! alternatives in order of precedence and lets the caller decide which one matches; it must never look at anything
//! else in a request.

use std::collections::HashMap;

use regex::{Regex, RegexSet, RegexSetBuilder};

use crate::config::model::{HostPattern, PathMatch};

/// Keys come from the configuration but are looked up with what clients send: the seed is random per table.
type Map<T> = HashMap<Box<str>, T, foldhash::quality::RandomState>;

/// Numbers of alternatives, best first.
type Bucket = Vec<usize>;

/// The hosts of one listener.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: Map<Paths>,
    wildcards: Map<Paths>,
    /// Length of the longest wildcard's suffix: nothing longer is looked up.
    longest: usize,
    any: Paths,
}

impl Hosts {
    /// Adds an alternative for a host, or for every host. Alternatives come in their order of precedence.
    pub(super) fn add(&mut self, host: Option<&HostPattern>, path: &PathMatch, alternative: usize) {
        let paths = match host {
            None => &mut self.any,
            Some(HostPattern::Exact(name)) => self.exact.entry(name.as_str().into()).or_default(),
            Some(HostPattern::Wildcard(suffix)) => {
                self.longest = self.longest.max(suffix.len());
                self.wildcards.entry(suffix.as_str().into()).or_default()
            }
        };
        paths.add(path, alternative);
    }

    /// Makes ready for look-ups.
    pub(super) fn seal(&mut self) {
        let each = self.exact.values_mut().chain(self.wildcards.values_mut());
        each.chain(Some(&mut self.any)).for_each(Paths::seal);
    }

    /// The first alternative that holds: by exact host, then by wildcards from the longest, then by those of every
    /// host.
    pub(super) fn find(&self, host: &str, path: &str, holds: impl Fn(usize) -> bool) -> Option<usize> {
        let exact = self.exact.get(host).and_then(|paths| paths.find(path, &holds));
        exact.or_else(|| self.find_wildcard(host, path, &holds)).or_else(|| self.any.find(path, &holds))
    }

    fn find_wildcard(&self, host: &str, path: &str, holds: &impl Fn(usize) -> bool) -> Option<usize> {
        if self.wildcards.is_empty() {
            return None;
        }
        suffixes(host)
            .filter(|suffix| suffix.len() <= self.longest)
            .filter_map(|suffix| self.wildcards.get(suffix))
            .find_map(|paths| paths.find(path, holds))
    }
}

/// The parts after each dot that has a label before it, longest first.
pub(super) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| host.get(at + 1..))
}

/// The paths of one host.
#[derive(Debug, Default)]
struct Paths {
    exact: Map<Bucket>,
    prefixes: Prefixes,
    regexes: Regexes,
}

impl Paths {
    fn add(&mut self, path: &PathMatch, alternative: usize) {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_str().into()).or_default().push(alternative),
            PathMatch::Prefix(prefix) => self.prefixes.add(prefix, alternative),
            PathMatch::Regex(regex) => self.regexes.each.push((regex.clone(), alternative)),
        }
    }

    fn seal(&mut self) {
        self.regexes.seal();
    }

    fn find(&self, path: &str, holds: &impl Fn(usize) -> bool) -> Option<usize> {
        self.exact
            .get(path)
            .and_then(|bucket| first(bucket, holds))
            .or_else(|| self.prefixes.find(path, holds))
            .or_else(|| self.regexes.find(path, holds))
    }
}

/// Prefixes by whole segments, looked up from the longest a path can have down to the root.
#[derive(Debug, Default)]
struct Prefixes {
    buckets: Map<Bucket>,
    /// Bit `n` is set when there is a prefix of `n` segments; the last bit stands for all that are longer.
    lengths: u64,
    /// Bytes of the longest prefix. The rest of a path is not looked at, so long paths cost no more.
    longest: usize,
}

impl Prefixes {
    fn add(&mut self, prefix: &str, alternative: usize) {
        self.lengths |= length_bit(segments_of(prefix));
        self.longest = self.longest.max(prefix.len());
        self.buckets.entry(prefix.into()).or_default().push(alternative);
    }

    fn find(&self, path: &str, holds: &impl Fn(usize) -> bool) -> Option<usize> {
        let mut prefix = self.longest_of(path)?;
        let mut segments = segments_of(prefix);
        loop {
            if self.lengths & length_bit(segments) != 0
                && let Some(found) = self.buckets.get(prefix).and_then(|bucket| first(bucket, holds))
            {
                return Some(found);
            }
            (prefix, _) = prefix.rsplit_once('/')?;
            segments = segments.saturating_sub(1);
        }
    }

    /// The longest start of `path` that could be a prefix. `None` for `*`, which is no path.
    fn longest_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        if !path.starts_with('/') {
            return None;
        }
        if path.len() <= self.longest {
            return Some(path);
        }
        // One byte more than the longest prefix, because that may be the slash that ends it.
        path.get(..=self.longest)?.rsplit_once('/').map(|(prefix, _)| prefix)
    }
}

fn segments_of(prefix: &str) -> usize {
    memchr::memchr_iter(b'/', prefix.as_bytes()).count()
}

fn length_bit(segments: usize) -> u64 {
    1 << segments.min(63)
}

/// Regular expressions, best first.
#[derive(Debug, Default)]
struct Regexes {
    each: Vec<(Regex, usize)>,
    /// All of them in one automaton; none when there are too few to gain from it, or when they are too large together.
    set: Option<RegexSet>,
}

impl Regexes {
    fn seal(&mut self) {
        if self.each.len() >= SET_FROM {
            let patterns = self.each.iter().map(|(regex, _)| regex.as_str());
            self.set = RegexSetBuilder::new(patterns).size_limit(SET_BYTES).build().ok();
        }
    }

    fn find(&self, path: &str, holds: &impl Fn(usize) -> bool) -> Option<usize> {
        let Some(set) = &self.set else {
            let mut candidates = self.each.iter();
            return candidates.find_map(|(regex, found)| (regex.is_match(path) && holds(*found)).then_some(*found));
        };
        // Most paths match no expression; this case does not allocate.
        if !set.is_match(path) {
            return None;
        }
        let matches = set.matches(path);
        matches.iter().filter_map(|at| self.each.get(at)).map(|(_, found)| *found).find(|found| holds(*found))
    }
}

fn first(bucket: &Bucket, holds: &impl Fn(usize) -> bool) -> Option<usize> {
    bucket.iter().copied().find(|alternative| holds(*alternative))
}

/// Fewer regular expressions than this are tried one by one.
const SET_FROM: usize = 4;
/// Memory one compiled set may take.
const SET_BYTES: usize = 64 << 20;
