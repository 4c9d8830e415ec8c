//! Streamed answers of providers. Items are told apart by their place in the output, since some providers give several the
//! same id. What was not streamed piece by piece is taken from the event that says that it is done. Holds nothing of what
//! was said.

use std::borrow::Cow;

use super::answer;
use crate::cross::Sink;
use crate::dialect::openai_responses::{item, same, seal, usage};
use crate::dialect::{self, DecodeEvents};
use crate::fault::UpstreamError;
use crate::json::{Half, Value};
use crate::model::{Event, Part, PartBody, Piece, Start};

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    has_begun: bool,
    is_done: bool,
    /// The number of the next part.
    next: u32,
    open: Vec<Open>,
    /// One bit for each item that has become a part; those behind the last share it.
    seen: u128,
    has_call: bool,
    has_refusal: bool,
}

/// A part that is open.
#[derive(Debug)]
struct Open {
    kind: Kind,
    /// The item's place in the output.
    item: u64,
    /// The part's place in its message, or the place within a thought that was spoken of last.
    inner: u64,
    part: u32,
    /// Bytes of text or arguments since the last change of place.
    bytes: usize,
    /// Whether anything was said before.
    has_said: bool,
    annotations: usize,
    half: Half,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Summary,
    Thought,
    Call,
}

impl Kind {
    fn is_thought(self) -> bool {
        matches!(self, Kind::Summary | Kind::Thought)
    }
}

/// Whether two kinds are the same part: a thought is one, whatever of it is shown.
fn is_same(one: Kind, other: Kind) -> bool {
    one == other || (one.is_thought() && other.is_thought())
}

/// Where in an answer an event belongs.
#[derive(Clone, Copy)]
struct Place {
    item: u64,
    inner: u64,
}

impl Place {
    fn of(event: Value<'_>, inner: &str) -> Place {
        Place { item: event.count("output_index").unwrap_or(0), inner: event.count(inner).unwrap_or(0) }
    }
}

impl DecodeEvents for Events {
    fn frame(&mut self, name: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        if self.is_done {
            return Ok(());
        }
        let kind = data.str("type").unwrap_or(Cow::Borrowed(name));
        if kind == "error" || name == "error" || (data.get("type").is_none() && same::failure(data).is_some()) {
            return Err(same::event_error(data));
        }
        match kind.strip_prefix("response.") {
            Some(event) => self.event(event, data, sink),
            None => {
                // Some send a sign of life of their own.
                if kind != "keepalive" && kind != "ping" {
                    sink.unknown();
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, _: &mut Sink<'_>) {}
}

impl Events {
    fn event(&mut self, event: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let response = data.get("response").filter(Value::is_object);
        self.begin(response, sink);
        match event {
            "created" | "in_progress" | "queued" => {}
            "output_item.added" => self.item_added(data, sink),
            "output_item.done" => self.item_done(data, sink),
            "content_part.added" => self.part_added(data, sink),
            "content_part.done" => self.part_done(data, sink),
            "output_text.delta" => self.text_delta(data, sink),
            "output_text.annotation.added" => self.annotation(data, sink),
            "output_text.done" => self.whole(Kind::Text, data, "text", sink),
            "refusal.delta" => self.delta(Kind::Refusal, Place::of(data, "content_index"), data, sink),
            "refusal.done" => self.whole(Kind::Refusal, data, "refusal", sink),
            "reasoning_summary_text.delta" => self.delta(Kind::Summary, Place::of(data, "summary_index"), data, sink),
            "reasoning_summary_text.done" => self.whole(Kind::Summary, data, "text", sink),
            "reasoning_text.delta" | "reasoning.delta" => {
                self.delta(Kind::Thought, Place::of(data, "content_index"), data, sink);
            }
            "reasoning_text.done" | "reasoning.done" => self.whole(Kind::Thought, data, "text", sink),
            "function_call_arguments.delta" => self.arguments(data, sink),
            "completed" | "incomplete" => self.ended(event, response.unwrap_or(data), sink),
            "failed" => {
                let response = response.unwrap_or(data);
                if let Some(usage) = usage::tokens(response) {
                    sink.put(Event::Usage { usage, is_final: true });
                }
                return Err(same::response_error(response));
            }
            // What they say is said again by the item, once it is done.
            other if is_known(other) => {}
            _ => sink.unknown(),
        }
        dialect::check_parts(self.open.len())
    }

    fn begin(&mut self, response: Option<Value<'_>>, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let id = response.and_then(|response| response.str("id")).unwrap_or_default();
        let created = response.and_then(|response| response.count("created_at")).unwrap_or(0);
        sink.put(Event::Begin { id, created });
    }

    fn find(&mut self, kind: Kind, place: Place) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| {
            let is_there = open.inner == place.inner || open.kind.is_thought() || open.kind == Kind::Call;
            open.item == place.item && is_same(open.kind, kind) && is_there
        })
    }

    /// The next part begins. Whatever was open ends first, but calls, which some providers interleave.
    fn start(&mut self, kind: Kind, place: Place, start: Start<'_>, sink: &mut Sink<'_>) {
        let keeps = |open: &Open| kind == Kind::Call && open.kind == Kind::Call;
        self.end_where(|open| !keeps(open), sink);
        let part = self.next_part(place.item);
        self.has_call |= kind == Kind::Call;
        self.has_refusal |= kind == Kind::Refusal;
        sink.put(Event::Start { choice: 0, part, start });
        let Place { item, inner } = place;
        self.open.push(Open {
            kind,
            item,
            inner,
            part,
            bytes: 0,
            has_said: false,
            annotations: 0,
            half: Half::default(),
        });
    }

    fn next_part(&mut self, item: u64) -> u32 {
        self.seen |= bit(item);
        let part = self.next;
        self.next += 1;
        part
    }

    fn has_seen(&self, item: u64) -> bool {
        self.seen & bit(item) != 0
    }

    fn end_where(&mut self, ends: impl Fn(&Open) -> bool, sink: &mut Sink<'_>) {
        self.open.retain_mut(|open| {
            let ends = ends(open);
            if ends {
                if let Some(rest) = open.half.end() {
                    let rest = if open.kind == Kind::Call { Piece::Arguments(rest) } else { Piece::Text(rest) };
                    sink.put(piece(open.part, rest));
                }
                sink.put(Event::End { choice: 0, part: open.part });
            }
            !ends
        });
    }

    /// A piece of text, for the part it belongs to, which may not have been begun.
    fn said(&mut self, kind: Kind, place: Place, data: Value<'_>, text: Option<Value<'_>>, sink: &mut Sink<'_>) {
        let Some(text) = text.and_then(Value::spoken) else { return };
        if self.find(kind, place).is_none() {
            self.start(kind, place, start_of(kind, data), sink);
        }
        let Some(open) = self.find(kind, place) else { return };
        let is_elsewhere = open.inner != place.inner || open.kind != kind;
        if is_elsewhere && open.has_said {
            if let Some(rest) = open.half.end() {
                sink.put(piece(open.part, Piece::Text(rest)));
            }
            sink.put(piece(open.part, Piece::Text(answer::BETWEEN.into())));
            open.bytes = 0;
        }
        (open.inner, open.kind, open.has_said) = (place.inner, kind, true);
        open.bytes += text.span().len();
        if let Some(text) = open.half.join(text).filter(|text| !text.is_empty()) {
            sink.put(piece(open.part, Piece::Text(text)));
        }
    }

    fn delta(&mut self, kind: Kind, place: Place, data: Value<'_>, sink: &mut Sink<'_>) {
        self.said(kind, place, data, data.get("delta"), sink);
    }

    fn text_delta(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let place = Place::of(data, "content_index");
        self.delta(Kind::Text, place, data, sink);
        let Some(object) = data.get("logprobs").and_then(answer::logprobs_object) else { return };
        if let Some(open) = self.find(Kind::Text, place) {
            sink.put(piece(open.part, Piece::Logprobs(object)));
        }
    }

    fn annotation(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let place = Place::of(data, "content_index");
        let (Some(open), Some(raw)) = (self.find(Kind::Text, place), data.get("annotation")) else { return };
        open.annotations += 1;
        sink.put(piece(open.part, Piece::Annotation(raw.raw().into())));
    }

    /// All of a text, at its end: said now if it was not before.
    fn whole(&mut self, kind: Kind, data: Value<'_>, name: &str, sink: &mut Sink<'_>) {
        let place = Place::of(data, if kind == Kind::Summary { "summary_index" } else { "content_index" });
        let is_said = match self.find(kind, place) {
            Some(open) => open.inner == place.inner && open.kind == kind && open.bytes > 0,
            None => self.has_seen(place.item),
        };
        if !is_said {
            self.said(kind, place, data, data.get(name), sink);
        }
    }

    fn part_added(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let Some(part) = data.get("part") else { return };
        let kind = match part.str("type").as_deref() {
            Some("output_text") => Kind::Text,
            Some("refusal") => Kind::Refusal,
            _ => return,
        };
        let place = Place::of(data, "content_index");
        if self.find(kind, place).is_none() {
            self.start(kind, place, start_of(kind, data), sink);
        }
    }

    fn part_done(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let Some(part) = data.get("part") else { return };
        let place = Place::of(data, "content_index");
        let (kind, name) = match part.str("type").as_deref() {
            Some("output_text") => (Kind::Text, "text"),
            Some("refusal") => (Kind::Refusal, "refusal"),
            _ => return,
        };
        let Some(open) = self.find(kind, place) else { return };
        let (number, bytes, seen) = (open.part, open.bytes, open.annotations);
        if bytes == 0 {
            self.said(kind, place, data, part.get(name), sink);
        }
        for more in answer::annotations(part).into_iter().flat_map(|list| list.items()).skip(seen) {
            sink.put(piece(number, Piece::Annotation(more.raw().into())));
        }
        self.end_where(|open| open.part == number, sink);
    }

    fn item_added(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let Some(item) = data.get("item").filter(|item| is_kind(*item, item::CALL)) else { return };
        self.start_call(Place::of(data, "output_index"), item, sink);
    }

    fn start_call(&mut self, place: Place, item: Value<'_>, sink: &mut Sink<'_>) {
        let (id, name) = answer::call_head(item);
        self.start(Kind::Call, place, Start::ToolCall { id, name, signature: None }, sink);
    }

    fn arguments(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let Some(delta) = data.get("delta").and_then(Value::spoken) else { return };
        let Some(open) = self.find(Kind::Call, Place::of(data, "output_index")) else { return };
        open.bytes += delta.span().len();
        if let Some(delta) = open.half.join(delta).filter(|delta| !delta.is_empty()) {
            sink.put(piece(open.part, Piece::Arguments(delta)));
        }
    }

    fn item_done(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        let Some(item) = data.get("item") else { return };
        let place = Place::of(data, "output_index");
        match item.str("type").unwrap_or_default().as_ref() {
            item::CALL => self.call_done(place, item, sink),
            item::REASONING => self.reasoning_done(place, item, sink),
            item::MESSAGE if self.has_seen(place.item) => self.end_where(|open| open.item == place.item, sink),
            _ => self.put_item(place.item, item, sink),
        }
    }

    fn call_done(&mut self, place: Place, item: Value<'_>, sink: &mut Sink<'_>) {
        if self.find(Kind::Call, place).is_none() {
            self.start_call(place, item, sink);
        }
        let Some(open) = self.find(Kind::Call, place) else { return };
        let part = open.part;
        if open.bytes == 0
            && let Some(arguments) = item.str("arguments").filter(|arguments| !arguments.is_empty())
        {
            sink.put(piece(part, Piece::Arguments(arguments)));
        }
        self.end_where(|open| open.part == part, sink);
    }

    /// What is sealed is final only now: what came with the item's start was of its start.
    fn reasoning_done(&mut self, place: Place, item: Value<'_>, sink: &mut Sink<'_>) {
        let Some(open) = self.find(Kind::Summary, place) else { return self.put_item(place.item, item, sink) };
        let part = open.part;
        if let Some(sealed) = item.str("encrypted_content").filter(|sealed| !sealed.is_empty()) {
            let signature = seal::with_id(item.str("id").as_deref(), sealed);
            sink.put(piece(part, Piece::Signature(signature)));
        }
        self.end_where(|open| open.part == part, sink);
    }

    /// An item that comes whole.
    fn put_item(&mut self, place: u64, item: Value<'_>, sink: &mut Sink<'_>) {
        let (mut parts, mut logprobs) = (Vec::new(), None);
        answer::parts(item, &mut parts, &mut logprobs);
        for part in parts {
            self.put_part(place, part, logprobs.take(), sink);
        }
    }

    fn put_part(&mut self, place: u64, part: Part<'_>, logprobs: Option<Cow<'_, str>>, sink: &mut Sink<'_>) {
        let is_call = matches!(part.body, PartBody::ToolCall { .. });
        self.end_where(|open| !(is_call && open.kind == Kind::Call), sink);
        let number = self.next_part(place);
        self.has_call |= is_call;
        self.has_refusal |= matches!(part.body, PartBody::Refusal(_));
        let mut put = |event| sink.put(event);
        let begin = |start| Event::Start { choice: 0, part: number, start };
        match part.body {
            PartBody::Text { text, annotations } => {
                put(begin(Start::Text));
                put(piece(number, Piece::Text(text)));
                for raw in list(annotations.as_deref()) {
                    put(piece(number, Piece::Annotation(raw.into())));
                }
                if let Some(object) = logprobs {
                    put(piece(number, Piece::Logprobs(object)));
                }
            }
            PartBody::Refusal(text) => {
                put(begin(Start::Refusal));
                put(piece(number, Piece::Text(text)));
            }
            PartBody::Thought(thought) => {
                let (is_summary, is_redacted) = (thought.is_summary, thought.is_redacted);
                put(begin(Start::Thought { id: thought.id, is_summary, is_redacted }));
                if !thought.text.is_empty() {
                    put(piece(number, Piece::Text(thought.text)));
                }
            }
            PartBody::ToolCall { id, name, arguments } => {
                put(begin(Start::ToolCall { id, name, signature: None }));
                put(piece(number, Piece::Arguments(arguments)));
            }
            PartBody::Media(media) => put(begin(Start::Media(media))),
            PartBody::Other { raw } => put(begin(Start::Other { raw })),
            PartBody::ToolResult { .. } => put(begin(Start::Other { raw: "null".into() })),
        }
        if let Some(signature) = part.signature {
            put(piece(number, Piece::Signature(signature)));
        }
        put(Event::End { choice: 0, part: number });
    }

    /// The response is over. Providers that stream nothing but this event say everything in it.
    fn ended(&mut self, event: &str, response: Value<'_>, sink: &mut Sink<'_>) {
        self.end_where(|_| true, sink);
        if self.seen == 0 {
            for (place, item) in (0..).zip(response.get("output").into_iter().flat_map(|output| output.items())) {
                self.put_item(place, item, sink);
            }
        }
        if let Some(usage) = usage::tokens(response) {
            sink.put(Event::Usage { usage, is_final: true });
        }
        if let Some((finish, native)) = answer::end(response, event, self.has_call, self.has_refusal) {
            sink.put(Event::Finish { choice: 0, finish, native, stopped_at: None });
        }
        sink.done();
        self.is_done = true;
    }
}

fn piece<'a>(part: u32, piece: Piece<'a>) -> Event<'a> {
    Event::Piece { choice: 0, part, piece }
}

fn start_of(kind: Kind, data: Value<'_>) -> Start<'_> {
    match kind {
        Kind::Refusal => Start::Refusal,
        Kind::Summary | Kind::Thought => {
            Start::Thought { id: data.str("item_id"), is_summary: kind == Kind::Summary, is_redacted: false }
        }
        Kind::Text | Kind::Call => Start::Text,
    }
}

fn bit(item: u64) -> u128 {
    1u128 << item.min(127)
}

fn is_kind(item: Value<'_>, kind: &str) -> bool {
    item.get("type").is_some_and(|value| value.is_text(kind))
}

/// The items of a list that was kept as it was written.
fn list(raw: Option<&str>) -> Vec<String> {
    let mut tape = crate::json::Tape::default();
    let Some(list) = raw.and_then(|raw| tape.read(raw.as_bytes()).ok()) else { return Vec::new() };
    list.items().map(|item| item.raw().to_owned()).collect()
}

/// Events about a provider's own items, and about parts of those that are read here.
fn is_known(event: &str) -> bool {
    const BEGINS: [&str; 12] = [
        "web_search_call.",
        "file_search_call.",
        "code_interpreter_call",
        "image_generation_call.",
        "computer_call",
        "mcp_",
        "custom_tool_call_input.",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "audio.",
        "reasoning_summary_part.",
    ];
    event == "function_call_arguments.done"
        || event == "heartbeat"
        || BEGINS.iter().any(|begin| event.starts_with(begin))
}
