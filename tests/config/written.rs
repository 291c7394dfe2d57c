//! Files that the gateway writes: where they stand, and that no others are replaced.

use std::fs;
use std::os::unix::fs::symlink;

use attache::config::{behind_links, is_foreign};

use crate::loaded;

#[test]
fn a_name_leads_to_where_the_file_stands() {
    let root = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(root.path()).unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("data")).unwrap();
    symlink("data", at("directory")).unwrap();
    symlink("directory/state", at("link")).unwrap();
    symlink("link", at("link-to-link")).unwrap();
    symlink("circle", at("circle")).unwrap();
    for name in ["link", "link-to-link", "directory/state", "data/state"] {
        assert_eq!(behind_links(&at(name)).unwrap(), real.join("data/state"), "{name}");
    }
    assert_eq!(behind_links(&at("absent/state")).unwrap(), at("absent/state"));
    assert!(behind_links(&at("circle")).is_err());
}

#[test]
fn only_our_own_last_good_file_is_replaced() {
    let ours =
        loaded("listeners: { web: { address: '127.0.0.1:1' } }\nroutes: { all: { respond: {} } }\n").standalone();
    let header = ours.lines().next().unwrap();
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("good.yaml");
    assert!(!is_foreign(&file).unwrap(), "it is not there");
    for (text, foreign) in [
        ("", false),
        (&ours, false),
        (&format!("{header}\n"), false),
        (header, true),
        ("# The last good configuration", true),
        ("listeners:\n  web:\n    address: 127.0.0.1:1\n", false),
        ("listeners: { web: { address: 127.0.0.1:1 } }\n", true),
        ("# mine\nlisteners:\n  web:\n    address: 127.0.0.1:1\n", true),
        ("groceries:\n- milk\n", true),
        ("\u{0}", true),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(is_foreign(&file).unwrap(), foreign, "{text}");
    }
    is_foreign(root.path()).unwrap_err();
}
