//! The fifty lines of the checklist of translation: each has a test that bears its number, `tNN_…`, and that runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{files_like, text_of};

/// How many lines the checklist has.
const LINES: u32 = 50;

/// The numbers that a name bears: `t20_t21_results_stand_first` bears 20 and 21, wherever in the name they stand.
fn numbers(name: &str) -> impl Iterator<Item = u32> {
    name.split('_').filter_map(|word| {
        let digits = word.strip_prefix('t').filter(|digits| digits.len() == 2)?;
        digits.parse().ok()
    })
}

/// The names of the tests in a source: functions under an attribute `#[test]` or `#[tokio::test…]` that is not followed
/// by one that keeps it from running.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        }
        let name = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "))?;
        std::mem::take(&mut is_test).then(|| name.split(['(', '<']).next().unwrap_or_default())
    })
}

#[test]
fn every_line_of_the_checklist_has_a_test_of_its_number() {
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for file in files_like(".rs").iter().filter(|file| *file != "tests/tidy/checklist.rs") {
        let text = text_of(file);
        for number in tests(&text).flat_map(numbers) {
            found.entry(number).or_default().insert(file.clone());
        }
    }
    let missing: Vec<String> =
        (1..=LINES).filter(|line| !found.contains_key(line)).map(|line| format!("t{line:02}")).collect();
    assert!(missing.is_empty(), "no test bears the number of {missing:?}");
    let beyond: Vec<_> = found.iter().filter(|(line, _)| !(1..=LINES).contains(*line)).collect();
    assert!(beyond.is_empty(), "the checklist has no such lines: {beyond:?}");
}

/// The files that may name a module `name` of `folder`.
fn parents(folder: &str) -> Vec<String> {
    let roots = ["mod.rs", "main.rs", "lib.rs"].map(|file| format!("{folder}/{file}"));
    let outside = folder.rsplit_once('/').map(|(above, own)| format!("{above}/{own}.rs"));
    roots.into_iter().chain(outside).collect()
}

/// A test in a file that no module names would never run, and nobody would see it.
#[test]
fn every_source_belongs_to_a_crate() {
    let sources = files_like(".rs");
    let targets: Vec<String> = files_like("Cargo.toml").iter().flat_map(|manifest| targets(manifest)).collect();
    for file in &sources {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let stem = name.trim_end_matches(".rs");
        let is_root = matches!(name, "main.rs" | "lib.rs" | "build.rs") || folder.ends_with("/bin");
        if is_root || targets.contains(file) {
            continue;
        }
        let (folder, stem) =
            if name == "mod.rs" { folder.rsplit_once('/').unwrap_or(("", folder)) } else { (folder, stem) };
        let declared = format!("mod {stem};");
        let is_declared = parents(folder).iter().filter(|parent| sources.contains(parent)).any(|parent| {
            text_of(parent).lines().any(|line| line.trim_start_matches("pub ").trim().ends_with(&declared))
        });
        assert!(is_declared, "{file}: no module of {folder} says `{declared}`");
    }
}

/// The files that a manifest names as roots of programs and tests.
fn targets(manifest: &str) -> Vec<String> {
    let folder = manifest.strip_suffix("Cargo.toml").unwrap_or_default();
    let text = text_of(manifest);
    let paths = text.lines().filter_map(|line| line.strip_prefix("path = \"")?.split('"').next());
    paths.map(|path| format!("{folder}{path}")).collect()
}

#[test]
fn numbers_are_read_from_names_of_tests_that_run() {
    let text = "#[test]\nfn t01_t02_a() {}\n#[test]\n#[ignore = \"x\"]\nfn t03_b() {}\nfn t04_c() {}\n\
                #[tokio::test(flavor = \"x\")]\nasync fn t05_d() {\n#[test]\nfn thirty_t6_two_t07_(\n";
    let found: Vec<u32> = tests(text).flat_map(numbers).collect();
    assert_eq!(found, [1, 2, 5, 7]);
}
