//! The last good snapshot on disk, so that a proxy that restarts without its controller knows whom it serves: a compact
//! base and an append-only log of deltas, in two generations. No secret is in it, and no key but by its digest.
//! Never in the way: one thread of its own writes; who must know that a delta is kept gets a receipt.

mod files;
mod load;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::snapshot::Snapshot;
use prost::Message as _;
use proto::convert::known_restrictions;
use proto::sync as wire;
use tokio::sync::oneshot;

use files::{Header, Kind, Pen};
use load::{Loaded, generations, of_kind};

/// How often a base is written anew at the latest, when there are deltas.
const COMPACT_EVERY: Duration = Duration::from_secs(3600);
/// Logs behind a base at a start before a new base is due.
const LOGS: usize = 8;
/// Bytes of a chunk of a base, roughly.
const CHUNK: usize = 256 * 1024;
/// Deltas that wait to be written; more than this and the caller waits.
const QUEUE: usize = 1024;
/// Deltas that are written before one sync.
const GROUP: usize = 256;

/// What the thread is asked to do.
enum Job {
    /// Keep this delta; the receipt says whether it survives a crash from now on.
    Append {
        delta: Vec<u8>,
        receipt: Option<oneshot::Sender<bool>>,
    },
    /// Write a base from this snapshot.
    Rewrite {
        snapshot: Snapshot,
    },
    /// That base is written (or not).
    Rewritten {
        generation: u64,
        done: bool,
    },
    Stop,
}

/// The way to the cache.
pub(super) struct Cache {
    jobs: mpsc::SyncSender<Job>,
    wants_base: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a start finds.
pub(super) struct Found {
    /// The snapshot, if there was a whole one.
    pub snapshot: Option<Snapshot>,
    /// The snapshot can be brought up to date by deltas; otherwise it serves until a base has come.
    pub may_resume: bool,
}

impl Cache {
    /// Reads the folder, which is made when it is missing, and starts the thread. `compact_at` is in bytes of the log.
    ///
    /// # Errors
    /// When the folder cannot be made or no thread can be started; a damaged cache is no error.
    pub(super) fn open(folder: &Path, compact_at: u64) -> io::Result<(Cache, Found)> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        remove_drafts(folder);
        let Loaded { snapshot, chain, newest, logs, is_clean } = load::load(folder);
        let wants_base = Arc::new(AtomicBool::new(!is_clean || snapshot.is_none() || logs > LOGS));
        let (jobs, inbox) = mpsc::sync_channel(QUEUE);
        let mut writer = Writer {
            folder: folder.to_owned(),
            inbox,
            jobs: jobs.clone(),
            wants_base: wants_base.clone(),
            compact_at,
            // Without a base there is nothing that a delta could be added to.
            has_base: snapshot.is_some(),
            generation: newest,
            may_share: false,
            log: None,
            chain,
            revision: snapshot.as_ref().map_or(0, |snapshot| snapshot.revision().0),
            is_rewriting: false,
            is_poisoned: false,
            next: None,
            compacted_at: Instant::now(),
            receipts: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(move || writer.run())?;
        Ok((Cache { jobs, wants_base, thread: Some(thread) }, Found { snapshot, may_resume: is_clean }))
    }

    /// Keeps a delta. With `must_last` the receipt comes once it survives a crash; it says `false` when it does not.
    pub(super) fn append(&self, delta: &wire::Delta, must_last: bool) -> Option<oneshot::Receiver<bool>> {
        let (receipt, told) = oneshot::channel();
        let receipt = must_last.then_some(receipt);
        // Blocks only behind a thousand deltas: then the disk is the one to wait for.
        let _ = self.jobs.send(Job::Append { delta: delta.encode_to_vec(), receipt });
        must_last.then_some(told)
    }

    /// Whether a base is due; to be looked at now and then.
    pub(super) fn wants_base(&self) -> bool {
        self.wants_base.load(Ordering::Acquire)
    }

    /// Writes a base in the background; deltas that come after are behind it.
    pub(super) fn rewrite(&self, snapshot: Snapshot) {
        self.wants_base.store(false, Ordering::Release);
        let _ = self.jobs.send(Job::Rewrite { snapshot });
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    folder: PathBuf,
    inbox: mpsc::Receiver<Job>,
    jobs: mpsc::SyncSender<Job>,
    wants_base: Arc<AtomicBool>,
    compact_at: u64,
    has_base: bool,
    generation: u64,
    /// There is no log of this generation yet.
    may_share: bool,
    log: Option<Pen<BufWriter<File>>>,
    chain: u32,
    revision: u64,
    is_rewriting: bool,
    /// A delta was lost and the base that lacks it could not be removed: nothing is safe until a new base is written.
    is_poisoned: bool,
    /// The snapshot to write when the base under way is done.
    next: Option<Snapshot>,
    compacted_at: Instant,
    receipts: Vec<oneshot::Sender<bool>>,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let Ok(first) = self.inbox.recv() else { return };
            let mut job = Some(first);
            let mut is_stopping = false;
            for _ in 0..GROUP {
                match job.take() {
                    Some(job) => is_stopping |= self.work(job),
                    None => break,
                }
                job = self.inbox.try_recv().ok();
            }
            if let Some(job) = job {
                is_stopping |= self.work(job);
            }
            self.settle(is_stopping);
            if is_stopping {
                return;
            }
        }
    }

    fn work(&mut self, job: Job) -> bool {
        match job {
            Job::Append { delta, receipt } => {
                self.append(&delta);
                self.receipts.extend(receipt);
            }
            Job::Rewrite { snapshot } if self.is_rewriting => self.next = Some(snapshot),
            Job::Rewrite { snapshot } => self.rewrite(snapshot),
            Job::Rewritten { generation, done } => self.rewritten(generation, done),
            Job::Stop => return true,
        }
        false
    }

    fn append(&mut self, delta: &[u8]) {
        // Without a base to come there is nothing that a delta could be added to.
        if !self.is_rewriting && (!self.has_base || self.is_poisoned) {
            return;
        }
        let written = match self.log() {
            Ok(log) => log.delta(delta).map(|()| (log.chain(), log.written())),
            Err(error) => Err(error),
        };
        match written {
            Ok((chain, bytes)) => {
                self.chain = chain;
                if bytes > self.compact_at || self.compacted_at.elapsed() > COMPACT_EVERY {
                    self.wants_base.store(true, Ordering::Release);
                }
            }
            Err(error) => self.break_off(&error),
        }
    }

    fn log(&mut self) -> io::Result<&mut Pen<BufWriter<File>>> {
        if self.log.is_none() {
            // The first log behind a base has its number.
            if !std::mem::take(&mut self.may_share) {
                self.generation += 1;
            }
            let path = self.folder.join(Kind::Log.name(self.generation));
            let header = Header {
                kind: Kind::Log,
                generation: self.generation,
                known: known_restrictions(),
                revision: self.revision,
                chain: self.chain,
            };
            let file = create(&path)?;
            sync_folder(&self.folder)?;
            self.log = Some(Pen::begin(BufWriter::new(file), &header)?);
        }
        self.log.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Brings what was appended to the file, to the disk when somebody waits for that, and says so.
    fn settle(&mut self, is_stopping: bool) {
        let must_last = is_stopping || !self.receipts.is_empty();
        let kept = match &mut self.log {
            Some(log) => {
                let out = log.out();
                out.flush().and_then(|()| if must_last { out.get_ref().sync_data() } else { Ok(()) })
            }
            None => Ok(()),
        };
        if let Err(error) = &kept {
            self.break_off(error);
        }
        // Without a base on disk nothing can be revived by a restart, so there is nothing that had to be kept.
        let is_safe = !self.has_base || (kept.is_ok() && !self.is_poisoned);
        for receipt in self.receipts.drain(..) {
            let _ = receipt.send(is_safe);
        }
    }

    /// The disk fails: a cache that lacks a removal is worse than none, so it is taken away.
    fn break_off(&mut self, error: &io::Error) {
        tracing::error!(%error, "the snapshot cache cannot be written and is removed; a restart will need the controller");
        self.log = None;
        let removed = of_kind(&generations(&self.folder), Kind::Base)
            .map(|generation| fs::remove_file(self.folder.join(Kind::Base.name(generation))))
            .collect::<io::Result<Vec<()>>>();
        self.has_base = removed.and_then(|_| sync_folder(&self.folder)).is_err();
        self.is_poisoned = self.has_base;
        // What is written from here on does not go on from what was lost.
        self.chain = !self.chain;
        self.wants_base.store(true, Ordering::Release);
    }

    fn rewrite(&mut self, snapshot: Snapshot) {
        self.revision = snapshot.revision().0;
        self.compacted_at = Instant::now();
        if let Some(mut log) = self.log.take() {
            let _ = log.out().flush();
        }
        self.generation += 1;
        self.may_share = true;
        let generation = self.generation;
        self.is_rewriting = true;
        let (folder, jobs) = (self.folder.clone(), self.jobs.clone());
        let work = move || {
            let written = write_base(&folder, generation, &snapshot);
            if let Err(error) = &written {
                tracing::warn!(%error, "a base of the snapshot cache cannot be written");
            }
            let _ = jobs.send(Job::Rewritten { generation, done: written.is_ok() });
        };
        if std::thread::Builder::new().name("cache-base".to_owned()).spawn(work).is_err() {
            self.is_rewriting = false;
        }
    }

    fn rewritten(&mut self, generation: u64, done: bool) {
        self.is_rewriting = false;
        if done {
            self.has_base = true;
            self.is_poisoned = false;
            self.remove_before(generation);
        } else {
            self.wants_base.store(true, Ordering::Release);
        }
        if let Some(snapshot) = self.next.take() {
            self.rewrite(snapshot);
        }
    }

    /// Keeps this base and the one before it.
    fn remove_before(&self, newest: u64) {
        let all = generations(&self.folder);
        let older = of_kind(&all, Kind::Base).filter(|generation| *generation < newest).max().unwrap_or(newest);
        for kind in [Kind::Base, Kind::Log] {
            for generation in of_kind(&all, kind).filter(|generation| *generation < older) {
                let _ = fs::remove_file(self.folder.join(kind.name(generation)));
            }
        }
    }
}

/// What a process left that died while it wrote a base.
fn remove_drafts(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("draft-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_base(folder: &Path, generation: u64, snapshot: &Snapshot) -> io::Result<()> {
    let draft = folder.join(format!("draft-{generation:016x}"));
    let written = fill_base(&draft, generation, snapshot)
        .and_then(|()| fs::rename(&draft, folder.join(Kind::Base.name(generation))))
        .and_then(|()| sync_folder(folder));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

fn fill_base(draft: &Path, generation: u64, snapshot: &Snapshot) -> io::Result<()> {
    let header =
        Header { kind: Kind::Base, generation, known: known_restrictions(), revision: snapshot.revision().0, chain: 0 };
    let mut pen = Pen::begin(BufWriter::new(create(draft)?), &header)?;
    let (mut chunk, mut size, mut count) = (Vec::new(), 0, 0u64);
    for change in snapshot.changes() {
        let change = wire::Change::from(&change);
        size += change.encoded_len();
        count += 1;
        chunk.push(change);
        if size >= CHUNK {
            pen.changes(std::mem::take(&mut chunk))?;
            size = 0;
        }
    }
    pen.changes(chunk)?;
    pen.end(count)?;
    pen.out().flush()?;
    pen.out().get_ref().sync_all()
}
