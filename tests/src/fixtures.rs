//! Recorded provider traffic, read where it lies: `../shared/fixtures` beside the checkout, or `TOLLGATE_FIXTURES`.
//! Never copied into the repository.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One recorded exchange.
pub struct Case {
    /// `openai-chat/stream-text-01`
    pub id: String,
    pub meta: Value,
    pub request: Option<Vec<u8>>,
    pub response: Option<Vec<u8>>,
    /// Whether the answer is an event stream.
    pub is_stream: bool,
}

impl Case {
    /// The status of the answer.
    pub fn status(&self) -> u64 {
        self.meta["status"].as_u64().unwrap_or(0)
    }
}

/// Where the fixtures are, when they are there.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let folder = std::env::var_os("TOLLGATE_FIXTURES").map_or(beside, PathBuf::from);
    folder.join("index.json").is_file().then_some(folder)
}

/// Every exchange in OpenAI's chat dialect, whoever spoke it; none, with a word on stderr, when there are no fixtures.
pub fn openai_chat() -> Vec<Case> {
    let Some(folder) = folder() else {
        eprintln!("skipped: no fixtures beside the checkout and none in TOLLGATE_FIXTURES");
        return Vec::new();
    };
    let mut cases: Vec<Case> = subfolders(&folder)
        .iter()
        .flat_map(|api| subfolders(api))
        .filter_map(|case| read(&folder, &case))
        .filter(|case| case.meta["path"].as_str().is_some_and(|path| path.ends_with("/chat/completions")))
        .collect();
    cases.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(cases.len() >= 35, "only {} chat exchanges in {}", cases.len(), folder.display());
    cases
}

/// Every exchange with HTTP 200 of these kinds (the first folder's name); none when there are no fixtures.
pub fn of(kinds: &[&str]) -> Vec<Case> {
    let Some(folder) = folder() else {
        eprintln!("skipped: no fixtures beside the checkout and none in TOLLGATE_FIXTURES");
        return Vec::new();
    };
    let cases = kinds.iter().flat_map(|kind| subfolders(&folder.join(kind)));
    let mut cases: Vec<Case> = cases.filter_map(|case| read(&folder, &case)).collect();
    cases.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(!cases.is_empty(), "nothing recorded of {kinds:?}");
    cases
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("list the fixtures");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect()
}

fn read(root: &Path, folder: &Path) -> Option<Case> {
    let meta: Value = serde_json::from_slice(&fs::read(folder.join("meta.json")).ok()?).expect("meta.json is JSON");
    let stream = fs::read(folder.join("response.sse")).ok();
    let is_stream = stream.is_some();
    Some(Case {
        id: folder.strip_prefix(root).expect("a folder inside").display().to_string(),
        meta,
        request: fs::read(folder.join("request.json")).ok(),
        response: stream.or_else(|| fs::read(folder.join("response.json")).ok()),
        is_stream,
    })
}
