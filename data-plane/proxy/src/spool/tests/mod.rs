mod disk;

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{KeyId, OrgId, PlanId, RequestId};
use domain::money::Money;
use domain::orgs::BillingMode;
use domain::time::Timestamp;
use domain::usage::{Intent, Outcome, TokenUsage, UsageRecord, UsageSource};
use proptest::prelude::*;
use runtime::clock::ManualClock;

use self::disk::FakeDisk;
use super::flusher::Flusher;
use super::segment::{HEADER_LEN, Pen};
use super::*;

fn intent(n: u128) -> Intent {
    Intent {
        request: RequestId::new(7, n),
        org: OrgId::new(1, n % 3),
        key: KeyId::new(2, n % 5),
        budget: None,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: format!("author/model-{n}"),
        held: Money::from_nano(1_000 + n as i64),
        started_at: Timestamp::from_us(n as i64),
        streamed: n.is_multiple_of(2),
    }
}

fn record(n: u128) -> UsageRecord {
    let intent = intent(n);
    UsageRecord {
        request: intent.request,
        org: intent.org,
        key: intent.key,
        budget: None,
        billing: intent.billing,
        plan: intent.plan,
        requested_model: intent.requested_model,
        model: None,
        provider: None,
        endpoint: None,
        dialect_in: "openai-chat".into(),
        dialect_out: String::new(),
        attempt: 1,
        upstream_id: format!("chatcmpl-{n}"),
        usage: TokenUsage { prompt: 3, completion: n as u64, ..TokenUsage::default() },
        usage_source: UsageSource::ProviderFinal,
        cost: Money::from_nano(n as i64),
        held: intent.held,
        written_off: Money::ZERO,
        price_version: 1,
        is_byok: false,
        outcome: Outcome::Finished,
        finish_reason: "stop".into(),
        status: 200,
        streamed: intent.streamed,
        started_at: intent.started_at,
        latency_ms: 5,
        ttft_ms: Some(1),
    }
}

fn config() -> Config {
    Config { dir: "/spool".into(), cap: 1 << 30, segment: 4096, flush: Duration::ZERO }
}

/// A spool whose thread is this test.
struct Life {
    spool: Spool,
    replay: Replay,
    flusher: Flusher,
    writer: SpoolWriter,
    clock: Arc<ManualClock>,
}

fn live(disk: &FakeDisk, config: Config) -> Life {
    let clock = Arc::new(ManualClock::at(1_000));
    clock.advance(Duration::from_secs(100));
    let (spool, replay, flusher) = Spool::assemble(config, Arc::new(disk.clone()), clock.clone()).unwrap();
    let writer = spool.writer();
    Life { spool, replay, flusher, writer, clock }
}

impl Life {
    fn admit(&self, n: u128) -> Slot {
        let mut slot = self.writer.reserve().unwrap();
        slot.intent(intent(n));
        slot
    }

    fn serve(&self, n: u128) {
        self.admit(n).terminal(record(n));
    }

    fn read_all(&self, epoch: BootEpoch) -> Vec<wire::UsageRecord> {
        let mut all: Vec<wire::UsageRecord> = Vec::new();
        loop {
            let more = self.spool.read(epoch, all.len() as u64, 7).unwrap();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }
}

fn requests(records: &[wire::UsageRecord]) -> Vec<RequestId> {
    records.iter().map(|record| UsageRecord::try_from(record.clone()).unwrap().request).collect()
}

#[test]
fn terminals_are_numbered_in_order_and_read_back_whole() {
    let mut life = live(&FakeDisk::default(), config());
    let epoch = life.spool.epoch();
    for n in 0..50 {
        life.serve(n);
        assert!(life.spool.read(epoch, n as u64, 10).unwrap().is_empty(), "not before it is synced");
        life.flusher.turn();
    }
    let got = life.read_all(epoch);
    let want: Vec<wire::UsageRecord> = (0..50).map(|n| (&record(n)).into()).collect();
    assert_eq!(got, want);
    // The newest were taken from memory; a report that failed reads the same from disk.
    assert_eq!(life.read_all(epoch), want);
    assert!(life.spool.vitals().bytes > 4096, "several segments");
}

#[test]
fn a_slot_that_is_dropped_ends_its_request_once() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    drop(life.writer.reserve().unwrap());
    drop(life.admit(1));
    life.serve(2);
    life.flusher.turn();
    let records = life.read_all(life.spool.epoch());
    let read: Vec<UsageRecord> = records.into_iter().map(|record| record.try_into().unwrap()).collect();
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].outcome, read[0].written_off), (Outcome::AbortedByGateway, intent(1).held));
    assert_eq!((read[0].cost, read[1].outcome), (Money::ZERO, Outcome::Finished));
    assert_eq!(life.spool.outstanding(), 0);
}

#[test]
fn a_restart_closes_what_was_open_and_reports_the_old_epoch_first() {
    let disk = FakeDisk::default();
    let mut first = live(&disk, config());
    let old = first.spool.epoch();
    let open = first.admit(1);
    first.serve(2);
    first.flusher.turn();
    first.spool.acknowledge(old, 1);
    disk.crash(|_| 0);
    std::mem::forget(open);
    let second = live(&disk, config());
    assert!(second.spool.epoch() > old);
    assert_eq!((second.replay.epochs.clone(), second.replay.closed), (vec![old], 1));
    let records = second.read_all(old);
    assert_eq!(requests(&records), [RequestId::new(7, 2), RequestId::new(7, 1)]);
    assert_eq!(second.spool.position(old).last, 2);
    // A second restart before the report finds the same, not a second closing.
    disk.crash(|_| 0);
    let third = live(&disk, config());
    assert_eq!((third.read_all(old), third.replay.closed), (records, 0));
    third.spool.acknowledge(old, 2);
    third.spool.set_drained(old);
    third.spool.keep_marks().unwrap();
    let fourth = live(&disk, config());
    assert!(!fourth.replay.epochs.contains(&old));
}

#[test]
fn a_failing_sync_stops_admission_until_a_new_file_has_everything() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    life.serve(1);
    life.flusher.turn();
    disk.fail_syncs(1);
    life.serve(2);
    let open = life.admit(3);
    life.flusher.turn();
    assert!(matches!(life.writer.reserve(), Err(SpoolFull::Disk)));
    assert!(!life.spool.vitals().admitting);
    assert_eq!(life.spool.vitals().last_sequence, 1, "what is not synced is not shown");
    open.terminal(record(3));
    life.flusher.turn();
    assert!(life.writer.reserve().is_err(), "not tried again at once");
    life.clock.advance(Duration::from_secs(1));
    life.flusher.turn();
    assert!(life.writer.reserve().is_ok());
    life.serve(4);
    life.flusher.turn();
    disk.crash(|_| 0);
    let next = live(&disk, config());
    let old = next.replay.epochs[0];
    let want: Vec<RequestId> = (1..=4).map(|n| RequestId::new(7, n)).collect();
    assert_eq!((requests(&next.read_all(old)), next.replay.closed), (want, 0));
    assert!(!next.spool.position(old).damaged);
}

#[test]
fn a_full_spool_admits_nobody_and_drops_nothing() {
    let mut life = live(&FakeDisk::default(), Config { cap: 40_000, ..config() });
    let epoch = life.spool.epoch();
    let mut served = 0;
    while let Ok(mut slot) = life.writer.reserve() {
        slot.intent(intent(served));
        slot.terminal(record(served));
        served += 1;
        life.flusher.turn();
        assert!(served < 10_000, "never full");
    }
    assert!(matches!(life.writer.reserve(), Err(SpoolFull::Cap)));
    assert!(life.spool.vitals().alarm);
    assert_eq!(life.read_all(epoch).len() as u128, served);
    life.spool.acknowledge(epoch, served as u64);
    life.clock.advance(Duration::from_secs(2));
    life.flusher.turn();
    assert!(life.writer.reserve().is_ok());
    assert!(life.spool.vitals().bytes < 40_000, "reported segments went to make room");
}

#[test]
fn a_reported_segment_stays_a_day_and_one_with_an_open_request_stays_on() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    let epoch = life.spool.epoch();
    let segments = || disk.names().iter().filter(|name| name.ends_with(".spool")).count();
    let open = life.admit(1_000);
    for n in 0..60 {
        life.serve(n);
        life.flusher.turn();
    }
    let all = segments();
    assert!(all > 3);
    life.spool.acknowledge(epoch, 60);
    life.clock.advance(Duration::from_secs(23 * 3600));
    life.flusher.turn();
    assert_eq!(segments(), all);
    life.clock.advance(Duration::from_secs(3601));
    life.flusher.turn();
    assert_eq!(segments(), 2, "the first holds the open intent, the last is being written");
    open.terminal(record(1_000));
    life.flusher.turn();
    life.spool.acknowledge(epoch, 61);
    life.clock.advance(Duration::from_secs(2));
    life.flusher.turn();
    assert_eq!(segments(), 1);
}

#[test]
fn a_hole_in_what_was_synced_is_said_and_never_papered_over() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    for n in 0..60 {
        life.serve(n);
        life.flusher.turn();
    }
    disk.crash(|_| 0);
    disk.spoil("-00000001.spool", 200);
    let next = live(&disk, config());
    let old = next.replay.epochs[0];
    assert!(next.spool.position(old).damaged);
    let readable = next.read_all(old);
    assert!(!readable.is_empty() && readable.len() < 60);
    let want: Vec<RequestId> = (0..readable.len()).map(|n| RequestId::new(7, n as u128)).collect();
    assert_eq!(requests(&readable), want);
}

#[test]
fn spoilt_marks_cost_reading_and_nothing_else() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    life.serve(1);
    life.flusher.turn();
    life.spool.keep_marks().unwrap();
    disk.spoil("marks", 3);
    let next = live(&disk, config());
    assert_eq!(next.read_all(life.spool.epoch()).len(), 1);
}

#[test]
fn the_thread_on_a_real_disk_keeps_everything_that_many_workers_push() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        || Config { dir: folder.path().join("spool"), segment: 1 << 16, flush: Duration::from_millis(1), ..config() };
    let open = || {
        let config = config();
        let disk = Arc::new(RealDisk::new(&config.dir).unwrap());
        Spool::open(config, disk, Arc::new(runtime::clock::SystemClock)).unwrap()
    };
    let (spool, replay) = open();
    assert!(replay.epochs.is_empty());
    std::thread::scope(|scope| {
        for worker in 0..4u128 {
            let writer = spool.writer();
            scope.spawn(move || {
                for n in 0..500 {
                    let mut slot = writer.reserve().unwrap();
                    slot.intent(intent(worker * 1_000 + n));
                    slot.terminal(record(worker * 1_000 + n));
                }
            });
        }
    });
    assert!(RealDisk::new(&config().dir).is_err(), "one spool, one process");
    spool.close();
    let epoch = spool.epoch();
    assert_eq!(spool.vitals().last_sequence, 2_000);
    let mut seen = BTreeSet::new();
    let mut after = 0;
    while let Some(last) = Some(spool.read(epoch, after, 300).unwrap()).filter(|records| !records.is_empty()) {
        after += last.len() as u64;
        seen.extend(requests(&last));
    }
    assert_eq!(seen.len(), 2_000);
    drop(spool);
    let (again, replay) = open();
    assert_eq!((replay.epochs, replay.closed), (vec![epoch], 0));
    assert_eq!(again.position(epoch).last, 2_000);
    again.close();
}

fn written(count: u128) -> (Header, Vec<u8>) {
    let header = Header { epoch: 5, index: 2, first: 1 };
    let pen = Pen::new(&header);
    let mut bytes = header.write().to_vec();
    for n in 0..count {
        pen.intent(&mut bytes, n, &(&intent(n)).into());
        pen.terminal(&mut bytes, n as u64 + 1, n, &(&record(n)).into());
    }
    (header, bytes)
}

/// One thing that happens to a spool.
#[derive(Debug, Clone)]
enum Step {
    Admit,
    End(usize),
    Drop(usize),
    Turn,
    FailSync,
    FailWrite,
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Admit),
        5 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Drop),
        6 => Just(Step::Turn),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailWrite),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

/// What must be true of the books whatever happens to the disk.
#[derive(Default)]
struct Truth {
    /// Requests whose intent was synced, by epoch.
    synced: BTreeMap<BootEpoch, BTreeSet<RequestId>>,
    /// Terminals that the reporter could see.
    shown: BTreeMap<BootEpoch, Vec<wire::UsageRecord>>,
}

fn play(steps: Vec<Step>) {
    let disk = FakeDisk::default();
    let mut truth = Truth::default();
    let mut life = live(&disk, Config { segment: 1500, ..config() });
    let mut slots: Vec<(u128, Slot)> = Vec::new();
    let (mut next, mut waiting) = (0u128, Vec::new());
    for step in steps {
        match step {
            Step::Admit => {
                if let Ok(mut slot) = life.writer.reserve() {
                    slot.intent(intent(next));
                    waiting.push(RequestId::new(7, next));
                    slots.push((next, slot));
                    next += 1;
                }
            }
            Step::End(pick) if !slots.is_empty() => {
                let (n, slot) = slots.swap_remove(pick % slots.len());
                slot.terminal(record(n));
            }
            Step::Drop(pick) if !slots.is_empty() => drop(slots.swap_remove(pick % slots.len())),
            Step::End(_) | Step::Drop(_) => {}
            Step::Turn => {
                life.clock.advance(Duration::from_secs(2));
                life.flusher.turn();
                let epoch = life.spool.epoch();
                if life.spool.vitals().admitting {
                    truth.synced.entry(epoch).or_default().extend(waiting.drain(..));
                }
                let shown = truth.shown.entry(epoch).or_default();
                while let Some(more) =
                    Some(life.spool.read(epoch, shown.len() as u64, 3).unwrap()).filter(|more| !more.is_empty())
                {
                    shown.extend(more);
                }
            }
            Step::FailSync => disk.fail_syncs(1),
            Step::FailWrite => disk.fail_writes(1),
            Step::Crash(seed) => {
                let mut state = seed | 1;
                disk.crash(|n| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 33) as usize % n.max(1)
                });
                slots.drain(..).for_each(std::mem::forget);
                waiting.clear();
                life = live(&disk, Config { segment: 1500, ..config() });
                check(&life, &truth);
            }
        }
    }
    disk.crash(|_| 0);
    slots.drain(..).for_each(std::mem::forget);
    life = live(&disk, Config { segment: 1500, ..config() });
    check(&life, &truth);
}

fn check(life: &Life, truth: &Truth) {
    for epoch in &life.replay.epochs {
        assert!(!life.spool.position(*epoch).damaged);
        let records = life.read_all(*epoch);
        assert_eq!(records.len() as u64, life.spool.position(*epoch).last);
        let mut ended = BTreeSet::new();
        for request in requests(&records) {
            assert!(ended.insert(request), "{request} has two terminals");
        }
        let shown = truth.shown.get(epoch).cloned().unwrap_or_default();
        assert_eq!(records.get(..shown.len()), Some(shown.as_slice()), "what was shown has changed");
        for request in truth.synced.get(epoch).into_iter().flatten() {
            assert!(ended.contains(request), "{request} has no terminal");
        }
    }
}

/// Found by the property below: both requests were whole in a file that had been given up.
#[test]
fn a_group_that_was_half_kept_and_written_again_is_not_closed_twice() {
    use Step::{Admit, Crash, End, FailSync, FailWrite, Turn};
    let before = [Admit, Admit, Admit, End(0), Admit, End(0), End(0), End(0), Admit, Turn, Crash(0)];
    let failing = [FailSync, Admit, Turn, Turn, End(0), Admit, Admit, End(0), End(0), FailSync, Turn];
    let again = [FailWrite, FailSync, Turn, Turn, Crash(2_790_829_325_045_663_528)];
    play(before.into_iter().chain(failing).chain(again).collect());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_and_whenever_it_crashes_each_intent_has_one_terminal(steps in steps()) {
        play(steps);
    }

    #[test]
    fn a_cut_or_spoilt_segment_gives_a_prefix_of_what_was_written(
        count in 0u128..12, cut in any::<prop::sample::Index>(), spoil in prop::option::of((any::<prop::sample::Index>(), 1u8..)),
    ) {
        let (header, whole) = written(count);
        let all: Vec<Vec<u8>> = Records::new(&header, &whole[HEADER_LEN..]).map(|record| format!("{record:?}").into_bytes()).collect();
        prop_assert_eq!(all.len() as u128, count * 2);
        let mut bytes = whole[..cut.index(whole.len() + 1)].to_vec();
        if let (Some((at, flip)), false) = (spoil, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(got) = Header::read(&bytes) {
            prop_assert_eq!(got, header);
            let read: Vec<Vec<u8>> = Records::new(&got, &bytes[HEADER_LEN..]).map(|record| format!("{record:?}").into_bytes()).collect();
            prop_assert_eq!(&all[..read.len()], read.as_slice());
        }
    }

    #[test]
    fn records_of_another_segment_are_not_taken_for_own(count in 1u128..6, epoch in 6u64.., index in any::<u32>()) {
        let (_, bytes) = written(count);
        let other = Header { epoch, index, first: 1 };
        prop_assert_eq!(Records::new(&other, &bytes[HEADER_LEN..]).count(), 0);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), with_header in any::<bool>()) {
        let bytes = if with_header { [Header { epoch: 1, index: 0, first: 1 }.write().as_slice(), &bytes].concat() } else { bytes };
        segment::check(&bytes);
        let _ = shelf::read_marks(&bytes);
    }
}
