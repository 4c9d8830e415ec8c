//! A call's arguments. Google has them as an object, others as the text that the model wrote, which may be cut or
//! broken; nothing of it is dropped. Vertex may send an object in pieces, each with its place.

use crate::json::{Tape, Value, Writer};

/// Where a text goes that is no object.
const LOOSE: &str = "arguments";

/// Writes a text as the object it is, and anything else inside one under `loose`.
pub(super) fn write_object(text: &str, loose: &str, out: &mut Writer) {
    let text = text.trim();
    if text.is_empty() {
        out.begin_object();
        return out.end_object();
    }
    let mut tape = Tape::default();
    match tape.read(text.as_bytes()) {
        // Models write some arguments over several lines, and a line ends an event of a stream.
        Ok(value) if value.is_object() => out.line(text),
        Ok(value) if value.is_array() => wrapped(loose, out, |out| out.line(text)),
        _ => wrapped(loose, out, |out| out.string(text)),
    }
}

fn wrapped(name: &str, out: &mut Writer, write: impl FnOnce(&mut Writer)) {
    out.begin_object();
    out.key(name);
    write(out);
    out.end_object();
}

/// Writes the arguments of a call.
pub(super) fn write(text: &str, out: &mut Writer) {
    write_object(text, LOOSE, out);
}

/// Bytes of arguments that are held while they come in pieces.
const MOST_BYTES: usize = 1024 * 1024;
/// Levels of places.
const MOST_LEVELS: usize = 64;

/// An object that comes in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    root: Node,
    bytes: usize,
}

#[derive(Debug)]
enum Node {
    /// A place that is there because something inside or behind it was named.
    Nothing,
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    /// A number or a word, as it was written.
    Raw(String),
}

/// A piece that has no place, or no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit;

#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Name(&'a str),
    Place(usize),
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces { root: Node::Object(Vec::new()), bytes: 0 }
    }
}

impl Pieces {
    /// Puts one of `partialArgs` where it belongs: text goes on behind the text that is there.
    pub fn add(&mut self, piece: Value<'_>) -> Result<(), Misfit> {
        self.bytes += piece.span().len();
        if self.bytes > MOST_BYTES {
            return Err(Misfit);
        }
        let path = piece.str("jsonPath").ok_or(Misfit)?;
        let raw = |name: &str| piece.field(name).map(|value| Node::Raw(value.raw().to_owned()));
        let value = match piece.str("stringValue") {
            Some(text) => Node::Text(text.into_owned()),
            // An empty text has no value at all in protobuf's eyes.
            None => raw("numberValue").or_else(|| raw("boolValue")).unwrap_or_else(|| match piece.field("nullValue") {
                Some(_) => Node::Raw("null".to_owned()),
                None => Node::Text(String::new()),
            }),
        };
        self.root.put(&steps(&path).ok_or(Misfit)?, value)
    }

    /// The object so far.
    pub fn text(&self) -> String {
        let mut out = Writer::into(Vec::new());
        self.root.write(&mut out);
        String::from_utf8(out.into_buffer()).unwrap_or_default()
    }
}

impl Node {
    /// As deep as there are steps, which is bounded.
    fn put(&mut self, steps: &[Step<'_>], value: Node) -> Result<(), Misfit> {
        let Some((step, rest)) = steps.split_first() else {
            match (self, value) {
                (Node::Text(text), Node::Text(more)) => text.push_str(&more),
                (node @ (Node::Nothing | Node::Text(_) | Node::Raw(_)), value) => *node = value,
                _ => return Err(Misfit),
            }
            return Ok(());
        };
        self.inside(step).ok_or(Misfit)?.put(rest, value)
    }

    /// The place a step leads to: a new one where it is the next.
    fn inside(&mut self, step: &Step<'_>) -> Option<&mut Node> {
        match step {
            Step::Name(name) => {
                if matches!(self, Node::Nothing) {
                    *self = Node::Object(Vec::new());
                }
                let Node::Object(fields) = self else { return None };
                let at = fields.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    fields.push(((*name).to_owned(), Node::Nothing));
                    fields.len() - 1
                });
                fields.get_mut(at).map(|(_, node)| node)
            }
            Step::Place(at) => {
                if matches!(self, Node::Nothing) {
                    *self = Node::Array(Vec::new());
                }
                let Node::Array(items) = self else { return None };
                if *at == items.len() {
                    items.push(Node::Nothing);
                }
                items.get_mut(*at)
            }
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Node::Nothing => out.null(),
            Node::Text(text) => out.string(text),
            Node::Raw(raw) => out.raw(raw),
            Node::Array(items) => {
                out.begin_array();
                items.iter().for_each(|item| item.write(out));
                out.end_array();
            }
            Node::Object(fields) => {
                out.begin_object();
                for (name, node) in fields {
                    out.key(name);
                    node.write(out);
                }
                out.end_object();
            }
        }
    }
}

/// The steps of a path such as `$.a[0]['b c']`; none when it is no path, or names the whole.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let step = match rest.strip_prefix('.') {
            Some(named) => {
                let end = named.find(['.', '[']).unwrap_or(named.len());
                let (name, behind) = named.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
                rest = behind;
                Step::Name(name)
            }
            None => {
                let inner = rest.strip_prefix('[')?;
                let quote = inner.chars().next().filter(|first| matches!(first, '\'' | '"'));
                let (text, behind) = match quote {
                    Some(quote) => inner.get(1..)?.split_once(&format!("{quote}]")[..])?,
                    None => inner.split_once(']')?,
                };
                rest = behind;
                if quote.is_some() { Step::Name(text) } else { Step::Place(text.parse().ok()?) }
            }
        };
        steps.push(step);
        if steps.len() > MOST_LEVELS {
            return None;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Writer::into(Vec::new());
        write(text, &mut out);
        String::from_utf8(out.into_buffer()).unwrap()
    }

    #[test]
    fn t22_t23_arguments_are_an_object_and_nothing_is_dropped() {
        for (text, expected) in [
            ("", "{}"),
            (" ", "{}"),
            (r#" {"a": 1.0} "#, r#"{"a": 1.0}"#),
            (r#"{"a":1"#, r#"{"arguments":"{\"a\":1"}"#),
            ("[1]", r#"{"arguments":[1]}"#),
            ("7", r#"{"arguments":"7"}"#),
            ("null", r#"{"arguments":"null"}"#),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    fn add(pieces: &mut Pieces, piece: &str) -> Result<(), Misfit> {
        pieces.add(Tape::default().read(piece.as_bytes()).unwrap())
    }

    #[test]
    fn pieces_find_their_places() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.text(), "{}");
        for piece in [
            r#"{"jsonPath":"$.recipe.ingredients[0].amount","stringValue":"16 ","willContinue":true}"#,
            r#"{"jsonPath":"$.recipe.ingredients[0].amount","stringValue":"oz"}"#,
            r#"{"jsonPath":"$.recipe.ingredients[1]","numberValue":1.50}"#,
            r#"{"jsonPath":"$['odd name'].on","boolValue":false}"#,
            r#"{"jsonPath":"$.none","nullValue":"NULL_VALUE"}"#,
            r#"{"jsonPath":"$.empty"}"#,
        ] {
            assert_eq!(add(&mut pieces, piece), Ok(()), "{piece}");
        }
        let expected =
            r#"{"recipe":{"ingredients":[{"amount":"16 oz"},1.50]},"odd name":{"on":false},"none":null,"empty":""}"#;
        assert_eq!(pieces.text(), expected);
        for piece in [
            r#"{"stringValue":"x"}"#,
            r#"{"jsonPath":"$","stringValue":"x"}"#,
            r#"{"jsonPath":"$.recipe.ingredients[9]","stringValue":"x"}"#,
            r#"{"jsonPath":"$.recipe[0]","stringValue":"x"}"#,
            r#"{"jsonPath":"$.recipe","stringValue":"x"}"#,
            r#"{"jsonPath":"$..x","stringValue":"x"}"#,
            r#"{"jsonPath":"$[","stringValue":"x"}"#,
            r#"{"jsonPath":"$['","stringValue":"x"}"#,
        ] {
            assert_eq!(add(&mut pieces, piece), Err(Misfit), "{piece}");
        }
        assert_eq!(pieces.text(), expected);
        let large = format!(r#"{{"jsonPath":"$.x","stringValue":"{}"}}"#, "a".repeat(MOST_BYTES));
        assert_eq!(add(&mut pieces, &large), Err(Misfit));
        let deep = format!(r#"{{"jsonPath":"$.a{}","stringValue":""}}"#, "[0]".repeat(100));
        assert_eq!(add(&mut Pieces::default(), &deep), Err(Misfit));
    }
}
