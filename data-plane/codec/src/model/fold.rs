//! For tests: folds a streamed answer into a whole one, and checks on the way that its events are well formed. What comes
//! out is compared with whole answers and with what a client put together from the same stream.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::money::Money;
use domain::usage::TokenUsage;

use super::{Answer, Choice, Event, Media, Part, PartBody, Piece, Signature, Source, Start, Thought};
use crate::cross::CrossPass;
use crate::dialect::{Egress, EncodeEvents, Pass};
use crate::drive::StreamEnd;
use crate::names::Names;
use crate::receipt::Receipt;
use crate::tap::Tap;

/// What a stream came to.
#[derive(Debug)]
pub(crate) struct Folded {
    pub answer: Answer<'static>,
    pub end: StreamEnd,
    pub tap: Tap,
    /// How many events there were, usage included.
    pub events: usize,
}

/// A stream of a provider, given in pieces of `size` bytes, folded. Stops at the first event out of order.
pub(crate) fn fold(egress: &dyn Egress, stream: &[u8], size: usize) -> Folded {
    let state = Arc::new(Mutex::new(State::default()));
    let pass = CrossPass::new(egress.stream(), Box::new(Fold(state.clone())), Names::default());
    let mut pass = pass.aws_framed(egress.is_aws_framed());
    let mut pricer = |_: &TokenUsage| Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None };
    for chunk in stream.chunks(size.max(1)) {
        if !pass.is_open() {
            break;
        }
        pass.push(Bytes::copy_from_slice(chunk), &mut pricer);
    }
    let (_, end) = pass.end(&mut pricer);
    let state = std::mem::take(&mut *state.lock().unwrap());
    assert_eq!(state.is_finished, end == StreamEnd::Finished);
    let mut answer = state.answer;
    answer.usage = state.usage;
    answer.choices.sort_by_key(|choice| choice.index);
    Folded { answer, end, tap: pass.tap().clone(), events: state.events }
}

#[derive(Debug)]
struct Fold(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    answer: Answer<'static>,
    usage: Option<TokenUsage>,
    has_begun: bool,
    is_finished: bool,
    /// Choice and part of everything that is open.
    open: Vec<(u32, u32)>,
    events: usize,
}

impl EncodeEvents for Fold {
    fn event(&mut self, event: &Event<'_>, _: &mut Vec<u8>) {
        self.0.lock().unwrap().event(event);
    }

    fn usage(&mut self, usage: &TokenUsage, _: &Receipt) {
        let mut state = self.0.lock().unwrap();
        state.events += 1;
        state.usage = Some(*usage);
    }

    fn finish(&mut self, _: &mut Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        assert!(state.open.is_empty(), "a good end with open parts: {:?}", state.open);
        assert!(!state.is_finished, "finished twice");
        state.is_finished = true;
    }
}

impl State {
    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        assert!(!self.is_finished, "an event behind the end");
        match event {
            Event::Begin { id, created } => {
                assert!(!std::mem::replace(&mut self.has_begun, true), "begun twice");
                self.answer.id = own(id);
                self.answer.created = *created;
            }
            Event::Start { choice, part, start } => {
                let parts = &mut self.choice(*choice).parts;
                assert_eq!(parts.len(), *part as usize, "parts are numbered from 0 in each choice");
                parts.push(started(start));
                self.open.push((*choice, *part));
            }
            Event::Piece { choice, part, piece } => {
                assert!(self.open.contains(&(*choice, *part)), "a piece of a part that is not open");
                let choice = self.choice(*choice);
                match piece {
                    Piece::Logprobs(raw) => choice.logprobs = Some(merged(choice.logprobs.take(), raw)),
                    piece => add(&mut choice.parts[*part as usize], piece),
                }
            }
            Event::End { choice, part } => {
                let at = self.open.iter().position(|open| open == &(*choice, *part));
                self.open.remove(at.expect("only what is open ends"));
            }
            Event::Finish { choice, finish, native, stopped_at } => {
                assert!(!self.open.iter().any(|(open, _)| open == choice), "a finish with open parts");
                let choice = self.choice(*choice);
                choice.finish = Some(*finish);
                choice.native = own(native);
                choice.stopped_at = stopped_at.as_deref().map(own);
            }
            Event::Usage { .. } => panic!("usage goes to `usage`"),
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice<'static> {
        assert!(self.has_begun, "`Begin` comes first");
        let choices = &mut self.answer.choices;
        let at = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            choices.push(Choice { index, ..Choice::default() });
            choices.len() - 1
        });
        assert!(choices[at].finish.is_none(), "an event of a choice behind its finish");
        &mut choices[at]
    }
}

fn own(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn own_signature(signature: &Signature<'_>) -> Signature<'static> {
    match signature {
        Signature::Own(value) => Signature::Own(own(value)),
        Signature::Foreign(value) => Signature::Foreign(own(value)),
    }
}

fn started(start: &Start<'_>) -> Part<'static> {
    let mut signature = None;
    let body = match start {
        Start::Text => PartBody::Text { text: "".into(), annotations: None },
        Start::Refusal => PartBody::Refusal("".into()),
        Start::Thought { id, is_summary, is_redacted } => PartBody::Thought(Thought {
            text: "".into(),
            is_summary: *is_summary,
            is_redacted: *is_redacted,
            id: id.as_deref().map(own),
        }),
        Start::ToolCall { id, name, signature: sealed } => {
            signature = sealed.as_ref().map(own_signature);
            PartBody::ToolCall { id: own(id), name: own(name), arguments: "".into() }
        }
        Start::Media(media) => PartBody::Media(own_media(media)),
        Start::Other { raw } => PartBody::Other { raw: own(raw) },
    };
    Part { body, cache: None, signature }
}

fn own_media(media: &Media<'_>) -> Media<'static> {
    Media {
        kind: media.kind,
        mime: media.mime.as_deref().map(own),
        source: match &media.source {
            Source::Inline(data) => Source::Inline(own(data)),
            Source::Url(url) => Source::Url(own(url)),
            Source::FileId(id) => Source::FileId(own(id)),
            Source::Text(text) => Source::Text(own(text)),
        },
        name: media.name.as_deref().map(own),
        detail: media.detail.as_deref().map(own),
        at: media.at.clone(),
    }
}

fn add(part: &mut Part<'static>, piece: &Piece<'_>) {
    match (&mut part.body, piece) {
        (PartBody::Text { text, .. }, Piece::Text(more))
        | (PartBody::Refusal(text), Piece::Text(more))
        | (PartBody::ToolCall { arguments: text, .. }, Piece::Arguments(more)) => text.to_mut().push_str(more),
        (PartBody::Thought(thought), Piece::Text(more)) => thought.text.to_mut().push_str(more),
        (PartBody::Text { annotations, .. }, Piece::Annotation(raw)) => {
            let before = annotations.take().unwrap_or("[]".into());
            let before = before.trim_end_matches(']');
            let comma = if before.ends_with('[') { "" } else { "," };
            *annotations = Some(format!("{before}{comma}{raw}]").into());
        }
        (_, Piece::Signature(signature)) => part.signature = Some(own_signature(signature)),
        (body, piece) => panic!("{piece:?} is no piece of {body:?}"),
    }
}

/// Log probabilities of two pieces as one object: lists go behind each other.
fn merged(before: Option<Cow<'static, str>>, more: &str) -> Cow<'static, str> {
    let Some(before) = before else { return more.to_owned().into() };
    let mut whole: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&before).unwrap();
    for (name, value) in serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(more).unwrap() {
        match (whole.get_mut(&name), value) {
            (Some(serde_json::Value::Array(list)), serde_json::Value::Array(more)) => list.extend(more),
            (Some(_), serde_json::Value::Null) => {}
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
    serde_json::Value::Object(whole).to_string().into()
}
