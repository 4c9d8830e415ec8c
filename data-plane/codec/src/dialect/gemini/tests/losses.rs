//! Every loss that is listed can happen, and none happens that is not listed.

use std::borrow::Cow;

use super::asks::{call, function, png, request, result, say, signed, turn};
use super::*;
use crate::loss::Loss;
use crate::model::{
    Answer, CacheMark, Choice, Effort, Extra, Format, Media, MediaKind, Part, PartBody, Reasoning, Role, Signature,
    Source, Thought,
};

/// A request that loses all that can be lost at once.
fn lossy() -> Request<'static> {
    let mut picture = png();
    if let PartBody::Media(media) = &mut picture.body {
        media.detail = Some("high".into());
        media.name = Some("a.png".into());
    }
    let mut marked = Part::text("hi");
    marked.cache = Some(CacheMark::Hour);
    let mut spoken =
        turn(Role::User, vec![marked, picture, Part::text(""), Part::new(PartBody::Other { raw: "{}".into() })]);
    spoken.name = Some("Ann".into());
    let cited = Part::new(PartBody::Text { text: "x".into(), annotations: Some("[]".into()) });
    let refusal = Part::new(PartBody::Refusal("no".into()));
    let thought = Part::new(PartBody::Thought(Thought { text: "t".into(), ..Thought::default() }));
    let call = signed(call("c", "f", "{}"), Signature::Foreign("x".into()));
    let mut lossy = request(vec![
        say(Role::System, "s"),
        say(Role::Developer, "d"),
        spoken,
        say(Role::System, "late"),
        turn(Role::Assistant, vec![thought, cited, refusal, call]),
        turn(Role::User, vec![result("c", vec![png()])]),
    ]);
    lossy.tools = vec![function("f")];
    lossy.parallel_tools = Some(false);
    let params = &mut lossy.params;
    params.temperature = Some("9");
    params.min_p = Some("0.1");
    params.top_a = Some("0.1");
    params.frequency_penalty = Some("1");
    params.presence_penalty = Some("1");
    params.repetition_penalty = Some("1");
    params.seed = Some("1e9");
    params.stop = ["a", "b", "c", "d", "e", "f"].map(Cow::Borrowed).into();
    params.logit_bias = Some("{}");
    params.verbosity = Some("low".into());
    params.prompt_cache_key = Some("k".into());
    params.service_tier = Some("scale".into());
    params.user = Some("u".into());
    params.metadata = Some("{}");
    let schema = r#"{"type":"object","properties":{"a":{"type":"string","not":{}}}}"#.into();
    params.format = Some(Format::Schema { name: None, description: None, schema, strict: None });
    params.reasoning =
        Some(Reasoning { budget: Some(1_000_000), summary: Some("detailed".into()), ..Reasoning::default() });
    lossy
}

#[test]
fn every_listed_loss_of_a_request_can_happen_and_no_other() {
    let carry = carry();
    let mut lost = Losses::default();
    let mut lossy = lossy();
    let edits = wanted("gemini-2.5-flash", &["schema-subset"], &carry);
    lossy.params.max_output = Some(200);
    lost = lost.and(asked(&lossy, &RequestEdits { max_output: Some(100), ..edits }).unwrap().1);
    for (model, reasoning) in [
        ("gemini-3.1-pro", Reasoning { effort: Some(Effort::Max), ..Reasoning::default() }),
        ("gemini-3.1-pro", Reasoning { enabled: Some(false), ..Reasoning::default() }),
    ] {
        lossy.params.reasoning = Some(reasoning);
        lost = lost.and(asked(&lossy, &wanted(model, &[], &carry)).unwrap().1);
    }
    let mut tape = Tape::default();
    let value = tape.read(b"1").unwrap();
    let mut extra = Request { from: "other", turns: vec![say(Role::User, "hi")], ..Request::default() };
    extra.extra.push(Extra { name: "field".into(), value });
    lost = lost.and(asked(&extra, &edits).unwrap().1);
    let listed = super::super::egress::LOSSES;
    for loss in Loss::ALL {
        assert_eq!(lost.has(*loss), listed.contains(loss), "{}", loss.name());
    }
}

#[test]
fn every_listed_loss_of_an_answer_can_happen_and_no_other() {
    let kept = Media {
        kind: MediaKind::File,
        mime: None,
        source: Source::FileId("f".into()),
        name: None,
        detail: None,
        at: String::new(),
    };
    let parts = vec![
        Part::new(PartBody::Text { text: "x".into(), annotations: Some("[]".into()) }),
        Part::new(PartBody::Refusal("no".into())),
        Part::new(PartBody::Media(kept)),
        Part::new(PartBody::Other { raw: "{}".into() }),
    ];
    let answer = Answer { choices: vec![Choice { parts, ..Choice::default() }], ..Answer::default() };
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    super::super::ingress::encode(&answer, &edits(""), &mut out, &mut losses);
    let listed = super::super::ingress::LOSSES;
    for loss in Loss::ALL {
        assert_eq!(losses.has(*loss), listed.contains(loss), "{}", loss.name());
    }
    let written = json(out.finish().into_bytes());
    assert_eq!(written["candidates"][0]["content"]["parts"], serde_json::json!([{"text": "x"}, {"text": "no"}]));
}
