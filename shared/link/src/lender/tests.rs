use super::*;
use domain::credits::is_balanced;
use domain::ids::OrgId;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_us(1_000_000_000_000);

fn org() -> OrgId {
    OrgId::new(1, 1)
}

fn proxy(n: usize) -> ProxyId {
    format!("edge-{n}").parse().unwrap()
}

fn lease(n: usize, granted: i64) -> LeaseState {
    LeaseState { granted_total: granted, ..LeaseState::new(proxy(n), BootEpoch(1)) }
}

fn pool(available: i64, leases: Vec<LeaseState>) -> MoneyPool {
    MoneyPool { id: PoolId::Credits(org()), available, closed: false, max_grant: None, leases }
}

fn asker(n: usize, sequence: u64) -> Asker {
    Asker { proxy: proxy(n), epoch: BootEpoch(1), newest_epoch: BootEpoch(1), sequence }
}

fn ask(granted: i64, returned: i64, need: i64, want: i64) -> Ask {
    let pool = PoolId::Credits(org());
    Ask { pool, granted_total: granted, returned_total: returned, need, want, rate: 0 }
}

const THREE: Fleet = Fleet { active: 3 };

#[test]
fn a_grant_is_what_is_needed_or_a_fair_share_of_what_is_wanted() {
    for (available, need, want, granted) in [
        (600_000, 10, 1_000, 1_000),
        (600_000, 10, 500_000, 100_000),
        (600_000, 0, 500_000, 100_000),
        (600_000, 200_000, 500_000, 200_000),
        (600_000, 0, 0, 0),
        (5, 0, 500, 0),
    ] {
        let decision = decide(&pool(available, vec![]), &asker(1, 1), &ask(0, 0, need, want), THREE, NOW);
        assert_eq!(decision.granted, granted, "{available} {need} {want}");
        assert_eq!(decision.available, available - granted);
        assert_eq!(decision.grant.granted_total, granted);
        assert_eq!(decision.grant.verdict, Verdict::Granted);
    }
    let capped = MoneyPool { max_grant: Some(70), ..pool(600_000, vec![]) };
    assert_eq!(decide(&capped, &asker(1, 1), &ask(0, 0, 10, 1_000), THREE, NOW).granted, 70);
    assert_eq!(
        decide(&capped, &asker(1, 1), &ask(0, 0, 200, 1_000), THREE, NOW).granted,
        200,
        "a request is served whole"
    );
}

#[test]
fn what_was_granted_but_not_seen_is_not_granted_twice() {
    let pool = pool(600_000, vec![lease(1, 400)]);
    let decision = decide(&pool, &asker(1, 1), &ask(0, 0, 300, 400), THREE, NOW);
    assert_eq!((decision.granted, decision.grant.granted_total), (0, 400));
    let decision = decide(&pool, &asker(1, 1), &ask(0, 0, 500, 400), THREE, NOW);
    assert_eq!((decision.granted, decision.grant.granted_total), (100, 500));
}

#[test]
fn a_message_that_was_overtaken_or_doubled_changes_nothing() {
    let row = LeaseState { sequence: 5, ..lease(1, 400) };
    for sequence in [4, 5] {
        let decision = decide(&pool(600, vec![row.clone()]), &asker(1, sequence), &ask(100, 50, 300, 9), THREE, NOW);
        assert_eq!(decision.lease, row);
        assert_eq!((decision.granted, decision.returned), (0, 0));
        assert_eq!(decision.grant.granted_total, 400, "but it is told the totals");
    }
}

#[test]
fn a_need_that_others_could_cover_recalls_and_is_refused_only_when_they_cannot() {
    let others = vec![lease(2, 900), lease(3, 50)];
    let first = decide(&pool(10, others), &asker(1, 1), &ask(0, 0, 100, 100), THREE, NOW);
    assert_eq!(first.grant.verdict, Verdict::Recalling);
    assert_eq!(first.grant.affordable, 960);
    assert_eq!(first.granted, 0);
    let recalled: Vec<_> = first.recalls().map(|(proxy, _, keep)| (proxy.clone(), keep)).collect();
    assert!(recalled.contains(&(proxy(2), 0)), "{recalled:?}");
    // Said again only after a while.
    let marked = first.marks.clone();
    let again = decide(&pool(10, marked.clone()), &asker(1, 2), &ask(0, 0, 100, 100), THREE, NOW.plus_us(50_000));
    assert_eq!((again.grant.verdict, again.marks.len()), (Verdict::Recalling, 0));
    let later = decide(&pool(10, marked.clone()), &asker(1, 3), &ask(0, 0, 100, 100), THREE, NOW.plus_us(250_000));
    assert_eq!((later.grant.verdict, later.marks.len()), (Verdict::Recalling, marked.len()));
    // Both answer that nothing is free: what is out is held by requests.
    let answered: Vec<_> =
        marked.iter().map(|row| LeaseState { recall_keep: None, direct: true, ..row.clone() }).collect();
    let last = decide(&pool(10, answered), &asker(1, 4), &ask(0, 0, 100, 100), THREE, NOW.plus_us(20_000));
    assert_eq!(last.grant.verdict, Verdict::Exhausted);
    assert_eq!(last.grant.affordable, 10);
    assert_eq!(last.grant.not_before_ms, 200, "what requests hold may come back without an event");
    let alone = decide(&pool(10, vec![]), &asker(1, 1), &ask(0, 0, 100, 100), THREE, NOW);
    assert_eq!((alone.grant.verdict, alone.grant.not_before_ms), (Verdict::Exhausted, 0));
}

#[test]
fn a_recall_is_answered_by_an_ask_that_wants_nothing() {
    let marked = LeaseState { recall_keep: Some(0), recalled_at: NOW, ..lease(1, 500) };
    let crossed = decide(&pool(1_000_000, vec![marked.clone()]), &asker(1, 1), &ask(500, 0, 0, 300), THREE, NOW);
    assert_eq!(crossed.lease.recall_keep, Some(0), "sent before the recall arrived");
    assert!(crossed.grant.direct && crossed.granted == 0);
    let answered = decide(&pool(1_000_000, vec![marked]), &asker(1, 1), &ask(500, 450, 0, 0), THREE, NOW);
    assert_eq!(answered.lease.recall_keep, None);
    assert_eq!(answered.returned, 450);
    assert!(answered.grant.direct, "and keeps nothing for a while");
    let rows = vec![answered.lease];
    let soon = decide(&pool(1_000_450, rows.clone()), &asker(1, 2), &ask(500, 450, 20, 0), THREE, NOW.plus_us(500_000));
    assert!(soon.grant.direct && soon.granted == 20);
    let later = decide(&pool(1_000_450, rows), &asker(1, 2), &ask(500, 450, 20, 0), THREE, NOW.plus_us(1_500_000));
    assert!(!later.grant.direct);
}

#[test]
fn a_pool_near_its_end_is_shared_request_by_request() {
    let rows = vec![LeaseState { typical: 100, ..lease(2, 500) }];
    let thin = decide(&pool(1_000, rows.clone()), &asker(1, 1), &ask(0, 0, 100, 400), THREE, NOW);
    assert!(thin.grant.direct);
    assert_eq!(thin.granted, 100, "not a unit more");
    assert_eq!(thin.marks.len(), 1, "others give back what they have");
    let rich = decide(&pool(1_000_000, rows), &asker(1, 1), &ask(0, 0, 100, 400), THREE, NOW);
    assert!(!rich.grant.direct && rich.marks.is_empty());
    assert_eq!(rich.granted, 400);
    // Twenty requests' worth is not enough where six proxies each want four.
    let six = decide(&pool(2_200, vec![]), &asker(1, 1), &ask(0, 0, 100, 400), Fleet { active: 6 }, NOW);
    assert!(six.grant.direct);
}

#[test]
fn an_older_epoch_may_give_back_but_not_borrow() {
    let old = Asker { newest_epoch: BootEpoch(2), ..asker(1, 1) };
    let decision = decide(&pool(0, vec![lease(1, 500)]), &old, &ask(500, 300, 50, 50), THREE, NOW);
    assert_eq!(decision.grant.verdict, Verdict::Fenced);
    assert_eq!((decision.returned, decision.granted, decision.available), (300, 0, 300));
}

#[test]
fn a_closed_pool_takes_back_and_lends_nothing() {
    let closed = MoneyPool { closed: true, ..pool(1_000, vec![lease(1, 500)]) };
    let decision = decide(&closed, &asker(1, 1), &ask(500, 300, 50, 50), THREE, NOW);
    assert_eq!((decision.grant.verdict, decision.grant.admit_for_ms), (Verdict::Unknown, 0));
    assert_eq!((decision.returned, decision.granted), (300, 0));
}

#[test]
fn a_charge_above_its_lease_comes_from_the_pool_and_counts_as_lent() {
    let charged = charge(Some(lease(1, 100)), 130);
    assert_eq!((charged.from_leased, charged.from_quarantine, charged.from_available), (100, 0, 30));
    let row = charged.lease.clone().unwrap();
    assert_eq!((row.granted_total, row.settled_total, row.outstanding()), (130, 130, 0));
    assert!(is_balanced(&charged.entry(org()).unwrap().legs));
    // The proxy, 30 in debt, comes even with its next answer.
    let next = decide(&pool(1_000_000, vec![row]), &asker(1, 1), &ask(100, 0, 0, 1), THREE, NOW);
    assert_eq!(next.grant.granted_total, 130);
    let late = charge(None, 40);
    assert_eq!((late.lease.is_none(), late.from_available), (true, 40));
    assert_eq!(charge(None, 0).entry(org()), None);
}

#[test]
fn a_return_that_a_charge_has_overtaken_creates_nothing() {
    // 10 lent, 5 given back, 8 charged on the 5 that were held; the charge was booked first.
    let row = charge(Some(lease(1, 10)), 8).lease.unwrap();
    let decision = decide(&pool(0, vec![row]), &asker(1, 1), &ask(10, 5, 0, 0), THREE, NOW);
    assert_eq!((decision.returned, decision.available), (2, 2));
    assert_eq!((decision.lease.granted_total, decision.lease.outstanding()), (13, 0));
    // The other way round, with the same end.
    let row = decide(&pool(0, vec![lease(1, 10)]), &asker(1, 1), &ask(10, 5, 0, 0), THREE, NOW).lease;
    let charged = charge(Some(row), 8);
    assert_eq!((charged.from_leased, charged.from_available), (5, 3));
    assert_eq!(charged.lease.unwrap().granted_total, 13);
}

#[test]
fn a_dead_proxys_lease_is_set_aside_used_revived_and_given_back() {
    let minutes = |n: i64| NOW.plus_us(n * 60_000_000);
    let row = lease(1, 500);
    assert_eq!(quarantine(row.clone(), NOW, NOW, minutes(30)), None);
    assert_eq!(
        quarantine(row.clone(), NOW, minutes(5), minutes(35)),
        None,
        "the controller's own absence does not count"
    );
    let aside = quarantine(row, NOW, NOW, minutes(31)).unwrap();
    assert_eq!(aside.amount, 500);
    let entry = aside.entry(org()).unwrap();
    assert!(entry.kind == EntryKind::Quarantine && is_balanced(&entry.legs));
    assert_eq!(quarantine(aside.lease.clone(), NOW, NOW, minutes(40)), None, "once");
    let charged = charge(Some(aside.lease.clone()), 120);
    assert_eq!((charged.from_leased, charged.from_quarantine), (0, 120));

    let back = decide(&pool(0, vec![charged.lease.clone().unwrap()]), &asker(1, 1), &ask(500, 100, 0, 0), THREE, NOW);
    assert_eq!((back.revived, back.returned, back.lease.state), (380, 100, LeaseLife::Live));
    assert_eq!(back.entries(org()).len(), 2);

    let gone = release(charged.lease.unwrap());
    assert_eq!((gone.amount, gone.lease.outstanding(), gone.lease.state), (380, 0, LeaseLife::Released));
    assert_eq!(gone.entry(org()).map(|entry| entry.kind), Some(EntryKind::Release));
    let late = charge(Some(gone.lease.clone()), 10);
    assert_eq!(late.from_available, 10);
    let fenced = decide(&pool(0, vec![gone.lease]), &asker(1, 9), &ask(500, 379, 1, 1), THREE, NOW);
    assert_eq!((fenced.grant.verdict, fenced.returned), (Verdict::Fenced, 0));
    assert!(!is_releasable(NOW, NOW, minutes(31 + 24 * 60 - 1)));
    assert!(is_releasable(NOW, NOW, minutes(31 + 24 * 60)));
}

#[test]
fn a_lease_with_nothing_out_is_never_dead_and_never_a_reason_for_a_fence() {
    let days = NOW.plus_us(30 * 24 * 3_600_000_000);
    let used_up = LeaseState { settled_total: 400, returned_total: 100, ..lease(1, 500) };
    assert_eq!(quarantine(used_up.clone(), NOW, NOW, days), None);
    // It may have been set aside or given back while something was out, which was charged or given back since.
    for state in [LeaseLife::Quarantined, LeaseLife::Released] {
        let row = LeaseState { state, ..used_up.clone() };
        let again = decide(&pool(600_000, vec![row.clone()]), &asker(1, 1), &ask(500, 100, 10, 10), THREE, NOW);
        assert_eq!((again.grant.verdict, again.granted, again.revived), (Verdict::Granted, 10, 0));
        assert_eq!(again.lease.state, LeaseLife::Live);
        let old = Asker { newest_epoch: BootEpoch(2), ..asker(1, 1) };
        let fenced = decide(&pool(600_000, vec![row]), &old, &ask(500, 100, 10, 10), THREE, NOW);
        assert_eq!(fenced.grant.verdict, Verdict::Fenced, "a life that was replaced stays so");
    }
    // 20 were given back for a dead proxy that has returned 15 of them by itself since: 5 may be in use there.
    let guessed = LeaseState { returned_total: 100, settled_total: 400, state: LeaseLife::Released, ..lease(1, 500) };
    for (returned, verdict) in [(80, Verdict::Fenced), (95, Verdict::Fenced), (100, Verdict::Granted)] {
        let said = ask(500, returned, 10, 10);
        assert_eq!(
            decide(&pool(600_000, vec![guessed.clone()]), &asker(1, 1), &said, THREE, NOW).grant.verdict,
            verdict
        );
    }
}

#[test]
fn a_need_that_nobody_can_meet_does_not_make_a_pool_look_small() {
    let rows = vec![LeaseState { typical: 10, ..lease(1, 500) }];
    let absurd = decide(&pool(100_000, rows), &asker(1, 1), &ask(500, 0, 50_000_000, 400), THREE, NOW);
    assert_eq!((absurd.grant.verdict, absurd.lease.typical), (Verdict::Exhausted, 10));
    assert!(!absurd.grant.direct && absurd.marks.is_empty());
    let next = decide(&pool(100_000, vec![absurd.lease]), &asker(1, 2), &ask(500, 0, 10, 400), THREE, NOW);
    assert!(!next.grant.direct);
    assert_eq!(next.granted, 400);
}

#[test]
fn grants_that_a_restored_database_does_not_know_are_taken_over() {
    let decision = decide(&pool(100, vec![]), &asker(1, 7), &ask(400, 50, 0, 1), THREE, NOW);
    assert_eq!(decision.lease.outstanding(), 350);
    assert_eq!(decision.available, 100 - 350);
    assert_eq!(decision.grant.granted_total, 400);
}

#[test]
fn everybody_can_be_asked_to_give_back() {
    let dead = LeaseState { state: LeaseLife::Quarantined, ..lease(3, 10) };
    let rows = [lease(1, 10), lease(2, 0), dead];
    let marked = recall_all(&rows, NOW);
    assert_eq!(marked.iter().map(|row| row.proxy.clone()).collect::<Vec<_>>(), [proxy(1)]);
}

fn any_lease() -> impl Strategy<Value = LeaseState> {
    let life =
        prop::sample::select(vec![LeaseLife::Live, LeaseLife::Live, LeaseLife::Quarantined, LeaseLife::Released]);
    (0usize..4, 0i64..1_000, 0i64..1_000, 0i64..1_000, life, any::<bool>(), prop::option::of(0i64..5)).prop_map(
        |(n, granted, returned, settled, state, direct, recall_keep)| {
            let returned = returned.min(granted);
            let settled = settled.min(granted - returned);
            let returned = if state == LeaseLife::Released { granted - settled } else { returned };
            LeaseState {
                returned_total: returned,
                settled_total: settled,
                typical: granted / 7,
                direct,
                recall_keep,
                state,
                ..lease(n, granted)
            }
        },
    )
}

proptest! {
    #[test]
    fn no_decision_creates_or_loses_a_unit(
        available in -500i64..5_000,
        mut leases in prop::collection::vec(any_lease(), 0..5),
        numbers in (0i64..2_000, 0i64..2_000, 0i64..3_000, 0i64..3_000),
        sequence in 0u64..3,
        closed in any::<bool>(),
        newest in 1u64..3,
    ) {
        leases.sort_by(|a, b| a.proxy.cmp(&b.proxy));
        leases.dedup_by(|a, b| a.proxy == b.proxy);
        let (granted, returned, need, want) = numbers;
        let before = leases.iter().map(LeaseState::outstanding).sum::<i64>() + available;
        let pool = MoneyPool { closed, ..pool(available, leases.clone()) };
        let asker = Asker { newest_epoch: BootEpoch(newest), ..asker(1, sequence) };
        let decision = decide(&pool, &asker, &ask(granted, returned, need, want), THREE, NOW);
        let mut after = leases;
        for row in decision.marks.iter().chain([&decision.lease]) {
            after.retain(|old| old.proxy != row.proxy);
            after.push(row.clone());
        }
        prop_assert_eq!(after.iter().map(LeaseState::outstanding).sum::<i64>() + decision.available, before);
        prop_assert!(after.iter().all(|row| row.outstanding() >= 0), "{:?}", after);
        prop_assert_eq!(decision.available, available + decision.returned - decision.granted);
        let entries = decision.entries(org());
        prop_assert!(entries.iter().all(|entry| is_balanced(&entry.legs)));
        // Beyond what a restored database does not know, nothing is lent that is not there.
        let known = pool.leases.iter().find(|row| row.proxy == proxy(1)).map_or(0, |row| row.granted_total);
        let imported = (granted - known).max(0);
        prop_assert!(decision.available >= 0.min(available - imported), "{:?}", decision);
        if decision.grant.verdict == Verdict::Exhausted {
            prop_assert!(decision.grant.affordable < need);
        }
    }

    #[test]
    fn charges_are_taken_from_somewhere(row in any_lease(), amount in 0i64..3_000) {
        let before = row.outstanding();
        let charge = charge(Some(row), amount);
        prop_assert_eq!(charge.from_leased + charge.from_quarantine + charge.from_available, amount);
        let row = charge.lease.unwrap();
        prop_assert_eq!(before - row.outstanding(), charge.from_leased + charge.from_quarantine);
        prop_assert!(row.outstanding() >= 0);
    }
}
