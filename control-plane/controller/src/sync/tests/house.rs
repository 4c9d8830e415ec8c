//! A controller's proxy-facing side on loopback with a real database, and proxies that speak to it.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::ids::{BootEpoch, KeyId, OrgId, PlanId, ProxyId, Revision};
use domain::keys::{Digest, Key, Policy};
use domain::orgs::{BillingMode, Org};
use domain::snapshot::Snapshot;
use link::replica::{Delta, Replica};
use prost::Message as _;
use proto::convert::read_changes;
use proto::sync::{self as wire, sync_service_client::SyncServiceClient, sync_service_server::SyncServiceServer};
use runtime::clock::{Clock, ManualClock, SystemClock};
use runtime::metrics::Registry;
use runtime::seal::{IfMissing, KeySource};
use runtime::tasks::Tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Status, Streaming};
use wire::watch_response::Message;

use crate::access::installation_scope;
use crate::app::{App, Parts};
use crate::sync::Service;

/// Longest time that a test waits for an event.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct House {
    pub app: Arc<App>,
    pub tasks: Tasks,
    address: String,
    _folder: tempfile::TempDir,
}

impl House {
    /// On a database file of its own.
    pub async fn start() -> House {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("tollgate.db").display().to_string();
        House::begin(&url, folder, Arc::new(SystemClock)).await
    }

    /// On a database that others may use, too.
    pub async fn start_on(url: &str) -> House {
        House::begin(url, tempfile::tempdir().unwrap(), Arc::new(SystemClock)).await
    }

    /// On a database that others may use, too, with a clock that moves only when told to.
    pub async fn start_at(url: &str, clock: Arc<ManualClock>) -> House {
        House::begin(url, tempfile::tempdir().unwrap(), clock).await
    }

    async fn begin(url: &str, folder: tempfile::TempDir, clock: Arc<dyn Clock>) -> House {
        store::migrate(url).await.unwrap();
        let app = Arc::new(
            App::new(Parts {
                store: store::Store::open(url).await.unwrap(),
                seal: KeySource::File(folder.path().join("master-key")).load(IfMissing::Make).unwrap(),
                clock,
                registry: Arc::new(Registry::new()),
                root: Digest::of("root"),
                read_your_writes: Duration::from_secs(2),
            })
            .unwrap(),
        );
        let tasks = Tasks::default();
        crate::sync::start(&app, &tasks).await.unwrap();
        crate::health::start(&app, &tasks);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(SyncServiceServer::new(Service::new(app.clone())));
        let stop = tasks.stopping();
        tasks.spawn("sync-port", async move {
            server
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
                .await
                .unwrap();
        });
        House { app, tasks, address, _folder: folder }
    }

    pub async fn client(&self) -> SyncServiceClient<Channel> {
        SyncServiceClient::connect(self.address.clone()).await.unwrap()
    }

    /// An organisation with credits.
    pub async fn org(&self) -> OrgId {
        let (ms, random) = self.app.fresh();
        let org = Org {
            id: OrgId::new(ms, random),
            slug: None,
            name: "Acme".to_owned(),
            billing: BillingMode::Prepaid,
            plan: PlanId::standard(),
            frozen: false,
            created_at: self.app.now(),
            routing: None,
            names: None,
        };
        let mut edit = self.app.store.edit(Actor::Root, self.app.now()).await.unwrap();
        store::orgs::insert(&mut edit, &org).await.unwrap();
        edit.commit().await.unwrap();
        org.id
    }

    /// Keys whose texts are `prefix0`, `prefix1`, …
    pub async fn keys(&self, org: OrgId, prefix: &str, count: usize, policy: &Policy) -> (Vec<Key>, Revision) {
        let keys: Vec<Key> = (0..count).map(|number| self.key(org, &format!("{prefix}{number}"), policy)).collect();
        let mut edit = self.app.store.edit(Actor::Root, self.app.now()).await.unwrap();
        store::keys::insert_many(&mut edit, installation_scope(), &keys).await.unwrap();
        let revision = edit.commit().await.unwrap();
        (keys, revision)
    }

    pub fn key(&self, org: OrgId, text: &str, policy: &Policy) -> Key {
        let (ms, random) = self.app.fresh();
        Key {
            id: KeyId::new(ms, random),
            org,
            name: text.to_owned(),
            digest: Digest::of(text),
            hint: "tg_live_test".to_owned(),
            policy: policy.clone(),
            expires_at: None,
            disabled: false,
            revoked_at: None,
            created_at: self.app.now(),
        }
    }

    pub async fn revoke(&self, key: &Key) -> Revision {
        let mut edit = self.app.store.edit(Actor::Root, self.app.now()).await.unwrap();
        store::keys::revoke(&mut edit, installation_scope(), key.id).await.unwrap();
        edit.commit().await.unwrap()
    }
}

/// A proxy, as far as the controller can tell.
pub struct Edge {
    pub id: ProxyId,
    pub epoch: BootEpoch,
    pub replica: Replica,
    pub client: SyncServiceClient<Channel>,
    /// Whether deltas are answered.
    pub acks: bool,
    up: mpsc::Sender<wire::WatchRequest>,
    down: Streaming<wire::WatchResponse>,
}

/// What came, heartbeats aside.
#[derive(Debug, PartialEq)]
pub enum Came {
    Delta { nonce: u64, urgent: bool, changes: usize },
    Resync,
    Recall(Vec<(String, i64)>),
    PoolEvent(Vec<String>),
}

impl Edge {
    /// A proxy that has what `snapshot` holds.
    pub async fn connect(house: &House, name: &str, epoch: u64, snapshot: Snapshot) -> Edge {
        let have = snapshot.revision();
        let hello = wire::Hello {
            proxy_id: name.to_owned(),
            boot_epoch: epoch,
            build: "test".to_owned(),
            schema: proto::SYNC_SCHEMA,
            have_revision: have.0,
            region: "here".to_owned(),
        };
        let mut client = house.client().await;
        let (up, requests) = mpsc::channel(64);
        up.send(said(wire::watch_request::Message::Hello(hello))).await.unwrap();
        let down = client.watch(ReceiverStream::new(requests)).await.unwrap().into_inner();
        let (id, epoch, replica) = (name.parse().unwrap(), BootEpoch(epoch), Replica::new(snapshot));
        Edge { id, epoch, replica, client, acks: true, up, down }
    }

    /// A proxy that begins with nothing and has everything now.
    pub async fn whole(house: &House, name: &str, epoch: u64) -> Edge {
        let mut edge = Edge::connect(house, name, epoch, Snapshot::default()).await;
        assert_eq!(edge.next().await.unwrap(), Came::Resync);
        edge
    }

    /// The next thing that comes, after it was dealt with as a proxy does.
    pub async fn next(&mut self) -> Result<Came, Status> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Heartbeats come for ever.
            let message = tokio::time::timeout_at(deadline, self.down.message()).await.expect("nothing came");
            let message = message?.ok_or_else(|| Status::cancelled("the stream ended"))?;
            assert!(message.encoded_len() <= 64 * 1024, "a message of {} bytes", message.encoded_len());
            match message.message.unwrap() {
                Message::Heartbeat(_) | Message::Advice(_) => {}
                Message::Delta(delta) => return Ok(self.delta(delta).await),
                Message::Resync(_) => {
                    self.replica.resync();
                    self.fetch().await;
                    return Ok(Came::Resync);
                }
                Message::Recall(recall) => {
                    let pools = recall.pools.into_iter().map(|pool| (pool.pool, pool.keep));
                    return Ok(Came::Recall(pools.collect()));
                }
                Message::PoolEvent(event) => return Ok(Came::PoolEvent(event.pools)),
            }
        }
    }

    /// Deals with what comes until `is_there` is true of the snapshot.
    pub async fn until(&mut self, is_there: impl Fn(&Snapshot) -> bool) {
        while !is_there(self.replica.snapshot()) {
            self.next().await.unwrap();
        }
    }

    async fn delta(&mut self, delta: wire::Delta) -> Came {
        let wire::Delta { nonce, urgent, to_revision, changes } = delta;
        let came = Came::Delta { nonce, urgent, changes: changes.len() };
        let changes = read_changes(changes).changes;
        let ack = self.replica.delta(Delta { nonce, urgent, to_revision: Revision(to_revision), changes });
        if self.acks {
            self.ack(ack.nonce, "").await;
        }
        came
    }

    pub async fn observe(&mut self, observed: wire::Observations) {
        self.up.send(said(wire::watch_request::Message::Observations(observed))).await.unwrap();
    }

    pub async fn ack(&mut self, nonce: u64, error: &str) {
        let revision = self.replica.snapshot().revision().0;
        let ack = wire::Ack { nonce, revision, refusals: Vec::new(), error: error.to_owned() };
        self.up.send(said(wire::watch_request::Message::Ack(ack))).await.unwrap();
    }

    /// Fetches a whole state and says so.
    pub async fn fetch(&mut self) {
        fetch(&mut self.client, &self.id, &mut self.replica).await;
        self.ack(0, "").await;
    }

    pub fn knows(&self, key: &Key, house: &House) -> bool {
        self.replica.snapshot().caller(&key.digest, house.app.now()).is_some()
    }
}

fn said(message: wire::watch_request::Message) -> wire::WatchRequest {
    wire::WatchRequest { message: Some(message) }
}

/// Brings a replica to a whole state.
pub async fn fetch(client: &mut SyncServiceClient<Channel>, id: &ProxyId, replica: &mut Replica) {
    let request = wire::BaseRequest { proxy_id: id.to_string(), force: false };
    let mut chunks = client.base(request).await.unwrap().into_inner();
    let mut digest = link::base::BaseDigest::new();
    let mut fits = true;
    replica.base_begin(false);
    while let Some(part) = chunks.message().await.unwrap() {
        match part.message.unwrap() {
            wire::base_response::Message::Chunk(chunk) => {
                assert!(chunk.payload.len() <= 1 << 20);
                fits &= digest.check(&chunk.payload, &chunk.digest);
                replica.base_changes(read_changes(wire::Changes::decode(chunk.payload).unwrap().changes).changes);
            }
            wire::base_response::Message::End(end) => {
                fits &= digest.clone().finish().as_slice() == end.digest;
                replica.base_end(Revision(end.revision), end.objects, fits).unwrap();
            }
        }
    }
}
