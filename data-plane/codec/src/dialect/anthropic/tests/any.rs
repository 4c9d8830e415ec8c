//! Nothing that a client or a provider can send makes a half panic, and what is written is always JSON.

use proptest::prelude::*;
use serde_json::Value;

use super::answers::no_price;
use super::*;
use crate::cross::CrossPass;
use crate::dialect::Pass;

fn texts(is_request: bool, is_stream: bool) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = fixtures::cases(&FAMILY)
        .into_iter()
        .filter(|case| is_request || case.is_stream == is_stream)
        .filter_map(|case| if is_request { case.request } else { Some(case.response) })
        .filter(|text| text.len() < 20_000)
        .collect();
    // Something to change also where there are no recordings.
    all.push(
        match (is_request, is_stream) {
            (true, _) => r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"tools":[{"name":"f"}]}"#,
            (false, false) => r#"{"id":"1","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1}}"#,
            (false, true) => "data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\"}}\n\n",
        }
        .into(),
    );
    all
}

/// Changes of one text: pieces of it replaced by values and marks that JSON and streams have.
fn change(text: &mut Vec<u8>, changes: &[(usize, usize, usize)]) {
    const NEW: [&[u8]; 18] = [
        b"null",
        b"{}",
        b"[]",
        b"\"\"",
        b"-1e99",
        b"true",
        b"\"type\":1",
        b"\\ud800",
        b"\xff",
        b"\n\n",
        b"data: ",
        b"}",
        b"]",
        b",",
        b":",
        b"\"tool_use\"",
        b"\"thinking\"",
        b"99999999999999999999",
    ];
    for (at, len, new) in changes {
        let at = at % (text.len() + 1);
        let end = (at + len % 12).min(text.len());
        text.splice(at..end, NEW[new % NEW.len()].iter().copied());
    }
}

/// Changes of values only: the text stays JSON, and what stands in it has other types.
fn retype(value: &mut Value, seed: &mut u64) {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    if (*seed >> 33).is_multiple_of(23) {
        let others = [
            Value::Null,
            true.into(),
            7.into(),
            "x".into(),
            serde_json::json!([]),
            serde_json::json!({"type": "text"}),
        ];
        *value = others[(*seed >> 40) as usize % others.len()].clone();
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| retype(item, seed)),
        Value::Object(fields) => fields.values_mut().for_each(|field| retype(field, seed)),
        _ => {}
    }
}

fn passes(body: &str) {
    for quirks in
        [&[][..], &["forced-tool", "adaptive-thinking"], &["vertex", "no-sampling", "thinks-always", "system-turns"]]
    {
        let endpoint = Endpoint { quirks, token_limit: None, max_output: Some(2_000) };
        let _ = read(body, |request| {
            let _ = endpoint.gets(request);
            // The same request as if another dialect had been spoken.
            let turns = request.turns.iter().map(|one| turn(one.at, one.role, one.parts.clone())).collect();
            let _ = endpoint.gets(&Request { turns, params: Default::default(), ..foreign() });
        });
    }
}

fn answered(body: &[u8]) {
    let mut tape = Tape::default();
    if let Ok(value) = tape.read(body)
        && let Ok(answer) = Egress.decode(value)
    {
        shown(&answer);
    }
    let _ = DIALECT.same.whole(Bytes::copy_from_slice(body), &answer_edits(), &mut no_price);
}

fn streamed(stream: &[u8], sizes: &[usize]) {
    let passes = || -> [Box<dyn Pass>; 2] {
        [
            DIALECT.same.stream(&answer_edits()),
            Box::new(CrossPass::new(Egress.stream(), Ingress.stream(&answer_edits()), Names::default())),
        ]
    };
    let mut whole = Vec::new();
    for (round, sizes) in [&[usize::MAX][..], sizes].into_iter().enumerate() {
        for (at, mut pass) in passes().into_iter().enumerate() {
            let mut out = Vec::new();
            let mut rest = stream;
            for size in sizes.iter().cycle() {
                let (chunk, behind) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
                rest = behind;
                out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut no_price));
                if rest.is_empty() {
                    break;
                }
            }
            let (last, end) = pass.end(&mut no_price);
            out.extend_from_slice(&last);
            match round {
                0 => whole.push((out, end)),
                _ => assert_eq!(whole[at], (out, end)),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_makes_it_panic(pick in any::<usize>(), changes in prop::collection::vec(any::<(usize, usize, usize)>(), 0..4), mut seed in any::<u64>()) {
        let texts = texts(true, false);
        let mut text = texts[pick % texts.len()].clone();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        retype(&mut value, &mut seed);
        passes(&value.to_string());
        change(&mut text, &changes);
        if let Ok(text) = std::str::from_utf8(&text) {
            passes(text);
        }
    }

    #[test]
    fn no_answer_makes_it_panic(pick in any::<usize>(), changes in prop::collection::vec(any::<(usize, usize, usize)>(), 0..4), mut seed in any::<u64>()) {
        let texts = texts(false, false);
        let mut text = texts[pick % texts.len()].clone();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        retype(&mut value, &mut seed);
        answered(value.to_string().as_bytes());
        change(&mut text, &changes);
        answered(&text);
    }

    #[test]
    fn no_stream_makes_it_panic(pick in any::<usize>(), changes in prop::collection::vec(any::<(usize, usize, usize)>(), 0..5), sizes in prop::collection::vec(1usize..200, 1..6)) {
        let texts = texts(false, true);
        let mut text = texts[pick % texts.len()].clone();
        change(&mut text, &changes);
        streamed(&text, &sizes);
    }
}
