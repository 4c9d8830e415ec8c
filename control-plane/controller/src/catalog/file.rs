//! The apply file: TOML in, an `ApplyRequest` out. Every mistake is named with its line and column.
//! Pure but for the two look-ups that are handed in (environment and files); the next room is `catalog::apply`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;

use domain::catalog::{DialectId, PRICE_COLUMNS, PriceColumn};
use domain::ids::{ModelId, ProviderId};
use domain::money::Money;
use domain::providers::{AuthScheme, check_base_url};
use proto::admin;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::parse::limit;

/// A mistake in an apply file, ready to be shown.
#[derive(Debug, thiserror::Error)]
#[error("{file}{place}: {what}", place = Place(*.line, *.column))]
pub struct BadFile {
    /// The file as it was named.
    pub file: String,
    /// From 1; 0 when the whole file is meant.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

struct Place(usize, usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ":{}:{}", self.0, self.1) }
    }
}

/// A parsed file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApplyFile {
    providers: Vec<Spanned<ProviderRow>>,
    models: Vec<Spanned<ModelRow>>,
    orgs: Vec<Spanned<OrgRow>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderRow {
    id: Text<ProviderId>,
    name: Option<String>,
    base_url: Spanned<String>,
    dialects: Vec<Text<DialectId>>,
    auth: Option<Spanned<String>>,
    credential: Option<Spanned<Credential>>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    data_policy: DataPolicyRow,
    limits: Option<Spanned<LimitsRow>>,
    #[serde(default)]
    insecure: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DataPolicyRow {
    training: Option<bool>,
    retention_days: Option<u32>,
    zdr: Option<bool>,
}

/// What the account may be asked for in any minute, by the whole fleet.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsRow {
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
}

/// Where a credential is found. The value form is for tests and private files.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    env: Option<String>,
    file: Option<String>,
    value: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("env", &self.env).field("file", &self.file).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRow {
    id: Text<ModelId>,
    name: Option<String>,
    context_length: u64,
    max_output_tokens: Option<u64>,
    #[serde(default = "text_only")]
    input_modalities: Vec<String>,
    #[serde(default = "text_only")]
    output_modalities: Vec<String>,
    #[serde(default)]
    supported_parameters: Vec<String>,
    #[serde(default)]
    endpoints: Vec<Spanned<EndpointRow>>,
}

fn text_only() -> Vec<String> {
    vec!["text".to_owned()]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointRow {
    provider: Text<ProviderId>,
    upstream_model: String,
    #[serde(default)]
    prices: BTreeMap<String, Spanned<String>>,
    context_length: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    quirks: Vec<String>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    price_source: String,
    #[serde(default)]
    price_date: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrgRow {
    slug: Text<ProviderId>,
    name: Option<String>,
    credits: Option<Text<Money>>,
}

/// A text that was read as a `T`; a text that is none is an error at its place.
#[derive(Debug)]
struct Text<T>(String, PhantomData<T>);

impl<'de, T> Deserialize<'de> for Text<T>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<T>() {
            Ok(_) => Ok(Text(text, PhantomData)),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}

/// What a file asks for, with what could not be found on the way.
pub struct Resolved {
    pub request: admin::ApplyRequest,
    /// Sentences for the operator, such as a credential whose variable is not set.
    pub warnings: Vec<String>,
}

impl ApplyFile {
    /// Reads a file's text. `name` is how the file is called in errors.
    pub fn parse(name: &str, text: &str) -> Result<ApplyFile, BadFile> {
        let at = |span: Option<std::ops::Range<usize>>, what: String| {
            let (line, column) = span.map_or((0, 0), |span| line_column(text, span.start));
            BadFile { file: name.to_owned(), line, column, what }
        };
        let file: ApplyFile = toml::from_str(text).map_err(|error| at(error.span(), error.message().to_owned()))?;
        file.check().map_err(|(span, what)| at(Some(span), what))?;
        Ok(file)
    }

    fn check(&self) -> Result<(), (std::ops::Range<usize>, String)> {
        let mut providers = HashMap::new();
        for row in &self.providers {
            check_provider(row.get_ref())?;
            if providers.insert(&row.get_ref().id.0, ()).is_some() {
                return Err((row.span(), format!("provider `{}` stands here twice", row.get_ref().id.0)));
            }
        }
        let mut models = HashMap::new();
        for row in &self.models {
            check_model(row.get_ref())?;
            if models.insert(&row.get_ref().id.0, ()).is_some() {
                return Err((row.span(), format!("model `{}` stands here twice", row.get_ref().id.0)));
            }
        }
        let mut orgs = HashMap::new();
        for row in &self.orgs {
            if orgs.insert(&row.get_ref().slug.0, ()).is_some() {
                return Err((row.span(), format!("organisation `{}` stands here twice", row.get_ref().slug.0)));
            }
        }
        Ok(())
    }

    /// Finds the credentials, where the file names a variable or a file, in the process that reads it.
    pub fn resolve(
        self,
        variable: impl Fn(&str) -> Option<String>,
        read: impl Fn(&str) -> std::io::Result<String>,
    ) -> Resolved {
        let mut warnings = Vec::new();
        let providers =
            self.providers
                .into_iter()
                .map(|row| {
                    let row = row.into_inner();
                    let credential = row.credential.as_ref().and_then(|source| {
                        find_credential(&row.id.0, source.get_ref(), &variable, &read, &mut warnings)
                    });
                    provider_message(row, credential)
                })
                .collect();
        let models = self.models.into_iter().map(|row| model_message(row.into_inner())).collect();
        let orgs = self.orgs.into_iter().map(|row| org_message(row.into_inner())).collect();
        let request = admin::ApplyRequest { providers, models, orgs, ..admin::ApplyRequest::default() };
        Resolved { request, warnings }
    }
}

fn check_provider(row: &ProviderRow) -> Result<(), (std::ops::Range<usize>, String)> {
    check_base_url(row.base_url.get_ref(), row.insecure).map_err(|error| (row.base_url.span(), error.to_string()))?;
    if let Some(auth) = &row.auth {
        AuthScheme::parse(auth.get_ref()).map_err(|error| (auth.span(), error.to_string()))?;
    }
    if let Some(limits) = &row.limits {
        let LimitsRow { requests_per_minute, tokens_per_minute } = limits.get_ref();
        let checked = limit("requests_per_minute", *requests_per_minute);
        checked.and(limit("tokens_per_minute", *tokens_per_minute)).map_err(|what| (limits.span(), what))?;
    }
    if let Some(source) = &row.credential {
        let Credential { env, file, value } = source.get_ref();
        if [env, file, value].into_iter().flatten().count() != 1 {
            return Err((source.span(), "a credential is one of env, file or value".to_owned()));
        }
    }
    Ok(())
}

fn check_model(row: &ModelRow) -> Result<(), (std::ops::Range<usize>, String)> {
    let mut seen = HashMap::new();
    for endpoint in &row.endpoints {
        if seen.insert(&endpoint.get_ref().provider.0, ()).is_some() {
            let what = format!("`{}` has two endpoints at `{}`", row.id.0, endpoint.get_ref().provider.0);
            return Err((endpoint.span(), what));
        }
        for (name, text) in &endpoint.get_ref().prices {
            let column = price_column(name).ok_or_else(|| (text.span(), unknown_price(name)))?;
            let price =
                column.parse(text.get_ref()).map_err(|error| (text.span(), format!("price `{name}`: {error}")))?;
            if price.pico() < 0 {
                return Err((text.span(), format!("price `{name}` is below nothing")));
            }
        }
    }
    Ok(())
}

/// The price column with this name.
pub fn price_column(name: &str) -> Option<&'static PriceColumn> {
    PRICE_COLUMNS.iter().find(|column| column.name == name)
}

/// The sentence for a price name that no column has.
pub fn unknown_price(name: &str) -> String {
    let known: Vec<&str> = PRICE_COLUMNS.iter().map(|column| column.name).collect();
    format!("`{name}` is not a price; known are {}", known.join(", "))
}

fn find_credential(
    provider: &str,
    source: &Credential,
    variable: &impl Fn(&str) -> Option<String>,
    read: &impl Fn(&str) -> std::io::Result<String>,
    warnings: &mut Vec<String>,
) -> Option<String> {
    if let Some(name) = &source.env {
        let found = variable(name).filter(|text| !text.is_empty());
        if found.is_none() {
            warnings.push(format!(
                "provider {provider}: the environment variable {name} is not set, so it has no credential yet"
            ));
        }
        return found;
    }
    if let Some(path) = &source.file {
        return match read(path) {
            Ok(text) => Some(text.trim_end().to_owned()),
            Err(error) => {
                warnings.push(format!("provider {provider}: the credential file {path} cannot be read ({error})"));
                None
            }
        };
    }
    source.value.clone()
}

fn provider_message(row: ProviderRow, credential: Option<String>) -> admin::ApplyProvider {
    let limits = row.limits.map(Spanned::into_inner).unwrap_or_default();
    admin::ApplyProvider {
        name: row.name.unwrap_or_else(|| row.id.0.clone()),
        id: row.id.0,
        base_url: row.base_url.into_inner(),
        dialects: row.dialects.into_iter().map(|dialect| dialect.0).collect(),
        auth: row.auth.map_or_else(|| "bearer".to_owned(), Spanned::into_inner),
        credential,
        regions: row.regions,
        training: row.data_policy.training,
        retention_days: row.data_policy.retention_days,
        zdr: row.data_policy.zdr,
        insecure: row.insecure,
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
    }
}

fn model_message(row: ModelRow) -> admin::Model {
    admin::Model {
        name: row.name.unwrap_or_else(|| row.id.0.clone()),
        id: row.id.0,
        context_length: row.context_length,
        max_output_tokens: row.max_output_tokens,
        input_modalities: row.input_modalities,
        output_modalities: row.output_modalities,
        supported_parameters: row.supported_parameters,
        endpoints: row.endpoints.into_iter().map(|endpoint| endpoint_message(endpoint.into_inner())).collect(),
    }
}

fn endpoint_message(row: EndpointRow) -> admin::Endpoint {
    admin::Endpoint {
        id: String::new(),
        provider: row.provider.0,
        upstream_model: row.upstream_model,
        prices: row.prices.into_iter().map(|(name, text)| (name, text.into_inner())).collect(),
        context_length: row.context_length,
        max_output_tokens: row.max_output_tokens,
        quirks: row.quirks,
        disabled: row.disabled,
        price_source: row.price_source,
        price_date: row.price_date,
        closed_because: String::new(),
    }
}

fn org_message(row: OrgRow) -> admin::ApplyOrg {
    admin::ApplyOrg {
        name: row.name.unwrap_or_else(|| row.slug.0.clone()),
        slug: row.slug.0,
        credits: row.credits.map_or_else(String::new, |credits| credits.0),
    }
}

fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[providers]]
id = "openai"
name = "OpenAI"
base_url = "https://api.openai.com/v1"
dialects = ["openai-chat", "openai-responses"]
auth = "bearer"
credential = { env = "OPENAI_API_KEY" }
data_policy = { training = false, retention_days = 30, zdr = false }

[[models]]
id = "openai/gpt-4o-mini"
context_length = 128000

[[models.endpoints]]
provider = "openai"
upstream_model = "gpt-4o-mini"
prices = { prompt = "0.15", completion = "0.60", image = "0.001" }

[[orgs]]
slug = "acme"
credits = "25.00"
"#;

    fn bad(text: &str) -> String {
        match ApplyFile::parse("catalogue.toml", text) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted: {text}"),
        }
    }

    #[test]
    fn a_file_becomes_a_request() {
        let file = ApplyFile::parse("f", GOOD).unwrap();
        let resolved = file.resolve(|name| Some(format!("value of {name}")), |_| Ok(String::new()));
        assert!(resolved.warnings.is_empty());
        let provider = &resolved.request.providers[0];
        assert_eq!(provider.credential.as_deref(), Some("value of OPENAI_API_KEY"));
        assert_eq!(resolved.request.models[0].endpoints[0].prices["prompt"], "0.15");
        assert_eq!(resolved.request.orgs[0].name, "acme");
    }

    #[test]
    fn a_missing_variable_is_said_and_leaves_no_credential() {
        let resolved = ApplyFile::parse("f", GOOD).unwrap().resolve(|_| None, |_| Ok(String::new()));
        assert_eq!(resolved.request.providers[0].credential, None);
        assert!(resolved.warnings[0].contains("OPENAI_API_KEY"));
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let unknown = bad(&GOOD.replace("name = \"OpenAI\"", "nmae = \"OpenAI\""));
        assert!(unknown.starts_with("catalogue.toml:4:1: ") && unknown.contains("nmae"), "{unknown}");
        let dialect = bad(&GOOD.replace("\"openai-responses\"", "\"esperanto\""));
        assert!(dialect.starts_with("catalogue.toml:6:") && dialect.contains("esperanto"), "{dialect}");
        let price = bad(&GOOD.replace("\"0.15\"", "\"cheap\""));
        assert!(price.starts_with("catalogue.toml:18:") && price.contains("prompt"), "{price}");
        let column = bad(&GOOD.replace("image =", "picture ="));
        assert!(column.contains("picture"), "{column}");
        let url = bad(&GOOD.replace("https://api.openai.com/v1", "http://api.openai.com/v1"));
        assert!(url.contains("insecure = true"), "{url}");
        let credits = bad(&GOOD.replace("25.00", "many"));
        assert!(credits.starts_with("catalogue.toml:22:"), "{credits}");
        let twice = bad(&format!("{GOOD}[[orgs]]\nslug = \"acme\"\n"));
        assert!(twice.contains("twice"), "{twice}");
        assert!(bad("[[providers]]\nid = ").starts_with("catalogue.toml:2:"));
        let two = bad(&GOOD.replace("{ env = \"OPENAI_API_KEY\" }", "{ env = \"A\", value = \"b\" }"));
        assert!(two.contains("one of env, file or value"), "{two}");
    }

    #[test]
    fn an_error_never_shows_a_credential() {
        let text = GOOD.replace("{ env = \"OPENAI_API_KEY\" }", "{ value = \"sk-canary\", oops = 1 }");
        assert!(!bad(&text).contains("sk-canary"));
    }
}
