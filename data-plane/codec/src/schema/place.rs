//! Places in a schema: their names as JSON pointers, and what a reference points at. Only inside the schema: nothing is
//! ever fetched.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::json::Value;

/// Longer names are cut in a path, and longer paths stop.
const MAX_NAME: usize = 64;
const MAX_PATH: usize = 512;

/// Adds a name to a JSON pointer.
pub(super) fn push_name(path: &mut String, name: &str) {
    if path.len() >= MAX_PATH {
        return;
    }
    path.push('/');
    for letter in name.chars().take(MAX_NAME) {
        match letter {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            letter => path.push(letter),
        }
    }
    if name.chars().nth(MAX_NAME).is_some() {
        path.push('…');
    }
}

/// The JSON pointer of the value that begins at `offset`.
pub(super) fn locate(root: Value<'_>, offset: usize) -> String {
    let mut path = String::new();
    let mut here = root;
    let holds = |value: &Value<'_>| value.span().start <= offset && offset < value.span().end;
    while here.span().start < offset {
        let field = here.fields().find(|(_, value)| holds(value));
        let item = || here.items().enumerate().find(|(_, value)| holds(value));
        here = match (field, item()) {
            (Some((name, value)), _) => {
                push_name(&mut path, &name);
                value
            }
            (None, Some((place, value))) => {
                push_name(&mut path, &place.to_string());
                value
            }
            (None, None) => break,
        };
    }
    path
}

/// What references of one schema point at. Looking up is quick however many there are.
pub(super) struct Places<'a> {
    root: Value<'a>,
    /// What the schema calls itself; references may begin with it.
    base: Option<Cow<'a, str>>,
    /// Fields of the objects that pointers went through, by where the object begins.
    fields: HashMap<usize, BTreeMap<Cow<'a, str>, Value<'a>>>,
    /// Items of the arrays that pointers went through, likewise.
    items: HashMap<usize, Vec<Value<'a>>>,
    /// Named places; gathered when the first is asked for.
    anchors: Option<BTreeMap<Cow<'a, str>, Value<'a>>>,
}

impl<'a> Places<'a> {
    pub fn new(root: Value<'a>) -> Places<'a> {
        let base = root.str("$id").map(|id| match id {
            Cow::Borrowed(id) => Cow::Borrowed(id.trim_end_matches('#')),
            Cow::Owned(id) => Cow::Owned(id.trim_end_matches('#').to_owned()),
        });
        Places {
            root,
            base: base.filter(|base| !base.is_empty()),
            fields: HashMap::new(),
            items: HashMap::new(),
            anchors: None,
        }
    }

    /// What a reference points at; none when that is nothing, or not in here.
    pub fn resolve(&mut self, reference: &str) -> Option<Value<'a>> {
        let inner = match &self.base {
            Some(base) => reference.strip_prefix(base.as_ref()).unwrap_or(reference),
            None => reference,
        };
        let fragment = match inner.strip_prefix('#') {
            Some(fragment) => fragment,
            None => return (inner.is_empty() && self.base.is_some()).then_some(self.root),
        };
        let fragment = percent_decoded(fragment)?;
        match fragment.strip_prefix('/') {
            None if fragment.is_empty() => Some(self.root),
            None => self.anchor(&fragment),
            Some(pointer) => pointer.split('/').try_fold(self.root, |value, name| self.child(value, name)),
        }
    }

    fn child(&mut self, value: Value<'a>, name: &str) -> Option<Value<'a>> {
        let name = name.replace("~1", "/").replace("~0", "~");
        let start = value.span().start;
        if value.is_array() {
            let items = self.items.entry(start).or_insert_with(|| value.items().collect());
            return items.get(name.parse::<usize>().ok()?).copied();
        }
        self.fields.entry(start).or_insert_with(|| value.fields().collect()).get(name.as_str()).copied()
    }

    fn anchor(&mut self, name: &str) -> Option<Value<'a>> {
        let root = self.root;
        self.anchors
            .get_or_insert_with(|| {
                let mut found = BTreeMap::new();
                gather_anchors(root, &mut found);
                found
            })
            .get(name)
            .copied()
    }
}

/// As deep as the schema is, which its reader has bounded.
fn gather_anchors<'a>(value: Value<'a>, found: &mut BTreeMap<Cow<'a, str>, Value<'a>>) {
    for (name, field) in value.fields() {
        match (name.as_ref(), field.string()) {
            ("$anchor" | "$dynamicAnchor", Some(anchor)) => drop(found.entry(anchor).or_insert(value)),
            ("$id", Some(id)) if id.starts_with('#') && id.len() > 1 => {
                found.entry(Cow::Owned(id.get(1..).unwrap_or_default().to_owned())).or_insert(value);
            }
            // Data, whatever it looks like.
            ("enum" | "const" | "default" | "example" | "examples", _) => {}
            _ => gather_anchors(field, found),
        }
    }
    value.items().for_each(|item| gather_anchors(item, found));
}

/// Takes `%41` back; none when what comes out is no text.
fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let code = || std::str::from_utf8(behind.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, code()) {
            (b'%', Some(code)) => {
                out.push(code);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    #[test]
    fn references_lead_where_they_point_and_nowhere_else() {
        let schema = r##"{"$id":"https://x.test/s","$defs":{"a/b":{"t":1},"c~d":{"t":2},"ä":{"t":3}},
            "list":[{"t":4}],"e":{"$anchor":"here","t":5},"f":{"$id":"#old","t":6}}"##;
        let mut tape = Tape::default();
        let root = tape.read(schema.as_bytes()).unwrap();
        let mut places = Places::new(root);
        for (reference, found) in [
            ("#/$defs/a~1b", Some(1)),
            ("#/%24defs/a~1b", Some(1)),
            ("#/$defs/c~0d", Some(2)),
            ("#/$defs/%C3%A4", Some(3)),
            ("#/list/0", Some(4)),
            ("#here", Some(5)),
            ("#old", Some(6)),
            ("https://x.test/s#/list/0", Some(4)),
            ("#/list/1", None),
            ("#/list/-", None),
            ("#/nowhere", None),
            ("https://elsewhere.test/s#/list/0", None),
            ("other.json", None),
            ("file:///etc/passwd", None),
            ("#%ff", None),
        ] {
            let value = places.resolve(reference).and_then(|value| value.count("t"));
            assert_eq!(value, found, "{reference}");
        }
        for whole in ["#", "https://x.test/s", "https://x.test/s#"] {
            assert_eq!(places.resolve(whole).unwrap().span(), root.span(), "{whole}");
        }
    }

    #[test]
    fn a_place_is_named_by_its_pointer() {
        let text = r#"{"a":{"b/c":[1,{"d~":2}]},"e":3}"#;
        let mut tape = Tape::default();
        let root = tape.read(text.as_bytes()).unwrap();
        for (value, path) in
            [("2}", "/a/b~1c/1/d~0"), ("{\"d", "/a/b~1c/1"), ("3", "/e"), ("{\"a", ""), ("1,", "/a/b~1c/0")]
        {
            assert_eq!(locate(root, text.find(value).unwrap()), path);
        }
        let mut long = String::new();
        (0..1_000).for_each(|_| push_name(&mut long, &"x".repeat(10_000)));
        assert!(long.len() < 700);
    }
}
