//! A spool, its disk and a controller that books what is reported, in whatever order things happen: writes, syncs that
//! come late, disks that fail, processes that are killed and machines that lose their power.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{BootEpoch, RequestId};
use proptest::prelude::*;
use proto::convert::InvalidUsageRecord;

use super::disk::FakeDisk;
use super::{Config, Life, Slot, config, decoded, intent, live, record, terminals_on};

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    Admit,
    End(usize),
    Drop(usize),
    /// The spool thread has a turn.
    Write,
    /// The thread that waits for the disk has one.
    Sync,
    /// Everything is written and synced, if the disk lets it.
    Turn,
    /// The controller books what there is.
    Report,
    FailSync,
    FailWrite,
    /// The process ends at once; what was written stays.
    Kill,
    /// The power goes.
    Crash(u64),
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Admit),
        7 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Drop),
        6 => Just(Step::Write),
        4 => Just(Step::Sync),
        3 => Just(Step::Turn),
        3 => Just(Step::Report),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailWrite),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..300)
}

struct World {
    disk: FakeDisk,
    life: Life,
    slots: Vec<(u128, Slot)>,
    next: u128,
    /// Requests of this life whose intent is not known to be synced.
    waiting: Vec<RequestId>,
    /// Requests whose intent was synced, by epoch.
    synced: BTreeMap<BootEpoch, BTreeSet<RequestId>>,
    /// What the controller has, by epoch and in sequence.
    booked: BTreeMap<BootEpoch, Vec<Bytes>>,
}

/// Small enough for segments to be left, and to be removed.
fn small() -> Config {
    Config { segment: 1000, cap: 12_000, ..config() }
}

pub fn play(steps: Vec<Step>) {
    let disk = FakeDisk::default();
    let life = live(&disk, small());
    let mut world = World {
        disk,
        life,
        slots: Vec::new(),
        next: 0,
        waiting: Vec::new(),
        synced: BTreeMap::new(),
        booked: BTreeMap::new(),
    };
    steps.into_iter().for_each(|step| world.step(step));
    world.crash(|_| 0);
    world.report();
    // In the end everything is told, each request once.
    let last = world.life.spool.epoch();
    for (epoch, requests) in world.synced.iter().filter(|(epoch, _)| **epoch != last) {
        let ended = ended(world.booked.get(epoch).map_or(&[], Vec::as_slice));
        assert!(requests.iter().all(|request| ended.contains_key(request)), "an intent of {epoch:?} has no end");
    }
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Admit => self.admit(),
            Step::End(pick) if !self.slots.is_empty() => {
                let (n, slot) = self.slots.swap_remove(pick % self.slots.len());
                slot.terminal(record(n));
            }
            Step::Drop(pick) if !self.slots.is_empty() => drop(self.slots.swap_remove(pick % self.slots.len())),
            Step::End(_) | Step::Drop(_) => {}
            Step::Write => {
                self.life.clock.advance(Duration::from_millis(700));
                self.life.flusher.turn();
            }
            Step::Sync => self.life.syncer.turn(),
            Step::Turn => {
                self.life.clock.advance(Duration::from_secs(2));
                self.life.turn();
                if self.life.flusher.is_clean() {
                    let epoch = self.life.spool.epoch();
                    self.synced.entry(epoch).or_default().extend(self.waiting.drain(..));
                }
            }
            Step::Report => self.report(),
            Step::FailSync => self.disk.fail_syncs(1),
            Step::FailWrite => self.disk.fail_writes(1),
            Step::Kill => self.kill(),
            Step::Crash(seed) => {
                let mut state = seed | 1;
                self.crash(|n| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    // Nothing and everything are as likely as a part.
                    match state >> 61 {
                        0 | 1 => 0,
                        2..=4 => n - 1,
                        _ => (state >> 33) as usize % n,
                    }
                });
            }
        }
    }

    fn admit(&mut self) {
        if let Ok(mut slot) = self.life.writer.reserve() {
            slot.intent(intent(self.next));
            self.waiting.push(RequestId::new(7, self.next));
            self.slots.push((self.next, slot));
            self.next += 1;
        }
    }

    fn report(&mut self) {
        let spool = self.life.spool.clone();
        for epoch in self.life.replay.epochs.iter().copied().chain([spool.epoch()]) {
            let position = spool.position(epoch);
            if position.drained {
                continue;
            }
            let acked = usize::try_from(position.acked).unwrap();
            let booked = self.booked.entry(epoch).or_default();
            for (at, record) in self.life.read_after(epoch, position.acked).into_iter().enumerate() {
                match booked.get(acked + at) {
                    Some(before) => assert_eq!(*before, record, "what was reported has changed"),
                    None => booked.push(record),
                }
            }
            assert!(booked.len() as u64 >= position.last, "what is synced cannot be read");
            spool.acknowledge(epoch, booked.len() as u64);
            if epoch != spool.epoch() {
                spool.set_drained(epoch);
            }
        }
    }

    fn kill(&mut self) {
        let written = terminals_on(&self.disk);
        self.disk.kill();
        self.restart();
        self.check(&written);
    }

    fn crash(&mut self, pick: impl FnMut(usize) -> usize) {
        self.disk.crash(pick);
        self.restart();
        self.check(&BTreeMap::new());
    }

    fn restart(&mut self) {
        self.slots.drain(..).for_each(|(_, slot)| std::mem::forget(slot));
        self.waiting.clear();
        self.life = live(&self.disk, small());
    }

    /// After a restart: each request has ended once at most, each that is known to be synced and each whose terminal was
    /// whole in a file has, and what was reported is as it was.
    fn check(&self, written: &BTreeMap<(u64, RequestId), Bytes>) {
        for epoch in &self.life.replay.epochs {
            let position = self.life.spool.position(*epoch);
            assert!(!position.damaged, "{epoch:?} has a hole");
            let booked = self.booked.get(epoch).map_or(&[][..], Vec::as_slice);
            let mut all = booked[..usize::try_from(position.acked).unwrap()].to_vec();
            all.extend(self.life.read_after(*epoch, position.acked));
            assert_eq!(all.len() as u64, position.last);
            assert_eq!(all.get(..booked.len()), Some(booked), "what was reported has changed");
            let ended = ended(&all);
            for request in self.synced.get(epoch).into_iter().flatten() {
                assert!(ended.contains_key(request), "{request} has no terminal");
            }
            for ((_, request), message) in written.iter().filter(|((written, _), _)| *written == epoch.0) {
                assert_eq!(ended.get(request), Some(&message), "{request} was written");
            }
        }
    }
}

/// By request; none may have ended twice.
fn ended(records: &[Bytes]) -> BTreeMap<RequestId, &Bytes> {
    let mut ended = BTreeMap::new();
    for message in records {
        let record: Result<domain::usage::UsageRecord, InvalidUsageRecord> = decoded(message).try_into();
        let request = record.unwrap().request;
        assert!(ended.insert(request, message).is_none(), "{request} has two terminals");
    }
    ended
}
