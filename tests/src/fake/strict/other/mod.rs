//! Everything that is not a conversation: counting, embeddings, images, sound, moderation, ranking, old completions.
//! Each answers from its request alone, with the usage of its family.

mod audio;
mod form;
mod images;
mod numbers;
mod texts;

use serde_json::{Value, json};

use super::command::Commands;
use super::serve::{Body, Out, Told, failed, missing, refused};
use super::shape::{self, Kind, Manner};
use super::talk::Talk;
use super::{Ask, Checks, Family, Front, Operation, Truth, brain, command, front};

/// What an operation answers with.
struct Made {
    out: Out,
    told: Told,
}

impl Made {
    fn json(body: &Value, told: Told) -> Made {
        Made { out: Out::json(200, body), told }
    }

    fn stream(frames: Vec<Vec<u8>>, told: Told) -> Made {
        let body = Body::Stream(frames);
        let told = Told { is_stream: true, ..told };
        Made {
            out: Out { status: 200, content_type: "text/event-stream; charset=utf-8", body, ..Out::default() },
            told,
        }
    }

    /// In pieces whose number nobody knows before.
    fn chunked(content_type: &'static str, pieces: Vec<Vec<u8>>, told: Told) -> Made {
        Made { out: Out { status: 200, content_type, body: Body::Stream(pieces), ..Out::default() }, told }
    }

    fn bytes(content_type: &'static str, bytes: Vec<u8>, told: Told) -> Made {
        Made { out: Out { status: 200, content_type, body: Body::Whole(bytes), ..Out::default() }, told }
    }
}

const MANNER: Manner = Manner { nulls: true, protobuf: false };

/// Fields by these tables, of a JSON body.
fn check(ask: &Ask<'_>, kind: Kind, checks: &mut Checks) {
    let manner = if ask.family == Family::Gemini { super::gemini::MANNER } else { MANNER };
    shape::check(&ask.body, kind, manner, "", checks);
}

/// What the journal shows of a form.
pub fn form_shown(ask: &Ask<'_>) -> Value {
    form::fields(ask.header("content-type"), ask.raw()).map_or(Value::Null, |fields| form::shown(&fields))
}

/// Answers, or refuses.
pub fn answer(ask: &Ask<'_>, front: &dyn Front, checks: &mut Checks, sequence: u64) -> (Told, Out) {
    let Made { mut out, told } = match ask.operation {
        Operation::CountTokens => count(ask, checks),
        Operation::Embed => numbers::embed(ask, checks),
        Operation::Moderate => numbers::moderate(ask, checks, sequence),
        Operation::Rerank => numbers::rerank(ask, checks, sequence),
        Operation::Image => images::generate(ask, checks),
        Operation::EditImage => images::edit(ask, checks),
        Operation::Speak => audio::speak(ask, checks),
        Operation::Transcribe => audio::transcribe(ask, checks),
        Operation::Complete | Operation::Talk => texts::complete(ask, checks, sequence),
    };
    if let Some(refusal) = refused(front, checks).or_else(|| missing(&told.model, front)) {
        return (Told { model: told.model, tag: told.tag, is_stream: told.is_stream, ..Told::default() }, refusal);
    }
    let commands = Commands::of(&words(ask));
    if let Some(failure) = failed_as_told(&commands, front) {
        return (Told { model: told.model, tag: told.tag, is_stream: told.is_stream, ..Told::default() }, failure);
    }
    out.slow = commands.slow;
    out.split = commands.split;
    out.is_cut = commands.has("cut");
    out.gate = commands.gate;
    (told, out)
}

/// `!error` and `!html` work here as well.
fn failed_as_told(commands: &Commands, front: &dyn Front) -> Option<Out> {
    let mut answer = brain::decide(&Talk::default());
    answer.commands = commands.clone();
    failed(&answer, front)
}

/// Every text of a request, where commands may stand.
fn words(ask: &Ask<'_>) -> String {
    let shown = if ask.body.is_null() { form_shown(ask) } else { ask.body.clone() };
    let mut texts = Vec::new();
    gather(&shown, &mut texts);
    texts.join("\n")
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() < 10_000 => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        Value::Object(members) => members.values().for_each(|member| gather(member, texts)),
        _ => {}
    }
}

fn told(ask: &Ask<'_>, model: &str, truth: Truth) -> Told {
    Told { model: model.to_owned(), tag: command::tag([words(ask).as_str()].into_iter()), truth, ..Told::default() }
}

fn count(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    let talk = match ask.family {
        Family::Gemini => {
            check(ask, super::gemini::COUNT, checks);
            let inner = [&ask.body["generateContentRequest"], &ask.body["generate_content_request"]];
            let body = inner.into_iter().find(|inner| inner.is_object()).unwrap_or(&ask.body);
            // Counted, not judged: what is being counted need not be complete.
            super::gemini::read_body(ask, body, &mut Checks::default())
        }
        _ => front(ask.family).read(ask, checks),
    };
    let truth = Truth::of_input(&talk);
    let body = match ask.family {
        Family::Gemini => json!({
            "totalTokens": truth.input(), "promptTokensDetails": [{"modality": "TEXT", "tokenCount": truth.input()}],
        }),
        _ => json!({"input_tokens": truth.input()}),
    };
    // Counting is free.
    Made::json(&body, told(ask, &talk.model, Truth::default()))
}
