//! A whole answer of Google's, or the pieces of one in a list.

use std::borrow::Cow;

use super::{Said, answer, made_id, said, sources};
use crate::dialect::gemini::{finish, logprobs};
use crate::fault::UpstreamError;
use crate::json::{Value, Writer};
use crate::model::{Answer, Choice, Finish, Media, MediaKind, Part, PartBody, Signature, Source, Thought};

pub(in crate::dialect::gemini) fn decode<'a>(value: Value<'a>, seed: &str) -> Result<Answer<'a>, UpstreamError> {
    let mut found = Answer::default();
    for element in answer::elements(value) {
        if let Some(error) = answer::failure(element) {
            return Err(error);
        }
        read(element, seed, &mut found);
    }
    if found.choices.is_empty() {
        return Err(UpstreamError { message: "the provider gave no answer".to_owned(), ..UpstreamError::default() });
    }
    found.choices.sort_by_key(|choice| choice.index);
    Ok(found)
}

fn read<'a>(element: Value<'a>, seed: &str, found: &mut Answer<'a>) {
    if found.id.is_empty() {
        found.id = element.str("responseId").unwrap_or_default();
    }
    if let Some(tier) = element.get("usageMetadata").and_then(|usage| usage.str("serviceTier")) {
        found.service_tier = Some(tier);
    }
    let id = found.id.clone();
    let id = if id.is_empty() { seed } else { &*id };
    for (index, candidate) in answer::candidates(element) {
        if let Some(choice) = choice(&mut found.choices, index) {
            read_candidate(candidate, choice, id);
        }
    }
    if let Some(reason) = answer::block(element).filter(|_| found.choices.is_empty()) {
        found.choices.push(Choice { finish: Some(Finish::Filter), native: reason, ..Choice::default() });
    }
    found.usage = answer::tokens(element).or(found.usage);
}

fn choice<'c, 'a>(choices: &'c mut Vec<Choice<'a>>, index: u32) -> Option<&'c mut Choice<'a>> {
    let at = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
        choices.push(Choice { index, ..Choice::default() });
        choices.len() - 1
    });
    choices.get_mut(at)
}

fn read_candidate<'a>(candidate: Value<'a>, choice: &mut Choice<'a>, id: &str) {
    // A piece of a list goes on with what the piece before it began.
    let mut is_first = true;
    for part in answer::parts(candidate) {
        if let Some(part) = read_part(part, id, choice.parts.len()) {
            let part = match choice.parts.last_mut().filter(|_| is_first) {
                Some(last) => joined(last, part),
                None => Some(part),
            };
            choice.parts.extend(part);
            is_first = false;
        }
    }
    annotate(candidate, choice);
    if let Some(result) = candidate.get("logprobsResult") {
        choice.logprobs = Some(Cow::Owned(logprobs::read(result)));
    }
    if let Some(reason) = answer::reason(candidate) {
        let has_calls = choice.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
        choice.finish = Some(finish::read(&reason, has_calls));
        choice.native = reason;
    }
}

fn read_part<'a>(value: Value<'a>, id: &str, number: usize) -> Option<Part<'a>> {
    let (what, signature) = said(value);
    let body = match what {
        Said::Nothing => return None,
        Said::Text(text) => PartBody::Text { text, annotations: None },
        Said::Thought(text) => PartBody::Thought(Thought { text, is_summary: true, ..Thought::default() }),
        Said::Seal => PartBody::Thought(Thought { is_redacted: true, ..Thought::default() }),
        Said::Call(call) => PartBody::ToolCall {
            id: call_id(call, id, u32::try_from(number).unwrap_or(u32::MAX)),
            name: call.str("name").unwrap_or_default(),
            arguments: Cow::Borrowed(call.get("args").map_or("{}", |args| args.raw())),
        },
        Said::Media(found) => PartBody::Media(media(found)),
        Said::Other => PartBody::Other { raw: value.raw().into() },
    };
    Some(Part { body, cache: None, signature: signature.map(Signature::Own) })
}

pub(super) fn call_id<'a>(call: Value<'a>, response_id: &str, number: u32) -> Cow<'a, str> {
    match call.str("id").filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => Cow::Owned(made_id(response_id, call, number)),
    }
}

pub(super) fn media<'a>(found: Value<'a>) -> Media<'a> {
    let mime = found.str("mimeType");
    let kind = mime.as_deref().map_or(MediaKind::File, MediaKind::of_mime);
    let source = match found.str("data") {
        Some(data) => Source::Inline(data),
        None => Source::Url(found.str("fileUri").unwrap_or_default()),
    };
    Media { kind, mime, source, name: None, detail: None, at: String::new() }
}

/// Two pieces as one where they are of one text or thought; else the second is a part of its own.
fn joined<'a>(last: &mut Part<'a>, part: Part<'a>) -> Option<Part<'a>> {
    if last.signature.is_some() {
        return Some(part);
    }
    match (&mut last.body, &part.body) {
        (PartBody::Text { text, .. }, PartBody::Text { text: more, .. }) => text.to_mut().push_str(more),
        (PartBody::Thought(thought), PartBody::Thought(more)) if !more.is_redacted => {
            thought.text.to_mut().push_str(&more.text)
        }
        _ => return Some(part),
    }
    last.signature = part.signature;
    None
}

/// Keeps where the text comes from with the last text; without one it is a part of its own.
fn annotate<'a>(candidate: Value<'a>, choice: &mut Choice<'a>) {
    let mut out = Writer::into(Vec::new());
    out.begin_array();
    let mut is_any = false;
    for (name, value) in sources(candidate) {
        is_any = true;
        out.begin_object();
        out.field_raw(name, value.raw());
        out.end_object();
    }
    out.end_array();
    if !is_any {
        return;
    }
    let list = Cow::Owned(String::from_utf8(out.into_buffer()).unwrap_or_default());
    let texts = choice.parts.iter_mut().rev().filter_map(|part| match &mut part.body {
        PartBody::Text { annotations, .. } => Some(annotations),
        _ => None,
    });
    match texts.into_iter().next() {
        Some(annotations) => *annotations = Some(list),
        None => choice.parts.push(Part::new(PartBody::Other { raw: list })),
    }
}
