//! Every loss that is listed can happen, and none happens that is not listed.

use super::*;
use crate::loss::Loss;
use crate::model::{Answer, Choice, Finish, Media, MediaKind, Part, PartBody, Request, Role, Source, Turn};

/// Requests of another family, as far as this dialect's clients can say them, and the quirks under which something of them
/// is lost.
const LOSING: &[(&str, &str, &[&str])] = &[
    (
        r#"[{"role":"user","content":"x"}]"#,
        r#""temperature":1,"top_p":1,"frequency_penalty":1,"presence_penalty":1,"logprobs":true,"logit_bias":{}"#,
        &["no-sampling"],
    ),
    (
        r#"[{"role":"user","content":"x"}]"#,
        r#""top_k":1,"min_p":1,"top_a":1,"repetition_penalty":1,"stop":["1","2","3","4","5"]"#,
        &["max-4-stops"],
    ),
    (r#"[{"role":"user","content":"x"}]"#, r#""stop":"1""#, &["no-stop"]),
    (
        r#"[{"role":"user","content":"x"}]"#,
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"tool_choice":"required""#,
        &["no-json-schema"],
    ),
    (
        r#"[{"role":"user","content":"x"}]"#,
        r#""tools":[{"type":"function","function":{"name":"a"}}],"parallel_tool_calls":false"#,
        &["no-parallel-tools"],
    ),
    (
        r#"[{"role":"tool","tool_call_id":"1","content":[{"type":"image_url","image_url":{"url":"u"}}]}]"#,
        r#""unheard_of":1"#,
        &[],
    ),
    (
        r#"[{"role":"assistant","content":"x","reasoning_details":[{"type":"reasoning.text","text":"t","signature":"s"}]}]"#,
        "",
        &[],
    ),
    (r#"[{"role":"user","content":"x"}]"#, r#""reasoning":{"effort":"max","summary":"auto","exclude":true}"#, &[]),
    (r#"[{"role":"user","content":"x"}]"#, r#""reasoning":{"max_tokens":2000}"#, &[]),
    (
        r#"[{"role":"user","name":"n","content":"x"}]"#,
        r#""verbosity":"low","prompt_cache_key":"k","service_tier":"flex","user":"u","metadata":{},"modalities":["image"]"#,
        &["core-fields"],
    ),
    (
        r#"[{"role":"developer","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]"#,
        "",
        &["no-developer-role"],
    ),
    (
        r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u","detail":"ultra"}},{"type":"mystery"}]},{"role":"user","content":[]}]"#,
        "",
        &[],
    ),
    (r#"[{"role":"assistant","content":"x","annotations":[{}]}]"#, "", &[]),
];

/// What no client of this dialect can say.
fn foreign() -> Losses {
    let failed = PartBody::ToolResult { id: "1".into(), name: None, content: vec![], is_error: true };
    let source = Source::Text("a plain document".into());
    let document =
        Media { kind: MediaKind::File, mime: None, source, name: Some("n".into()), detail: None, at: String::new() };
    let parts = vec![Part::new(failed), Part::new(PartBody::Media(document))];
    let request =
        Request { from: OTHER, turns: vec![Turn { at: 0, role: Role::User, parts, name: None }], ..Request::default() };
    let carry = carry();
    let wanted = RequestEdits {
        upstream_model: "m",
        token_limit: None,
        quirks: Default::default(),
        max_output: None,
        input_modalities: &[],
        require_parameters: false,
        surface: crate::fault::Surface::V1,
        carry: &carry,
    };
    let (mut out, mut losses) = (Writer::new(&Bytes::new()), Losses::default());
    DIALECT.egress.unwrap().encode(&request, &wanted, &mut out, &mut losses).unwrap();
    let text = out.finish().into_bytes();
    assert!(std::str::from_utf8(&text).unwrap().contains("Error: "));
    losses
}

#[test]
fn every_listed_loss_of_requests_can_happen_and_no_other() {
    let mut seen = foreign();
    for (messages, fields, quirks) in LOSING {
        seen = seen.and(sent_from(OTHER, &body(messages, fields), quirks).unwrap().1);
    }
    let listed: Vec<Loss> = DIALECT.egress.unwrap().losses().to_vec();
    let seen: Vec<Loss> = seen.iter().collect();
    let names = |losses: &[Loss]| losses.iter().map(|loss| loss.name()).collect::<Vec<_>>();
    assert_eq!(names(&seen), names(&listed));
}

#[test]
fn every_listed_loss_of_answers_can_happen() {
    let media = |kind| Part::media(kind, None, Source::Inline("QUJD".into()));
    let cited = PartBody::Text { text: "x".into(), annotations: Some(r#"[{"document":1}]"#.into()) };
    let parts = vec![Part::new(cited), media(MediaKind::Video), Part::new(PartBody::Other { raw: "{}".into() })];
    let answer = Answer {
        choices: vec![Choice { parts, finish: Some(Finish::Stop), ..Choice::default() }],
        ..Answer::default()
    };
    let (mut out, mut losses) = (Writer::new(&Bytes::new()), Losses::default());
    DIALECT.ingress.unwrap().encode(&answer, None, &edits(Surface::V1), &mut out, &mut losses);
    serde_json::from_slice::<Value>(&out.finish().into_bytes()).unwrap();
    let listed: Vec<Loss> = DIALECT.ingress.unwrap().losses().to_vec();
    assert_eq!(losses.iter().collect::<Vec<_>>(), listed);
}
