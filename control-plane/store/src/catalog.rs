//! Models, endpoints and prices. A price list is written once and kept for ever under the revision that made it; an
//! endpoint names its present one.

use std::ops::Deref;

use domain::catalog::{Endpoint, Model, PRICE_COLUMNS, PriceList};
use domain::ids::{EndpointId, ModelId, Revision};
use domain::snapshot::Kind;

use crate::edit::{Edit, Touch, Written};
use crate::engine::{Arg, Cells, Read, Row, args};
use crate::error::{Error, Result};
use crate::keys::words;

/// An endpoint with where its prices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub endpoint: Endpoint,
    pub price_source: String,
    /// As people wrote it, such as `2026-11-21`.
    pub price_date: String,
    pub revision: Revision,
}

impl Deref for Listed {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

macro_rules! model_columns {
    () => {
        "id, name, context_length, max_output_tokens, input_modalities, output_modalities, supported_parameters, \
         created, revision"
    };
}
pub(crate) use model_columns;

// In the order of `PRICE_COLUMNS`.
macro_rules! price_columns {
    () => {
        "prompt, completion, cache_read, cache_write, cache_write_1h, reasoning, audio_input, audio_output, image, \
         request, web_search, video_second, megapixel, character"
    };
}

macro_rules! endpoint_select {
    () => {
        concat!(
            "select id, model_id, provider_id, upstream_model, context_length, max_output_tokens, quirks, enabled, \
             revision, source, source_date, price_version, ",
            $crate::catalog::price_columns!(),
            " from endpoints join prices on prices.endpoint_id = endpoints.id and prices.version = endpoints.price_version"
        )
    };
}
pub(crate) use {endpoint_select, price_columns};

const INSERT_MODEL: &str = "insert into models (id, name, context_length, max_output_tokens, input_modalities, \
    output_modalities, supported_parameters, created, revision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const UPDATE_MODEL: &str = "update models set name = $2, context_length = $3, max_output_tokens = $4, \
    input_modalities = $5, output_modalities = $6, supported_parameters = $7, created = $8, revision = $9 where id = $1";
const LOAD_MODEL: &str = concat!("select ", model_columns!(), " from models where id = $1");
const LIST_MODELS: &str = concat!("select ", model_columns!(), " from models order by id");
const MODEL_HAS_ENDPOINTS: &str = "select id from endpoints where model_id = $1 limit 1";
const REMOVE_MODEL: &str = "delete from models where id = $1";

const INSERT_ENDPOINT: &str = "insert into endpoints (id, model_id, provider_id, upstream_model, context_length, \
    max_output_tokens, quirks, enabled, price_version, revision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const UPDATE_ENDPOINT: &str = "update endpoints set model_id = $2, provider_id = $3, upstream_model = $4, \
    context_length = $5, max_output_tokens = $6, quirks = $7, enabled = $8, price_version = $9, revision = $10 \
    where id = $1";
const LOAD_ENDPOINT: &str = concat!(endpoint_select!(), " where id = $1");
const LIST_ENDPOINTS: &str = concat!(endpoint_select!(), " order by id");
const REMOVE_ENDPOINT: &str = "delete from endpoints where id = $1";
const INSERT_PRICES: &str = concat!(
    "insert into prices (endpoint_id, version, written_at, source, source_date, ",
    price_columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
);
const PRICES: &str =
    concat!("select version, ", price_columns!(), " from prices where endpoint_id = $1 and version = $2");

pub(crate) fn read_model(row: &Row) -> Result<(Model, Revision)> {
    let mut cells = row.cells();
    let model = Model {
        id: cells.take()?,
        name: cells.take()?,
        context_length: cells.take()?,
        max_output_tokens: cells.maybe()?,
        input_modalities: cells.list()?,
        output_modalities: cells.list()?,
        supported_parameters: cells.list()?,
        created: cells.take()?,
    };
    Ok((model, cells.take()?))
}

fn model_values(model: &Model, revision: Revision) -> Result<Vec<Arg>> {
    Ok(args![
        &model.id,
        &model.name,
        model.context_length,
        model.max_output_tokens,
        words(&model.input_modalities)?,
        words(&model.output_modalities)?,
        words(&model.supported_parameters)?,
        model.created,
        revision,
    ])
}

async fn find_model(read_from: impl Into<Read<'_>>, id: &ModelId) -> Result<Option<Model>> {
    let row = read_from.into().one(LOAD_MODEL, args![id]).await?;
    Ok(row.as_ref().map(read_model).transpose()?.map(|(model, _)| model))
}

/// Makes a model's row what is given; the time of its making stays.
pub async fn upsert_model(edit: &mut Edit, model: &Model) -> Result<Written> {
    let before = find_model(&mut *edit, &model.id).await?;
    let created = before.as_ref().map_or(model.created, |before| before.created);
    let after = Model { created, ..model.clone() };
    if before.as_ref() == Some(&after) {
        return Ok(Written::Unchanged);
    }
    let values = model_values(&after, edit.revision())?;
    edit.execute(if before.is_some() { UPDATE_MODEL } else { INSERT_MODEL }, values).await?;
    edit.touch(Kind::Model, &after.id, Touch::UPSERT);
    let (action, written) = match before {
        Some(_) => ("models.update", Written::Changed),
        None => ("models.create", Written::Created),
    };
    edit.audit(None, action, &after.id, "");
    Ok(written)
}

/// The model with this id.
pub async fn load_model(read_from: impl Into<Read<'_>>, id: &ModelId) -> Result<Model> {
    find_model(read_from, id).await?.ok_or(Error::NotFound { what: "model" })
}

/// Every model by id.
pub async fn list_models(read_from: impl Into<Read<'_>>) -> Result<Vec<Model>> {
    let rows = read_from.into().all(LIST_MODELS, args![]).await?;
    rows.iter().map(|row| read_model(row).map(|(model, _)| model)).collect()
}

/// Removes a model that no endpoint names.
pub async fn remove_model(edit: &mut Edit, id: &ModelId) -> Result<()> {
    load_model(&mut *edit, id).await?;
    if edit.tx().one(MODEL_HAS_ENDPOINTS, args![id]).await?.is_some() {
        return Err(Error::Conflict { what: "model with endpoints" });
    }
    edit.execute(REMOVE_MODEL, args![id]).await?;
    edit.touch(Kind::Model, id, Touch::REMOVED);
    edit.audit(None, "models.remove", id, "");
    Ok(())
}

pub(crate) fn read_endpoint(row: &Row) -> Result<Listed> {
    let mut cells = row.cells();
    let mut endpoint = Endpoint {
        id: cells.take()?,
        model: cells.take()?,
        provider: cells.take()?,
        upstream_model: cells.take()?,
        prices: PriceList::default(),
        context_length: cells.maybe()?,
        max_output_tokens: cells.maybe()?,
        quirks: cells.list()?,
        enabled: cells.take()?,
    };
    let revision = cells.take()?;
    let (price_source, price_date) = (cells.take()?, cells.take()?);
    endpoint.prices = read_prices(&mut cells)?;
    Ok(Listed { endpoint, price_source, price_date, revision })
}

fn read_prices(cells: &mut Cells<'_>) -> Result<PriceList> {
    let mut list = PriceList { version: cells.take()?, ..PriceList::default() };
    for column in PRICE_COLUMNS {
        (column.set)(&mut list, cells.maybe()?);
    }
    Ok(list)
}

fn endpoint_values(endpoint: &Endpoint, revision: Revision) -> Result<Vec<Arg>> {
    Ok(args![
        &endpoint.id,
        &endpoint.model,
        &endpoint.provider,
        &endpoint.upstream_model,
        endpoint.context_length,
        endpoint.max_output_tokens,
        words(&endpoint.quirks)?,
        endpoint.enabled,
        endpoint.prices.version,
        revision,
    ])
}

async fn find_endpoint(read_from: impl Into<Read<'_>>, id: &EndpointId) -> Result<Option<Listed>> {
    read_from.into().one(LOAD_ENDPOINT, args![id]).await?.as_ref().map(read_endpoint).transpose()
}

/// Makes an endpoint what is given. Other prices, or another source of them, become a new version of the list.
pub async fn upsert_endpoint(
    edit: &mut Edit,
    endpoint: &Endpoint,
    price_source: &str,
    price_date: &str,
) -> Result<Written> {
    let before = find_endpoint(&mut *edit, &endpoint.id).await?;
    let mut after = endpoint.clone();
    let same_list = before.as_ref().filter(|before| {
        let version = before.endpoint.prices.version;
        before.endpoint.prices == PriceList { version, ..after.prices.clone() }
            && before.price_source == price_source
            && before.price_date == price_date
    });
    after.prices.version = same_list.map_or(edit.revision().0, |before| before.endpoint.prices.version);
    if before.as_ref().is_some_and(|before| before.endpoint == after) {
        return Ok(Written::Unchanged);
    }
    if same_list.is_none() {
        write_prices(edit, &after, price_source, price_date).await?;
    }
    let values = endpoint_values(&after, edit.revision())?;
    let text = if before.is_some() { UPDATE_ENDPOINT } else { INSERT_ENDPOINT };
    edit.execute(text, values).await.map_err(|error| error.naming("endpoint without its model or provider"))?;
    let cut = before.as_ref().is_some_and(|before| before.endpoint.enabled) && !after.enabled;
    edit.touch(Kind::Endpoint, &after.id, if cut { Touch::CUT } else { Touch::UPSERT });
    let (action, written) = match before {
        Some(_) => ("endpoints.update", Written::Changed),
        None => ("endpoints.create", Written::Created),
    };
    let prices = if after.prices.version == edit.revision().0 { "new prices" } else { "same prices" };
    edit.audit(None, action, &after.id, format!("{prices}, {}", if after.enabled { "enabled" } else { "disabled" }));
    Ok(written)
}

const DROP_UNPUBLISHED_PRICES: &str = "delete from prices where endpoint_id = $1 and version = $2";

async fn write_prices(edit: &mut Edit, endpoint: &Endpoint, source: &str, date: &str) -> Result<()> {
    let now = edit.now();
    // An edit may write the same endpoint twice; its own list of a moment ago was never in force.
    edit.execute(DROP_UNPUBLISHED_PRICES, args![&endpoint.id, endpoint.prices.version]).await?;
    let mut values = args![&endpoint.id, endpoint.prices.version, now, source, date];
    values.extend(PRICE_COLUMNS.iter().map(|column| Arg::from((column.get)(&endpoint.prices))));
    edit.execute(INSERT_PRICES, values).await.map(drop)
}

/// The endpoint with this id.
pub async fn load_endpoint(read_from: impl Into<Read<'_>>, id: &EndpointId) -> Result<Listed> {
    find_endpoint(read_from, id).await?.ok_or(Error::NotFound { what: "endpoint" })
}

/// Every endpoint by id.
pub async fn list_endpoints(read_from: impl Into<Read<'_>>) -> Result<Vec<Listed>> {
    read_from.into().all(LIST_ENDPOINTS, args![]).await?.iter().map(read_endpoint).collect()
}

/// Removes an endpoint. Its price lists stay: usage records name them.
pub async fn remove_endpoint(edit: &mut Edit, id: &EndpointId) -> Result<()> {
    load_endpoint(&mut *edit, id).await?;
    edit.execute(REMOVE_ENDPOINT, args![id]).await?;
    edit.touch(Kind::Endpoint, id, Touch::REMOVED);
    edit.audit(None, "endpoints.remove", id, "");
    Ok(())
}

/// The price list that an endpoint had under this version.
pub async fn prices(read_from: impl Into<Read<'_>>, id: &EndpointId, version: u64) -> Result<PriceList> {
    let row = read_from.into().one(PRICES, args![id, version]).await?.ok_or(Error::NotFound { what: "price list" })?;
    read_prices(&mut row.cells())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_column_has_its_place() {
        let listed: Vec<&str> = price_columns!().split(',').map(str::trim).collect();
        let known: Vec<&str> = PRICE_COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(listed, known);
    }
}
