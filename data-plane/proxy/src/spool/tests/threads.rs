//! The spool with threads of its own, where the other tests are its threads themselves.

use super::*;

#[test]
fn the_thread_writes_while_a_sync_hangs_and_shows_nothing() {
    let disk = FakeDisk::default();
    let (spool, _) = Spool::open(config(), Arc::new(disk.clone()), Arc::new(runtime::clock::SystemClock)).unwrap();
    let (epoch, writer) = (spool.epoch().0, spool.writer());
    disk.hold_syncs(true);
    let until = Instant::now() + Duration::from_secs(20);
    for n in 0..20 {
        let mut slot = writer.reserve().unwrap();
        slot.intent(intent(n));
        slot.terminal(record(n));
        while !terminals_on(&disk).contains_key(&(epoch, RequestId::new(7, n))) {
            assert!(Instant::now() < until, "{n} waits for the sync");
            std::thread::yield_now();
        }
    }
    assert_eq!(spool.vitals().last_sequence, 0);
    disk.hold_syncs(false);
    spool.close();
    assert_eq!(spool.vitals().last_sequence, 20);
}

#[test]
fn the_first_call_of_a_new_worker_is_seen_when_the_thread_wakes() {
    let Life { spool, mut flusher, .. } = live(&FakeDisk::default(), config());
    let (bell, until) = (spool.inner.bell.clone(), Instant::now() + Duration::from_secs(20));
    std::thread::scope(|scope| {
        let called = bell.clone();
        let thread = scope.spawn(move || {
            called.listen();
            flusher.rest();
            flusher.is_called()
        });
        while !bell.is_asleep() {
            assert!(Instant::now() < until, "the thread never rests");
            std::thread::yield_now();
        }
        // Made only now: the thread has looked for its writers before.
        let mut slot = spool.writer().reserve().unwrap();
        slot.intent(intent(1));
        assert!(thread.join().unwrap(), "it would write at once what it should gather");
        slot.terminal(record(1));
    });
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
        seen.extend(requests(&last.iter().map(decoded).collect::<Vec<_>>()));
    }
    assert_eq!(seen.len(), 2_000);
    drop(spool);
    let (again, replay) = open();
    assert_eq!((replay.epochs, replay.closed), (vec![epoch], 0));
    assert_eq!(again.position(epoch).last, 2_000);
    again.close();
}
