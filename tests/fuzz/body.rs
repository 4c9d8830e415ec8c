//! Request bodies: the strict scan and the patch. Whatever is accepted is JSON, is patched into JSON with the wanted
//! model, and is not changed by a second patch.

use bytes::Bytes;
use codec::dialect::{Dialect, find};
use codec::{Bridge, Carry, RequestEdits};
use tollgate_tests::fixtures;

use crate::driver::{Corpus, drive};

const WORDS: &[&str] = &[
    "\"model\"",
    "\"messages\":[1]",
    "\"stream\":true",
    "\"stream_options\"",
    "{\"include_usage\":true}",
    "\"usage\"",
    "\"include\"",
    "\"models\"",
    "\"provider\":{}",
    "\"max_tokens\":1",
    "\"n\":2",
    "\"MODEL\"",
    "\"mod\\u0065l\"",
    "\\ud83d",
    "\\u0000",
    "null",
    "true",
    "1e999",
    "-0",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "\n",
    "\u{feff}",
    "\u{7f}",
    "[[[[[[[[[[[[[[[[",
    "\"tags\":[],",
    "\"route\":1",
    "\"debug\":{}",
];

fn dialect() -> &'static Dialect {
    find("openai-chat").unwrap()
}

fn patched(body: &Bytes, limit: Option<u64>) -> Option<Bytes> {
    let scan = dialect().scan(body).ok()?;
    let bridge = Bridge::between(dialect(), dialect()).unwrap();
    let carry = Carry::default();
    let edits = RequestEdits { token_limit: limit, ..RequestEdits::new("up/stream \"m\"", &carry) };
    Some(bridge.request(body, &scan, &edits).ok()?.body.into_bytes())
}

fn target(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let Ok(scan) = dialect().scan(&body) else { return };
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(input).is_ok(), "accepted and not JSON");
    for limit in [None, Some(7)] {
        let once = patched(&body, limit).unwrap();
        let again =
            dialect().scan(&once).unwrap_or_else(|fault| panic!("patched into something that is refused: {fault:?}"));
        assert_eq!(again.model.as_deref(), Some("up/stream \"m\""));
        assert_eq!((again.stream, again.messages, again.choices), (scan.stream, scan.messages, scan.choices));
        assert!(!again.stream || again.include_usage, "a stream without usage");
        assert!(limit.is_none() || again.output_limit() == limit, "the limit was not set");
        assert_eq!(patched(&once, limit).unwrap(), once, "a second patch changes something");
    }
}

#[test]
fn any_body_is_refused_or_patched_into_json() {
    let mut inputs: Vec<Vec<u8>> = fixtures::openai_chat().into_iter().filter_map(|case| case.request).collect();
    inputs.push(br#"{"model":"a/b","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":false}}"#.to_vec());
    inputs.push(br#" { "models" : ["a","b"] , "messages":[1], "usage":{"include":true,"x":1}, "tags":[], "provider":{"order":["a"]} } "#.to_vec());
    inputs.push(br#"{"max_tokens":null,"max_completion_tokens":5,"n":3,"model":"\u0061","messages":[{}],"route":"x","debug":1}"#.to_vec());
    drive("body", &Corpus { inputs, words: WORDS }, target);
}
