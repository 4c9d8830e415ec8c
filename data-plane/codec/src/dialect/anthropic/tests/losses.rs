//! Every loss that the halves list can happen, and none happens that they do not list.

use serde_json::json;

use super::*;
use crate::loss::Loss;
use crate::model::{
    Choice, Effort, Extra, Finish, Format, Media, MediaKind, Params, PartBody, Reasoning, Signature, Source, Thought,
    Tool, ToolChoice, ToolKind,
};

fn image<'a>() -> Media<'a> {
    Media {
        kind: MediaKind::Image,
        mime: Some("image/png".into()),
        source: Source::Inline("QUJD".into()),
        name: Some("x.png".into()),
        detail: Some("low".into()),
        at: String::new(),
    }
}

/// Requests that together lose everything that can be lost.
fn lossy() -> Vec<(Endpoint, Request<'static>)> {
    let sampling = Params {
        temperature: Some("2"),
        top_p: Some("0.5"),
        min_p: Some("0.5"),
        top_a: Some("0.5"),
        frequency_penalty: Some("1"),
        presence_penalty: Some("1"),
        repetition_penalty: Some("2"),
        seed: Some("1"),
        stop: vec![" ".into()],
        logprobs: Some(true),
        logit_bias: Some(r#"{"1":1}"#),
        format: Some(Format::Json),
        verbosity: Some("low".into()),
        service_tier: Some("flex".into()),
        user: Some("u".into()),
        prompt_cache_key: Some("k".into()),
        metadata: Some(r#"{"a":"b"}"#),
        modalities: vec!["audio".into()],
        ..Params::default()
    };
    let none = Params { temperature: Some("0"), top_k: Some("1"), ..Params::default() };
    let budget = Params {
        reasoning: Some(Reasoning { budget: Some(1), summary: Some("detailed".into()), ..Reasoning::default() }),
        ..Params::default()
    };
    let low = Params {
        reasoning: Some(Reasoning { effort: Some(Effort::Minimal), ..Reasoning::default() }),
        ..Params::default()
    };
    let off =
        Params { reasoning: Some(Reasoning { enabled: Some(false), ..Reasoning::default() }), ..Params::default() };
    let list = Format::Schema { name: None, description: None, schema: r#"{"type":"array"}"#.into(), strict: None };
    let list = Params { format: Some(list), ..Params::default() };
    let limited = r#"{"type":"object","properties":{"a":{"type":"integer","minimum":3}}}"#;
    let limited = Format::Schema { name: None, description: None, schema: limited.into(), strict: None };
    let limited = Params { format: Some(limited), ..Params::default() };
    let kind = ToolKind::Function { name: "f".into(), description: None, schema: None, strict: Some(true) };
    let strict = Tool { kind, cache: None };
    let asking = |params| Request { params, ..foreign() };
    let mut forced = foreign();
    forced.tools = vec![strict];
    forced.tool_choice = Some(ToolChoice::Required);
    vec![
        (usual(), asking(sampling)),
        (with(&["no-sampling"]), asking(none)),
        (usual(), asking(budget)),
        (with(&["adaptive-thinking"]), asking(low)),
        (with(&["thinks-always"]), asking(off)),
        (with(&["forced-tool"]), asking(list)),
        (usual(), asking(limited)),
        (with(&["thinks-always", "forced-tool"]), forced),
        (usual(), conversation()),
        (usual(), Request { turns: vec![turn(0, Role::Assistant, vec![Part::text("x")])], ..foreign() }),
    ]
}

fn conversation() -> Request<'static> {
    let thought = |signature| Part {
        body: PartBody::Thought(Thought { text: "t".into(), ..Thought::default() }),
        cache: Some(crate::model::CacheMark::Hour),
        signature,
    };
    let cited = PartBody::Text { text: "x".into(), annotations: Some("[1]".into()) };
    let said = vec![
        thought(None),
        thought(Some(Signature::Foreign("s".into()))),
        Part::new(cited),
        Part::new(PartBody::Refusal("no".into())),
        Part::new(PartBody::Other { raw: "{}".into() }),
        Part::text(" "),
    ];
    let mut named = turn(0, Role::User, vec![Part::new(PartBody::Media(image()))]);
    named.name = Some("n".into());
    let turns = vec![
        turn(0, Role::Developer, vec![Part::text("d")]),
        named,
        turn(1, Role::Assistant, said),
        turn(2, Role::System, vec![Part::text("s")]),
    ];
    let mut tape = Box::new(Tape::default());
    // Values borrow what they were read from; a test may leak it.
    let value = Box::leak(std::mem::take(&mut tape)).read(b"1").unwrap();
    Request { turns, extra: vec![Extra { name: "x".into(), value }], ..foreign() }
}

#[test]
fn every_listed_loss_of_a_request_can_happen_and_no_other() {
    let mut all = Losses::default();
    for (endpoint, request) in lossy() {
        all = all.and(endpoint.gets(&request).unwrap().1);
    }
    let names = |losses: &mut dyn Iterator<Item = Loss>| losses.map(Loss::name).collect::<Vec<_>>();
    assert_eq!(names(&mut all.iter()), names(&mut Egress.losses().iter().copied()));
}

#[test]
fn every_listed_loss_of_an_answer_can_happen_and_no_other() {
    let choice = Choice {
        parts: vec![
            Part::new(PartBody::Text { text: "x".into(), annotations: Some("[1]".into()) }),
            Part::new(PartBody::Refusal("no".into())),
            Part::new(PartBody::Media(image())),
            Part::new(PartBody::Other { raw: "{}".into() }),
        ],
        finish: Some(Finish::Stop),
        logprobs: Some("{}".into()),
        ..Choice::default()
    };
    let answer = Answer { choices: vec![choice, Choice { index: 1, ..Choice::default() }], ..Answer::default() };
    let (body, losses) = shown(&answer);
    let names = |losses: &mut dyn Iterator<Item = Loss>| losses.map(Loss::name).collect::<Vec<_>>();
    assert_eq!(names(&mut losses.iter()), names(&mut Ingress.losses().iter().copied()));
    assert_eq!(body["content"], json!([{"type":"text","text":"x"},{"type":"text","text":"no"}]));
}
