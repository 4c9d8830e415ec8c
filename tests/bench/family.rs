//! The API families as the load asks and the mock answers: paths, bodies and streams, each in the shape and about the size
//! that the real provider's have. Shared by both, so that both know what a whole answer is. Uses nothing of the product.

use bytes::Bytes;

/// One family of chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

impl Family {
    pub const ALL: [Family; 4] = [Family::Chat, Family::Responses, Family::Anthropic, Family::Gemini];

    pub fn name(self) -> &'static str {
        match self {
            Family::Chat => "chat",
            Family::Responses => "responses",
            Family::Anthropic => "anthropic",
            Family::Gemini => "gemini",
        }
    }

    /// The dialect on a provider's row.
    pub fn dialect(self) -> &'static str {
        match self {
            Family::Chat => "openai-chat",
            Family::Responses => "openai-responses",
            Family::Anthropic => "anthropic",
            Family::Gemini => "gemini",
        }
    }

    /// Where a client asks.
    pub fn path(self, model: &str, streamed: bool) -> String {
        match self {
            Family::Chat => "/v1/chat/completions".to_owned(),
            Family::Responses => "/v1/responses".to_owned(),
            Family::Anthropic => "/v1/messages".to_owned(),
            Family::Gemini if streamed => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Family::Gemini => format!("/v1beta/models/{model}:generateContent"),
        }
    }

    /// Whose path this is.
    pub fn of_path(path: &str) -> Family {
        match path {
            path if path.contains("enerateContent") => Family::Gemini,
            path if path.ends_with("/messages") => Family::Anthropic,
            path if path.ends_with("/responses") => Family::Responses,
            _ => Family::Chat,
        }
    }

    /// A request of `size` bytes, with the odd escape in its text as real prompts have.
    pub fn body(self, model: &str, streamed: bool, size: usize) -> String {
        const SENTENCE: &str =
            r#"The toll keeper wrote: \"one more carriage, two horses, paid in full\"; then the rain came back.\n"#;
        let (mut body, end) = self.around(model, streamed);
        let text = size.saturating_sub(body.len() + end.len());
        body.extend(std::iter::repeat_n(SENTENCE, text / SENTENCE.len()));
        body.extend(std::iter::repeat_n('x', text % SENTENCE.len()));
        body.push_str(end);
        body
    }

    fn around(self, model: &str, streamed: bool) -> (String, &'static str) {
        let stream = if streamed { r#""stream":true,"# } else { "" };
        match self {
            Family::Chat => {
                let stream = if streamed { r#""stream":true,"stream_options":{"include_usage":true},"# } else { "" };
                let body = format!(
                    r#"{{"model":"{model}",{stream}"temperature":0.7,"max_tokens":1024,"messages":[{{"role":"system","content":"Answer briefly."}},{{"role":"user","content":""#
                );
                (body, r#""}]}"#)
            }
            Family::Responses => {
                let body = format!(
                    r#"{{"model":"{model}",{stream}"store":false,"temperature":0.7,"max_output_tokens":1024,"instructions":"Answer briefly.","input":[{{"role":"user","content":""#
                );
                (body, r#""}]}"#)
            }
            Family::Anthropic => {
                let body = format!(
                    r#"{{"model":"{model}",{stream}"temperature":0.7,"max_tokens":1024,"system":"Answer briefly.","messages":[{{"role":"user","content":""#
                );
                (body, r#""}]}"#)
            }
            Family::Gemini => {
                let body = r#"{"systemInstruction":{"parts":[{"text":"Answer briefly."}]},"generationConfig":{"temperature":0.7,"maxOutputTokens":1024},"contents":[{"role":"user","parts":[{"text":""#;
                (body.to_owned(), r#""}]}]}"#)
            }
        }
    }

    /// A whole answer; `id` is its number in digits.
    pub fn whole(self, id: &str) -> Bytes {
        const TEXT: &str = "A gateway stands between those who ask and those who answer; it knows who asks, what that costs, and passes on the rest.";
        let json = match self {
            Family::Chat => format!(
                r#"{{"id":"chatcmpl-{id}","object":"chat.completion","created":1767225600,"model":"bench-json","choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":118,"completion_tokens":27,"total_tokens":145,"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_bench"}}"#
            ),
            Family::Responses => response(id, "completed", &message(id, TEXT), 27),
            Family::Anthropic => format!(
                r#"{{"model":"bench-json","id":"msg_{id}","type":"message","role":"assistant","content":[{{"type":"text","text":"{TEXT}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":118,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":27,"service_tier":"standard"}}}}"#
            ),
            Family::Gemini => format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{TEXT}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":118,"candidatesTokenCount":27,"totalTokenCount":145,"promptTokensDetails":[{{"modality":"TEXT","tokenCount":118}}]}},"modelVersion":"bench-json","responseId":"{id}"}}"#
            ),
        };
        json.into()
    }

    /// What tells a whole answer of this family from anything else.
    pub fn mark(self) -> &'static [u8] {
        match self {
            Family::Chat => b"\"chat.completion\"",
            Family::Responses => b"\"response\"",
            Family::Anthropic => b"\"stop_reason\"",
            Family::Gemini => b"\"finishReason\"",
        }
    }

    /// What comes before the first chunk.
    pub fn opening(self, id: &str) -> Bytes {
        let text = match self {
            Family::Chat | Family::Gemini => String::new(),
            Family::Responses => {
                let mut out = String::new();
                for (number, kind) in ["response.created", "response.in_progress"].into_iter().enumerate() {
                    let response = response(id, "in_progress", "", 0);
                    event(&mut out, kind, &format!(r#""response":{response},"sequence_number":{number}"#));
                }
                event(
                    &mut out,
                    "response.output_item.added",
                    &format!(
                        r#""item":{{"id":"msg_{id}","type":"message","status":"in_progress","content":[],"role":"assistant"}},"output_index":0,"sequence_number":2"#
                    ),
                );
                event(
                    &mut out,
                    "response.content_part.added",
                    &format!(
                        r#""content_index":0,"item_id":"msg_{id}","output_index":0,"part":{{"type":"output_text","annotations":[],"logprobs":[],"text":""}},"sequence_number":3"#
                    ),
                );
                out
            }
            Family::Anthropic => {
                let mut out = String::new();
                event(
                    &mut out,
                    "message_start",
                    &format!(
                        r#""message":{{"model":"bench-stream","id":"msg_{id}","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":118,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}}"#
                    ),
                );
                event(&mut out, "content_block_start", r#""index":0,"content_block":{"type":"text","text":""}"#);
                out
            }
        };
        text.into()
    }

    /// One chunk with the digits of the nanosecond at which it leaves.
    pub fn chunk(self, id: &str, stamp: &str) -> Bytes {
        match self {
            Family::Chat => format!(
                "data: {{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"bench-stream\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"t={stamp} \"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
            ),
            Family::Responses => format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"content_index\":0,\"delta\":\"t={stamp} \",\"item_id\":\"msg_{id}\",\"logprobs\":[],\"obfuscation\":\"Xk2mWq0pLz\",\"output_index\":0,\"sequence_number\":4}}\n\n"
            ),
            Family::Anthropic => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"t={stamp} \"}}}}\n\n"
            ),
            Family::Gemini => format!(
                "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"t={stamp} \"}}],\"role\": \"model\"}},\"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 118,\"totalTokenCount\": 118,\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 118}}]}},\"modelVersion\": \"bench-stream\",\"responseId\": \"{id}\"}}\r\n\r\n"
            ),
        }
        .into()
    }

    /// Everything after the last of `sent` chunks.
    pub fn end(self, id: &str, sent: u32) -> Bytes {
        let total = 118 + sent;
        let text = match self {
            Family::Chat => format!(
                "data: {{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"bench-stream\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}\n\ndata: {{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"bench-stream\",\"choices\":[],\"usage\":{{\"prompt_tokens\":118,\"completion_tokens\":{sent},\"total_tokens\":{total}}}}}\n\ndata: [DONE]\n\n"
            ),
            Family::Responses => {
                let mut out = String::new();
                event(
                    &mut out,
                    "response.output_text.done",
                    &format!(
                        r#""content_index":0,"item_id":"msg_{id}","logprobs":[],"output_index":0,"sequence_number":5,"text":"…""#
                    ),
                );
                let response = response(id, "completed", &message(id, "…"), sent);
                event(&mut out, "response.completed", &format!(r#""response":{response},"sequence_number":6"#));
                out
            }
            Family::Anthropic => {
                let mut out = String::new();
                event(&mut out, "content_block_stop", r#""index":0"#);
                event(
                    &mut out,
                    "message_delta",
                    &format!(
                        r#""delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"input_tokens":118,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{sent}}}"#
                    ),
                );
                out.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
                out
            }
            Family::Gemini => format!(
                "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"\"}}],\"role\": \"model\"}},\"finishReason\": \"STOP\",\"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 118,\"candidatesTokenCount\": {sent},\"totalTokenCount\": {total}}},\"modelVersion\": \"bench-stream\",\"responseId\": \"{id}\"}}\r\n\r\n"
            ),
        };
        text.into()
    }

    /// What a line of a stream that ended well has in it.
    pub fn done(self) -> &'static [u8] {
        match self {
            Family::Chat => b"data: [DONE]",
            Family::Responses => b"\"response.completed\"",
            Family::Anthropic => b"\"message_stop\"",
            Family::Gemini => b"\"finishReason\"",
        }
    }
}

fn event(out: &mut String, kind: &str, fields: &str) {
    out.push_str(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{fields}}}\n\n"));
}

fn message(id: &str, text: &str) -> String {
    format!(
        r#"{{"id":"msg_{id}","type":"message","status":"completed","content":[{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}],"role":"assistant"}}"#
    )
}

fn response(id: &str, status: &str, output: &str, completion: u32) -> String {
    let total = 118 + completion;
    format!(
        r#"{{"id":"resp_{id}","object":"response","created_at":1767225600,"status":"{status}","error":null,"incomplete_details":null,"instructions":"Answer briefly.","max_output_tokens":1024,"model":"bench-json","output":[{output}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"store":false,"temperature":0.7,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{{"input_tokens":118,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":{completion},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{total}}},"user":null,"metadata":{{}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_sent_is_json_of_the_size_asked_for() {
        for family in Family::ALL {
            for (streamed, size) in [(false, 500), (true, 777), (false, 100_000)] {
                let body = family.body("mock/bench-json", streamed, size);
                assert_eq!(body.len(), size, "{family:?}");
                serde_json::from_str::<serde_json::Value>(&body).unwrap();
            }
            serde_json::from_slice::<serde_json::Value>(&family.whole("7")).unwrap();
            let stream = [family.opening("7"), family.chunk("7", "12"), family.end("7", 1)].concat();
            let stream = String::from_utf8(stream).unwrap();
            for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
                serde_json::from_str::<serde_json::Value>(data).unwrap();
            }
            assert_eq!(Family::of_path(&family.path("m", false)), family);
            assert_eq!(Family::of_path(&family.path("m", true)), family);
        }
    }
}
