//! An apply request as domain rows: everything checked, every mistake with its field.

use domain::catalog::{DialectId, Endpoint, Model, PriceList};
use domain::faults::Fault;
use domain::ids::{EndpointId, ModelId, ProviderId};
use domain::money::Money;
use domain::providers::{AccountLimits, AuthScheme, DataPolicy, Provider, check_base_url};
use domain::time::Timestamp;
use proto::admin;
use runtime::Secret;

use super::file::{price_column, unknown_price};
use super::{Wish, WishedEndpoint, WishedOrg};
use crate::fault::invalid;
use crate::orgs::parse_name;

/// Most rows of one apply.
const MOST_ROWS: usize = 20_000;

/// Checks a request.
pub fn wish(request: admin::ApplyRequest, now: Timestamp) -> Result<Wish, Fault> {
    if request.providers.len() + request.models.len() + request.orgs.len() > MOST_ROWS {
        return Err(invalid("models", format!("at most {MOST_ROWS} rows in one apply")));
    }
    let mut models = Vec::with_capacity(request.models.len());
    let mut endpoints = Vec::new();
    for message in request.models {
        let model = model(&message, now)?;
        for row in message.endpoints {
            endpoints.push(endpoint(&model.id, row)?);
        }
        models.push(model);
    }
    Ok(Wish {
        providers: request.providers.into_iter().map(provider).collect::<Result<_, _>>()?,
        models,
        endpoints,
        orgs: request.orgs.into_iter().map(org).collect::<Result<_, _>>()?,
        dry_run: request.dry_run,
        prune: request.prune,
        force: request.force,
    })
}

fn provider(message: admin::ApplyProvider) -> Result<(Provider, Option<Secret>), Fault> {
    let wrong = |what: String| invalid("providers", format!("{}: {what}", message.id));
    let id: ProviderId =
        message.id.parse().map_err(|error: domain::ids::BadId| invalid("providers", error.to_string()))?;
    check_base_url(&message.base_url, message.insecure).map_err(|error| wrong(error.to_string()))?;
    let dialects = message
        .dialects
        .iter()
        .map(|name| name.parse::<DialectId>().map_err(|error| wrong(error.to_string())))
        .collect::<Result<_, _>>()?;
    let auth = AuthScheme::parse(&message.auth).map_err(|error| wrong(error.to_string()))?;
    let row = Provider {
        id,
        name: parse_name("providers", &message.name)?,
        base_url: message.base_url.trim_end_matches('/').to_owned(),
        dialects,
        auth,
        credential_version: 0,
        regions: message.regions,
        data_policy: DataPolicy {
            training: message.training,
            retention_days: message.retention_days,
            zdr: message.zdr,
        },
        limits: AccountLimits {
            requests_per_minute: limit("requests_per_minute", message.requests_per_minute).map_err(wrong)?,
            tokens_per_minute: limit("tokens_per_minute", message.tokens_per_minute).map_err(wrong)?,
        },
        insecure: message.insecure,
        enabled: true,
    };
    let credential = message.credential.filter(|text| !text.is_empty()).map(Secret::from);
    Ok((row, credential))
}

/// A limit that can be kept in every window of a minute; the database counts as far as an `i64`.
pub fn limit(name: &str, per_minute: Option<u64>) -> Result<Option<u64>, String> {
    match per_minute {
        Some(units) if units < 2 || i64::try_from(units).is_err() => Err(format!("{name} must be 2 or more")),
        known => Ok(known),
    }
}

fn model(message: &admin::Model, now: Timestamp) -> Result<Model, Fault> {
    let id: ModelId = message.id.parse().map_err(|error: domain::ids::BadId| invalid("models", error.to_string()))?;
    if message.context_length == 0 {
        return Err(invalid("models", format!("{id}: context_length must be at least 1")));
    }
    Ok(Model {
        name: parse_name("models", &message.name)?,
        context_length: message.context_length,
        max_output_tokens: message.max_output_tokens,
        input_modalities: message.input_modalities.clone(),
        output_modalities: message.output_modalities.clone(),
        supported_parameters: message.supported_parameters.clone(),
        created: now.seconds(),
        id,
    })
}

fn endpoint(model: &ModelId, message: admin::Endpoint) -> Result<WishedEndpoint, Fault> {
    let wrong = |what: String| invalid("models", format!("{model} at {}: {what}", message.provider));
    let provider: ProviderId =
        message.provider.parse().map_err(|error: domain::ids::BadId| wrong(error.to_string()))?;
    if message.upstream_model.is_empty() || message.upstream_model.len() > 256 {
        return Err(wrong("upstream_model must be 1 to 256 bytes".to_owned()));
    }
    let mut prices = PriceList::default();
    for (name, text) in &message.prices {
        let column = price_column(name).ok_or_else(|| wrong(unknown_price(name)))?;
        let price = column.parse(text).map_err(|error| wrong(format!("price `{name}`: {error}")))?;
        if price.pico() < 0 {
            return Err(wrong(format!("price `{name}` is below nothing")));
        }
        (column.set)(&mut prices, Some(price));
    }
    let endpoint = Endpoint {
        id: EndpointId::of(model, &provider),
        model: model.clone(),
        provider,
        upstream_model: message.upstream_model,
        prices,
        context_length: message.context_length,
        max_output_tokens: message.max_output_tokens,
        quirks: message.quirks,
        enabled: !message.disabled,
    };
    Ok(WishedEndpoint { endpoint, price_source: message.price_source, price_date: message.price_date })
}

fn org(message: admin::ApplyOrg) -> Result<WishedOrg, Fault> {
    let slug: ProviderId = message
        .slug
        .parse()
        .map_err(|_| invalid("orgs", format!("`{}` is not a slug of [a-z0-9-]", message.slug.escape_debug())))?;
    let credits = if message.credits.is_empty() {
        None
    } else {
        let amount: Money = message
            .credits
            .parse()
            .map_err(|error: domain::money::BadAmount| invalid("orgs", format!("{slug}: credits: {error}")))?;
        if amount < Money::ZERO {
            return Err(invalid("orgs", format!("{slug}: credits must not be below nothing")));
        }
        (amount > Money::ZERO).then_some(amount)
    };
    Ok(WishedOrg { slug: slug.to_string(), name: parse_name("orgs", &message.name)?, credits })
}
