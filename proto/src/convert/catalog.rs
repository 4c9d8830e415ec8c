//! Models and endpoints. A price in a column that this build does not know refuses the endpoint: charging without it
//! would charge too little.

use std::collections::HashMap;

use domain::catalog::{Endpoint, Model, PRICE_COLUMNS, PriceList};
use domain::ids::EndpointId;
use domain::money::Price;

use super::invalid;
use crate::sync as wire;

invalid!(
    /// A model that cannot be listed.
    InvalidModel,
    "Model"
);
invalid!(
    /// An endpoint that cannot be used.
    InvalidEndpoint,
    "Endpoint"
);

impl From<&Model> for wire::Model {
    fn from(model: &Model) -> Self {
        wire::Model {
            id: model.id.to_string(),
            name: model.name.clone(),
            context_length: model.context_length,
            max_output_tokens: model.max_output_tokens,
            input_modalities: model.input_modalities.clone(),
            output_modalities: model.output_modalities.clone(),
            supported_parameters: model.supported_parameters.clone(),
            created: model.created,
        }
    }
}

impl TryFrom<wire::Model> for Model {
    type Error = InvalidModel;

    fn try_from(wire: wire::Model) -> Result<Self, InvalidModel> {
        Ok(Model {
            id: wire.id.parse().map_err(InvalidModel::at("id"))?,
            name: wire.name,
            context_length: wire.context_length,
            max_output_tokens: wire.max_output_tokens,
            input_modalities: wire.input_modalities,
            output_modalities: wire.output_modalities,
            supported_parameters: wire.supported_parameters,
            created: wire.created,
        })
    }
}

impl From<&Endpoint> for wire::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        wire::Endpoint {
            id: endpoint.id.to_string(),
            model: endpoint.model.to_string(),
            provider: endpoint.provider.to_string(),
            upstream_model: endpoint.upstream_model.clone(),
            price_version: endpoint.prices.version,
            prices: write_prices(&endpoint.prices),
            context_length: endpoint.context_length,
            max_output_tokens: endpoint.max_output_tokens,
            quirks: endpoint.quirks.clone(),
            enabled: endpoint.enabled,
        }
    }
}

impl TryFrom<wire::Endpoint> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(wire: wire::Endpoint) -> Result<Self, InvalidEndpoint> {
        let id: EndpointId = wire.id.parse().map_err(InvalidEndpoint::at("id"))?;
        let model = wire.model.parse().map_err(InvalidEndpoint::at("model"))?;
        let provider = wire.provider.parse().map_err(InvalidEndpoint::at("provider"))?;
        if EndpointId::of(&model, &provider) != id {
            return Err(InvalidEndpoint::new("id", format!("`{id}` is not {model} at {provider}")));
        }
        Ok(Endpoint {
            id,
            model,
            provider,
            upstream_model: wire.upstream_model,
            prices: read_prices(wire.price_version, &wire.prices)?,
            context_length: wire.context_length,
            max_output_tokens: wire.max_output_tokens,
            quirks: wire.quirks,
            enabled: wire.enabled,
        })
    }
}

fn write_prices(prices: &PriceList) -> HashMap<String, i64> {
    PRICE_COLUMNS
        .iter()
        .filter_map(|column| (column.get)(prices).map(|price| (column.name.to_owned(), price.pico())))
        .collect()
}

fn read_prices(version: u64, wire: &HashMap<String, i64>) -> Result<PriceList, InvalidEndpoint> {
    let mut prices = PriceList { version, ..PriceList::default() };
    for (name, pico) in wire {
        let column = PRICE_COLUMNS
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| InvalidEndpoint::new("prices", format!("`{name}` is no price column")))?;
        if *pico < 0 {
            return Err(InvalidEndpoint::new("prices", format!("{name} is {pico}, below nothing")));
        }
        (column.set)(&mut prices, Some(Price::from_pico(*pico)));
    }
    Ok(prices)
}
