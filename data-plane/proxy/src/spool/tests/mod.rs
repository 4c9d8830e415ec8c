mod disk;
mod threads;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use domain::ids::{KeyId, OrgId, PlanId, RequestId};
use domain::money::Money;
use domain::orgs::BillingMode;
use domain::time::Timestamp;
use domain::usage::{Intent, Outcome, TokenUsage, Trail, UsageRecord, UsageSource};
use proptest::prelude::*;
use prost::Message as _;
use proto::sync as wire;
use runtime::clock::ManualClock;

use self::disk::FakeDisk;
use self::world::{Step, play, steps};
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
        dialect_out: "".into(),
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
        trail: Trail::new("balanced".into(), 3, String::new()),
    }
}

fn config() -> Config {
    Config { dir: "/spool".into(), cap: 1 << 30, segment: 4096, flush: Duration::ZERO }
}

/// A spool whose threads are this test.
struct Life {
    spool: Spool,
    replay: Replay,
    flusher: Flusher,
    syncer: Syncer,
    writer: SpoolWriter,
    clock: Arc<ManualClock>,
}

fn live(disk: &FakeDisk, config: Config) -> Life {
    let clock = Arc::new(ManualClock::at(1_000));
    clock.advance(Duration::from_secs(100));
    let (spool, replay, (flusher, syncer)) = Spool::assemble(config, Arc::new(disk.clone()), clock.clone()).unwrap();
    let writer = spool.writer();
    Life { spool, replay, flusher, syncer, writer, clock }
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

    /// Writes what is waiting, syncs it and hears of it.
    fn turn(&mut self) {
        self.flusher.turn();
        self.syncer.turn();
        self.flusher.turn();
    }

    fn read_all(&self, epoch: BootEpoch) -> Vec<wire::UsageRecord> {
        self.read_after(epoch, 0).iter().map(decoded).collect()
    }

    fn read_after(&self, epoch: BootEpoch, after: u64) -> Vec<Bytes> {
        let mut all: Vec<Bytes> = Vec::new();
        loop {
            let more = self.spool.read(epoch, after + all.len() as u64, 7).unwrap();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }
}

fn decoded(message: &Bytes) -> wire::UsageRecord {
    wire::UsageRecord::decode(message.clone()).unwrap()
}

fn requests(records: &[wire::UsageRecord]) -> Vec<RequestId> {
    records.iter().map(|record| UsageRecord::try_from(record.clone()).unwrap().request).collect()
}

/// The requests whose terminal is whole in a segment of the folder, by epoch, with what it says.
fn terminals_on(disk: &FakeDisk) -> BTreeMap<(u64, RequestId), Bytes> {
    let mut found = BTreeMap::new();
    for bytes in disk.segments() {
        let Some(header) = Header::read(&bytes) else { continue };
        for record in Records::new(&header, &bytes[HEADER_LEN..]) {
            if let Record::Terminal { request, message, .. } = record {
                let message = Bytes::copy_from_slice(message);
                let before = found.insert((header.epoch, RequestId::from_u128(request)), message.clone());
                assert!(before.is_none_or(|before| before == message), "two terminals that differ");
            }
        }
    }
    found
}

#[test]
fn terminals_are_numbered_in_order_and_read_back_whole() {
    let mut life = live(&FakeDisk::default(), config());
    let epoch = life.spool.epoch();
    for n in 0..50 {
        life.serve(n);
        assert!(life.spool.read(epoch, n as u64, 10).unwrap().is_empty(), "not before it is synced");
        life.turn();
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
    life.turn();
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
    first.turn();
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
    life.turn();
    disk.fail_syncs(1);
    life.serve(2);
    let open = life.admit(3);
    life.turn();
    assert!(matches!(life.writer.reserve(), Err(SpoolFull::Disk)));
    assert!(!life.spool.vitals().admitting);
    assert_eq!(life.spool.vitals().last_sequence, 1, "what is not synced is not shown");
    open.terminal(record(3));
    life.turn();
    assert!(life.writer.reserve().is_err(), "not tried again at once");
    life.clock.advance(Duration::from_secs(1));
    life.turn();
    assert!(life.writer.reserve().is_ok());
    life.serve(4);
    life.turn();
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
        life.turn();
        assert!(served < 10_000, "never full");
    }
    assert!(matches!(life.writer.reserve(), Err(SpoolFull::Cap)));
    assert!(life.spool.vitals().alarm);
    assert_eq!(life.read_all(epoch).len() as u128, served);
    life.spool.acknowledge(epoch, served as u64);
    life.clock.advance(Duration::from_secs(2));
    life.turn();
    assert!(life.writer.reserve().is_ok());
    assert!(life.spool.vitals().bytes < 40_000, "reported segments went to make room");
}

#[test]
fn a_reported_segment_stays_a_day_and_an_open_request_is_carried_along() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    let epoch = life.spool.epoch();
    let segments = || disk.names().iter().filter(|name| name.ends_with(".spool")).count();
    let open = life.admit(1_000);
    for n in 0..60 {
        life.serve(n);
        life.turn();
    }
    let all = segments();
    assert!(all > 3);
    life.spool.acknowledge(epoch, 60);
    life.clock.advance(Duration::from_secs(23 * 3600));
    life.turn();
    assert_eq!(segments(), all);
    life.clock.advance(Duration::from_secs(3601));
    life.turn();
    assert_eq!(segments(), 1, "only the last, which is being written, has what is still needed");
    // The process dies before anything else is written.
    disk.crash(|_| 0);
    std::mem::forget(open);
    let next = live(&disk, config());
    assert_eq!(
        (next.replay.closed, next.spool.position(epoch)),
        (1, Position { acked: 60, last: 61, ..Position::default() })
    );
    let left = next.read_after(epoch, 60);
    assert_eq!(requests(&left.iter().map(decoded).collect::<Vec<_>>()), [RequestId::new(7, 1_000)]);
}

/// A request that ended is not ended again, however long another of its segment stays open.
#[test]
fn a_crowded_spool_forgets_no_end_before_its_intent() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, Config { cap: 20_000, ..config() });
    let epoch = life.spool.epoch();
    let (long, mut short) = (life.admit(1_000), Some(life.admit(1_001)));
    life.turn();
    let mut served = 0;
    while disk.names().iter().any(|name| name.ends_with("-00000000.spool")) {
        life.serve(served);
        served += 1;
        life.turn();
        if life.spool.vitals().bytes > 6_000 {
            // In another segment than its intent.
            short.take().into_iter().for_each(|slot| slot.terminal(record(1_001)));
        }
        life.spool.acknowledge(epoch, life.spool.vitals().last_sequence);
        life.clock.advance(Duration::from_millis(1_100));
        assert!(served < 1_000, "nothing is ever removed");
    }
    assert!(short.is_none());
    disk.kill();
    std::mem::forget(long);
    let next = live(&disk, config());
    assert_eq!((next.replay.closed, next.spool.position(epoch).damaged), (1, false));
    let ended = next.spool.position(epoch).last - 1;
    let left = next.read_after(epoch, ended);
    assert_eq!(requests(&left.iter().map(decoded).collect::<Vec<_>>()), [RequestId::new(7, 1_000)]);
}

#[test]
fn a_start_right_after_a_removal_sees_no_hole() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, Config { cap: 20_000, ..config() });
    let epoch = life.spool.epoch();
    let mut served = 0;
    while life.spool.vitals().bytes < 17_000 {
        life.serve(served);
        life.turn();
        served += 1;
    }
    life.spool.acknowledge(epoch, served as u64);
    // Long enough for the house to be kept, not for the marks to be written by the way.
    life.clock.advance(Duration::from_secs(2));
    life.turn();
    assert!(!disk.names().iter().any(|name| name.ends_with("-00000000.spool")), "the first is in the way");
    disk.kill();
    let next = live(&disk, config());
    let position = Position { acked: served as u64, last: served as u64, ..Position::default() };
    assert_eq!((next.replay.closed, next.spool.position(epoch)), (0, position));
}

#[test]
fn what_a_sync_says_of_a_file_that_was_left_does_not_matter() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    let epoch = life.spool.epoch();
    let mut served = 0;
    let mut serve = |life: &mut Life| {
        life.serve(served);
        life.flusher.turn();
        served += 1;
        (served, disk.segments().len())
    };
    let served = loop {
        // Two groups for each sync, so that one is always under way when a file is left.
        serve(&mut life);
        let (served, files) = serve(&mut life);
        if files == 2 {
            break served;
        }
        life.syncer.turn();
        life.flusher.turn();
    };
    // The last that was asked for is of the first file, and what it would have kept is in the second again.
    disk.fail_syncs(1);
    let shown = life.spool.vitals().last_sequence;
    life.syncer.turn();
    life.flusher.turn();
    assert!(life.writer.reserve().is_ok());
    assert_eq!(life.spool.vitals().last_sequence, shown);
    life.turn();
    assert_eq!(life.spool.vitals().last_sequence, served as u64);
    disk.crash(|_| 0);
    let next = live(&disk, config());
    let want: Vec<RequestId> = (0..served).map(|n| RequestId::new(7, n)).collect();
    assert_eq!((requests(&next.read_all(epoch)), next.replay.closed), (want, 0));
}

/// The file that was given up has both, and of the next one a crash keeps any part.
#[test]
fn an_intent_is_never_written_again_behind_its_own_terminal() {
    for kept in 0..400 {
        let disk = FakeDisk::default();
        let mut life = live(&disk, config());
        let epoch = life.spool.epoch();
        let open = life.admit(1);
        life.flusher.turn();
        open.terminal(record(1));
        life.flusher.turn();
        disk.fail_syncs(1);
        life.syncer.turn();
        life.flusher.turn();
        life.clock.advance(Duration::from_secs(1));
        life.flusher.turn();
        // Whether the two files are there, then how much of each is, and whether that is spoilt.
        let mut picks = [1, 1, usize::MAX, 0, kept, 0].into_iter();
        disk.crash(|n| picks.next().unwrap_or(0).min(n - 1));
        let next = live(&disk, config());
        assert_eq!((requests(&next.read_all(epoch)), next.replay.closed), (vec![RequestId::new(7, 1)], 0), "{kept}");
    }
}

#[test]
fn a_slow_sync_keeps_no_later_record_from_the_file() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    let epoch = life.spool.epoch();
    for n in 0..40 {
        life.serve(n);
        life.flusher.turn();
        assert!(terminals_on(&disk).contains_key(&(epoch.0, RequestId::new(7, n))), "{n} is not written");
    }
    assert!(life.spool.read(epoch, 0, 1).unwrap().is_empty(), "nothing is shown before it is synced");
    life.syncer.turn();
    life.serve(40);
    life.flusher.turn();
    assert_eq!(life.read_all(epoch).len(), 1, "the sync that was asked for when one was written");
    life.turn();
    assert_eq!(life.read_all(epoch).len(), 41);
    disk.crash(|_| 0);
    assert_eq!(live(&disk, config()).read_all(epoch).len(), 41);
}

#[test]
fn a_disk_that_is_far_behind_stops_admission_until_it_has_synced() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, Config { cap: 160_000, ..config() });
    let mut served = 0;
    while life.writer.reserve().is_ok() {
        life.serve(served);
        served += 1;
        life.flusher.turn();
        assert!(served < 1_000, "never stopped");
    }
    assert!(matches!(life.writer.reserve(), Err(SpoolFull::Behind)));
    // Once for what was asked for at the first group, once for the rest.
    life.turn();
    life.turn();
    assert!(life.writer.reserve().is_ok());
    assert_eq!(life.read_all(life.spool.epoch()).len() as u128, served);
}

#[test]
fn a_sync_that_fails_after_later_groups_loses_and_doubles_nothing() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    let epoch = life.spool.epoch();
    let open = life.admit(1);
    life.flusher.turn();
    life.serve(2);
    open.terminal(record(1));
    life.flusher.turn();
    disk.fail_syncs(1);
    life.turn();
    assert!(matches!(life.writer.reserve(), Err(SpoolFull::Disk)));
    life.clock.advance(Duration::from_secs(1));
    life.turn();
    assert!(life.writer.reserve().is_ok());
    let want = [RequestId::new(7, 2), RequestId::new(7, 1)];
    assert_eq!(requests(&life.read_all(epoch)), want);
    disk.crash(|_| 0);
    let next = live(&disk, config());
    assert_eq!((requests(&next.read_all(epoch)), next.replay.closed), (want.to_vec(), 0));
}

#[test]
fn a_worker_allocates_nothing_to_record_a_request() {
    let mut life = live(&FakeDisk::default(), config());
    let mut allocated = u64::MAX;
    // The lists grow at first; then they go round.
    for _ in 0..4 {
        let requests: Vec<(Intent, UsageRecord)> = (0..100).map(|_| (intent(100), record(100))).collect();
        let info = allocation_counter::measure(|| {
            for (intent, record) in requests {
                let mut slot = life.writer.reserve().unwrap();
                slot.intent(intent);
                slot.terminal(record);
            }
        });
        allocated = info.count_total;
        life.turn();
    }
    assert_eq!(allocated, 0, "for 100 requests");
}

#[test]
fn a_message_says_what_the_contract_says() {
    let mut full = record(1);
    full.budget = Some(domain::pools::PoolId::Budget(full.key, domain::limits::Period(1_795_219_200)));
    full.model = "author/model".parse().ok();
    full.provider = "acme".parse().ok();
    full.endpoint = "author/model@acme".parse().ok();
    full.dialect_out = "anthropic".into();
    full.usage = TokenUsage {
        prompt: u64::MAX,
        cache_read: u64::MAX,
        cache_write: u64::MAX,
        cache_write_1h: u64::MAX,
        completion: u64::MAX,
        reasoning: u64::MAX,
        audio_input: u64::MAX,
        audio_output: u64::MAX,
        images: u64::MAX,
        web_searches: u64::MAX,
        characters: u64::MAX,
    };
    full.upstream_id = "ä".repeat(200);
    (full.is_byok, full.ttft_ms, full.started_at) = (true, Some(0), Timestamp::from_us(i64::MIN));
    full.trail = Trail::new("order".into(), u32::MAX, "ü".repeat(32));
    (full.trail.passed_over, full.trail.begun_ms) = (1, u64::MAX);
    let step = |status: u16, code: &'static str| domain::usage::Step {
        endpoint: "author/model@other".parse().unwrap(),
        status,
        code: code.into(),
        trigger: "overload".into(),
        ms: u64::from(status) * 1_000,
    };
    // Long enough that its length takes two bytes.
    for (status, code) in [(0, "unfinished"), (529, "provider_error"), (65_535, "")] {
        full.trail.miss(step(status, code));
    }
    let (mut missed, mut far) = (record(5), record(6));
    missed.trail.miss(step(502, "bad_reply"));
    let long = format!("{0}/{0}@acme", "m".repeat(128)).parse().unwrap();
    far.trail.miss(domain::usage::Step { endpoint: long, ..step(503, "unreachable") });
    let empty = UsageRecord {
        attempt: 0,
        usage: TokenUsage::default(),
        ttft_ms: None,
        status: 0,
        trail: Trail::default(),
        ..record(0)
    };
    for record in [full, empty, record(3), missed, far] {
        let mut own = Vec::new();
        encode::terminal(&mut own, &record);
        assert_eq!(wire::UsageRecord::decode(own.as_slice()).unwrap(), (&record).into());
        assert_eq!(own, wire::UsageRecord::from(&record).encode_to_vec());
        let intent = Intent { budget: record.budget, held: Money::from_nano(i64::MAX), ..intent(4) };
        let mut own = Vec::new();
        encode::intent(&mut own, &intent);
        assert_eq!(own, wire::Intent::from(&intent).encode_to_vec());
    }
}

#[test]
fn a_hole_in_what_was_synced_is_said_and_never_papered_over() {
    let disk = FakeDisk::default();
    let mut life = live(&disk, config());
    for n in 0..60 {
        life.serve(n);
        life.turn();
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
    life.turn();
    life.spool.keep_marks().unwrap();
    disk.spoil("marks", 3);
    let next = live(&disk, config());
    assert_eq!(next.read_all(life.spool.epoch()).len(), 1);
}

fn written(count: u128) -> (Header, Vec<u8>) {
    let header = Header { epoch: 5, index: 2, first: 1 };
    let pen = Pen::new(&header);
    let mut bytes = header.write().to_vec();
    for n in 0..count {
        pen.intent(&mut bytes, n, &wire::Intent::from(&intent(n)).encode_to_vec());
        pen.terminal(&mut bytes, n as u64 + 1, n, &wire::UsageRecord::from(&record(n)).encode_to_vec());
    }
    (header, bytes)
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
    fn whatever_fails_and_whenever_it_is_killed_each_intent_has_one_terminal(steps in steps()) {
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
