//! Finds recorded traffic beside the checkout, or where `TOLLGATE_FIXTURES` says. Without it the tests that need it say
//! so and pass.

use std::fs;
use std::path::{Path, PathBuf};

/// The providers whose chat answers are of this dialect.
pub const CHAT: [&str; 6] = ["openai-chat", "mistral", "groq", "xai-chat", "deepseek", "openrouter"];

/// Every folder with chat in it, of any family.
pub const FAMILIES: [&str; 11] = [
    "openai-chat",
    "mistral",
    "groq",
    "xai-chat",
    "deepseek",
    "openrouter",
    "openai-responses",
    "xai-responses",
    "anthropic",
    "gemini",
    "constructed",
];

/// One recorded exchange.
pub struct Case {
    pub name: String,
    /// The name of its dialect; empty where that is not served.
    pub dialect: &'static str,
    /// The model and its operation, which stand in the path in some dialects.
    pub path: String,
    pub request: Option<Vec<u8>>,
    pub response: Vec<u8>,
    pub is_stream: bool,
    pub status: u64,
}

fn root() -> Option<PathBuf> {
    let path = match std::env::var_os("TOLLGATE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    };
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no recorded traffic at {}", path.display());
    None
}

/// All cases in these folders; none, with a word about it, where there are no recordings.
pub fn cases(folders: &[&str]) -> Vec<Case> {
    let Some(root) = root() else { return Vec::new() };
    let mut cases = Vec::new();
    for folder in folders {
        let mut names: Vec<_> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        cases.extend(
            names.into_iter().filter_map(|name| case(&root.join(folder).join(&name), format!("{folder}/{name}"))),
        );
    }
    assert!(!cases.is_empty(), "the folder of recorded traffic has no chat in it");
    cases
}

/// The streamed answers with HTTP 200.
pub fn streams() -> Vec<Case> {
    let mut all = cases(&CHAT);
    all.extend(
        cases(&["constructed"]).into_iter().filter(|case| {
            case.name.starts_with("constructed/openai") || case.name.starts_with("constructed/openrouter")
        }),
    );
    all.into_iter().filter(|case| case.is_stream).collect()
}

fn case(folder: &Path, name: String) -> Option<Case> {
    let read = |file: &str| fs::read(folder.join(file)).ok();
    let meta: serde_json::Value = serde_json::from_slice(&read("meta.json")?).unwrap();
    let stream = read("response.sse");
    let is_stream = stream.is_some();
    let response = stream.or_else(|| read("response.json")).or_else(|| read("response.html"))?;
    Some(Case {
        name,
        dialect: dialect(meta["api"].as_str().unwrap_or_default()),
        path: meta["path"].as_str().unwrap_or_default().to_owned(),
        request: read("request.json"),
        response,
        is_stream,
        status: meta["status"].as_u64().unwrap_or(200),
    })
}

fn dialect(api: &str) -> &'static str {
    match api {
        "openai-chat" | "mistral-chat" | "groq-chat" | "xai-chat" | "deepseek-chat" | "openrouter-chat" => {
            "openai-chat"
        }
        "openai-responses" | "xai-responses" => "openai-responses",
        "anthropic-messages" => "anthropic",
        "gemini-generate" | "gemini-stream" => "gemini",
        _ => "",
    }
}

impl Case {
    /// The model in the path, where it stands there.
    pub fn path_model(&self) -> Option<String> {
        let (_, rest) = self.path.split_once("/models/")?;
        Some(rest.rsplit_once(':').map_or(rest, |(model, _)| model).to_owned())
    }

    /// The quirks that the provider's row would have.
    pub fn quirks(&self) -> &'static [&'static str] {
        match self.name.split('/').next().unwrap_or_default() {
            "mistral" => &[
                "no-stream-options",
                "random-seed",
                "tool-choice-any",
                "core-fields",
                "thinking-blocks",
                "document-url",
                "nine-letter-ids",
                "no-allowed-tools",
                "no-reasoning-effort",
            ],
            "deepseek" => &["reasoning-content-back", "no-developer-role", "no-json-schema", "no-allowed-tools"],
            "groq" => &["include-reasoning", "no-allowed-tools"],
            "openrouter" => &["openrouter-fields"],
            "openai-chat" => &["max-completion-tokens", "max-4-stops"],
            _ => &[],
        }
    }
}
