//! Client certificates of servers that share a listener. A listener asks all its clients alike, whichever server they
//! want: the strictest demand stays, and every server that wanted another, or none, has a note.

use super::model::{Origin, Part, Section, Value};
use super::note::Note;

/// What one server asks of its clients.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// Whether clients without a certificate are refused.
    is_required: bool,
    mode: Origin,
    /// Files by the keys of `clientAuth`, and where they come from.
    files: Vec<(&'static str, String, Origin)>,
}

/// What the servers of one listener ask of their clients.
#[derive(Debug, Default)]
pub(super) struct Demands {
    demands: Vec<Demand>,
    /// Servers that ask for no certificate.
    without: Vec<Origin>,
}

impl Demand {
    pub(super) fn new(is_required: bool, mode: Origin) -> Self {
        Self { is_required, mode, files: Vec::new() }
    }

    /// The same with a file: `caFile` or `crlFile`.
    pub(super) fn file(&mut self, key: &'static str, file: &str, origin: Origin) {
        self.files.push((key, file.to_owned(), origin));
    }

    fn named(&self, wanted: &str) -> Option<&str> {
        self.files.iter().find(|(key, ..)| *key == wanted).map(|(_, file, _)| file.as_str())
    }

    /// Grows with how much it keeps out.
    fn strength(&self) -> (bool, bool) {
        (self.is_required, self.named("crlFile").is_some())
    }

    fn is_like(&self, other: &Self) -> bool {
        let files = ["caFile", "crlFile"].map(|key| (self.named(key), other.named(key)));
        self.is_required == other.is_required && files.iter().all(|(one, other)| one == other)
    }

    fn word(&self) -> &'static str {
        if self.is_required { "require" } else { "optional" }
    }

    fn authority(&self) -> &str {
        self.named("caFile").unwrap_or("no authority")
    }
}

impl Demands {
    /// Adds what a server asks for, if anything.
    pub(super) fn add(&mut self, demand: Option<Demand>, server: &Origin) {
        match demand {
            Some(demand) => self.demands.push(demand),
            None if self.without.last() != Some(server) => self.without.push(server.clone()),
            None => {}
        }
    }

    /// Puts the strictest into the listener: the first of those that are alike.
    pub(super) fn put(&self, part: &mut Part) {
        let Some(strongest) = self.demands.iter().map(Demand::strength).max() else { return };
        let Some(kept) = self.demands.iter().find(|demand| demand.strength() == strongest) else { return };
        part.put(&["tls", "clientAuth", "mode"], Value::plain(kept.word()), &kept.mode);
        for (key, file, origin) in &kept.files {
            part.put(&["tls", "clientAuth", key], Value::text(file), origin);
        }
        for other in self.demands.iter().filter(|other| !other.is_like(kept)) {
            part.notes.push(Note::danger(other.mode.line, other.outdone(kept)));
        }
        for server in &self.without {
            let text = format!(
                "{}: this server asks its clients for no certificate; a listener asks all of them alike here, so they are \
                 asked as line {} says: `{}`, {}",
                server.text,
                kept.mode.line,
                kept.word(),
                kept.authority()
            );
            part.notes.push(Note::danger(server.line, text));
        }
    }
}

impl Demand {
    /// What is said of a demand in whose place another one holds.
    fn outdone(&self, kept: &Self) -> String {
        let mut text = format!(
            "{}, {}: a listener asks all its clients alike here, so line {} holds for this server too: `{}`, {}",
            self.mode.text,
            self.authority(),
            kept.mode.line,
            kept.word(),
            kept.authority()
        );
        if self.authority() != kept.authority() {
            text.push_str(&format!(
                ". Whoever has a certificate of {} comes in here, whoever has one of {} does not",
                kept.authority(),
                self.authority()
            ));
        }
        text
    }
}

/// A certificate to be put there, for a listener with `clientAuth` that has none: without one there would be no TLS,
/// and nobody would be asked for anything.
pub(super) fn keep_tls(part: &mut Part) {
    let is_bare =
        part.has(&["tls", "clientAuth"]) && !part.has(&["tls", "certificates"]) && !part.has(&["tls", "acme"]);
    if !is_bare {
        return;
    }
    let pair =
        Section::of("certFile", Value::text("certs/gateway.crt")).with("keyFile", Value::text("certs/gateway.key"));
    part.settings.push(&["tls", "certificates"], Value::Map(pair), &Origin::new(0, "not in the file: choose"));
    let text = "TLS without a certificate that is known here: put yours where `tls.certificates` names it; clients are asked \
                for theirs there";
    part.notes.push(Note::danger(part.origin.line, text));
}

#[cfg(test)]
mod tests {
    use super::super::note::NoteKind;
    use super::*;

    fn demand(line: usize, is_required: bool, authority: &str) -> Demand {
        let mut demand = Demand::new(is_required, Origin::new(line, "verify"));
        demand.file("caFile", authority, Origin::new(line + 1, "ca"));
        demand
    }

    fn put(demands: Vec<Option<Demand>>) -> Part {
        let mut all = Demands::default();
        for (index, demand) in demands.into_iter().enumerate() {
            all.add(demand, &Origin::new(100 + index, "server"));
        }
        let mut part = Part::default();
        all.put(&mut part);
        part
    }

    #[test]
    fn the_strictest_demand_stays_and_the_others_have_a_note() {
        for (name, demands, mode, authority, lines) in [
            ("alone", vec![Some(demand(1, true, "a"))], "require", "a", vec![]),
            ("alike", vec![Some(demand(1, true, "a")), Some(demand(5, true, "a"))], "require", "a", vec![]),
            ("weaker last", vec![Some(demand(1, true, "a")), Some(demand(5, false, "b"))], "require", "a", vec![5]),
            ("weaker first", vec![Some(demand(1, false, "a")), Some(demand(5, true, "b"))], "require", "b", vec![1]),
            (
                "another authority",
                vec![Some(demand(1, true, "a")), Some(demand(5, true, "b"))],
                "require",
                "a",
                vec![5],
            ),
            ("none last", vec![Some(demand(1, true, "a")), None], "require", "a", vec![101]),
            ("none first", vec![None, Some(demand(1, false, "a"))], "optional", "a", vec![100]),
        ] {
            let part = put(demands);
            assert_eq!(part.settings.get(&["tls", "clientAuth", "mode"]), Some(&Value::plain(mode)), "{name}");
            assert_eq!(part.settings.get(&["tls", "clientAuth", "caFile"]), Some(&Value::text(authority)), "{name}");
            let found: Vec<usize> = part.notes.iter().map(|note| note.line).collect();
            assert_eq!(found, lines, "{name}");
            assert!(part.notes.iter().all(|note| note.kind == NoteKind::Unsafe), "{name}");
        }
        assert!(put(vec![None, None]).settings.entries.is_empty(), "nobody asks");
    }

    #[test]
    fn revoked_certificates_are_refused_where_one_server_refuses_them() {
        let mut with_list = demand(5, true, "a");
        with_list.file("crlFile", "crl", Origin::default());
        let part = put(vec![Some(demand(1, true, "a")), Some(with_list)]);
        assert!(part.has(&["tls", "clientAuth", "crlFile"]));
        assert_eq!(part.notes.len(), 1);
    }
}
