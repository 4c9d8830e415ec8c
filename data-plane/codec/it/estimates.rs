//! Where a provider tells no usage, a client of another dialect is told what it is charged by, whole and streamed.

use codec::{AnswerEdits, Dialect};
use domain::usage::TokenUsage;

use crate::edits::dialect;
use crate::pairs;

const CHAT: &str = r#"{"id":"c","created":1,"model":"m","choices":[{"index":0,"SAID":{"role":"assistant","content":"one two three"},"finish_reason":"stop"}]}"#;
const GEMINI: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"one two three"}]},"finishReason":"STOP","index":0}],"responseId":"r"}"#;

fn answer(provider: &str, is_stream: bool) -> String {
    let said = if is_stream { "delta" } else { "message" };
    let answer = if provider == "gemini" { GEMINI.to_owned() } else { CHAT.replace("SAID", said) };
    if is_stream { format!("data: {answer}\n\ndata: [DONE]\n\n") } else { answer }
}

/// The usage that the client reads.
fn told(client: &'static Dialect, provider: &str, is_stream: bool, likely_prompt: Option<u64>) -> Option<TokenUsage> {
    let (pair, itself) = ((client, dialect(provider)), (client, client));
    let edits = AnswerEdits { likely_prompt, ..pairs::edits_for(b"") };
    let body = answer(provider, is_stream);
    if is_stream {
        let streamed = pairs::stream(pair, body.as_bytes(), body.len(), &edits);
        assert_eq!(streamed.tap.usage(), None, "an estimate is not the provider's word");
        return pairs::stream(itself, &streamed.out, streamed.out.len(), &edits).tap.usage();
    }
    let whole = pairs::whole(pair, body.as_bytes(), &edits).unwrap();
    assert_eq!(whole.tap.usage(), None, "an estimate is not the provider's word");
    pairs::whole(itself, &whole.body.into_bytes(), &edits).unwrap().tap.usage()
}

#[test]
fn who_is_charged_by_an_estimate_is_told_the_estimate() {
    let estimate = TokenUsage { prompt: 38, completion: 4, ..TokenUsage::default() };
    for client in pairs::dialects() {
        let provider = if client.id == "openai-chat" { "gemini" } else { "openai-chat" };
        for is_stream in [false, true] {
            assert_eq!(told(client, provider, is_stream, Some(38)), Some(estimate), "{} {is_stream}", client.id);
            let made_up = told(client, provider, is_stream, None).filter(|usage| *usage != TokenUsage::default());
            assert_eq!(made_up, None, "{} {is_stream}", client.id);
        }
    }
}
