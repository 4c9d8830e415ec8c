//! Citations as this dialect's clients know them, made from the citations of whoever answered. Only those that name an
//! address have a place here.

pub(super) use crate::dialect::openai_chat::citation::Place;
use crate::dialect::openai_chat::citation::{self, Cited};
use crate::json::{Value, Writer};

/// Writes what one citation names; false when it names no address, and so has no place here.
pub(super) fn write(out: &mut Writer, citation: Value<'_>, place: Place) -> bool {
    // In this dialect's own shape, the field is named as the type is.
    if citation.str("type").and_then(|kind| citation.get(&kind)).is_some_and(|inner| inner.is_object()) {
        out.raw(citation.raw());
        return true;
    }
    citation::find(citation, place, &mut |cited| write_one(out, cited))
}

/// Writes all citations of a list into one that is open; false when one had no place.
pub(super) fn write_all(out: &mut Writer, list: &str, place: Place) -> bool {
    citation::each(list, |citation| write(out, citation, place))
}

fn write_one(out: &mut Writer, cited: &Cited<'_>) {
    out.begin_object();
    out.field_str("type", "url_citation");
    out.key("url_citation");
    out.begin_object();
    out.field_str("url", &cited.url);
    out.field_str("title", &cited.title);
    out.field_u64("start_index", cited.place.start);
    out.field_u64("end_index", cited.place.end);
    out.end_object();
    out.end_object();
}
