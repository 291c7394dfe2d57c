//! Every configuration in the repository loads without a word but those it announces itself, against certificates made
//! on the spot: those of `config/` and `deploy/`, and the examples of the documents.
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
use serde_yaml::Value as Yaml;

/// A copy of `config/` with the certificates that its files name beside it.
struct Checkout {
    root: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &root.path().join("config"));
        for (directory, name, hosts) in [
            ("certs", "gateway", vec!["localhost", "127.0.0.1"]),
            ("config/examples/certs", "agents", vec!["agents.example.com", "mcp-agent-service"]),
            ("config/examples/certs", "partners", vec!["*.partners.example.com"]),
            ("config/examples/certs", "gateway-client", vec!["gateway.internal"]),
            ("config/examples/certs", "clients-ca", vec!["clients"]),
            ("config/examples/certs", "internal-ca", vec!["internal"]),
        ] {
            let names: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let directory = root.path().join(directory);
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(directory.join(format!("{name}.crt")), made.cert.pem()).expect("written");
            fs::write(directory.join(format!("{name}.key")), made.signing_key.serialize_pem()).expect("written");
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
            found.extend(names.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")));
        }
        found.sort();
        found.iter().map(|path| path.strip_prefix(self.root.path()).expect("below it").to_owned()).collect()
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
fn every_example_loads_and_announces_its_warnings() {
    let checkout = Checkout::new();
    let examples = checkout.examples();
    assert!(examples.len() >= 24, "only {} examples were found", examples.len());
    for path in examples {
        match config::load(&path, &checkout.env()) {
            Ok(loaded) => {
                let warnings = loaded.warnings.diagnostics();
                let announced = fs::read_to_string(checkout.root.path().join(&path))
                    .expect("it was read before")
                    .contains("`attache validate` warns once:");
                let expected = usize::from(announced);
                assert_eq!(warnings.len(), expected, "{}", loaded.warnings);
            }
            Err(report) => panic!("{}:\n{report}", path.display()),
        }
    }
}

#[test]
fn what_is_deployed_loads_without_a_warning() {
    let checkout = Checkout::new();
    let certs = checkout.root.path().join("certs");
    for name in ["deploy/compose/gateway.yaml", "deploy/image/gateway.yaml"] {
        let text = repository(name).replace("/certs/", &format!("{}/", certs.display()));
        match config::parse(&text, name, &checkout.env()) {
            Ok(loaded) => assert!(loaded.warnings.is_empty(), "{}", loaded.warnings),
            Err(report) => panic!("{name}:\n{report}"),
        }
    }
}

/// Whether a service of compose runs our image.
fn is_ours(service: &Yaml) -> bool {
    // Its own, or the one in what the services share.
    let image = service.get("image").or_else(|| service.get("<<")?.get("image"));
    image.and_then(Yaml::as_str).is_some_and(|image| image.starts_with("attache:"))
}

#[test]
fn compose_uses_commands_that_exist() {
    let compose: Yaml = serde_yaml::from_str(&repository("deploy/compose.yaml")).expect("YAML");
    let services = compose["services"].as_mapping().expect("services");
    let mut commands: Vec<Vec<String>> = services
        .values()
        .filter(|service| is_ours(service))
        .filter_map(|service| service.get("command"))
        .map(|command| serde_yaml::from_value(command.clone()).expect("a list of words"))
        .collect();
    assert!(!commands.is_empty(), "no service has a command");
    commands.push(vec!["healthcheck".to_owned()]);
    for command in commands {
        // Everything before `--help` is parsed, and refused when it is unknown.
        let asked = assert_cmd::cargo::cargo_bin_cmd!("attache")
            .args(&command)
            .arg("--help")
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{command:?}: {said}");
    }
}

#[test]
fn commands_of_the_documents_exist() {
    let mut found = 0;
    for page in pages("docs").into_iter().chain(["README.md".to_owned()]) {
        let text = repository(&page).replace("\\\n", " ");
        let blocks = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        let prose = text.split("\n```").step_by(2).collect::<String>().replace('\n', " ");
        let spans = prose.split('`').skip(1).step_by(2).filter(|code| code.starts_with("attache "));
        let commands = blocks.flat_map(str::lines).chain(spans).filter_map(words_of_attache);
        for command in commands.filter(|words| words.first().is_some_and(|verb| verb != "VERB")) {
            let asked = assert_cmd::cargo::cargo_bin_cmd!("attache").args(&command).arg("--help").output();
            let asked = asked.expect("the binary runs");
            let said = String::from_utf8_lossy(&asked.stderr);
            assert!(asked.status.success(), "{page}: {command:?}: {said}");
            found += 1;
        }
    }
    assert!(found >= 100, "only {found} commands were found");
}

/// The pages in a folder and the folders in it.
fn pages(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder");
    let names = entries.map(|entry| format!("{folder}/{}", entry.expect("an entry").file_name().to_string_lossy()));
    names
        .flat_map(|name| {
            let is_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name).is_dir();
            if is_folder { pages(&name) } else { vec![name] }
        })
        .filter(|name| name.ends_with(".md"))
        .collect()
}

/// What follows `attache` in a line of shell, up to whatever is the shell's.
fn words_of_attache(line: &str) -> Option<Vec<String>> {
    let (before, after) = line.split_once("attache ")?;
    // Of a path to it, what stands in front counts.
    let path = before.rsplit_once(char::is_whitespace).map_or("", |(head, _)| head);
    let head = if before.ends_with('/') { path } else { before };
    let last = head.split_whitespace().last().unwrap_or_default();
    let begins = last.is_empty() || last.contains('=') || last.ends_with(['(', '|', ';', '&']);
    if !begins && !["do", "until", "while", "if", "then", "!"].contains(&last) {
        return None;
    }
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in after.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '|' | '>' | '<' | '&' | ';' | '#' | ')') => break,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    // What is left in front of `2>` is the number of an output.
    if word != "2" {
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    Some(words)
}

#[test]
fn commands_are_read_out_of_shell() {
    for (line, wanted) in [
        ("attache run -c a.yaml 2> log &", Some("run|-c|a.yaml")),
        ("  attache explain GET / -H 'a: b' # why", Some("explain|GET|/|-H|a: b")),
        ("said=$(attache version)", Some("version")),
        ("until attache healthcheck; do sleep 1; done", Some("healthcheck")),
        ("TOKEN=x attache reload", Some("reload")),
        ("echo my-attache run", None),
        ("target/release/attache version", Some("version")),
        ("helm install attache deploy", None),
        ("build target/release/attache .", None),
        ("cargo run", None),
    ] {
        assert_eq!(words_of_attache(line).map(|words| words.join("|")).as_deref(), wanted, "{line}");
    }
}

#[test]
fn examples_of_the_documents_load() {
    let checkout = Checkout::new();
    // Certificates and keys that an example names need not be there; the gateway insists on a token of its own.
    let env = checkout.env().without_certificates();
    let secrets = checkout.root.path().join("secrets");
    fs::create_dir(&secrets).expect("a directory");
    fs::write(secrets.join("admin-token"), "0123456789abcdef0123456789abcdef").expect("written");
    let mut found = 0;
    // Pages on migration show what others write; tests/docs.rs holds what is ours there against the files of `config/`.
    let pages = pages("docs").into_iter().filter(|page| !page.starts_with("docs/migrate/"));
    for name in pages.chain(["README.md".to_owned()]) {
        let text = repository(&name).replace("/run/secrets", &secrets.display().to_string());
        let blocks = text.split("\n```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        for block in blocks {
            let example: Yaml = serde_yaml::from_str(block).unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            if example.get("apiVersion").is_some() {
                continue;
            }
            let whole = serde_yaml::to_string(&completed(example)).expect("YAML");
            if let Err(report) = config::parse(&whole, &name, &env) {
                panic!("an example of {name}:\n{report}");
            }
            found += 1;
        }
    }
    assert!(found >= 50, "only {found} examples were found");
}

/// An example with what it leaves out: the route around a part of one, a listener, the clusters and providers its
/// routes name, a route for each cluster. Of values for Helm, only the configuration.
fn completed(mut example: Yaml) -> Yaml {
    let list = |value: &str| serde_yaml::from_str::<Yaml>(value).expect("YAML");
    if let Some(config) = example.get("config") {
        example = config.clone();
    }
    if ["auth", "fault", "mirror", "split"].iter().any(|key| example.get(key).is_some()) {
        let mut whole = list("{ routes: { example: {} } }");
        let route = &mut whole["routes"]["example"];
        *route = example;
        if route.get("split").is_none() {
            route["cluster"] = "example".into();
        }
        example = whole;
    }
    let providers: Vec<Yaml> = match example.get("routes").and_then(Yaml::as_mapping) {
        Some(routes) => routes.values().filter_map(|route| route.get("auth")).flat_map(providers_named).collect(),
        None => Vec::new(),
    };
    let mut names = Vec::new();
    clusters_named(example.get("routes").unwrap_or(&Yaml::Null), &mut names);
    let own = example.as_mapping_mut().expect("a mapping");
    own.entry("listeners".into()).or_insert_with(|| list("{ http: { address: '127.0.0.1:8080' } }"));
    let clusters = own.entry("clusters".into()).or_insert_with(|| list("{}"));
    let clusters = clusters.as_mapping_mut().expect("a mapping");
    for name in names {
        clusters.entry(name).or_insert_with(|| list("{ endpoints: ['127.0.0.1:9101'] }"));
    }
    let unused: Vec<Yaml> = clusters.keys().cloned().collect();
    if !providers.is_empty() {
        let known = own.entry("authProviders".into()).or_insert_with(|| list("{}"));
        for name in providers {
            let known = known.as_mapping_mut().expect("a mapping");
            known.entry(name).or_insert_with(|| list("{ apiKey: { keysFile: example.keys } }"));
        }
    }
    if !own.contains_key("routes") {
        let routes = unused.into_iter().enumerate().map(|(index, name)| {
            let cluster = name.as_str().expect("a name");
            let route = format!("{{ cluster: {cluster}, match: {{ path: {{ prefix: /{index} }} }} }}");
            (name.clone(), list(&route))
        });
        let mut routes: serde_yaml::Mapping = routes.collect();
        if routes.is_empty() {
            routes.insert("example".into(), list("{ hosts: [agents.example.com], respond: { status: 204 } }"));
        }
        own.insert("routes".into(), Yaml::Mapping(routes));
    }
    example
}

/// The providers that a route's `auth` names.
fn providers_named(auth: &Yaml) -> Vec<Yaml> {
    match auth {
        Yaml::String(word) if word == "off" => Vec::new(),
        Yaml::String(_) => vec![auth.clone()],
        Yaml::Sequence(names) => names.clone(),
        _ => ["anyOf", "allOf"].iter().filter_map(|key| auth.get(key)).flat_map(providers_named).collect(),
    }
}

/// The clusters that routes name, wherever they do.
fn clusters_named(part: &Yaml, names: &mut Vec<Yaml>) {
    match part {
        Yaml::Mapping(parts) => parts.iter().for_each(|(key, value)| {
            if key.as_str() == Some("cluster") {
                names.push(value.clone());
            }
            clusters_named(value, names);
        }),
        Yaml::Sequence(parts) => parts.iter().for_each(|part| clusters_named(part, names)),
        _ => {}
    }
}

fn repository(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_example_shown_with_defaults_means_the_same() {
    let checkout = Checkout::new();
    let env = checkout.env().with_variable("LOG_LEVEL", "debug");
    // What a request must carry to match is shown by name only, and so are fields that are set and nobody knows.
    let carried = regex::Regex::new(
        r#"((?:value: (?:Exact|Prefix|Regex)\(\s*(?:Regex\(\s*)?)|"x-[a-z-]+"[:,]\s+)"(?:\\.|[^"\\])*""#,
    )
    .expect("legal");
    for path in checkout.examples() {
        let before = config::load(&path, &env).expect("it is legal").config;
        let shown = config::show(&path, &env, true).expect("it is legal");
        let mut after =
            config::parse(&shown, "shown.yaml", &env).unwrap_or_else(|report| panic!("{shown}\n{report}")).config;
        after.hash.clone_from(&before.hash);
        after.effective.clone_from(&before.effective);
        let plain = |config: &config::model::Config| {
            let text = format!("{config:#?}");
            carried.replace_all(&text, "$1\"..\"").into_owned()
        };
        assert_eq!(plain(&after), plain(&before), "{}:\n{shown}", path.display());
    }
}

#[test]
fn a_directory_is_one_configuration() {
    let checkout = Checkout::new();
    let root = checkout.root.path().join("both");
    fs::create_dir_all(&root).expect("a directory");
    fs::write(root.join("10-listeners.yaml"), "listeners: { http: { address: '127.0.0.1:8080' } }").expect("written");
    fs::write(root.join("20-routes.yml"), "routes: { a: { endpoints: ['127.0.0.1:9101'] } }").expect("written");
    fs::write(root.join(".hidden.yaml"), "nonsense: [").expect("written");
    let loaded = config::load(Path::new("both"), &checkout.env()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.files, [Path::new("both/10-listeners.yaml"), Path::new("both/20-routes.yml")]);
    assert_eq!((loaded.config.listeners.len(), loaded.config.routes.len()), (1, 1));
}

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gateway.schema.json");
    if std::env::var_os("ATTACHE_UPDATE").is_some() {
        fs::write(&path, config::schema()).expect("written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == config::schema(), "run `ATTACHE_UPDATE=1 cargo test --test examples`, or `just update`");
}
