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
