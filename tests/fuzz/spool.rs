//! The spool's replay: whatever a crash, a bad disk or a stranger left in the folder, a proxy starts or says why not;
//! each open intent is closed once, and a second start finds nothing more to close.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;
use proto::sync as wire;
use proxy::spool::segment::{self, Header, Pen, file_name};
use proxy::spool::{Appender, Config, Disk, Found, Spool};
use runtime::clock::ManualClock;

use crate::driver::{Corpus, drive};

const EPOCH: u64 = 41;
const WORDS: &[&str] = &[
    "\0\0\0\0",
    "\u{1}\0\0\0",
    "\u{1}",
    "\u{2}",
    "finished",
    "org_",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
    "tgspool",
    "\n\u{10}",
    "\u{8}",
];

/// A disk that is a map.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>);

struct Tail(Memory, PathBuf);

impl Disk for Memory {
    fn list(&self, folder: &Path) -> io::Result<Vec<Found>> {
        let files = self.0.lock().unwrap();
        let inside = files.iter().filter(|(path, _)| path.parent() == Some(folder));
        let found = inside.map(|(path, bytes)| Found {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            len: bytes.len() as u64,
            modified_us: 0,
        });
        Ok(found.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        if self.0.lock().unwrap().insert(path.to_owned(), Vec::new()).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Arc::new(Tail(self.clone(), path.to_owned())))
    }

    fn read(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
        let files = self.0.lock().unwrap();
        let bytes = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        let end = start.saturating_add(usize::try_from(limit).unwrap()).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().get(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Appender for Tail {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.0.lock().unwrap().get_mut(&self.1).ok_or(io::ErrorKind::NotFound)?.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn config() -> Config {
    Config { dir: PathBuf::from("/spool"), cap: 1 << 20, segment: 1 << 16, flush: Duration::from_millis(1) }
}

/// Starts on the folder, reads everything that is to be reported, and leaves. None when the start was refused.
fn start(disk: &Memory) -> Option<u64> {
    let (spool, replay) = Spool::open(config(), Arc::new(disk.clone()), Arc::new(ManualClock::at(1_000_000))).ok()?;
    for epoch in &replay.epochs {
        let (mut after, mut rounds) = (0, 0);
        while let Ok(records) = spool.read(*epoch, after, 100) {
            if records.is_empty() {
                break;
            }
            after += records.len() as u64;
            rounds += 1;
            assert!(rounds < 1_000, "records without end");
        }
    }
    spool.close();
    Some(replay.closed)
}

fn target(input: &[u8]) {
    let readable = segment::check(input);
    let disk = Memory::default();
    disk.0.lock().unwrap().insert(config().dir.join(file_name(EPOCH, 0)), input.to_vec());
    let Some(closed) = start(&disk) else { return };
    assert!(closed <= readable as u64, "{closed} intents closed, {readable} records readable");
    if let Some(again) = start(&disk) {
        assert_eq!(again, 0, "the second start closes intents again");
    }
    // The same bytes as the file of marks.
    let disk = Memory::default();
    disk.0.lock().unwrap().insert(config().dir.join("marks"), input.to_vec());
    let _ = start(&disk);
}

fn sample(first: u64, intents: u64, terminals: u64) -> Vec<u8> {
    let header = Header { epoch: EPOCH, index: 0, first };
    let pen = Pen::new(&header);
    let mut bytes = header.write().to_vec();
    for at in 0..intents.max(terminals) {
        let request = bytes::Bytes::copy_from_slice(&u128::from(at + 7).to_be_bytes());
        let intent = wire::Intent {
            request: request.clone(),
            requested_model: "a/b".to_owned(),
            held_nano: 5,
            started_at_us: 9,
            ..wire::Intent::default()
        };
        pen.intent(&mut bytes, u128::from(at + 7), &intent.encode_to_vec());
        if at < terminals {
            let record = wire::UsageRecord {
                request,
                outcome: "finished".to_owned(),
                cost_nano: 3,
                ..wire::UsageRecord::default()
            };
            pen.terminal(&mut bytes, first + at, u128::from(at + 7), &record.encode_to_vec());
        }
    }
    bytes
}

#[test]
fn any_folder_is_replayed_or_refused() {
    let inputs = vec![sample(1, 5, 3), sample(1, 0, 0), sample(9, 2, 2), sample(1, 4, 0)];
    for input in &inputs[..1] {
        // Cut at every byte: torn tails are the ordinary case.
        (0..input.len()).for_each(|end| target(&input[..end]));
    }
    drive("spool", &Corpus { inputs, words: WORDS }, target);
}
