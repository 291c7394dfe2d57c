//! Configurations of other programs: what becomes of each is kept beside it, can be loaded, and every line of it is
//! either there or noted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says why and stops"
)]

mod command;
#[path = "migrate/elsewhere.rs"]
mod elsewhere;
#[path = "migrate/protection.rs"]
mod protection;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use attache::config::{self, Environment};
use attache::migrate::{Kind, NoteKind, migrate};

/// The files to migrate with what their ends say.
fn cases() -> Vec<(PathBuf, Kind)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/cases");
    let entries = fs::read_dir(&folder).expect("a folder of cases").map(|entry| entry.expect("an entry").path());
    let kind = |path: &Path| {
        let end = path.extension()?.to_str()?.to_owned();
        Kind::ALL.into_iter().find(|kind| kind.word() == end)
    };
    let mut found: Vec<_> = entries.filter_map(|path| Some((path.clone(), kind(&path)?))).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn every_case_becomes_what_is_kept_beside_it() {
    let cases = cases();
    for kind in Kind::ALL {
        assert!(cases.iter().any(|(_, of)| *of == kind), "there is no case of {}", kind.word());
    }
    for (path, kind) in cases {
        let (text, name) = (fs::read_to_string(&path).expect("a case"), name_of(&path));
        let migrated = migrate(kind, &text, &name).unwrap_or_else(|report| panic!("{name}: {report}"));
        let notes: String = migrated.notes.iter().map(|note| note.placed(&name) + "\n").collect();
        insta::assert_snapshot!(name.replace('.', "-"), format!("{}\n---- notes\n{notes}", migrated.yaml));
    }
}

#[test]
fn every_result_can_be_loaded_and_its_notes_stand_in_it() {
    for (path, kind) in cases() {
        let (text, name) = (fs::read_to_string(&path).expect("a case"), name_of(&path));
        let migrated = migrate(kind, &text, &name).expect("it migrates");
        let environment = Environment::empty(SystemTime::now()).without_certificates();
        let loaded = config::parse(&migrated.yaml, "attache.yaml", &environment);
        assert!(loaded.is_ok(), "{name}: {}", loaded.unwrap_err());
        let comments: String = migrated.yaml.lines().filter_map(|line| line.trim().strip_prefix("# ")).collect();
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        let comments = squeezed(&comments);
        for note in &migrated.notes {
            let placed = note.placed(&name);
            assert!(comments.contains(&squeezed(&placed)), "{name}: the file does not say: {placed}");
        }
    }
}

/// All words of a line stand beside each other in the result, in a setting and its comment, or a note has the line.
#[test]
fn nothing_is_dropped_in_silence() {
    for (path, kind) in
        cases().into_iter().filter(|(_, kind)| matches!(kind, Kind::Nginx | Kind::Haproxy | Kind::Caddy))
    {
        let (text, name) = (fs::read_to_string(&path).expect("a case"), name_of(&path));
        let migrated = migrate(kind, &text, &name).expect("it migrates");
        let yaml = migrated.yaml.to_lowercase();
        let lines: Vec<&str> = yaml.lines().collect();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let word = line.split([' ', '\t', ';', '{']).next().unwrap_or_default();
            let is_structure = line.is_empty() || line.starts_with(['#', '}', '{', '@']) || SILENT.contains(&word);
            let is_known = is_structure
                || ELSEWHERE.contains(&line.trim_end_matches([' ', '{', ';']))
                || migrated.notes.iter().any(|note| note.line == index + 1)
                || lines.windows(3).any(|near| holds(&near.join(" "), line));
            assert!(is_known, "{name}:{}: nothing is said of `{line}`", index + 1);
        }
    }
}

/// Whether a text has all words of a directive, as far as comments show them.
fn holds(text: &str, line: &str) -> bool {
    let shown: String = line.split(" #").next().unwrap_or_default().chars().take(80).collect();
    let bare = |word: &str| word.trim_matches(['"', '\'', '`', ';', ',']).trim_start_matches(['+', '-']).to_lowercase();
    shown.trim_end_matches(['{', ';', ' ']).split_whitespace().map(bare).all(|word| text.contains(&word))
}

/// Words whose effect stands elsewhere: what opens a block, what is inside of a block that has a note as a whole, what
/// a name stands for, and what says what attache does anyway.
const SILENT: &[&str] = &[
    "http", "server", "events", "acl", "default", "stream", "global", "defaults", "map", "mode", "frontend", "backend",
    "ssl_certificate_key", "worker_connections", "real_ip_header", "''", "limit_conn_zone", "proxy_buffering",
    "proxy_ssl_verify", "auth_basic_user_file", "default-server", "transport", "servers", "(secure)", "request_body",
];

/// Lines whose words do not stand together in the result: those in a block that has a note as a whole or is named
/// elsewhere, those that another line of the file outdoes, and values in the spelling of attache.
const ELSEWHERE: &[&str] = &[
    "import secure",
    "path /send /send/*",
    "header X-Kind fast*",
    "admin $2a$14$abc",
    "header_up X-Key {env.KEY}",
    "respond \"sorry\"",
    "user admin password $6$abc",
    "balance leastconn",
    "option httpchk",
    "http-request replace-path /planner/(.*) /\\1",
    "bind :5432",
    "return 403",
    "listen 5432",
];

#[test]
fn the_traps_of_guides_are_named() {
    let notes = |file: &str, kind: Kind| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/cases").join(file);
        let text = fs::read_to_string(path).expect("a case");
        migrate(kind, &text, file).expect("it migrates").notes
    };
    let nginx = notes("guide.nginx", Kind::Nginx);
    for (line, text) in [
        (19, "inside of `server`"),
        (22, "nginx buffers answers"),
        (30, "event streams too, and some agents stumble"),
        (26, "made up"),
    ] {
        let found =
            nginx.iter().any(|note| note.line == line && note.kind == NoteKind::Unsafe && note.text.contains(text));
        assert!(found, "line {line}: {text}: {nginx:#?}");
    }
    let haproxy = notes("guide.haproxy", Kind::Haproxy);
    assert!(haproxy.iter().any(|note| note.text.contains("429 with Retry-After")), "{haproxy:#?}");
    assert!(haproxy.iter().any(|note| note.text.contains("makes a GET of a POST")), "{haproxy:#?}");
}

#[test]
fn what_cannot_be_read_has_its_place() {
    for (kind, text, place) in
        [(Kind::Nginx, "server {\n  listen 80\n}\n", "x:2:3"), (Kind::Haproxy, "global\n  a \"b\n", "x:2:5")]
    {
        let report = migrate(kind, text, "x").expect_err("it is refused").human(false);
        assert!(report.contains(place) && report.contains('^'), "{report}");
    }
}

/// What is inherited into many places must not grow without a bound.
#[test]
fn what_would_grow_without_bound_is_refused() {
    let headers: String = (0..5_000).map(|index| format!("add_header X-{index} v always;\n")).collect();
    let locations: String = (0..5_000).map(|index| format!("location /{index} {{ return 204; }}\n")).collect();
    let text = format!("server {{\n{headers}{locations}}}\n");
    let report = migrate(Kind::Nginx, &text, "x").expect_err("it is refused").human(false);
    assert!(report.contains("more than 100000 settings"), "{report}");
}
