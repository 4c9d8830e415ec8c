//! Google's generateContent from outside: recorded requests go through byte for byte, the model stands in the path, and
//! what was carried for another endpoint comes out on the way.

use bytes::Bytes;
use codec::dialect::gemini::DIALECT;
use codec::{AnswerEdits, Bridge, Carry, Framing, Names, Quirks, RequestEdits, Routed, StreamEnd, Surface};
use serde_json::{Value, json};

use crate::fixtures::{Case, cases};

fn recorded() -> Vec<Case> {
    let mut all = cases(&["gemini"]);
    all.extend(cases(&["constructed"]).into_iter().filter(|case| case.name.starts_with("constructed/gemini")));
    all
}

fn carry(model: &str) -> Carry {
    Carry::new(b"secret", "org", "google", model)
}

fn wanted<'a>(upstream_model: &'a str, carry: &'a Carry) -> RequestEdits<'a> {
    RequestEdits {
        upstream_model,
        token_limit: None,
        quirks: Quirks::default(),
        max_output: None,
        input_modalities: &[],
        require_parameters: false,
        surface: codec::Surface::V1,
        carry,
    }
}

fn bridge() -> Bridge {
    Bridge::between(&DIALECT, &DIALECT).unwrap()
}

/// What reaches the provider.
fn sent(body: &Bytes) -> Bytes {
    let scan = DIALECT.scan(body).unwrap().at(Some("public".to_owned()), true);
    let carry = carry("m");
    bridge().request(body, &scan, &wanted("gemini-2.5-flash", &carry)).unwrap().body.into_bytes()
}

#[test]
fn recorded_requests_reach_the_provider_as_the_very_same_bytes() {
    for case in recorded() {
        let Some(request) = case.request.map(Bytes::from) else { continue };
        let out = sent(&request);
        assert_eq!((out.as_ptr(), out.len()), (request.as_ptr(), request.len()), "{}", case.name);
    }
}

#[test]
fn only_declared_edits_are_made_to_recorded_requests() {
    for case in recorded() {
        let Some(request) = case.request else { continue };
        let text = String::from_utf8(request).unwrap();
        let inner = text.trim_start().strip_prefix('{').unwrap();
        let ours = r#""model":"models/public","provider":{"only":["google"]},"session_id":"s","#;
        let edited = sent(&Bytes::from(format!("{{{ours}{inner}")));
        assert_eq!(edited, format!("{{\"model\":\"models/gemini-2.5-flash\",{inner}"), "{}", case.name);
    }
}

#[test]
fn the_model_and_the_way_it_answers_stand_in_the_path() {
    let route = |stream| {
        bridge()
            .route(&Routed {
                upstream_model: "gemini-2.5-flash",
                stream,
                quirks: Quirks::default(),
                ..Default::default()
            })
            .into_owned()
    };
    assert_eq!(route(false), "/models/gemini-2.5-flash:generateContent");
    assert_eq!(route(true), "/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
}

fn answer_edits(framing: Framing) -> AnswerEdits {
    AnswerEdits {
        public_model: "google/gemini".to_owned(),
        wants_usage: false,
        surface: Surface::V1,
        framing,
        request_id: "req_1".to_owned(),
        created: 0,
        carry: carry("m"),
        names: Names::default(),
        request: Bytes::new(),
        ..AnswerEdits::default()
    }
}

#[test]
fn t38_every_recorded_stream_reaches_the_client_as_events_or_as_an_array() {
    for case in recorded().into_iter().filter(|case| case.is_stream) {
        for framing in [Framing::Events, Framing::Array] {
            let mut pass = bridge().stream(&answer_edits(framing));
            let mut free = |_: &domain::usage::TokenUsage| panic!("Google's answers have no cost in them");
            let mut out = pass.push(Bytes::from(case.response.clone()), &mut free).to_vec();
            let (rest, end) = pass.end(&mut free);
            out.extend_from_slice(&rest);
            let is_broken = case.name.contains("error-bare-json");
            assert_eq!(matches!(end, StreamEnd::Finished), !is_broken, "{}", case.name);
            assert!(String::from_utf8_lossy(&out).contains("\"google/gemini\""), "{}", case.name);
            let is_array = serde_json::from_slice::<Value>(&out).is_ok_and(|value| value.is_array());
            assert_eq!(is_array, framing == Framing::Array && !is_broken, "{}", case.name);
        }
    }
}

/// A conversation whose thoughts another endpoint sealed, through a client of Google's.
fn carried(seal: &str) -> Bytes {
    json!({"contents": [
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [
            {"text": "thinking", "thought": true, "thoughtSignature": seal},
            {"functionCall": {"id": "c", "name": "f", "args": {}}},
        ]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "f", "response": {"output": "x"}}}]},
    ]})
    .to_string()
    .into()
}

#[test]
fn t45_state_of_another_endpoint_does_not_reach_this_one() {
    // As `Carry` seals for clients that want base64: here by another endpoint of the same organisation.
    let seal = "dGdzdDFfQUFBQUFBQUFBQUFBQUFBQXNlYWxlZA==";
    let body = carried(seal);
    let scan = DIALECT.scan(&body).unwrap().at(Some("public".to_owned()), false);
    let here = carry("here");
    let out = bridge().request(&body, &scan, &wanted("gemini-3-flash", &here)).unwrap();
    assert_eq!(out.losses.to_string(), "reasoning, reasoning_signature");
    let sent: Value = serde_json::from_slice(&out.body.into_bytes()).unwrap();
    let call = json!({"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"});
    assert_eq!(sent["contents"][1]["parts"], json!([call]));
    assert!(!sent.to_string().contains(seal));
    // Whoever wants nothing lost hears of it.
    let strict = RequestEdits { require_parameters: true, ..wanted("gemini-3-flash", &here) };
    let fault = bridge().request(&body, &scan, &strict).unwrap_err();
    assert_eq!(fault.kind.code(), "unsupported_parameter");
}
