//! Every example in `config/` loads without a word, against certificates made on the spot.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use attache::config::{self, Environment};

/// A copy of `config/` with the certificates that its files name beside it.
struct Checkout {
    root: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("config"),
            &root.path().join("config"),
        );
        for (directory, name, hosts) in [
            ("certs", "gateway", vec!["localhost", "127.0.0.1"]),
            (
                "config/examples/certs",
                "agents",
                vec!["agents.example.com"],
            ),
            (
                "config/examples/certs",
                "partners",
                vec!["*.partners.example.com"],
            ),
            (
                "config/examples/certs",
                "gateway-client",
                vec!["gateway.internal"],
            ),
            ("config/examples/certs", "clients-ca", vec!["clients"]),
            ("config/examples/certs", "internal-ca", vec!["internal"]),
        ] {
            let names: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let directory = root.path().join(directory);
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(directory.join(format!("{name}.crt")), made.cert.pem()).expect("written");
            fs::write(
                directory.join(format!("{name}.key")),
                made.signing_key.serialize_pem(),
            )
            .expect("written");
        }
        Self { root }
    }

    fn env(&self) -> Environment {
        Environment::empty(SystemTime::now()).with_root(self.root.path())
    }

    /// Every configuration that stands alone, relative to the checkout.
    fn examples(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for directory in ["config", "config/examples"] {
            let entries = fs::read_dir(self.root.path().join(directory)).expect("a directory");
            let names = entries.map(|entry| entry.expect("an entry").path());
            found.extend(names.filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "yaml")
            }));
        }
        found.sort();
        found
            .iter()
            .map(|path| {
                path.strip_prefix(self.root.path())
                    .expect("below it")
                    .to_owned()
            })
            .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn every_example_loads_without_a_warning() {
    let checkout = Checkout::new();
    let examples = checkout.examples();
    assert!(
        examples.len() >= 12,
        "only {} examples were found",
        examples.len()
    );
    for path in examples {
        match config::load(&path, &checkout.env()) {
            Ok(loaded) => assert!(loaded.warnings.is_empty(), "{}", loaded.warnings),
            Err(report) => panic!("{}:\n{report}", path.display()),
        }
    }
}

#[test]
fn every_example_shown_with_defaults_means_the_same() {
    let checkout = Checkout::new();
    let env = checkout.env().with_variable("LOG_LEVEL", "debug");
    for path in checkout.examples() {
        let before = config::load(&path, &env).expect("it is legal").config;
        let shown = config::show(&path, &env, true).expect("it is legal");
        let mut after = config::parse(&shown, "shown.yaml", &env)
            .unwrap_or_else(|report| panic!("{shown}\n{report}"))
            .config;
        after.hash.clone_from(&before.hash);
        assert_eq!(
            format!("{after:#?}"),
            format!("{before:#?}"),
            "{}:\n{shown}",
            path.display()
        );
    }
}

#[test]
fn a_directory_is_one_configuration() {
    let checkout = Checkout::new();
    let root = checkout.root.path().join("both");
    fs::create_dir_all(&root).expect("a directory");
    fs::write(
        root.join("10-listeners.yaml"),
        "listeners: { http: { address: '127.0.0.1:8080' } }",
    )
    .expect("written");
    fs::write(
        root.join("20-routes.yml"),
        "routes: { a: { endpoints: ['127.0.0.1:9101'] } }",
    )
    .expect("written");
    fs::write(root.join(".hidden.yaml"), "nonsense: [").expect("written");
    let loaded = config::load(Path::new("both"), &checkout.env())
        .unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(
        loaded.files,
        [
            Path::new("both/10-listeners.yaml"),
            Path::new("both/20-routes.yml")
        ]
    );
    assert_eq!(
        (loaded.config.listeners.len(), loaded.config.routes.len()),
        (1, 1)
    );
}

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gateway.schema.json");
    if std::env::var_os("ATTACHE_UPDATE_SCHEMA").is_some() {
        fs::write(&path, config::schema()).expect("written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == config::schema(),
        "run `attache config schema > config/gateway.schema.json`"
    );
}
