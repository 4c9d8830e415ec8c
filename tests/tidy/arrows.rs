//! The table of ARCHITECTURE.md, as far as manifests and sources can be read: arrows go down, and heavy crates are each
//! behind one of ours.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{files_like, metadata, text_of};

/// What each crate may use of ours, and what of the world it may never name.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("tollgate-domain", &[], &["tokio", "tonic", "sqlx", "hyper", "reqwest", "axum", "serde_json"]),
    ("tollgate-runtime", &[], &["sqlx", "prost"]),
    (
        "tollgate-link",
        &["tollgate-domain"],
        &["tokio", "tonic", "sqlx", "hyper", "reqwest", "axum", "rand", "serde_json"],
    ),
    ("tollgate-proto", &["tollgate-domain", "tollgate-link"], &["tokio", "sqlx", "hyper", "reqwest", "axum"]),
    ("tollgate-codec", &["tollgate-domain"], &["tokio", "tonic", "sqlx", "hyper", "reqwest", "axum", "http", "prost"]),
    ("tollgate-store", &["tollgate-domain"], &["tonic", "hyper", "reqwest", "axum", "prost"]),
    (
        "tollgate-controller",
        &["tollgate-domain", "tollgate-link", "tollgate-store", "tollgate-proto", "tollgate-runtime"],
        &["sqlx"],
    ),
    (
        "tollgate-proxy",
        &["tollgate-domain", "tollgate-link", "tollgate-codec", "tollgate-proto", "tollgate-runtime"],
        &["sqlx", "axum", "reqwest"],
    ),
    ("tollgate", &["tollgate-controller", "tollgate-proxy", "tollgate-proto", "tollgate-runtime"], &["sqlx", "hyper"]),
    ("tollgate-tests", &["tollgate", "tollgate-proto", "tollgate-link"], &["sqlx"]),
];

/// What only the tests of a crate may use on top: the fuzz targets name the parsers themselves.
const FOR_TESTS: &[(&str, &[&str])] = &[(
    "tollgate-tests",
    &["tollgate-codec", "tollgate-controller", "tollgate-domain", "tollgate-proxy", "tollgate-runtime"],
)];

/// The folders of the tests that see the house from outside.
const OUTSIDE: [&str; 3] = ["tests/src/", "tests/it/", "tests/bench/"];

struct Package {
    /// Dependencies by kind: `normal`, `dev`, `build`.
    uses: BTreeMap<String, BTreeSet<String>>,
}

/// The crates of this workspace.
fn packages() -> BTreeMap<String, Package> {
    let metadata = metadata();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap().iter().filter(|package| package["source"].is_null()) {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            uses.entry(kind.to_owned()).or_default().insert(dependency["name"].as_str().unwrap().to_owned());
        }
        found.insert(package["name"].as_str().unwrap().to_owned(), Package { uses });
    }
    found
}

#[test]
fn no_crate_reaches_past_the_table() {
    let packages = packages();
    let names: Vec<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    for name in packages.keys() {
        assert!(
            names.contains(&name.as_str()),
            "{name} is not in the table of ARCHITECTURE.md and tests/tidy/arrows.rs"
        );
    }
    for (name, ours, never) in TABLE {
        let package = packages.get(*name).unwrap_or_else(|| panic!("{name} is in the table and not in the workspace"));
        for (kind, uses) in &package.uses {
            for used in uses {
                let is_ours = packages.contains_key(used);
                let for_tests = FOR_TESTS
                    .iter()
                    .any(|(tests, more)| kind == "dev" && tests == name && more.contains(&used.as_str()));
                assert!(!is_ours || ours.contains(&used.as_str()) || for_tests, "{name} may not use {used} ({kind})");
                let is_tokio_in_tests = kind == "dev" && used == "tokio";
                assert!(
                    !never.contains(&used.as_str()) || is_tokio_in_tests || kind == "build",
                    "{name} may never use {used} ({kind})"
                );
            }
        }
    }
}

#[test]
fn only_the_store_names_the_database() {
    for file in files_like(".rs").iter().filter(|file| !file.starts_with("control-plane/store/")) {
        let is_here = file.starts_with("tests/tidy/");
        let named = text_of(file).lines().any(|line| !line.trim_start().starts_with("//") && line.contains("sqlx"));
        assert!(is_here || !named, "{file} names sqlx");
    }
}

#[test]
fn the_house_tests_stay_outside() {
    for file in files_like(".rs").iter().filter(|file| OUTSIDE.iter().any(|folder| file.starts_with(folder))) {
        for inside in ["codec::", "controller::", "proxy::", "domain::", "store::", "runtime::"] {
            let text = text_of(file);
            let is_used = text.match_indices(inside).any(|(at, _)| {
                let before = text[..at].chars().next_back().unwrap_or(' ');
                !(before.is_alphanumeric() || before == '_' || before == ':')
            });
            // Tokio has a room of that name.
            let is_tokios = inside == "runtime::" && !text.contains("use runtime::");
            assert!(!is_used || is_tokios, "{file} looks inside the house: {inside}");
        }
    }
}
