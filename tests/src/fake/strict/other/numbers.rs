//! Embeddings, moderation and ranking: numbers from texts.

use serde_json::{Value, json};

use super::super::serve::Told;
use super::super::shape::Kind::{Any, Either, Flag, List, Map, Object, Text, Whole, Word};
use super::super::shape::{Kind, may, must};
use super::super::truth::{Truth, tokens};
use super::super::{Ask, Checks, Family, base64, gemini, sign};
use super::{Made, check, told};

const EMBED: Kind = Object(&[
    must("model", Text),
    must("input", Either(&[Text, List(&Any)])),
    may("dimensions", Whole),
    may("encoding_format", Word(&["float", "base64"])),
    may("user", Text),
]);
const DIMENSIONS: u64 = 8;

/// The same numbers for the same text, between -1 and 1.
pub fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    let number = |at: u64| {
        let hex = sign::hex(&["vector", text, &at.to_string()], 4);
        let value = u16::from_str_radix(&hex, 16).expect("hex digits");
        (f32::from(value) - 32_768.0) / 32_768.0
    };
    (0..dimensions).map(number).collect()
}

pub fn embed(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    match ask.family {
        Family::Gemini => embed_gemini(ask, checks),
        _ => embed_openai(ask, checks),
    }
}

fn embed_openai(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    let body = &ask.body;
    check(ask, EMBED, checks);
    let inputs = inputs(&body["input"]);
    let is_full = !inputs.is_empty() && inputs.iter().all(|input| !input.is_empty());
    checks.need(is_full, "input", "input", "'$.input' is invalid. Please check the API reference.");
    let dimensions = body["dimensions"].as_u64().unwrap_or(DIMENSIONS);
    checks.need((1..=4_096).contains(&dimensions), "range", "dimensions", "Invalid value for 'dimensions'.");
    let data = inputs.iter().enumerate().map(|(at, input)| {
        let numbers = vector(input, dimensions.min(4_096));
        let embedding = if body["encoding_format"] == "base64" {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(base64::encode(&bytes))
        } else {
            json!(numbers)
        };
        json!({"object": "embedding", "index": at, "embedding": embedding})
    });
    let data: Vec<Value> = data.collect();
    let count: u64 = inputs.iter().map(|input| tokens(input.len())).sum();
    let model = body["model"].as_str().unwrap_or_default();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    let answer = json!({"object": "list", "data": data, "model": model, "usage": usage});
    Made::json(&answer, told(ask, model, Truth { prompt: count, ..Truth::default() }))
}

/// A text, several, or tokens.
fn inputs(input: &Value) -> Vec<String> {
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().any(Value::is_number) => vec![input.to_string()],
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn embed_gemini(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    let is_batch = ask.body["requests"].is_array();
    check(ask, if is_batch { gemini::EMBED_MANY } else { gemini::EMBED }, checks);
    let model = gemini::bare_model(ask.model.as_deref().unwrap_or_default());
    let requests =
        if is_batch { ask.body["requests"].as_array().cloned().unwrap_or_default() } else { vec![ask.body.clone()] };
    let mut count = 0;
    let mut embeddings = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let named = request["model"].as_str().map(gemini::bare_model);
        let is_same = named.as_ref().is_none_or(|named| *named == model);
        checks.need(
            !is_batch || named.is_some(),
            "missing_field",
            &format!("requests[{at}].model"),
            "model is required",
        );
        checks.need(
            is_same,
            "model_mismatch",
            &format!("requests[{at}].model"),
            "model does not match the model of the request",
        );
        let parts = gemini::content_parts(&request["content"], &format!("requests[{at}].content"), checks);
        let text: String = parts.iter().filter_map(|part| part.text()).collect();
        count += tokens(text.len());
        let dimensions = request["outputDimensionality"]
            .as_u64()
            .or(request["output_dimensionality"].as_u64())
            .unwrap_or(DIMENSIONS);
        embeddings.push(json!({"values": vector(&text, dimensions.min(4_096))}));
    }
    let usage = json!({"promptTokenCount": count, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": count}]});
    let answer = if is_batch {
        json!({"embeddings": embeddings, "usageMetadata": usage})
    } else {
        json!({"embedding": embeddings.pop(), "usageMetadata": usage})
    };
    Made::json(&answer, told(ask, &model, Truth { prompt: count, ..Truth::default() }))
}

const MODERATE: Kind = Object(&[must("input", Either(&[Text, List(&Any)])), may("model", Text)]);
const CATEGORIES: [&str; 4] = ["harassment", "hate", "sexual", "violence"];

pub fn moderate(ask: &Ask<'_>, checks: &mut Checks, sequence: u64) -> Made {
    check(ask, MODERATE, checks);
    let model = ask.body["model"].as_str().unwrap_or("omni-moderation-latest");
    let texts: Vec<String> = match &ask.body["input"] {
        Value::Array(items) if items.iter().any(Value::is_object) => vec![ask.body["input"].to_string()],
        input => inputs(input),
    };
    let results: Vec<Value> = texts
        .iter()
        .map(|text| {
            let flagged = text.contains("!refuse");
            let of = |value: Value| Value::Object(CATEGORIES.iter().map(|name| ((*name).to_owned(), value.clone())).collect());
            json!({
                "flagged": flagged, "categories": of(json!(flagged)), "category_scores": of(json!(if flagged { 0.875 } else { 0.125 })),
                "category_applied_input_types": of(json!(["text"])),
            })
        })
        .collect();
    let id = format!("modr-strict{sequence}");
    let answer = json!({"id": id, "model": model, "results": results});
    let told = told(ask, model, Truth::default());
    Made::json(&answer, Told { id, ..told })
}

const RERANK: Kind = Object(&[
    must("model", Text),
    must("query", Text),
    must("documents", List(&Either(&[Text, Map]))),
    may("top_n", Whole),
    may("return_documents", Flag),
    may("max_tokens_per_doc", Whole),
    may("max_chunks_per_doc", Whole),
    may("rank_fields", List(&Text)),
    may("priority", Whole),
]);

pub fn rerank(ask: &Ask<'_>, checks: &mut Checks, sequence: u64) -> Made {
    check(ask, RERANK, checks);
    let body = &ask.body;
    let query: Vec<&str> = body["query"].as_str().unwrap_or_default().split_whitespace().collect();
    let documents: Vec<&Value> = body["documents"].as_array().into_iter().flatten().collect();
    let text = |document: &Value| document.as_str().or(document["text"].as_str()).unwrap_or_default().to_owned();
    let mut ranked: Vec<(usize, usize)> = documents
        .iter()
        .enumerate()
        .map(|(at, document)| (text(document).split_whitespace().filter(|word| query.contains(word)).count(), at))
        .collect();
    ranked.sort_by_key(|(score, at)| (std::cmp::Reverse(*score), *at));
    let most = body["top_n"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let results = ranked.into_iter().take(most).map(|(score, at)| {
        let share =
            f64::from(u32::try_from(score).unwrap_or(0)) / f64::from(u32::try_from(query.len().max(1)).unwrap_or(1));
        let mut result = json!({"index": at, "relevance_score": share});
        if body["return_documents"] == true {
            result["document"] = json!({"text": text(documents[at])});
        }
        result
    });
    let results: Vec<Value> = results.collect();
    let count = tokens(words_of(body));
    let id = format!("rerank-strict{sequence}");
    let model = body["model"].as_str().unwrap_or_default();
    let answer = json!({
        "id": id, "model": model, "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        "usage": {"prompt_tokens": count, "total_tokens": count},
    });
    let told = told(ask, model, Truth { prompt: count, ..Truth::default() });
    Made::json(&answer, Told { id, ..told })
}

fn words_of(body: &Value) -> usize {
    body["query"].to_string().len() + body["documents"].to_string().len()
}
