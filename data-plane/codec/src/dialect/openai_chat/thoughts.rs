//! `reasoning_details`, in which reasoning and its sealed state travel in this dialect (OpenRouter's shape): read from
//! clients and from providers, written for both. Entries of one index are one thought.

use std::borrow::Cow;

use crate::carry::{self, Carry};
use crate::json::{Value, Writer};
use crate::model::{Part, PartBody, Signature, Thought};

/// Stands before a sealed value that came with a format or an id, so that all of it goes back together.
const PACKED: &str = "fmt:";

/// Whose sealed values are read.
#[derive(Clone, Copy)]
pub(super) enum Whose<'c> {
    /// A client's: what we carried is opened.
    Client(&'c Carry),
    /// The provider's that was asked.
    Provider,
}

impl Whose<'_> {
    fn seal<'a>(self, value: Cow<'a, str>, format: Option<&str>, id: Option<&str>) -> Signature<'a> {
        match self {
            Whose::Provider => Signature::Own(pack(value, format, id)),
            Whose::Client(carry) => match carry.unwrap(value) {
                Signature::Foreign(value) if !value.starts_with(carry::MARK) => {
                    Signature::Foreign(pack(value, format, id))
                }
                opened => opened,
            },
        }
    }
}

fn pack<'a>(value: Cow<'a, str>, format: Option<&str>, id: Option<&str>) -> Cow<'a, str> {
    let is_word = |word: &&str| !matches!(*word, "" | "unknown") && !word.contains(':');
    match (format.filter(is_word), id.filter(is_word)) {
        (None, None) => value,
        (format, id) => format!("{PACKED}{}:{}:{value}", format.unwrap_or_default(), id.unwrap_or_default()).into(),
    }
}

/// A sealed value and what came with it.
struct Unpacked<'s> {
    format: Option<&'s str>,
    id: Option<&'s str>,
    value: &'s str,
}

fn unpack(value: &str) -> Unpacked<'_> {
    let some = |word: &'_ str| !word.is_empty();
    let parts = value.strip_prefix(PACKED).and_then(|rest| {
        let (format, rest) = rest.split_once(':')?;
        let (id, value) = rest.split_once(':')?;
        Some(Unpacked { format: Some(format).filter(|word| some(word)), id: Some(id).filter(|word| some(word)), value })
    });
    parts.unwrap_or(Unpacked { format: None, id: None, value })
}

/// What an entry brings.
pub(super) struct Entry<'a> {
    pub index: Option<u64>,
    pub id: Option<Cow<'a, str>>,
    pub kind: Kind,
    pub text: Option<Cow<'a, str>>,
    pub signature: Option<Signature<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Summary,
    Encrypted,
}

/// Reads an entry; none for what is no entry that we know.
pub(super) fn entry<'a>(value: Value<'a>, from: Whose<'_>) -> Option<Entry<'a>> {
    let (kind, text, sealed) = match &*value.str("type")? {
        "reasoning.text" => (Kind::Text, "text", "signature"),
        "reasoning.summary" => (Kind::Summary, "summary", "signature"),
        "reasoning.encrypted" => (Kind::Encrypted, "", "data"),
        _ => return None,
    };
    let signature = value.str(sealed).filter(|value| !value.is_empty());
    let (id, format) = (value.str("id"), value.str("format"));
    // What is readable has its id in the open.
    let packed = id.as_deref().filter(|_| kind == Kind::Encrypted);
    let signature = signature.map(|sealed| from.seal(sealed, format.as_deref(), packed));
    Some(Entry {
        index: value.count("index"),
        kind,
        text: value.str(text).filter(|text| !text.is_empty()),
        signature,
        id,
    })
}

/// Reads a whole list.
pub(super) fn read<'a>(details: Value<'a>, from: Whose<'_>, parts: &mut Vec<Part<'a>>) {
    let mut last: Option<(Option<u64>, Kind)> = None;
    for entry in details.items().filter_map(|value| entry(value, from)) {
        let before = last.replace((entry.index, entry.kind));
        let open = parts.last_mut().filter(|_| goes_on(before, &entry));
        match open {
            Some(Part { body: PartBody::Thought(thought), signature, .. }) => {
                if let Some(text) = entry.text {
                    thought.text.to_mut().push_str(&text);
                }
                if entry.signature.is_some() {
                    *signature = entry.signature;
                }
                thought.id = thought.id.take().or(entry.id);
            }
            _ => {
                let thought = Thought {
                    text: entry.text.unwrap_or_default(),
                    is_summary: entry.kind == Kind::Summary,
                    is_redacted: entry.kind == Kind::Encrypted,
                    id: entry.id,
                };
                parts.push(Part { signature: entry.signature, ..Part::new(PartBody::Thought(thought)) });
            }
        }
    }
}

/// Whether an entry belongs to the thought before it: more of the same, its signature, or the sealed form of a summary.
pub(super) fn goes_on(before: Option<(Option<u64>, Kind)>, entry: &Entry<'_>) -> bool {
    let Some((index, kind)) = before else { return false };
    let is_signature = entry.text.is_none() && entry.kind != Kind::Encrypted;
    let is_same_place = index == entry.index && (index.is_some() || is_signature);
    is_same_place
        && match entry.kind {
            Kind::Encrypted => kind != Kind::Encrypted,
            other => kind == other,
        }
}

/// The sealed value of a thought as it is to be written: as it is for its maker, wrapped for a client.
pub(super) enum Sealed<'s> {
    None,
    /// For the provider that made it, with its format.
    Plain(&'s str),
    /// For a client.
    Wrapped(&'s Carry, &'s str),
}

/// Writes the entries of one thought, or of one piece of it.
pub(super) fn write(out: &mut Writer, thought: &Thought<'_>, text: &str, sealed: Sealed<'_>, index: u64) {
    let id = thought.id.as_deref();
    let entry = Out { index, id, format: None };
    let has_text = !text.is_empty();
    if thought.is_summary || thought.is_redacted {
        if has_text {
            entry.write(out, "reasoning.summary", &[("summary", text)]);
        }
        sealed.open(|value| entry.with(&value).write(out, "reasoning.encrypted", &[("data", value.value)]));
    } else if matches!(sealed, Sealed::None) {
        if has_text {
            entry.write(out, "reasoning.text", &[("text", text)]);
        }
    } else {
        sealed.open(|value| {
            entry.with(&value).write(out, "reasoning.text", &[("text", text), ("signature", value.value)]);
        });
    }
}

impl Sealed<'_> {
    /// Hands over the value as it is to be written, if there is one.
    fn open(&self, write: impl FnOnce(Unpacked<'_>)) {
        match self {
            Sealed::None => {}
            Sealed::Plain(value) => write(unpack(value)),
            Sealed::Wrapped(carry, value) => {
                write(Unpacked { format: None, id: None, value: &carry.wrap(value) });
            }
        }
    }
}

/// What a seal stands on that is no thought. Its entry says so in its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The message's (last) text.
    Text,
    /// The image of this number.
    Image(usize),
}

/// How ids of such entries begin.
const ON: &str = "seal_of_";

/// Writes the entry of such a seal, for a client.
pub(super) fn write_seal(out: &mut Writer, carry: &Carry, value: &str, on: On, index: u64) {
    let id = match on {
        On::Text => format!("{ON}text"),
        On::Image(number) => format!("{ON}image_{number}"),
    };
    let entry = Out { index, id: Some(&id), format: None };
    entry.write(out, "reasoning.encrypted", &[("data", &carry.wrap(value))]);
}

/// Puts such seals of a message that came back where they belong. One without its part goes.
pub(super) fn put_seals(parts: &mut Vec<Part<'_>>) {
    let is_seal = |part: &Part<'_>| match &part.body {
        PartBody::Thought(thought) => thought.id.as_deref().is_some_and(|id| id.starts_with(ON)),
        _ => false,
    };
    let seals: Vec<_> = parts.extract_if(.., |part| is_seal(part)).collect();
    let places = parts.iter().enumerate();
    let images: Vec<usize> =
        places.filter(|(_, part)| matches!(part.body, PartBody::Media(_))).map(|(place, _)| place).collect();
    let text = parts.iter().rposition(|part| matches!(part.body, PartBody::Text { .. }));
    for seal in seals {
        let PartBody::Thought(Thought { id: Some(id), .. }) = &seal.body else { continue };
        let image = id.strip_prefix(ON).and_then(|on| on.strip_prefix("image_")?.parse::<usize>().ok());
        let place = image.map_or(text, |number| images.get(number).copied());
        if let Some(part) = place.and_then(|place| parts.get_mut(place)) {
            part.signature = seal.signature;
        }
    }
}

/// What all entries have.
#[derive(Clone, Copy)]
struct Out<'s> {
    index: u64,
    id: Option<&'s str>,
    format: Option<&'s str>,
}

impl Out<'_> {
    /// With what came with a sealed value.
    fn with<'s>(&'s self, value: &Unpacked<'s>) -> Out<'s> {
        Out { index: self.index, id: value.id.or(self.id), format: value.format }
    }

    fn write(&self, out: &mut Writer, kind: &str, fields: &[(&str, &str)]) {
        out.begin_object();
        out.field_str("type", kind);
        out.opt_str("id", self.id);
        for (name, value) in fields {
            out.field_str(name, value);
        }
        out.field_str("format", self.format.unwrap_or("unknown"));
        out.field_u64("index", self.index);
        out.end_object();
    }
}
