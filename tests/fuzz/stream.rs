//! Answers: the event reader and the passes over streamed and whole answers. Whatever a provider sends and however the
//! network cuts it, the client gets the same bytes, and a stream that never ended well is never called finished.

use bytes::Bytes;
use codec::dialect::find;
use codec::{AnswerEdits, Bridge, Receipt, StreamEnd};
use domain::money::Money;
use domain::usage::TokenUsage;
use tollgate_tests::fixtures;

use crate::driver::{Corpus, drive};

const WORDS: &[&str] = &[
    "data: ",
    "data:",
    "\n\n",
    "\r\n\r\n",
    "\r",
    "\n",
    ": comment\n\n",
    "event: error\n",
    "[DONE]",
    "data: [DONE]\n\n",
    "\"usage\":{",
    "\"choices\":[]",
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]",
    "\"finish_reason\":\"stop\"",
    "\"error\":{\"message\":\"x\"}",
    "\"model\":\"m\"",
    "\"prompt_tokens\":18446744073709551615",
    "\"completion_tokens\":-1",
    "\"total_tokens\":1",
    "\\ud83d",
    "null",
    "{",
    "}",
    "\u{feff}",
    "\"cost\":1",
    "id: 1\n",
    "retry: 5\n",
    "\"x_groq\":{\"usage\":{}}",
];

fn price(usage: &TokenUsage) -> Receipt {
    Receipt {
        cost: Money::from_nano(i64::try_from(usage.prompt % 1_000_000).unwrap()),
        is_byok: false,
        upstream_cost: None,
    }
}

fn bridge() -> Bridge {
    let dialect = find("openai-chat").unwrap();
    Bridge::between(dialect, dialect).unwrap()
}

/// What a client gets when the stream comes in these pieces.
fn through<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, String) {
    let mut pass =
        bridge().stream(&AnswerEdits { public_model: "a/b".to_owned(), wants_usage: true, ..AnswerEdits::default() });
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(piece), &mut price));
        if !pass.is_open() {
            break;
        }
    }
    let (rest, end) = pass.end(&mut price);
    out.extend_from_slice(&rest);
    let is_marked = out.windows(6).any(|window| window == b"[DONE]");
    assert!(
        !matches!(end, StreamEnd::Finished) || is_marked || !pass.tap().finish_reason().is_empty(),
        "finished without an end"
    );
    (out, format!("{end:?} {:?} {:?}", pass.tap().usage(), pass.tap().finish_reason()))
}

/// The line feed of the very last line end is left out where it comes after the end mark was understood: whoever reads
/// events takes the carriage return alone for it.
fn told((mut out, end): (Vec<u8>, String)) -> (Vec<u8>, String) {
    if out.ends_with(b"\r\n") {
        out.pop();
    }
    (out, end)
}

fn target(input: &[u8]) {
    let whole = told(through(std::iter::once(input)));
    for size in [1, 7, 61] {
        assert_eq!(told(through(input.chunks(size))), whole, "in pieces of {size}");
    }
    let edits = AnswerEdits { public_model: "a/b".to_owned(), wants_usage: true, ..AnswerEdits::default() };
    if let Ok(answer) = bridge().whole(Bytes::copy_from_slice(input), &edits, &mut price) {
        let body = answer.body.into_bytes();
        // Numbers and depths that serde_json does not take are the provider's business; ours must not break what it does.
        if serde_json::from_slice::<serde::de::IgnoredAny>(input).is_ok() {
            assert!(
                serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok(),
                "an answer was broken: {}",
                String::from_utf8_lossy(&body)
            );
        }
    }
    let _ = find("openai-chat").unwrap().decode_error(input);
}

#[test]
fn any_answer_passes_the_same_however_it_is_cut() {
    let answers = fixtures::openai_chat().into_iter().filter_map(|case| case.response);
    let mut inputs: Vec<Vec<u8>> = answers.filter(|answer| answer.len() < 16 << 10).collect();
    inputs.push(b"data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\ndata: [DONE]\n\n".to_vec());
    // Found by this target: the last line feed comes alone, after the end mark.
    inputs.push(b"data: {\"id\":\"1\",\"choices\":[]}\n\ndata: [DONE]\n\x92x\r\n\r\n".to_vec());
    inputs.push(b"event: error\r\ndata: {\"error\":{\"message\":\"x\"}}\r\n\r\n".to_vec());
    inputs.push(b"data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n".to_vec());
    drive("stream", &Corpus { inputs, words: WORDS }, target);
}
