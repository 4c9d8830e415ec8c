//! `admin routes`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proto::admin::{SimulateRequest, SimulateResponse, SimulatedModel};
use serde_json::{Map, Value, json};

use super::session::Session;
use super::{Error, Said, note};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// What the requests of a day would have cost under other rules. Changes nothing.
    Simulate(Simulate),
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// The rules as JSON: `{"provider": …, "fallbacks": …}`; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// From here on; a day before `--until`, or all of yesterday in UTC, if it is not given.
    #[arg(long, value_name = "RFC3339")]
    since: Option<String>,
    /// Not from here on; a day after `--since` if it is not given.
    #[arg(long, value_name = "RFC3339")]
    until: Option<String>,
    /// Only this organisation's requests.
    #[arg(long)]
    org: Option<String>,
    /// Only requests for this model.
    #[arg(long)]
    model: Option<String>,
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let Command::Simulate(simulate) = command;
    let request = SimulateRequest {
        policy: read(&simulate.policy)?,
        since: simulate.since.clone().unwrap_or_default(),
        until: simulate.until.clone().unwrap_or_default(),
        org: simulate.org.clone().unwrap_or_default(),
        model: simulate.model.clone().unwrap_or_default(),
    };
    let simulated = session.routes().simulate(request).await?.into_inner();
    simulated.notes.iter().for_each(|text| note(text));
    Ok(Said::data(shown(&simulated)))
}

fn read(path: &PathBuf) -> Result<String, Error> {
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(path),
    };
    text.map_err(|source| Error::File { path: path.display().to_string(), source })
}

fn shown(simulated: &SimulateResponse) -> Value {
    let models: Vec<Value> = simulated.models.iter().map(model).collect();
    let mut fields: Map<String, Value> =
        [("since", json!(simulated.since)), ("until", json!(simulated.until)), ("models", json!(models))]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect();
    fields.extend(simulated.total.iter().flat_map(figures));
    Value::Object(fields)
}

fn model(model: &SimulatedModel) -> Value {
    let mut fields = Map::from_iter([("model".to_owned(), json!(model.model))]);
    fields.extend(figures(model));
    Value::Object(fields)
}

fn figures(of: &SimulatedModel) -> [(String, Value); 6] {
    // Six digits are more than anybody can measure, and fit into a table.
    let part = |part: Option<f64>| part.map(|part| (part * 1e6).round() / 1e6);
    [
        ("requests", json!(of.requests)),
        ("cost", json!(of.cost)),
        ("would_cost", json!(of.would_cost)),
        ("without_endpoint", json!(of.without_endpoint)),
        ("availability", json!(part(of.availability))),
        ("would_be_available", json!(part(of.would_be_available))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
