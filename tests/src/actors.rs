//! Who is asking: the operator, an organisation's people, a stranger. Each is a type that can only do what its token
//! lets it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::admin::credits_service_client::CreditsServiceClient;
use proto::admin::keys_service_client::KeysServiceClient;
use proto::admin::orgs_service_client::OrgsServiceClient;
use proto::admin::tokens_service_client::TokensServiceClient;
use proto::admin::usage_service_client::UsageServiceClient;
use proto::admin::{
    CreateKeyRequest, CreateOrgRequest, CreateTokenRequest, GetBalanceRequest, GrantCreditsRequest, Limits,
    ListOrgsRequest, ListUsageRequest, RevokeKeyRequest, UsageRecord,
};
use serde_json::{Value, json};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::house::Balance;
use crate::money::nano;
use crate::wait;

/// Usage records must be listed this soon after a request's end.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// Puts a token on every call.
#[derive(Clone)]
pub struct Badge(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Badge {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Authorised = InterceptedService<Channel, Badge>;

/// Whoever holds the root token.
#[derive(Clone)]
pub struct Operator {
    channel: Channel,
    badge: Badge,
}

/// An organisation that can pay, and its key.
#[derive(Debug, Clone)]
pub struct Org {
    pub id: String,
    pub key_id: String,
    pub key: String,
}

/// A key and its text.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub text: String,
}

impl Operator {
    pub async fn connect(url: &str, token: &str, ca: Option<&Path>) -> Operator {
        wait::until("the admin port answers", wait::SOON, async || Operator::try_connect(url, token, ca).await).await
    }

    /// None unless the admin API answers a call. `ca` is the certificate of an https port.
    pub async fn try_connect(url: &str, token: &str, ca: Option<&Path>) -> Option<Operator> {
        let mut endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL").timeout(Duration::from_secs(60));
        if let Some(ca) = ca {
            let pem = std::fs::read(ca).expect("a certificate");
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls).expect("TLS settings");
        }
        let operator = Operator::on(endpoint.connect().await.ok()?, token);
        operator.orgs().list_orgs(ListOrgsRequest { limit: 1, after: String::new() }).await.ok()?;
        Some(operator)
    }

    /// The same place with another token: somebody else.
    pub fn on(channel: Channel, token: &str) -> Operator {
        Operator { channel, badge: Badge(format!("Bearer {token}").parse().expect("a token in ASCII")) }
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn orgs(&self) -> OrgsServiceClient<Authorised> {
        OrgsServiceClient::with_interceptor(self.channel.clone(), self.badge.clone())
    }

    pub fn keys(&self) -> KeysServiceClient<Authorised> {
        KeysServiceClient::with_interceptor(self.channel.clone(), self.badge.clone())
    }

    pub fn tokens(&self) -> TokensServiceClient<Authorised> {
        TokensServiceClient::with_interceptor(self.channel.clone(), self.badge.clone())
    }

    pub fn credits(&self) -> CreditsServiceClient<Authorised> {
        CreditsServiceClient::with_interceptor(self.channel.clone(), self.badge.clone())
    }

    pub fn usage(&self) -> UsageServiceClient<Authorised> {
        UsageServiceClient::with_interceptor(self.channel.clone(), self.badge.clone())
            .max_decoding_message_size(256 << 20)
    }

    /// An organisation with this much credit (none when it is empty) and a key without limits.
    pub async fn org(&self, usd: &str) -> Org {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("Org {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let request = CreateOrgRequest { name, slug: String::new() };
        let id = self.orgs().create_org(request).await.expect("a new organisation").into_inner().id;
        if !usd.is_empty() {
            self.grant(&id, usd).await;
        }
        let key = self.key(&id, Limits::default()).await;
        Org { id, key_id: key.id, key: key.text }
    }

    /// A key with these limits.
    pub async fn key(&self, org: &str, limits: Limits) -> Key {
        let request = CreateKeyRequest {
            routing: String::new(),
            org: org.to_owned(),
            name: "of a test".to_owned(),
            limits: Some(limits),
            expires_at: String::new(),
        };
        let made = self.keys().create_key(request).await.expect("a new key").into_inner();
        Key { id: made.key.expect("a key").id, text: made.text }
    }

    pub async fn grant(&self, org: &str, usd: &str) {
        let request = GrantCreditsRequest {
            org: org.to_owned(),
            amount: usd.to_owned(),
            idempotency_key: String::new(),
            source: String::new(),
        };
        self.credits().grant_credits(request).await.expect("a grant");
    }

    pub async fn revoke(&self, key: &str) {
        self.keys().revoke_key(RevokeKeyRequest { id: key.to_owned() }).await.expect("a revocation");
    }

    /// An admin token of an organisation.
    pub async fn token(&self, org: &str, role: &str) -> String {
        let request = CreateTokenRequest { org: org.to_owned(), name: role.to_owned(), role: role.to_owned() };
        self.tokens().create_token(request).await.expect("a new token").into_inner().text
    }

    /// An organisation's books; panics when a nano-dollar is on none of the accounts, or on two.
    pub async fn balance(&self, org: &str) -> Balance {
        let row = self
            .credits()
            .get_balance(GetBalanceRequest { org: org.to_owned() })
            .await
            .expect("a balance")
            .into_inner();
        let balance = Balance {
            funded: nano(&row.funded),
            available: nano(&row.available),
            leased: nano(&row.leased),
            quarantined: nano(&row.quarantined),
            settled: nano(&row.settled),
            refunded: nano(&row.refunded),
        };
        assert!(balance.adds_up(), "the books of {org} do not add up: {balance:?}");
        balance
    }

    /// All of an organisation's usage records, newest first.
    pub async fn records(&self, org: &str) -> Vec<UsageRecord> {
        const PAGE: usize = 5_000;
        let mut request = ListUsageRequest { org: org.to_owned(), limit: 5_000, ..ListUsageRequest::default() };
        let mut records = Vec::new();
        loop {
            let page = self.usage().list_usage(request.clone()).await.expect("usage").into_inner().records;
            let count = page.len();
            if let Some(last) = page.last() {
                request.before_time.clone_from(&last.started_at);
                request.before_request.clone_from(&last.request_id);
            }
            records.extend(page);
            if count < PAGE {
                return records;
            }
        }
    }

    /// The record of one request, which must be listed as soon as is promised.
    pub async fn usage_of(&self, org: &str, request_id: &str) -> Value {
        assert!(request_id.starts_with("req_"), "`{request_id}` is no request id");
        let record = wait::until(&format!("the record of {request_id}"), LISTED_WITHIN, async || {
            let request = ListUsageRequest { org: org.to_owned(), limit: 1_000, ..ListUsageRequest::default() };
            let page = self.usage().list_usage(request).await.expect("usage").into_inner().records;
            page.into_iter().find(|record| record.request_id == request_id)
        })
        .await;
        shown(&record)
    }
}

/// A record as `usage list --json` shows it, as far as tests look at it.
pub fn shown(record: &UsageRecord) -> Value {
    json!({
        "request_id": record.request_id, "attempt": record.attempt, "key": record.key,
        "requested_model": record.requested_model, "model": record.model, "provider": record.provider,
        "prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens,
        "cached_tokens": record.cached_tokens, "reasoning_tokens": record.reasoning_tokens, "cost": record.cost,
        "outcome": record.outcome, "usage_source": record.usage_source, "status": record.status,
        "streamed": record.streamed, "upstream_id": record.upstream_id, "written_off": record.written_off,
        "ttft_ms": record.ttft_ms, "latency_ms": record.latency_ms,
    })
}
