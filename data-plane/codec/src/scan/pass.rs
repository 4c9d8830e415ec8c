//! The pass itself: each field of the top level is looked up in the dialect's table and read by its meaning; everything else
//! is stepped over. Stops at the first thing that is not as it must be, and says where and why.

use super::media::{Media, count};
use super::{ActedOn, Field, Fields, Meaning, Member, Scan};
use crate::error::{BodyFault, BodyFaultKind};
use crate::json::{self, Cursor, Flaw, FlawKind, Kind, MAX_DEPTH, Nothing, Span, Tape, Text};

/// Most alternatives that one request may name.
const MAX_FALLBACKS: usize = 64;
/// Most answers that Gemini gives to one request.
const MAX_CANDIDATES: u64 = 8;

/// Why a scan stops.
enum Stop {
    Flaw(Flaw),
    Fault(Box<BodyFault>),
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Stop::Flaw(flaw)
    }
}

fn fault(kind: BodyFaultKind, param: &str, message: String) -> Stop {
    Stop::Fault(Box::new(BodyFault { kind, param: Some(param.to_owned()), message }))
}

fn is_conversation(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Messages | Meaning::Contents | Meaning::Input | Meaning::Items { .. })
}

/// The place of the first item of this type in a list of them.
fn item_of_type(items: &[u8], word: &str) -> Option<usize> {
    let mut tape = Tape::default();
    tape.read(items).ok()?.items().position(|item| item.get("type").is_some_and(|kind| kind.is_text(word)))
}

fn wrong_type(param: &str, expected: &str) -> Stop {
    fault(BodyFaultKind::WrongType, param, format!("`{param}` must be {expected}"))
}

/// Reads a request body once.
pub fn scan(body: &[u8], fields: &'static Fields) -> Result<Scan, BodyFault> {
    read(body, fields, true)
}

/// The same of a request that need not have a conversation: nothing is sent of it.
pub fn scan_wishes(body: &[u8], fields: &'static Fields) -> Result<Scan, BodyFault> {
    read(body, fields, false)
}

fn read(body: &[u8], fields: &'static Fields, needs_conversation: bool) -> Result<Scan, BodyFault> {
    let (least, union) = json::survey(body);
    if union >= 0x80
        && let Err(error) = simdutf8::compat::from_utf8(body)
    {
        return Err(BodyFault {
            kind: BodyFaultKind::NotUtf8,
            param: None,
            message: format!("the body is not UTF-8 at byte {}", error.valid_up_to()),
        });
    }
    let cursor = Cursor::strict(body, least < 0x20);
    match Pass::new(cursor, body, fields).run(needs_conversation) {
        Ok(scan) => Ok(scan),
        Err(Stop::Fault(fault)) => Err(*fault),
        Err(Stop::Flaw(flaw)) => Err(flawed(body, flaw)),
    }
}

fn flawed(body: &[u8], flaw: Flaw) -> BodyFault {
    let before = body.get(..flaw.at).unwrap_or(body);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = 1 + before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let place = format!("line {line}, column {column} (byte {})", flaw.at);
    match flaw.kind {
        FlawKind::Expected(what) => BodyFault {
            kind: BodyFaultKind::Malformed,
            param: None,
            message: format!("the body is not valid JSON: expected {what} at {place}"),
        },
        FlawKind::TooDeep => BodyFault {
            kind: BodyFaultKind::TooDeep,
            param: None,
            message: format!("the body is nested more than {MAX_DEPTH} levels deep at {place}"),
        },
    }
}

struct Pass<'a> {
    cursor: Cursor<'a>,
    body: &'a [u8],
    table: &'static Fields,
    /// One bit for each row of the table that was met.
    met: u64,
    /// Fields so far.
    ordinal: usize,
    scan: Scan,
}

impl<'a> Pass<'a> {
    fn new(cursor: Cursor<'a>, body: &'a [u8], table: &'static Fields) -> Self {
        let scan = Scan { fields: Vec::with_capacity(8), ..Scan::nothing() };
        Pass { cursor, body, table, met: 0, ordinal: 0, scan }
    }

    fn run(mut self, needs_conversation: bool) -> Result<Scan, Stop> {
        let mut more = self.cursor.open_object()?;
        self.scan.inside = memchr::memchr(b'{', self.body).map_or(0, |at| at + 1);
        while more {
            let key = self.cursor.key()?;
            self.field(key)?;
            self.ordinal += 1;
            more = self.cursor.next_field()?;
        }
        self.cursor.end()?;
        self.required(needs_conversation)?;
        self.scan.text_bytes = count(self.body.len()).saturating_sub(self.scan.media_bytes);
        Ok(self.scan)
    }

    fn required(&self, needs_conversation: bool) -> Result<(), Stop> {
        for acted in self.table {
            let missing = match acted.meaning {
                Meaning::Model => self.scan.model.is_none() && self.scan.fallbacks.is_empty(),
                meaning if is_conversation(meaning) => needs_conversation && self.scan.messages == 0,
                Meaning::Documents => self.scan.field(Meaning::Documents).is_none_or(|field| field.kind == Kind::Null),
                _ => false,
            };
            if missing {
                return Err(fault(BodyFaultKind::Missing, acted.name, format!("`{}` is required", acted.name)));
            }
        }
        Ok(())
    }

    fn field(&mut self, key: Text) -> Result<(), Stop> {
        let name = self.cursor.name(key);
        let Some((row, acted)) = find(self.table, &name) else {
            self.cursor.pass()?;
            return Ok(());
        };
        if acted.name.as_bytes() != &*name {
            let message = format!("a field that differs from `{}` only in case is not accepted", acted.name);
            return Err(fault(BodyFaultKind::Repeated, acted.name, message));
        }
        let bit = 1u64.checked_shl(row).unwrap_or(0);
        if self.met & bit != 0 {
            return Err(fault(
                BodyFaultKind::Repeated,
                acted.name,
                format!("`{}` is given more than once", acted.name),
            ));
        }
        self.met |= bit;
        let kind = self.cursor.kind()?;
        let start = self.cursor.position();
        let (member, bare) = self.value(acted, kind)?;
        let value = Span { start, end: self.cursor.position() };
        let whole = Span { start: key.quoted().start, end: value.end };
        self.scan.fields.push(Field { acted, ordinal: self.ordinal, whole, value, kind, member, bare });
        Ok(())
    }

    /// Reads one value by its meaning. Null is the same as absent everywhere but for the model and the messages.
    fn value(&mut self, acted: &ActedOn, kind: Kind) -> Result<(Option<Member>, bool), Stop> {
        let name = acted.name;
        let required = acted.meaning == Meaning::Model || is_conversation(acted.meaning);
        if kind == Kind::Null && !required {
            self.cursor.pass()?;
            return Ok((None, false));
        }
        match acted.meaning {
            Meaning::Model | Meaning::PathModel => self.scan.model = Some(self.text(name, kind)?),
            Meaning::Stream => {
                self.scan.stream = flag(kind).ok_or_else(|| wrong_type(name, "true or false"))?;
                self.cursor.pass()?;
            }
            Meaning::StreamOptions => {
                let read = self.members(name, kind, "include_usage")?;
                self.scan.include_usage = read.0.is_some_and(|member| member.is_true);
                return Ok(read);
            }
            Meaning::Usage if kind == Kind::Object => {
                let read = self.members(name, kind, "include")?;
                self.scan.usage_include = read.0.is_some_and(|member| member.is_true);
                return Ok(read);
            }
            Meaning::MaxTokens => self.scan.max_tokens = Some(self.whole_number(name, kind)?),
            Meaning::MaxCompletionTokens => self.scan.max_completion_tokens = Some(self.whole_number(name, kind)?),
            Meaning::Choices { most } => {
                let choices = self.whole_number(name, kind)?;
                if !(1..=most).contains(&choices) {
                    let message = format!("`{name}` must be from 1 to {most}");
                    return Err(fault(BodyFaultKind::OutOfRange, name, message));
                }
                self.scan.choices = choices;
            }
            Meaning::Messages => self.messages(name, kind, &mut Media::default())?,
            Meaning::Contents if kind == Kind::Object => self.only_message()?,
            Meaning::Contents => self.messages(name, kind, &mut Media::default())?,
            Meaning::Input | Meaning::Items { .. } if kind == Kind::String => {
                self.scan.characters = count(self.text(name, kind)?.chars().count());
                self.scan.messages = 1;
            }
            Meaning::Input => self.messages(name, kind, &mut Media::default())?,
            Meaning::Items { refused, why } => {
                let start = self.cursor.position();
                let mut media = Media::looking_for(refused);
                self.messages(name, kind, &mut media)?;
                let items = self.body.get(start..self.cursor.position()).unwrap_or_default();
                // Only lists that have the word anywhere are read again.
                if media.has_met
                    && let Some(at) = item_of_type(items, refused)
                {
                    let message = format!("`{name}[{at}]`: {why}");
                    return Err(fault(BodyFaultKind::Unsupported, &format!("{name}[{at}]"), message));
                }
            }
            Meaning::Format => {
                self.cursor.pass()?;
                self.scan.has_format = kind == Kind::Object;
            }
            Meaning::Store => {
                flag(kind).ok_or_else(|| wrong_type(name, "true or false"))?;
                self.cursor.pass()?;
            }
            Meaning::StreamFormat => self.scan.stream = self.text(name, kind)? == "sse",
            Meaning::Documents => {
                let all = self.cursor.pass()?.of(self.body);
                if kind != Kind::Array {
                    return Err(wrong_type(name, "an array"));
                }
                let inner = all.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or_default();
                if inner.trim_ascii().is_empty() {
                    return Err(fault(
                        BodyFaultKind::OutOfRange,
                        name,
                        format!("`{name}` must have at least one document"),
                    ));
                }
            }
            Meaning::GenerationConfig => {
                // It has two spellings, and only one of them would be read.
                if self.scan.field(Meaning::GenerationConfig).is_some_and(|field| field.kind != Kind::Null) {
                    return Err(fault(BodyFaultKind::Repeated, name, format!("`{name}` is given more than once")));
                }
                return Ok((self.generation_config(name, kind)?, false));
            }
            Meaning::Fallbacks => self.fallbacks(name, kind)?,
            Meaning::FallbackModels => self.fallback_models(name, kind)?,
            Meaning::Refused(why) => {
                self.cursor.pass()?;
                if kind != Kind::False {
                    return Err(fault(BodyFaultKind::Unsupported, name, why.to_owned()));
                }
            }
            Meaning::Provider => {
                let span = self.cursor.pass()?;
                if kind != Kind::Object {
                    return Err(wrong_type(name, "an object"));
                }
                self.scan.provider = Some(span);
            }
            Meaning::Usage
            | Meaning::Own
            | Meaning::Preference
            | Meaning::Session
            | Meaning::CacheKey
            | Meaning::Extension => {
                self.cursor.pass()?;
            }
        }
        Ok((None, false))
    }

    fn text(&mut self, name: &str, kind: Kind) -> Result<String, Stop> {
        if kind != Kind::String {
            return Err(wrong_type(name, "a string"));
        }
        let text = self.cursor.string()?;
        match self.cursor.text(text) {
            Some(meant) if !meant.is_empty() => Ok(meant.into_owned()),
            Some(_) => Err(fault(BodyFaultKind::OutOfRange, name, format!("`{name}` must not be empty"))),
            None => {
                let message = format!("`{name}` has half a surrogate pair in it, which is no text");
                Err(fault(BodyFaultKind::OutOfRange, name, message))
            }
        }
    }

    fn whole_number(&mut self, name: &str, kind: Kind) -> Result<u64, Stop> {
        if kind != Kind::Number {
            return Err(wrong_type(name, "a whole number, not negative"));
        }
        let number = json::whole_number(self.cursor.number()?.of(self.body));
        number.ok_or_else(|| wrong_type(name, "a whole number, not negative"))
    }

    fn messages(&mut self, name: &str, kind: Kind, media: &mut Media) -> Result<(), Stop> {
        if kind != Kind::Array {
            return Err(wrong_type(name, "an array"));
        }
        let mut more = self.cursor.open_array()?;
        while more {
            let message = self.cursor.skip(media)?;
            if let Some(place) = usize::try_from(self.scan.messages).ok().and_then(|at| self.scan.opening.get_mut(at)) {
                *place = message;
            }
            self.scan.messages += 1;
            more = self.cursor.next_item()?;
        }
        if self.scan.messages == 0 {
            return Err(fault(BodyFaultKind::OutOfRange, name, format!("`{name}` must not be empty")));
        }
        self.count_media(media);
        Ok(())
    }

    fn only_message(&mut self) -> Result<(), Stop> {
        let mut media = Media::default();
        self.scan.opening = [self.cursor.skip(&mut media)?, Span::default()];
        self.scan.messages = 1;
        self.count_media(&media);
        Ok(())
    }

    fn count_media(&mut self, media: &Media) {
        self.scan.media_parts = media.keys.max(media.strings);
        self.scan.media_bytes = media.bytes;
    }

    fn fallbacks(&mut self, name: &str, kind: Kind) -> Result<(), Stop> {
        if kind != Kind::Array {
            return Err(wrong_type(name, "an array of strings"));
        }
        let mut more = self.cursor.open_array()?;
        while more {
            let kind = self.cursor.kind()?;
            if kind != Kind::String {
                return Err(wrong_type(name, "an array of strings"));
            }
            if self.scan.fallbacks.len() == MAX_FALLBACKS {
                let message = format!("`{name}` may name at most {MAX_FALLBACKS} models");
                return Err(fault(BodyFaultKind::OutOfRange, name, message));
            }
            let model = self.text(name, kind)?;
            self.scan.fallbacks.push(model);
            more = self.cursor.next_item()?;
        }
        Ok(())
    }

    /// The most answer tokens and the number of answers, as Gemini has them; where the first one stands.
    fn generation_config(&mut self, name: &str, kind: Kind) -> Result<Option<Member>, Stop> {
        if kind != Kind::Object {
            return Err(wrong_type(name, "an object"));
        }
        let mut limit: Option<Member> = None;
        let mut count = 0;
        let mut more = self.cursor.open_object()?;
        while more {
            let key = self.cursor.key()?;
            let met = self.cursor.name(key);
            let kind = self.cursor.kind()?;
            let start = self.cursor.position();
            match &*met {
                b"maxOutputTokens" | b"max_output_tokens" => {
                    let path = format!("{name}.maxOutputTokens");
                    if limit.is_some() {
                        return Err(fault(BodyFaultKind::Repeated, &path, format!("`{path}` is given more than once")));
                    }
                    match kind {
                        Kind::Null => drop(self.cursor.pass()?),
                        kind => self.scan.max_tokens = Some(self.whole_number(&path, kind)?),
                    }
                    let value = Span { start, end: self.cursor.position() };
                    let whole = Span { start: key.quoted().start, end: value.end };
                    limit = Some(Member { ordinal: count, whole, value, is_true: false, alone: false });
                }
                b"responseMimeType" | b"response_mime_type" => {
                    self.cursor.pass()?;
                    self.scan.has_format = true;
                }
                b"candidateCount" | b"candidate_count" if kind != Kind::Null => {
                    let path = format!("{name}.candidateCount");
                    let choices = self.whole_number(&path, kind)?;
                    if !(1..=MAX_CANDIDATES).contains(&choices) {
                        let message = format!("`{path}` must be from 1 to {MAX_CANDIDATES}");
                        return Err(fault(BodyFaultKind::OutOfRange, &path, message));
                    }
                    self.scan.choices = choices;
                }
                _ => {
                    self.cursor.pass()?;
                }
            }
            count += 1;
            more = self.cursor.next_field()?;
        }
        Ok(limit)
    }

    fn fallback_models(&mut self, name: &str, kind: Kind) -> Result<(), Stop> {
        let wrong = || wrong_type(name, "an array of objects with a `model`");
        if kind != Kind::Array {
            return Err(wrong());
        }
        let mut more = self.cursor.open_array()?;
        while more {
            if self.cursor.kind()? != Kind::Object {
                return Err(wrong());
            }
            let before = self.scan.fallbacks.len();
            let mut fields = self.cursor.open_object()?;
            while fields {
                let key = self.cursor.key()?;
                let kind = self.cursor.kind()?;
                if &*self.cursor.name(key) == b"model" && self.scan.fallbacks.len() == before {
                    let model = self.text(name, kind)?;
                    self.scan.fallbacks.push(model);
                } else {
                    self.cursor.pass()?;
                }
                fields = self.cursor.next_field()?;
            }
            if self.scan.fallbacks.len() == before {
                return Err(wrong());
            }
            if self.scan.fallbacks.len() > MAX_FALLBACKS {
                let message = format!("`{name}` may name at most {MAX_FALLBACKS} models");
                return Err(fault(BodyFaultKind::OutOfRange, name, message));
            }
            more = self.cursor.next_item()?;
        }
        Ok(())
    }

    /// Reads an object in which one field, true or false, is acted on. Also says whether the object is empty.
    fn members(&mut self, name: &str, kind: Kind, wanted: &str) -> Result<(Option<Member>, bool), Stop> {
        if kind != Kind::Object {
            return Err(wrong_type(name, "an object"));
        }
        let mut found: Option<Member> = None;
        let mut count = 0;
        let mut more = self.cursor.open_object()?;
        while more {
            let key = self.cursor.key()?;
            let met = self.cursor.name(key);
            if is_variant(wanted, &met) {
                let path = format!("{name}.{wanted}");
                if found.is_some() || wanted.as_bytes() != &*met {
                    let message = format!("`{path}` is given more than once, or in another case");
                    return Err(fault(BodyFaultKind::Repeated, &path, message));
                }
                let kind = self.cursor.kind()?;
                let value = self.cursor.pass()?;
                let is_true = match kind {
                    Kind::Null => false,
                    kind => flag(kind).ok_or_else(|| wrong_type(&path, "true or false"))?,
                };
                let whole = Span { start: key.quoted().start, end: value.end };
                found = Some(Member { ordinal: count, whole, value, is_true, alone: false });
            } else {
                self.cursor.skip(&mut Nothing)?;
            }
            count += 1;
            more = self.cursor.next_field()?;
        }
        if let Some(member) = &mut found {
            member.alone = count == 1;
        }
        Ok((found, count == 0))
    }
}

fn flag(kind: Kind) -> Option<bool> {
    match kind {
        Kind::True => Some(true),
        Kind::False => Some(false),
        _ => None,
    }
}

/// The row of the field that a reader could take `met` for. Nearly all names are ASCII and of another length.
fn find(table: &'static Fields, met: &[u8]) -> Option<(u32, &'static ActedOn)> {
    let at = match met.is_ascii() {
        true => table.iter().position(|acted| acted.name.as_bytes().eq_ignore_ascii_case(met)),
        false => table.iter().position(|acted| is_variant(acted.name, met)),
    }?;
    Some((u32::try_from(at).unwrap_or(u32::MAX), table.get(at)?))
}

/// Whether a reader that ignores case could take `met` for `name`: ASCII letters, and the two others that fold to
/// ASCII (long s, Kelvin sign), which some readers fold.
fn is_variant(name: &str, met: &[u8]) -> bool {
    if name.len() >= met.len() || met.is_ascii() {
        return name.as_bytes().eq_ignore_ascii_case(met);
    }
    std::str::from_utf8(met).is_ok_and(|met| {
        let folded = met.chars().map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        });
        folded.eq(name.chars().map(|letter| letter.to_ascii_lowercase()))
    })
}
