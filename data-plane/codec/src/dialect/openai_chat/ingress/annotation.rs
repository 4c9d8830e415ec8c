//! Citations as this dialect's clients know them, made from the citations of whoever answered. Only those that name an
//! address have a place here.

use std::borrow::Cow;

use crate::json::{Tape, Value, Writer};

/// Where the cited text stands in the message, in letters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub start: u64,
    pub end: u64,
}

/// How deep in a citation an address is looked for.
const DEPTH: usize = 4;

/// Writes what one citation names; false when it names no address, and so has no place here.
pub(super) fn write(out: &mut Writer, citation: Value<'_>, place: Place) -> bool {
    // In this dialect's own shape, the field is named as the type is.
    if citation.str("type").and_then(|kind| citation.get(&kind)).is_some_and(|inner| inner.is_object()) {
        out.raw(citation.raw());
        return true;
    }
    write_found(out, citation, place, DEPTH)
}

/// Writes all citations of a list into one that is open; false when one had no place.
pub(super) fn write_all(out: &mut Writer, list: &str, place: Place) -> bool {
    let mut tape = Tape::default();
    let Ok(list) = tape.read(list.as_bytes()) else { return false };
    list.items().fold(list.is_array(), |all, citation| write(out, citation, place) && all)
}

/// Writes a citation for the value if it names an address, else for what is in it.
fn write_found(out: &mut Writer, value: Value<'_>, place: Place, depth: usize) -> bool {
    if let Some(url) = address(value) {
        write_one(out, value, &url, place);
        return true;
    }
    if depth == 0 {
        return false;
    }
    let inner = value.items().chain(value.fields().map(|(_, inner)| inner));
    inner.filter(|inner| write_found(out, *inner, place, depth - 1)).count() > 0
}

fn write_one(out: &mut Writer, citation: Value<'_>, url: &str, place: Place) {
    let count = |name: &str, usual: u64| citation.count(name).unwrap_or(usual);
    out.begin_object();
    out.field_str("type", "url_citation");
    out.key("url_citation");
    out.begin_object();
    out.field_str("url", url);
    out.field_str("title", &citation.str("title").unwrap_or_default());
    out.field_u64("start_index", count("start_index", place.start));
    out.field_u64("end_index", count("end_index", place.end));
    out.end_object();
    out.end_object();
}

fn address<'a>(citation: Value<'a>) -> Option<Cow<'a, str>> {
    citation.str("url").or_else(|| citation.str("uri")).filter(|url| !url.is_empty())
}
