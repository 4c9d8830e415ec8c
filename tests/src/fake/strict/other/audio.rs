//! Sound: text to bytes, bytes to text.

use serde_json::json;

use super::super::brain::pieces;
use super::super::command::Commands;
use super::super::json::text;
use super::super::serve::event;
use super::super::shape::Kind::{Any, Number, Object, Text, Word};
use super::super::shape::{Kind, may, must};
use super::super::truth::{Truth, tokens};
use super::super::{Ask, Checks, base64};
use super::{Made, check, form, told};

const SPEAK: Kind = Object(&[
    must("model", Text),
    must("input", Text),
    must("voice", Any),
    may("instructions", Text),
    may("response_format", Word(&["mp3", "opus", "aac", "flac", "wav", "pcm"])),
    may("speed", Number),
    may("stream_format", Word(&["sse", "audio"])),
]);

/// Bytes of sound that are sent at once: thirty letters.
const PIECE: usize = 90;
/// How many times as much of a loud one.
const LOUD_PIECE: usize = 700;

pub fn speak(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    check(ask, SPEAK, checks);
    let body = &ask.body;
    let input = body["input"].as_str().unwrap_or_default();
    let letters = input.chars().count();
    checks.need(
        (1..=4_096).contains(&letters),
        "range",
        "input",
        "Invalid 'input': string too long. Expected a string with maximum length 4096.",
    );
    let loud = Commands::of(input).loud.unwrap_or(1).max(1);
    let sound: Vec<u8> = [0xff, 0xfb, 0x90].repeat(input.len() * loud);
    let pieces = sound.chunks(PIECE * loud.min(LOUD_PIECE));
    let is_stream = body["stream_format"] == "sse";
    let mut truth = Truth { characters: letters as u64, ..Truth::default() };
    if is_stream {
        // Only here is there a place to tell it.
        truth = Truth { prompt: tokens(input.len()), audio_output: input.len() as u64, ..truth };
    }
    let told = told(ask, body["model"].as_str().unwrap_or_default(), truth);
    if is_stream {
        let mut frames: Vec<Vec<u8>> = pieces
            .map(|piece| event(None, &text(&json!({"type": "speech.audio.delta", "audio": base64::encode(piece)}))))
            .collect();
        let usage = json!({
            "input_tokens": truth.prompt, "output_tokens": truth.audio_output, "total_tokens": truth.prompt + truth.audio_output,
        });
        frames.push(event(None, &text(&json!({"type": "speech.audio.done", "usage": usage}))));
        return Made::stream(frames, told);
    }
    let kind = match body["response_format"].as_str() {
        Some("opus") => "audio/opus",
        Some("aac") => "audio/aac",
        Some("flac") => "audio/flac",
        // What has its length in front is whole before it is sent.
        Some("wav") => return Made::bytes("audio/wav", sound, told),
        Some("pcm") => "audio/pcm",
        _ => "audio/mpeg",
    };
    Made::chunked(kind, pieces.map(<[u8]>::to_vec).collect(), told)
}

const FIELDS: [&str; 13] = [
    "file",
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "stream",
    "include[]",
    "include",
    "timestamp_granularities[]",
    "chunking_strategy",
    "known_speaker_names[]",
    "known_speaker_references[]",
];
/// Bytes of sound for one token.
const BYTES: u64 = 10;

pub fn transcribe(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    let fields = form::fields(ask.header("content-type"), ask.raw());
    checks.need(fields.is_some(), "form", "", "The form cannot be read.");
    let fields = fields.unwrap_or_default();
    for field in &fields {
        let is_known = FIELDS.contains(&field.name.as_str());
        checks.need(is_known, "unknown_field", &field.name, &format!("Unknown parameter: '{}'.", field.name));
    }
    let file = fields.iter().find(|field| field.name == "file");
    let is_file = file.is_some_and(|file| file.filename.is_some() && !file.data.is_empty());
    checks.need(is_file, "missing_field", "file", "Missing required parameter: 'file'.");
    let get = |name: &str| fields.iter().find(|field| field.name == name).map(form::Field::text).unwrap_or_default();
    let model = get("model");
    checks.need(!model.is_empty(), "missing_field", "model", "you must provide a model parameter");
    let bytes = file.map_or(0, |file| file.data.len() as u64);
    let said = format!("transcript of {bytes} bytes");
    let prompt = tokens(get("prompt").len());
    let truth =
        Truth { prompt, audio_input: bytes.div_ceil(BYTES), completion: tokens(said.len()), ..Truth::default() };
    let usage = json!({
        "type": "tokens", "input_tokens": truth.input(), "output_tokens": truth.completion, "total_tokens": truth.input() + truth.completion,
        "input_token_details": {"text_tokens": truth.prompt, "audio_tokens": truth.audio_input},
    });
    let told = told(ask, &model, truth);
    if get("stream") == "true" {
        let mut frames: Vec<Vec<u8>> = pieces(&said)
            .into_iter()
            .map(|piece| event(None, &text(&json!({"type": "transcript.text.delta", "delta": piece}))))
            .collect();
        frames.push(event(None, &text(&json!({"type": "transcript.text.done", "text": said, "usage": usage}))));
        return Made::stream(frames, told);
    }
    match get("response_format").as_str() {
        "text" => Made::bytes("text/plain; charset=utf-8", format!("{said}\n").into_bytes(), told),
        "srt" => Made::bytes(
            "text/plain; charset=utf-8",
            format!("1\n00:00:00,000 --> 00:00:01,000\n{said}\n\n").into_bytes(),
            told,
        ),
        "vtt" => Made::bytes(
            "text/plain; charset=utf-8",
            format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{said}\n\n").into_bytes(),
            told,
        ),
        "verbose_json" => Made::json(
            &json!({
                "task": "transcribe", "language": "english", "duration": 1.0, "text": said, "usage": usage,
                "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": said}],
            }),
            told,
        ),
        "" | "json" => Made::json(&json!({"text": said, "usage": usage}), told),
        other => {
            checks.no("value", "response_format", &format!("Invalid value: '{other}'."));
            Made::json(&json!({}), told)
        }
    }
}
