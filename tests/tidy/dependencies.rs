//! What comes from outside: one registry, known licences, nothing that brings a second TLS stack.

use crate::repository::metadata;

const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CDLA-Permissive-2.0",
    "0BSD",
    "BSL-1.0",
    "Unlicense",
    "MIT-0",
    "CC0-1.0",
];
const BANNED: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "chrono"];
/// Of these there must be one version only.
const SINGLE: &[&str] = &[
    "tonic",
    "prost",
    "hyper",
    "hyper-util",
    "http",
    "http-body",
    "tower",
    "axum",
    "reqwest",
    "rustls",
    "tokio-rustls",
    "ring",
    "opentelemetry",
    "opentelemetry_sdk",
    "tracing-opentelemetry",
    "tokio",
    "bytes",
    "serde_json",
    "sqlx",
    "toml",
    "clap",
];

fn packages() -> Vec<serde_json::Value> {
    metadata()["packages"].as_array().unwrap().clone()
}

fn name(package: &serde_json::Value) -> &str {
    package["name"].as_str().unwrap()
}

/// Whether an SPDX expression can be satisfied with licences that we accept.
fn is_accepted(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" OR ").any(|choice| {
        choice.split(" AND ").all(|part| LICENCES.contains(&part.trim().trim_matches(|c| c == '(' || c == ')')))
    })
}

#[test]
fn every_licence_is_one_we_accept() {
    let odd: Vec<String> = packages()
        .iter()
        .filter(|package| !is_accepted(package["license"].as_str().unwrap_or("none stated")))
        .map(|package| format!("{}: {}", name(package), package["license"]))
        .collect();
    assert_eq!(odd, Vec::<String>::new());
}

#[test]
fn nothing_comes_from_anywhere_but_the_registry() {
    let packages = packages();
    let elsewhere: Vec<&str> = packages
        .iter()
        .filter(|package| package["source"].as_str().is_some_and(|source| !source.starts_with("registry+")))
        .map(name)
        .collect();
    assert_eq!(elsewhere, Vec::<&str>::new());
}

#[test]
fn banned_crates_stay_out() {
    let packages = packages();
    let found: Vec<&str> = packages.iter().map(name).filter(|name| BANNED.contains(name)).collect();
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn the_big_crates_are_there_once() {
    let packages = packages();
    let twice: Vec<&&str> = SINGLE
        .iter()
        .filter(|wanted| packages.iter().filter(|package| name(package) == **wanted).count() > 1)
        .collect();
    assert_eq!(twice, Vec::<&&str>::new());
}

#[test]
fn every_shared_dependency_says_what_it_is_for() {
    let manifest = std::fs::read_to_string(crate::repository::root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let mute: Vec<&str> = table
        .lines()
        .filter(|line| {
            line.contains('=') && !line.starts_with('#') && !line.contains(" # ") && !line.contains("path = ")
        })
        .collect();
    assert_eq!(mute, Vec::<&str>::new());
}
