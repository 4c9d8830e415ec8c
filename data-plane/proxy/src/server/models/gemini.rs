//! Models in Google's shape.

use domain::snapshot::ModelEntry;
use serde::Serialize;

use super::Page;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    models: Vec<Card<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Card<'a> {
    name: String,
    version: &'static str,
    display_name: &'a str,
    description: &'static str,
    input_token_limit: u64,
    output_token_limit: Option<u64>,
    supported_generation_methods: &'static [&'static str],
}

impl<'a> Card<'a> {
    fn of(entry: &'a ModelEntry) -> Card<'a> {
        let model = &*entry.model;
        Card {
            name: format!("models/{}", model.id),
            version: "001",
            display_name: &model.name,
            description: "",
            input_token_limit: model.context_length,
            output_token_limit: model.max_output_tokens,
            supported_generation_methods: match model.output_modalities.iter().any(|kind| kind == "embeddings") {
                true => &["embedContent", "batchEmbedContents", "countTokens"],
                false => &["generateContent", "countTokens"],
            },
        }
    }
}

/// The list.
pub(super) fn list<'a>(entries: impl Iterator<Item = &'a ModelEntry>, page: &Page) -> impl Serialize {
    let (entries, has_more) = page.cut(entries);
    let next_page_token = entries.last().filter(|_| has_more).map(|entry| entry.model.id.to_string());
    List { models: entries.into_iter().map(Card::of).collect(), next_page_token }
}

/// One of it.
pub(super) fn one(entry: &ModelEntry) -> impl Serialize {
    Card::of(entry)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::entry;
    use super::*;

    #[test]
    fn the_shape_is_googles() {
        let entries = ["a/1", "a/2"].map(entry);
        let page = Page::Some { most: 1, after: None, before: None };
        let value = serde_json::to_value(list(entries.iter(), &page)).unwrap();
        assert_eq!(value["models"][0]["name"], "models/a/1");
        assert_eq!(value["models"][0]["outputTokenLimit"], 100);
        assert_eq!(value["models"][0]["supportedGenerationMethods"][0], "generateContent");
        let mut embedding = entry("a/3");
        Arc::make_mut(&mut embedding.model).output_modalities = vec!["embeddings".to_owned()];
        assert_eq!(serde_json::to_value(one(&embedding)).unwrap()["supportedGenerationMethods"][0], "embedContent");
        assert_eq!(value["nextPageToken"], "a/1");
        assert!(serde_json::to_value(list(entries.iter(), &Page::All)).unwrap().get("nextPageToken").is_none());
    }
}
