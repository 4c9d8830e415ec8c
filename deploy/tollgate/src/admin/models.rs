//! `admin models`.

use clap::Subcommand;
use proto::admin::{ListModelsRequest, Model};
use serde_json::{Value, json};

use super::output::or_null;
use super::session::Session;
use super::{Error, Said};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// All models with their endpoints and prices.
    List,
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let Command::List = command;
    let models = session.catalog().list_models(ListModelsRequest {}).await?.into_inner().models;
    Ok(Said::data(Value::Array(models.iter().map(row).collect())))
}

fn row(model: &Model) -> Value {
    let endpoints: Vec<Value> = model
        .endpoints
        .iter()
        .map(|endpoint| {
            let mut prices: Vec<(&String, &String)> = endpoint.prices.iter().collect();
            prices.sort();
            json!({
                "provider": endpoint.provider, "upstream_model": endpoint.upstream_model,
                "prices": prices.into_iter().map(|(name, price)| (name.clone(), json!(price))).collect::<serde_json::Map<_, _>>(),
                "closed_because": or_null(&endpoint.closed_because),
            })
        })
        .collect();
    json!({ "id": model.id, "name": model.name, "context_length": model.context_length, "endpoints": endpoints })
}
