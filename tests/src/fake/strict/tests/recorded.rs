//! What real clients sent to real providers, and was answered, breaks no rule here.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::fixtures;

/// What only this provider minds: signatures of others, state that it does not keep.
const OWN_RULES: [&str; 7] =
    ["signature", "signature_missing", "unsealed", "store", "stored_state", "background", "reasoning_order"];

/// Where a recorded request goes here.
fn path_of(meta: &Value) -> Option<String> {
    let path = meta["path"].as_str()?;
    Some(match (meta["provider"].as_str()?, path.rsplit('/').next()?) {
        ("openai", "completions") if path.ends_with("chat/completions") => CHAT.to_owned(),
        ("openai", "completions") => "/strict/openai/v1/completions".to_owned(),
        ("openai", "embeddings") => "/strict/openai/v1/embeddings".to_owned(),
        ("openai", "generations") => "/strict/openai/v1/images/generations".to_owned(),
        ("openai", "edits") => "/strict/openai/v1/images/edits".to_owned(),
        ("openai", "responses") => RESPONSES.to_owned(),
        ("anthropic", "messages") => MESSAGES.to_owned(),
        ("anthropic", "count_tokens") => format!("{MESSAGES}/count_tokens"),
        ("gemini", verb) if verb.contains(':') => format!("/strict/gemini/v1beta/models/{verb}"),
        _ => return None,
    })
}

fn recorded(folder: &Path) -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    for api in fs::read_dir(folder).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        for case in fs::read_dir(api.path()).unwrap().filter_map(Result::ok) {
            let Ok(meta) = fs::read(case.path().join("meta.json")) else { continue };
            let meta: Value = serde_json::from_slice(&meta).unwrap();
            let Ok(body) = fs::read(case.path().join("request.json")) else { continue };
            if let Some(path) = path_of(&meta).filter(|_| meta["status"] == 200) {
                found.push((meta["id"].as_str().unwrap().to_owned(), path, body));
            }
        }
    }
    found
}

#[test]
fn recorded_requests_that_were_answered_break_no_rule() {
    let Some(folder) = fixtures::folder() else { return };
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer sk-1"),
        ("x-goog-api-key", "sk-1"),
        ("anthropic-version", "2023-06-01"),
    ];
    let recorded = recorded(&folder);
    assert!(recorded.len() > 120, "only {}", recorded.len());
    let mut broken = Vec::new();
    for (id, path, body) in recorded {
        let (seen, _) = answer(asked(&path, &headers, &body), 0);
        let real = seen.violations.into_iter().filter(|one| !OWN_RULES.contains(&one.rule));
        broken.extend(real.map(|one| format!("{id}: {} at {}: {}", one.rule, one.at, one.says)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
