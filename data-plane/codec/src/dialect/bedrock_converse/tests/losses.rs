use super::*;
use crate::dialect::bedrock_converse::egress::LOSSES;
use crate::model::{Effort, Extra, Format, Reasoning, ToolChoice};

/// Requests that lose one thing each, or several.
fn lossy() -> Vec<(Request<'static>, Endpoint)> {
    let mut all = request(vec![
        turn(Role::Developer, vec![Part::text("d")]),
        Turn { name: Some("ann".into()), ..user("u") },
        system("late"),
        turn(
            Role::Assistant,
            vec![
                Part::new(PartBody::Text { text: "t".into(), annotations: Some("[]".into()) }),
                Part::new(PartBody::Refusal("no".into())),
                Part::new(PartBody::Other { raw: "{}".into() }),
                thought("mine", None),
                thought("theirs", Some(Signature::Foreign("x".into()))),
                call("1", "f", "{}"),
            ],
        ),
        turn(
            Role::User,
            vec![
                result("1", vec![inline(MediaKind::Image, "image/png")], true),
                marked(Part::text("x"), CacheMark::Minutes),
                Part::text(" "),
                file("größe.pdf"),
                Part::new(PartBody::Media(Media {
                    kind: MediaKind::Image,
                    mime: Some("image/png".into()),
                    source: Source::Inline("AAAA".into()),
                    name: None,
                    detail: Some("low".into()),
                    at: String::new(),
                })),
            ],
        ),
    ]);
    let kind = ToolKind::Function { name: "f".into(), description: None, schema: None, strict: Some(true) };
    all.tools = vec![Tool { kind, cache: None }];
    all.tool_choice = Some(ToolChoice::Required);
    all.parallel_tools = Some(false);
    let params = &mut all.params;
    (params.temperature, params.top_p, params.top_k) = (Some("0.5"), Some("0.5"), Some("5"));
    (params.min_p, params.top_a, params.seed) = (Some("0.5"), Some("0.5"), Some("5"));
    (params.frequency_penalty, params.presence_penalty) = (Some("0.5"), Some("0.5"));
    (params.repetition_penalty, params.logprobs, params.logit_bias) = (Some("1.5"), Some(true), Some(r#"{"1":1}"#));
    params.stop = vec!["x".into()];
    params.format = Some(Format::Schema { name: None, description: None, schema: "{}".into(), strict: None });
    params.reasoning =
        Some(Reasoning { effort: Some(Effort::High), summary: Some("concise".into()), ..Reasoning::default() });
    params.verbosity = Some("low".into());
    params.service_tier = Some("scale".into());
    (params.user, params.prompt_cache_key, params.metadata) = (Some("u".into()), Some("k".into()), Some("[]"));
    params.modalities = vec!["text".into(), "audio".into()];
    let mut tape = crate::json::Tape::default();
    tape.read(b"1").unwrap();
    let tape: &'static crate::json::Tape = Box::leak(Box::new(tape));
    let value = Box::leak(Box::new(tape.clone())).read(b"1").unwrap();
    all.extra = vec![Extra { name: "novel".into(), value }];

    let asked = |change: &dyn Fn(&mut Request<'static>)| {
        let mut asked = request(vec![user("u")]);
        change(&mut asked);
        asked
    };
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    vec![
        (all, with(LLAMA, &["no-sampling", "no-stop"])),
        (request(vec![turn(Role::Assistant, vec![Part::text("x")])]), of(CLAUDE)),
        (asked(&|asked| asked.params.temperature = Some("1.5")), of(CLAUDE)),
        (asked(&|asked| asked.params.stop = vec![" ".into()]), of(CLAUDE)),
        (asked(&|asked| asked.params.format = Some(Format::Json)), of(CLAUDE)),
        (asked(&|asked| asked.params.reasoning = Some(effort(Effort::Minimal))), of(GPT)),
        (
            asked(&|asked| {
                asked.params.reasoning = Some(Reasoning { budget: Some(7), ..Reasoning::default() });
            }),
            of(CLAUDE),
        ),
    ]
}

#[test]
fn every_listed_loss_can_happen_and_no_other_does() {
    let mut seen = Losses::default();
    for (asked, endpoint) in lossy() {
        let (body, losses) = try_encode(&asked, endpoint).unwrap();
        rules::check(&body);
        seen = seen.and(losses);
    }
    let listed = LOSSES.iter().fold(Losses::default(), |mut listed, loss| {
        listed.note(*loss);
        listed
    });
    assert_eq!(seen.to_string(), listed.to_string());
    assert_eq!(DIALECT.egress.unwrap().losses(), LOSSES);
}
