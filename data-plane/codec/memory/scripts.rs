//! Streams of answers as providers send them, one frame at a time, of any length.

use bytes::Bytes;

/// A provider's stream: how it begins, one frame of many, and how it ends behind all that was said.
pub struct Script {
    pub begin: Vec<Bytes>,
    pub more: Bytes,
    pub end: fn(said: &str) -> Vec<Bytes>,
    /// What one frame adds to the answer, as it stands in JSON.
    pub piece: String,
}

/// About what a model says between two frames, with something to escape in it.
const WORDS: &str = r#"over the \"lazy\" dog.\n "#;
/// The same for the inside of a string in JSON that is an answer or a call's arguments.
const PLAIN: &str = "over the lazy dog, and on ";

fn event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

fn named(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// A typed event, as OpenAI's newer API and Anthropic send it: `fields` stand behind its type.
fn typed(kind: &str, fields: &str) -> Bytes {
    named(kind, &format!(r#"{{"type":"{kind}"{fields}}}"#))
}

/// One of Amazon's frames.
fn framed(kind: &str, payload: &str) -> Bytes {
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    Bytes::from(out)
}

/// A long text.
pub fn text(provider: &str) -> Script {
    match provider {
        "openai-chat" => chat_text(WORDS),
        "openai-responses" => responses(),
        "anthropic" => {
            anthropic(r#"{"type":"text","text":""}"#, &format!(r#"{{"type":"text_delta","text":"{WORDS}"}}"#))
        }
        "gemini" => gemini(),
        "bedrock-converse" => bedrock(),
        other => unreachable!("{other}"),
    }
}

/// A text in such pieces, from a provider of chats.
pub fn chat_text(piece: &str) -> Script {
    Script {
        begin: vec![chunk(r#"{"role":"assistant","content":""}"#, "null")],
        more: chunk(&format!(r#"{{"content":"{piece}"}}"#), "null"),
        end: |_| vec![chunk("{}", "\"stop\""), usage_chunk(), event("[DONE]")],
        piece: piece.to_owned(),
    }
}

/// A JSON object with one long string in it.
pub fn object() -> Script {
    Script {
        begin: vec![chunk(r#"{"role":"assistant","content":"{\"text\":\""}"#, "null")],
        end: |_| vec![chunk(r#"{"content":"\"}"}"#, "null"), chunk("{}", "\"stop\""), usage_chunk(), event("[DONE]")],
        ..chat_text(PLAIN)
    }
}

/// One call with long arguments, from a provider that streams them.
pub fn call() -> Script {
    call_of(PLAIN)
}

/// The same, in such pieces.
pub fn call_of(piece: &str) -> Script {
    const FIRST: &str = r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"write","arguments":"{\"text\":\""}}]}"#;
    let call = |arguments: &str| {
        chunk(&format!(r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":"{arguments}"}}}}]}}"#), "null")
    };
    Script {
        begin: vec![chunk(r#"{"role":"assistant","content":null}"#, "null"), chunk(FIRST, "null")],
        more: call(piece),
        end: |_| {
            let last = r#"{"tool_calls":[{"index":0,"function":{"arguments":"\"}"}}]}"#;
            vec![chunk(last, "null"), chunk("{}", "\"tool_calls\""), usage_chunk(), event("[DONE]")]
        },
        piece: piece.to_owned(),
    }
}

/// Long thoughts, from a provider that shows them.
pub fn thoughts() -> Script {
    anthropic(
        r#"{"type":"thinking","thinking":"","signature":""}"#,
        &format!(r#"{{"type":"thinking_delta","thinking":"{WORDS}"}}"#),
    )
}

fn chunk(delta: &str, finish: &str) -> Bytes {
    event(&format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"lab","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null}}"#
    ))
}

fn usage_chunk() -> Bytes {
    event(
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"lab","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}"#,
    )
}

fn responses() -> Script {
    let response = |status: &str, rest: &str| {
        format!(
            r#","response":{{"id":"resp_1","object":"response","created_at":1,"status":"{status}","model":"lab"{rest}}}"#
        )
    };
    let place = r#","item_id":"msg_1","output_index":0,"content_index":0"#;
    Script {
        begin: vec![
            typed("response.created", &response("in_progress", r#","output":[]"#)),
            typed(
                "response.output_item.added",
                r#","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}"#,
            ),
            typed(
                "response.content_part.added",
                &format!(r#"{place},"part":{{"type":"output_text","annotations":[],"text":""}}"#),
            ),
        ],
        more: typed("response.output_text.delta", &format!(r#"{place},"delta":"{WORDS}","logprobs":[]"#)),
        end: |said| {
            let place = r#","item_id":"msg_1","output_index":0,"content_index":0"#;
            let part = format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{said}"}}"#);
            let item = format!(
                r#"{{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{part}]}}"#
            );
            vec![
                typed("response.output_text.done", &format!(r#"{place},"text":"{said}","logprobs":[]"#)),
                typed("response.content_part.done", &format!(r#"{place},"part":{part}"#)),
                typed("response.output_item.done", &format!(r#","output_index":0,"item":{item}"#)),
                typed(
                    "response.completed",
                    &format!(
                        r#","response":{{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"lab","output":[{item}],"usage":{{"input_tokens":3,"output_tokens":9,"total_tokens":12}}}}"#
                    ),
                ),
            ]
        },
        piece: WORDS.to_owned(),
    }
}

fn anthropic(block: &str, delta: &str) -> Script {
    Script {
        begin: vec![
            typed(
                "message_start",
                r#","message":{"id":"msg_1","type":"message","role":"assistant","model":"lab","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}"#,
            ),
            typed("content_block_start", &format!(r#","index":0,"content_block":{block}"#)),
        ],
        more: typed("content_block_delta", &format!(r#","index":0,"delta":{delta}"#)),
        end: |_| {
            vec![
                typed("content_block_stop", r#","index":0"#),
                typed(
                    "message_delta",
                    r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}"#,
                ),
                typed("message_stop", ""),
            ]
        },
        piece: WORDS.to_owned(),
    }
}

fn gemini() -> Script {
    fn candidate(text: &str, finish: &str) -> Bytes {
        event(&format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}}{finish},"index":0}}],"usageMetadata":{{"promptTokenCount":3,"candidatesTokenCount":9,"totalTokenCount":12}},"modelVersion":"lab","responseId":"r1"}}"#
        ))
    }
    Script {
        begin: vec![candidate("So: ", "")],
        more: candidate(WORDS, ""),
        end: |_| vec![candidate("!", r#","finishReason":"STOP""#)],
        piece: WORDS.to_owned(),
    }
}

fn bedrock() -> Script {
    Script {
        begin: vec![framed("messageStart", r#"{"role":"assistant"}"#)],
        more: framed("contentBlockDelta", &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{WORDS}"}}}}"#)),
        end: |_| {
            vec![
                framed("contentBlockStop", r#"{"contentBlockIndex":0}"#),
                framed("messageStop", r#"{"stopReason":"end_turn"}"#),
                framed(
                    "metadata",
                    r#"{"usage":{"inputTokens":3,"outputTokens":9,"totalTokens":12},"metrics":{"latencyMs":1}}"#,
                ),
            ]
        },
        piece: WORDS.to_owned(),
    }
}
