//! Models in OpenAI's shape with OpenRouter's fields.

use codec::Surface;
use domain::{
    catalog::{Model, PriceList},
    money::Price,
    providers::Provider,
    routing::price_key,
    snapshot::{ModelEntry, Route},
};
use link::health::view::State;
use serde::Serialize;

use crate::{
    offers::why_closed,
    standing::{Shown, Standings},
};

/// The list.
pub(super) fn list<'a>(entries: impl Iterator<Item = &'a ModelEntry>, surface: Surface) -> impl Serialize {
    List { object: "list", data: entries.map(|entry| Card::of(entry, surface)).collect() }
}

/// One of it.
pub(super) fn one(entry: &ModelEntry, surface: Surface) -> impl Serialize {
    Card::of(entry, surface)
}

/// One with its endpoints.
pub(super) fn endpoints<'a>(entry: &'a ModelEntry, standings: &Standings) -> impl Serialize + use<'a> {
    let model = &entry.model;
    let open = entry.routes.iter().filter(|route| why_closed(route).is_none());
    let data = Endpoints {
        id: model.id.as_str(),
        name: &model.name,
        created: model.created,
        description: "",
        architecture: Architecture::of(model),
        endpoints: open.map(|route| EndpointCard::of(model, route, &standings.shown(&route.endpoint.id))).collect(),
    };
    Wrapped { data }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Card<'a>>,
}

#[derive(Serialize)]
struct Wrapped<T> {
    data: T,
}

/// One model: OpenAI's four fields, then OpenRouter's.
#[derive(Serialize)]
struct Card<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    canonical_slug: &'a str,
    name: &'a str,
    description: &'static str,
    context_length: u64,
    hugging_face_id: Option<&'a str>,
    knowledge_cutoff: Option<&'a str>,
    expiration_date: Option<&'a str>,
    architecture: Architecture<'a>,
    pricing: Pricing,
    top_provider: TopProvider,
    per_request_limits: Option<()>,
    supported_parameters: &'a [String],
    default_parameters: Option<()>,
    supported_voices: Option<()>,
    links: Links,
}

impl<'a> Card<'a> {
    fn of(entry: &'a ModelEntry, surface: Surface) -> Card<'a> {
        let model = &*entry.model;
        let cheapest = entry.routes.iter().filter(|route| why_closed(route).is_none());
        let cheapest = cheapest.min_by_key(|route| price_key(&route.endpoint.prices));
        let prefix = if surface == Surface::ApiV1 { "/api/v1" } else { "/v1" };
        Card {
            id: model.id.as_str(),
            object: "model",
            created: model.created,
            owned_by: model.id.author(),
            canonical_slug: model.id.as_str(),
            name: &model.name,
            description: "",
            context_length: model.context_length,
            hugging_face_id: None,
            knowledge_cutoff: None,
            expiration_date: None,
            architecture: Architecture::of(model),
            pricing: Pricing::of(cheapest.map(|route| &route.endpoint.prices)),
            top_provider: TopProvider::of(model, cheapest),
            per_request_limits: None,
            supported_parameters: &model.supported_parameters,
            default_parameters: None,
            supported_voices: None,
            links: Links { details: format!("{prefix}/models/{}/endpoints", model.id) },
        }
    }
}

#[derive(Serialize)]
struct Links {
    details: String,
}

#[derive(Serialize)]
struct Architecture<'a> {
    modality: String,
    input_modalities: &'a [String],
    output_modalities: &'a [String],
    tokenizer: &'static str,
    instruct_type: Option<&'a str>,
}

impl<'a> Architecture<'a> {
    fn of(model: &'a Model) -> Architecture<'a> {
        Architecture {
            modality: format!("{}->{}", model.input_modalities.join("+"), model.output_modalities.join("+")),
            input_modalities: &model.input_modalities,
            output_modalities: &model.output_modalities,
            tokenizer: "Other",
            instruct_type: None,
        }
    }
}

/// Dollars per unit as decimal texts.
#[derive(Serialize)]
struct Pricing {
    prompt: String,
    completion: String,
    request: String,
    image: String,
    web_search: String,
    internal_reasoning: String,
    input_cache_read: String,
    input_cache_write: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_cache_write_1h: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_output: Option<String>,
    discount: u8,
}

impl Pricing {
    fn of(prices: Option<&PriceList>) -> Pricing {
        let none = PriceList::default();
        let prices = prices.unwrap_or(&none);
        let text = |price: Option<Price>| price.unwrap_or(Price::ZERO).to_per_unit();
        Pricing {
            prompt: text(prices.prompt),
            completion: text(prices.completion),
            request: text(prices.request),
            image: text(prices.image),
            web_search: text(prices.web_search),
            internal_reasoning: text(prices.reasoning.or(prices.completion)),
            input_cache_read: text(prices.cache_read.or(prices.prompt)),
            input_cache_write: text(prices.cache_write.or(prices.prompt)),
            input_cache_write_1h: prices.cache_write_1h.map(Price::to_per_unit),
            audio: prices.audio_input.map(Price::to_per_unit),
            audio_output: prices.audio_output.map(Price::to_per_unit),
            discount: 0,
        }
    }
}

#[derive(Serialize)]
struct TopProvider {
    context_length: u64,
    max_completion_tokens: Option<u64>,
    is_moderated: bool,
}

impl TopProvider {
    fn of(model: &Model, route: Option<&Route>) -> TopProvider {
        let endpoint = route.map(|route| &*route.endpoint);
        TopProvider {
            context_length: endpoint.and_then(|endpoint| endpoint.context_length).unwrap_or(model.context_length),
            max_completion_tokens: endpoint.and_then(|endpoint| endpoint.max_output_tokens).or(model.max_output_tokens),
            is_moderated: false,
        }
    }
}

#[derive(Serialize)]
struct Endpoints<'a> {
    id: &'a str,
    name: &'a str,
    created: i64,
    description: &'static str,
    architecture: Architecture<'a>,
    endpoints: Vec<EndpointCard<'a>>,
}

#[derive(Serialize)]
struct EndpointCard<'a> {
    name: String,
    tag: &'a str,
    model_id: &'a str,
    model_name: &'a str,
    provider_name: &'a str,
    context_length: u64,
    max_completion_tokens: Option<u64>,
    max_prompt_tokens: Option<u64>,
    pricing: Pricing,
    quantization: &'static str,
    supported_parameters: &'a [String],
    supports_implicit_caching: bool,
    status: i8,
    /// In percent.
    uptime_last_30m: Option<f64>,
    /// Milliseconds to the first output, and output tokens a second.
    latency_last_30m: Option<Percentiles>,
    throughput_last_30m: Option<Percentiles>,
    data_policy: DataPolicy,
}

#[derive(Serialize)]
struct Percentiles {
    p50: u64,
    p75: u64,
    p90: u64,
    p99: u64,
}

impl Percentiles {
    fn of([p50, p75, p90, p99]: [u64; 4]) -> Percentiles {
        Percentiles { p50, p75, p90, p99 }
    }
}

/// 0 for what is as it should be; the further below, the worse.
fn status(shown: &Shown) -> i8 {
    match (shown.state, shown.cools) {
        (State::Ejected, _) => -3,
        (_, true) => -2,
        (State::Degraded, false) => -1,
        (State::Healthy, false) => 0,
    }
}

#[derive(Serialize)]
struct DataPolicy {
    training: Option<bool>,
    retention_days: Option<u32>,
    zdr: Option<bool>,
}

impl<'a> EndpointCard<'a> {
    fn of(model: &'a Model, route: &'a Route, shown: &Shown) -> EndpointCard<'a> {
        let measured = shown.measured.as_deref();
        let endpoint = &*route.endpoint;
        let provider: &Provider = &route.provider;
        EndpointCard {
            name: format!("{} | {}", provider.name, model.id),
            tag: provider.id.as_str(),
            model_id: model.id.as_str(),
            model_name: &model.name,
            provider_name: &provider.name,
            context_length: endpoint.context_length.unwrap_or(model.context_length),
            max_completion_tokens: endpoint.max_output_tokens.or(model.max_output_tokens),
            max_prompt_tokens: None,
            pricing: Pricing::of(Some(&endpoint.prices)),
            quantization: "unknown",
            supported_parameters: &model.supported_parameters,
            supports_implicit_caching: endpoint.prices.cache_read.is_some(),
            status: status(shown),
            uptime_last_30m: measured.and_then(|measured| measured.uptime).map(|uptime| uptime as f64 / 10.0),
            latency_last_30m: measured.and_then(|measured| measured.latency).map(Percentiles::of),
            throughput_last_30m: measured.and_then(|measured| measured.throughput).map(Percentiles::of),
            data_policy: DataPolicy {
                training: provider.data_policy.training,
                retention_days: provider.data_policy.retention_days,
                zdr: provider.data_policy.zdr,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_texts_per_unit_and_missing_ones_fall_back() {
        let prices = PriceList {
            prompt: Price::per_million("0.15").ok(),
            completion: Price::per_million("0.6").ok(),
            ..PriceList::default()
        };
        let pricing = serde_json::to_value(Pricing::of(Some(&prices))).unwrap();
        assert_eq!(pricing["prompt"], "0.00000015");
        assert_eq!(pricing["completion"], "0.0000006");
        assert_eq!(pricing["input_cache_read"], "0.00000015");
        assert_eq!(pricing["image"], "0");
        assert!(pricing.get("audio").is_none());
    }

    #[test]
    fn a_card_has_the_fields_of_both_families() {
        let entry = super::super::tests::entry("a/one");
        let card = serde_json::to_value(Card::of(&entry, Surface::ApiV1)).unwrap();
        assert_eq!((&card["id"], &card["object"], &card["owned_by"]), (&"a/one".into(), &"model".into(), &"a".into()));
        assert_eq!(card["architecture"]["modality"], "text+image->text");
        assert_eq!(card["top_provider"]["max_completion_tokens"], 100);
        assert_eq!(card["links"]["details"], "/api/v1/models/a/one/endpoints");
    }
}
