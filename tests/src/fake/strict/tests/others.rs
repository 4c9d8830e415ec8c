//! Everything that is not a conversation.

use serde_json::json;

use super::super::base64;
use super::super::serve::Body;
use super::*;

#[test]
fn the_other_operations_answer() {
    let at = |path: &str| format!("/strict/openai/v1/{path}");
    let (seen, out) =
        good(&at("embeddings"), &json!({"model": "e", "input": ["a", "bcdef"], "encoding_format": "base64"}));
    let first = base64::decode(whole(&out)["data"][0]["embedding"].as_str().unwrap()).unwrap();
    assert_eq!((first.len(), seen.truth.prompt), (32, 3));
    let (_, floats) = good(&at("embeddings"), &json!({"model": "e", "input": "a", "dimensions": 3}));
    let number = whole(&floats)["data"][0]["embedding"][0].as_f64().unwrap();
    assert_eq!(number as f32, f32::from_le_bytes(first[..4].try_into().unwrap()));
    let (seen, out) = good(&at("images/generations"), &json!({"model": "i", "prompt": "cat", "n": 2}));
    assert_eq!((whole(&out)["data"].as_array().unwrap().len(), seen.truth.images), (2, 2));
    let (_, out) =
        good(&at("images/generations"), &json!({"model": "i", "prompt": "cat", "stream": true, "partial_images": 2}));
    assert_eq!(events(&out).last().unwrap()["type"], "image_generation.completed");
    let (seen, out) = good(&at("audio/speech"), &json!({"model": "s", "input": "hello", "voice": "alloy"}));
    assert!(matches!(&out.body, Body::Stream(pieces) if pieces.concat().len() == 15) && seen.truth.characters == 5);
    let (_, out) = good(&at("moderations"), &json!({"model": "m", "input": ["fine", "!refuse"]}));
    assert_eq!(
        (&whole(&out)["results"][0]["flagged"], &whole(&out)["results"][1]["flagged"]),
        (&json!(false), &json!(true))
    );
    let (_, out) = good(
        &at("rerank"),
        &json!({"model": "r", "query": "red cat", "documents": ["a dog", "a red cat", {"text": "one cat"}], "top_n": 2}),
    );
    let order: Vec<u64> =
        whole(&out)["results"].as_array().unwrap().iter().map(|one| one["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2]);
    let (_, out) = good(&at("completions"), &json!({"model": "c", "prompt": "once", "max_tokens": 99}));
    assert_eq!(whole(&out)["choices"][0]["text"], "you said: once");
    let (_, out) = good(
        "/strict/anthropic/v1/messages/count_tokens",
        &json!({"model": "m", "messages": [{"role": "user", "content": "12345678"}]}),
    );
    assert_eq!(whole(&out), json!({"input_tokens": 9}));
    let (_, out) = good("/strict/gemini/v1beta/models/m:countTokens", &plain(GENERATE, "12345678"));
    assert_eq!(whole(&out)["totalTokens"], 9);
    let (_, out) = good(
        "/strict/gemini/v1beta/models/m:batchEmbedContents",
        &json!({"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}}]}),
    );
    assert_eq!(whole(&out)["embeddings"][0]["values"].as_array().unwrap().len(), 8);
    for (path, body) in [
        ("embeddings", json!({"model": "e", "input": ""})),
        ("images/generations", json!({"model": "i"})),
        ("rerank", json!({"model": "r", "query": "x"})),
        ("audio/speech", json!({"model": "s", "input": "x"})),
    ] {
        assert!(!rules(&at(path), &body).is_empty(), "{path}");
    }
}

#[test]
fn a_sound_is_transcribed_from_its_form() {
    let form = "--B\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nt\r\n--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n12345678901\r\n--B--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=B"), ("authorization", "Bearer sk")];
    let (seen, out) = answer(asked("/strict/openai/v1/audio/transcriptions", &headers, form.as_bytes()), 0);
    assert_eq!((seen.violations.len(), seen.truth.audio_input, seen.model.as_str()), (0, 2, "t"));
    assert_eq!(whole(&out)["text"], "transcript of 11 bytes");
    assert_eq!(seen.body["file"]["filename"], "a.wav");
    let (seen, out) = answer(asked("/strict/openai/v1/images/edits", &headers, form.as_bytes()), 0);
    assert_eq!((seen.violations[0].rule, out.status), ("unknown_field", 400));
}
