//! A rate limit over several proxies, millisecond by millisecond. Every admitted request is checked against one exact
//! bucket: what conforms to it keeps within `burst + rate * W` in every window W.

use std::sync::Arc;

use domain::ids::{BootEpoch, KeyId, ProxyId};
use domain::limits::Rate;
use domain::pools::PoolId;
use link::borrower::{Borrower, CALL_DEADLINE_MS, WaiterId};
use link::cell::{Cell, Take};
use link::lease::{Batch, Reply};
use link::lender::Asker;
use link::rates::{CHUNK_MS, RatePools};

use crate::agenda::Agenda;
use crate::dice::Dice;

const SCALE: i128 = 60_000;

#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub proxies: usize,
    pub rate: Rate,
    /// Requests in per cent of the rate.
    pub load: u64,
    pub seconds: u64,
    /// Thousandths of requests that go to the one proxy that is the favourite at the time.
    pub skew: u64,
    /// Units a request takes.
    pub size: i64,
    /// Thousandths of messages that come late, up to 400 ms, or twice.
    pub slow: u64,
    pub doubled: u64,
    /// Proxies die about so often, in seconds.
    pub crash_every_s: Option<u64>,
}

enum Event {
    Ask { from: usize, epoch: u64, batch: Batch },
    Answer { to: usize, epoch: u64, sequence: u64, reply: Reply },
    Unanswered { at: usize, epoch: u64, sequence: u64 },
}

struct Edge {
    name: ProxyId,
    epoch: u64,
    borrower: Borrower,
    cell: Arc<Cell>,
}

impl Edge {
    fn new(at: usize, epoch: u64, now: u64) -> Self {
        let mut borrower = Borrower::new();
        let cell = borrower.cell(pool(), now);
        Edge { name: format!("edge-{at}").parse().unwrap(), epoch, borrower, cell }
    }
}

fn pool() -> PoolId {
    PoolId::Requests(KeyId::new(1, 1))
}

pub struct Limits {
    rules: Rules,
    dice: Dice,
    agenda: Agenda<Event>,
    next: Option<(u64, Event)>,
    pools: RatePools,
    edges: Vec<Edge>,
    now: u64,
    waiters: u64,
    pub admitted: u64,
    pub refused: u64,
    pub batches: u64,
    /// The exact bucket.
    level: i128,
    level_at: u64,
    /// How far below nothing it ever was, in units.
    pub beyond: i128,
    pub reachable: bool,
}

impl Limits {
    pub fn new(rules: Rules, seed: u64) -> Self {
        Limits {
            dice: Dice::new(seed),
            agenda: Agenda::new(),
            next: None,
            pools: RatePools::new(0),
            edges: (0..rules.proxies).map(|at| Edge::new(at, 1, CHUNK_MS)).collect(),
            now: CHUNK_MS,
            waiters: 0,
            admitted: 0,
            refused: 0,
            batches: 0,
            level: i128::from(rules.rate.burst) * SCALE,
            level_at: CHUNK_MS,
            beyond: 0,
            reachable: true,
            rules,
        }
    }

    /// What an exact bucket in one place would have let through.
    pub fn possible(&self) -> u64 {
        self.rules.rate.burst + self.rules.rate.per_minute * self.rules.seconds / 60
    }

    pub fn play(&mut self) {
        self.play_for(self.rules.seconds * 1_000);
    }

    pub fn play_for(&mut self, ms: u64) {
        let end = self.now + ms;
        let (mut due, mut favourite) = (0u64, 0usize);
        while self.now < end {
            if self.now.is_multiple_of(7_000) {
                favourite = usize::try_from(self.dice.below(self.edges.len() as u64)).unwrap();
            }
            self.deliver();
            if let Some(every) = self.rules.crash_every_s
                && self.dice.below(every * 1_000) == 0
            {
                let at = usize::try_from(self.dice.below(self.edges.len() as u64)).unwrap();
                self.edges[at] = Edge::new(at, self.edges[at].epoch + 1, self.now);
            }
            // Millionths of a request a millisecond, with some chance in it.
            due += self.dice.below(2 * self.rules.rate.per_minute * self.rules.load / 6 + 1);
            let each = 1_000_000 * self.rules.size.unsigned_abs();
            while due >= each {
                due -= each;
                let any = usize::try_from(self.dice.below(self.edges.len() as u64)).unwrap();
                let at = if self.dice.chance(self.rules.skew) { favourite } else { any };
                self.request(at);
            }
            for at in 0..self.edges.len() {
                if self.edges[at].borrower.next_wake().is_some_and(|wake| wake <= self.now) {
                    self.drive(at);
                }
            }
            self.now += 1;
        }
        if self.rules.slow == 0 && self.reachable {
            self.pools.sweep(self.now + 3_600_000);
            assert!(self.pools.is_empty(), "an idle full bucket is forgotten");
        }
    }

    fn deliver(&mut self) {
        loop {
            let next = self.next.take().or_else(|| self.agenda.pop());
            match next {
                Some((time, event)) if time <= self.now => self.happen(event),
                later => {
                    self.next = later;
                    return;
                }
            }
        }
    }

    fn send(&mut self, event: impl Fn() -> Event) {
        if !self.reachable {
            return;
        }
        let copies = 1 + u64::from(self.dice.chance(self.rules.doubled));
        for _ in 0..copies {
            let delay =
                if self.dice.chance(self.rules.slow) { 5 + self.dice.below(395) } else { 1 + self.dice.below(2) };
            self.put(self.now + delay, event());
        }
    }

    fn put(&mut self, time: u64, event: Event) {
        if let Some((at, next)) = self.next.take() {
            self.agenda.at(at, next);
        }
        self.agenda.at(time, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask { from, epoch, batch } => {
                let active = u32::try_from(self.rules.proxies).unwrap();
                let (proxy, newest) = (self.edges[from].name.clone(), BootEpoch(self.edges[from].epoch));
                let asker = Asker { proxy, epoch: BootEpoch(epoch), newest_epoch: newest, sequence: batch.sequence };
                let grants =
                    batch.asks.iter().map(|ask| self.pools.ask(self.rules.rate, &asker, ask, active, self.now));
                let reply = Reply { grants: grants.collect(), active_proxies: active };
                let sequence = batch.sequence;
                self.send(|| Event::Answer { to: from, epoch, sequence, reply: reply.clone() });
            }
            Event::Answer { to, epoch, sequence, reply } if self.edges[to].epoch == epoch => {
                self.edges[to].borrower.answered(sequence, &reply, self.now);
                self.drive(to);
            }
            Event::Unanswered { at, epoch, sequence } if self.edges[at].epoch == epoch => {
                self.edges[at].borrower.lost(sequence, self.now);
                self.drive(at);
            }
            _ => {}
        }
    }

    fn request(&mut self, at: usize) {
        match self.edges[at].cell.take(self.rules.size, self.now) {
            Take::Taken { wake } => {
                self.admit();
                if wake {
                    self.drive(at);
                }
            }
            Take::Denied(_) => self.refused += 1,
            Take::Short => {
                self.waiters += 1;
                self.edges[at].borrower.wait(WaiterId(self.waiters), pool(), self.rules.size, self.now);
                self.drive(at);
            }
        }
    }

    fn drive(&mut self, at: usize) {
        let batch = self.edges[at].borrower.tick(self.now);
        for done in self.edges[at].borrower.finished() {
            match done.result {
                Ok(()) => self.admit(),
                Err(_) => self.refused += 1,
            }
        }
        if let Some(batch) = batch {
            self.batches += 1;
            let (epoch, sequence) = (self.edges[at].epoch, batch.sequence);
            self.put(self.now + CALL_DEADLINE_MS, Event::Unanswered { at, epoch, sequence });
            self.send(|| Event::Ask { from: at, epoch, batch: batch.clone() });
        }
    }

    fn admit(&mut self) {
        self.admitted += 1;
        let passed = i128::from(self.now - self.level_at) * i128::from(self.rules.rate.per_minute);
        self.level = (self.level + passed).min(i128::from(self.rules.rate.burst) * SCALE);
        self.level -= SCALE * i128::from(self.rules.size);
        self.level_at = self.now;
        self.beyond = self.beyond.max(-self.level / SCALE);
        if self.reachable {
            assert!(self.level >= 0, "{} too many at {}", -self.level / SCALE + 1, self.now);
        }
    }
}
