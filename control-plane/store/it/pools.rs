//! Pools and leases: money is lent, returned, charged, set aside and given back, and is never in two places.

use std::time::Duration;

use domain::ids::{BootEpoch, KeyId, OrgId};
use domain::keys::{Key, Policy};
use domain::limits::{Budget, Period, Reset};
use domain::money::Money;
use domain::orgs::Org;
use domain::pools::PoolId;
use store::{Charged, Error, LeaseState, Nudge, Posting, Whose, keys, orgs, pools};

use crate::books::everything_adds_up;
use crate::ground::Ground;
use crate::samples::{self, ALL, EPOCH, NOW, nano, usd};

on_both_engines!(
    credits_are_lent_and_come_back,
    no_more_is_lent_than_there_is,
    a_word_about_returns_counts_once,
    charges_follow_the_state_of_the_lease,
    a_charge_above_the_lease_takes_the_rest_from_the_pool,
    a_return_beyond_what_is_out_moves_nothing,
    what_a_restored_backup_forgot_is_acknowledged,
    what_the_lender_remembers_stays_with_the_lease,
    a_dead_proxys_money_is_set_aside_and_given_back,
    a_lease_with_nothing_out_is_never_silent_and_can_be_opened_again,
    a_budget_is_a_pool_of_its_own,
    a_pool_of_nobody_is_left_out,
    a_recall_is_durable_and_announced,
    a_renewal_keeps_all_leases_of_a_life,
    marks_move_forward_and_know_the_newest_life,
    loans_from_many_sides_never_exceed_the_balance,
    controllers_are_heard,
);

async fn open(ground: &Ground, ids: &[PoolId]) -> (Posting, Vec<store::Pool>) {
    let mut posting = samples::post(&ground.store).await;
    let proxy = samples::proxy("edge-1");
    posting.mark(&proxy, EPOCH).await.unwrap();
    let pools = posting.pools(ids, Whose::All(&proxy, EPOCH)).await.unwrap();
    (posting, pools)
}

async fn credits_are_lent_and_come_back(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    let (mut posting, pools) = open(ground, &[pool]).await;
    assert_eq!((pools[0].available, pools[0].live, pools[0].leases.len()), (usd(10), true, 0));
    assert_eq!(posting.lend(pool, &proxy, EPOCH, usd(4)).unwrap().remaining(), usd(4));
    posting.note_sequence(pool, &proxy, EPOCH, 3).unwrap();
    posting.note_sequence(pool, &proxy, EPOCH, 2).unwrap();
    posting.commit().await.unwrap();
    let (mut posting, pools) = open(ground, &[pool]).await;
    assert_eq!((pools[0].available, pools[0].leased), (usd(6), usd(4)));
    let lease = &pools[0].leases[0];
    assert_eq!((lease.granted_total, lease.last_sequence, lease.state), (usd(4), 3, LeaseState::Active));
    assert_eq!((lease.opened_at, lease.renewed_at), (NOW, NOW));
    assert_eq!(posting.take_back(pool, &proxy, EPOCH, usd(1)).unwrap(), usd(1));
    posting.lend(pool, &proxy, EPOCH, usd(2)).unwrap();
    let seen = posting.pools(&[pool], Whose::Only(&proxy, EPOCH)).await.unwrap();
    assert_eq!((seen[0].available, seen[0].leased), (usd(5), usd(5)), "a posting sees what it did");
    posting.commit().await.unwrap();
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.leased, balance.funded()), (usd(5), usd(5), usd(10)));
    everything_adds_up(ground).await;
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.release(pool, &proxy, EPOCH).unwrap(), usd(5));
    assert_eq!(posting.release(pool, &proxy, EPOCH).unwrap(), Money::ZERO);
    posting.commit().await.unwrap();
    assert!(pools::leases_of(&ground.store, &proxy, Some(EPOCH)).await.unwrap().is_empty(), "closed");
    // The same life borrows again: its totals go on.
    let (mut posting, pools) = open(ground, &[pool]).await;
    assert_eq!((pools[0].leases[0].state, pools[0].leases[0].returned_total), (LeaseState::Closed, usd(6)));
    posting.lend(pool, &proxy, EPOCH, usd(3)).unwrap();
    posting.commit().await.unwrap();
    let lease = &pools::leases_of(&ground.store, &proxy, None).await.unwrap()[0];
    assert_eq!((lease.granted_total, lease.remaining()), (usd(9), usd(3)));
    everything_adds_up(ground).await;
}

async fn no_more_is_lent_than_there_is(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    let (mut posting, _) = open(ground, &[pool]).await;
    posting.lend(pool, &proxy, EPOCH, usd(9)).unwrap();
    let refused = posting.lend(pool, &proxy, EPOCH, nano(1_000_000_001)).map(drop);
    assert!(matches!(refused, Err(Error::Conflict { what: "available" })));
    assert!(matches!(posting.lend(pool, &proxy, EPOCH, nano(-1)).map(drop), Err(Error::Misuse { .. })));
    let other = PoolId::Credits(OrgId::new(1, 99));
    assert!(matches!(posting.lend(other, &proxy, EPOCH, nano(1)).map(drop), Err(Error::Misuse { .. })), "not loaded");
    posting.commit().await.unwrap();
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(1));
}

async fn a_word_about_returns_counts_once(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    samples::lend(&ground.store, pool, &proxy, usd(5)).await;
    // Doubled, reordered and lost messages: the totals say it all.
    for (said, back) in [(usd(2), usd(2)), (usd(2), usd(0)), (usd(1), usd(0)), (usd(5), usd(3)), (usd(2), usd(0))] {
        let (mut posting, _) = open(ground, &[pool]).await;
        assert_eq!(posting.take_back(pool, &proxy, EPOCH, said).unwrap(), back);
        posting.commit().await.unwrap();
    }
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.take_back(pool, &proxy, BootEpoch(99), usd(6)).unwrap(), Money::ZERO, "no such lease");
    drop(posting);
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(10));
    everything_adds_up(ground).await;
}

async fn charges_follow_the_state_of_the_lease(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    let charge = async |sequence: u64| {
        let mut posting = samples::post(&ground.store).await;
        posting.mark(&proxy, EPOCH).await.unwrap();
        posting.pools(&[pool], Whose::Only(&proxy, EPOCH)).await.unwrap();
        posting.usage(sequence, &[samples::record(sequence.into(), &key, usd(1))]).await.unwrap();
        let charged = posting.charge(pool, &proxy, EPOCH, usd(1)).unwrap();
        posting.advance(sequence, [0; 32]).unwrap();
        posting.commit().await.unwrap();
        charged
    };
    let from_pool = Charged { available: usd(1), ..Charged::default() };
    assert_eq!(charge(1).await, from_pool, "no lease yet");
    samples::lend(&ground.store, pool, &proxy, usd(4)).await;
    assert_eq!(charge(2).await, Charged { leased: usd(1), ..Charged::default() });
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.quarantine(pool, &proxy, EPOCH).unwrap(), usd(3));
    posting.commit().await.unwrap();
    assert_eq!(charge(3).await, Charged { quarantined: usd(1), ..Charged::default() });
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.quarantined, balance.settled), (usd(5), usd(2), usd(3)));
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.release(pool, &proxy, EPOCH).unwrap(), usd(2));
    posting.commit().await.unwrap();
    assert_eq!(charge(4).await, from_pool, "late");
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.leased, balance.settled), (usd(6), usd(0), usd(4)));
    everything_adds_up(ground).await;
}

async fn a_charge_above_the_lease_takes_the_rest_from_the_pool(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    samples::lend(&ground.store, pool, &proxy, usd(1)).await;
    samples::ingest(&ground.store, &proxy, 1, &[samples::record(1, &key, usd(3))]).await;
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.leased, balance.settled), (usd(7), usd(0), usd(3)));
    let lease = &pools::leases_of(&ground.store, &proxy, None).await.unwrap()[0];
    assert_eq!((lease.granted_total, lease.settled_total), (usd(3), usd(3)), "the proxy's debt counts as lent");
    // Now the lease is empty but open: all of a charge goes beyond it.
    samples::ingest(&ground.store, &proxy, 2, &[samples::record(2, &key, usd(9))]).await;
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.settled), (usd(-2), usd(12)));
    let lease = &pools::leases_of(&ground.store, &proxy, None).await.unwrap()[0];
    assert_eq!((lease.granted_total, lease.remaining()), (usd(12), usd(0)));
    everything_adds_up(ground).await;
}

async fn a_return_beyond_what_is_out_moves_nothing(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    samples::lend(&ground.store, pool, &proxy, usd(5)).await;
    // The report of a charge above its hold overtakes the return that was said before it.
    samples::ingest(&ground.store, &proxy, 1, &[samples::record(1, &key, usd(4))]).await;
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.take_back(pool, &proxy, EPOCH, usd(3)).unwrap(), usd(1));
    assert_eq!(posting.take_back(pool, &proxy, EPOCH, usd(3)).unwrap(), usd(0));
    posting.commit().await.unwrap();
    let lease = &pools::leases_of(&ground.store, &proxy, None).await.unwrap()[0];
    assert_eq!((lease.granted_total, lease.returned_total, lease.remaining()), (usd(7), usd(3), usd(0)));
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(6));
    everything_adds_up(ground).await;
}

async fn what_a_restored_backup_forgot_is_acknowledged(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.acknowledge(pool, &proxy, EPOCH, usd(3)).unwrap(), usd(3));
    assert_eq!(posting.acknowledge(pool, &proxy, EPOCH, usd(2)).unwrap(), usd(0));
    posting.commit().await.unwrap();
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.leased), (usd(-2), usd(3)));
    everything_adds_up(ground).await;
}

async fn what_the_lender_remembers_stays_with_the_lease(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    samples::lend(&ground.store, pool, &proxy, usd(1)).await;
    let (mut posting, pools) = open(ground, &[pool]).await;
    let fresh = &pools[0].leases[0];
    assert_eq!((fresh.typical, fresh.direct, fresh.recalled_at), (usd(0), false, domain::time::Timestamp::default()));
    posting.shape(pool, &proxy, EPOCH, nano(77), true).unwrap();
    posting.recall(pool, &proxy, EPOCH, Some(usd(0))).unwrap();
    posting.recall(pool, &proxy, EPOCH, None).unwrap();
    posting.commit().await.unwrap();
    let lease = &pools::leases_of(&ground.store, &proxy, None).await.unwrap()[0];
    assert_eq!((lease.typical, lease.direct), (nano(77), true));
    assert_eq!((lease.recall, lease.recalled_at), (None, NOW), "when it was recalled outlives the answer");
}

async fn a_dead_proxys_money_is_set_aside_and_given_back(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    samples::lend(&ground.store, pool, &proxy, usd(4)).await;
    let silent = pools::leases_renewed_before(&ground.store, samples::later(1), 9).await.unwrap();
    assert_eq!(silent.len(), 1);
    assert!(pools::leases_renewed_before(&ground.store, NOW, 9).await.unwrap().is_empty());
    let (mut posting, _) = open(ground, &[pool]).await;
    posting.quarantine(pool, &proxy, EPOCH).unwrap();
    assert!(matches!(posting.quarantine(pool, &proxy, EPOCH), Err(Error::Conflict { .. })));
    assert!(matches!(posting.lend(pool, &proxy, EPOCH, usd(1)).map(drop), Err(Error::Misuse { .. })));
    posting.commit().await.unwrap();
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.leased, balance.quarantined), (usd(6), usd(0), usd(4)));
    assert_eq!(pools::quarantined(&ground.store, 9).await.unwrap()[0].remaining(), usd(4));
    everything_adds_up(ground).await;
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.revive(pool, &proxy, EPOCH).unwrap(), usd(4));
    assert_eq!(posting.quarantine(pool, &proxy, EPOCH).unwrap(), usd(4));
    assert_eq!(posting.take_back(pool, &proxy, EPOCH, usd(1)).unwrap(), usd(1));
    assert_eq!(posting.release(pool, &proxy, EPOCH).unwrap(), usd(3));
    posting.commit().await.unwrap();
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(10));
    everything_adds_up(ground).await;
}

async fn a_lease_with_nothing_out_is_never_silent_and_can_be_opened_again(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    samples::lend(&ground.store, pool, &proxy, usd(4)).await;
    let used_up = async || pools::used_up_before(&ground.store, samples::later(1), 9).await.unwrap().len();
    assert_eq!(used_up().await, 0);
    let (mut posting, _) = open(ground, &[pool]).await;
    assert!(matches!(posting.revive(pool, &proxy, EPOCH), Err(Error::Conflict { .. })), "it lives");
    posting.take_back(pool, &proxy, EPOCH, usd(4)).unwrap();
    posting.commit().await.unwrap();
    assert!(pools::leases_renewed_before(&ground.store, samples::later(1), 9).await.unwrap().is_empty());
    assert_eq!(used_up().await, 1);
    let (mut posting, _) = open(ground, &[pool]).await;
    posting.release(pool, &proxy, EPOCH).unwrap();
    posting.commit().await.unwrap();
    assert_eq!(used_up().await, 0);
    let (mut posting, _) = open(ground, &[pool]).await;
    assert_eq!(posting.revive(pool, &proxy, EPOCH).unwrap(), Money::ZERO);
    // From here on its returns count again, each once.
    posting.lend(pool, &proxy, EPOCH, usd(2)).unwrap();
    assert_eq!(posting.take_back(pool, &proxy, EPOCH, usd(5)).unwrap(), usd(1));
    posting.commit().await.unwrap();
    assert_eq!(samples::balance(&ground.store, org.id).await.leased, usd(1));
    everything_adds_up(ground).await;
}

async fn a_budget_is_a_pool_of_its_own(ground: &Ground) {
    let (org, plain) = samples::funded(&ground.store, 1, usd(10)).await;
    let budget = Budget { amount: usd(3), reset: Reset::Daily };
    let key = Key { policy: Policy { budget: Some(budget), ..Policy::default() }, ..samples::key(50, org.id) };
    samples::insert_key(&ground.store, &key).await;
    let (pool, proxy) = (PoolId::Budget(key.id, Period(86_400)), samples::proxy("edge-1"));
    let without = PoolId::Budget(plain.id, Period(0));
    let (mut posting, pools) = open(ground, &[pool, without]).await;
    assert_eq!((pools[0].budget, pools[0].available), (Some(budget), usd(3)));
    assert_eq!((pools[1].budget, pools[1].available), (None, usd(0)), "a key without a budget lends nothing");
    posting.lend(pool, &proxy, EPOCH, usd(2)).unwrap();
    assert!(matches!(posting.lend(pool, &proxy, EPOCH, usd(2)).map(drop), Err(Error::Conflict { .. })));
    posting.commit().await.unwrap();
    let mut record = samples::record(1, &key, usd(1));
    record.budget = Some(pool);
    samples::ingest(&ground.store, &proxy, 1, &[record]).await;
    let state = pools::budget(&ground.store, ALL(), key.id, Period(86_400)).await.unwrap();
    assert_eq!((state.settled, state.leased, state.quarantined), (usd(1), usd(1), usd(0)));
    let other_day = pools::budget(&ground.store, ALL(), key.id, Period(0)).await.unwrap();
    assert_eq!(other_day, pools::BudgetState::default());
    assert_eq!(samples::balance(&ground.store, org.id).await.settled, usd(1), "charged to the organisation once");
    everything_adds_up(ground).await;
    // A changed limit applies at once, even below what is used.
    let mut edit = samples::edit(&ground.store).await;
    let smaller = Policy { budget: Some(Budget { amount: nano(5), reset: Reset::Daily }), ..Policy::default() };
    keys::update(&mut edit, ALL(), &Key { policy: smaller, disabled: true, ..key.clone() }).await.unwrap();
    edit.commit().await.unwrap();
    let (mut posting, pools) = open(ground, &[pool]).await;
    assert_eq!((pools[0].available, pools[0].live), (nano(5 - 2_000_000_000), false));
    posting.quarantine(pool, &proxy, EPOCH).unwrap();
    posting.commit().await.unwrap();
    let state = pools::budget(&ground.store, ALL(), key.id, Period(86_400)).await.unwrap();
    assert_eq!((state.settled, state.leased, state.quarantined), (usd(1), usd(0), usd(1)));
    everything_adds_up(ground).await;
    let (mut posting, _) = open(ground, &[pool]).await;
    posting.release(pool, &proxy, EPOCH).unwrap();
    posting.commit().await.unwrap();
    everything_adds_up(ground).await;
}

async fn a_pool_of_nobody_is_left_out(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let real = PoolId::Credits(org.id);
    let wanted = [
        PoolId::Credits(OrgId::new(1, 404)),
        PoolId::Budget(KeyId::new(1, 404), Period(0)),
        PoolId::Requests(key.id),
        PoolId::Tokens(key.id),
        real,
    ];
    let (posting, pools) = open(ground, &wanted).await;
    assert_eq!(pools.iter().map(|pool| pool.id).collect::<Vec<_>>(), [real]);
    drop(posting);
    let mut edit = samples::edit(&ground.store).await;
    orgs::update(&mut edit, ALL(), &Org { frozen: true, ..org }).await.unwrap();
    edit.commit().await.unwrap();
    let (_posting, pools) = open(ground, &[real]).await;
    assert!(!pools[0].live, "a frozen organisation's");
}

async fn a_recall_is_durable_and_announced(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy, other) = (PoolId::Credits(org.id), samples::proxy("edge-1"), samples::proxy("edge-2"));
    samples::lend(&ground.store, pool, &proxy, usd(4)).await;
    let mut nudges = ground.store.nudges().await.unwrap();
    let mut posting = samples::post(&ground.store).await;
    posting.mark(&other, EPOCH).await.unwrap();
    let pools = posting.pools(&[pool], Whose::All(&other, EPOCH)).await.unwrap();
    assert_eq!(pools[0].leases.len(), 1, "another proxy's lease is seen");
    posting.recall(pool, &proxy, EPOCH, Some(usd(1))).unwrap();
    posting.commit().await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), nudges.next()).await.unwrap();
    assert_eq!(heard, Nudge::Recall(proxy.clone()));
    let recalled = pools::recalled(&ground.store, &proxy).await.unwrap();
    assert_eq!(recalled[0].recall.map(|recall| (recall.keep, recall.at)), Some((usd(1), NOW)));
    let (mut posting, _) = open(ground, &[pool]).await;
    posting.recall(pool, &proxy, EPOCH, None).unwrap();
    posting.commit().await.unwrap();
    assert!(pools::recalled(&ground.store, &proxy).await.unwrap().is_empty());
}

async fn a_renewal_keeps_all_leases_of_a_life(ground: &Ground) {
    let (one, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let (two, _) = samples::funded(&ground.store, 2, usd(10)).await;
    let proxy = samples::proxy("edge-1");
    for org in [one.id, two.id] {
        samples::lend(&ground.store, PoolId::Credits(org), &proxy, usd(1)).await;
    }
    let now = samples::later(100);
    let mut posting = ground.store.post(domain::audit::Actor::Task("report"), now).await.unwrap();
    posting.mark(&proxy, EPOCH).await.unwrap();
    posting.renew();
    posting.commit().await.unwrap();
    let leases = pools::leases_of(&ground.store, &proxy, None).await.unwrap();
    assert_eq!(leases.iter().map(|lease| lease.renewed_at).collect::<Vec<_>>(), [now, now]);
    pools::forget_downtime(&ground.store, 1_000_000).await.unwrap();
    let leases = pools::leases_of(&ground.store, &proxy, None).await.unwrap();
    assert!(leases.iter().all(|lease| lease.renewed_at == samples::later(101)));
}

async fn marks_move_forward_and_know_the_newest_life(ground: &Ground) {
    let proxy = samples::proxy("edge-1");
    let mut posting = samples::post(&ground.store).await;
    assert!(matches!(posting.advance(1, [0; 32]), Err(Error::Misuse { .. })), "no mark is held");
    let fresh = posting.mark(&proxy, EPOCH).await.unwrap();
    assert_eq!((fresh.last_sequence, fresh.digest, fresh.drained, fresh.newest_epoch), (0, [0; 32], false, EPOCH));
    assert!(matches!(posting.mark(&proxy, EPOCH).await, Err(Error::Misuse { .. })));
    posting.advance(5, [7; 32]).unwrap();
    assert!(matches!(posting.advance(4, [7; 32]), Err(Error::Misuse { .. })), "never back");
    posting.drained();
    posting.commit().await.unwrap();
    let mut posting = samples::post(&ground.store).await;
    posting.mark(&proxy, BootEpoch(EPOCH.0 + 1)).await.unwrap();
    posting.commit().await.unwrap();
    let mut posting = samples::post(&ground.store).await;
    let old = posting.mark(&proxy, EPOCH).await.unwrap();
    assert_eq!((old.last_sequence, old.digest, old.drained), (5, [7; 32], true));
    assert_eq!(old.newest_epoch, BootEpoch(EPOCH.0 + 1), "the old life is fenced");
    drop(posting);
    assert_eq!(pools::marks(&ground.store).await.unwrap().len(), 2);
    let mut posting = samples::post(&ground.store).await;
    posting.renew();
    assert!(matches!(posting.commit().await, Err(Error::Misuse { .. })), "nobody's renewal");
}

async fn loans_from_many_sides_never_exceed_the_balance(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    let pool = PoolId::Credits(org.id);
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let store = ground.store.clone();
            tokio::spawn(async move {
                let proxy = samples::proxy(&format!("edge-{n}"));
                let mut posting = samples::post(&store).await;
                posting.mark(&proxy, EPOCH).await.unwrap();
                let pools = posting.pools(&[pool], Whose::All(&proxy, EPOCH)).await.unwrap();
                if pools[0].available < usd(1) {
                    return 0;
                }
                posting.lend(pool, &proxy, EPOCH, usd(1)).unwrap();
                posting.commit().await.unwrap();
                1
            })
        })
        .collect();
    let mut lent = 0;
    for task in tasks {
        lent += task.await.unwrap();
    }
    assert_eq!(lent, 10, "every dollar once");
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.leased), (usd(0), usd(10)));
    everything_adds_up(ground).await;
}

async fn controllers_are_heard(ground: &Ground) {
    assert_eq!(pools::last_beat(&ground.store).await.unwrap(), None);
    pools::beat(&ground.store, "one", samples::later(5)).await.unwrap();
    pools::beat(&ground.store, "two", samples::later(3)).await.unwrap();
    pools::beat(&ground.store, "two", samples::later(4)).await.unwrap();
    assert_eq!(pools::last_beat(&ground.store).await.unwrap(), Some(samples::later(5)));
}
