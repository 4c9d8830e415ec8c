//! One connection to the admin API, with the caller's token on every call.

use std::path::Path;
use std::time::Duration;

use proto::admin::audit_service_client::AuditServiceClient;
use proto::admin::catalog_service_client::CatalogServiceClient;
use proto::admin::credits_service_client::CreditsServiceClient;
use proto::admin::fleet_service_client::FleetServiceClient;
use proto::admin::keys_service_client::KeysServiceClient;
use proto::admin::names_service_client::NamesServiceClient;
use proto::admin::orgs_service_client::OrgsServiceClient;
use proto::admin::providers_service_client::ProvidersServiceClient;
use proto::admin::routes_service_client::RoutesServiceClient;
use proto::admin::tokens_service_client::TokensServiceClient;
use proto::admin::usage_service_client::UsageServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::Error;

/// Where `tollgate up` keeps the root token, as seen from the folder it was started in.
const TOKEN_FILE: &str = "tollgate-data/admin-token";

type Authorised = InterceptedService<Channel, Token>;

/// Puts the token on every call.
#[derive(Clone)]
pub struct Token(MetadataValue<Ascii>);

impl Interceptor for Token {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection.
pub struct Session {
    channel: Channel,
    token: Token,
}

macro_rules! clients {
    ($($name:ident $client:ident),* $(,)?) => {
        impl Session {
            $(pub fn $name(&self) -> $client<Authorised> {
                $client::with_interceptor(self.channel.clone(), self.token.clone()).max_decoding_message_size(64 << 20)
            })*
        }
    };
}

clients! {
    orgs OrgsServiceClient,
    names NamesServiceClient,
    keys KeysServiceClient,
    tokens TokensServiceClient,
    credits CreditsServiceClient,
    usage UsageServiceClient,
    providers ProvidersServiceClient,
    catalog CatalogServiceClient,
    fleet FleetServiceClient,
    audit AuditServiceClient,
    routes RoutesServiceClient,
}

impl Session {
    /// Connects, within five seconds.
    pub async fn open(url: &str, token: Option<&str>, ca: Option<&Path>) -> Result<Session, Error> {
        let token = find_token(token)?;
        let unreachable = |why: String| Error::Unreachable { url: url.to_owned(), why };
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| Error::Usage(format!("`{url}` is not an address like http://127.0.0.1:8081")))?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120));
        if url.starts_with("https://") {
            endpoint = endpoint.tls_config(tls(ca)?).map_err(|error| unreachable(root_cause(&error)))?;
        }
        let channel = endpoint.connect().await.map_err(|error| unreachable(root_cause(&error)))?;
        Ok(Session { channel, token })
    }
}

fn tls(ca: Option<&Path>) -> Result<ClientTlsConfig, Error> {
    let config = ClientTlsConfig::new().with_webpki_roots();
    let Some(path) = ca else { return Ok(config) };
    let pem = std::fs::read(path).map_err(|source| Error::File { path: path.display().to_string(), source })?;
    Ok(config.ca_certificate(Certificate::from_pem(pem)))
}

fn find_token(given: Option<&str>) -> Result<Token, Error> {
    let text = match given {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(TOKEN_FILE).map_err(|_| {
            Error::Usage(format!(
                "no admin token: give --token or TOLLGATE_ADMIN_TOKEN (there is no {TOKEN_FILE} here either)"
            ))
        })?,
    };
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", text.trim())
        .parse()
        .map_err(|_| Error::Usage("the admin token has characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(Token(value))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
