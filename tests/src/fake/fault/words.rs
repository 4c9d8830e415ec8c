//! What an answer, an event and an error look like in each family, written from their documents: as much as a fault needs.

use serde_json::{Value, json};

use super::event;
use super::refusals::Kind;
use crate::fake::strict::Family;
use crate::money::Tokens;

/// The text of a piece.
pub const PIECE: &str = "brick ";
/// The text of a stream that is as long as it can be, again and again.
pub const FAST: &str = "tall ";
/// Pieces of a healthy stream.
pub(super) const PIECES: usize = 5;
/// What a healthy answer says of itself. More than its text has, as models that think have.
pub const TOLD: Tokens = Tokens { prompt: 31, completion: 17, cached: 0, reasoning: 0 };

/// How usage is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Usage {
    #[default]
    Once,
    Missing,
    /// First a little of it, then all.
    Twice,
    InWords,
    Absurd,
}

/// How an answer is to be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Say {
    pub usage: Usage,
    pub is_withheld: bool,
}

/// One provider's way to speak, for one answer.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub family: Family,
    pub id: &'a str,
    pub model: &'a str,
}

const AT: u64 = 1_763_700_000;

impl Words<'_> {
    /// A whole answer.
    pub fn whole(&self, say: &Say) -> Value {
        let text = PIECE.repeat(PIECES);
        let mut whole = match self.family {
            Family::Chat => json!({
                "id": self.id, "object": "chat.completion", "created": AT, "model": self.model,
                "choices": [{
                    "index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "logprobs": null,
                    "finish_reason": if say.is_withheld { "content_filter" } else { "stop" },
                }],
            }),
            Family::Responses => {
                let mut response = self.response(if say.is_withheld { "incomplete" } else { "completed" });
                response["output"] = json!([item(&text, "completed")]);
                if say.is_withheld {
                    response["incomplete_details"] = json!({"reason": "content_filter"});
                }
                response
            }
            Family::Anthropic => {
                let mut message = self.message();
                message["content"] = json!([{"type": "text", "text": text}]);
                message["stop_reason"] = json!(if say.is_withheld { "refusal" } else { "end_turn" });
                message
            }
            Family::Gemini => self.chunk(&text, Some(if say.is_withheld { "SAFETY" } else { "STOP" })),
        };
        if let Some(usage) = self.usage(say.usage) {
            whole[self.usage_name()] = usage;
        }
        whole
    }

    /// The events before the first output.
    pub fn opening(&self, say: &Say) -> Vec<Vec<u8>> {
        match self.family {
            Family::Chat => vec![event(None, &self.delta(json!({"role": "assistant", "content": ""}), None))],
            Family::Responses => {
                let response = self.response("in_progress");
                let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
                let place = json!({"item_id": "msg_brick", "output_index": 0, "content_index": 0, "part": part});
                vec![
                    named(0, "response.created", json!({"response": response})),
                    named(1, "response.in_progress", json!({"response": response})),
                    named(2, "response.output_item.added", json!({"output_index": 0, "item": open_item()})),
                    named(3, "response.content_part.added", place),
                ]
            }
            Family::Anthropic => {
                let mut message = self.message();
                if say.usage != Usage::Missing {
                    message["usage"] = json!({"input_tokens": TOLD.prompt, "output_tokens": 1});
                }
                if say.usage == Usage::InWords {
                    message["usage"] = json!({"input_tokens": "some", "output_tokens": "one"});
                }
                let block = json!({"type": "text", "text": ""});
                vec![
                    event(Some("message_start"), &json!({"type": "message_start", "message": message})),
                    event(
                        Some("content_block_start"),
                        &json!({"type": "content_block_start", "index": 0, "content_block": block}),
                    ),
                ]
            }
            Family::Gemini => {
                let candidate = json!({"content": {"role": "model", "parts": []}, "index": 0});
                vec![event(
                    None,
                    &json!({"candidates": [candidate], "modelVersion": self.model, "responseId": self.id}),
                )]
            }
        }
    }

    /// One piece of text.
    pub fn piece(&self, at: usize, text: &str) -> Vec<u8> {
        match self.family {
            Family::Chat => event(None, &self.delta(json!({"content": text}), None)),
            Family::Responses => named(
                4 + at,
                "response.output_text.delta",
                json!({
                    "item_id": "msg_brick", "output_index": 0, "content_index": 0, "delta": text, "logprobs": [],
                }),
            ),
            Family::Anthropic => event(
                Some("content_block_delta"),
                &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            ),
            Family::Gemini => event(None, &self.chunk(text, None)),
        }
    }

    /// The events behind the last piece of text.
    pub fn closing(&self, say: &Say) -> Vec<Vec<u8>> {
        match self.family {
            Family::Chat => self.closing_chat(say),
            Family::Responses => self.closing_responses(say),
            Family::Anthropic => {
                let stop = if say.is_withheld { "refusal" } else { "end_turn" };
                let mut delta = json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}});
                let mut all =
                    vec![event(Some("content_block_stop"), &json!({"type": "content_block_stop", "index": 0}))];
                if say.usage == Usage::Twice {
                    let mut early = delta.clone();
                    early["delta"] = json!({});
                    early["usage"] = json!({"output_tokens": TOLD.completion - 1});
                    all.push(event(Some("message_delta"), &early));
                }
                delta["usage"] = self.usage(say.usage).unwrap_or(Value::Null);
                all.push(event(Some("message_delta"), &delta));
                all.push(event(Some("message_stop"), &json!({"type": "message_stop"})));
                all
            }
            Family::Gemini => {
                let mut last = self.chunk("", Some(if say.is_withheld { "SAFETY" } else { "STOP" }));
                let mut all = Vec::new();
                if say.usage == Usage::Twice {
                    let mut early = self.chunk("", None);
                    early["usageMetadata"] = self.usage_of(31, 3);
                    all.push(event(None, &early));
                }
                if let Some(usage) = self.usage(say.usage) {
                    last["usageMetadata"] = usage;
                }
                all.push(event(None, &last));
                all
            }
        }
    }

    fn closing_chat(&self, say: &Say) -> Vec<Vec<u8>> {
        let finish = if say.is_withheld { "content_filter" } else { "stop" };
        let mut last = self.delta(json!({}), Some(finish));
        if say.usage == Usage::Twice {
            last["usage"] = self.usage_of(31, 3);
        }
        let mut all = vec![event(None, &last)];
        if let Some(usage) = self.usage(say.usage) {
            let mut alone = self.delta(json!({}), None);
            alone["choices"] = json!([]);
            alone["usage"] = usage;
            all.push(event(None, &alone));
        }
        all.push(b"data: [DONE]\n\n".to_vec());
        all
    }

    fn closing_responses(&self, say: &Say) -> Vec<Vec<u8>> {
        let text = PIECE.repeat(PIECES);
        let name = if say.is_withheld { "response.incomplete" } else { "response.completed" };
        let place = json!({"item_id": "msg_brick", "output_index": 0, "content_index": 0});
        let with = |name: &str, value: Value| {
            let mut place = place.clone();
            place[name] = value;
            place
        };
        let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let at = 4 + PIECES;
        vec![
            named(at, "response.output_text.done", with("text", json!(text))),
            named(at + 1, "response.content_part.done", with("part", part)),
            named(at + 2, "response.output_item.done", json!({"output_index": 0, "item": item(&text, "completed")})),
            named(at + 3, name, json!({"response": self.whole(say)})),
        ]
    }

    /// A healthy stream in one piece.
    pub fn stream(&self, say: &Say) -> Vec<u8> {
        let pieces = (0..PIECES).map(|at| self.piece(at, PIECE));
        self.opening(say).into_iter().chain(pieces).chain(self.closing(say)).flatten().collect()
    }

    /// An error inside a stream.
    pub fn error_event(&self) -> Vec<u8> {
        let error = self.error(500, Kind::Plain);
        match self.family {
            Family::Chat | Family::Gemini => event(None, &error),
            Family::Anthropic => event(Some("error"), &error),
            Family::Responses => {
                let mut response = self.response("failed");
                response["error"] = json!({"code": "server_error", "message": "the fake broke"});
                // Its number does not matter to who reads it.
                named(99, "response.failed", json!({"response": response}))
            }
        }
    }

    /// A whole answer that says nothing at all.
    pub fn empty(&self) -> Value {
        match self.family {
            Family::Chat => {
                json!({"id": self.id, "object": "chat.completion", "created": AT, "model": self.model, "choices": []})
            }
            Family::Responses => {
                let mut response = self.response("in_progress");
                response["status"] = Value::Null;
                response
            }
            Family::Anthropic => self.message(),
            Family::Gemini => self.chunk("", None),
        }
    }

    /// A stream that begins and ends, and has nothing in between.
    pub fn empty_stream(&self) -> Vec<u8> {
        let mut all = self.opening(&Say::default()).concat();
        match self.family {
            Family::Chat => all.extend_from_slice(b"data: [DONE]\n\n"),
            Family::Anthropic => all.extend(event(Some("message_stop"), &json!({"type": "message_stop"}))),
            Family::Responses | Family::Gemini => {}
        }
        all
    }

    fn usage_name(&self) -> &'static str {
        if self.family == Family::Gemini { "usageMetadata" } else { "usage" }
    }

    fn usage(&self, usage: Usage) -> Option<Value> {
        match usage {
            Usage::Missing => None,
            Usage::Once | Usage::Twice => Some(self.usage_of(TOLD.prompt, TOLD.completion)),
            Usage::Absurd => Some(self.usage_of(TOLD.prompt, 1 << 60)),
            Usage::InWords => {
                let mut usage = self.usage_of(TOLD.prompt, TOLD.completion);
                for (_, value) in usage.as_object_mut().into_iter().flatten() {
                    *value = json!("a few");
                }
                Some(usage)
            }
        }
    }

    fn usage_of(&self, prompt: u64, completion: u64) -> Value {
        match self.family {
            Family::Chat => json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            }),
            Family::Responses => json!({
                "input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion,
                "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
            }),
            Family::Anthropic => json!({"input_tokens": prompt, "output_tokens": completion}),
            Family::Gemini => json!({
                "promptTokenCount": prompt, "candidatesTokenCount": completion, "totalTokenCount": prompt + completion,
            }),
        }
    }

    fn delta(&self, delta: Value, finish: Option<&str>) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": AT, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
        })
    }

    fn response(&self, status: &str) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": AT, "model": self.model, "status": status, "error": null,
            "incomplete_details": null, "output": [], "usage": null, "parallel_tool_calls": true, "tools": [],
            "tool_choice": "auto", "metadata": {}, "instructions": null, "temperature": 1.0, "top_p": 1.0,
        })
    }

    fn message(&self) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null,
        })
    }

    fn chunk(&self, text: &str, finish: Option<&str>) -> Value {
        let parts = if text.is_empty() { json!([]) } else { json!([{"text": text}]) };
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = json!(finish);
        }
        json!({"candidates": [candidate], "modelVersion": self.model, "responseId": self.id})
    }
}

/// How the number of a piece of text stands in its event.
pub(super) fn number(at: usize) -> String {
    format!("\"sequence_number\":{}", 4 + at)
}

fn named(sequence: usize, name: &str, data: Value) -> Vec<u8> {
    let mut data = data;
    data["type"] = json!(name);
    data["sequence_number"] = json!(sequence);
    event(Some(name), &data)
}

fn item(text: &str, status: &str) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    json!({"id": "msg_brick", "type": "message", "role": "assistant", "status": status, "content": [part]})
}

fn open_item() -> Value {
    json!({"id": "msg_brick", "type": "message", "role": "assistant", "status": "in_progress", "content": []})
}
