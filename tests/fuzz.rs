//! Runs the fuzz targets over their corpus. `just fuzz` (cargo-fuzz) runs them on bytes of its own; inputs that it
//! found to fail stay in the corpus.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is what it is for")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use attache::fuzzing::TARGETS;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.expect("the corpus can be listed").path());
    files.map(|file| (file.clone(), fs::read(file).expect("an input can be read"))).collect()
}

#[test]
fn every_input_of_the_corpus_passes() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "fuzz/corpus/{name} is empty");
        for (file, bytes) in inputs {
            // Whole, and cut off anywhere.
            let cuts = (0..=bytes.len()).step_by(bytes.len() / 64 + 1).chain([bytes.len()]);
            for cut in cuts {
                let part = bytes.get(..cut).unwrap_or_default();
                if catch_unwind(AssertUnwindSafe(|| target(part))).is_err() {
                    failed.push(format!("{} up to byte {cut}", file.display()));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_target_has_a_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(&program).unwrap_or_default();
        assert!(text.contains(&format!("attache::fuzzing::{name}(bytes)")), "{} does not run it", program.display());
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "fuzz/Cargo.toml has no program {name}");
    }
}
