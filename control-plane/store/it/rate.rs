//! How fast it is, roughly. Not part of the check: `cargo test --release -p tollgate-store rate -- --ignored --nocapture`.

use std::time::Instant;

use domain::keys::Key;
use domain::money::Money;
use domain::pools::PoolId;
use store::{Store, Whose, keys, snapshot};

use crate::ground::Ground;
use crate::samples::{self, ALL, EPOCH, nano, usd};

const ORGS: u128 = 20;
const BATCH: u64 = 1_000;

macro_rules! measured {
    ($($name:ident),*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "measures"]
            async fn sqlite() {
                crate::ground::Ground::sqlite().await.run(super::$name).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "measures"]
            async fn postgres() {
                if let Some(ground) = crate::ground::Ground::postgres().await {
                    ground.run(super::$name).await;
                }
            }
        })*
    };
}

measured!(ingest, loans, base);

fn engine(store: &Store) -> &'static str {
    if store.is_postgres() { "PostgreSQL" } else { "SQLite" }
}

async fn ingest(ground: &Ground) {
    let mut keys = Vec::new();
    for n in 1..=ORGS {
        keys.push(samples::funded(&ground.store, n, usd(1_000)).await.1);
        let pool = PoolId::Credits(samples::org(n).id);
        samples::lend(&ground.store, pool, &samples::proxy("edge-1"), usd(100)).await;
    }
    let proxy = samples::proxy("edge-1");
    let rounds = 40;
    let started = Instant::now();
    for round in 0..rounds {
        let first = round * BATCH + 1;
        let records: Vec<_> = (first..first + BATCH)
            .map(|n| samples::record(n.into(), &keys[usize::try_from(n).unwrap() % keys.len()], nano(412_500)))
            .collect();
        let mut posting = samples::post(&ground.store).await;
        posting.mark(&proxy, EPOCH).await.unwrap();
        let pools: Vec<PoolId> = keys.iter().map(|key| PoolId::Credits(key.org)).collect();
        posting.pools(&pools, Whose::Only(&proxy, EPOCH)).await.unwrap();
        posting.usage(first, &records).await.unwrap();
        for key in &keys {
            let cost: i64 = records.iter().filter(|record| record.key == key.id).map(|record| record.cost.nano()).sum();
            posting.charge(PoolId::Credits(key.org), &proxy, EPOCH, Money::from_nano(cost)).unwrap();
        }
        posting.advance(first + BATCH - 1, [0; 32]).unwrap();
        posting.renew();
        posting.commit().await.unwrap();
    }
    let rate = (rounds * BATCH) as f64 / started.elapsed().as_secs_f64();
    eprintln!("{}: {rate:.0} usage records/s in batches of {BATCH} over {ORGS} organisations", engine(&ground.store));
    let started = Instant::now();
    crate::books::everything_adds_up(ground).await;
    eprintln!("{}: verified in {:.2} s", engine(&ground.store), started.elapsed().as_secs_f64());
}

async fn loans(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1_000)).await;
    let pool = PoolId::Credits(org.id);
    let rounds = 300;
    let started = Instant::now();
    for _ in 0..rounds {
        samples::lend(&ground.store, pool, &samples::proxy("edge-1"), nano(1)).await;
    }
    let rate = f64::from(rounds) / started.elapsed().as_secs_f64();
    eprintln!("{}: {rate:.0} loans/s, one after the other", engine(&ground.store));
}

async fn base(ground: &Ground) {
    let many: u128 = 100_000;
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let started = Instant::now();
    for first in (0..many).step_by(10_000) {
        let made: Vec<Key> = (first..first + 10_000).map(|n| samples::key(n, org.id)).collect();
        let mut edit = samples::edit(&ground.store).await;
        keys::insert_many(&mut edit, ALL(), &made).await.unwrap();
        edit.commit().await.unwrap();
    }
    let wrote = many as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut base = snapshot::base(&ground.store).await.unwrap();
    let mut count = 0usize;
    while let Some(changes) = base.next(5_000).await.unwrap() {
        count += changes.len();
    }
    let read = count as f64 / started.elapsed().as_secs_f64();
    eprintln!("{}: {wrote:.0} keys/s written, {read:.0} resources/s read as a base", engine(&ground.store));
}
