//! Traefik: the static and the dynamic configuration of the file provider, in one text or one after the other.

mod entry;
mod middleware;
mod router;
mod rule;
mod service;

use std::collections::HashMap;

use super::model::{Draft, TooLarge};
use super::note::Note;
use super::tree;
use crate::config::foreign::Foreign;

/// What is known of the whole file.
struct World<'a, 'd> {
    draft: &'d mut Draft,
    documents: &'a [Foreign],
    /// Our listeners by the name of their entry point, and whether each redirects.
    entries: Vec<(String, String, bool)>,
    /// Our clusters by the service they serve.
    clusters: HashMap<String, String>,
    /// Middlewares that came over somewhere, with the limit that was made of them.
    limits: HashMap<String, String>,
}

impl<'a> World<'a, '_> {
    /// What is under a name of a section of `http`.
    fn named(&self, section: &str, name: &str) -> Option<&'a Foreign> {
        let short = name.split('@').next().unwrap_or(name);
        self.documents.iter().find_map(|document| document.at(&["http", section, short]))
    }

    /// Everything in a section of `http`.
    fn all(&self, section: &str) -> Vec<&'a (String, usize, Foreign)> {
        let sections = self.documents.iter().filter_map(|document| document.at(&["http", section]));
        sections.flat_map(Foreign::entries).collect()
    }
}

pub(super) fn translate(documents: &[Foreign], draft: &mut Draft) -> Result<(), TooLarge> {
    let mut world = World { draft, documents, entries: Vec::new(), clusters: HashMap::new(), limits: HashMap::new() };
    entry::translate(&mut world)?;
    for (name, line, router) in world.all("routers") {
        router.marked();
        router::translate(name, *line, router, &mut world)?;
    }
    tree::note_unseen(documents, WHY, world.draft);
    Ok(())
}

/// Says that something is not carried over.
fn dropped(line: usize, text: impl Into<String>, world: &mut World<'_, '_>) {
    world.draft.note(Note::dropped(line, text));
}

const WHY: &[(&str, &str)] = &[
    ("providers", "routes come from files; where agents come and go, `discovery: { dns }` knows their addresses"),
    ("api", "the admin API and its page are `admin`"),
    ("log", "`logging` says how much is said, on standard error"),
    ("accessLog", "`accessLog`: `output`, `format` and `fields`"),
    ("metrics", "`metrics` serves everything to Prometheus"),
    ("ping", "`/health`, `/ready` and `/startup` on the address of `metrics`"),
    ("tracing", "spans go to a collector; see the page on observability"),
    ("global experimental", "attache sends nothing home and has no plug-ins"),
    ("tcp udp", "attache speaks HTTP"),
    ("certificatesResolvers", "`tls.acme` of the listener"),
    ("priority", "the most specific route wins, whatever number it has"),
    ("passHostHeader", "the Host of the client is kept, unless `upstreamHost` says otherwise"),
    ("responseForwarding flushInterval", "nothing is buffered: every piece is passed on as it comes"),
    ("sticky", "calls about a task find their agent by themselves; `loadBalancer: { hash: { cookie } }` for others"),
    ("stores defaultGeneratedCert", "the first certificate of a listener is the default"),
    ("cipherSuites curvePreferences", "every suite that attache offers is a good one, there is nothing to choose"),
    ("asDefault allowACMEByPass reusePort http3 udp", "a listener has no such setting"),
    ("middlewares", "no router uses it"),
    ("services", "no router uses it"),
];

#[cfg(test)]
mod tests {
    use crate::migrate::{Kind, NoteKind, migrate};

    #[test]
    fn two_lists_of_clients_are_not_the_second_alone() {
        for (rule, lists, is_closed) in [
            ("PathPrefix(`/a`)", "[in]", false),
            ("PathPrefix(`/a`)", "[in, in]", false),
            ("PathPrefix(`/a`)", "[in, wide]", true),
            ("ClientIP(`10.1.0.0/16`)", "[wide]", true),
            ("ClientIP(`10.1.0.0/16`)", "[in]", false),
        ] {
            let text = format!(
                "http:
  routers: {{ r: {{ rule: \"{rule}\", middlewares: {lists}, service: s }} }}
  middlewares:
    in: {{ ipAllowList: {{ sourceRange: [10.1.0.0/16] }} }}
    wide: {{ ipAllowList: {{ sourceRange: [10.0.0.0/8] }} }}
  services: {{ s: {{ loadBalancer: {{ servers: [{{ url: \"http://10.0.0.1:80\" }}] }} }} }}
"
            );
            let found = migrate(Kind::Traefik, &text, "f").unwrap();
            assert_eq!(found.yaml.contains("action: deny"), is_closed, "{rule} {lists}: {}", found.yaml);
            let has_danger = found.notes.iter().any(|note| note.kind == NoteKind::Unsafe && note.line == 5);
            assert_eq!(has_danger, is_closed, "{rule} {lists}: {:#?}", found.notes);
        }
    }
}
