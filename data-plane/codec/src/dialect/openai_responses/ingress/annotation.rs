//! Citations as this dialect's clients know them, made from the citations of whoever answered. Only those that name an
//! address have a place here; finding it is `openai_chat::citation`.

use super::open;
use crate::dialect::openai_chat::citation::{self, Cited, Place};
use crate::json::{Tape, Writer};

/// Writes all citations of a text of so many letters into a list that is open; false when one had no place.
pub(super) fn write_all(out: &mut Writer, list: &str, letters: u64) -> bool {
    citation::each(list, |citation| citation::find(citation, whole(letters), &mut |cited| write_one(out, cited)))
}

/// What one citation of a text that has so many letters by now names, each as a text of its own.
pub(super) fn read(raw: &str, letters: u64) -> Vec<String> {
    let mut all = Vec::new();
    let mut tape = Tape::default();
    if let Ok(citation) = tape.read(raw.as_bytes()) {
        citation::find(citation, whole(letters), &mut |cited| all.push(open::text(|out| write_one(out, cited))));
    }
    all
}

/// How many letters a text has, as places in it are counted.
pub(super) fn letters(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// Places are told within the part, which is cited as a whole where nobody says more.
fn whole(letters: u64) -> Place {
    Place { start: 0, end: letters }
}

fn write_one(out: &mut Writer, cited: &Cited<'_>) {
    out.begin_object();
    out.field_str("type", "url_citation");
    out.field_u64("start_index", cited.place.start);
    out.field_u64("end_index", cited.place.end);
    out.field_str("url", &cited.url);
    out.field_str("title", &cited.title);
    out.end_object();
}
