//! The catalogue that a fresh installation starts with. Put in once, by the same apply that operators use; after that
//! the rows are the operator's. Credentials are taken from the environment whenever a provider has none yet.

use std::collections::BTreeSet;

use domain::audit::Actor;
use proto::admin::ApplyRequest;

use super::file::ApplyFile;
use super::{apply, put_credential};
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
}
