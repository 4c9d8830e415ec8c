//! A JSON text as a flat list of places: read once, walked any number of times, nothing copied. Texts and numbers stay
//! as they are written until someone asks. The list can be used again for the next text. Next rooms: the dialects' halves.

use std::borrow::Cow;

use bytes::Bytes;

use super::kept::{Form, Kept, LONG};
use super::{Cursor, Flaw, FlawKind, Kind, Span, Text, written_count};
use crate::error::{BodyFault, BodyFaultKind};
use crate::fault::clean;

/// Values that one text may have: more say nothing that a model could read, and would cost more room than the text.
const MOST: usize = 1 << 20;
/// Bytes of text for each value, about; and values that room is made for before they are met: just under a kilobyte, above
/// which an allocator begins to look for room.
const USUAL: usize = 14;
const MOST_AT_ONCE: usize = 62;
/// Objects with more fields than this are checked for doubled names by sorting.
const FEW: usize = 16;
/// Letters of a doubled name that its sender is shown.
const SHOWN: usize = 64;

/// Room for the places of one text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    nodes: Vec<Packed>,
    kept: Kept,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    escaped: bool,
    /// The whole value, quotes and brackets included.
    span: Span,
    /// The place behind this value and all that is in it.
    next: usize,
}

/// A node in half the room: texts are shorter than 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Packed {
    start: u32,
    end: u32,
    next: u32,
    kind: Kind,
    escaped: bool,
}

const _: () = assert!(size_of::<Packed>() == 16);

impl Packed {
    // What is cast was checked by `Tape::fill`: no place lies behind the text, and no text has more values than bytes.
    fn of(node: Node) -> Packed {
        let Node { kind, escaped, span, next } = node;
        Packed { start: span.start as u32, end: span.end as u32, next: next as u32, kind, escaped }
    }

    fn node(self) -> Node {
        let Packed { start, end, next, kind, escaped } = self;
        Node { kind, escaped, span: Span { start: start as usize, end: end as usize }, next: next as usize }
    }
}

/// One value of a text that was read.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    text: &'a str,
    nodes: &'a [Packed],
    long: Long<'a>,
    at: usize,
}

/// What is given for a long string with escapes in it.
#[derive(Clone, Copy)]
enum Long<'a> {
    /// A new copy, whenever it is asked for.
    Copied,
    /// One copy for all.
    Kept(&'a Kept),
    /// The text as it is written: nobody wants to know what it means.
    Raw,
}

impl Tape {
    /// Reads one text from a provider.
    pub fn read<'a>(&'a mut self, text: &'a [u8]) -> Result<Value<'a>, Flaw> {
        let text = self.fill(text)?;
        Ok(Value { text, nodes: &self.nodes, long: Long::Copied, at: 0 })
    }

    /// Reads a text of which nobody asks what its long strings mean: those with escapes are given as they are written.
    pub fn skim<'a>(&'a mut self, text: &'a [u8]) -> Result<Value<'a>, Flaw> {
        let text = self.fill(text)?;
        Ok(Value { text, nodes: &self.nodes, long: Long::Raw, at: 0 })
    }

    /// Reads a client's text, which was scanned before: no object in it may name a field twice. What its long strings mean
    /// is kept, for [`Value::kept`].
    pub fn read_strictly<'a>(&'a mut self, text: &'a [u8]) -> Result<Value<'a>, BodyFault> {
        let text = self.fill(text).map_err(|_| BodyFault {
            kind: BodyFaultKind::Malformed,
            param: None,
            message: "the body is not valid JSON".to_owned(),
        })?;
        let value = Value { text, nodes: &self.nodes, long: Long::Kept(&self.kept), at: 0 };
        match value.doubled() {
            None => Ok(value),
            Some(name) => {
                // It is the sender's own word, and as long as the sender likes.
                let first: String = name.chars().take(SHOWN + 1).collect();
                let name = clean(&first, SHOWN);
                Err(BodyFault {
                    kind: BodyFaultKind::Repeated,
                    message: format!("`{name}` is given more than once in one object"),
                    param: Some(name),
                })
            }
        }
    }

    fn fill<'a>(&mut self, text: &'a [u8]) -> Result<&'a str, Flaw> {
        let text = simdutf8::basic::from_utf8(text).map_err(|_| Flaw { at: 0, kind: FlawKind::Expected("UTF-8") })?;
        if u32::try_from(text.len()).is_err() {
            return Err(Flaw { at: 0, kind: FlawKind::Expected("a shorter text") });
        }
        self.nodes.clear();
        self.nodes.reserve((text.len() / USUAL).min(MOST_AT_ONCE));
        self.kept = Kept::default();
        let mut cursor = Cursor::lenient(text.as_bytes());
        self.value(&mut cursor)?;
        cursor.end()?;
        Ok(text)
    }

    /// One value with all that is in it; as deep as the cursor allows.
    fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Flaw> {
        let kind = cursor.kind()?;
        let start = cursor.position();
        let at = self.nodes.len();
        if at >= MOST {
            return Err(Flaw { at: start, kind: FlawKind::Expected("fewer values") });
        }
        self.nodes.push(Packed::of(Node { kind, escaped: false, span: Span { start, end: start }, next: 0 }));
        let mut escaped = false;
        match kind {
            Kind::Object => {
                let mut more = cursor.open_object()?;
                while more {
                    let key = cursor.key()?;
                    let next = self.nodes.len() + 1;
                    let name = Node { kind: Kind::String, escaped: key.escaped, span: key.quoted(), next };
                    self.nodes.push(Packed::of(name));
                    self.value(cursor)?;
                    more = cursor.next_field()?;
                }
            }
            Kind::Array => {
                let mut more = cursor.open_array()?;
                while more {
                    self.value(cursor)?;
                    more = cursor.next_item()?;
                }
            }
            Kind::String => escaped = cursor.string()?.escaped,
            _ => {
                cursor.pass()?;
            }
        }
        let next = self.nodes.len();
        if let Some(node) = self.nodes.get_mut(at) {
            *node = Packed::of(Node { kind, escaped, span: Span { start, end: cursor.position() }, next });
        }
        Ok(())
    }
}

impl<'a> Value<'a> {
    fn node(&self) -> Node {
        // Places are made by `Tape` alone; the fallback is for the compiler.
        let none = Node { kind: Kind::Null, escaped: false, span: Span::default(), next: usize::MAX };
        self.nodes.get(self.at).map_or(none, |node| node.node())
    }

    fn at(&self, at: usize) -> Value<'a> {
        Value { at, ..*self }
    }

    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Where it stands in the text.
    pub fn span(&self) -> Span {
        self.node().span
    }

    /// The value as it is written.
    pub fn raw(&self) -> &'a str {
        let span = self.node().span;
        self.text.get(span.start..span.end).unwrap_or("null")
    }

    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    pub fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    pub fn is_array(&self) -> bool {
        self.kind() == Kind::Array
    }

    pub fn is_string(&self) -> bool {
        self.kind() == Kind::String
    }

    /// Whether it is a string with escapes in it.
    pub(super) fn is_escaped(&self) -> bool {
        self.node().escaped
    }

    /// The value itself if it is a string that says anything.
    pub fn spoken(self) -> Option<Value<'a>> {
        (self.is_string() && self.span().len() > 2).then_some(self)
    }

    /// The field of this name; null is the same as absent.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.field(name).filter(|value| !value.is_null())
    }

    /// The field of this name, null or not.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields_raw().find(|(key, _)| key.is_text(name)).map(|(_, value)| value)
    }

    /// The fields of these names in one go, as [`Value::get`] finds them one by one.
    pub fn pick<const N: usize>(&self, names: [&str; N]) -> [Option<Value<'a>>; N] {
        let mut found = [None; N];
        for (key, value) in self.fields_raw() {
            let place = names.iter().position(|name| key.is_text(name));
            if let Some(slot) = place.and_then(|place| found.get_mut(place)) {
                slot.get_or_insert(value);
            }
        }
        found.map(|value: Option<Value<'a>>| value.filter(|value| !value.is_null()))
    }

    /// What stands at the end of a path of field names.
    pub fn path(&self, names: &[&str]) -> Option<Value<'a>> {
        names.iter().try_fold(*self, |value, name| value.get(name))
    }

    /// Items of an array; nothing for anything else.
    pub fn items(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let node = self.node();
        let here = *self;
        let end = if node.kind == Kind::Array { node.next } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let item = here.at(at);
                at = item.node().next;
                item
            })
        })
    }

    /// Fields of an object in their order; nothing for anything else.
    pub fn fields(&self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> + use<'a> {
        self.fields_raw().map(|(key, value)| (key.string().unwrap_or_default(), value))
    }

    fn fields_raw(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let node = self.node();
        let here = *self;
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let value = here.at(at + 1);
                let field = (here.at(at), value);
                at = value.node().next;
                field
            })
        })
    }

    /// What a string means; none for anything else. Halves of surrogate pairs become replacement characters.
    pub fn string(&self) -> Option<Cow<'a, str>> {
        let node = self.node();
        if node.kind != Kind::String {
            return None;
        }
        let inner = self.text.get(node.span.start + 1..node.span.end.saturating_sub(1))?;
        let long = if inner.len() < LONG { Long::Copied } else { self.long };
        Some(match long {
            _ if !node.escaped => Cow::Borrowed(inner),
            Long::Copied => Cow::Owned(unescape(inner)),
            Long::Kept(kept) => Cow::Borrowed(kept.get((self.at, Form::Meant), || unescape(inner))),
            Long::Raw => Cow::Borrowed(inner),
        })
    }

    /// What this string has become in other words, kept where it is long and the text was read for that.
    pub fn rewritten(&self, text: String) -> Cow<'a, str> {
        match self.long {
            Long::Kept(kept) if text.len() >= LONG => Cow::Borrowed(kept.get((self.at, Form::Rewritten), || text)),
            _ => Cow::Owned(text),
        }
    }

    /// What is kept of the whole text so far.
    pub fn kept(&self) -> impl Iterator<Item = Bytes> + use<'a> {
        let kept = if let Long::Kept(kept) = self.long { Some(kept) } else { None };
        kept.into_iter().flat_map(Kept::all)
    }

    /// The string under this name.
    pub fn str(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.string()
    }

    /// Whether it is the string `text`.
    pub fn is_text(&self, text: &str) -> bool {
        let node = self.node();
        match node.escaped {
            // Most names are told apart by their lengths alone.
            false => {
                let (start, end) = (node.span.start + 1, node.span.end.saturating_sub(1));
                node.kind == Kind::String
                    && end.checked_sub(start) == Some(text.len())
                    && self.text.as_bytes().get(start..end) == Some(text.as_bytes())
            }
            true => {
                let span = Span { start: node.span.start + 1, end: node.span.end.saturating_sub(1) };
                Text { span, escaped: true }.may_be(text) && self.string().is_some_and(|meant| meant == text)
            }
        }
    }

    pub fn bool(&self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// A number as it is written.
    pub fn number(&self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.raw())
    }

    /// A whole number that is not negative.
    pub fn u64(&self) -> Option<u64> {
        written_count(self.number()?.as_bytes())
    }

    /// The whole number under this name.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.u64()
    }

    /// A name that some object in here has twice.
    fn doubled(&self) -> Option<String> {
        let end = self.node().next.min(self.nodes.len());
        (self.at..end).map(|at| self.at(at)).filter(Value::is_object).find_map(|object| {
            let count = object.fields_raw().count();
            let mut names: Vec<Cow<'a, str>> = Vec::new();
            if count <= FEW {
                return object.fields_raw().enumerate().skip(1).find_map(|(place, (key, _))| {
                    let name = key.string().unwrap_or_default();
                    object.fields_raw().take(place).any(|(other, _)| other.is_text(&name)).then(|| name.into_owned())
                });
            }
            names.extend(object.fields_raw().filter_map(|(key, _)| key.string()));
            names.sort_unstable();
            names.windows(2).find_map(|pair| match pair {
                [one, other] if one == other => Some(one.to_string()),
                _ => None,
            })
        })
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never its text: it may be a prompt or an answer.
        write!(f, "{:?} of {} bytes", self.kind(), self.span().len())
    }
}

/// What the inside of a string means. The grammar was checked.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        rest = match escape.as_bytes().first() {
            Some(b'u') => unicode(escape, &mut out),
            Some(letter) => {
                out.push(match letter {
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    other => char::from(*other),
                });
                escape.get(1..).unwrap_or_default()
            }
            None => "",
        };
    }
    out.push_str(rest);
    out
}

/// One `u` escape, or two that make a pair; what follows.
fn unicode<'a>(escape: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| text.get(1..5).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let first = unit(escape).unwrap_or(0xfffd);
    let rest = escape.get(5..).unwrap_or_default();
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.strip_prefix('\\').filter(|second| second.starts_with('u')).and_then(unit)
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return rest.get(6..).unwrap_or_default();
    }
    out.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_nothing_is_changed() {
        let body = r#"{"a":[1,{"b":"x\n\u00e4\ud83d\ude00\ud83d"},null],"n":-1.50e3,"a\u0062":true,"e":{},"c":7.0}"#;
        let mut tape = Tape::default();
        let value = tape.read(body.as_bytes()).unwrap();
        let items: Vec<_> = value.get("a").unwrap().items().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].str("b").unwrap(), "x\nä😀\u{fffd}");
        assert_eq!(value.get("n").unwrap().number(), Some("-1.50e3"));
        let [number, none, escaped] = value.pick(["n", "none", "ab"]).map(|value| value.map(|value| value.raw()));
        assert_eq!((number, none, escaped), (Some("-1.50e3"), None, value.get("ab").map(|value| value.raw())));
        assert_eq!(value.get("ab").unwrap().bool(), Some(true));
        assert_eq!(value.get("e").unwrap().fields().count(), 0);
        assert_eq!(value.get("c").unwrap().u64(), Some(7));
        assert_eq!(value.get("a").unwrap().raw(), r#"[1,{"b":"x\n\u00e4\ud83d\ude00\ud83d"},null]"#);
        assert!(value.get("zz").is_none() && value.path(&["e", "x"]).is_none());
        assert_eq!(value.fields().map(|(name, _)| name.into_owned()).collect::<Vec<_>>(), ["a", "n", "ab", "e", "c"]);
    }

    #[test]
    fn doubled_names_are_refused_at_any_depth() {
        let many: String = (0..20).map(|at| format!(r#""k{at}":0,"#)).collect();
        for (body, doubled) in [
            (r#"{"a":1,"b":[{"c":1,"c":2}]}"#.to_owned(), Some("c")),
            (r#"{"a":1,"\u0061":2}"#.to_owned(), Some("a")),
            (r#"{"a":{"a":1},"b":{"a":2}}"#.to_owned(), None),
            (format!(r#"{{{many}"k3":1}}"#), Some("k3")),
            (format!(r#"{{{many}"k":1}}"#), None),
        ] {
            let mut tape = Tape::default();
            let found = tape.read_strictly(body.as_bytes()).err().and_then(|fault| fault.param);
            assert_eq!(found.as_deref(), doubled, "{body}");
        }
    }

    #[test]
    fn a_doubled_name_is_shown_in_part() {
        for name in ["x".repeat(1 << 20), r"\u00e4 ".repeat(1 << 17)] {
            let body = format!(r#"{{"{name}":1,"{name}":2}}"#);
            let fault = Tape::default().read_strictly(body.as_bytes()).unwrap_err();
            assert_eq!(fault.kind, BodyFaultKind::Repeated);
            assert!(fault.param.as_ref().is_some_and(|param| (60..=65).contains(&param.chars().count())));
            assert!(fault.message.len() < 256);
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_escaped() {
        for (written, meant, is_same) in [
            (r"\u0061\u0062", "ab", true),
            (r"a\u0062", "ab", true),
            (r"\ud83d\ude00", "😀", true),
            (r"\ud83d", "\u{fffd}", true),
            (r"\u00e4", "ä", true),
            (r"\n", "\n", true),
            (r"\u0061\u0062\u0063", "ab", false),
            (r"\u0061", "", false),
            (r"\u0061", "ab", false),
        ] {
            let (text, mut tape) = (format!("\"{written}\""), Tape::default());
            assert_eq!(tape.read(text.as_bytes()).unwrap().is_text(meant), is_same, "{written}");
        }
    }

    #[test]
    fn a_long_name_is_not_read_to_find_a_short_one() {
        let (body, mut tape) = (format!(r#"{{"{}":1}}"#, r"\u0061".repeat(1 << 18)), Tape::default());
        let value = tape.read_strictly(body.as_bytes()).unwrap();
        assert!(value.get("model").is_none());
        assert_eq!(value.kept().count(), 0, "what was read is kept");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in ["", "{", "[1,]", "{\"a\"}", "\"\\x\"", "1 2", "nul"] {
            assert!(Tape::default().read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Tape::default().read(b"\"\xff\"").is_err());
    }
}
