//! Streams pass whole, are understood however they are cut into chunks, and an end without a finish is never success.

use bytes::Bytes;
use codec::{Bridge, StreamEnd, StreamPass};
use domain::usage::{TokenUsage, UsageSource};

use crate::edits::{self, pricer};
use crate::fixtures;
use crate::odd::Odd;
use crate::reference::{self, offset};

const COST: &str = "0.000412";

fn pass(wants_usage: bool) -> StreamPass {
    let chat = codec::dialect::find("openai-chat").unwrap();
    Bridge::between(chat, chat).unwrap().stream(&edits::answer("public/model", wants_usage))
}

struct Passed {
    out: Vec<u8>,
    end: StreamEnd,
    pass: StreamPass,
}

fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, wants_usage: bool) -> Passed {
    let mut pass = pass(wants_usage);
    let mut pricer = pricer();
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer));
    }
    let (rest, end) = pass.end(&mut pricer);
    out.extend_from_slice(&rest);
    Passed { out, end, pass }
}

fn facts(passed: &Passed) -> (String, String, Option<TokenUsage>, UsageSource, u64, bool) {
    let tap = passed.pass.tap();
    let words = (tap.upstream_id().to_owned(), tap.finish_reason().to_string());
    (words.0, words.1, tap.usage(), tap.usage_source(), tap.estimated_output_tokens(), tap.is_done())
}

#[test]
fn usage_id_and_end_are_those_of_a_plain_reading() {
    for case in fixtures::streams() {
        let text = String::from_utf8(case.response.clone()).unwrap();
        let said = reference::said(&text);
        let passed = run([&case.response[..]], true);
        let tap = passed.pass.tap();
        assert_eq!(tap.usage(), said.usage, "{}", case.name);
        assert_eq!(tap.upstream_id(), said.id, "{}", case.name);
        assert_eq!(tap.has_output(), said.has_text, "{}", case.name);
        assert_eq!(tap.unread(), 0, "{}", case.name);
        assert_eq!(matches!(passed.end, StreamEnd::InBandError(_)), said.is_error, "{}", case.name);
        assert_eq!(passed.end == StreamEnd::Finished, said.is_finished(), "{}: {:?}", case.name, passed.end);
        if said.is_finished() && said.usage.is_some() {
            assert_eq!(tap.usage_source(), UsageSource::ProviderFinal, "{}", case.name);
        }
    }
}

#[test]
fn an_error_within_a_stream_stops_it_and_is_kept_from_the_client() {
    for (name, message) in [
        ("openai-stream-error-then-done", "The server experienced an error while processing your request."),
        ("openrouter-stream-comment-error", "Provider disconnected unexpectedly"),
        ("stream-mid-stream-error-reasoning-01", "Tool call validation failed"),
        ("stream-max-tokens-reasoning-01", "Token limit reached"),
    ] {
        for case in fixtures::streams()
            .into_iter()
            .filter(|case| case.name.ends_with(name) && !case.name.starts_with("groq/stream-max"))
        {
            let passed = run([&case.response[..]], true);
            let StreamEnd::InBandError(error) = &passed.end else { panic!("{}: {:?}", case.name, passed.end) };
            assert!(error.message.starts_with(message), "{}", error.message);
            let out = String::from_utf8(passed.out).unwrap();
            assert!(
                !out.contains(message) && !out.contains("[DONE]") && !out.contains("event: error"),
                "{}",
                case.name
            );
            assert!(!passed.pass.is_open());
        }
    }
}

/// Splits a stream that has LF line ends into its events.
fn events(text: &str) -> Vec<&str> {
    text.split_inclusive("\n\n").collect()
}

/// The data of an event that has some.
fn data(event: &str) -> Option<&str> {
    event.lines().find_map(|line| line.strip_prefix("data: "))
}

/// Everything of an event but the values of the named top-level fields, and these values.
fn apart<'a>(event: &'a str, names: &[&str]) -> (String, Vec<(String, &'a str)>) {
    let Some(fields) = data(event).and_then(reference::fields) else { return (event.to_owned(), Vec::new()) };
    let mut rest = String::new();
    let mut at = 0;
    let mut values = Vec::new();
    for (name, value) in fields {
        if names.contains(&name.as_str()) {
            let start = offset(event, value);
            rest.push_str(&event[at..start]);
            at = start + value.len();
            values.push((name, value));
        }
    }
    rest.push_str(&event[at..]);
    (rest, values)
}

fn check_event(original: &str, sent: &str) {
    let names = ["model", "usage"];
    let ((rest, values), (sent_rest, sent_values)) = (apart(original, &names), apart(sent, &names));
    assert_eq!(rest, sent_rest);
    for ((name, value), (_, sent_value)) in values.iter().zip(&sent_values) {
        if name == "model" {
            assert_eq!(*sent_value, "\"public/model\"");
        } else {
            check_usage(value, sent_value);
        }
    }
}

/// Own cost fields in the place of the provider's, or behind its others; those others untouched.
fn check_usage(original: &str, sent: &str) {
    if original == sent {
        assert!(!original.contains("cost"));
        return;
    }
    let ours = ["cost", "is_byok", "cost_details"];
    let (fields, sent_fields) = (reference::fields(original).unwrap(), reference::fields(sent).unwrap());
    let value = |name: &str| sent_fields.iter().find(|field| field.0 == name).unwrap().1;
    assert_eq!((value("cost"), value("is_byok")), (COST, "false"));
    assert_eq!(value("cost_details"), r#"{"upstream_inference_cost":null}"#);
    let others = |fields: &[(String, &str)]| -> Vec<(String, String)> {
        fields
            .iter()
            .filter(|field| !ours.contains(&field.0.as_str()))
            .map(|field| (field.0.clone(), field.1.to_owned()))
            .collect()
    };
    assert_eq!(others(&fields), others(&sent_fields));
    assert_eq!(sent_fields.len(), others(&fields).len() + 3);
}

#[test]
fn recorded_streams_are_edited_in_the_declared_places_only() {
    for case in fixtures::streams() {
        let text = String::from_utf8(case.response.clone()).unwrap();
        for wants_usage in [true, false] {
            let passed = run([&case.response[..]], wants_usage);
            let sent = String::from_utf8(passed.out).unwrap();
            let is_usage_only = |event: &str| {
                data(event).and_then(reference::fields).is_some_and(|fields| {
                    let get = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
                    get("choices") == Some("[]") && get("usage").is_some_and(|usage| usage.starts_with('{'))
                })
            };
            let kept: Vec<_> = events(&text).into_iter().filter(|event| wants_usage || !is_usage_only(event)).collect();
            let is_error = matches!(passed.end, StreamEnd::InBandError(_));
            let sent_events = events(&sent);
            assert!(is_error || sent_events.len() == kept.len(), "{}", case.name);
            for (original, sent) in kept.iter().zip(&sent_events) {
                check_event(original, sent);
            }
            if wants_usage
                && !is_error
                && passed.pass.tap().usage().is_some()
                && !case.name.contains("groq/stream-text-01")
            {
                assert!(sent.contains(&format!("\"cost\":{COST}")), "{}", case.name);
            }
        }
    }
}

#[test]
fn chunks_may_be_cut_anywhere() {
    for case in fixtures::streams() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = String::from_utf8(case.response.clone()).unwrap().replace('\n', line_end);
            let bytes = text.as_bytes();
            for wants_usage in [true, false] {
                let whole = run([bytes], wants_usage);
                let single = run(bytes.chunks(1), wants_usage);
                assert_eq!(single.out, whole.out, "{} {line_end:?}", case.name);
                assert_eq!(facts(&single), facts(&whole), "{}", case.name);
                assert_eq!(single.end, whole.end, "{}", case.name);
            }
            let whole = run([bytes], false);
            let step = bytes.len() / 400 + 1;
            for at in (0..bytes.len()).step_by(step) {
                let (head, tail) = bytes.split_at(at);
                let cut = run([head, tail], false);
                assert_eq!(cut.out, whole.out, "{} {line_end:?} cut at {at}", case.name);
                assert_eq!(facts(&cut), facts(&whole));
            }
        }
    }
}

#[test]
fn a_stream_cut_at_any_byte_is_never_called_finished_without_its_finish() {
    for case in fixtures::streams() {
        // What the whole lines said, and where the half one starts.
        let (mut lines, mut line) = (reference::Said::default(), 0);
        for (at, byte) in case.response.iter().enumerate() {
            let half = std::str::from_utf8(&case.response[line..at]).unwrap_or_default();
            if is_looked_at(&case.response, line, at) {
                let passed = run([&case.response[..at]], true);
                assert!(passed.out.is_empty() || passed.out.ends_with(b"\n"), "{}", case.name);
                let mut said = lines.clone();
                said.line(half);
                let expected = match passed.end {
                    StreamEnd::Finished => said.is_finished(),
                    StreamEnd::InBandError(_) => said.is_error,
                    StreamEnd::Truncated => !said.is_finished() && !said.is_error,
                    _ => false,
                };
                assert!(expected, "{} cut at {at}: {:?}", case.name, passed.end);
            }
            if *byte == b'\n' {
                lines.line(half);
                line = at + 1;
            }
        }
    }
}

/// Every byte of a short stream; of a long one those around line ends, every seventh of its last lines, and a sample.
fn is_looked_at(stream: &[u8], line: usize, at: usize) -> bool {
    let near_end = stream.len() - at < 3_000 && at.is_multiple_of(7);
    stream.len() < 6_000 || near_end || at - line < 3 || stream[at] == b'\n' || at.is_multiple_of(97)
}

#[test]
fn chunks_with_nothing_to_change_are_the_very_same_bytes() {
    let mut pass = pass(true);
    let chunk = Bytes::from_static(
        b": wait\n\ndata: {\"model\":\"public/model\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
    );
    let out = pass.push(chunk.clone(), &mut pricer());
    assert_eq!((out.as_ptr(), out.len()), (chunk.as_ptr(), chunk.len()));
}

#[test]
fn names_inside_content_are_left_alone() {
    let text = r#"{"model":"up"}"#;
    let quoted = serde_json::to_string(text).unwrap();
    let event = format!(
        r#"data: {{"choices":[{{"index":0,"delta":{{"content":{quoted},"model":"up"}}}}],"x":{{"model":"up","usage":{{}}}},"mod\u0065l":"up"}}"#
    );
    let passed = run([format!("{event}\n\n").as_bytes()], true);
    let expected = event.replace(r#""mod\u0065l":"up""#, r#""mod\u0065l":"public/model""#);
    assert_eq!(String::from_utf8(passed.out).unwrap(), format!("{expected}\n\n"));
}

#[test]
fn data_over_several_lines_is_edited_too() {
    let stream = "data: {\"choices\":[],\ndata: \"model\":\ndata:  \"up\",\"usage\":{\"prompt_tokens\":1,\ndata: \"completion_tokens\":2}}\n\n";
    let passed = run([stream.as_bytes()], true);
    let out = String::from_utf8(passed.out).unwrap();
    assert!(out.starts_with("data: {\"choices\":[],\ndata: \"model\":\ndata:  \"public/model\",\"usage\":{\"prompt_tokens\":1,\ndata: \"completion_tokens\":2,\"cost\":0.000412,"), "{out}");
    assert!(out.ends_with("}}\n\n"));
    assert_eq!(passed.pass.tap().usage().map(|usage| usage.completion), Some(2));
}

#[test]
fn running_usage_is_left_alone_until_it_is_final() {
    let piece = |finish: &str, count: u32| {
        format!(
            r#"data: {{"choices":[{{"index":0,"delta":{{"content":"x"}},"finish_reason":{finish}}}],"usage":{{"prompt_tokens":5,"completion_tokens":{count}}}}}"#
        )
    };
    let running = format!("{}\n\n", piece("null", 1));
    let passed = run([running.as_bytes()], false);
    assert_eq!(passed.out, running.as_bytes());
    assert_eq!(passed.pass.tap().usage_source(), UsageSource::ProviderPartial);
    assert_eq!(passed.end, StreamEnd::Truncated);
    let last = format!("{running}{}\n\n", piece("\"stop\"", 0));
    let passed = run([last.as_bytes()], false);
    assert_eq!(passed.pass.tap().usage_source(), UsageSource::ProviderFinal);
    assert_eq!(passed.pass.tap().usage().map(|usage| usage.completion), Some(0), "an explicit zero is a value");
    assert!(String::from_utf8(passed.out).unwrap().contains("\"completion_tokens\":0,\"cost\":"));
}

#[test]
fn errors_outside_of_events_and_odd_ends_are_judged() {
    let bare = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n{\"error\":{\"message\":\"broken\",\"code\":503}}";
    assert!(
        matches!(run([bare.as_bytes()], true).end, StreamEnd::InBandError(error) if error.message == "broken" && error.status == Some(503))
    );
    let reason = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"error\"}]}\n\n";
    assert!(matches!(run([reason.as_bytes()], true).end, StreamEnd::InBandError(_)));
    let text = "event: error\ndata: out of order\n\n";
    assert!(
        matches!(run([text.as_bytes()], true).end, StreamEnd::InBandError(error) if error.message == "out of order")
    );
    let null = "data: {\"error\":null,\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(run([null.as_bytes()], true).end, StreamEnd::Finished);
    assert_eq!(run([&b"data: [DONE]\n\n"[..]], true).end, StreamEnd::Empty);
    assert_eq!(run([&b""[..]], true).end, StreamEnd::Truncated);
    let two = "data: {\"choices\":[{\"index\":0,\"delta\":{}},{\"index\":1,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(run([two.as_bytes()], true).end, StreamEnd::Truncated, "the other choice has not ended");
    assert_eq!(run([format!("{two}data: [DONE]").as_bytes()], true).end, StreamEnd::Finished);
    let behind = run([format!("{two}data: [DONE]\n\ndata: more\n\n").as_bytes()], true);
    assert!(behind.out.ends_with(b"data: [DONE]\n\n"), "nothing passes behind the end mark");
}

#[test]
fn data_that_is_not_understood_passes_and_is_counted() {
    let stream = "data: hello\n\ndata: {\"half\":\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    let passed = run([stream.as_bytes()], true);
    assert_eq!(passed.out, stream.as_bytes());
    let tap = passed.pass.tap();
    assert_eq!((tap.unread(), tap.estimated_output_tokens(), tap.usage_source()), (2, 2, UsageSource::Estimated));
}

#[test]
fn t37_an_image_in_one_event_passes_to_every_client() {
    let image = "A".repeat(6 * 1024 * 1024);
    let part = serde_json::json!({"inlineData":{"mimeType":"image/png","data":image}});
    let answer = serde_json::json!({"candidates":[{"content":{"role":"model","parts":[part, {"text":"there"}]},"finishReason":"STOP","index":0}],
        "usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3}});
    let stream = format!("data: {answer}\n\n");
    for client in crate::pairs::dialects() {
        let pair = (client, crate::edits::dialect("gemini"));
        let streamed = crate::pairs::stream(pair, stream.as_bytes(), 16_384, &crate::pairs::edits_for(b""));
        assert_eq!(streamed.end, StreamEnd::Finished, "{}", client.id);
        let has_image = streamed.out.len() > image.len();
        assert_eq!(has_image, client.id != "anthropic", "{}", client.id);
    }
}

#[test]
fn an_event_too_large_to_hold_ends_the_stream_however_it_comes() {
    let first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
    let stream = format!("{first}data: {}", "x".repeat(17 * 1024 * 1024));
    for size in [10_000, 100_000, stream.len()] {
        let passed = run(stream.as_bytes().chunks(size), true);
        assert_eq!(passed.end, StreamEnd::Oversized);
        assert_eq!(passed.out, first.as_bytes());
        assert!(!passed.pass.is_open());
    }
}

#[test]
fn any_bytes_pass_without_a_panic() {
    let pieces: [&[u8]; 16] = [
        b"data: ",
        b"data:",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"[DONE]",
        b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ud800\"}}]}",
        b"{",
        b"}",
        b"\xff",
        b"event: error\n",
        b"\"usage\":{}",
        b"\xef\xbb\xbf",
        b": x\n",
        b"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}",
    ];
    for seed in 0..20_000 {
        let mut odd = Odd::new(seed);
        let stream: Vec<u8> = (0..odd.below(40)).flat_map(|_| odd.pick(&pieces).to_vec()).collect();
        let whole = run([&stream[..]], false);
        let cut = run(stream.chunks(1 + odd.below(20)), false);
        assert_eq!(whole.out, cut.out, "{:?}", String::from_utf8_lossy(&stream));
        assert_eq!((facts(&whole), whole.end), (facts(&cut), cut.end));
    }
}

#[test]
fn a_half_piece_teaches_nothing_about_the_next() {
    let head = r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","model":"up","choices":"#;
    let stream = format!(
        "data: {head}[{{\"index\":0,\n\ndata: {head}[{{\"index\":0,\"delta\":{{\"content\":\"x\"}},\"finish_reason\":\"stop\"}}]}}\n\n"
    );
    let passed = run([stream.as_bytes()], true);
    assert_eq!((passed.pass.tap().upstream_id(), passed.pass.tap().unread()), ("chatcmpl-0123456789", 1));
    assert_eq!(passed.end, StreamEnd::Finished);
}

#[test]
fn pieces_that_start_alike_are_read_as_if_they_did_not() {
    // Every second piece breaks the run of equal heads, so each is read both ways.
    let piece = |created: u32, at: u32| {
        format!(
            "data: {{\"id\":\"chatcmpl-0123456789\",\"created\":{created},\"model\":\"up\",\"model\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word {at}\"}}}}],\"model\":\"up\"}}\n\n"
        )
    };
    let alike: String = (0..20).map(|at| piece(1, at)).collect();
    let unlike: String = (0..20).map(|at| piece(at + 1, at)).collect();
    let (alike, unlike) = (run([alike.as_bytes()], true), run([unlike.as_bytes()], true));
    assert_eq!(facts(&alike), facts(&unlike));
    let out = |passed: &Passed| String::from_utf8(passed.out.clone()).unwrap();
    assert_eq!(out(&alike).matches("public/model").count(), 60);
    assert!(!out(&alike).contains("\"up\"") && !out(&unlike).contains("\"up\""));
}

#[test]
fn usage_that_stands_before_the_choices_is_read_in_every_piece() {
    let piece = r#"data: {"id":"chatcmpl-0123456789","model":"up","usage":{"prompt_tokens":3,"completion_tokens":1},"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
    let passed = run([format!("{piece}\n\n{piece}\n\n{piece}\n\n").as_bytes()], true);
    assert_eq!(String::from_utf8(passed.out).unwrap().matches(COST).count(), 3);
}
