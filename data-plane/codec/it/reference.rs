//! The slow and simple reading, on serde_json: fields of an object in order with doubles, usage by plain arithmetic, and
//! what a stream says by its lines.

use std::fmt;

use domain::usage::TokenUsage;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Name and raw value of each field, in order, doubles and all.
pub struct Fields<'a>(pub Vec<(String, &'a str)>);

impl<'a, 'de: 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(String, &'de str)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    all.push((name, value.get()));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(All).map(Fields)
    }
}

/// The fields of an object; none when it is no object.
pub fn fields(text: &str) -> Option<Vec<(String, &str)>> {
    serde_json::from_str::<Fields<'_>>(text).ok().map(|fields| fields.0)
}

/// Whether a text is JSON by the grammar alone.
pub fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok())
}

/// How deep brackets stand in a text that is JSON.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut most, mut is_string, mut is_escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' if !is_string => depth -= 1,
            _ => {}
        }
    }
    most
}

/// Where `part` stands in `whole`, of which it is a slice.
pub fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Usage in classes.
pub fn usage(value: &Value) -> Option<TokenUsage> {
    let number = |path: &str| value.pointer(path).and_then(Value::as_u64);
    let (prompt, completion) = (number("/prompt_tokens")?, number("/completion_tokens")?);
    let cached = number("/prompt_tokens_details/cached_tokens")
        .or(number("/prompt_cache_hit_tokens"))
        .or(number("/num_cached_tokens"))
        .unwrap_or(0);
    let written = number("/prompt_tokens_details/cache_write_tokens").unwrap_or(0);
    let heard = number("/prompt_tokens_details/audio_tokens").unwrap_or(0);
    let thought = number("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
    let spoken = number("/completion_tokens_details/audio_tokens").unwrap_or(0);
    let is_apart = thought > 0 && number("/total_tokens") == Some(prompt + completion + thought);
    let answer = if is_apart { completion + thought } else { completion };
    let thought = thought.min(answer);
    Some(TokenUsage {
        prompt: prompt - cached - written - heard,
        cache_read: cached,
        cache_write: written,
        audio_input: heard,
        completion: answer - thought - spoken,
        reasoning: thought,
        audio_output: spoken,
        web_searches: number("/server_tool_use_details/web_search_requests").unwrap_or(0),
        ..TokenUsage::default()
    })
}

/// What a stream, or the start of one, says by its lines up to an error or the end mark.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub id: String,
    pub usage: Option<TokenUsage>,
    pub opened: Vec<u64>,
    pub finished: Vec<u64>,
    pub is_done: bool,
    pub is_error: bool,
    pub has_text: bool,
    is_error_event: bool,
}

impl Said {
    pub fn is_finished(&self) -> bool {
        !self.is_error
            && !self.finished.is_empty()
            && (self.is_done || self.opened.iter().all(|index| self.finished.contains(index)))
    }

    /// Reads one more line; a half one says nothing, unless it is an error's.
    pub fn line(&mut self, line: &str) {
        self.is_error_event |= line == "event: error";
        // A field's name alone is the field with nothing in it.
        let Some(data) = line.strip_prefix("data:").or((line == "data").then_some("")).map(str::trim_start) else {
            return;
        };
        if self.is_done || self.is_error {
            return;
        }
        if data == "[DONE]" {
            self.is_done = true;
            return;
        }
        if self.is_error_event {
            self.is_error = true;
        }
        let Ok(piece) = serde_json::from_str::<Value>(data) else { return };
        let usage = usage(&piece["usage"]).or_else(|| usage(&piece["x_groq"]["usage"]));
        self.usage = usage.or(self.usage);
        self.is_error |= piece["error"].is_object();
        if self.is_error {
            return;
        }
        if self.id.is_empty() {
            self.id = piece["id"].as_str().unwrap_or_default().to_owned();
        }
        for choice in piece["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap();
            self.opened.push(index);
            if choice["finish_reason"].is_string() {
                self.finished.push(index);
            }
            let delta = &choice["delta"];
            self.has_text |= ["content", "reasoning", "reasoning_content", "refusal"]
                .iter()
                .any(|name| delta[name].as_str().is_some_and(|text| !text.is_empty()));
            self.has_text |= delta["tool_calls"].is_array() || delta["content"].is_array();
        }
    }
}

/// All lines of `text`.
pub fn said(text: &str) -> Said {
    let mut said = Said::default();
    text.split('\n').for_each(|line| said.line(line));
    said
}

/// What a recorded stream says, put together as the whole answer it stands for.
pub fn put_together(stream: &str) -> Value {
    let mut answer = serde_json::json!({"id": null, "created": null, "choices": []});
    for data in stream.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim) {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else { continue };
        if answer["id"].as_str().is_none_or(str::is_empty) {
            answer["id"] = chunk["id"].clone();
            answer["created"] = chunk["created"].clone();
        }
        for piece in chunk["choices"].as_array().into_iter().flatten() {
            let choices = answer["choices"].as_array_mut().unwrap();
            let at = choices.iter().position(|choice| choice["index"] == piece["index"]).unwrap_or_else(|| {
                choices.push(serde_json::json!({"index": piece["index"], "message": {}, "finish_reason": null, "logprobs": null}));
                choices.len() - 1
            });
            add(&mut choices[at], piece);
        }
    }
    answer["choices"].as_array_mut().unwrap().sort_by_key(|choice| choice["index"].as_u64());
    answer
}

fn add(choice: &mut Value, piece: &Value) {
    if choice["finish_reason"].is_null() {
        choice["finish_reason"] = piece["finish_reason"].clone();
    }
    if let Some(more) = piece["logprobs"]["content"].as_array().filter(|list| !list.is_empty()) {
        match choice["logprobs"]["content"].as_array_mut() {
            None => choice["logprobs"] = piece["logprobs"].clone(),
            Some(list) => list.extend(more.iter().cloned()),
        }
    }
    let message = &mut choice["message"];
    for (name, value) in piece["delta"].as_object().unwrap() {
        match (name.as_str(), value) {
            ("content", Value::String(text)) if message["content"].is_array() && !text.is_empty() => {
                let mut list = message["content"].as_array().cloned().unwrap_or_default();
                list.push(serde_json::json!({"type": "text", "text": text}));
                message["content"] = list.into();
            }
            ("content" | "refusal" | "reasoning" | "reasoning_content", Value::String(text)) if !text.is_empty() => {
                let before = message[name].as_str().unwrap_or_default();
                message[name] = format!("{before}{text}").into();
            }
            ("content" | "annotations", Value::Array(items)) => {
                let mut list = message[name].as_array().cloned().unwrap_or_default();
                list.extend(items.iter().cloned());
                message[name] = list.into();
            }
            ("tool_calls", Value::Array(items)) => {
                for call in items {
                    let mut list = message["tool_calls"].as_array().cloned().unwrap_or_default();
                    let index = call["index"].as_u64().unwrap() as usize;
                    match list.get_mut(index) {
                        None => list.push(call.clone()),
                        Some(known) => {
                            let before = known["function"]["arguments"].as_str().unwrap_or_default();
                            let more = call["function"]["arguments"].as_str().unwrap_or_default();
                            known["function"]["arguments"] = format!("{before}{more}").into();
                        }
                    }
                    message["tool_calls"] = list.into();
                }
            }
            _ => {}
        }
    }
}

/// Where two values differ first; never what stands there.
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        _ if one == other => None,
        (Value::Object(fields), Value::Object(others)) => {
            let names = fields.keys().chain(others.keys());
            let inner =
                names.map(|name| (name, fields.get(name), others.get(name))).find(|(_, one, other)| one != other)?;
            match inner {
                (name, Some(one), Some(other)) => Some(format!(".{name}{}", difference(one, other)?)),
                (name, one, _) => Some(format!(".{name} is only {}", if one.is_some() { "left" } else { "right" })),
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let at = (0..items.len()).find(|at| items[*at] != others[*at])?;
            Some(format!("[{at}]{}", difference(&items[at], &others[at])?))
        }
        (Value::Array(items), Value::Array(others)) => Some(format!(" has {} and {} items", items.len(), others.len())),
        _ => Some(format!(" is {} and {}", shown(one), shown(other))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > 24 => format!("a text of {} bytes", text.len()),
        Value::Object(_) | Value::Array(_) => "a list or object".to_owned(),
        value => value.to_string(),
    }
}
