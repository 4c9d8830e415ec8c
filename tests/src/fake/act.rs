//! Plays a script on a connection.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::script::{Answer, Ending, Pace, Reply, Usage};
use super::truth::{End, Served};
use super::wire::{Wire, head};
use super::{fault, strict};
use crate::money::Tokens;

/// The gateway's own headers would be noise in a test that compares; a real one's are there to be filtered.
const RATE_HEADERS: [(&str, &str); 2] =
    [("x-ratelimit-limit-requests", "10000"), ("x-ratelimit-remaining-requests", "9999")];
const HUGE_LINE_BYTES: usize = 24 << 20;

/// Why a connection is over.
pub(super) enum Over {
    /// Closed as usual.
    Closed,
    /// To be reset.
    Reset,
}

pub(super) async fn connection(socket: tokio::net::TcpStream, shared: Arc<Shared>) {
    let mut wire = Wire::new(socket);
    while let Ok(Some(asked)) = wire.read().await {
        if asked.path.starts_with("/strict/") {
            match strict::serve(&mut wire, asked, &shared.journal).await {
                Ok(true) => continue,
                Ok(false) | Err(_) => return,
            }
        }
        if asked.method == "GET" {
            let body = br#"{"object":"list","data":[]}"#;
            let length = body.len().to_string();
            let head = head(200, &[("content-type", "application/json"), ("content-length", &length)]);
            if wire.write(&[&head[..], body].concat()).await.is_err() {
                return;
            }
            continue;
        }
        let wants_usage = asked.wants_usage();
        let served = shared.begin(asked);
        let reply = shared.reply(&served);
        let played = match reply {
            Reply::Fault(family, fault) => {
                let moves = fault.moves(family, &served);
                fault::play(&mut wire, &served, moves, &shared.gate(&served.model)).await
            }
            reply => play(&mut wire, &served, &reply, wants_usage).await,
        };
        match played {
            Ok(None) => {}
            Ok(Some(Over::Closed)) => return,
            Ok(Some(Over::Reset)) => return wire.reset(),
            Err(_) => return served.note(|produced| produced.end = End::Left),
        }
    }
}

async fn play(wire: &mut Wire, served: &Served, reply: &Reply, wants_usage: bool) -> io::Result<Option<Over>> {
    match reply {
        Reply::Answer(answer) if served.is_stream => stream(wire, served, answer, wants_usage).await,
        Reply::Answer(answer) => whole(wire, served, answer).await,
        Reply::Bytes { .. } => bytes(wire, served, reply).await,
        Reply::Silence => {
            wire.gone().await;
            served.note(|produced| produced.end = End::Left);
            Ok(Some(Over::Closed))
        }
        Reply::HangUp | Reply::Fault(..) => {
            served.note(|produced| produced.end = End::Broken);
            Ok(Some(Over::Closed))
        }
        Reply::Reset => {
            served.note(|produced| produced.end = End::Broken);
            Ok(Some(Over::Reset))
        }
    }
}

async fn bytes(wire: &mut Wire, served: &Served, reply: &Reply) -> io::Result<Option<Over>> {
    let Reply::Bytes { status, content_type, headers, body, piece } = reply else { return Ok(None) };
    let mut all = vec![("content-type", *content_type), ("transfer-encoding", "chunked")];
    all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    wire.write(&head(*status, &all)).await?;
    for piece in body.chunks((*piece).max(1)) {
        wire.write_chunk(piece).await?;
        served.note(|produced| produced.bytes += piece.len());
    }
    wire.write_chunk(b"").await?;
    served.note(|produced| produced.end = if *status == 200 { End::Finished } else { End::Refused(*status) });
    Ok(None)
}

async fn whole(wire: &mut Wire, served: &Served, answer: &Answer) -> io::Result<Option<Over>> {
    if !wait(wire, answer.first_byte).await {
        return left(served);
    }
    let mut body = json!({
        "id": served.id, "object": "chat.completion", "created": 1_763_700_000, "model": served.model,
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": text(answer).repeat(answer.chunks), "refusal": null},
            "logprobs": null, "finish_reason": "stop",
        }],
        "service_tier": "default", "system_fingerprint": null,
    });
    if answer.usage != Usage::Missing {
        body["usage"] = usage(answer.tokens);
        served.note(|produced| produced.usage = Some(answer.tokens));
    }
    let body = body.to_string();
    let length = body.len().to_string();
    let keep = if answer.keeps { "keep-alive" } else { "close" };
    let mut headers =
        vec![("content-type", "application/json"), ("content-length", length.as_str()), ("connection", keep)];
    headers.extend(RATE_HEADERS);
    let half = if answer.ending == Ending::Good { body.len() } else { body.len() / 2 };
    wire.write(&[&head(200, &headers)[..], &body.as_bytes()[..half]].concat()).await?;
    served.note(|produced| {
        produced.bytes = half;
        produced.chunks = answer.chunks;
    });
    // Half an answer that says its length can only end with its connection.
    let ending = if matches!(answer.ending, Ending::Good | Ending::Reset) { answer.ending } else { Ending::Torn };
    finish(served, ending, answer.keeps)
}

fn finish(served: &Served, ending: Ending, keeps: bool) -> io::Result<Option<Over>> {
    let (end, over) = match ending {
        Ending::Good | Ending::NoDone => (End::Finished, (!keeps).then_some(Over::Closed)),
        Ending::Short | Ending::Error => (End::Broken, None),
        Ending::Reset => (End::Broken, Some(Over::Reset)),
        Ending::Torn | Ending::Stall | Ending::HugeLine | Ending::Endless => (End::Broken, Some(Over::Closed)),
    };
    served.note(|produced| produced.end = end);
    Ok(over)
}

fn left(served: &Served) -> io::Result<Option<Over>> {
    served.note(|produced| produced.end = End::Left);
    Ok(Some(Over::Closed))
}

/// False when the gateway hung up meanwhile.
pub(super) async fn wait(wire: &mut Wire, time: std::time::Duration) -> bool {
    if time.is_zero() {
        return true;
    }
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = wire.gone() => false,
    }
}

async fn pace(wire: &mut Wire, pace: &Pace) -> bool {
    match pace {
        Pace::None => true,
        Pace::Every(interval) => wait(wire, *interval).await,
        Pace::Gate(gate) => {
            tokio::select! {
                () = gate.pass() => true,
                () = wire.gone() => false,
            }
        }
    }
}

async fn stream(wire: &mut Wire, served: &Served, answer: &Answer, wants_usage: bool) -> io::Result<Option<Over>> {
    if !wait(wire, answer.first_byte).await {
        return left(served);
    }
    let mut headers = vec![("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked")];
    headers.extend(RATE_HEADERS);
    wire.write(&head(200, &headers)).await?;
    send(wire, served, &piece(served, json!({"role": "assistant", "content": ""}), None)).await?;
    let mut sent = 0;
    let total = if answer.ending == Ending::Endless { usize::MAX } else { answer.chunks };
    while sent < total {
        if !pace(wire, &answer.pace).await {
            return left(served);
        }
        let mut event = piece(served, json!({"content": text(answer)}), None);
        if answer.usage == Usage::Running {
            event["usage"] = usage(Tokens { completion: u64::try_from(sent).unwrap() + 1, ..answer.tokens });
        }
        send(wire, served, &event).await?;
        sent += 1;
        served.note(|produced| produced.chunks = sent);
    }
    end(wire, served, answer, wants_usage).await
}

async fn end(wire: &mut Wire, served: &Served, answer: &Answer, wants_usage: bool) -> io::Result<Option<Over>> {
    match answer.ending {
        Ending::Good | Ending::NoDone => good_end(wire, served, answer, wants_usage).await?,
        Ending::Stall => {
            wire.gone().await;
            return left(served);
        }
        Ending::Error => {
            let error = json!({"error": {"message": "the fake broke in mid-stream", "type": "server_error", "code": "fake_midstream"}});
            send(wire, served, &error).await?;
            wire.write_chunk(b"").await?;
        }
        Ending::Short => wire.write_chunk(b"").await?,
        Ending::HugeLine => {
            let piece = vec![b'x'; 64 << 10];
            wire.write_chunk(b"data: {\"x\":\"").await?;
            for _ in 0..HUGE_LINE_BYTES / piece.len() {
                wire.write_chunk(&piece).await?;
            }
        }
        Ending::Reset | Ending::Torn | Ending::Endless => {}
    }
    finish(served, answer.ending, answer.keeps)
}

async fn good_end(wire: &mut Wire, served: &Served, answer: &Answer, wants_usage: bool) -> io::Result<()> {
    let mut last = piece(served, json!({}), Some("stop"));
    if matches!(answer.usage, Usage::Twice | Usage::WithFinish | Usage::Running) {
        last["usage"] = usage(answer.tokens);
        served.note(|produced| produced.usage = Some(answer.tokens));
    }
    send(wire, served, &last).await?;
    if (answer.usage == Usage::Last && wants_usage) || answer.usage == Usage::Twice {
        let mut alone = piece(served, Value::Null, None);
        alone["choices"] = json!([]);
        alone["usage"] = usage(answer.tokens);
        served.note(|produced| produced.usage = Some(answer.tokens));
        send(wire, served, &alone).await?;
    }
    if answer.ending == Ending::Good {
        wire.write_chunk(b"data: [DONE]\n\n").await?;
    }
    wire.write_chunk(b"").await
}

async fn send(wire: &mut Wire, served: &Served, event: &Value) -> io::Result<()> {
    let bytes = format!("data: {event}\n\n").into_bytes();
    wire.write_chunk(&bytes).await?;
    served.note(|produced| produced.bytes += bytes.len());
    Ok(())
}

fn piece(served: &Served, delta: Value, finish: Option<&str>) -> Value {
    json!({
        "id": served.id, "object": "chat.completion.chunk", "created": 1_763_700_000, "model": served.model,
        "system_fingerprint": "fp_fake",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
    })
}

fn text(answer: &Answer) -> &str {
    answer.text.as_deref().unwrap_or("toll")
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion, "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    })
}
