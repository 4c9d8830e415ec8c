//! Whatever comes: requests of any shape are refused or obey the rules, and no bytes make anything panic.

use proptest::prelude::*;

use super::*;
use crate::dialect::bedrock_converse::egress::LOSSES;
use crate::json::Tape;
use crate::model::fold::fold;
use crate::model::{Effort, Format, Reasoning, ToolChoice};

const TEXTS: [&str; 6] = ["", " \n", "plain", "größe \"q\"\u{0}", "{\"a\":1}", "{\"a\":"];
const IDS: [&str; 4] = ["1", "call|x", "", "functions.f:0"];
const MIMES: [&str; 6] = ["image/png", "application/pdf", "text/x", "audio/wav", "video/mp4", "x"];
const NAMES: [&str; 5] = ["a.pdf", "größe", "..", "a  b_c.txt", "-"];

fn texts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(TEXTS.to_vec())
}

fn signatures() -> impl Strategy<Value = Option<Signature<'static>>> {
    prop::sample::select(vec![None, Some(Signature::Own("sealed".into())), Some(Signature::Foreign("theirs".into()))])
}

fn shown() -> impl Strategy<Value = Part<'static>> {
    let kinds = prop::sample::select(vec![MediaKind::Image, MediaKind::File, MediaKind::Audio, MediaKind::Video]);
    let names = prop::option::of(prop::sample::select(NAMES.to_vec()));
    (kinds, prop::sample::select(MIMES.to_vec()), names, 0..12u8).prop_map(|(kind, mime, name, source)| {
        let source = match source {
            0 => Source::Url("https://x/y.png".into()),
            1 => Source::Url("s3://x/y.png".into()),
            2 => Source::Text("text".into()),
            _ => Source::Inline("iVBORw0KGgoAAAA".into()),
        };
        Part::new(PartBody::Media(Media {
            kind,
            mime: Some(mime.into()),
            source,
            name: name.map(Into::into),
            detail: None,
            at: String::new(),
        }))
    })
}

fn parts() -> impl Strategy<Value = Part<'static>> {
    let marks = prop::sample::select(vec![None, None, Some(CacheMark::Minutes), Some(CacheMark::Hour)]);
    let ids = || prop::sample::select(IDS.to_vec());
    let inner = prop_oneof![3 => texts().prop_map(Part::text), 1 => shown()];
    let body = prop_oneof![
        4 => texts().prop_map(Part::text),
        1 => texts().prop_map(|text| Part::new(PartBody::Refusal(text.into()))),
        1 => shown(),
        2 => (ids(), texts()).prop_map(|(id, arguments)| call(id, "f", arguments)),
        2 => (ids(), prop::collection::vec(inner, 0..3), any::<bool>()).prop_map(|(id, content, is_error)| result(id, content, is_error)),
        2 => (texts(), signatures()).prop_map(|(text, signature)| thought(text, signature)),
        1 => Just(redacted("sealed")),
        1 => Just(Part::new(PartBody::Other { raw: "{}".into() })),
    ];
    (body, marks).prop_map(|(part, cache)| Part { cache, ..part })
}

fn turns() -> impl Strategy<Value = Turn<'static>> {
    let roles = prop::sample::select(vec![
        Role::User,
        Role::User,
        Role::Assistant,
        Role::Assistant,
        Role::System,
        Role::Developer,
    ]);
    (roles, prop::collection::vec(parts(), 0..4)).prop_map(|(role, parts)| turn(role, parts))
}

fn choices() -> impl Strategy<Value = Option<ToolChoice<'static>>> {
    prop::sample::select(vec![
        None,
        Some(ToolChoice::Auto),
        Some(ToolChoice::None),
        Some(ToolChoice::Required),
        Some(ToolChoice::Named("f".into())),
        Some(ToolChoice::Named("h".into())),
        Some(ToolChoice::Among { names: vec!["g".into()], required: true }),
        Some(ToolChoice::Among { names: vec!["f".into(), "g".into()], required: true }),
    ])
}

fn formats() -> impl Strategy<Value = Option<u8>> {
    prop::option::of(0..4u8)
}

fn reasonings() -> impl Strategy<Value = Option<Reasoning<'static>>> {
    let efforts =
        prop::option::of(prop::sample::select(vec![Effort::None, Effort::Minimal, Effort::High, Effort::Max]));
    let budgets = prop::option::of(prop::sample::select(vec![0, 1, 1_024, 5_000, u64::MAX]));
    prop::option::of((any::<Option<bool>>(), efforts, budgets).prop_map(|(enabled, effort, budget)| Reasoning {
        enabled,
        effort,
        budget,
        ..Reasoning::default()
    }))
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    const QUIRKS: [&[&str]; 6] =
        [&[], &["adaptive-thinking"], &["thinks-always"], &["forced-tool"], &["no-forced-tools"], &["no-cache-points"]];
    let limits = || prop::option::of(prop::sample::select(vec![1, 1_024, 1_025, 64_000, u64::MAX]));
    let models = prop::sample::select(vec![CLAUDE, NOVA, GPT, QWEN, LLAMA]);
    (models, prop::sample::select(QUIRKS.to_vec()), limits(), limits())
        .prop_map(|(model, quirks, token_limit, max_output)| Endpoint { model, quirks, token_limit, max_output })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_request_of_any_shape_is_refused_or_obeys_the_rules(
        turns in prop::collection::vec(turns(), 0..7),
        (tools, choice, format, parallel) in (0..3usize, choices(), formats(), any::<Option<bool>>()),
        reasoning in reasonings(),
        endpoint in endpoints(),
    ) {
        let mut asked = request(turns);
        asked.tools = [tool("f"), Tool { cache: Some(CacheMark::Hour), ..tool("g") }].into_iter().take(tools).collect();
        (asked.tool_choice, asked.parallel_tools, asked.params.reasoning) = (choice, parallel, reasoning);
        asked.params.format = format.map(|format| match format {
            0 => Format::Text,
            1 => Format::Json,
            2 => Format::Schema { name: None, description: None, schema: "{\"type\":\"array\"}".into(), strict: None },
            _ => Format::Schema { name: None, description: None, schema: "{\"type\":\"object\"}".into(), strict: None },
        });
        if let Ok((body, losses)) = try_encode(&asked, endpoint) {
            let broken = rules::rules(&body);
            prop_assert!(broken.is_ok(), "{broken:?}: {body:#}");
            for loss in losses.iter() {
                prop_assert!(LOSSES.contains(&loss), "{}", loss.name());
            }
        }
    }

    #[test]
    fn no_bytes_and_no_json_make_a_stream_panic(
        names in prop::collection::vec(prop::sample::select(vec![
            "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "odd",
        ]), 0..12),
        payloads in prop::collection::vec(prop::sample::select(vec![
            r#"{}"#, r#"[]"#, r#"null"#, r#"{"contentBlockIndex":0}"#, r#"{"contentBlockIndex":-1,"delta":7}"#,
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"f","toolUseId":"1"}}}"#,
            r#"{"contentBlockIndex":1,"start":{"image":{"format":"png"}}}"#,
            r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#,
            r#"{"contentBlockIndex":1,"delta":{"text":null,"toolUse":{"input":"x"}}}"#,
            r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{"}}}"#,
            r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"text":"t","signature":"s","redactedContent":"r"}}}"#,
            r#"{"contentBlockIndex":1,"delta":{"image":{"source":{"bytes":"AA"}}}}"#,
            r#"{"contentBlockIndex":1,"delta":{"citation":[]}}"#,
            r#"{"stopReason":7,"usage":{"inputTokens":1e400,"outputTokens":-1}}"#,
            r#"{"stopReason":"end_turn","usage":{"inputTokens":1}}"#,
        ]), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..30),
        size in 1usize..60,
    ) {
        let mut stream: Vec<u8> = names.iter().zip(&payloads).flat_map(|(name, payload)| event(name, payload)).collect();
        stream.extend(noise);
        let folded = fold(DIALECT.egress.unwrap(), &stream, size);
        let has_end = names.iter().zip(&payloads).any(|(name, _)| *name == "messageStop");
        prop_assert!(has_end || folded.end != StreamEnd::Finished);
    }

    #[test]
    fn no_changed_answer_makes_reading_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut answer = br#"{"output":{"message":{"role":"assistant","content":[{"text":"a"},
            {"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"citationsContent":{"content":[{"text":"a"}],
            "citations":[{}]}},{"toolUse":{"toolUseId":"1","name":"f","input":{"x":[1]}}},{"image":{"format":"png",
            "source":{"bytes":"AA"}}}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,
            "cacheDetails":[{"ttl":"1h","inputTokens":1}]},"additionalModelResponseFields":{"delta":{"stop_sequence":"x"}}}"#.to_vec();
        let place = at.index(answer.len());
        answer[place] = byte;
        let mut tape = Tape::default();
        if let Ok(value) = tape.read(&answer) {
            let _ = DIALECT.egress.unwrap().decode(value);
        }
        let cut = cut.index(answer.len());
        let _ = DIALECT.decode_named_error(Some("x#y:z"), &answer[..cut]);
        let _ = crate::fault::exception("modelStreamErrorException", &answer[..cut]);
    }
}
