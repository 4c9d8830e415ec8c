//! Paths named in documents exist.

use crate::repository::{files_like, root, text_of};

/// Folders at the top: what a path in a document begins with.
const TOPS: [&str; 8] = ["control-plane/", "data-plane/", "shared/", "proto/", "deploy/", "tests/", "docs/", ".ci/"];
/// Parts of a name that stand for something else.
const PLACEHOLDERS: [&str; 7] = ["<", "{", "*", "…", "NNNN", "$", "..."];

fn documents() -> Vec<String> {
    let documents: Vec<String> = files_like(".md");
    for needed in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        assert!(documents.iter().any(|document| document == needed), "{needed} is missing");
    }
    documents
}

/// Words between backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The targets of links.
fn linked(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn paths_in_documents_exist() {
    let mut checked = 0;
    for document in documents() {
        let text = text_of(&document);
        for word in ticked(&text) {
            let path = word.split([' ', ',', ':', '#']).next().unwrap_or_default();
            let is_path =
                TOPS.iter().any(|top| path.starts_with(top)) && !PLACEHOLDERS.iter().any(|part| path.contains(part));
            if is_path {
                checked += 1;
                assert!(root().join(path).exists(), "{document} names {path}, which is not there");
            }
        }
        let folder = root().join(&document).parent().unwrap().to_owned();
        for target in linked(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            assert!(folder.join(path).exists(), "{document} links to {path}, which is not there");
        }
    }
    assert!(checked >= 20, "only {checked} paths were found");
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in files_like(".rs").iter().filter(|file| !file.contains("/tests/") && !file.ends_with("/tests.rs")) {
        let text = text_of(file);
        let is_small = text.lines().count() < 40;
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        assert!(is_small || first.starts_with("//!"), "{file} does not begin with what it is for");
    }
}
