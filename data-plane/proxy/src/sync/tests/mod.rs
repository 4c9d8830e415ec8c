//! The link against a controller of a few lines, over real sockets.

mod controller;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;

use domain::ids::{BootEpoch, KeyId, ProviderId, RequestId, Revision};
use domain::money::Money;
use domain::pools::PoolId;
use domain::snapshot::{Change, Kind as Noun, Resource};
use domain::time::Timestamp;
use domain::usage::{Outcome, UsageRecord};
use proto::sync as wire;
use proto::sync::watch_response::Message as Down;
use runtime::clock::SystemClock;
use runtime::config::Span;
use tempfile::TempDir;

use self::controller::{Controller, LIMIT, digest, everything, intent, key, org, provider, record, within_limit};
use super::*;
use crate::spool::{self, RealDisk};

/// The spool's folder, once the last task of the proxy before has let go of it.
fn own(folder: &Path) -> RealDisk {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        match RealDisk::new(folder) {
            Ok(disk) => return disk,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
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
        Proxy::start_with(folder, address, watch::SILENCE)
    }

    fn start_with(folder: &Path, address: SocketAddr, silence: Duration) -> Proxy {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = spool::Config {
            dir: folder.join("spool"),
            cap: 1 << 30,
            segment: 1 << 20,
            flush: Duration::from_millis(1),
        };
        let disk = Arc::new(own(&config.dir));
        let (spool, replay) = Spool::open(config, disk, clock.clone()).unwrap();
        let mut settings = Settings { data_dir: folder.to_owned(), ..Settings::default() };
        settings.sync_url = format!("http://{address}");
        settings.sync.report_interval = Span::from_millis(20);
        let identity =
            Identity { proxy: "p-1".parse().unwrap(), epoch: spool.epoch(), region: "here".into(), build: "test" };
        let registry = Registry::new();
        let (link, mut driver) = prepare(&settings, &identity, clock, &registry).unwrap();
        driver.silence = silence;
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

/// A controller that holds everything, and a proxy that has it. The folder is the proxy's and goes when it is dropped.
async fn served() -> (TempDir, Controller, Proxy) {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    (folder, controller, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_first_start_fetches_everything_and_then_follows() {
    let (_folder, controller, proxy) = served().await;
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
async fn a_restart_from_an_old_cache_is_ready_once_it_has_caught_up_or_after_a_while() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    // An urgent change is acknowledged when it is on disk, and the base before it.
    controller.delta(1, true, 0, &[Change::removed(Revision(2), Noun::Key, digest(1).to_string())]);
    controller.acked(1).await;
    proxy.die().await;
    // Changed meanwhile: there is a newer revision, which is told first and comes later.
    controller.holds(3, everything());
    let proxy = Proxy::start(folder.path(), address);
    assert_eq!(controller.greeted(2).await.have_revision, 2, "from its cache");
    let acme: ProviderId = "acme".parse().unwrap();
    within_limit(async {
        while proxy.link.status.head_revision() != 3 || proxy.link.secrets.get(&acme, 1).is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!proxy.link.status.is_ready(), "a key that was made meanwhile would be refused");
    controller.delta(2, false, 3, &[key(3, 6)]);
    proxy.ready().await;
    assert!(proxy.knows(6));
    proxy.die().await;
    // What never comes is not waited for: an old state is better than none.
    controller.holds(9, everything());
    let proxy = Proxy::start(folder.path(), address);
    proxy.ready().await;
    assert!(proxy.link.status.connected() && proxy.link.status.revision() < 9);
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
    let (_folder, controller, proxy) = served().await;
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
async fn a_fenced_process_says_so_and_leaves_at_once() {
    let (_folder, controller, proxy) = served().await;
    let pool = PoolId::Credits(org().id);
    assert_eq!(within_limit(proxy.link.funds.request(pool, 500)).await, Ok(()));
    assert!(!proxy.link.status.is_fenced());
    *controller.state.verdict.lock().unwrap() = wire::Verdict::Fenced;
    let refused = within_limit(proxy.link.funds.request(pool, 50_000_000)).await;
    assert_eq!(refused, Err(::link::cell::Denied::Fenced));
    within_limit(proxy.link.status.fenced()).await;
    // What is left here will not be heard of any more: nobody waits for that.
    let begun = std::time::Instant::now();
    proxy.leave().await;
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
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
    let (_folder, controller, proxy) = served().await;
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
async fn what_a_provider_asks_for_is_told_at_once_and_advice_is_taken() {
    let (_folder, controller, proxy) = served().await;
    let route = crate::pipeline::tests::route("acme", "1", "1");
    let standing = proxy.link.standings.of(&route);
    proxy.link.standings.cool(&route, Duration::from_secs(30));
    let mut observed = controller.state.observed.subscribe();
    let tells = |all: &Vec<wire::Observations>| all.iter().any(|one| !one.coolings.is_empty());
    let told = within_limit(observed.wait_for(tells)).await.unwrap().clone();
    let cooling = told.iter().flat_map(|one| &one.coolings).next().unwrap();
    assert_eq!((cooling.provider.as_str(), cooling.upstream_model.as_str()), ("acme", "m"));
    let endpoint = route.endpoint.id.to_string();
    let state = wire::EndpointAdvice { endpoint: endpoint.clone(), state: "ejected".to_owned() };
    let measures =
        wire::EndpointMeasures { endpoint, uptime: Some(990), latency: vec![1, 2, 3, 4], throughput: vec![] };
    controller.say(Down::Advice(wire::Advice {
        ttl_ms: 30_000,
        endpoints: vec![state],
        measures: vec![measures],
        coolings: vec![],
    }));
    within_limit(async {
        while proxy.link.standings.shown(&route.endpoint.id).measured.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    within_limit(async {
        while proxy.link.standings.shown(&route.endpoint.id).state != ::link::health::view::State::Ejected {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(standing.is_amiss());
    proxy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_books_are_asked_from_any_thread() {
    let (_folder, _controller, proxy) = served().await;
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
async fn a_stream_that_says_nothing_is_given_up_and_opened_again() {
    let (folder, controller) = (tempfile::tempdir().unwrap(), Controller::new());
    controller.holds(2, everything());
    let (address, _server) = controller.serve("127.0.0.1:0").await;
    let proxy = Proxy::start_with(folder.path(), address, Duration::from_millis(300));
    proxy.ready().await;
    assert_eq!(controller.greeted(2).await.have_revision, 2, "goes on from where it was");
    assert!(proxy.knows(5));
    let beat = Down::Heartbeat(wire::Heartbeat { head_revision: 9, server_time_us: 0 });
    within_limit(async {
        while proxy.link.status.head_revision() != 9 {
            // Nobody listens in the moment between two streams.
            let _ = controller.state.down.send(wire::WatchResponse { message: Some(beat.clone()) });
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
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
