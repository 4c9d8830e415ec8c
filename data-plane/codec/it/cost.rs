//! What passing costs, in allocations; times are the bench's business.

use bytes::Bytes;
use codec::{AnswerEdits, Bridge, Dialect, Pricer, Receipt, Segments, StreamPass, Whole};
use domain::money::Money;
use domain::usage::TokenUsage;

use crate::edits;

fn chat() -> &'static Dialect {
    codec::dialect::find("openai-chat").unwrap()
}

fn bridge() -> Bridge {
    Bridge::between(chat(), chat()).unwrap()
}

fn pricer() -> impl Pricer {
    |usage: &TokenUsage| Receipt {
        cost: Money::from_nano(i64::try_from(usage.prompt).unwrap() * 1_250),
        is_byok: false,
        upstream_cost: None,
    }
}

fn edits(wants_usage: bool) -> AnswerEdits {
    edits::answer("openai/gpt-4.1", wants_usage)
}

/// A request of about `size` bytes that says this sentence over and over.
fn request(size: usize, sentence: &str) -> Bytes {
    let text = sentence.repeat(size.saturating_sub(180) / sentence.len());
    Bytes::from(format!(
        r#"{{"model":"openai/gpt-4.1","messages":[{{"role":"system","content":"You are brief."}},{{"role":"user","content":"{text}"}}],"temperature":0.7,"max_tokens":256,"stream":false,"user":"u-1"}}"#
    ))
}

const PROSE: &str = r"The quick brown fox jumps over the lazy dog, then rests in the warm shade.\n";
const QUOTES: &str =
    r#"The toll keeper wrote: \"one more carriage, two horses, paid in full\"; then the rain came back.\n"#;

const WHOLE: &[u8] = br#"{"id":"chatcmpl-D8EA5fF3qB9JXQ0fMSoKp3Li7ab0g","object":"chat.completion","created":1770853433,"model":"gpt-4.1-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Four plus four is eight, and eight plus eight is sixteen.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":14,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_a127cc0295"}"#;

/// One event as OpenAI sends them, about 310 bytes, with this model's name.
fn event(model: &str) -> Bytes {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-D8EA5fF3qB9JXQ0fMSoKp3Li7ab0g\",\"object\":\"chat.completion.chunk\",\"created\":1770853433,\"model\":\"{model}\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_a127cc0295\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" sixteen\"}},\"logprobs\":null,\"finish_reason\":null}}],\"obfuscation\":\"A1nKaVJy\"}}\n\n"
    );
    Bytes::from(event)
}

fn send(body: &Bytes) -> Segments {
    let scan = chat().scan(body).unwrap();
    bridge().request(body, &scan, &edits::request("gpt-4.1", None)).unwrap().body
}

fn answer(body: &Bytes, edits: &AnswerEdits) -> Whole {
    bridge().whole(body.clone(), edits, &mut pricer()).unwrap()
}

/// A pass that has seen the first pieces of its stream.
fn warm(chunk: &Bytes) -> StreamPass {
    let mut pass = bridge().stream(&edits(true));
    for _ in 0..3 {
        pass.push(chunk.clone(), &mut pricer());
    }
    pass
}

fn allocations(case: impl FnOnce()) -> u64 {
    allocation_counter::measure(case).count_total
}

#[test]
fn a_piece_with_nothing_to_change_costs_no_allocation_and_a_renamed_one_costs_its_bytes() {
    for (name, count) in [("openai/gpt-4.1", 0), ("gpt-4.1-2025-04-14", 1)] {
        let chunk = event(name);
        let mut pass = warm(&chunk);
        assert_eq!(allocations(|| drop(pass.push(chunk.clone(), &mut pricer()))), count, "{name}");
    }
}

#[test]
fn a_small_request_costs_its_facts_its_fields_and_its_bytes() {
    let body = request(500, PROSE);
    assert_eq!(allocations(|| drop(send(&body))), 3);
}

#[test]
fn a_small_answer_costs_its_id_its_usage_and_its_bytes() {
    let (body, edits) = (Bytes::from(WHOLE), edits(false));
    assert_eq!(allocations(|| drop(answer(&body, &edits))), 3);
}

#[test]
fn a_large_request_costs_little_more_than_a_small_one() {
    let body = request(1_000_000, QUOTES);
    let counted = allocation_counter::measure(|| drop(send(&body)));
    assert!(counted.count_total <= 6 && counted.bytes_total < 2_000, "{counted:?}");
}
