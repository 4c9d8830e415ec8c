use super::*;
use domain::ids::KeyId;

const PER_MINUTE: Rate = Rate { per_minute: 60, burst: 60 };

fn asker(n: usize, sequence: u64) -> Asker {
    let proxy = format!("edge-{n}").parse().unwrap();
    Asker { proxy, epoch: BootEpoch(1), newest_epoch: BootEpoch(1), sequence }
}

fn ask(granted: i64, returned: i64, need: i64, want: i64) -> Ask {
    let pool = PoolId::Requests(KeyId::new(1, 1));
    Ask { pool, granted_total: granted, returned_total: returned, need, want, rate: 0 }
}

/// Pools whose owner has been there for long enough.
fn pools() -> RatePools {
    RatePools::new(0)
}

#[test]
fn a_new_owner_grants_nothing_while_old_chunks_may_live() {
    let mut pools = RatePools::new(5_000);
    let early = pools.ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 1, 1), 3, 5_400);
    assert_eq!((early.verdict, early.not_before_ms, early.granted_total), (Verdict::Recalling, 600, 0));
    let ready = pools.ask(PER_MINUTE, &asker(1, 2), &ask(0, 0, 1, 1), 3, 6_000);
    assert_eq!((ready.verdict, ready.granted_total), (Verdict::Granted, 1));
}

#[test]
fn the_first_owner_of_all_grants_at_once() {
    let first = RatePools::first().ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 1, 1), 3, 0);
    assert_eq!((first.verdict, first.granted_total), (Verdict::Granted, 1));
}

#[test]
fn headers_show_the_limit_what_is_left_and_when_it_is_full() {
    let grant = pools().ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 1, 1), 3, 1_000);
    assert!(grant.direct, "one a second over three proxies");
    // What is on its way may still be unused for a second; then one more second refills it.
    assert_eq!((grant.limit, grant.remaining, grant.reset_ms), (60, 59, 2_000));
}

#[test]
fn a_refusal_says_exactly_when_to_come_back() {
    for (need, burst) in [(1, 5), (3, 5), (5, 5), (1, 1)] {
        let rate = Rate { per_minute: 60, burst };
        let mut pools = pools();
        let all = i64::try_from(burst).unwrap();
        let first = pools.ask(rate, &asker(1, 1), &ask(0, 0, all, all), 3, 1_000);
        assert_eq!(first.granted_total, all);
        let refused = pools.ask(rate, &asker(2, 1), &ask(0, 0, need, need), 3, 1_100);
        assert_eq!((refused.verdict, refused.affordable), (Verdict::Exhausted, 0));
        let at = 1_100 + refused.not_before_ms;
        let early = pools.ask(rate, &asker(2, 2), &ask(0, 0, need, need), 3, at - 1);
        assert_eq!(early.verdict, Verdict::Exhausted, "{need} of {burst}");
        let ready = pools.ask(rate, &asker(2, 3), &ask(0, 0, need, need), 3, at);
        assert_eq!((ready.verdict, ready.granted_total), (Verdict::Granted, need), "{need} of {burst}");
    }
}

#[test]
fn what_never_fits_the_bucket_is_not_waited_for() {
    let grant = pools().ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 61, 61), 3, 1_000);
    assert_eq!((grant.verdict, grant.not_before_ms, grant.affordable), (Verdict::Exhausted, 0, 60));
}

#[test]
fn a_busy_limit_is_lent_in_chunks_and_a_small_one_request_by_request() {
    let busy = Rate::per_minute(60_000);
    let grant = pools().ask(busy, &asker(1, 1), &ask(0, 0, 1, 1_000_000), 4, 1_000);
    assert!(!grant.direct);
    assert_eq!(grant.granted_total, 60_000 / 8, "an eighth for one of four proxies");
    let small = pools().ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 1, 40), 4, 1_000);
    assert!(small.direct);
    assert_eq!(small.granted_total, 40, "as many as wait");
    let idle = pools().ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 0, 40), 4, 1_000);
    assert_eq!(idle.granted_total, 0);
}

#[test]
fn what_comes_back_or_never_arrived_is_there_for_others() {
    let mut pools = pools();
    pools.ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 60, 60), 3, 1_000);
    assert_eq!(pools.ask(PER_MINUTE, &asker(2, 1), &ask(0, 0, 1, 1), 3, 1_001).verdict, Verdict::Exhausted);
    // The first proxy has never seen the answer.
    pools.ask(PER_MINUTE, &asker(1, 2), &ask(0, 0, 20, 20), 3, 1_002);
    let second = pools.ask(PER_MINUTE, &asker(2, 2), &ask(0, 0, 40, 40), 3, 1_003);
    assert_eq!((second.verdict, second.granted_total), (Verdict::Granted, 40));
    pools.ask(PER_MINUTE, &asker(1, 3), &ask(20, 15, 0, 0), 3, 1_004);
    assert_eq!(pools.ask(PER_MINUTE, &asker(3, 1), &ask(0, 0, 15, 15), 3, 1_005).granted_total, 15);
}

#[test]
fn a_doubled_message_gives_nothing_twice() {
    let mut pools = pools();
    let first = ask(0, 0, 10, 10);
    assert_eq!(pools.ask(PER_MINUTE, &asker(1, 1), &first, 3, 1_000).remaining, 50);
    pools.ask(PER_MINUTE, &asker(1, 2), &ask(10, 0, 10, 10), 3, 1_001);
    let doubled = pools.ask(PER_MINUTE, &asker(1, 1), &first, 3, 1_002);
    assert_eq!((doubled.granted_total, doubled.remaining), (20, 40));
}

#[test]
fn a_changed_limit_counts_from_then_on() {
    let mut pools = pools();
    assert_eq!(pools.ask(PER_MINUTE, &asker(1, 1), &ask(0, 0, 50, 50), 3, 1_000).remaining, 10);
    let tight = Rate::per_minute(5);
    assert_eq!(pools.ask(tight, &asker(1, 2), &ask(50, 0, 0, 0), 3, 1_001).remaining, 5);
    assert_eq!(pools.ask(tight, &asker(1, 3), &ask(50, 0, 5, 5), 3, 1_002).granted_total, 55);
    let wide = Rate::per_minute(60_000);
    assert_eq!(pools.ask(wide, &asker(1, 4), &ask(55, 0, 0, 0), 3, 1_102).remaining, 0);
    assert_eq!(pools.ask(wide, &asker(1, 5), &ask(55, 0, 0, 0), 3, 1_202).remaining, 100);
}

#[test]
fn an_older_epoch_gets_nothing() {
    let old = Asker { newest_epoch: BootEpoch(2), ..asker(1, 1) };
    assert_eq!(pools().ask(PER_MINUTE, &old, &ask(0, 0, 1, 1), 3, 1_000).verdict, Verdict::Fenced);
}

#[test]
fn what_is_full_and_idle_is_forgotten_and_nothing_else() {
    let mut pools = pools();
    for n in 0..100 {
        let pool = PoolId::Requests(KeyId::new(2, n));
        pools.ask(PER_MINUTE, &asker(1, 1), &Ask { pool, ..ask(0, 0, 30, 30) }, 3, 1_000);
    }
    pools.sweep(20_000);
    assert_eq!(pools.len(), 100, "half empty");
    pools.sweep(600_000);
    assert_eq!(pools.len(), 100, "a long request may still bring back what it did not use");
    pools.sweep(700_000);
    assert!(pools.is_empty());
}

#[test]
fn absurd_limits_neither_overflow_nor_grant_more_than_there_is() {
    for (per_minute, burst) in [(u64::MAX, u64::MAX), (0, 0), (0, 10), (10, 0), (u64::MAX, 1), (1, u64::MAX)] {
        let mut pools = pools();
        let rate = Rate { per_minute, burst };
        for (step, now) in [1_000, 1_001, 100_000, 10_000_000_000].into_iter().enumerate() {
            let sequence = step as u64 + 1;
            let grant = pools.ask(rate, &asker(1, sequence), &ask(i64::MAX / 2, 0, i64::MAX, i64::MAX), 3, now);
            assert!(u64::try_from(grant.remaining).unwrap() <= burst);
            pools.ask(rate, &asker(2, sequence), &ask(0, i64::MAX, 1, i64::MAX), u32::MAX, now);
        }
    }
}
