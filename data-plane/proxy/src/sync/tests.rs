//! The link against a controller of a few lines, over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::link::base::{BaseDigest, chunk_digest};
use domain::catalog::DialectId;
use domain::ids::{BootEpoch, KeyId, OrgId, PlanId, ProviderId, RequestId, Revision};
use domain::keys::{Digest, Policy};
use domain::money::Money;
use domain::orgs::{BillingMode, Org};
use domain::pools::PoolId;
use domain::providers::{AuthScheme, DataPolicy, Provider};
use domain::snapshot::{Change, KeyGrant, Kind as Noun, Resource};
use domain::time::Timestamp;
use domain::usage::{Intent, Outcome, TokenUsage, UsageRecord, UsageSource};
use futures_util::Stream;
use prost::Message as _;
use proto::convert::{Answer, KeyUsage, Question, secret_info};
use proto::sync as wire;
use proto::sync::sync_service_server::{SyncService, SyncServiceServer};
use proto::sync::watch_request::Message as Up;
use proto::sync::watch_response::Message as Down;
use runtime::clock::SystemClock;
use runtime::config::Span;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch as latest};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status as Refusal, Streaming};

use super::*;
use crate::spool::{self, RealDisk};

const LIMIT: Duration = Duration::from_secs(15);

/// A controller that does as it is told and remembers what it saw.
#[derive(Clone)]
struct Controller {
    state: Arc<ControllerState>,
}

struct ControllerState {
    /// What a base holds.
    resources: Mutex<(u64, Vec<Change>)>,
    down: broadcast::Sender<wire::WatchResponse>,
    hellos: latest::Sender<Vec<wire::Hello>>,
    acks: latest::Sender<Vec<wire::Ack>>,
    booked: latest::Sender<BTreeMap<u64, Vec<wire::UsageRecord>>>,
    drained: latest::Sender<Vec<u64>>,
    /// Answers to reports are lost while this is above nothing.
    lose_reports: AtomicU64,
    refuse_leases: AtomicBool,
    granted: AtomicU64,
    asks: latest::Sender<Vec<wire::LeaseRequest>>,
    secret_version: AtomicU64,
}

impl Controller {
    fn new() -> Controller {
        Controller {
            state: Arc::new(ControllerState {
                resources: Mutex::default(),
                down: broadcast::Sender::new(64),
                hellos: latest::Sender::default(),
                acks: latest::Sender::default(),
                booked: latest::Sender::default(),
                drained: latest::Sender::default(),
                lose_reports: AtomicU64::new(0),
                refuse_leases: AtomicBool::new(false),
                granted: AtomicU64::new(0),
                asks: latest::Sender::default(),
                secret_version: AtomicU64::new(1),
            }),
        }
    }

    async fn serve(&self, address: &str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(SyncServiceServer::new(self.clone()));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        (address, task)
    }

    fn holds(&self, revision: u64, changes: Vec<Change>) {
        *self.state.resources.lock().unwrap() = (revision, changes);
    }

    fn say(&self, message: Down) {
        self.state.down.send(wire::WatchResponse { message: Some(message) }).unwrap();
    }

    fn delta(&self, nonce: u64, urgent: bool, to_revision: u64, changes: &[Change]) {
        let changes = changes.iter().map(Into::into).collect();
        self.say(Down::Delta(wire::Delta { nonce, urgent, to_revision, changes }));
    }

    async fn acked(&self, nonce: u64) -> wire::Ack {
        let is_it = |acks: &Vec<wire::Ack>| acks.iter().any(|ack| ack.nonce == nonce);
        let mut acks = self.state.acks.subscribe();
        let acks = within_limit(acks.wait_for(is_it)).await.unwrap();
        acks.iter().find(|ack| ack.nonce == nonce).unwrap().clone()
    }

    async fn greeted(&self, times: usize) -> wire::Hello {
        let mut hellos = self.state.hellos.subscribe();
        let hellos = within_limit(hellos.wait_for(|hellos| hellos.len() >= times)).await.unwrap();
        hellos[times - 1].clone()
    }

    async fn booked(&self, epoch: BootEpoch, count: usize) -> Vec<wire::UsageRecord> {
        let mut booked = self.state.booked.subscribe();
        let has =
            |booked: &BTreeMap<u64, Vec<wire::UsageRecord>>| booked.get(&epoch.0).is_some_and(|all| all.len() >= count);
        let booked = within_limit(booked.wait_for(has)).await.unwrap();
        booked[&epoch.0].clone()
    }

    async fn drained(&self, epoch: BootEpoch) {
        let mut drained = self.state.drained.subscribe();
        within_limit(drained.wait_for(|drained| drained.contains(&epoch.0))).await.unwrap();
    }
}

async fn within_limit<T>(wait: impl Future<Output = T>) -> T {
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
                            if hello.have_revision == 0 {
                                let message = Some(Down::Resync(wire::Resync { revision }));
                                let _ = send.send(Ok(wire::WatchResponse { message })).await;
                            }
                            state.hellos.send_modify(|hellos| hellos.push(hello));
                        }
                        Some(Ok(wire::WatchRequest { message: Some(Up::Ack(ack)) })) => {
                            state.acks.send_modify(|acks| acks.push(ack));
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
                verdict: wire::Verdict::Granted.into(),
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

fn org() -> Org {
    Org {
        id: OrgId::new(1, 1),
        slug: None,
        name: "one".into(),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: Timestamp::from_us(1),
    }
}

fn provider(credential_version: u64) -> Provider {
    Provider {
        id: "acme".parse().unwrap(),
        name: "Acme".into(),
        base_url: "https://acme.example/v1".into(),
        dialects: vec!["openai-chat".parse::<DialectId>().unwrap()],
        auth: AuthScheme("bearer".into()),
        credential_version,
        regions: vec![],
        data_policy: DataPolicy::default(),
        insecure: false,
        enabled: true,
    }
}

fn digest(n: u64) -> Digest {
    Digest::of(&n.to_string())
}

fn key(revision: u64, n: u64) -> Change {
    let grant = KeyGrant {
        digest: digest(n),
        id: KeyId::new(2, u128::from(n)),
        org: org().id,
        policy: Policy::default(),
        expires_at: None,
    };
    Change::upsert(Revision(revision), Resource::Key(grant))
}

fn everything() -> Vec<Change> {
    let first = [Resource::Provider(provider(1)), Resource::Org(org())];
    let first = first.map(|resource| Change::upsert(Revision(1), resource));
    first.into_iter().chain((1..=5).map(|n| key(2, n))).collect()
}

fn intent(n: u128) -> Intent {
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

fn record(n: u128) -> UsageRecord {
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
        dialect_out: String::new(),
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
        finish_reason: String::new(),
        status: 200,
        streamed: false,
        started_at: intent.started_at,
        latency_ms: 1,
        ttft_ms: None,
    }
}

/// A proxy without workers.
struct Proxy {
    link: Link,
    spool: Spool,
    tasks: Tasks,
    registry: Registry,
}

impl Proxy {
    fn start(folder: &Path, address: SocketAddr) -> Proxy {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = spool::Config {
            dir: folder.join("spool"),
            cap: 1 << 30,
            segment: 1 << 20,
            flush: Duration::from_millis(1),
        };
        let disk = Arc::new(RealDisk::new(&config.dir).unwrap());
        let (spool, replay) = Spool::open(config, disk, clock.clone()).unwrap();
        let mut settings = Settings { data_dir: folder.to_owned(), ..Settings::default() };
        settings.sync_url = format!("http://{address}");
        settings.sync.report_interval = Span::from_millis(20);
        let identity =
            Identity { proxy: "p-1".parse().unwrap(), epoch: spool.epoch(), region: "here".into(), build: "test" };
        let registry = Registry::new();
        let (link, driver) = prepare(&settings, &identity, clock, &registry).unwrap();
        let tasks = Tasks::default();
        driver.start(spool.clone(), replay, &tasks);
        Proxy { link, spool, tasks, registry }
    }

    async fn ready(&self) {
        within_limit(self.link.status.ready()).await;
    }

    fn knows(&self, n: u64) -> bool {
        self.link.snapshot.load().caller(&digest(n), Timestamp::from_us(5)).is_some()
    }

    async fn leave(self) {
        self.link.drain(LIMIT).await;
        assert!(self.tasks.join(LIMIT).await.is_empty());
    }

    /// As kill -9 does, but for what the kernel holds.
    async fn die(self) {
        self.tasks.join(Duration::ZERO).await;
        self.spool.close();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_first_start_fetches_everything_and_then_follows() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    let hello = controller.greeted(1).await;
    assert_eq!((hello.have_revision, hello.proxy_id.as_str(), hello.region.as_str()), (0, "p-1", "here"));
    assert_eq!((hello.boot_epoch, hello.schema), (proxy.spool.epoch().0, proto::SYNC_SCHEMA));
    assert_eq!(controller.acked(0).await.revision, 2);
    assert!(proxy.knows(5) && !proxy.knows(6));
    let acme: ProviderId = "acme".parse().unwrap();
    assert_eq!(proxy.link.secrets.get(&acme, 1).unwrap().expose_text(), Some("sk-acme-1"), "ready means signed, too");
    controller.delta(1, false, 3, &[key(3, 6)]);
    assert_eq!(controller.acked(1).await.revision, 3);
    assert!(proxy.knows(6));
    controller.delta(2, true, 0, &[Change::removed(Revision(4), Noun::Key, digest(1).to_string())]);
    assert_eq!(controller.acked(2).await.revision, 3);
    assert!(!proxy.knows(1));
    let mut odd = wire::Change::from(&key(5, 2));
    odd.must_understand = 1 << 50;
    controller.say(Down::Delta(wire::Delta { nonce: 3, urgent: false, to_revision: 5, changes: vec![odd] }));
    let ack = controller.acked(3).await;
    assert_eq!((ack.revision, ack.refusals.len(), ack.error.as_str()), (5, 1, ""));
    assert!(!proxy.knows(2), "what is not understood is denied");
    let metrics = proxy.registry.render();
    assert!(
        metrics.contains("tollgate_snapshot_revision 5") && metrics.contains("tollgate_spool_admitting 1"),
        "{metrics}"
    );
    proxy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_without_the_controller_knows_its_keys_and_no_revoked_one() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    controller.acked(0).await;
    controller.delta(1, true, 0, &[Change::removed(Revision(3), Noun::Key, digest(1).to_string())]);
    controller.acked(1).await;
    proxy.die().await;
    server.abort();
    let _ = server.await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    assert!(!proxy.link.status.connected());
    assert!(proxy.knows(2) && !proxy.knows(1));
    let acme: ProviderId = "acme".parse().unwrap();
    assert!(proxy.link.secrets.get(&acme, 1).is_none(), "no secret was ever on disk");
    assert!(proxy.link.queries.credits(org().id).await.is_err());
    // The controller comes back: deltas from where we are, no base.
    let (_, _server) = controller.serve(&address.to_string()).await;
    assert_eq!(controller.greeted(2).await.have_revision, 2);
    proxy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_base_that_does_not_add_up_changes_nothing() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    let many = (1..=2_000).map(|n| key(2, n));
    controller.holds(2, everything().into_iter().take(2).chain(many).collect());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    controller.acked(0).await;
    controller.holds(3, everything());
    controller.state.acks.send_modify(Vec::clear);
    controller.say(Down::Resync(wire::Resync { revision: 3 }));
    let ack = controller.acked(0).await;
    assert!(ack.error.contains("more than a fifth would be lost"), "{}", ack.error);
    assert!(proxy.knows(1_999));
    proxy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn money_is_lent_to_whoever_waits_and_given_back_at_the_end() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    let pool = PoolId::Credits(org().id);
    let funds = proxy.link.funds.clone();
    assert_eq!(within_limit(funds.request(pool, 500)).await, Ok(()));
    let cell = funds.cell(pool);
    let free = cell.free();
    assert!(free >= 0);
    // A request that goes away while it waits leaves nothing behind.
    let gone = tokio::spawn({
        let funds = funds.clone();
        async move { funds.request(pool, free + 1_000).await }
    });
    tokio::task::yield_now().await;
    gone.abort();
    let _ = gone.await;
    cell.put(500);
    drop(cell);
    proxy.leave().await;
    let asks = controller.state.asks.borrow().clone();
    let last = asks.iter().flat_map(|request| &request.asks).next_back().unwrap();
    assert_eq!(last.granted_total, last.returned_total, "everything went back");
    assert_eq!(last.granted_total as u64, controller.state.granted.load(Ordering::SeqCst));
    assert!(asks.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_the_controller_nobody_is_told_that_money_is_used_up() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    controller.state.refuse_leases.store(true, Ordering::SeqCst);
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    let denied = within_limit(proxy.link.funds.request(PoolId::Credits(org().id), 5)).await;
    assert_eq!(denied, Err(::link::cell::Denied::Unreachable));
    controller.state.refuse_leases.store(false, Ordering::SeqCst);
    let pool = PoolId::Credits(org().id);
    within_limit(async {
        while proxy.link.funds.request(pool, 5).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    proxy.die().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_are_booked_once_though_answers_are_lost_and_processes_die() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    controller.state.lose_reports.store(2, Ordering::SeqCst);
    let writer = proxy.spool.writer();
    let serve = |writer: &spool::SpoolWriter, n| {
        let mut slot = writer.reserve().unwrap();
        slot.intent(intent(n));
        slot
    };
    for n in 0..10 {
        serve(&writer, n).terminal(record(n));
    }
    let first = proxy.spool.epoch();
    assert_eq!(controller.booked(first, 10).await.len(), 10);
    // One more is open when the process dies, and ten are not reported.
    server.abort();
    let _ = server.await;
    let open = serve(&writer, 100);
    for n in 10..20 {
        serve(&writer, n).terminal(record(n));
    }
    let mut synced = proxy.spool.synced();
    within_limit(synced.wait_for(|last| *last == 20)).await.unwrap();
    std::mem::forget(open);
    proxy.die().await;
    let (_, _server) = controller.serve(&address.to_string()).await;
    let proxy = Proxy::start(folder.path(), address);
    controller.drained(first).await;
    let all = controller.booked(first, 21).await;
    let requests: Vec<RequestId> =
        all.iter().map(|record| UsageRecord::try_from(record.clone()).unwrap().request).collect();
    let expected: Vec<RequestId> = (0..20).chain([100]).map(|n| RequestId::new(7, n)).collect();
    assert_eq!(requests, expected);
    assert_eq!(all[20].outcome, Outcome::AbortedByGateway.name());
    assert_eq!((all[20].written_off_nano, all[20].cost_nano), (9, 0));
    // A graceful end brings the rest and says that it was all.
    let second = proxy.spool.epoch();
    let writer = proxy.spool.writer();
    serve(&writer, 200).terminal(record(200));
    proxy.leave().await;
    assert_eq!(controller.booked(second, 1).await.len(), 1);
    assert!(controller.state.drained.borrow().contains(&second.0));
    let again = Proxy::start(folder.path(), address);
    within_limit(again.link.status.ready()).await;
    again.leave().await;
    let said = controller.state.drained.borrow().clone();
    assert_eq!(said.iter().filter(|epoch| **epoch == first.0).count(), 1, "an epoch is over once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rotated_credential_replaces_the_old_one_when_it_is_here() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    let acme: ProviderId = "acme".parse().unwrap();
    controller.state.secret_version.store(2, Ordering::SeqCst);
    controller.delta(1, false, 3, &[Change::upsert(Revision(3), Resource::Provider(provider(2)))]);
    within_limit(async {
        loop {
            let held = proxy.link.secrets.get(&acme, 2).expect("never without one");
            if held.expose_text() == Some("sk-acme-2") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    controller.delta(2, true, 0, &[Change::removed(Revision(4), Noun::Provider, "acme")]);
    controller.acked(2).await;
    within_limit(async {
        while proxy.link.secrets.get(&acme, 2).is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    proxy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_books_are_asked_from_any_thread() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    let queries = proxy.link.queries.clone();
    let asked = std::thread::spawn(move || {
        let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        worker.block_on(async move {
            let credits = queries.credits(org().id).await.unwrap();
            let known = queries.generation(org().id, "known").await.unwrap();
            let unknown = queries.generation(org().id, "unknown").await.unwrap();
            let key = queries.key(org().id, KeyId::new(2, 1)).await.unwrap();
            (credits.available, known.map(|record| record.request), unknown, key.map(|key| key.org_name))
        })
    });
    let answers = tokio::task::spawn_blocking(move || asked.join().unwrap()).await.unwrap();
    let known = Some(RequestId::new(7, 7));
    assert_eq!(answers, (Money::from_nano(7), known, None, Some("one".to_owned())));
    proxy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_address_that_is_not_safe_is_refused_by_name() {
    let registry = Registry::new();
    let identity = Identity { proxy: "p".parse().unwrap(), epoch: BootEpoch(1), region: String::new(), build: "test" };
    for url in ["https://controller:8082", "controller:8082", "http://"] {
        let settings = Settings { sync_url: url.to_owned(), ..Settings::default() };
        let refused = prepare(&settings, &identity, Arc::new(SystemClock), &registry).err().unwrap();
        assert!(refused.to_string().contains(url), "{refused}");
    }
}

#[test]
fn replaced_snapshots_are_freed_here_and_not_where_they_were_used() {
    let mut retired = Retired::default();
    let used = Arc::new(Snapshot::default());
    retired.push(used.clone());
    retired.push(Arc::default());
    retired.sweep();
    assert_eq!(retired.len(), 1);
    drop(used);
    retired.sweep();
    assert_eq!(retired.len(), 0);
}
