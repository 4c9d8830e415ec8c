//! A stream holds one frame at a time, however long the answer. Three exceptions have a test each with their bounds: what an
//! API repeats at its end, what it has in one piece only, and what is checked when it is whole.

use std::cell::Cell;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use codec::{AnswerEdits, Bridge, Dialect, Expectation, StreamEnd, StreamPass};

use crate::scripts::{self, Script};
use crate::{clients, edits, providers};

/// Frames of a short and of a long answer.
const FEW: usize = 2_000;
const MANY: usize = 20_000;
/// What a stream of small frames may hold, in bytes: a frame, what is made of it, and names.
const SMALL: u64 = 4 * 1024;
/// How much more that may be for a long answer than for a short one: numbers have more digits.
const GROWTH: u64 = 256;
/// A piece of a large frame, and how many are in it.
const LARGE: &str = "abcd ";
const LARGE_TIMES: usize = 13_000;
const RESPONSES: &str = "openai-responses";
/// Most of an answer that is held to be repeated, and to be checked, in bytes.
const REPEATED: u64 = 8 * 1024 * 1024;
const CHECKED: u64 = 4 * 1024 * 1024;

/// What a stream took: while it was said, and at its end.
struct Took {
    saying: AllocationInfo,
    ending: AllocationInfo,
    /// The largest frame at its end.
    largest: u64,
    /// Bytes of what was said, as it stands in JSON.
    said: u64,
}

fn run(
    client: &'static Dialect,
    provider: &'static Dialect,
    script: &Script,
    frames: usize,
    edits: &AnswerEdits,
) -> Took {
    let mut pass = Bridge::between(client, provider).unwrap().stream(edits);
    let given = Cell::new(0);
    let push = |pass: &mut StreamPass, frame: &Bytes| {
        assert!(pass.is_open());
        // As it comes from a socket: bytes of its own, let go at once.
        let out = pass.push(Bytes::copy_from_slice(frame), &mut edits::pricer());
        given.set(given.get() + out.len());
    };
    script.begin.iter().for_each(|frame| push(&mut pass, frame));
    let saying = measure(|| (0..frames).for_each(|_| push(&mut pass, &script.more)));
    let said = script.piece.repeat(frames);
    let end = (script.end)(&said);
    let mut ended = None;
    let ending = measure(|| {
        end.iter().for_each(|frame| push(&mut pass, frame));
        let (rest, end) = pass.end(&mut edits::pricer());
        given.set(given.get() + rest.len());
        ended = Some(end);
    });
    assert_eq!(ended, Some(StreamEnd::Finished), "{} to {}", provider.id, client.id);
    assert!(given.get() >= said.len(), "{} to {}: the client got {} bytes", provider.id, client.id, given.get());
    let largest = end.iter().map(Bytes::len).max().unwrap_or(0) as u64;
    Took { saying, ending, largest, said: said.len() as u64 }
}

/// The same for a short and a long answer.
fn both(client: &'static Dialect, provider: &'static Dialect, script: &Script, edits: &AnswerEdits) -> [Took; 2] {
    [FEW, MANY].map(|frames| run(client, provider, script, frames, edits))
}

/// Checks that nothing of an answer is held but the frame that passes, at its end neither.
fn check_one_frame(client: &'static Dialect, provider: &'static Dialect, script: &Script) {
    let took = both(client, provider, script, &wanted());
    for took in &took {
        let (saying, ending) = (took.saying.bytes_max, took.ending.bytes_max);
        assert!(saying <= SMALL, "{} to {}: {saying} bytes", provider.id, client.id);
        // A provider may repeat the whole answer in its last frames: that is one frame, too.
        let most = 2 * took.largest + SMALL;
        assert!(ending <= most, "{} to {}: {ending} bytes at the end", provider.id, client.id);
    }
    let [few, many] = took.map(|took| took.saying.bytes_max);
    assert!(many <= few + GROWTH, "{} to {}: {few} bytes, and {many} for more", provider.id, client.id);
}

/// Checks that a text is held once at most, in room that doubles as it grows, and what its repetition at the end takes.
fn check_held_once(client: &'static Dialect, provider: &'static Dialect, script: &Script, at_end: u64) {
    for took in both(client, provider, script, &wanted()) {
        let (live, peak) = (u64::try_from(took.saying.bytes_current).unwrap_or(0), took.saying.bytes_max);
        assert!(live <= 2 * took.said + SMALL, "{} to {}: {live} bytes of {}", provider.id, client.id, took.said);
        assert!(peak <= 3 * took.said + SMALL, "{} to {}: {peak} bytes of {}", provider.id, client.id, took.said);
        let ending = took.ending.bytes_max;
        let most = at_end * took.said + SMALL;
        assert!(ending <= most, "{} to {}: {ending} bytes of {} at the end", provider.id, client.id, took.said);
    }
}

#[test]
fn a_stream_holds_one_frame_however_long_its_text() {
    for client in clients() {
        for provider in providers().filter(|provider| client.id != RESPONSES || client == *provider) {
            check_one_frame(client, provider, &scripts::text(provider.id));
        }
    }
}

#[test]
fn a_stream_holds_one_frame_however_long_its_thoughts_or_its_calls() {
    for client in ["openai-chat", "anthropic"].map(edits::dialect) {
        check_one_frame(client, edits::dialect("anthropic"), &scripts::thoughts());
        check_one_frame(client, edits::dialect("openai-chat"), &scripts::call());
    }
}

#[test]
fn a_large_frame_is_held_a_few_times_while_it_passes() {
    let script = scripts::chat_text(&LARGE.repeat(LARGE_TIMES));
    for client in clients().filter(|client| client.id != RESPONSES) {
        let took = run(client, edits::dialect("openai-chat"), &script, 100, &wanted());
        let most = 5 * script.more.len() as u64;
        assert!(took.saying.bytes_max <= most, "{}: {} bytes", client.id, took.saying.bytes_max);
    }
}

/// The first exception: the API repeats an answer's text in the last events of its part, its item and the response, so
/// whoever writes that API for another provider holds the text, once. The last events themselves are four times the text.
#[test]
fn clients_of_responses_have_the_text_held_once_for_its_repetition() {
    let client = edits::dialect(RESPONSES);
    for provider in providers().filter(|provider| client != *provider) {
        check_held_once(client, provider, &scripts::text(provider.id), 9);
    }
    check_held_once(client, edits::dialect("anthropic"), &scripts::thoughts(), 9);
    check_held_once(client, edits::dialect("openai-chat"), &scripts::call(), 9);
}

#[test]
fn what_is_held_for_repetition_ends_at_a_bound() {
    let (client, provider) = (edits::dialect(RESPONSES), edits::dialect("openai-chat"));
    let script = scripts::chat_text(&LARGE.repeat(LARGE_TIMES));
    for frames in [200, 400] {
        let took = run(client, provider, &script, frames, &wanted());
        let live = u64::try_from(took.saying.bytes_current).unwrap();
        assert!(took.said > REPEATED && live <= 2 * REPEATED + SMALL, "{frames}: {live} bytes");
        assert!(took.ending.bytes_max <= 9 * REPEATED + SMALL, "{frames}: {} bytes", took.ending.bytes_max);
    }
}

/// The second exception: Gemini's API has a call's arguments as one object, never in pieces.
#[test]
fn clients_of_gemini_have_a_calls_arguments_held_until_they_are_whole() {
    let (client, provider) = (edits::dialect("gemini"), edits::dialect("openai-chat"));
    check_held_once(client, provider, &scripts::call(), 4);
    let piece = LARGE.repeat(LARGE_TIMES);
    let call = scripts::call_of(&piece);
    let mut pass = Bridge::between(client, provider).unwrap().stream(&wanted());
    let mut push = |frame: &Bytes| drop(pass.push(frame.clone(), &mut edits::pricer()));
    call.begin.iter().for_each(&mut push);
    for frames in [200, 200] {
        let counted = measure(|| (0..frames).for_each(|_| push(&call.more)));
        assert!(counted.bytes_current <= i64::try_from(2 * REPEATED).unwrap(), "{counted:?}");
    }
}

/// The third exception: whether an answer is of its schema is known when it is whole, where bytes pass as well.
#[test]
fn an_answer_with_a_schema_is_held_once_up_to_a_bound() {
    let chat = edits::dialect("openai-chat");
    for client in clients().filter(|client| client.id != RESPONSES) {
        for frames in [FEW, MANY] {
            let took = run(client, chat, &scripts::object(), frames, &watched());
            let live = u64::try_from(took.saying.bytes_current).unwrap();
            assert!(live <= 2 * took.said + SMALL, "{}: {live} bytes of {}", client.id, took.said);
            assert!(took.ending.bytes_max <= SMALL, "{}: {} bytes at the end", client.id, took.ending.bytes_max);
        }
    }
    let piece = LARGE.repeat(LARGE_TIMES);
    let script = Script { more: scripts::chat_text(&piece).more, piece, ..scripts::object() };
    for frames in [100, 200] {
        let took = run(chat, chat, &script, frames, &watched());
        let live = u64::try_from(took.saying.bytes_current).unwrap();
        let most = 2 * CHECKED + 2 * script.piece.len() as u64;
        assert!(took.said > CHECKED && live <= most, "{frames}: {live} bytes");
    }
}

fn wanted() -> AnswerEdits {
    edits::answer("lab/long", true)
}

/// What is wanted of an answer for which a schema was asked.
fn watched() -> AnswerEdits {
    let body = br#"{"model":"lab/long","messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}}"#;
    let client = edits::dialect("openai-chat");
    let scan = client.scan(body).unwrap();
    AnswerEdits { expected: Expectation::of(client, body, &scan), ..wanted() }
}
