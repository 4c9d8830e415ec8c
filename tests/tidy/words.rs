//! Nothing of the machine that this was written on: no path of it, no host that it fetches packages from.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::repository::{files, root, text_of};

/// Where package managers are told where to fetch from.
const SETTINGS: [&str; 7] = [
    ".cargo/config.toml",
    ".cargo/config",
    ".npmrc",
    ".pip/pip.conf",
    ".config/pip/pip.conf",
    ".config/uv/uv.toml",
    ".yarnrc",
];
const SYSTEM_SETTINGS: [&str; 4] = ["/etc/pip.conf", "/etc/npmrc", "/etc/apt/sources.list", "/usr/etc/npmrc"];
const VARIABLES: [&str; 7] = [
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "CARGO_REGISTRIES_CRATES_IO_INDEX",
    "GOPROXY",
];
/// Hosts that everybody knows.
const PUBLIC: [&str; 12] = [
    "github.com",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "pypi.org",
    "files.pythonhosted.org",
    "deb.debian.org",
    "security.debian.org",
    "debian.org",
    "proxy.golang.org",
    "localhost",
];

/// The hosts in a text with URLs.
fn hosts(text: &str) -> impl Iterator<Item = String> {
    text.split("://").skip(1).filter_map(|rest| {
        let authority = rest.split(['/', '"', '\'', ' ', '\n', '?', '#', '>', ')']).next()?;
        let host = authority.rsplit('@').next()?.split(':').next()?;
        (host.contains('.') || host.len() > 6).then(|| host.to_lowercase())
    })
}

/// What this machine is told to fetch packages from, beside the public places.
fn private_hosts() -> BTreeSet<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut texts: Vec<String> = VARIABLES.iter().filter_map(|name| std::env::var(name).ok()).collect();
    let cargo = std::env::var_os("CARGO_HOME").map(|folder| PathBuf::from(folder).join("config.toml"));
    let files =
        SETTINGS.iter().map(|file| home.join(file)).chain(SYSTEM_SETTINGS.iter().map(PathBuf::from)).chain(cargo);
    texts.extend(files.filter_map(|file| std::fs::read_to_string(file).ok()));
    let found = texts.iter().flat_map(|text| hosts(text).collect::<Vec<_>>());
    found.filter(|host| !PUBLIC.contains(&host.as_str()) && !host.starts_with("127.")).collect()
}

#[test]
fn nothing_of_this_machine_is_in_any_file() {
    let checkout = root().canonicalize().unwrap();
    let mut forbidden: BTreeSet<String> = private_hosts();
    forbidden.insert(checkout.display().to_string());
    if let Some(home) = std::env::var("HOME").ok().filter(|home| home.len() > 1) {
        forbidden.insert(format!("{home}/"));
    }
    let parent = checkout.parent().unwrap().display().to_string();
    if parent.len() > 3 {
        forbidden.insert(format!("{parent}/"));
    }
    for file in files() {
        let text = text_of(&file);
        for word in &forbidden {
            let place = text.lines().position(|line| line.contains(word.as_str()));
            assert!(place.is_none(), "{file}:{}: names `{word}`", place.unwrap_or(0) + 1);
        }
    }
}

#[test]
fn every_lock_file_fetches_from_public_places() {
    for file in files()
        .iter()
        .filter(|file| file.ends_with("package-lock.json") || file.ends_with("Cargo.lock") || file.ends_with("uv.lock"))
    {
        for host in hosts(&text_of(file)) {
            let is_a_package =
                ["registry.npmjs.org", "github.com", "pypi.org", "files.pythonhosted.org"].contains(&host.as_str());
            let is_about = ["opencollective.com", "paypal.me", "tidelift.com", "www.patreon.com", "feross.org"]
                .contains(&host.as_str());
            assert!(is_a_package || is_about, "{file} fetches from {host}");
        }
    }
}

#[test]
fn hosts_are_found_in_urls() {
    let found: Vec<String> = hosts("registry=https://user:pw@Packages.example.com:8443/npm/ x http://h/").collect();
    assert_eq!(found, ["packages.example.com"]);
}
