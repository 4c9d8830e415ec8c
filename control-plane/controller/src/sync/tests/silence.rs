//! What becomes of leases while nobody says anything, on either engine.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::credits::Balance;
use domain::ids::{BootEpoch, OrgId};
use domain::keys::Policy;
use domain::limits::Rate;
use domain::money::Money;
use domain::pools::PoolId;
use link::lease::{Ask, Grant, Verdict};
use runtime::clock::ManualClock;

use super::elsewhere::Database;
use super::house::{Edge, House};
use crate::access::installation_scope;
use crate::credits::lend::{self, Call};
use crate::tasks::{at_start, lease_expiry};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const DOLLAR: i64 = 1_000_000_000;

struct Scene {
    house: House,
    url: String,
    /// Of SQLite only.
    _folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    org: OrgId,
    sequence: u64,
}

impl Scene {
    /// A controller with an organisation that has a dollar.
    async fn set(database: Option<&Database>) -> Scene {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000_000));
        let folder = tempfile::tempdir().unwrap();
        let own = || folder.path().join("tollgate.db").display().to_string();
        let url = database.map_or_else(own, Database::url);
        let house = House::start_at(&url, clock.clone()).await;
        at_start(&house.app).await.unwrap();
        let org = house.org().await;
        let scope = installation_scope();
        let dollar = Money::from_nano(DOLLAR);
        crate::credits::grant(&house.app, Actor::Root, scope, org, dollar, "first", "grant").await.unwrap();
        Scene { house, url, _folder: folder, clock, org, sequence: 0 }
    }

    /// What a proxy says, and what it is told; nothing when it is left out of the answer.
    async fn ask(&mut self, granted: i64, returned: i64, need: i64) -> Option<Grant> {
        self.sequence += 1;
        let pool = PoolId::Credits(self.org);
        // Who needs nothing wants nothing, or it would be lent a little more.
        let want = i64::from(need > 0);
        let ask = Ask { pool, granted_total: granted, returned_total: returned, need, want, rate: 0 };
        let (proxy, epoch) = ("edge-1".parse().unwrap(), BootEpoch(1));
        let call = Call { proxy, epoch, sequence: self.sequence, asks: vec![ask] };
        lend::lease(&self.house.app, call).await.unwrap().grants.first().copied()
    }

    /// Asks for 100 more, and tells the verdict and what was granted in all.
    async fn borrow(&mut self, granted: i64, returned: i64) -> Option<(Verdict, i64)> {
        self.ask(granted, returned, 100).await.map(|grant| (grant.verdict, grant.granted_total))
    }

    /// Time passes in which controllers run and look after leases.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        store::pools::beat(&self.house.app.store, "another", self.house.app.now()).await.unwrap();
        lease_expiry::run(&self.house.app).await.unwrap();
    }

    async fn balance(&self) -> Balance {
        store::credits::balance(&self.house.app.store, installation_scope(), self.org).await.unwrap()
    }

    /// Where the money is: leased and quarantined.
    async fn out(&self) -> (i64, i64) {
        let balance = self.balance().await;
        (balance.leased.nano(), balance.quarantined.nano())
    }

    async fn end(self) {
        let checks = store::books::verify(&self.house.app.store).await.unwrap();
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        self.house.app.store.close().await;
    }
}

/// Makes a test of each case for each engine.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Scene::set(None).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(database) = super::Database::make() {
                    super::$name(super::Scene::set(Some(&database)).await).await;
                }
            })*
        }
    };
}

on_both_engines!(
    an_organisation_that_was_quiet_is_lent_to_again,
    a_lease_that_was_set_aside_and_used_up_is_lent_on_again,
    a_silent_proxys_money_is_set_aside_and_lives_again_with_it,
    a_proxy_that_may_hold_what_was_given_back_is_fenced_and_no_other,
    a_connected_proxy_that_is_idle_is_not_silent,
    time_in_which_no_controller_looked_is_nobodys_silence,
    the_first_controller_of_all_grants_rates_at_once,
);

async fn an_organisation_that_was_quiet_is_lent_to_again(mut scene: Scene) {
    assert_eq!(scene.borrow(0, 0).await, Some((Verdict::Granted, 100)));
    assert_eq!(scene.ask(100, 100, 0).await.map(|grant| grant.verdict), Some(Verdict::Granted));
    scene.pass(32 * MINUTE).await;
    assert_eq!(scene.borrow(100, 100).await, Some((Verdict::Granted, 200)));
    scene.ask(200, 200, 0).await;
    // The row is not kept for ever, and the proxy need not know.
    scene.pass(32 * MINUTE).await;
    scene.pass(DAY).await;
    let leases = store::pools::leases_of(&scene.house.app.store, &"edge-1".parse().unwrap(), None).await.unwrap();
    assert!(leases.is_empty(), "{leases:?}");
    assert_eq!(scene.borrow(200, 200).await, Some((Verdict::Granted, 300)));
    assert_eq!(scene.ask(300, 300, 0).await.map(|grant| grant.verdict), Some(Verdict::Granted));
    assert_eq!(scene.out().await, (0, 0));
    scene.end().await;
}

async fn a_lease_that_was_set_aside_and_used_up_is_lent_on_again(mut scene: Scene) {
    scene.borrow(0, 0).await;
    scene.pass(32 * MINUTE).await;
    assert_eq!(scene.out().await, (0, 100));
    // Its records come late: nothing is out any more, and the lease is still set aside.
    let (proxy, epoch, pool) = ("edge-1".parse().unwrap(), BootEpoch(1), PoolId::Credits(scene.org));
    let mut posting = scene.house.app.store.post(Actor::Root, scene.house.app.now()).await.unwrap();
    posting.mark(&proxy, epoch).await.unwrap();
    posting.pools(&[pool], store::Whose::Only(&proxy, epoch)).await.unwrap();
    posting.take_back(pool, &proxy, epoch, Money::from_nano(100)).unwrap();
    posting.commit().await.unwrap();
    assert_eq!(scene.out().await, (0, 0));
    assert_eq!(scene.borrow(100, 100).await, Some((Verdict::Granted, 200)));
    assert_eq!(scene.out().await, (100, 0));
    scene.end().await;
}

async fn a_silent_proxys_money_is_set_aside_and_lives_again_with_it(mut scene: Scene) {
    scene.borrow(0, 0).await;
    scene.pass(30 * MINUTE).await;
    assert_eq!(scene.out().await, (100, 0));
    scene.pass(2 * MINUTE).await;
    assert_eq!(scene.out().await, (0, 100));
    assert_eq!(scene.borrow(100, 30).await, Some((Verdict::Granted, 200)));
    assert_eq!(scene.out().await, (170, 0));
    scene.end().await;
}

async fn a_proxy_that_may_hold_what_was_given_back_is_fenced_and_no_other(mut scene: Scene) {
    scene.borrow(0, 0).await;
    scene.pass(32 * MINUTE).await;
    scene.pass(DAY).await;
    assert_eq!((scene.out().await, scene.balance().await.available), ((0, 0), Money::from_nano(DOLLAR)));
    assert_eq!(scene.borrow(100, 60).await, Some((Verdict::Fenced, 100)), "40 may be in use there");
    assert_eq!(scene.borrow(100, 100).await, Some((Verdict::Granted, 200)), "it has given back everything by itself");
    assert_eq!(scene.ask(200, 150, 0).await.map(|grant| grant.granted_total), Some(200));
    assert_eq!(scene.out().await, (50, 0), "what it returns from here on counts once");
    scene.end().await;
}

async fn a_connected_proxy_that_is_idle_is_not_silent(mut scene: Scene) {
    let edge = Edge::whole(&scene.house, "edge-1", 1).await;
    scene.borrow(0, 0).await;
    scene.pass(32 * MINUTE).await;
    scene.pass(DAY).await;
    assert_eq!(scene.out().await, (100, 0));
    assert_eq!(scene.borrow(100, 0).await, Some((Verdict::Granted, 200)));
    // It counts from here that it is gone.
    scene.pass(32 * MINUTE).await;
    drop(edge);
    while scene.house.app.fleet.is_alive(&"edge-1".parse().unwrap(), BootEpoch(1)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.pass(30 * MINUTE).await;
    assert_eq!(scene.out().await, (200, 0));
    scene.pass(2 * MINUTE).await;
    assert_eq!(scene.out().await, (0, 200));
    scene.end().await;
}

async fn time_in_which_no_controller_looked_is_nobodys_silence(mut scene: Scene) {
    scene.borrow(0, 0).await;
    scene.pass(MINUTE).await;
    // The process was stopped, the machine suspended, the database away, or the clock set forward.
    scene.clock.advance(3 * DAY);
    lease_expiry::run(&scene.house.app).await.unwrap();
    assert_eq!(scene.out().await, (100, 0));
    scene.pass(29 * MINUTE).await;
    assert_eq!(scene.out().await, (100, 0));
    scene.pass(2 * MINUTE).await;
    assert_eq!(scene.out().await, (0, 100), "what came before and after it counts");
    scene.end().await;
}

async fn the_first_controller_of_all_grants_rates_at_once(scene: Scene) {
    let policy = Policy { requests: Some(Rate::per_minute(60)), ..Policy::default() };
    let (keys, _) = scene.house.keys(scene.org, "limited", 1, &policy).await;
    let ask = async |house: &House, sequence: u64| {
        let pool = PoolId::Requests(keys[0].id);
        let ask = Ask { pool, granted_total: 0, returned_total: 0, need: 1, want: 1, rate: 0 };
        let call = Call { proxy: "edge-1".parse().unwrap(), epoch: BootEpoch(1), sequence, asks: vec![ask] };
        lend::lease(&house.app, call).await.unwrap().grants[0].verdict
    };
    assert_eq!(ask(&scene.house, 1).await, Verdict::Granted);
    // The next one waits for what the first may have granted.
    let next = House::start_at(&scene.url, scene.clock.clone()).await;
    at_start(&next.app).await.unwrap();
    assert_eq!(ask(&next, 1).await, Verdict::Recalling);
    next.app.store.close().await;
    scene.end().await;
}
