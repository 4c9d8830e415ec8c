//! Money in a world with bad weather: one controller, several proxies, and everything that may go wrong between them.
//! The books and every proxy are verified after each event.

use std::collections::VecDeque;

use domain::credits::Account;
use domain::time::Timestamp;
use link::borrower::CALL_DEADLINE_MS;
use link::cell::Denied;
use link::lease::{Batch, Reply};
use link::lender::{Fleet, LeaseLife};

use crate::agenda::{Agenda, Weather};
use crate::books::{Books, Life, Report, credits, org};
use crate::dice::Dice;
use crate::proxy::{Outcome, Proxy, Request, Spool, pools};

/// How long a request may be refused although there is money for it.
const PATIENCE_MS: u64 = 450;
const MINUTE: u64 = 60_000;

/// Money that the controller has or can recall, and what proxies that keep nothing are just giving back: each bit of
/// that is there for a moment only, and a request elsewhere may rightly miss it.
struct Wealth {
    at: u64,
    lendable: i64,
    on_its_way: Vec<i64>,
}

/// What a game is like.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub proxies: usize,
    pub funded: i64,
    pub cap: i64,
    pub requests: u64,
    /// Mean time between requests.
    pub pause_ms: u64,
    pub most_hold: i64,
    /// Thousandths of requests that cost more than they hold.
    pub over: u64,
    pub weather: Weather,
    /// Crashes and outages in all.
    pub crashes: u64,
    pub outages: u64,
    /// Thousandths of crashes that take the disk along.
    pub disks_lost: u64,
    /// Every fault is off: whoever is refused must be refused rightly.
    pub calm: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Arrive,
    Lease { from: usize, life: Life, batch: Batch },
    Leased { to: usize, life: Life, sequence: u64, reply: Reply },
    Unanswered { at: usize, life: Life, sequence: u64 },
    Report { from: usize, life: Life, report: Report },
    Reported { to: usize, life: Life, mark: u64, drained: bool },
    Unreported { at: usize, life: Life, first: u64 },
    Recall { to: usize, life: Life, keep: i64, budget: bool },
    End { at: usize, life: Life, ticket: u64 },
    Flush,
    Wake { at: usize, time: u64 },
    Crash,
    Restart { at: usize },
    Down,
    Up,
    HangUp,
}

/// What happened, for tests that judge it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub admitted: u64,
    pub exhausted: u64,
    pub recalling: u64,
    pub unreachable: u64,
    pub batches: u64,
}

pub struct World {
    pub rules: Rules,
    dice: Dice,
    agenda: Agenda<Event>,
    pub now: u64,
    pub books: Books,
    proxies: Vec<Proxy>,
    up: bool,
    /// Everybody goes home: nothing bad happens any more.
    is_over: bool,
    weather: Weather,
    left: u64,
    /// Where most requests go; moves.
    favourite: usize,
    pub tally: Tally,
    /// What the controller could have lent, over time.
    wealth: VecDeque<Wealth>,
    /// Spools that are gone for good, by life.
    graves: Vec<Life>,
    epoch: u64,
}

fn stamp(now: u64) -> Timestamp {
    Timestamp::from_us(1_000_000_000_000 + i64::try_from(now).unwrap() * 1_000)
}

impl World {
    pub fn new(rules: Rules, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let proxies: Vec<Proxy> = (0..rules.proxies).map(|n| Proxy::new(&format!("edge-{n}"), 1)).collect();
        let mut agenda = Agenda::new();
        agenda.at(1, Event::Arrive);
        agenda.at(10, Event::Flush);
        let length = rules.requests * rules.pause_ms;
        for _ in 0..rules.crashes {
            agenda.at(1 + dice.below(length), Event::Crash);
        }
        for _ in 0..rules.outages {
            agenda.at(1 + dice.below(length), Event::Down);
        }
        let mut books = Books::new(rules.funded, rules.cap);
        books.restarted(stamp(0));
        World {
            dice,
            agenda,
            now: 0,
            books,
            proxies,
            up: true,
            is_over: false,
            weather: rules.weather,
            left: rules.requests,
            favourite: 0,
            tally: Tally::default(),
            wealth: VecDeque::new(),
            graves: Vec::new(),
            epoch: 1,
            rules,
        }
    }

    /// Plays until nothing is left to happen, then brings everything home.
    pub fn play(&mut self) {
        while self.left > 0 || !self.proxies.iter().all(|proxy| proxy.is_quiet() && proxy.alive) || !self.up {
            self.step();
        }
        self.go_home();
    }

    /// One request after the other, each `pause_ms` after the one before, in turn at every proxy.
    pub fn load(&mut self, request: Request, pause_ms: u64, for_ms: u64) {
        let (start, mut at) = (self.now, 0);
        for due in (start..start + for_ms).step_by(usize::try_from(pause_ms).unwrap()) {
            while self.now < due {
                self.step();
            }
            self.submit(at, request);
            at = (at + 1) % self.proxies.len();
        }
    }

    /// The controller is gone and stays away.
    pub fn cut(&mut self) {
        self.up = false;
    }

    pub fn step(&mut self) {
        let (time, event) = self.agenda.pop().expect("something always happens");
        assert!(time >= self.now);
        self.now = time;
        self.happen(event);
        self.verify();
    }

    fn verify(&mut self) {
        self.books.verify(self.rules.funded);
        for proxy in self.proxies.iter().filter(|proxy| proxy.alive) {
            proxy.verify();
            for pool in pools() {
                let (granted, returned) = proxy.borrower.totals(pool);
                let Some(row) = self.books.row(pool, &proxy.life) else {
                    assert_eq!(granted, 0, "{pool} was never lent");
                    continue;
                };
                if row.state != LeaseLife::Released {
                    assert!(granted <= row.granted_total && returned >= row.returned_total, "{pool} {row:?}");
                }
            }
        }
        if self.rules.calm {
            self.wealth.push_back(self.wealth_now());
            while self.wealth.get(1).is_some_and(|wealth| wealth.at + PATIENCE_MS <= self.now) {
                self.wealth.pop_front();
            }
        }
    }

    fn wealth_now(&self) -> Wealth {
        let keeps_nothing = |proxy: &Proxy| self.books.row(credits(), &proxy.life).is_some_and(|row| row.direct);
        let free = |proxy: &Proxy| proxy.free(credits()).max(0);
        let kept: i64 = self.proxies.iter().filter(|proxy| !keeps_nothing(proxy)).map(free).sum();
        let on_its_way = |proxy: &Proxy| if keeps_nothing(proxy) { free(proxy) } else { 0 };
        Wealth {
            at: self.now,
            lendable: kept + self.books.available(credits()).max(0),
            on_its_way: self.proxies.iter().map(on_its_way).collect(),
        }
    }

    /// What was there to be lent all the time lately, and since when.
    fn lasting_wealth(&self) -> (i64, u64) {
        let lendable = self.wealth.iter().map(|wealth| wealth.lendable).min().unwrap_or(0);
        let stuck = |at: usize| self.wealth.iter().map(|wealth| wealth.on_its_way[at]).min().unwrap_or(0);
        let stuck: i64 = (0..self.proxies.len()).map(stuck).sum();
        (lendable + stuck, self.wealth.front().map_or(self.now, |wealth| wealth.at))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Lease { from, life, batch } if self.up => self.lease(from, life, batch),
            Event::Leased { to, life, sequence, reply } if self.is_there(to, &life) => {
                let now = self.now;
                self.proxies[to].borrower.answered(sequence, &reply, now);
                self.drive(to);
            }
            Event::Unanswered { at, life, sequence } if self.is_there(at, &life) => {
                let now = self.now;
                self.proxies[at].borrower.lost(sequence, now);
                self.drive(at);
            }
            Event::Report { from, life, report } if self.up => {
                let now = stamp(self.now);
                let mark = self.books.report(&life, &report, now);
                let drained = report.drained && mark + 1 == report.first;
                self.send(|_| Event::Reported { to: from, life: life.clone(), mark, drained });
            }
            Event::Reported { to, life, mark, drained } => self.spool(to, &life, |spool| spool.answered(mark, drained)),
            Event::Unreported { at, life, first } => self.spool(at, &life, |spool| {
                if spool.in_flight && spool.outbox.acknowledged() < first {
                    spool.lost();
                }
            }),
            Event::Recall { to, life, keep, budget } if self.is_there(to, &life) => {
                let pool = pools()[usize::from(!budget)];
                let now = self.now;
                self.proxies[to].borrower.recalled(&[(pool, keep)], now);
                self.drive(to);
            }
            Event::End { at, life, ticket } if self.is_there(at, &life) => {
                self.proxies[at].end(ticket);
                self.drive(at);
            }
            Event::Flush => self.flush(),
            Event::Wake { at, time } if self.proxies[at].wake_at == Some(time) => {
                self.proxies[at].wake_at = None;
                self.drive(at);
            }
            Event::Crash if !self.is_over => self.crash(),
            Event::Restart { at } => self.restart(at),
            Event::Down if self.up && !self.is_over => {
                self.up = false;
                let lasts = self.dice.pick(&[50, 500, 5_000, 30_000]);
                self.agenda.at(self.now + lasts, Event::Up);
            }
            Event::Up => {
                self.up = true;
                self.books.restarted(stamp(self.now));
                for at in 0..self.proxies.len() {
                    let now = self.now;
                    self.proxies[at].borrower.connected(now);
                    self.drive(at);
                }
            }
            Event::HangUp => {
                let at = self.any_proxy();
                let pick = self.dice.below(1_000);
                self.proxies[at].hang_up(pick);
                self.drive(at);
            }
            // Whoever it was for is gone.
            _ => {}
        }
    }

    fn is_there(&self, at: usize, life: &Life) -> bool {
        self.proxies[at].alive && self.proxies[at].life == *life
    }

    fn any_proxy(&mut self) -> usize {
        usize::try_from(self.dice.below(self.proxies.len() as u64)).unwrap()
    }

    fn send(&mut self, mut message: impl FnMut(&mut Dice) -> Event) {
        for at in self.weather.arrivals(self.now, &mut self.dice) {
            let event = message(&mut self.dice);
            self.agenda.at(at, event);
        }
    }

    fn arrive(&mut self) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let pause = 1 + self.dice.below(2 * self.rules.pause_ms);
        self.agenda.at(self.now + pause, Event::Arrive);
        if self.dice.chance(20) {
            self.favourite = self.any_proxy();
        }
        let at = if self.dice.chance(700) { self.favourite } else { self.any_proxy() };
        if !self.proxies[at].alive {
            return;
        }
        let most = self.rules.most_hold * if self.dice.chance(50) { 5 } else { 1 };
        let hold = self.dice.between(1, most);
        let share =
            if self.dice.chance(self.rules.over) { 1_000 + self.dice.below(1_000) } else { self.dice.below(1_001) };
        let charge = hold * i64::try_from(share).unwrap() / 1_000;
        let lasts_ms = 1 + self.dice.below(self.rules.pause_ms * 20);
        if self.dice.chance(30) {
            self.agenda.at(self.now + 1, Event::HangUp);
        }
        self.submit(at, Request { hold, charge, lasts_ms, stage: 0 });
    }

    /// A request at one proxy.
    pub fn submit(&mut self, at: usize, request: Request) {
        let now = self.now;
        let outcome = self.proxies[at].begin(request, now);
        outcome.into_iter().for_each(|outcome| self.note(at, outcome));
        self.drive(at);
    }

    fn drive(&mut self, at: usize) {
        let now = self.now;
        let mut outcomes = Vec::new();
        let batch = self.proxies[at].drive(now, &mut outcomes);
        outcomes.into_iter().for_each(|outcome| self.note(at, outcome));
        let life = self.proxies[at].life.clone();
        if let Some(batch) = batch {
            self.tally.batches += 1;
            let sequence = batch.sequence;
            self.agenda.at(now + CALL_DEADLINE_MS, Event::Unanswered { at, life: life.clone(), sequence });
            self.send(|_| Event::Lease { from: at, life: life.clone(), batch: batch.clone() });
        }
        let proxy = &mut self.proxies[at];
        let wake = proxy.borrower.next_wake().map(|wake| wake.max(now + 1));
        if let Some(wake) = wake.filter(|wake| proxy.wake_at.is_none_or(|known| *wake < known)) {
            proxy.wake_at = Some(wake);
            self.agenda.at(wake, Event::Wake { at, time: wake });
        }
    }

    fn note(&mut self, at: usize, outcome: Outcome) {
        let life = self.proxies[at].life.clone();
        match outcome {
            Outcome::Admitted { ticket, ends_at } => {
                self.tally.admitted += 1;
                self.agenda.at(ends_at, Event::End { at, life, ticket });
            }
            Outcome::Refused { pool, hold, why } => {
                match why {
                    Denied::Exhausted { .. } => self.tally.exhausted += 1,
                    Denied::Recalling => self.tally.recalling += 1,
                    Denied::Unreachable => self.tally.unreachable += 1,
                    Denied::Unknown | Denied::Fenced => panic!("{why} at {life:?}"),
                }
                if self.rules.calm {
                    assert_ne!(why, Denied::Unreachable, "the controller is there");
                    let (least, since) = self.lasting_wealth();
                    let long = self.now - since >= PATIENCE_MS;
                    assert!(
                        pool != credits() || !long || least < hold,
                        "{why} for {hold} at {} although there was {least} since {since}",
                        self.now
                    );
                }
            }
        }
    }

    fn lease(&mut self, from: usize, life: Life, batch: Batch) {
        let active = u32::try_from(self.proxies.len()).unwrap();
        let (reply, nudges) = self.books.lease(&life, &batch, Fleet { active }, stamp(self.now));
        let sequence = batch.sequence;
        self.send(|_| Event::Leased { to: from, life: life.clone(), sequence, reply: reply.clone() });
        for nudge in nudges {
            let to = self.proxies.iter().position(|proxy| proxy.life.0 == nudge.life.0).unwrap();
            let budget = nudge.pool != credits();
            self.send(|_| Event::Recall { to, life: nudge.life.clone(), keep: nudge.keep, budget });
        }
    }

    fn spool(&mut self, at: usize, life: &Life, change: impl FnOnce(&mut Spool)) {
        let proxy = &mut self.proxies[at];
        if proxy.life == *life {
            change(&mut proxy.spool);
        } else if let Some((_, spool)) = proxy.old.iter_mut().find(|(old, _)| old == life) {
            change(spool);
        }
    }

    fn flush(&mut self) {
        let pause = if self.rules.pause_ms > 1_000 { 2_000 } else { 10 };
        self.agenda.at(self.now + pause, Event::Flush);
        for at in 0..self.proxies.len() {
            if !self.proxies[at].alive {
                continue;
            }
            self.proxies[at].spool.flush();
            let mut reports = Vec::new();
            let proxy = &mut self.proxies[at];
            let life = proxy.life.clone();
            reports.extend(proxy.spool.next(false).map(|report| (life, report)));
            for (life, spool) in &mut proxy.old {
                reports.extend(spool.next(true).map(|report| (life.clone(), report)));
            }
            for (life, report) in reports {
                let first = report.first;
                self.agenda.at(self.now + 3_000, Event::Unreported { at, life: life.clone(), first });
                self.send(|_| Event::Report { from: at, life: life.clone(), report: report.clone() });
            }
        }
    }

    fn crash(&mut self) {
        let at = self.any_proxy();
        if !self.proxies[at].alive {
            return;
        }
        let keep = !self.dice.chance(self.rules.disks_lost);
        match self.proxies[at].crash(keep) {
            Some(old) => self.proxies[at].old.push(old),
            None => {
                self.graves.push(self.proxies[at].life.clone());
                let gone: Vec<Life> = self.proxies[at].old.drain(..).map(|(life, _)| life).collect();
                self.graves.extend(gone);
            }
        }
        let away = self.dice.pick(&[10, 200, 3_000]);
        self.agenda.at(self.now + away, Event::Restart { at });
    }

    fn restart(&mut self, at: usize) {
        self.epoch += 1;
        let name = self.proxies[at].life.0.to_string();
        let old = std::mem::take(&mut self.proxies[at].old);
        self.proxies[at] = Proxy::new(&name, self.epoch);
        self.proxies[at].old = old;
    }

    /// Good weather, everybody leaves in order, and what died without a disk is given back by the clock.
    fn go_home(&mut self) {
        self.weather = Weather::default();
        self.is_over = true;
        for at in 0..self.proxies.len() {
            let now = self.now;
            self.proxies[at].borrower.connected(now);
            self.proxies[at].borrower.leaving(now);
            self.drive(at);
        }
        let deadline = self.now + 30_000;
        while !self.proxies.iter().all(is_home) {
            assert!(self.now < deadline, "somebody never gets home: {:?}", self.books.account(Account::Leased(org())));
            self.step();
        }
        let (now, beyond) = (stamp(self.now + 32 * MINUTE), self.books.beyond);
        for life in self.books.sweep(now) {
            assert!(self.graves.contains(&life) || self.is_known(&life), "{life:?} is set aside although it is alive");
            self.books.release(&life);
        }
        self.books.verify(self.rules.funded);
        assert_eq!(self.books.beyond, beyond);
        assert_eq!(self.books.account(Account::Leased(org())), 0);
        assert_eq!(self.books.account(Account::Quarantine(org())), 0);
        assert_eq!(self.books.available(credits()), self.rules.funded - self.books.booked);
        for proxy in &self.proxies {
            for pool in pools() {
                assert!(proxy.free(pool) <= 0);
            }
        }
    }

    fn is_known(&self, life: &Life) -> bool {
        self.proxies.iter().any(|proxy| proxy.life == *life)
    }
}

fn is_home(proxy: &Proxy) -> bool {
    proxy.borrower.is_settled() && proxy.spool.is_done(false) && proxy.old.iter().all(|(_, spool)| spool.is_done(true))
}
