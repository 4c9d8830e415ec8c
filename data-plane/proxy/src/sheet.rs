//! What one worker met at one endpoint, counted for the whole fleet. Written by that worker alone, so that counting is a load
//! and a store; read by the control runtime, once a window. A lock is taken only where something went badly.
//! Never judges; that is the controller's view. Next room: `standing`, which adds up the sheets of all workers.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use domain::ids::OrgId;
use link::health::buckets::{BUCKETS, Histogram, bucket};
use link::health::view::Met;

/// Most organisations that are told apart in a window, and failures in a row that are remembered.
const MOST_ORGS: usize = 64;
const LONGEST_RUN: usize = 8;
/// Organisations that are named to the controller.
const NAMED: usize = 3;
/// Windows after which a failure in a row is no evidence, and a worker that sent nothing does not count.
const RECENT: u32 = 3;
const ABSENT: u32 = 12;

type Buckets = [AtomicU32; BUCKETS];

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    attempts: AtomicU64,
    failures: AtomicU64,
    overloads: AtomicU64,
    /// Whether the worker leaves it alone.
    is_aside: AtomicBool,
    latency: OnceLock<Box<Buckets>>,
    throughput: OnceLock<Box<Buckets>>,
    troubles: Mutex<Troubles>,
}

/// Whose requests went badly.
#[derive(Debug, Default)]
struct Troubles {
    orgs: Vec<(OrgId, u64)>,
    /// Failures since the last answer, each with its age in windows.
    run: Vec<(OrgId, u32)>,
}

fn count(place: &AtomicU64) {
    place.store(place.load(Relaxed).wrapping_add(1), Relaxed);
}

fn note(buckets: &OnceLock<Box<Buckets>>, value: u64) {
    let buckets = buckets.get_or_init(|| Box::new([const { AtomicU32::new(0) }; BUCKETS]));
    if let Some(place) = buckets.get(bucket(value)) {
        place.store(place.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

impl Sheet {
    /// It is asked.
    pub fn asked(&self) {
        count(&self.attempts);
    }

    /// An answer came, the first one after failures if `ends_run`.
    pub fn answered(&self, first_output_ms: u64, ends_run: bool) {
        note(&self.latency, first_output_ms);
        if ends_run {
            self.is_aside.store(false, Relaxed);
            self.lock().run.clear();
        }
    }

    /// An answer was finished at so many tokens a second.
    pub fn finished(&self, speed: u64) {
        note(&self.throughput, speed);
    }

    /// It failed in a way that speaks against it; the worker leaves it alone from now on, if `is_aside`.
    pub fn failed(&self, org: Option<OrgId>, is_aside: bool) {
        count(&self.failures);
        self.is_aside.store(is_aside, Relaxed);
        let mut troubles = self.lock();
        troubles.add(org);
        if let Some(org) = org
            && troubles.run.len() < LONGEST_RUN
        {
            troubles.run.push((org, 0));
        }
    }

    /// It had too much to do.
    pub fn overloaded(&self, org: Option<OrgId>) {
        count(&self.overloads);
        self.lock().add(org);
    }

    // No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Troubles {
    fn add(&mut self, org: Option<OrgId>) {
        let Some(org) = org else { return };
        let is_full = self.orgs.len() >= MOST_ORGS;
        match self.orgs.iter_mut().find(|(known, _)| *known == org) {
            Some((_, count)) => *count = count.saturating_add(1),
            None if is_full => {}
            None => self.orgs.push((org, 1)),
        }
    }
}

/// A sheet as the control runtime reads it, with what it said last time.
#[derive(Debug, Default)]
struct Page {
    sheet: Arc<Sheet>,
    attempts: u64,
    failures: u64,
    overloads: u64,
    latency: Vec<u32>,
    throughput: Vec<u32>,
    /// Windows without an attempt.
    idle: u32,
}

/// The sheets of all workers for one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Book(Vec<Page>);

impl Book {
    /// A sheet for another worker.
    pub fn sheet(&mut self) -> Arc<Sheet> {
        let sheet = Arc::<Sheet>::default();
        self.0.push(Page { sheet: sheet.clone(), idle: ABSENT, ..Page::default() });
        sheet
    }

    /// Whether no worker counts here any more.
    pub fn is_closed(&self) -> bool {
        self.0.iter().all(|page| Arc::strong_count(&page.sheet) == 1)
    }

    /// What all workers met since the last time.
    pub fn collect(&mut self) -> Met {
        self.0.retain(|page| Arc::strong_count(&page.sheet) > 1);
        let (mut met, mut orgs, mut run) = (Met::default(), Vec::<(OrgId, u64)>::new(), Vec::new());
        let (mut present, mut aside) = (0u64, 0u64);
        for page in &mut self.0 {
            page.turn(&mut met);
            let mut troubles = page.sheet.lock();
            for (org, count) in troubles.orgs.drain(..) {
                match orgs.iter_mut().find(|(known, _)| *known == org) {
                    Some((_, sum)) => *sum = count.saturating_add(*sum),
                    None => orgs.push((org, count)),
                }
            }
            let is_present = page.idle < ABSENT;
            present += u64::from(is_present);
            if is_present && page.sheet.is_aside.load(Relaxed) {
                aside += 1;
                run.extend(troubles.run.iter().map(|(org, _)| *org));
            }
            troubles.run.iter_mut().for_each(|(_, age)| *age += 1);
            troubles.run.retain(|(_, age)| *age < RECENT);
        }
        run.sort_unstable();
        run.dedup();
        // What one organisation did says nothing to others.
        met.shut = if run.len() > 1 { (aside * 100).checked_div(present).unwrap_or(0) } else { 0 };
        met.org_count = u32::try_from(orgs.len()).unwrap_or(u32::MAX);
        orgs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        orgs.truncate(NAMED);
        met.orgs = orgs;
        met
    }
}

impl Page {
    fn turn(&mut self, met: &mut Met) {
        let since = |place: &AtomicU64, last: &mut u64| {
            let now = place.load(Relaxed);
            now.wrapping_sub(std::mem::replace(last, now))
        };
        let attempts = since(&self.sheet.attempts, &mut self.attempts);
        self.idle = if attempts > 0 { 0 } else { self.idle.saturating_add(1) };
        met.attempts += attempts;
        met.failures += since(&self.sheet.failures, &mut self.failures);
        met.overloads += since(&self.sheet.overloads, &mut self.overloads);
        add(&self.sheet.latency, &mut self.latency, &mut met.latency);
        add(&self.sheet.throughput, &mut self.throughput, &mut met.throughput);
    }
}

fn add(buckets: &OnceLock<Box<Buckets>>, last: &mut Vec<u32>, sum: &mut Histogram) {
    let Some(buckets) = buckets.get() else { return };
    last.resize(BUCKETS, 0);
    for (at, (place, last)) in buckets.iter().zip(last).enumerate() {
        let now = place.load(Relaxed);
        sum.add(at, u64::from(now.wrapping_sub(std::mem::replace(last, now))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(number: u128) -> Option<OrgId> {
        Some(OrgId::new(1, number))
    }

    #[test]
    fn what_all_workers_met_is_told_once() {
        let mut book = Book::default();
        let (one, other) = (book.sheet(), book.sheet());
        for _ in 0..3 {
            one.asked();
            one.answered(100, false);
            one.finished(50);
        }
        other.asked();
        other.overloaded(org(1));
        let met = book.collect();
        assert_eq!((met.attempts, met.failures, met.overloads, met.shut), (4, 0, 1, 0));
        assert_eq!((met.latency.percentile(50), met.throughput.percentile(50)), (Some(100), Some(50)));
        assert_eq!((met.orgs.len(), met.org_count), (1, 1));
        assert!(book.collect().is_empty());
    }

    #[test]
    fn workers_that_leave_it_alone_are_evidence_while_it_is_fresh_and_of_more_than_one() {
        let mut book = Book::default();
        let (one, other) = (book.sheet(), book.sheet());
        let fails = |sheet: &Sheet, by: u128| {
            sheet.asked();
            sheet.failed(org(by), true);
        };
        fails(&one, 1);
        fails(&one, 1);
        other.asked();
        assert_eq!(book.collect().shut, 0, "one organisation");
        fails(&one, 2);
        assert_eq!(book.collect().shut, 50);
        assert_eq!(book.collect().shut, 50);
        assert_eq!(book.collect().shut, 0, "the first organisation's failures are too long ago");
        fails(&one, 1);
        fails(&one, 2);
        one.answered(10, true);
        assert_eq!(book.collect().shut, 0);
    }

    #[test]
    fn a_worker_that_is_gone_is_forgotten() {
        let mut book = Book::default();
        let (one, other) = (book.sheet(), book.sheet());
        other.asked();
        drop(other);
        one.asked();
        assert_eq!(book.collect().attempts, 1);
        for by in 0..100 {
            one.failed(org(by), false);
        }
        let met = book.collect();
        assert_eq!((met.orgs.len(), met.org_count, met.failures), (NAMED, 64, 100));
    }
}
