//! Reads the cache at a start: the newest base that is whole, and every delta behind it whose chain is unbroken.
//! Never fails: what cannot be read is left out, and the controller sends it again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use domain::ids::Revision;
use domain::snapshot::{Change, Snapshot};
use proto::convert::{known_restrictions, read_changes};

use super::files::{Kind, Record, Records};

/// Changes of a log that are applied at once.
const BATCH: usize = 4 * 1024;

/// What the cache held.
#[derive(Default)]
pub(super) struct Loaded {
    /// Nothing when there was no whole base.
    pub snapshot: Option<Snapshot>,
    /// The chain of logs goes on from here.
    pub chain: u32,
    /// The newest generation of which there is any file.
    pub newest: u64,
    /// Logs that had to be read.
    pub logs: usize,
    /// All was whole, and written by a build that understands what this one does.
    pub is_clean: bool,
}

/// Reads a cache folder.
pub(super) fn load(folder: &Path) -> Loaded {
    let generations = generations(folder);
    let newest = generations.iter().map(|(_, generation)| *generation).max().unwrap_or(0);
    let bases: Vec<u64> = of_kind(&generations, Kind::Base).collect();
    let mut loaded = Loaded { newest, is_clean: true, ..Loaded::default() };
    for base in bases.iter().rev() {
        let Some((snapshot, known)) = read_base(folder, *base) else {
            tracing::warn!(generation = base, "a base of the snapshot cache is damaged; an older one is used");
            loaded.is_clean = false;
            continue;
        };
        loaded.snapshot = Some(snapshot);
        loaded.is_clean &= known == known_restrictions();
        let logs: Vec<u64> = of_kind(&generations, Kind::Log).filter(|log| log >= base).collect();
        read_logs(folder, &logs, &mut loaded);
        return loaded;
    }
    loaded
}

/// Every file of the cache.
pub(super) fn generations(folder: &Path) -> BTreeSet<(u8, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries
        .filter_map(|entry| Kind::parse(entry.ok()?.file_name().to_str()?))
        .map(|(kind, generation)| (u8::from(kind == Kind::Log), generation))
        .collect()
}

/// The generations of one kind of file, oldest first.
pub(super) fn of_kind(generations: &BTreeSet<(u8, u64)>, kind: Kind) -> impl Iterator<Item = u64> + '_ {
    let wanted = u8::from(kind == Kind::Log);
    generations.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, generation)| *generation)
}

fn open(folder: &Path, kind: Kind, generation: u64) -> Option<Records<BufReader<File>>> {
    let file = File::open(folder.join(kind.name(generation))).ok()?;
    Records::begin(BufReader::with_capacity(1 << 20, file), kind, generation)
}

fn read_base(folder: &Path, generation: u64) -> Option<(Snapshot, u64)> {
    let mut records = open(folder, Kind::Base, generation)?;
    let (revision, known) = (Revision(records.header().revision), records.header().known);
    let (mut snapshot, mut count) = (Snapshot::default(), 0u64);
    loop {
        match records.next()? {
            Record::Changes(changes) => {
                count += changes.len() as u64;
                snapshot.absorb(Revision::default(), read_changes(changes).changes);
            }
            Record::End(announced) if announced == count => {
                snapshot.absorb(revision, Vec::new());
                return Some((snapshot, known));
            }
            Record::End(_) | Record::Delta(_) => return None,
        }
    }
}

fn read_logs(folder: &Path, logs: &[u64], loaded: &mut Loaded) {
    let Some(mut snapshot) = loaded.snapshot.take() else { return };
    let mut chain = None;
    for (at, log) in logs.iter().enumerate() {
        let Some(mut records) = open(folder, Kind::Log, *log) else {
            // A log that was never begun is the last one of a process that died.
            loaded.is_clean &= at + 1 == logs.len();
            break;
        };
        if chain.is_some_and(|chain| chain != records.header().chain) {
            tracing::warn!(generation = log, "the snapshot cache has a gap; what is behind it is left out");
            loaded.is_clean = false;
            break;
        }
        snapshot = read_log(&mut records, snapshot);
        chain = Some(records.chain_end());
        loaded.logs += 1;
        loaded.is_clean &= records.header().known == known_restrictions();
    }
    loaded.chain = chain.unwrap_or(0);
    loaded.snapshot = Some(snapshot);
}

fn read_log(records: &mut Records<BufReader<File>>, mut snapshot: Snapshot) -> Snapshot {
    let (mut batch, mut revision): (Vec<Change>, Revision) = (Vec::new(), snapshot.revision());
    for record in records {
        let Record::Delta(delta) = record else { break };
        if !delta.urgent {
            revision = revision.max(Revision(delta.to_revision));
        }
        batch.extend(read_changes(delta.changes).changes);
        if batch.len() >= BATCH {
            snapshot.absorb(revision, std::mem::take(&mut batch));
        }
    }
    snapshot.absorb(revision, batch);
    snapshot
}
