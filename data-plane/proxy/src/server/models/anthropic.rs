//! Models in Anthropic's shape.

use domain::{snapshot::ModelEntry, time::Timestamp};
use serde::Serialize;

use super::Page;

#[derive(Serialize)]
struct List<'a> {
    data: Vec<Card<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Card<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
    max_input_tokens: u64,
    max_tokens: Option<u64>,
}

impl<'a> Card<'a> {
    fn of(entry: &'a ModelEntry) -> Card<'a> {
        let model = &*entry.model;
        Card {
            kind: "model",
            id: model.id.as_str(),
            display_name: &model.name,
            created_at: Timestamp::from_us(model.created.saturating_mul(1_000_000)).to_string(),
            max_input_tokens: model.context_length,
            max_tokens: model.max_output_tokens,
        }
    }
}

/// The list.
pub(super) fn list<'a>(entries: impl Iterator<Item = &'a ModelEntry>, page: &Page) -> impl Serialize {
    let (entries, has_more) = page.cut(entries);
    let data: Vec<Card<'a>> = entries.into_iter().map(Card::of).collect();
    let ends = (data.first().map(|card| card.id), data.last().map(|card| card.id));
    List { data, has_more, first_id: ends.0, last_id: ends.1 }
}

/// One of it.
pub(super) fn one(entry: &ModelEntry) -> impl Serialize {
    Card::of(entry)
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn the_shape_is_anthropics() {
        let entries = ["a/1", "a/2"].map(entry);
        let value = serde_json::to_value(list(entries.iter(), &Page::All)).unwrap();
        assert_eq!(value["data"][0]["type"], "model");
        assert_eq!(
            value["data"][0]["created_at"].as_str().map(|time| time.starts_with("1970-01-01T00:00:07")),
            Some(true)
        );
        assert_eq!((&value["first_id"], &value["last_id"]), (&"a/1".into(), &"a/2".into()));
        assert_eq!(value["has_more"], false);
        let empty = serde_json::to_value(list([].iter(), &Page::All)).unwrap();
        assert!(empty["first_id"].is_null() && empty["data"].as_array().is_some_and(Vec::is_empty));
    }
}
