//! Translations: every client's dialect into every provider's, requests, whole answers and streams. Whatever comes in, what
//! goes out is JSON, the same however the stream was cut, and no end is made up.

use bytes::Bytes;
use codec::dialect::DIALECTS;
use codec::{AnswerEdits, Bridge, Carry, Dialect, Framing, Receipt, RequestEdits, StreamEnd, Surface};
use domain::money::Money;
use domain::usage::TokenUsage;
use serde::de::IgnoredAny;
use tollgate_tests::fixtures::{self, Case};

use crate::driver::{Corpus, drive};

/// What is recorded of chats, by family.
const CHATS: [&str; 10] = [
    "openai-chat",
    "openai-responses",
    "anthropic",
    "gemini",
    "mistral",
    "groq",
    "xai-chat",
    "xai-responses",
    "deepseek",
    "openrouter",
];

const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-1",
    "1e999",
    "18446744073709551615",
    "\\ud83d",
    "\\u0000",
    "tgst1_",
    "dGdzdDFf",
    "\"role\":\"user\"",
    "\"role\":\"assistant\"",
    "\"role\":\"tool\"",
    "\"role\":\"system\"",
    "\"type\":\"text\"",
    "\"type\":\"image_url\"",
    "\"type\":\"tool_use\"",
    "\"type\":\"tool_result\"",
    "\"type\":\"thinking\"",
    "\"type\":\"function_call\"",
    "\"type\":\"function_call_output\"",
    "\"type\":\"reasoning\"",
    "\"content\":null",
    "\"content\":[]",
    "\"content\":\"\"",
    "\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]",
    "\"functionCall\":{\"name\":\"f\"}",
    "\"functionResponse\":{\"name\":\"f\",\"response\":{}}",
    "\"thoughtSignature\":\"AA==\"",
    "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}",
    "\"tool_choice\":\"required\"",
    "\"stop\":[\" \"]",
    "\"n\":3",
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":{}}}",
    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1}",
    "data:image/png;base64,AA==",
    "data: ",
    "\n\n",
    "\r\n\r\n",
    "event: error\n",
    "data: [DONE]\n\n",
    "\"finish_reason\":\"stop\"",
    "\"type\":\"message_stop\"",
    "\"type\":\"response.completed\"",
    "\"finishReason\":\"STOP\"",
    "\"index\":99",
    "\"output_index\":7",
    "\"usage\":{\"input_tokens\":1,\"output_tokens\":2}",
    "\"usageMetadata\":{\"promptTokenCount\":1}",
    "\"error\":{\"message\":\"x\"}",
];

fn price(usage: &TokenUsage) -> Receipt {
    let nano = i64::try_from(usage.prompt % 1_000_000).unwrap();
    Receipt { cost: Money::from_nano(nano), is_byok: false, upstream_cost: None }
}

fn ways() -> Vec<(&'static Dialect, Bridge)> {
    let clients = DIALECTS.iter().copied();
    clients
        .flat_map(|client| {
            DIALECTS.iter().filter_map(move |provider| Some((client, Bridge::between(client, provider)?)))
        })
        .collect()
}

fn requests(ways: &[(&'static Dialect, Bridge)], input: &[u8]) {
    let carry = Carry::new(b"k", "o", "p", "m");
    let body = Bytes::copy_from_slice(input);
    for (client, bridge) in ways {
        let Ok(scan) = client.scan(&body) else { continue };
        let scan = scan.at(Some("m".to_owned()), false);
        let edits = RequestEdits { token_limit: Some(7), max_output: Some(100), ..RequestEdits::new("up/m", &carry) };
        if let Ok(outbound) = bridge.request(&body, &scan, &edits) {
            let sent = outbound.body.into_bytes();
            let is_json = serde_json::from_slice::<IgnoredAny>(&sent).is_ok();
            // Numbers and depths that serde_json does not take may stand in what passes untouched.
            let was_json = serde_json::from_slice::<IgnoredAny>(input).is_ok();
            assert!(is_json || !was_json, "{}: {}", client.id, String::from_utf8_lossy(&sent));
        }
    }
}

fn edits(framing: Framing) -> AnswerEdits {
    AnswerEdits {
        public_model: "a/b".to_owned(),
        wants_usage: true,
        surface: Surface::ApiV1,
        framing,
        request_id: "req_1".to_owned(),
        created: 1,
        carry: Carry::new(b"k", "o", "p", "m"),
        request: Bytes::from_static(br#"{"model":"a/b","input":"x"}"#),
        ..AnswerEdits::default()
    }
}

fn through<'a>(bridge: &Bridge, edits: &AnswerEdits, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, String) {
    let mut pass = bridge.stream(edits);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(piece), &mut price));
        if !pass.is_open() {
            break;
        }
    }
    let (rest, end) = pass.end(&mut price);
    out.extend_from_slice(&rest);
    let tap = pass.tap();
    assert!(!matches!(end, StreamEnd::Finished) || tap.has_finish(), "finished without a reason");
    (out, format!("{end:?} {:?} {:?}", tap.usage(), tap.finish_reason()))
}

fn answers(ways: &[(&'static Dialect, Bridge)], input: &[u8]) {
    for (client, bridge) in ways.iter().filter(|(_, bridge)| !bridge.is_same()) {
        for framing in [Framing::Events, Framing::Array] {
            let edits = edits(framing);
            let whole = through(bridge, &edits, std::iter::once(input));
            for size in [1, 17] {
                assert_eq!(through(bridge, &edits, input.chunks(size)), whole, "{} in pieces of {size}", client.id);
            }
        }
        if let Ok(answer) = bridge.whole(Bytes::copy_from_slice(input), &edits(Framing::Events), &mut price)
            && answer.tap.upstream_error().is_none()
        {
            let body = answer.body.into_bytes();
            assert!(
                serde_json::from_slice::<IgnoredAny>(&body).is_ok(),
                "{}: {}",
                client.id,
                String::from_utf8_lossy(&body)
            );
        }
    }
}

fn small(bytes: impl Iterator<Item = Option<Vec<u8>>>) -> Vec<Vec<u8>> {
    let mut inputs: Vec<Vec<u8>> = bytes.flatten().filter(|bytes| bytes.len() < 8 << 10).collect();
    inputs.push(b"{}".to_vec());
    inputs
}

fn recorded() -> Vec<Case> {
    fixtures::of(&CHATS)
}

#[test]
fn any_request_is_translated_to_json_or_refused() {
    let ways = ways();
    let inputs = small(recorded().into_iter().map(|case| case.request));
    drive("requests", &Corpus { inputs, words: WORDS }, |input| requests(&ways, input));
}

#[test]
fn any_answer_is_translated_the_same_however_it_is_cut() {
    let ways = ways();
    let inputs = small(recorded().into_iter().map(|case| case.response));
    drive("answers", &Corpus { inputs, words: WORDS }, |input| answers(&ways, input));
}
