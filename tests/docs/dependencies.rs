//! What the program is made of: licences, where it comes from, and what is there twice. A small part of
//! what cargo-deny does, without building that on every new machine (see CONTRIBUTING.md).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences that an Apache-2.0 program may be made of.
const LICENCES: [&str; 9] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are in the tree in two versions, and why that is borne.
const TWICE: [&str; 2] = [
    "syn",       // serde and clap derive are not at the same one yet; only the compiler sees it
    "getrandom", // tests only: tempfile and proptest
];

/// Crates that are not to come in, see "Dependencies" in CONTRIBUTING.md.
const BANNED: [&str; 8] =
    ["anyhow", "async-std", "futures", "openssl", "openssl-sys", "reqwest", "tokio", "caps"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let used = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = used.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let all = metadata["packages"].as_array().unwrap().iter();
    let all = all.filter(|package| used.contains(package["id"].as_str().unwrap()));
    let all: Vec<Value> = all.cloned().collect();
    assert!(all.len() > 50, "too few packages to be all: {}", all.len());
    all
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Whether an SPDX expression (without nested parentheses; `/` is the old way to write OR) is
/// fulfilled by what is allowed.
fn is_allowed(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ");
    licence.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')', ' ']);
        part.split(" OR ").any(|one| LICENCES.contains(&one.trim()))
    })
}

#[test]
fn every_licence_is_allowed() {
    for package in packages() {
        let (name, licence) = (text(&package, "name"), text(&package, "license"));
        assert!(is_allowed(licence), "{name}: its licence is \"{licence}\"");
    }
    for licence in ["", "GPL-3.0", "MIT AND GPL-2.0-only", "(MIT OR Apache-2.0) AND AGPL-3.0"] {
        assert!(!is_allowed(licence), "{licence}");
    }
}

#[test]
fn everything_comes_from_the_registry_and_nothing_is_banned() {
    let mut sources = BTreeSet::new();
    for package in packages().iter().filter(|package| text(package, "name") != "sriovctl") {
        let (name, source) = (text(package, "name"), text(package, "source"));
        assert!(source.starts_with("registry+"), "{name} comes from \"{source}\"");
        assert!(!BANNED.contains(&name), "{name} is turned down in CONTRIBUTING.md");
        sources.insert(source.to_owned());
    }
    assert_eq!(sources.len(), 1, "{sources:?}");
}

#[test]
fn nothing_is_there_twice_unknown_to_us() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let entry = versions.entry(text(&package, "name").to_owned()).or_default();
        entry.insert(text(&package, "version").to_owned());
    }
    let twice: Vec<_> = versions.iter().filter(|(_, versions)| versions.len() > 1).collect();
    let known = |name: &str| TWICE.contains(&name);
    let unknown: Vec<_> = twice.iter().filter(|(name, _)| !known(name)).collect();
    assert!(unknown.is_empty(), "in two versions: {unknown:?}");
    let gone: Vec<_> =
        TWICE.iter().filter(|name| !twice.iter().any(|(known, _)| known == *name)).collect();
    assert!(gone.is_empty(), "no longer there twice: {gone:?}");
}
