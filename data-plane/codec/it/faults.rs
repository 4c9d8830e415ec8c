//! Recorded error bodies are read for what they say.

use serde_json::Value;

use crate::fixtures;

#[test]
fn recorded_errors_are_understood() {
    let chat = codec::dialect::find("openai-chat").unwrap();
    let folders: Vec<&str> = fixtures::CHAT.into_iter().chain(["constructed"]).collect();
    let mut read = 0;
    for case in fixtures::cases(&folders).iter().filter(|case| case.status >= 400) {
        let error = chat.decode_error(&case.response);
        assert!(!error.message.is_empty(), "{}", case.name);
        assert!(!error.message.contains(['\n', '<']), "{}: {}", case.name, error.message);
        let Ok(value) = serde_json::from_slice::<Value>(&case.response) else { continue };
        let inner = if value["error"].is_object() { &value["error"] } else { &value };
        if let Some(kind) = inner["type"].as_str() {
            assert_eq!(error.kind.as_deref(), Some(kind), "{}", case.name);
        }
        // Google's number is the status once more: its word says what it was.
        let code = if inner["status"].is_string() { &inner["status"] } else { &inner["code"] };
        match code {
            Value::String(code) => assert_eq!(error.code.as_ref(), Some(code), "{}", case.name),
            Value::Number(code) => assert_eq!(error.code, Some(code.to_string()), "{}", case.name),
            _ => {}
        }
        read += 1;
        for cut in 0..case.response.len() {
            assert!(error.message.chars().count() <= 1_001, "{}", case.name);
            let part = chat.decode_error(&case.response[..cut]);
            assert!(part.message.len() <= error.message.len().max(cut) + 8, "{}", case.name);
        }
    }
    assert!(read == 0 || read > 20, "{read}");
}
