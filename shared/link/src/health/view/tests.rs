//! The view, alone and in a simulated fleet: proxies with breakers of their own, callers of many organisations, endpoints
//! that fail as a test says. A window is five seconds of simulated time; every seed must keep every promise.

use super::*;

const ENDPOINTS: usize = 3;

/// Numbers that look random, the same for each seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Threads of a proxy, each of which keeps its own evidence.
const WORKERS: usize = 2;

/// What one worker knows of one endpoint, as the data plane does it: aside after two failures in a row, for half a minute,
/// then one probe a second.
#[derive(Default)]
struct Breaker {
    /// Whose requests failed since the last answer, and when.
    run: Vec<(OrgId, u64)>,
    aside_until: u64,
    probed_at: u64,
    met: Met,
}

/// What all workers of a proxy met at one endpoint.
fn tell(workers: &mut [[Breaker; ENDPOINTS]; WORKERS], place: usize, now: u64) -> Met {
    let mut told = Met::default();
    let (mut shut, mut orgs) = (0, BTreeSet::new());
    for worker in workers {
        let breaker = &mut worker[place];
        let met = std::mem::take(&mut breaker.met);
        told.attempts += met.attempts;
        told.failures += met.failures;
        for (org, count) in met.orgs {
            match told.orgs.iter_mut().find(|(known, _)| *known == org) {
                Some((_, sum)) => *sum += count,
                None => told.orgs.push((org, count)),
            }
        }
        if breaker.is_aside() {
            shut += 1;
            let recent = breaker.run.iter().filter(|(_, at)| now - at <= 3 * WINDOW_MS);
            orgs.extend(recent.map(|(org, _)| *org));
        }
    }
    told.org_count = u32::try_from(told.orgs.len()).unwrap();
    told.orgs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    told.orgs.truncate(3);
    told.shut = if orgs.len() >= 2 { shut * 100 / WORKERS as u64 } else { 0 };
    told
}

impl Breaker {
    fn is_aside(&self) -> bool {
        self.run.len() >= 2
    }

    fn attempt(&mut self, fails: bool, org: OrgId, now: u64) {
        self.met.attempts += 1;
        if !fails {
            self.run.clear();
            return;
        }
        self.met.failures += 1;
        self.run.push((org, now));
        match self.met.orgs.iter_mut().find(|(known, _)| *known == org) {
            Some((_, count)) => *count += 1,
            None => self.met.orgs.push((org, 1)),
        }
        if self.is_aside() {
            self.aside_until = now + 30_000;
        }
    }
}

/// One attempt that is about to be made.
struct Try {
    proxy: usize,
    endpoint: usize,
    org: u64,
    now: u64,
}

struct Fleet {
    dice: Dice,
    view: View,
    proxies: Vec<[[Breaker; ENDPOINTS]; WORKERS]>,
    now: u64,
    /// Requests that each proxy has in a second.
    rate: u64,
    /// How often what is advised of each endpoint changed, and when it was first ejected and last healthy again.
    changes: [usize; ENDPOINTS],
    ejected_at: Option<u64>,
    healed_at: Option<u64>,
}

fn endpoint(at: usize) -> EndpointId {
    format!("lab/model@p{at}").parse().unwrap()
}

fn proxy(at: usize) -> ProxyId {
    format!("edge-{at}").parse().unwrap()
}

fn org(number: u64) -> OrgId {
    OrgId::new(1, u128::from(number) + 1)
}

impl Fleet {
    fn new(seed: u64, proxies: usize, rate: u64) -> Fleet {
        Fleet {
            dice: Dice(seed),
            view: View::default(),
            proxies: (0..proxies).map(|_| Default::default()).collect(),
            now: 1_000_000,
            rate,
            changes: [0; ENDPOINTS],
            ejected_at: None,
            healed_at: None,
        }
    }

    fn states(&self) -> [State; ENDPOINTS] {
        let mut states = [State::Healthy; ENDPOINTS];
        for (id, state) in self.view.advice() {
            let at = (0..ENDPOINTS).find(|at| endpoint(*at) == *id).unwrap();
            states[at] = state;
        }
        states
    }

    /// Lets so many seconds pass. `orgs` says whose a request is, `fails` how an attempt ends.
    fn run(
        &mut self,
        seconds: u64,
        mut orgs: impl FnMut(&mut Dice) -> u64,
        mut fails: impl FnMut(&mut Dice, &Try) -> bool,
    ) {
        for _ in 0..seconds {
            for at in 0..self.proxies.len() {
                for _ in 0..self.rate {
                    let org = orgs(&mut self.dice);
                    self.request(at, org, &mut fails);
                }
            }
            self.now += 1_000;
            if self.now.is_multiple_of(WINDOW_MS) {
                self.judge();
            }
        }
    }

    fn request(&mut self, at: usize, by: u64, fails: &mut impl FnMut(&mut Dice, &Try) -> bool) {
        let (now, states) = (self.now, self.states());
        let worker = usize::try_from(self.dice.below(WORKERS as u64)).unwrap();
        let mut order: Vec<(u64, usize)> = Vec::new();
        for (place, state) in states.into_iter().enumerate() {
            let breaker = &mut self.proxies[at][worker][place];
            let is_behind = breaker.is_aside() || state == State::Ejected;
            let may_probe = breaker.aside_until <= now && breaker.probed_at + 1_000 <= now;
            let is_probe = is_behind && may_probe;
            if is_probe {
                breaker.probed_at = now;
            }
            let is_drawn = state != State::Degraded || self.dice.is(30);
            let group = if is_probe { 0 } else { 1 + u64::from(!is_drawn) + 2 * u64::from(is_behind) };
            order.push((group * 1_000 + self.dice.below(1_000), place));
        }
        order.sort_unstable();
        for (_, place) in order {
            let attempt = Try { proxy: at, endpoint: place, org: by, now };
            let is_bad = fails(&mut self.dice, &attempt);
            self.proxies[at][worker][place].attempt(is_bad, org(by), now);
            if !is_bad {
                return;
            }
        }
    }

    fn judge(&mut self) {
        for at in 0..self.proxies.len() {
            let routes =
                (0..ENDPOINTS).map(|place| (endpoint(place), tell(&mut self.proxies[at], place, self.now))).collect();
            self.view.told(&proxy(at), routes, self.now);
        }
        let before = self.states();
        let all: Vec<EndpointId> = (0..ENDPOINTS).map(endpoint).collect();
        self.view.judge(&[all], self.now);
        let after = self.states();
        for place in 0..ENDPOINTS {
            self.changes[place] += usize::from(before[place] != after[place]);
        }
        if after[0] == State::Ejected && self.ejected_at.is_none() {
            self.ejected_at = Some(self.now);
        }
        if before[0] != State::Healthy && after[0] == State::Healthy {
            self.healed_at = Some(self.now);
        }
        let ejected = after.iter().filter(|state| **state == State::Ejected).count();
        assert!(ejected <= ENDPOINTS / 2, "{ejected} of {ENDPOINTS} are ejected");
        assert!(after.iter().any(|state| *state != State::Ejected), "the last one is ejected");
    }
}

/// Twenty organisations that ask equally often.
fn twenty(dice: &mut Dice) -> u64 {
    dice.below(20)
}

#[test]
fn one_bad_proxy_of_sixteen_ejects_nothing() {
    for seed in 0..20 {
        let mut fleet = Fleet::new(seed, 16, 4);
        fleet.run(600, twenty, |dice, at| at.proxy == 3 || dice.is(1));
        assert_eq!(fleet.changes, [0; ENDPOINTS], "seed {seed}");
    }
}

#[test]
fn one_tenant_that_always_fails_ejects_nothing_however_much_it_asks() {
    for (seed, share) in (0..30).zip([10, 50, 90].into_iter().cycle()) {
        let mut fleet = Fleet::new(seed, 8, 4);
        let orgs = move |dice: &mut Dice| if dice.is(share) { 99 } else { dice.below(20) };
        fleet.run(600, orgs, |dice, at| at.org == 99 || dice.is(1));
        assert_eq!(fleet.changes, [0; ENDPOINTS], "seed {seed}, {share} %");
    }
}

#[test]
fn an_endpoint_that_fails_at_random_does_not_flap() {
    for (seed, (proxies, rate)) in (0..60).zip([(3, 2), (3, 20), (8, 3), (16, 5), (1, 40)].into_iter().cycle()) {
        for share in [50, 60, 70] {
            let mut fleet = Fleet::new(seed, proxies, rate);
            fleet.run(600, twenty, |dice, at| at.endpoint == 0 && dice.is(share));
            let changes = fleet.changes;
            assert!(changes[0] <= 2, "seed {seed}, {proxies} proxies, {share} %: {changes:?}");
            assert_eq!(changes[1..], [0, 0], "seed {seed}");
        }
    }
}

#[test]
fn all_endpoints_that_fail_at_random_do_not_flap_either() {
    for seed in 0..30 {
        let mut fleet = Fleet::new(seed, 8, 5);
        fleet.run(600, twenty, |dice, _| dice.is(50));
        assert!(fleet.changes.iter().all(|changes| *changes <= 2), "seed {seed}: {:?}", fleet.changes);
    }
}

#[test]
fn an_outage_that_all_see_is_known_within_fifteen_seconds_and_forgotten_after_it() {
    for (seed, (proxies, rate)) in (0..40).zip([(3, 20), (8, 10), (16, 5), (1, 60)].into_iter().cycle()) {
        let mut fleet = Fleet::new(seed, proxies, rate);
        fleet.run(60 + seed % 5, twenty, |dice, _| dice.is(1));
        let begun = fleet.now;
        let ends = begun + 120_000;
        let is_down = |at: &Try| at.endpoint == 0 && at.now >= begun && at.now < ends;
        fleet.run(300, twenty, |dice, at| is_down(at) || dice.is(1));
        let took = fleet.ejected_at.unwrap_or_else(|| panic!("seed {seed}: never ejected")) - begun;
        assert!(took <= 15_000, "seed {seed}, {proxies} proxies: ejected after {took} ms");
        let healed = fleet.healed_at.unwrap_or_else(|| panic!("seed {seed}: never back"));
        assert!(healed >= ends && healed - ends <= 60_000, "seed {seed}: back {healed} for {ends}");
        // One that begins within a window may be seen as half an outage first.
        assert!(matches!(fleet.changes, [2 | 3, 0, 0]), "seed {seed}: {:?}", fleet.changes);
    }
}

#[test]
fn where_all_look_bad_health_says_nothing() {
    for seed in 0..20 {
        let mut fleet = Fleet::new(seed, 4, 10);
        fleet.run(60, twenty, |_, _| false);
        fleet.run(120, twenty, |_, _| true);
        assert_eq!(fleet.states(), [State::Healthy; ENDPOINTS], "seed {seed}");
    }
}

/// Windows of one endpoint, told by so many proxies: each with this many attempts and failures, for these organisations.
fn judged(windows: usize, proxies: usize, attempts: u64, failures: u64, overloads: u64, orgs: u64) -> State {
    let mut view = View::default();
    let all = [vec![endpoint(0), endpoint(1)]];
    for window in 1..=windows {
        let now = u64::try_from(window).unwrap() * WINDOW_MS;
        for at in 0..proxies {
            let troubles = failures + overloads;
            let orgs = (0..orgs.min(3)).map(|number| (org(number), troubles / orgs)).collect();
            let met = Met { attempts, failures, overloads, orgs, ..Met::default() };
            view.told(&proxy(at), vec![(endpoint(0), met)], now);
        }
        view.judge(&all, now);
    }
    view.shown(&endpoint(0), u64::try_from(windows).unwrap() * WINDOW_MS).state
}

#[test]
fn what_is_evidence_and_what_is_not() {
    for (what, state, wanted) in [
        ("one bad window", judged(1, 4, 100, 100, 0, 8), State::Healthy),
        ("two bad windows", judged(2, 4, 100, 100, 0, 8), State::Ejected),
        ("few attempts", judged(2, 4, 10, 10, 0, 8), State::Healthy),
        ("two organisations", judged(2, 4, 100, 100, 0, 2), State::Healthy),
        ("seventy of a hundred", judged(2, 4, 100, 72, 0, 8), State::Degraded),
        ("half", judged(9, 4, 100, 50, 0, 8), State::Healthy),
        ("too much to do", judged(2, 4, 100, 0, 100, 8), State::Degraded),
        ("a fleet of one", judged(2, 1, 100, 100, 0, 8), State::Ejected),
    ] {
        assert_eq!(state, wanted, "{what}");
    }
}

#[test]
fn the_stay_doubles_with_each_flap() {
    let mut fleet = Fleet::new(7, 8, 10);
    let mut stays = Vec::new();
    fleet.run(60, twenty, |_, _| false);
    for _ in 0..4 {
        fleet.healed_at = None;
        fleet.ejected_at = None;
        fleet.run(10, twenty, |_, at| at.endpoint == 0);
        fleet.run(400, twenty, |_, _| false);
        stays.push(fleet.healed_at.unwrap() - fleet.ejected_at.unwrap());
    }
    assert!(stays[0] >= 30_000 && stays[0] <= 45_000, "{stays:?}");
    assert!(stays.windows(2).all(|pair| pair[1] >= pair[0]) && stays[3] >= 60_000, "{stays:?}");
}

#[test]
fn measures_are_of_the_last_half_hour() {
    let mut view = View::default();
    let now = 10 * SLOT_MS;
    let mut latency = Histogram::default();
    latency.add(super::super::buckets::bucket(100), 9);
    let met = Met { attempts: 10, failures: 1, latency, ..Met::default() };
    view.told(&proxy(0), vec![(endpoint(0), met.clone())], now);
    view.told(&proxy(1), vec![(endpoint(0), met)], now + SLOT_MS);
    let shown = view.shown(&endpoint(0), now + SLOT_MS);
    assert_eq!((shown.measures.attempts, shown.measures.uptime()), (20, Some(900)));
    assert_eq!(shown.measures.latency.percentile(50), Some(100));
    let late = view.shown(&endpoint(0), now + 7 * SLOT_MS);
    assert_eq!((late.measures.attempts, late.measures.uptime()), (10, Some(900)));
    assert_eq!(view.shown(&endpoint(0), now + 9 * SLOT_MS).measures.uptime(), None);
    assert_eq!(view.shown(&endpoint(2), now).measures.uptime(), None);
}
