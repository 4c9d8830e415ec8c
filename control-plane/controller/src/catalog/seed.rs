//! The catalogue that a fresh installation starts with. Put in once, by the same apply that operators use; after that
//! the rows are the operator's. Credentials are taken from the environment whenever a provider has none yet.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use domain::audit::Actor;
use domain::ids::{EndpointId, ModelId, ProviderId};
use proto::admin::{ApplyRequest, Endpoint};

use super::file::ApplyFile;
use super::{apply, known, put_credential};
use crate::access::installation_scope;
use crate::app::App;
use crate::error::{Error, Result};

/// The file with the built-in provider, which only a demonstration wants.
const ECHO: &str = "echo.toml";

/// Every seed file but the demonstration's as one request, with the credentials that the environment has.
fn catalogue() -> Result<ApplyRequest> {
    read(|name| name != ECHO)
}

/// The built-in provider and its model.
pub fn echo() -> Result<ApplyRequest> {
    read(|name| name == ECHO)
}

/// Which seeds an installation starts with.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// The catalogue of well-known models.
    pub catalogue: bool,
    /// The built-in provider.
    pub echo: bool,
}

impl Seeds {
    /// The providers that come with them.
    pub fn providers(self) -> Result<BTreeSet<String>> {
        let seeds = read(|name| if name == ECHO { self.echo } else { self.catalogue })?;
        Ok(seeds.providers.into_iter().map(|row| row.id).collect())
    }
}

/// Whether a price with this source is the seed's.
pub fn is_price_source(source: &str) -> Result<bool> {
    // The files are compiled in: what was read once stays true.
    static SOURCES: OnceLock<BTreeSet<String>> = OnceLock::new();
    if let Some(sources) = SOURCES.get() {
        return Ok(sources.contains(source));
    }
    let models = read(|_| true)?.models;
    let sources = models.into_iter().flat_map(|model| model.endpoints).map(|row| row.price_source).collect();
    Ok(SOURCES.get_or_init(|| sources).contains(source))
}

fn read(wanted: impl Fn(&str) -> bool) -> Result<ApplyRequest> {
    let mut request = ApplyRequest::default();
    for (name, text) in store::seed_files().iter().filter(|(name, _)| wanted(name)) {
        let file = ApplyFile::parse(name, text).map_err(|error| Error::Start(error.to_string()))?;
        // A variable that is not set is the usual case here and no news.
        let part = file.resolve(|name| std::env::var(name).ok(), |path| std::fs::read_to_string(path)).request;
        request.providers.extend(part.providers);
        request.models.extend(part.models);
    }
    Ok(request)
}

/// Puts the seed in where providers and models were never there, and credentials where there are none.
pub async fn merge(app: &App) -> Result<()> {
    let mut request = catalogue()?;
    let scope = installation_scope();
    let present = store::providers::list(&app.store).await?;
    let without: BTreeSet<&str> = present
        .iter()
        .filter(|stored| stored.provider.credential_version == 0)
        .map(|stored| stored.provider.id.as_str())
        .collect();
    let mut edit = app.store.edit(Actor::Task("seed"), app.now()).await?;
    for row in request.providers.iter().filter(|row| without.contains(row.id.as_str())) {
        if let (Some(text), Ok(id)) = (&row.credential, row.id.parse()) {
            put_credential(app, &mut edit, &id, &runtime::Secret::from(text.clone())).await?;
        }
    }
    edit.commit().await?;
    if !present.is_empty() {
        return Ok(());
    }
    request.force = true;
    apply(app, Actor::Task("seed"), scope, request).await?;
    Ok(())
}

/// Puts the built-in provider and its model in. A model that the operator has given prices of their own stays theirs.
pub async fn merge_echo(app: &App) -> Result<()> {
    let mut request = echo()?;
    let mut models = Vec::new();
    for model in std::mem::take(&mut request.models) {
        let mut is_taken = false;
        for endpoint in &model.endpoints {
            is_taken |= has_own_prices(app, &model.id, endpoint).await?;
        }
        if !is_taken {
            models.push(model);
        }
    }
    request.models = models;
    apply(app, Actor::Root, installation_scope(), request).await?;
    Ok(())
}

/// Whether the endpoint is there with prices from elsewhere than the seed.
async fn has_own_prices(app: &App, model: &str, seed: &Endpoint) -> Result<bool> {
    let (Ok(model), Ok(provider)) = (model.parse::<ModelId>(), seed.provider.parse::<ProviderId>()) else {
        return Ok(false);
    };
    let present = known(store::catalog::load_endpoint(&app.store, &EndpointId::of(&model, &provider)).await)?;
    Ok(present.is_some_and(|present| present.price_source != seed.price_source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_rich_and_every_price_has_its_source() {
        let request = catalogue().unwrap();
        assert!(request.models.len() >= 40, "{} models", request.models.len());
        assert!(request.providers.len() >= 8, "{} providers", request.providers.len());
        for wanted in ["qwen/", "meta-llama/", "openai/", "anthropic/", "google/", "mistralai/", "deepseek/"] {
            assert!(request.models.iter().any(|model| model.id.starts_with(wanted)), "{wanted}");
        }
        for model in &request.models {
            for endpoint in &model.endpoints {
                let named = !endpoint.price_source.is_empty() && endpoint.price_date.len() == 10;
                assert!(named, "{} at {}", model.id, endpoint.provider);
                assert!(endpoint.prices.contains_key("prompt") && endpoint.prices.contains_key("completion"));
            }
        }
        assert_eq!(echo().unwrap().models.len(), 1);
    }

    #[test]
    fn a_price_of_the_seed_is_known_by_its_source_and_an_operators_is_not() {
        assert!(is_price_source("built in").unwrap());
        let first = catalogue().unwrap().models.remove(0).endpoints.remove(0);
        assert!(is_price_source(&first.price_source).unwrap());
        assert!(!is_price_source("").unwrap() && !is_price_source("our contract of 2026").unwrap());
    }

    #[test]
    fn a_provider_is_known_early_only_with_its_seed() {
        let have = |catalogue, echo, id: &str| Seeds { catalogue, echo }.providers().unwrap().contains(id);
        assert!(have(true, false, "openai") && have(false, true, "echo"));
        assert!(!have(false, true, "openai") && !have(true, false, "echo") && !have(true, true, "nobody"));
    }
}
