# One verb for each habit; `just` alone lists them. Each is a line or two that also runs without just.

# Lists the verbs.
default:
    @just --list

# Runs the gateway with a configuration.
run config="config/gateway.yaml":
    cargo run --release -- run -c {{ config }}

# Runs a gateway with agents behind it and traffic in front of it.
demo:
    cargo run --release -- demo

# Runs the tests, or those that match: `just test --test gateway retries::`.
test *filter:
    cargo test {{ filter }}

# Formats, then shows what the lints and the rules of the house say.
lint:
    cargo fmt
    cargo clippy --all-targets -- -D warnings
    cargo test --quiet --test tidy

# Writes the generated files again: schema, reference, metrics, snapshots of diagnostics.
update:
    ATTACHE_UPDATE=1 cargo test --quiet --lib documentation
    ATTACHE_UPDATE=1 cargo test --quiet --test examples --test reference --test config_diagnostics
    git status --short

# Measures single parts, or one bench, or a part of it: `just bench hygiene hostile`.
bench name="*" *filter:
    cargo bench --bench '{{ name }}' -- {{ filter }}

# Measures the whole gateway beside others; see benches/compare/README.md.
compare *arguments:
    benches/compare/run {{ arguments }}

# Fuzzes all targets, or one, for some seconds; see fuzz/README.md.
fuzz target="all" seconds="10":
    .ci/fuzz {{ target }} {{ seconds }}

# Builds the static site of the documents in target/site/book, and follows its links.
site:
    .ci/site

# Checks manifests, rules, dashboards and workflows: `just deploy --only dashboards`.
deploy *arguments:
    tests/deploy/run {{ arguments }}

# Builds the image and proves that it runs. Needs root.
image:
    .ci/image

# Everything a change must pass, or some steps: `just ci lint test`.
ci *steps:
    .ci/run {{ steps }}
