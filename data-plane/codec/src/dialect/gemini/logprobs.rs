//! Log probabilities, which Google and OpenAI say in different words: two lists side by side, or one list of tokens with
//! their rivals. The canonical words are OpenAI's.

use crate::json::{Tape, Value, Writer};

/// OpenAI's object for Google's `logprobsResult`.
pub(super) fn read(result: Value<'_>) -> String {
    let chosen = result.get("chosenCandidates");
    let mut rivals =
        result.get("topCandidates").map(|top| top.items().collect::<Vec<_>>()).unwrap_or_default().into_iter();
    let mut out = Writer::into(Vec::new());
    out.begin_object();
    out.key("content");
    out.begin_array();
    for token in chosen.iter().flat_map(Value::items) {
        out.begin_object();
        said(token, &mut out);
        out.key("top_logprobs");
        out.begin_array();
        for rival in rivals.next().and_then(|top| top.get("candidates")).iter().flat_map(Value::items) {
            out.begin_object();
            said(rival, &mut out);
            out.end_object();
        }
        out.end_array();
        out.end_object();
    }
    out.end_array();
    out.field_null("refusal");
    out.end_object();
    String::from_utf8(out.into_buffer()).unwrap_or_default()
}

fn said(token: Value<'_>, out: &mut Writer) {
    let text = token.str("token").unwrap_or_default();
    out.field_str("token", &text);
    out.field_raw("logprob", number(token, "logProbability"));
    out.key("bytes");
    out.begin_array();
    text.bytes().for_each(|byte| out.u64(u64::from(byte)));
    out.end_array();
}

/// Protobuf leaves zero out.
fn number<'a>(token: Value<'a>, name: &str) -> &'a str {
    token.get(name).and_then(|value| value.number()).unwrap_or("0")
}

/// Writes Google's `logprobsResult` for OpenAI's object; nothing when there are no tokens in it.
pub(super) fn write(logprobs: &str, out: &mut Writer) {
    let mut tape = Tape::default();
    let Ok(value) = tape.read(logprobs.as_bytes()) else { return };
    let Some(tokens) = value.get("content").filter(|tokens| tokens.items().next().is_some()) else { return };
    out.key("logprobsResult");
    out.begin_object();
    out.key("topCandidates");
    out.begin_array();
    for token in tokens.items() {
        out.begin_object();
        list("candidates", token.get("top_logprobs"), out);
        out.end_object();
    }
    out.end_array();
    list("chosenCandidates", Some(tokens), out);
    out.end_object();
}

fn list(name: &str, tokens: Option<Value<'_>>, out: &mut Writer) {
    out.key(name);
    out.begin_array();
    for token in tokens.iter().flat_map(Value::items) {
        out.begin_object();
        out.field_str("token", &token.str("token").unwrap_or_default());
        out.field_raw("logProbability", number(token, "logprob"));
        out.end_object();
    }
    out.end_array();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn t08_log_probabilities_say_the_same_in_both_words() {
        let google = json!({
            "topCandidates": [{"candidates": [{"token": "A", "logProbability": -0.5}, {"token": "ä", "logProbability": -1.25e1}]}, {}],
            "chosenCandidates": [{"token": "A", "logProbability": -0.5, "tokenId": 7}, {"token": "!"}],
        })
        .to_string();
        let mut tape = Tape::default();
        let openai = read(tape.read(google.as_bytes()).unwrap());
        let said: Json = serde_json::from_str(&openai).unwrap();
        assert_eq!(said["content"][0]["logprob"], -0.5);
        assert_eq!(said["content"][0]["top_logprobs"][1], json!({"token": "ä", "logprob": -12.5, "bytes": [195, 164]}));
        assert_eq!(said["content"][1], json!({"token": "!", "logprob": 0, "bytes": [33], "top_logprobs": []}));
        let mut out = Writer::into(Vec::new());
        out.begin_object();
        write(&openai, &mut out);
        out.end_object();
        let back: Json = serde_json::from_slice(&out.into_buffer()).unwrap();
        assert_eq!(back["logprobsResult"]["chosenCandidates"][1], json!({"token": "!", "logProbability": 0}));
        assert_eq!(back["logprobsResult"]["topCandidates"][0]["candidates"][1]["logProbability"], -12.5);
        for odd in ["", "[]", "{}", r#"{"content":null}"#, r#"{"content":[]}"#] {
            let mut out = Writer::into(Vec::new());
            write(odd, &mut out);
            assert!(out.into_buffer().is_empty(), "{odd}");
        }
    }
}
