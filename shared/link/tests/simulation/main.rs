//! Lender, borrower, cells and reports play against each other in simulated time, with faults, by seeds. A seed that
//! fails is named in the panic and replayed by `TOLLGATE_TEST_SEED=<seed>`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a game that surprises us ends")]

// The name that the rest of the workspace knows this crate by.
extern crate tollgate_link as link;

mod agenda;
mod books;
mod dice;
mod limits;
mod proxy;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use agenda::Weather;
use books::credits;
use dice::Dice;
use domain::limits::Rate;
use limits::Limits;
use proxy::Request;
use world::{Rules, World};

fn calm(dice: &mut Dice) -> Rules {
    let proxies = usize::try_from(dice.pick(&[1u64, 2, 3, 5])).unwrap();
    let funded = dice.pick(&[200i64, 2_000, 20_000, 1_000_000]);
    Rules {
        proxies,
        funded,
        cap: dice.pick(&[funded / 2, funded * 2, funded * 2]),
        requests: 50 + dice.below(80),
        pause_ms: dice.pick(&[1u64, 5, 5, 30, 300, 20_000]),
        most_hold: dice.pick(&[10i64, 60, 400, funded / 8]),
        over: 0,
        weather: Weather::default(),
        crashes: 0,
        outages: 0,
        disks_lost: 0,
        calm: true,
    }
}

fn stormy(dice: &mut Dice) -> Rules {
    Rules {
        over: dice.pick(&[0, 0, 100]),
        weather: Weather { lost: dice.below(100), doubled: dice.below(100), slow: dice.below(60) },
        crashes: dice.below(4),
        outages: dice.below(3),
        disks_lost: dice.pick(&[0, 500]),
        calm: false,
        ..calm(dice)
    }
}

/// Plays seeds on as many threads as there are cores and names those that fail.
fn play(seeds: std::ops::Range<u64>, game: impl Fn(u64) + Sync) {
    let only = std::env::var("TOLLGATE_TEST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    if let Some(seed) = only {
        return game(seed);
    }
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let failed = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().len() > 3 {
                        return;
                    }
                    if catch_unwind(AssertUnwindSafe(|| game(seed))).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    assert!(failed.lock().unwrap().is_empty(), "seeds {failed:?}");
}

#[test]
fn money_is_conserved_whatever_is_lost_doubled_delayed_or_killed() {
    play(0..1_500, |seed| {
        let rules = stormy(&mut Dice::new(seed));
        World::new(rules, seed).play();
    });
}

#[test]
fn nobody_is_refused_while_the_fleet_has_the_money() {
    play(10_000..10_600, |seed| {
        let rules = calm(&mut Dice::new(seed));
        World::new(rules, seed).play();
    });
}

/// A dollar in nano-dollars over three proxies, requests of up to a tenth of a cent, until nobody gets any more.
#[test]
fn a_dollar_over_three_proxies_can_be_spent_to_the_last_cent() {
    const DOLLAR: i64 = 1_000_000_000;
    play(20_000..20_008, |seed| {
        let mut dice = Dice::new(seed);
        let rules = Rules {
            proxies: 3,
            funded: DOLLAR,
            cap: DOLLAR * 2,
            requests: 4_000,
            pause_ms: 2,
            most_hold: 1_000_000,
            ..calm(&mut dice)
        };
        let mut world = World::new(rules, seed);
        world.play();
        assert!(world.tally.exhausted > 0, "the money never ran out");
        assert!(world.books.booked >= DOLLAR / 100 * 99, "only {} of a dollar was spent", world.books.booked);
        // At the end every request is a round trip, but in between leases serve hundreds at a time.
        assert!(world.tally.batches < world.tally.admitted, "{:?}", world.tally);
    });
}

#[test]
fn a_rich_organisation_needs_no_round_trip_for_a_request() {
    let rules = Rules {
        proxies: 3,
        funded: i64::MAX / 8,
        requests: 3_000,
        pause_ms: 2,
        most_hold: 1_000_000,
        ..calm(&mut Dice::new(1))
    };
    let mut world = World::new(Rules { cap: i64::MAX / 8, ..rules }, 1);
    world.play();
    assert_eq!(world.tally.exhausted + world.tally.recalling, 0);
    assert!(world.tally.batches * 20 < world.tally.admitted, "{:?}", world.tally);
}

#[test]
fn an_outage_is_covered_by_what_was_lent_before_it() {
    let base = calm(&mut Dice::new(1));
    let rules = Rules {
        proxies: 3,
        funded: i64::MAX / 8,
        cap: i64::MAX / 8,
        requests: 2_000,
        pause_ms: 10,
        calm: false,
        ..base
    };
    let mut world = World::new(Rules { most_hold: 1_000, ..rules }, 5);
    for _ in 0..6_000 {
        world.step();
    }
    let before = world.tally;
    assert_eq!(before.unreachable, 0);
    world.cut();
    for _ in 0..4_000 {
        world.step();
    }
    assert!(world.tally.admitted > before.admitted + 500, "{before:?} {:?}", world.tally);
    assert_eq!(world.tally.unreachable, 0, "a quarter of an hour of use is lent in advance");
}

/// A cent, in nano-dollars.
const CENT: i64 = 10_000_000;

#[test]
fn an_outage_of_two_minutes_is_covered_two_seconds_after_the_first_request() {
    for (proxies, lasts_ms, before_ms) in
        [(1, 5, 2_000), (3, 5, 2_000), (1, 20_000, 2_000), (3, 900, 2_000), (1, 5, 600)]
    {
        let plenty = 20_000 * CENT;
        let base = calm(&mut Dice::new(1));
        let rules = Rules { proxies, funded: plenty, cap: plenty, requests: 0, pause_ms: 1, calm: false, ..base };
        let mut world = World::new(rules, 7);
        let request = Request { hold: CENT, charge: CENT / 100, lasts_ms, stage: 0 };
        world.load(request, 10, before_ms);
        world.cut();
        world.load(request, 10, 120_000);
        let tally = world.tally;
        assert_eq!(tally.unreachable + tally.recalling + tally.exhausted, 0, "{proxies} {lasts_ms} ms: {tally:?}");
        assert_eq!(tally.admitted, (before_ms + 120_000) / 10, "{tally:?}");
        assert!(world.books.available(credits()) >= plenty / 4, "no more than cover is lent: {tally:?}");
    }
}

#[test]
fn a_sparse_use_that_becomes_a_load_is_covered_as_soon() {
    let plenty = 20_000 * CENT;
    let base = calm(&mut Dice::new(1));
    let rules = Rules { proxies: 1, funded: plenty, cap: plenty, requests: 0, pause_ms: 1, calm: false, ..base };
    let mut world = World::new(rules, 7);
    let request = Request { hold: CENT, charge: CENT / 100, lasts_ms: 300, stage: 0 };
    world.load(request, 20_000, 400_000);
    let sparse = world.tally;
    assert!(sparse.batches <= 10, "a request now and then costs hardly a call: {sparse:?}");
    world.load(request, 10, 6_000);
    world.cut();
    world.load(request, 10, 120_000);
    assert_eq!(world.tally.unreachable, 0, "{:?}", world.tally);
}

#[test]
fn a_request_that_no_pool_can_ever_pay_is_refused_at_once() {
    let rules = Rules { proxies: 3, funded: 100, cap: 1_000, requests: 0, ..calm(&mut Dice::new(1)) };
    let mut world = World::new(rules, 1);
    world.submit(0, Request { hold: 101, charge: 0, lasts_ms: 1, stage: 0 });
    while world.tally.exhausted == 0 {
        world.step();
    }
    assert!(world.now < 30, "{} ms", world.now);
    assert_eq!(world.tally.recalling, 0);
}

const SHAPES: &[(u64, u64)] = &[(6_000, 50), (6_000, 6_000), (60_000, 1_000), (600, 600), (60, 60), (60, 5), (5, 5)];

fn limits(dice: &mut Dice) -> limits::Rules {
    let (per_minute, burst) = dice.pick(SHAPES);
    limits::Rules {
        proxies: usize::try_from(dice.pick(&[1u64, 3, 8])).unwrap(),
        rate: Rate { per_minute, burst },
        load: dice.pick(&[20, 90, 150, 300]),
        seconds: 6,
        skew: 800,
        size: 1,
        slow: 0,
        doubled: 0,
        crash_every_s: None,
    }
}

#[test]
fn a_rate_limit_is_kept_in_every_window_whatever_is_late_doubled_or_killed() {
    play(30_000..30_050, |seed| {
        let mut dice = Dice::new(seed);
        let rules = limits::Rules {
            slow: dice.pick(&[0, 20, 300]),
            doubled: dice.pick(&[0, 100]),
            crash_every_s: dice.pick(&[None, Some(2)]),
            ..limits(&mut dice)
        };
        Limits::new(rules, seed).play();
    });
}

#[test]
fn a_rate_limit_is_used_to_the_full_under_moving_skew() {
    for (seed, (per_minute, burst)) in SHAPES.iter().copied().enumerate() {
        for proxies in [3, 8] {
            let seconds = if per_minute < 6_000 { 120 } else { 600_000 / per_minute };
            let rules = limits::Rules {
                proxies,
                rate: Rate { per_minute, burst },
                load: 150,
                seconds,
                ..limits(&mut Dice::new(1))
            };
            let mut limits = Limits::new(rules, seed as u64);
            limits.play();
            let (used, possible) = (limits.admitted, limits.possible().min(limits.admitted + limits.refused));
            // The last units of a small bucket may be due only after the end.
            assert!((used + 2) * 100 >= possible * 99, "{used} of {possible} with {rules:?}");
            let each_s = limits.batches / seconds;
            assert!(each_s <= 700 * proxies as u64, "{each_s} calls a second with {rules:?}");
        }
    }
}

/// Requests a minute and tokens a minute, at four fifths of each proxy's share: nobody notices the outage.
#[test]
fn a_load_within_the_shares_is_not_refused_in_an_outage() {
    for (per_minute, size) in [(6_000, 1), (600, 1), (600_000, 4_000)] {
        for proxies in [1, 3] {
            for before_ms in [2_000, 20_300] {
                let rules = limits::Rules {
                    proxies,
                    rate: Rate::per_minute(per_minute),
                    load: 80,
                    skew: 0,
                    size,
                    ..limits(&mut Dice::new(1))
                };
                let mut limits = Limits::new(rules, 3);
                limits.play_for(before_ms);
                assert_eq!(limits.refused, 0, "{rules:?}");
                limits.reachable = false;
                limits.play_for(120_000);
                assert_eq!(limits.refused, 0, "{rules:?} {before_ms}");
                assert_eq!(limits.beyond, 0, "all shares together are the bucket");
            }
        }
    }
}

#[test]
fn without_a_controller_each_proxy_allows_its_share_of_the_limit() {
    let rules =
        limits::Rules { proxies: 3, rate: Rate::per_minute(600), load: 300, seconds: 60, ..limits(&mut Dice::new(1)) };
    let mut limits = Limits::new(rules, 1);
    limits.play_for(70_000);
    limits.reachable = false;
    limits.play_for(2_000);
    let before = limits.admitted;
    limits.play_for(60_000);
    let admitted = limits.admitted - before;
    // A tenth of the traffic goes to each of the two others, so they use about two thirds of their shares.
    assert!((300..=610).contains(&admitted), "{admitted}");
    assert!(limits.beyond <= 30, "{}", limits.beyond);
}
