//! Runs the fuzz targets over their corpus. `just fuzz` (cargo-fuzz) runs them on bytes of its own; inputs that it
//! found to fail stay in the corpus.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is what it is for")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use attache::fuzzing::TARGETS;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("a folder of inputs");
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

/// A little fuzzing without tools, the same in every run. `ATTACHE_FUZZ_ROUNDS` asks for more of it, and
/// `ATTACHE_FUZZ_TARGET` for one target alone.
#[test]
fn inputs_made_from_the_corpus_pass() {
    let rounds = std::env::var("ATTACHE_FUZZ_ROUNDS").map_or(20, |rounds| rounds.parse().expect("a number"));
    let only = std::env::var("ATTACHE_FUZZ_TARGET").ok();
    assert!(only.as_ref().is_none_or(|only| TARGETS.iter().any(|(name, _)| name == only)), "there is no {only:?}");
    for (name, target) in TARGETS.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| name == only)) {
        let inputs = corpus(name);
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..rounds * inputs.len() {
            let bytes = mutated(&inputs, &mut rng);
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                let file = std::env::temp_dir().join(format!("attache-fuzz-{name}-{round}"));
                fs::write(&file, &bytes).expect("the input can be kept");
                panic!("{name} fails with {}", file.display());
            }
        }
    }
}

/// One of the inputs with some bytes changed, left out or repeated, or taken from another.
fn mutated(inputs: &[(PathBuf, Vec<u8>)], rng: &mut fastrand::Rng) -> Vec<u8> {
    let input = |rng: &mut fastrand::Rng| inputs.get(rng.usize(..inputs.len())).map_or(&[][..], |(_, bytes)| bytes);
    let mut bytes = input(rng).to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(..12)).min(bytes.len());
        let piece = match rng.u8(..5) {
            0 => Vec::new(),
            1 => vec![rng.u8(..); rng.usize(1..4)],
            2 => bytes.get(at..end).unwrap_or_default().repeat(rng.usize(2..5)),
            3 => rng.choice(TOKENS).map_or_else(Vec::new, |token| token.to_vec()),
            _ => {
                let other = input(rng);
                let from = rng.usize(..=other.len());
                other.get(from..(from + rng.usize(..40)).min(other.len())).unwrap_or_default().to_vec()
            }
        };
        bytes.splice(at..end, piece);
    }
    bytes
}

/// What parsers look for.
const TOKENS: &[&[u8]] = &[
    b"\r\n", b"\n", b"\0", b":", b",", b";", b"[", b"]", b"{", b"}", b"%2e", b"..", b"//", b"\xff", b" ", b"\"", b"-",
    b"&a", b"*a",
];

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
