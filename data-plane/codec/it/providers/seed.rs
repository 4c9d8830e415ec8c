//! The rows that a fresh installation starts with, read where they lie: the quirks of an endpoint are those of its
//! provider and its own behind them, as the store gives them out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use codec::Dialect;
use toml::{Table, Value};

/// A provider's row with what its endpoints have.
#[derive(Default)]
pub struct Row {
    pub dialects: Vec<String>,
    /// The quirks of all its endpoints.
    pub common: Vec<String>,
    /// Every list of quirks that an endpoint of it has, and the common one.
    pub lists: BTreeSet<Vec<String>>,
}

impl Row {
    /// The dialects that this build serves.
    pub fn served(&self) -> impl Iterator<Item = &'static Dialect> {
        self.dialects.iter().filter_map(|id| codec::dialect::find(id))
    }

    /// Every quirk that any of its endpoints has.
    pub fn all(&self) -> BTreeSet<&str> {
        self.lists.iter().flatten().map(String::as_str).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../control-plane/store/seed")
}

fn read(path: &Path) -> Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn tables<'t>(table: &'t Table, list: &str) -> impl Iterator<Item = &'t Table> {
    table.get(list).and_then(Value::as_array).into_iter().flatten().map(|row| row.as_table().unwrap())
}

fn words(row: &Table, name: &str) -> Vec<String> {
    let list = row.get(name).and_then(Value::as_array).into_iter().flatten();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// All rows by the provider's id.
pub fn rows() -> BTreeMap<String, Row> {
    let file = read(&folder().join("providers.toml"));
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for provider in tables(&file, "providers") {
        let common = words(provider, "quirks");
        let row = Row { dialects: words(provider, "dialects"), lists: BTreeSet::from([common.clone()]), common };
        assert!(rows.insert(provider["id"].as_str().unwrap().to_owned(), row).is_none());
    }
    for entry in fs::read_dir(folder().join("models")).unwrap() {
        let file = read(&entry.unwrap().path());
        for endpoint in tables(&file, "models").flat_map(|model| tables(model, "endpoints")) {
            let row = rows.get_mut(endpoint["provider"].as_str().unwrap()).unwrap();
            let mut quirks = row.common.clone();
            quirks.extend(words(endpoint, "quirks").into_iter().filter(|quirk| !row.common.contains(quirk)));
            row.lists.insert(quirks);
        }
    }
    rows
}

#[test]
fn every_quirk_of_the_seed_is_one_that_a_dialect_of_its_provider_knows() {
    for (id, row) in rows() {
        let known: BTreeSet<&str> = row.served().flat_map(|dialect| dialect.quirks).copied().collect();
        let unknown: Vec<&str> = row.all().into_iter().filter(|quirk| !known.contains(quirk)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "quirks of {id}");
        assert_eq!(row.served().count(), row.dialects.len(), "dialects of {id}");
        for (dialect, list) in row.served().flat_map(|dialect| row.lists.iter().map(move |list| (dialect, list))) {
            assert!(dialect.parse_quirks(list).is_ok(), "{id}");
            let twice = list.iter().collect::<BTreeSet<_>>().len() < list.len();
            assert!(!twice, "{id} names a quirk twice: {list:?}");
        }
    }
}

#[test]
fn the_published_table_of_who_has_a_quirk_is_the_one_of_the_seed() {
    const MARKS: (&str, &str) = ("<!-- quirks -->\n\n", "\n<!-- end of quirks -->");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/translation.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (published, behind) = rest.split_once(MARKS.1).unwrap();
    let mut table = String::from("| provider | all endpoints | some endpoints |\n| --- | --- | --- |\n");
    for (id, row) in rows().iter().filter(|(_, row)| !row.all().is_empty()) {
        let some = row.all().into_iter().filter(|quirk| !row.common.iter().any(|common| common == quirk));
        let quoted = |quirks: Vec<&str>| quirks.iter().map(|quirk| format!("`{quirk}`")).collect::<Vec<_>>().join(", ");
        let common = row.common.iter().map(String::as_str).collect();
        table.push_str(&format!("| `{id}` | {} | {} |\n", quoted(common), quoted(some.collect())));
    }
    if std::env::var_os("TOLLGATE_WRITE_DOCS").is_some() {
        fs::write(&path, [before, MARKS.0, &table, MARKS.1, behind].concat()).unwrap();
        return;
    }
    assert!(published == table, "docs/translation.md is behind the seed: run this test with TOLLGATE_WRITE_DOCS=1");
}
