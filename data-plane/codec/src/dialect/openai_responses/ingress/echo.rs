//! What every response repeats of its request: rendered once, on one line, bounded, with the API's defaults for all that
//! was not said.
//! Must never look at the conversation.

use bytes::Bytes;

use crate::json::{Cursor, Flaw, Span, Tape, Value, Writer};

/// Most bytes that are repeated. A field that does not fit any more is repeated as if it had not been said: a stream repeats
/// this three times, and holds it while it lasts.
const MOST: usize = 128 * 1024;

/// Fields that are repeated as they were written, with what stands there otherwise.
const PLAIN: [(&str, &str); 16] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("frequency_penalty", "0"),
    ("presence_penalty", "0"),
    ("prompt_cache_key", "null"),
    ("safety_identifier", "null"),
    ("temperature", "1"),
    ("tool_choice", "\"auto\""),
    ("top_logprobs", "0"),
    ("top_p", "1"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
    ("previous_response_id", "null"),
];

/// Fields that are repeated with everything in them that clients expect.
type Render = fn(Value<'_>, &mut Writer);
const FULL: [(&str, &str, Render); 3] = [
    ("reasoning", r#"{"effort":null,"summary":null}"#, reasoning),
    ("text", r#"{"format":{"type":"text"}}"#, text),
    ("tools", "[]", tools),
];

/// The fields of a JSON object, without its braces.
pub(super) fn render(request: &Bytes) -> String {
    let spans = spans(request).unwrap_or_default();
    let said = |name: &str| {
        let (_, span) = spans.iter().flatten().find(|(known, _)| *known == name)?;
        let value = std::str::from_utf8(span.of(request)).ok()?;
        (value != "null").then_some(value)
    };
    let mut out = Writer::into(Vec::with_capacity(1024));
    out.field_bool("background", false);
    out.field_bool("store", false);
    let mut room = MOST;
    let mut fits = |value: &&str| {
        let fits = value.len() <= room;
        room -= if fits { value.len() } else { 0 };
        fits
    };
    for (name, otherwise) in PLAIN {
        out.key(name);
        out.line(said(name).filter(&mut fits).unwrap_or(otherwise));
    }
    let mut tape = Tape::default();
    for (name, otherwise, render) in FULL {
        out.key(name);
        match said(name).filter(&mut fits).and_then(|text| tape.read(text.as_bytes()).ok()) {
            Some(value) => render(value, &mut out),
            None => out.raw(otherwise),
        }
    }
    String::from_utf8(out.into_buffer()).unwrap_or_default()
}

/// Names of all fields that may be repeated.
fn names() -> impl Iterator<Item = &'static str> {
    PLAIN.iter().map(|(name, _)| *name).chain(FULL.iter().map(|(name, _, _)| *name))
}

type Spans = [Option<(&'static str, Span)>; PLAIN.len() + FULL.len()];

/// Where these fields stand. Everything else is passed over without being looked at.
fn spans(request: &[u8]) -> Result<Spans, Flaw> {
    let mut spans = Spans::default();
    let mut cursor = Cursor::lenient(request);
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        let met = cursor.name(key);
        cursor.kind()?;
        let span = cursor.pass()?;
        for (at, name) in names().enumerate().filter(|(_, name)| name.as_bytes() == &*met) {
            if let Some(place) = spans.get_mut(at) {
                *place = Some((name, span));
            }
        }
        more = cursor.next_field()?;
    }
    Ok(spans)
}

fn raw_or_null(out: &mut Writer, object: Value<'_>, name: &str) {
    out.key(name);
    out.line(object.get(name).map_or("null", |value| value.raw()));
}

fn reasoning(value: Value<'_>, out: &mut Writer) {
    out.begin_object();
    raw_or_null(out, value, "effort");
    raw_or_null(out, value, "summary");
    out.end_object();
}

fn text(value: Value<'_>, out: &mut Writer) {
    out.begin_object();
    out.key("format");
    match value.get("format").filter(|format| format.get("type").is_some_and(|kind| kind.is_text("json_schema"))) {
        Some(format) => {
            out.begin_object();
            out.field_str("type", "json_schema");
            for name in ["name", "description", "schema"] {
                raw_or_null(out, format, name);
            }
            out.field_bool("strict", format.get("strict").and_then(|strict| strict.bool()).unwrap_or(false));
            out.end_object();
        }
        None => out.line(value.get("format").map_or(r#"{"type":"text"}"#, |format| format.raw())),
    }
    if let Some(verbosity) = value.get("verbosity") {
        out.key("verbosity");
        out.line(verbosity.raw());
    }
    out.end_object();
}

fn tools(value: Value<'_>, out: &mut Writer) {
    out.begin_array();
    for tool in value.items() {
        if !tool.get("type").is_some_and(|kind| kind.is_text("function")) {
            out.line(tool.raw());
            continue;
        }
        out.begin_object();
        out.field_str("type", "function");
        for name in ["name", "description", "parameters"] {
            raw_or_null(out, tool, name);
        }
        out.field_bool("strict", tool.get("strict").and_then(|strict| strict.bool()).unwrap_or(true));
        out.end_object();
    }
    out.end_array();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn rendered(body: &str) -> Json {
        let fields = render(&Bytes::copy_from_slice(body.as_bytes()));
        serde_json::from_str(&format!("{{{fields}}}")).unwrap()
    }

    #[test]
    fn everything_that_was_said_is_repeated_and_the_rest_has_its_default() {
        let plain = rendered(r#"{"model":"m","input":"x","instructions":null}"#);
        assert_eq!(plain["instructions"], Json::Null);
        assert_eq!((&plain["temperature"], &plain["tools"], &plain["store"]), (&json!(1), &json!([]), &json!(false)));
        let said = rendered(
            r#"{"input":[{"tools":1}],"instructions":"a\n","temperature":0.50,"store":true,"metadata":{"k":"v"},
            "tools":[{"type":"function","name":"f"},{"type":"web_search"}],"reasoning":{"effort":"low"},
            "text":{"verbosity":"low","format":{"type":"json_schema","name":"n","schema":{"type":"object"}}}}"#,
        );
        assert_eq!((&said["instructions"], &said["temperature"]), (&json!("a\n"), &json!(0.5)));
        assert_eq!((&said["store"], &said["metadata"]), (&json!(false), &json!({"k":"v"})));
        assert_eq!(said["reasoning"], json!({"effort":"low","summary":null}));
        assert_eq!(
            said["tools"],
            json!([{"type":"function","name":"f","description":null,"parameters":null,"strict":true},{"type":"web_search"}])
        );
        let format =
            json!({"type":"json_schema","name":"n","description":null,"schema":{"type":"object"},"strict":false});
        assert_eq!(said["text"], json!({"format":format,"verbosity":"low"}));
        for odd in ["", "[]", "{", "null", r#"{"tools":7,"text":[],"reasoning":"x"}"#] {
            assert!(rendered(odd)["tools"].is_array(), "{odd}");
        }
    }

    #[test]
    fn what_is_repeated_is_bounded() {
        assert!(
            !render(&Bytes::from_static(b"{\"tools\":[{\n\"type\":\"function\"}, \n7],\"metadata\":{\n}}"))
                .contains('\n')
        );
        let long = "x".repeat(MOST - 10);
        let said = rendered(&format!(
            r#"{{"instructions":"{long}","tools":[{{"type":"function","name":"{}"}}],"user":"u"}}"#,
            "y".repeat(100)
        ));
        assert_eq!(said["instructions"], json!(long));
        assert_eq!((&said["tools"], &said["user"]), (&json!([]), &json!("u")));
        assert_eq!(rendered(&format!(r#"{{"instructions":"{long}{long}"}}"#))["instructions"], Json::Null);
    }
}
