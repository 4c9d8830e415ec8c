use super::*;
use crate::cross::CrossPass;
use crate::dialect::{EncodeEvents, Pass as _};
use crate::fault::UpstreamError;
use crate::json::Tape;
use crate::model::fold::{Folded, fold};
use crate::model::{Event, Finish};
use crate::names::Names;

/// A stream with everything in it, and the whole answer that says the same.
const STREAM: [(&str, &str); 20] = [
    ("messageStart", r#"{"p":"abcdefgh","role":"assistant"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Let me"}},"p":"ab"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":" think ä"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":""}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"EqQB+/="}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0,"p":"abc"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"c2VhbGVk"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"I'll "}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"look 😀."}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    ("contentBlockStart", r#"{"contentBlockIndex":3,"start":{"toolUse":{"name":"look","toolUseId":"tooluse_1"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"at\":"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"\"x\"}"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
    ("contentBlockStart", r#"{"contentBlockIndex":4,"start":{"toolUse":{"name":"wait","toolUseId":"tooluse_2"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":4}"#),
    ("messageStop", r#"{"additionalModelResponseFields":{"delta":{"stop_sequence":null}},"stopReason":"tool_use"}"#),
    (
        "metadata",
        r#"{"metrics":{"latencyMs":802},"usage":{"inputTokens":12,"outputTokens":50,"totalTokens":162,"cacheReadInputTokens":100,"cacheWriteInputTokens":0}}"#,
    ),
];
const WHOLE: &str = r#"{"output":{"message":{"role":"assistant","content":[
    {"reasoningContent":{"reasoningText":{"text":"Let me think ä","signature":"EqQB+/="}}},
    {"reasoningContent":{"redactedContent":"c2VhbGVk"}},
    {"text":"I'll look 😀."},
    {"toolUse":{"toolUseId":"tooluse_1","name":"look","input":{"at":"x"}}},
    {"toolUse":{"toolUseId":"tooluse_2","name":"wait","input":{}}}]}},
    "stopReason":"tool_use","metrics":{"latencyMs":802},
    "usage":{"inputTokens":12,"outputTokens":50,"totalTokens":162,"cacheReadInputTokens":100,"cacheWriteInputTokens":0}}"#;

fn folded(stream: &[u8], size: usize) -> Folded {
    fold(DIALECT.egress.unwrap(), stream, size)
}

#[track_caller]
fn finished(stream: &[(&str, &str)]) -> Folded {
    let folded = folded(&events(stream), usize::MAX);
    assert_eq!(folded.end, StreamEnd::Finished);
    folded
}

#[track_caller]
fn failed(stream: &[u8]) -> (Folded, UpstreamError) {
    let folded = folded(stream, usize::MAX);
    match folded.end.clone() {
        StreamEnd::InBandError(error) => (folded, error),
        end => panic!("{end:?}"),
    }
}

fn texts(folded: &Folded) -> Vec<String> {
    let parts = &folded.answer.choices[0].parts;
    parts
        .iter()
        .map(|part| match &part.body {
            PartBody::Text { text, .. } => text.to_string(),
            PartBody::ToolCall { id, name, arguments } => format!("{name}#{id}({arguments})"),
            PartBody::Thought(thought) => format!("<{}>", thought.text),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn t47_a_folded_stream_says_what_the_whole_answer_says() {
    let folded = finished(&STREAM);
    let mut tape = Tape::default();
    let whole = DIALECT.egress.unwrap().decode(tape.read(WHOLE.as_bytes()).unwrap()).unwrap();
    assert_eq!(format!("{:?}", folded.answer), format!("{whole:?}"));
    assert_eq!(folded.tap.usage(), whole.usage);
    assert!(folded.tap.usage_is_final() && folded.tap.is_done());
    assert_eq!((&**folded.tap.finish_reason(), folded.tap.unread()), ("tool_use", 0));
    let usage = whole.usage.unwrap();
    assert_eq!((usage.prompt, usage.cache_read, usage.completion), (12, 100, 50));
}

#[test]
fn t37_pieces_of_any_size_give_the_same() {
    let stream = events(&STREAM);
    let expected = format!("{:?}", finished(&STREAM).answer);
    for size in (1..200).chain([1_000, stream.len()]) {
        let folded = folded(&stream, size);
        assert_eq!((format!("{:?}", folded.answer), folded.end), (expected.clone(), StreamEnd::Finished), "{size}");
    }
}

#[test]
fn t39_every_cut_of_a_stream_is_a_truncation_until_it_has_said_why_it_ends() {
    let stream = events(&STREAM);
    let said = events(&STREAM[..19]).len();
    for cut in 0..stream.len() {
        let folded = folded(&stream[..cut], usize::MAX);
        let expected = if cut < said { StreamEnd::Truncated } else { StreamEnd::Finished };
        assert_eq!(folded.end, expected, "{cut} of {}", stream.len());
        assert!(folded.tap.usage().is_none(), "{cut}");
    }
}

#[test]
fn t39_no_changed_byte_makes_a_good_end() {
    let stream = events(&STREAM);
    for at in 0..stream.len() {
        let mut bytes = stream.clone();
        bytes[at] ^= 0x41;
        let end = folded(&bytes, 97).end;
        // A length that grew asks for bytes that do not come, or for too many.
        assert!(matches!(end, StreamEnd::InBandError(_)), "{at}: {end:?}");
    }
}

#[test]
fn t24_calls_keep_their_parts_whether_or_not_they_overlap() {
    let start = |block: u32, id: &str| {
        format!(r#"{{"contentBlockIndex":{block},"start":{{"toolUse":{{"name":"f","toolUseId":"{id}"}}}}}}"#)
    };
    let input = |block: u32, text: &str| {
        let text = serde_json::to_string(text).unwrap();
        format!(r#"{{"contentBlockIndex":{block},"delta":{{"toolUse":{{"input":{text}}}}}}}"#)
    };
    let (a, b) = (start(7, "a"), start(9, "b"));
    let pieces = [input(7, "{\"x\":"), input(9, "{\"y\""), input(7, "1}"), input(9, ":2}"), input(8, "lost")];
    let mut stream = vec![("contentBlockStart", &*a), ("contentBlockStart", &*b)];
    stream.extend(pieces.iter().map(|piece| ("contentBlockDelta", &**piece)));
    stream
        .extend([("contentBlockStop", r#"{"contentBlockIndex":9}"#), ("messageStop", r#"{"stopReason":"tool_use"}"#)]);
    let folded = finished(&stream);
    assert_eq!(texts(&folded), [r#"f#a({"x":1})"#, r#"f#b({"y":2})"#]);
    assert_eq!(folded.tap.unread(), 1);
}

#[test]
fn blocks_that_nobody_announced_or_ended_are_told_apart_all_the_same() {
    let stream = [
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":""}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"text":"hm"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"a"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"b"}}"#),
        ("contentBlockDelta", r#"{"delta":{"text":"c"}}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":3,"start":{"toolUse":{"name":"f"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":4,"delta":{"novelty":{}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":5}"#),
        ("somethingNew", r#"{"x":1}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":6,"delta":{"text":"late"}}"#),
        ("messageStop", r#"{"stopReason":"max_tokens"}"#),
    ];
    let folded = finished(&stream);
    assert_eq!(texts(&folded), ["<hm>", "a", "b", "c", "f#call_3({})"]);
    assert_eq!(folded.answer.choices[0].finish, Some(Finish::ToolCalls));
    assert_eq!((&*folded.answer.choices[0].native, folded.tap.unread()), ("end_turn", 5));
    assert_eq!(folded.tap.usage_source(), domain::usage::UsageSource::Estimated);
}

/// Writes down which parts begin and end.
#[derive(Debug)]
struct Recorder;

impl EncodeEvents for Recorder {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { part, .. } => out.extend(format!("+{part} ").bytes()),
            Event::End { part, .. } => out.extend(format!("-{part} ").bytes()),
            _ => {}
        }
    }

    fn usage(&mut self, _: &TokenUsage, _: &Receipt) {}

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend(b"end");
    }
}

#[test]
fn only_calls_stand_open_beside_each_other() {
    let stream = events(&[
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"c2Vh"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"a"}}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":3,"start":{"toolUse":{"name":"f","toolUseId":"1"}}}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":4,"start":{"toolUse":{"name":"f","toolUseId":"2"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":5,"delta":{"text":"b"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":6,"delta":{"image":{"source":{"bytes":"AAAA"}}}}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]);
    let egress = DIALECT.egress.unwrap();
    let pass = CrossPass::new(egress.stream(), Box::new(Recorder), Names::default());
    let mut pass = pass.aws_framed(true);
    let mut pricer = |_: &TokenUsage| Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None };
    let out = [pass.push(stream.into(), &mut pricer), pass.end(&mut pricer).0].concat();
    assert_eq!(String::from_utf8(out).unwrap(), "+0 -0 +1 -1 +2 -2 +3 +4 -3 -4 +5 -5 +6 -6 end");
}

#[test]
fn usage_may_come_before_the_end_and_is_not_wiped_out_by_numbers_that_are_none() {
    let folded = finished(&[
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#),
        ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#),
        ("metadata", r#"{"metrics":{"latencyMs":1},"usage":{}}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"behind the end"}}"#),
    ]);
    assert_eq!(folded.tap.usage().map(|usage| (usage.prompt, usage.completion)), Some((1, 2)));
    assert_eq!(texts(&folded), ["a"]);
}

#[test]
fn t09_the_input_of_the_forced_tool_is_streamed_as_text() {
    let folded = finished(&[
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"tollgate_answer","toolUseId":"1"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"a\""}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":":1}"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("messageStop", r#"{"stopReason":"tool_use"}"#),
    ]);
    assert_eq!((texts(&folded), folded.answer.choices[0].finish), (vec![r#"{"a":1}"#.to_owned()], Some(Finish::Stop)));
}

#[test]
fn a_letter_that_was_cut_between_two_pieces_is_whole() {
    let folded = finished(&[
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"\ud83d"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"\ude00!"}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"lone\ud83d"}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"toolUse":{"name":"f","toolUseId":"1"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"a\":\"\ud83d"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\ude00\"}"}}}"#),
        ("messageStop", r#"{"stopReason":"tool_use"}"#),
    ]);
    assert_eq!(texts(&folded), ["😀!", "lone\u{fffd}", r#"f#1({"a":"😀"})"#]);
}

#[test]
fn t28_citations_stand_with_the_text_they_cite_and_pictures_come_whole() {
    let folded = finished(&[
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"citation":{"title":"t"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"cited"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"citation":{"title":"u"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"image":{"format":"webp"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"image":{"source":{"bytes":"AAAA"}}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]);
    let [cited, shown] = folded.answer.choices[0].parts.as_slice() else { panic!() };
    let PartBody::Text { text, annotations } = &cited.body else { panic!() };
    assert_eq!((&**text, annotations.as_deref()), ("cited", Some(r#"[{"title":"t"},{"title":"u"}]"#)));
    let PartBody::Media(media) = &shown.body else { panic!() };
    assert_eq!(media.mime.as_deref(), Some("image/webp"));
}

#[test]
fn what_bedrock_does_by_itself_is_no_call_of_the_client() {
    let folded = finished(&[
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"s","toolUseId":"1","type":"server_tool_use"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"toolResult":{"toolUseId":"1"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolResult":[{"text":"found"}]}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"So."}}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]);
    assert_eq!((texts(&folded), folded.answer.choices[0].finish), (vec!["So.".to_owned()], Some(Finish::Stop)));
}

#[test]
fn t29_a_malformed_answer_is_an_error_and_an_unknown_end_is_shown() {
    let text = event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#);
    let malformed = event("messageStop", r#"{"stopReason":"malformed_model_output"}"#);
    let (_, error) = failed(&[text.clone(), malformed].concat());
    assert_eq!(error.code.as_deref(), Some("malformed_model_output"));
    let odd = folded(&[text, event("messageStop", r#"{"stopReason":"novel"}"#)].concat(), usize::MAX);
    assert_eq!(odd.end, StreamEnd::Finished);
    assert_eq!((odd.answer.choices[0].finish, &*odd.answer.choices[0].native), (Some(Finish::Unknown), "novel"));
}

#[test]
fn t41_an_exception_ends_the_stream_with_what_it_says() {
    let begun = events(&STREAM[..11]);
    for (name, payload, message, status) in [
        ("throttlingException", r#"{"message":"Too many requests"}"#, "Too many requests", Some(429)),
        ("serviceUnavailableException", r#"{"message":"busy"}"#, "busy", Some(503)),
        ("internalServerException", r#"{"message":"oh"}"#, "oh", Some(500)),
        ("validationException", r#"{"message":"no"}"#, "no", Some(400)),
        (
            "modelStreamErrorException",
            r#"{"message":"Model Stream Error","originalStatusCode":500,"originalMessage":"The model stream failed."}"#,
            "Model Stream Error: The model stream failed.",
            Some(502),
        ),
    ] {
        let behind = event("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"behind"}}"#);
        let (folded, error) = failed(&[begun.clone(), exception(name, payload), behind].concat());
        assert_eq!((error.message.as_str(), error.status, error.code.as_deref()), (message, status, Some(name)));
        assert_eq!(texts(&folded), ["<Let me think ä>", "<>", "I'll look 😀."]);
    }
    let headers = [(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "lost it")];
    let (_, error) = failed(&frame(&headers, ""));
    assert_eq!((error.message.as_str(), error.code.as_deref()), ("lost it", Some("InternalError")));
}

#[test]
fn t41_what_is_no_stream_of_frames_is_an_error() {
    for odd in [
        b"data: {\"text\":\"hello\"}\n\n".to_vec(),
        br#"{"message":"The security token included in the request is invalid."}"#.to_vec(),
        [events(&STREAM[..3]), b"<html>this is not a frame</html>".to_vec()].concat(),
        event("contentBlockDelta", "not json"),
        event("contentBlockDelta", "\"\\u00"),
    ] {
        failed(&odd);
    }
    let mut huge = 0x7fff_ffffu32.to_be_bytes().to_vec();
    huge.extend_from_slice(&0u32.to_be_bytes());
    huge.extend_from_slice(&crc32fast::hash(&huge).to_be_bytes());
    assert_eq!(folded(&huge, usize::MAX).end, StreamEnd::Oversized);
    assert_eq!(folded(&event("initial-response", ""), usize::MAX).end, StreamEnd::Truncated);
    assert_eq!(folded(b"", 1).end, StreamEnd::Truncated);
}

#[test]
fn what_is_held_of_a_stream_does_not_grow_with_it() {
    let mut stream = events(&STREAM[..1]);
    for block in 0..500 {
        let start =
            format!(r#"{{"contentBlockIndex":{block},"start":{{"toolUse":{{"name":"f","toolUseId":"{block}"}}}}}}"#);
        stream.extend(event("contentBlockStart", &start));
    }
    stream.extend(event("messageStop", r#"{"stopReason":"tool_use"}"#));
    let folded = folded(&stream, 4_096);
    assert_eq!((folded.end, folded.answer.choices[0].parts.len()), (StreamEnd::Finished, 500));
}
