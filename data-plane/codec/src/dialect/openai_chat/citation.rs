//! What the citations of any dialect name, as far as it is an address: what clients of both of OpenAI's dialects are told
//! of them. Must never keep anything; `ingress` and the Responses' own half write what is found.

use std::borrow::Cow;

use crate::json::{Tape, Value};

/// Where the cited text stands in the message, in letters.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct Place {
    pub start: u64,
    pub end: u64,
}

/// One address that is cited.
#[derive(Debug)]
pub(in crate::dialect) struct Cited<'a> {
    pub url: Cow<'a, str>,
    pub title: Cow<'a, str>,
    pub place: Place,
}

/// How deep in a citation an address is looked for.
const DEPTH: usize = 4;

/// Gives every address in one citation, at the place it tells or else at this one; false when it names none.
pub(in crate::dialect) fn find<'a>(citation: Value<'a>, place: Place, found: &mut dyn FnMut(&Cited<'a>)) -> bool {
    search(citation, place, DEPTH, found)
}

/// Gives each citation of a list to `take`, which says whether it had a place for it; false when one had none.
pub(in crate::dialect) fn each(list: &str, mut take: impl FnMut(Value<'_>) -> bool) -> bool {
    let mut tape = Tape::default();
    let Ok(list) = tape.read(list.as_bytes()) else { return false };
    list.items().fold(list.is_array(), |all, citation| take(citation) && all)
}

/// The value itself if it names an address, else what is in it.
fn search<'a>(value: Value<'a>, place: Place, depth: usize, found: &mut dyn FnMut(&Cited<'a>)) -> bool {
    if let Some(url) = address(value) {
        let count = |name: &str, usual: u64| value.count(name).unwrap_or(usual);
        let place = Place { start: count("start_index", place.start), end: count("end_index", place.end) };
        found(&Cited { url, title: value.str("title").unwrap_or_default(), place });
        return true;
    }
    if depth == 0 {
        return false;
    }
    let inner = value.items().chain(value.fields().map(|(_, inner)| inner));
    inner.filter(|inner| search(*inner, place, depth - 1, found)).count() > 0
}

fn address(citation: Value<'_>) -> Option<Cow<'_, str>> {
    citation.str("url").or_else(|| citation.str("uri")).filter(|url| !url.is_empty())
}
