//! What was read is known again: whether it is different now, and where a change would show.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use attache::config::{Inputs, read};

use crate::env;

fn inputs(path: &Path) -> Inputs {
    read(path, &env()).inputs
}

#[test]
fn a_change_of_content_is_seen_and_a_touch_is_not() {
    let root = tempfile::tempdir().unwrap();
    let (file, absent) = (root.path().join("a.yaml"), root.path().join("b"));
    let text = "zone: '${file:b}'";
    fs::write(&file, text).unwrap();
    let inputs = inputs(&file);
    assert!(!inputs.has_changed());
    fs::write(&file, text).unwrap();
    assert!(!inputs.has_changed(), "the same again");
    fs::write(&file, "zone: '${file:c}'").unwrap();
    assert!(inputs.has_changed());
    fs::write(&file, text).unwrap();
    assert!(!inputs.has_changed(), "as it was");
    fs::write(&absent, "here now").unwrap();
    assert!(inputs.has_changed(), "what was missing has come");
}

#[test]
fn a_new_name_in_a_listed_directory_is_seen() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("one.yaml"), "").unwrap();
    let inputs = inputs(root.path());
    assert!(!inputs.has_changed());
    for nobody_reads in [".one.yaml.swp", "one.yaml~", "4913", ".hidden.yaml"] {
        fs::write(root.path().join(nobody_reads), "").unwrap();
        assert!(!inputs.has_changed(), "{nobody_reads}");
    }
    fs::write(root.path().join("more.yaml"), "").unwrap();
    assert!(inputs.has_changed());
    fs::remove_dir_all(root.path()).unwrap();
    assert!(inputs.has_changed(), "gone altogether");
}

#[test]
fn a_link_is_watched_where_it_stands_and_where_it_leads() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    for directory in ["etc", "data"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    fs::write(root.join("data/real.yaml"), "x").unwrap();
    let link = root.join("etc/gateway.yaml");
    symlink(root.join("data/real.yaml"), &link).unwrap();
    let inputs = inputs(&link);
    let expected = [root.join("data"), root.join("etc")];
    assert_eq!(inputs.watched(), BTreeSet::from(expected));
    fs::remove_dir_all(root.join("data")).unwrap();
    let expected = [root.clone(), root.join("etc")];
    assert_eq!(inputs.watched(), BTreeSet::from(expected), "where it may come back");
}

#[test]
fn a_link_above_a_file_is_watched_where_it_stands() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("releases/one")).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("releases/one/gateway.yaml"), "x").unwrap();
    symlink("one", root.join("releases/now")).unwrap();
    symlink("../releases/now", root.join("etc/current")).unwrap();
    let watched = inputs(&root.join("etc/current/gateway.yaml")).watched();
    for place in ["etc", "etc/current"] {
        assert!(watched.contains(&root.join(place)), "{place}: {watched:?}");
    }
    let releases = root.join("etc/../releases");
    assert!(watched.contains(&releases), "{watched:?}");
}
