use super::*;
use crate::lease::{Ask, Grant};
use domain::ids::{KeyId, OrgId};

const MINUTE: u64 = 60_000;

fn credits() -> PoolId {
    PoolId::Credits(OrgId::new(1, 1))
}

fn other() -> PoolId {
    PoolId::Credits(OrgId::new(1, 2))
}

fn requests() -> PoolId {
    PoolId::Requests(KeyId::new(1, 1))
}

fn grant(ask: &Ask, more: i64) -> Grant {
    Grant {
        pool: ask.pool,
        verdict: Verdict::Granted,
        granted_total: ask.granted_total + more,
        admit_for_ms: if ask.pool.is_money() { 20 * MINUTE } else { 1_000 },
        direct: false,
        affordable: 0,
        not_before_ms: 0,
        limit: if ask.pool.is_money() { 0 } else { 6_000 },
        remaining: 0,
        reset_ms: 0,
    }
}

fn refusal(ask: &Ask, verdict: Verdict, affordable: i64, not_before_ms: u64) -> Grant {
    Grant { verdict, affordable, not_before_ms, ..grant(ask, 0) }
}

fn one(batch: Option<Batch>) -> (u64, Ask) {
    let batch = batch.expect("a batch");
    assert_eq!(batch.asks.len(), 1, "{batch:?}");
    (batch.sequence, batch.asks[0])
}

fn answer(borrower: &mut Borrower, sequence: u64, grant: Grant, now: u64) {
    borrower.answered(sequence, &Reply { grants: vec![grant], active_proxies: 3 }, now);
}

fn results(borrower: &mut Borrower) -> Vec<(u64, Result<(), Denied>)> {
    borrower.finished().into_iter().map(|done| (done.waiter.0, done.result)).collect()
}

/// A borrower that has been granted `units` of a pool for a first waiter that needed `need`.
fn funded(pool: PoolId, need: i64, units: i64) -> (Borrower, Arc<Cell>) {
    let mut borrower = Borrower::new();
    let cell = borrower.cell(pool, 0);
    borrower.wait(WaiterId(0), pool, need, 0);
    let (sequence, ask) = one(borrower.tick(0));
    answer(&mut borrower, sequence, grant(&ask, units), 1);
    assert_eq!(results(&mut borrower), [(0, Ok(()))]);
    assert_eq!(borrower.tick(1), None);
    (borrower, cell)
}

#[test]
fn who_waits_gets_what_was_asked_for_and_the_rest_is_free() {
    let mut borrower = Borrower::new();
    let cell = borrower.cell(credits(), 0);
    assert_eq!(cell.take(10, 0), Take::Short);
    borrower.wait(WaiterId(7), credits(), 10, 0);
    assert!(results(&mut borrower).is_empty());
    let (sequence, ask) = one(borrower.tick(0));
    assert_eq!((ask.need, ask.want, ask.granted_total, ask.returned_total), (10, 650, 0, 0));
    answer(&mut borrower, sequence, grant(&ask, 25), 2);
    assert_eq!(results(&mut borrower), [(7, Ok(()))]);
    assert_eq!(cell.free(), 15);
    assert_eq!(cell.take(15, 3), Take::Taken { wake: true });
}

#[test]
fn one_batch_is_under_way_and_gathers_what_comes_meanwhile() {
    let mut borrower = Borrower::new();
    borrower.wait(WaiterId(1), credits(), 10, 0);
    let (sequence, ask) = one(borrower.tick(0));
    borrower.wait(WaiterId(2), credits(), 20, 1);
    borrower.wait(WaiterId(3), other(), 30, 1);
    assert_eq!(borrower.tick(1), None);
    answer(&mut borrower, sequence, grant(&ask, 10), 2);
    assert_eq!(results(&mut borrower), [(1, Ok(()))]);
    let next = borrower.tick(2).unwrap();
    assert_eq!(next.sequence, sequence + 1);
    assert_eq!(next.asks.iter().map(|ask| ask.need).collect::<Vec<_>>(), [20, 30]);
}

#[test]
fn a_lost_answer_is_made_up_for_by_the_next() {
    let mut borrower = Borrower::new();
    borrower.wait(WaiterId(1), credits(), 10, 0);
    let (first, _) = one(borrower.tick(0));
    borrower.lost(first, 500);
    assert_eq!(borrower.tick(500), None, "a pause before the next try");
    let (second, ask) = one(borrower.tick(550));
    assert_eq!((ask.granted_total, ask.need), (0, 10));
    answer(&mut borrower, first, Grant { granted_total: 10, ..grant(&ask, 0) }, 550);
    assert!(results(&mut borrower).is_empty(), "an answer to an older batch is not heard");
    // The controller had granted 10 the first time and does not grant them again.
    answer(&mut borrower, second, grant(&ask, 10), 551);
    assert_eq!(results(&mut borrower), [(1, Ok(()))]);
    answer(&mut borrower, first, grant(&ask, 10), 560);
    assert_eq!(borrower.totals(credits()), (10, 0), "an answer that comes late changes nothing");
}

#[test]
fn small_requests_are_served_from_what_is_here_while_a_large_one_waits() {
    let (mut borrower, cell) = funded(credits(), 10, 15);
    borrower.wait(WaiterId(1), credits(), 50, 2);
    let (sequence, ask) = one(borrower.tick(2));
    assert_eq!(ask.need, 45, "on top of the 5 that are free");
    assert!(matches!(cell.take(5, 3), Take::Taken { .. }));
    borrower.wait(WaiterId(2), credits(), 40, 3);
    answer(&mut borrower, sequence, grant(&ask, 45), 4);
    assert_eq!(results(&mut borrower), [(2, Ok(()))]);
    assert_eq!(one(borrower.tick(4)).1.need, 45);
}

#[test]
fn a_recall_is_waited_for_but_not_for_ever() {
    let mut borrower = Borrower::new();
    borrower.wait(WaiterId(1), credits(), 10, 0);
    let mut asked = Vec::new();
    let mut now = 0;
    while now < 500 {
        if let Some(batch) = borrower.tick(now) {
            asked.push(now);
            answer(&mut borrower, batch.sequence, refusal(&batch.asks[0], Verdict::Recalling, 50, 0), now + 1);
        }
        let done = results(&mut borrower);
        if !done.is_empty() {
            assert_eq!(done, [(1, Err(Denied::Recalling))]);
            break;
        }
        now = borrower.next_wake().unwrap().max(now + 1);
    }
    assert!((400..=402).contains(&now), "{now}");
    assert!((15..=21).contains(&asked.len()), "{asked:?}");
}

#[test]
fn who_cannot_be_paid_is_refused_and_remembered_until_an_event() {
    let mut borrower = Borrower::new();
    let cell = borrower.cell(credits(), 0);
    borrower.wait(WaiterId(1), credits(), 10, 0);
    let (sequence, ask) = one(borrower.tick(0));
    answer(&mut borrower, sequence, refusal(&ask, Verdict::Exhausted, 4, 0), 1);
    let used_up = Denied::Exhausted { affordable: 4, retry_ms: 0 };
    assert_eq!(results(&mut borrower), [(1, Err(used_up))]);
    assert_eq!(cell.take(10, 2), Take::Denied(used_up));
    borrower.wait(WaiterId(2), credits(), 5, 2);
    assert_eq!(results(&mut borrower), [(2, Err(used_up))]);
    assert_eq!(borrower.tick(2), None, "an exhausted tenant costs no calls");
    assert_eq!(cell.take(4, 2), Take::Short, "what is affordable is asked for");
    borrower.pool_event(&[credits()], 3);
    assert_eq!(cell.take(10, 3), Take::Short);
}

#[test]
fn without_a_controller_leases_go_on_and_others_hear_that_it_is_away() {
    let (mut borrower, cell) = funded(credits(), 10, 100);
    borrower.wait(WaiterId(1), other(), 5, 10);
    let (sequence, _) = one(borrower.tick(10));
    borrower.lost(sequence, 20);
    assert_eq!(cell.take(40, 1_000), Take::Taken { wake: false });
    let mut now = 20;
    while now < 1_010 {
        if let Some(batch) = borrower.tick(now) {
            borrower.lost(batch.sequence, now);
        }
        assert!(results(&mut borrower).is_empty(), "{now}");
        now = borrower.next_wake().unwrap().max(now + 1);
    }
    if let Some(batch) = borrower.tick(1_010) {
        borrower.lost(batch.sequence, 1_010);
    }
    assert_eq!(results(&mut borrower), [(1, Err(Denied::Unreachable))]);
    // The controller may be back: when it is time, one request tries.
    borrower.wait(WaiterId(2), other(), 5, 5_000);
    let (sequence, _) = one(borrower.tick(5_000));
    borrower.wait(WaiterId(3), other(), 5, 5_050);
    assert!(results(&mut borrower).is_empty(), "an answer may come at any moment");
    borrower.wait(WaiterId(4), other(), 5, 5_200);
    assert_eq!(results(&mut borrower), [(4, Err(Denied::Unreachable))], "nobody else waits for no answer");
    borrower.lost(sequence, 5_800);
    assert_eq!(results(&mut borrower), [(2, Err(Denied::Unreachable)), (3, Err(Denied::Unreachable))]);
    borrower.wait(WaiterId(5), other(), 5, 5_801);
    assert_eq!(results(&mut borrower), [(5, Err(Denied::Unreachable))]);
    assert_eq!(cell.take(1, 20 * MINUTE - 1), Take::Taken { wake: false });
    assert_eq!(cell.take(1, 20 * MINUTE), Take::Short, "the lease has lapsed");
    // The controller is asked all the same, so that its return is noticed.
    let (sequence, ask) = one(borrower.tick(6_800));
    answer(&mut borrower, sequence, grant(&ask, 20), 6_801);
    borrower.wait(WaiterId(6), other(), 5, 6_802);
    assert_eq!(results(&mut borrower), [(6, Ok(()))]);
}

#[test]
fn after_a_forgotten_outage_the_first_request_is_served() {
    let (mut borrower, _cell) = funded(credits(), 10, 10);
    borrower.wait(WaiterId(1), credits(), 10, 10);
    let (sequence, _) = one(borrower.tick(10));
    borrower.lost(sequence, 20);
    borrower.cancel(WaiterId(1));
    // Nobody asks for anything while the controller comes back.
    borrower.wait(WaiterId(2), other(), 5, 60_000);
    assert!(results(&mut borrower).is_empty());
    let batch = borrower.tick(60_000).unwrap();
    let grants = batch.asks.iter().map(|ask| grant(ask, 100)).collect();
    borrower.answered(batch.sequence, &Reply { grants, active_proxies: 3 }, 60_001);
    assert_eq!(results(&mut borrower), [(2, Ok(()))]);
}

#[test]
fn a_stream_that_stands_again_ends_an_outage() {
    let (mut borrower, _cell) = funded(credits(), 10, 10);
    borrower.wait(WaiterId(1), credits(), 10, 10);
    let mut now = 10;
    while now < 3_000 {
        if let Some(batch) = borrower.tick(now) {
            borrower.lost(batch.sequence, now);
        }
        now = borrower.next_wake().unwrap().max(now + 1);
    }
    borrower.finished();
    borrower.wait(WaiterId(2), credits(), 10, now);
    let batch = borrower.tick(now);
    // A call of before the connection hangs; the stream says that the controller is there.
    borrower.connected(now + 500);
    borrower.wait(WaiterId(3), credits(), 10, now + 500);
    assert!(results(&mut borrower).iter().all(|(waiter, _)| *waiter != 3), "it may ask");
    assert!(batch.is_some() || borrower.tick(now + 500).is_some());
}

#[test]
fn a_refusal_that_an_event_has_overtaken_is_asked_about_again() {
    for verdict in [Verdict::Exhausted, Verdict::Unknown] {
        let mut borrower = Borrower::new();
        borrower.wait(WaiterId(1), credits(), 10, 5);
        let (sequence, ask) = one(borrower.tick(5));
        // Credits were granted after the controller had answered; its stream was faster than its answer.
        borrower.pool_event(&[credits()], 6);
        answer(&mut borrower, sequence, refusal(&ask, verdict, 0, 0), 7);
        assert!(results(&mut borrower).is_empty());
        let (sequence, ask) = one(borrower.tick(7));
        answer(&mut borrower, sequence, grant(&ask, 50), 8);
        assert_eq!(results(&mut borrower), [(1, Ok(()))]);
        // What is said about a later question counts.
        borrower.wait(WaiterId(2), credits(), 500, 9);
        let (sequence, ask) = one(borrower.tick(9));
        answer(&mut borrower, sequence, refusal(&ask, Verdict::Exhausted, 0, 0), 10);
        assert_eq!(results(&mut borrower).len(), 1);
    }
}

#[test]
fn a_pool_that_is_left_out_of_answers_is_asked_for_less_and_less_often() {
    let mut borrower = Borrower::new();
    let (mut now, mut asked) = (0, 0);
    while now < 60_000 {
        borrower.wait(WaiterId(now), credits(), 10, now);
        if let Some(batch) = borrower.tick(now) {
            asked += 1;
            borrower.answered(batch.sequence, &Reply { grants: Vec::new(), active_proxies: 1 }, now);
        }
        borrower.finished();
        now += 5;
    }
    assert!((55..=75).contains(&asked), "{asked} times in a minute");
    // Answered once, it is a pool like any other.
    borrower.wait(WaiterId(now), credits(), 10, now + 1_000);
    let (sequence, ask) = one(borrower.tick(now + 1_000));
    answer(&mut borrower, sequence, grant(&ask, 10), now + 1_001);
    borrower.wait(WaiterId(now + 1), credits(), 10_000, now + 1_002);
    one(borrower.tick(now + 1_002));
}

#[test]
fn a_request_that_is_refused_does_not_make_others_borrow_more() {
    let (mut borrower, cell) = funded(credits(), 10, 1_000);
    borrower.wait(WaiterId(1), credits(), 50_000_000, 20);
    let (sequence, ask) = one(borrower.tick(20));
    answer(&mut borrower, sequence, refusal(&ask, Verdict::Exhausted, 0, 0), 21);
    assert_eq!(results(&mut borrower).len(), 1);
    assert_eq!(cell.last_amount(), 10);
    while let Take::Taken { .. } = cell.take(10, 30) {}
    borrower.wait(WaiterId(2), credits(), 10, 30);
    let (_, ask) = one(borrower.tick(30));
    assert!(ask.want < 1_000_000, "{}", ask.want);
}

#[test]
fn a_quick_restart_of_the_controller_does_not_refuse_what_the_share_covers() {
    let (mut borrower, cell) = funded(requests(), 1, 20);
    while let Take::Taken { .. } = cell.take(1, 500) {}
    borrower.wait(WaiterId(1), requests(), 1, 500);
    let (sequence, ask) = one(borrower.tick(500));
    answer(&mut borrower, sequence, Grant { remaining: 3_000, ..grant(&ask, 1) }, 501);
    while let Take::Taken { .. } = cell.take(1, 502) {}
    results(&mut borrower);
    // The next owner knows nothing yet.
    borrower.wait(WaiterId(2), requests(), 1, 600);
    let (sequence, ask) = one(borrower.tick(600));
    answer(&mut borrower, sequence, refusal(&ask, Verdict::Recalling, 0, 990), 601);
    assert_eq!(results(&mut borrower), [(2, Ok(()))]);
    // A proxy that was never told of the bucket waits for it, or says when.
    let mut fresh = Borrower::new();
    fresh.wait(WaiterId(1), requests(), 1, 600);
    let (sequence, ask) = one(fresh.tick(600));
    answer(&mut fresh, sequence, refusal(&ask, Verdict::Recalling, 0, 990), 601);
    let why = Denied::Exhausted { affordable: 0, retry_ms: 990 };
    assert_eq!(results(&mut fresh), [(1, Err(why))]);
}

#[test]
fn an_outage_does_not_spin() {
    let (mut borrower, cell) = funded(credits(), 10, 100);
    borrower.wait(WaiterId(1), requests(), 1, 1);
    let mut now = 1;
    let mut looks = 0;
    while now < 30 * MINUTE {
        if let Some(batch) = borrower.tick(now) {
            borrower.lost(batch.sequence, now);
        }
        borrower.finished();
        now = borrower.next_wake().unwrap_or(u64::MAX).max(now + 1);
        looks += 1;
    }
    assert_eq!(cell.free() + borrower.totals(credits()).1, 90);
    assert!(looks < 5_000, "{looks} looks in half an hour");
}

#[test]
fn a_pool_too_small_to_share_keeps_nothing() {
    let mut borrower = Borrower::new();
    let cell = borrower.cell(credits(), 0);
    borrower.wait(WaiterId(1), credits(), 10, 0);
    let (sequence, ask) = one(borrower.tick(0));
    answer(&mut borrower, sequence, Grant { direct: true, ..grant(&ask, 10) }, 1);
    assert_eq!(results(&mut borrower), [(1, Ok(()))]);
    assert_eq!(borrower.tick(1), None);
    assert!(cell.put(7), "what a request did not use wakes the driver");
    let (sequence, ask) = one(borrower.tick(2));
    assert_eq!((ask.granted_total, ask.returned_total, ask.need, ask.want), (10, 7, 0, 0));
    answer(&mut borrower, sequence, Grant { direct: true, ..grant(&ask, 0) }, 3);
    assert_eq!(borrower.tick(3), None);
}

#[test]
fn a_recall_is_answered_with_everything_and_holds_until_the_controller_says_otherwise() {
    let (mut borrower, cell) = funded(credits(), 10, 100);
    borrower.recalled(&[(credits(), 0)], 10);
    let (sequence, ask) = one(borrower.tick(10));
    assert_eq!((ask.returned_total, ask.want), (90, 0));
    assert_eq!(cell.take(1, 10), Take::Short);
    answer(&mut borrower, sequence, Grant { direct: true, ..grant(&ask, 0) }, 11);
    assert!(cell.put(4));
    let (sequence, ask) = one(borrower.tick(12));
    assert_eq!((ask.returned_total, ask.want), (94, 0));
    answer(&mut borrower, sequence, grant(&ask, 0), 13);
    assert!(!cell.put(2), "shared again");
    assert_eq!(borrower.tick(14), None);
}

#[test]
fn a_recall_that_crosses_an_ask_is_answered_by_the_next() {
    let (mut borrower, cell) = funded(credits(), 10, 100);
    assert_eq!(cell.take(80, 5), Take::Taken { wake: true });
    let (sequence, ask) = one(borrower.tick(5));
    assert!(ask.want > 0);
    borrower.recalled(&[(credits(), 0)], 6);
    answer(&mut borrower, sequence, grant(&ask, 50), 7);
    let (_, ask) = one(borrower.tick(7));
    assert_eq!((ask.returned_total, ask.want), (60, 0));
}

#[test]
fn a_recall_of_a_pool_that_is_not_known_here_is_answered_too() {
    let mut borrower = Borrower::new();
    borrower.recalled(&[(credits(), 0)], 0);
    let (sequence, ask) = one(borrower.tick(0));
    assert_eq!((ask.granted_total, ask.want), (0, 0));
    // A grant whose answer got lost: it comes back with the next batch.
    answer(&mut borrower, sequence, Grant { direct: true, ..grant(&ask, 30) }, 1);
    assert_eq!(one(borrower.tick(1)).1.returned_total, 30);
}

#[test]
fn money_that_nobody_uses_goes_back_in_two_steps_and_only_totals_stay() {
    let (mut borrower, cell) = funded(credits(), 10, 5_000);
    drop(cell);
    let mut asks = Vec::new();
    let mut now = 1;
    while now < 40 * MINUTE && borrower.counts().0 > 0 {
        if let Some(batch) = borrower.tick(now) {
            let (sequence, ask) = one(Some(batch));
            asks.push((now / 1_000, ask.returned_total, ask.want));
            // The one request ends after five minutes and puts 6 back.
            answer(&mut borrower, sequence, grant(&ask, 0), now + 1);
        }
        now = borrower.next_wake().unwrap_or(0).max(now + 1);
    }
    // 4,990 were left: after a minute all but 64 requests' worth, at ten a renewal, after a quarter of an hour the rest.
    assert_eq!(asks, [(60, 4_350, 1), (660, 4_350, 1), (900, 4_990, 0)]);
    assert_eq!(borrower.counts(), (0, 1));
    assert_eq!(borrower.totals(credits()), (5_000, 4_990));
    let cell = borrower.cell(credits(), now);
    assert_eq!(cell.free(), 0);
    borrower.wait(WaiterId(9), credits(), 10, now);
    let (_, ask) = one(borrower.tick(now));
    assert_eq!((ask.granted_total, ask.returned_total), (5_000, 4_990));
}

#[test]
fn a_lease_in_use_is_renewed_in_time() {
    let (mut borrower, cell) = funded(credits(), 10, 1_000_000);
    let mut renewed = Vec::new();
    for second in 1..1_500 {
        let now = second * 1_000;
        assert!(matches!(cell.take(1, now), Take::Taken { .. }), "{second}");
        if let Some(batch) = borrower.tick(now) {
            renewed.push(second);
            answer(&mut borrower, batch.sequence, grant(&batch.asks[0], 0), now);
        }
    }
    assert_eq!(renewed, [600, 1_200]);
}

#[test]
fn a_pool_whose_cell_is_still_known_is_not_forgotten() {
    let (mut borrower, cell) = funded(credits(), 10, 10);
    let mut now = 1;
    while now < 60 * MINUTE {
        borrower.tick(now);
        now = borrower.next_wake().unwrap().max(now + 1);
    }
    assert_eq!(borrower.counts(), (1, 0));
    cell.put(4);
    assert!(one(borrower.tick(now)).1.returned_total == 4 || cell.free() == 4, "a late return is not lost");
}

#[test]
fn a_chunk_of_a_rate_lives_a_second_from_the_ask_and_goes_back() {
    let (mut borrower, cell) = funded(requests(), 1, 5);
    assert_eq!(cell.rate(1).map(|rate| (rate.limit, rate.remaining)), Some((6_000, 4)));
    assert_eq!(cell.take(1, 999), Take::Taken { wake: false });
    assert_eq!(cell.take(1, 1_000), Take::Short);
    assert_eq!(borrower.next_wake(), Some(1_000));
    let (sequence, ask) = one(borrower.tick(1_000));
    assert_eq!((ask.returned_total, ask.need, ask.want), (3, 0, 0));
    answer(&mut borrower, sequence, grant(&ask, 0), 1_001);
    assert_eq!(borrower.tick(1_001), None, "an idle limit costs no calls");
}

#[test]
fn an_answer_that_took_longer_than_its_chunk_lives_goes_back_unused() {
    let mut borrower = Borrower::new();
    borrower.wait(WaiterId(1), requests(), 1, 0);
    let (sequence, ask) = one(borrower.tick(0));
    answer(&mut borrower, sequence, Grant { admit_for_ms: 300, ..grant(&ask, 5) }, 300);
    assert!(results(&mut borrower).is_empty());
    let (_, ask) = one(borrower.tick(300).or_else(|| borrower.tick(320)));
    assert_eq!((ask.returned_total, ask.need), (5, 1));
}

#[test]
fn a_new_chunk_replaces_what_is_left_of_the_old() {
    let (mut borrower, cell) = funded(requests(), 1, 11);
    assert!((0..8).any(|_| cell.take(1, 500) == Take::Taken { wake: true }));
    let (sequence, ask) = one(borrower.tick(500));
    let left = cell.free();
    answer(&mut borrower, sequence, grant(&ask, 8), 501);
    assert_eq!(cell.free(), 8);
    assert_eq!(borrower.totals(requests()).1 - ask.returned_total, left);
    assert_eq!(cell.take(1, 1_400), Take::Taken { wake: false });
}

#[test]
fn tokens_that_were_used_beyond_their_hold_are_paid_by_the_next_chunk() {
    let tokens = PoolId::Tokens(KeyId::new(1, 1));
    let mut borrower = Borrower::new();
    let cell = borrower.cell(tokens, 0);
    borrower.wait(WaiterId(1), tokens, 100, 0);
    let (sequence, ask) = one(borrower.tick(0));
    answer(&mut borrower, sequence, Grant { limit: 6_000, ..grant(&ask, 100) }, 1);
    results(&mut borrower);
    cell.put(-40);
    borrower.wait(WaiterId(2), tokens, 100, 2);
    let (sequence, ask) = one(borrower.tick(2));
    assert_eq!(ask.need, 140);
    answer(&mut borrower, sequence, Grant { limit: 6_000, ..grant(&ask, 140) }, 3);
    assert_eq!(results(&mut borrower), [(2, Ok(()))]);
    assert_eq!(cell.free(), 0);
}

#[test]
fn a_forgotten_rate_starts_a_new_count_above_every_old_one() {
    let (mut borrower, cell) = funded(requests(), 1, 1);
    let before = borrower.totals(requests());
    drop(cell);
    let mut now = 1;
    while borrower.counts().0 > 0 {
        assert!(now < 10 * MINUTE);
        borrower.tick(now);
        now = borrower.next_wake().unwrap_or(0).max(now + 1);
    }
    borrower.cell(requests(), now);
    let after = borrower.totals(requests());
    assert!(after.0 == after.1 && after.1 > before.0, "{before:?} {after:?}");
}

#[test]
fn rates_fall_to_a_share_while_the_controller_is_away() {
    let (mut borrower, cell) = funded(requests(), 1, 1);
    borrower.wait(WaiterId(1), requests(), 1, 2_000);
    let (sequence, _) = one(borrower.tick(2_000));
    borrower.lost(sequence, 3_000);
    assert_eq!(results(&mut borrower), [(1, Ok(()))], "the share has been saved up since the last grant");
    let mut admitted = 0;
    for now in 3_001..13_001 {
        borrower.wait(WaiterId(now), requests(), 1, now);
        admitted += results(&mut borrower).iter().filter(|(_, result)| result.is_ok()).count();
        if let Some(batch) = borrower.tick(now) {
            borrower.lost(batch.sequence, now);
        }
    }
    assert!((330..=367).contains(&admitted), "{admitted}: a third of 100 a second for 10 s, and a second's worth");
    assert_eq!(cell.free(), 0);
}

#[test]
fn an_owner_of_limits_that_has_just_started_is_bridged_by_the_share() {
    let (mut borrower, _cell) = funded(requests(), 1, 1);
    borrower.wait(WaiterId(1), requests(), 1, 2_000);
    let (sequence, _) = one(borrower.tick(2_000));
    borrower.lost(sequence, 2_100);
    assert_eq!(results(&mut borrower), [(1, Ok(()))]);
    // It is back, and gives nothing for a second: what the owner before it gave may still be in use.
    let mut admitted = 0;
    for now in (3_200..4_200).step_by(50) {
        borrower.wait(WaiterId(now), requests(), 1, now);
        if let Some(batch) = borrower.tick(now) {
            let grant = refusal(&batch.asks[0], Verdict::Recalling, 0, 4_200 - now);
            answer(&mut borrower, batch.sequence, grant, now + 1);
        }
        let done = results(&mut borrower);
        assert!(done.iter().all(|(_, result)| result.is_ok()), "{now}: {done:?}");
        admitted += done.len();
    }
    assert_eq!(admitted, 20);
    borrower.wait(WaiterId(9), requests(), 1, 4_300);
    let (sequence, ask) = one(borrower.tick(4_300));
    assert_eq!(ask.need, 1, "then it is asked again");
    answer(&mut borrower, sequence, grant(&ask, 1), 4_301);
    assert_eq!(results(&mut borrower), [(9, Ok(()))]);
}

#[test]
fn a_pool_whose_use_grows_is_topped_up_before_it_runs_low() {
    let (mut borrower, cell) = funded(credits(), 10, 650);
    let mut wanted = Vec::new();
    for now in 2..5_000 {
        // A unit a millisecond: half of what is here would last for 300 ms, and be no cover at all.
        assert!(matches!(cell.take(1, now), Take::Taken { .. }), "{now}");
        if let Some(batch) = borrower.tick(now) {
            let (sequence, ask) = one(Some(batch));
            wanted.push((now, ask.want));
            answer(&mut borrower, sequence, grant(&ask, ask.want), now);
        }
    }
    assert!(wanted.first().is_some_and(|(now, _)| *now <= 260), "{wanted:?}");
    assert!(wanted.len() <= 5, "{wanted:?}");
    assert!(cell.free() >= 480_000, "eight minutes' worth after five seconds: {} {wanted:?}", cell.free());
}

#[test]
fn a_pool_that_was_lent_less_than_it_wanted_is_not_topped_up_again_and_again() {
    let (mut borrower, cell) = funded(credits(), 10, 650);
    let mut asks = 0;
    for now in 2..60_000u64 {
        if now.is_multiple_of(10) {
            assert!(matches!(cell.take(10, now), Take::Taken { .. }), "{now}");
            cell.put(if now.is_multiple_of(100) { 9 } else { 10 });
        }
        if let Some(batch) = borrower.tick(now) {
            let (sequence, ask) = one(Some(batch));
            asks += 1;
            answer(&mut borrower, sequence, grant(&ask, 10), now);
        }
    }
    assert!(asks <= 4, "{asks}: as it runs low by halves, and once in between");
    let before = asks;
    borrower.pool_event(&[credits()], 60_000);
    for now in 60_000..65_000u64 {
        if now.is_multiple_of(100) {
            assert!(matches!(cell.take(1, now), Take::Taken { .. }), "{now}");
        }
        if let Some(batch) = borrower.tick(now) {
            let (sequence, ask) = one(Some(batch));
            asks += 1;
            answer(&mut borrower, sequence, grant(&ask, ask.want), now);
        }
    }
    assert_eq!(asks, before + 1, "after credits were granted it is");
}

#[test]
fn a_leaving_proxy_gives_back_everything_and_knows_when_it_is_heard() {
    let (mut borrower, cell) = funded(credits(), 10, 100);
    borrower.leaving(5);
    let (sequence, ask) = one(borrower.tick(5));
    assert_eq!((ask.returned_total, ask.want), (90, 0));
    assert!(!borrower.is_settled());
    borrower.lost(sequence, 6);
    assert!(!borrower.is_settled());
    let (sequence, ask) = one(borrower.tick(100));
    assert_eq!(ask.returned_total, 90);
    answer(&mut borrower, sequence, grant(&ask, 0), 101);
    assert!(borrower.is_settled());
    cell.put(3);
    assert!(!borrower.is_settled(), "a request that ends late brings something back");
}

#[test]
fn a_replaced_process_borrows_no_more() {
    let (mut borrower, cell) = funded(credits(), 10, 100);
    borrower.wait(WaiterId(1), credits(), 500, 5);
    let (sequence, ask) = one(borrower.tick(5));
    answer(&mut borrower, sequence, refusal(&ask, Verdict::Fenced, 0, 0), 6);
    assert_eq!(results(&mut borrower), [(1, Err(Denied::Fenced))]);
    assert!(borrower.is_fenced());
    assert_eq!(cell.take(500, 7), Take::Denied(Denied::Fenced));
    assert_eq!(borrower.tick(7), None);
    borrower.wait(WaiterId(2), other(), 1, 8);
    assert_eq!(results(&mut borrower), [(2, Err(Denied::Fenced))]);
}

#[test]
fn an_unknown_pool_is_refused_and_what_was_free_goes_back() {
    let (mut borrower, cell) = funded(credits(), 10, 15);
    borrower.wait(WaiterId(1), credits(), 50, 5);
    let (sequence, ask) = one(borrower.tick(5));
    answer(&mut borrower, sequence, Grant { admit_for_ms: 0, ..refusal(&ask, Verdict::Unknown, 0, 0) }, 6);
    assert_eq!(results(&mut borrower), [(1, Err(Denied::Unknown))]);
    assert_eq!(cell.take(1, 6), Take::Denied(Denied::Unknown));
    assert_eq!(one(borrower.tick(6)).1.returned_total, 5);
}

#[test]
fn a_waiter_that_left_is_not_asked_for() {
    let mut borrower = Borrower::new();
    borrower.wait(WaiterId(1), credits(), 10, 0);
    borrower.cancel(WaiterId(1));
    assert_eq!(borrower.tick(0), None);
    assert!(results(&mut borrower).is_empty());
}

#[test]
fn a_batch_is_bounded_and_the_rest_follows() {
    let mut borrower = Borrower::new();
    for n in 0..1_500 {
        borrower.wait(WaiterId(n), PoolId::Credits(OrgId::new(2, u128::from(n))), 1, 0);
    }
    let first = borrower.tick(0).unwrap();
    assert_eq!(first.asks.len(), BATCH);
    let grants = first.asks.iter().map(|ask| grant(ask, ask.need)).collect();
    borrower.answered(first.sequence, &Reply { grants, active_proxies: 1 }, 1);
    assert_eq!(borrower.tick(1).unwrap().asks.len(), 500);
}

#[test]
fn a_pool_that_an_answer_leaves_out_is_asked_for_again() {
    let mut borrower = Borrower::new();
    borrower.wait(WaiterId(1), credits(), 10, 0);
    let (sequence, _) = one(borrower.tick(0));
    borrower.answered(sequence, &Reply { grants: Vec::new(), active_proxies: 1 }, 1);
    assert_eq!(borrower.tick(1), None);
    assert_eq!(one(borrower.tick(1 + REASK_MS)).1.need, 10);
}

#[test]
fn rates_that_waited_for_the_call_that_got_lost_are_served_from_the_share() {
    let (mut borrower, _cell) = funded(requests(), 1, 1);
    borrower.wait(WaiterId(1), credits(), 10, 100);
    let (sequence, _) = one(borrower.tick(100));
    borrower.wait(WaiterId(2), requests(), 1, 200);
    borrower.lost(sequence, 1_100);
    assert_eq!(results(&mut borrower), [(2, Ok(()))], "by its share, and not after its patience is over");
}
