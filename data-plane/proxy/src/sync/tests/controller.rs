//! A controller of a few lines, and what it hands out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::link::base::{BaseDigest, chunk_digest};
use domain::catalog::DialectId;
use domain::ids::{BootEpoch, KeyId, OrgId, PlanId, RequestId, Revision};
use domain::keys::{Digest, Policy};
use domain::money::Money;
use domain::orgs::{BillingMode, Org};
use domain::providers::{AuthScheme, DataPolicy, Provider};
use domain::snapshot::{Change, KeyGrant, Resource};
use domain::time::Timestamp;
use domain::usage::{Intent, Outcome, TokenUsage, Trail, UsageRecord, UsageSource};
use futures_util::Stream;
use prost::Message as _;
use proto::convert::{Answer, KeyUsage, Question, secret_info};
use proto::sync as wire;
use proto::sync::sync_service_server::{SyncService, SyncServiceServer};
use proto::sync::watch_request::Message as Up;
use proto::sync::watch_response::Message as Down;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch as latest};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status as Refusal, Streaming};

pub const LIMIT: Duration = Duration::from_secs(15);

/// A controller that does as it is told and remembers what it saw.
#[derive(Clone)]
pub struct Controller {
    pub state: Arc<ControllerState>,
}

pub struct ControllerState {
    /// What a base holds.
    pub resources: Mutex<(u64, Vec<Change>)>,
    pub down: broadcast::Sender<wire::WatchResponse>,
    pub hellos: latest::Sender<Vec<wire::Hello>>,
    pub acks: latest::Sender<Vec<wire::Ack>>,
    pub observed: latest::Sender<Vec<wire::Observations>>,
    pub booked: latest::Sender<BTreeMap<u64, Vec<wire::UsageRecord>>>,
    pub drained: latest::Sender<Vec<u64>>,
    /// Answers to reports are lost while this is above nothing.
    pub lose_reports: AtomicU64,
    pub refuse_leases: AtomicBool,
    /// What asks are answered with.
    pub verdict: Mutex<wire::Verdict>,
    pub granted: AtomicU64,
    pub asks: latest::Sender<Vec<wire::LeaseRequest>>,
    pub secret_version: AtomicU64,
}

impl Controller {
    pub fn new() -> Controller {
        Controller {
            state: Arc::new(ControllerState {
                resources: Mutex::default(),
                down: broadcast::Sender::new(64),
                hellos: latest::Sender::default(),
                acks: latest::Sender::default(),
                observed: latest::Sender::default(),
                booked: latest::Sender::default(),
                drained: latest::Sender::default(),
                lose_reports: AtomicU64::new(0),
                refuse_leases: AtomicBool::new(false),
                verdict: Mutex::new(wire::Verdict::Granted),
                granted: AtomicU64::new(0),
                asks: latest::Sender::default(),
                secret_version: AtomicU64::new(1),
            }),
        }
    }

    pub async fn serve(&self, address: &str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(SyncServiceServer::new(self.clone()));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        (address, task)
    }

    pub fn holds(&self, revision: u64, changes: Vec<Change>) {
        *self.state.resources.lock().unwrap() = (revision, changes);
    }

    pub fn say(&self, message: Down) {
        self.state.down.send(wire::WatchResponse { message: Some(message) }).unwrap();
    }

    pub fn delta(&self, nonce: u64, urgent: bool, to_revision: u64, changes: &[Change]) {
        let changes = changes.iter().map(Into::into).collect();
        self.say(Down::Delta(wire::Delta { nonce, urgent, to_revision, changes }));
    }

    pub async fn acked(&self, nonce: u64) -> wire::Ack {
        let is_it = |acks: &Vec<wire::Ack>| acks.iter().any(|ack| ack.nonce == nonce);
        let mut acks = self.state.acks.subscribe();
        let acks = within_limit(acks.wait_for(is_it)).await.unwrap();
        acks.iter().find(|ack| ack.nonce == nonce).unwrap().clone()
    }

    pub async fn greeted(&self, times: usize) -> wire::Hello {
        let mut hellos = self.state.hellos.subscribe();
        let hellos = within_limit(hellos.wait_for(|hellos| hellos.len() >= times)).await.unwrap();
        hellos[times - 1].clone()
    }

    pub async fn booked(&self, epoch: BootEpoch, count: usize) -> Vec<wire::UsageRecord> {
        let mut booked = self.state.booked.subscribe();
        let has =
            |booked: &BTreeMap<u64, Vec<wire::UsageRecord>>| booked.get(&epoch.0).is_some_and(|all| all.len() >= count);
        let booked = within_limit(booked.wait_for(has)).await.unwrap();
        booked[&epoch.0].clone()
    }

    pub async fn drained(&self, epoch: BootEpoch) {
        let mut drained = self.state.drained.subscribe();
        within_limit(drained.wait_for(|drained| drained.contains(&epoch.0))).await.unwrap();
    }
}

pub async fn within_limit<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, wait).await.expect("in time")
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Refusal>> + Send>>;

#[tonic::async_trait]
impl SyncService for Controller {
    type WatchStream = Answers<wire::WatchResponse>;
    type BaseStream = Answers<wire::BaseResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<wire::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Refusal> {
        let (state, mut up) = (self.state.clone(), request.into_inner());
        let (send, answers) = mpsc::channel(64);
        tokio::spawn(async move {
            let mut down = state.down.subscribe();
            loop {
                tokio::select! {
                    message = up.next() => match message {
                        Some(Ok(wire::WatchRequest { message: Some(Up::Hello(hello)) })) => {
                            let revision = state.resources.lock().unwrap().0;
                            let first = if hello.have_revision == 0 {
                                Down::Resync(wire::Resync { revision })
                            } else {
                                Down::Heartbeat(wire::Heartbeat { head_revision: revision, server_time_us: 0 })
                            };
                            let _ = send.send(Ok(wire::WatchResponse { message: Some(first) })).await;
                            state.hellos.send_modify(|hellos| hellos.push(hello));
                        }
                        Some(Ok(wire::WatchRequest { message: Some(Up::Ack(ack)) })) => {
                            state.acks.send_modify(|acks| acks.push(ack));
                        }
                        Some(Ok(wire::WatchRequest { message: Some(Up::Observations(observed)) })) => {
                            state.observed.send_modify(|all| all.push(observed));
                        }
                        _ => return,
                    },
                    message = down.recv() => {
                        if send.send(Ok(message.unwrap())).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn base(&self, _: Request<wire::BaseRequest>) -> Result<Response<Self::BaseStream>, Refusal> {
        let (revision, changes) = self.state.resources.lock().unwrap().clone();
        let mut digest = BaseDigest::new();
        let mut messages = Vec::new();
        for chunk in changes.chunks(2) {
            let list = wire::Changes { changes: chunk.iter().map(Into::into).collect() };
            let payload = list.encode_to_vec();
            let own = chunk_digest(&payload);
            digest.add(&own);
            let chunk = wire::BaseChunk { payload: payload.into(), digest: own.to_vec().into() };
            messages.push(Ok(wire::BaseResponse { message: Some(wire::base_response::Message::Chunk(chunk)) }));
        }
        let end = wire::BaseEnd { revision, objects: changes.len() as u64, digest: digest.finish().to_vec().into() };
        messages.push(Ok(wire::BaseResponse { message: Some(wire::base_response::Message::End(end)) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn lease(&self, request: Request<wire::LeaseRequest>) -> Result<Response<wire::LeaseResponse>, Refusal> {
        let request = request.into_inner();
        self.state.asks.send_modify(|asks| asks.push(request.clone()));
        if self.state.refuse_leases.load(Ordering::SeqCst) {
            return Err(Refusal::unavailable("as told"));
        }
        let grant = |ask: wire::Ask| {
            let more = ask.need.max(ask.want);
            self.state.granted.fetch_add(more as u64, Ordering::SeqCst);
            wire::Grant {
                pool: ask.pool,
                verdict: (*self.state.verdict.lock().unwrap()).into(),
                granted_total: ask.granted_total + more,
                admit_for_ms: 60_000,
                ..wire::Grant::default()
            }
        };
        let grants = request.asks.into_iter().map(grant).collect();
        Ok(Response::new(wire::LeaseResponse { grants, active_proxies: 1 }))
    }

    async fn report(&self, request: Request<wire::ReportRequest>) -> Result<Response<wire::ReportResponse>, Refusal> {
        let request = request.into_inner();
        let mut mark = 0;
        self.state.booked.send_modify(|booked| {
            let own = booked.entry(request.boot_epoch).or_default();
            let first = usize::try_from(request.first_sequence).unwrap() - 1;
            assert!(first <= own.len(), "a gap");
            let skip = own.len() - first;
            own.extend(request.records.iter().skip(skip).cloned());
            mark = own.len() as u64;
        });
        if request.drained {
            self.state.drained.send_modify(|drained| drained.push(request.boot_epoch));
        }
        let lost = self.state.lose_reports.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() {
            return Err(Refusal::unavailable("booked, and the answer is lost"));
        }
        Ok(Response::new(wire::ReportResponse { high_water_mark: mark }))
    }

    async fn secrets(
        &self,
        request: Request<wire::SecretsRequest>,
    ) -> Result<Response<wire::SecretsResponse>, Refusal> {
        let request = request.into_inner();
        let version = self.state.secret_version.load(Ordering::SeqCst);
        let seal = |provider: &String| {
            let info = secret_info(
                &request.proxy_id.parse().unwrap(),
                BootEpoch(request.boot_epoch),
                &provider.parse().unwrap(),
                version,
            );
            let text = format!("sk-{provider}-{version}");
            let sealed = runtime::seal::seal_to(&request.boot_key, &info, text.as_bytes()).unwrap();
            wire::SealedSecret { provider: provider.clone(), version, sealed: sealed.into() }
        };
        Ok(Response::new(wire::SecretsResponse { secrets: request.providers.iter().map(seal).collect() }))
    }

    async fn query(&self, request: Request<wire::QueryRequest>) -> Result<Response<wire::QueryResponse>, Refusal> {
        let nano = Money::from_nano;
        let answer = match Question::read(request.into_inner()).unwrap().1 {
            Question::Credits => {
                Answer::Credits { funded: nano(10), refunded: nano(1), used: nano(2), available: nano(7) }
            }
            Question::Generation(id) if id == "known" => Answer::Generation(Box::new(record(7))),
            Question::Generation(_) => Answer::NotFound,
            Question::Key(_) => Answer::Key(KeyUsage {
                name: "k".into(),
                hint: "tg_live_x".into(),
                usage: nano(1),
                usage_daily: nano(1),
                usage_weekly: nano(1),
                usage_monthly: nano(1),
                limit_remaining: None,
                org_name: "one".into(),
            }),
        };
        Ok(Response::new(answer.into()))
    }
}

pub fn org() -> Org {
    Org {
        id: OrgId::new(1, 1),
        slug: None,
        name: "one".into(),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: Timestamp::from_us(1),
        routing: None,
        names: None,
    }
}

pub fn provider(credential_version: u64) -> Provider {
    Provider {
        id: "acme".parse().unwrap(),
        name: "Acme".into(),
        base_url: "https://acme.example/v1".into(),
        dialects: vec!["openai-chat".parse::<DialectId>().unwrap()],
        auth: AuthScheme("bearer".into()),
        credential_version,
        regions: vec![],
        data_policy: DataPolicy::default(),
        limits: Default::default(),
        insecure: false,
        enabled: true,
    }
}

pub fn digest(n: u64) -> Digest {
    Digest::of(&n.to_string())
}

pub fn key(revision: u64, n: u64) -> Change {
    let grant = KeyGrant {
        digest: digest(n),
        id: KeyId::new(2, u128::from(n)),
        org: org().id,
        policy: Policy::default(),
        expires_at: None,
    };
    Change::upsert(Revision(revision), Resource::Key(grant))
}

pub fn everything() -> Vec<Change> {
    let first = [Resource::Provider(provider(1)), Resource::Org(org())];
    let first = first.map(|resource| Change::upsert(Revision(1), resource));
    first.into_iter().chain((1..=5).map(|n| key(2, n))).collect()
}

pub fn intent(n: u128) -> Intent {
    Intent {
        request: RequestId::new(7, n),
        org: org().id,
        key: KeyId::new(2, 1),
        budget: None,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: "m".into(),
        held: Money::from_nano(9),
        started_at: Timestamp::from_us(1),
        streamed: false,
    }
}

pub fn record(n: u128) -> UsageRecord {
    let intent = intent(n);
    UsageRecord {
        request: intent.request,
        org: intent.org,
        key: intent.key,
        budget: None,
        billing: intent.billing,
        plan: intent.plan,
        requested_model: intent.requested_model,
        model: None,
        provider: None,
        endpoint: None,
        dialect_in: "openai-chat".into(),
        dialect_out: "".into(),
        attempt: 1,
        upstream_id: String::new(),
        usage: TokenUsage::default(),
        usage_source: UsageSource::None,
        cost: Money::ZERO,
        held: intent.held,
        written_off: Money::ZERO,
        price_version: 0,
        is_byok: false,
        outcome: Outcome::Finished,
        finish_reason: "".into(),
        status: 200,
        streamed: false,
        started_at: intent.started_at,
        latency_ms: 1,
        ttft_ms: None,
        trail: Trail::default(),
    }
}
