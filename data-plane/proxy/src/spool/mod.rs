//! Intents and terminals on disk: what makes a usage record survive a crash of this process. Workers push into rings,
//! one thread writes groups, one syncs them, the reporter reads what is synced. Holds ids, counts and amounts; never a
//! prompt, never a secret. A record is never dropped: a spool that cannot take more stops admission instead.
//! Next room: `sync::report`, which carries terminals to the controller.

mod disk;
mod encode;
mod flusher;
mod replay;
mod ring;
mod rows;
pub mod segment;
mod shelf;
mod syncer;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::BootEpoch;
use runtime::clock::Clock;
use tokio::sync::watch;

pub use disk::{Appender, Disk, Found, RealDisk};
pub use replay::Replay;
pub use ring::{Slot, SpoolFull, SpoolWriter};
pub use shelf::Position;

use flusher::Flusher;
use ring::{Admission, Bell, Ring};
use segment::{Header, Record, Records, file_name};
use shelf::Shelf;
use syncer::Syncer;

/// The file of marks in the spool's folder.
const MARKS: &str = "marks";
/// Bytes read from a segment at once.
const CHUNK: u64 = 1 << 20;

/// What can go wrong with a spool.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or the folder could not be used.
    #[error("{doing} {}", path.display())]
    Disk {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The folder belongs to another process.
    #[error(transparent)]
    Folder(#[from] runtime::Error),
    /// What was synced cannot be read any more.
    #[error("{} is damaged at byte {offset}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the first record that does not check out begins.
        offset: u64,
    },
    /// A thread could not be started.
    #[error("start a thread of the spool")]
    Thread(#[source] io::Error),
}

impl Error {
    fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Error::Disk { doing, path, source }
    }
}

/// Settings of a spool.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder, which belongs to this spool alone.
    pub dir: PathBuf,
    /// Bytes of records that are not reported, at most: an alarm at 80 %, no admission at 95 %.
    pub cap: u64,
    /// Synced bytes after which a new segment is begun.
    pub segment: u64,
    /// How long a group of records is gathered before it is written.
    pub flush: Duration,
}

/// How a spool is, for metrics and readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes that cannot go yet, with what is not synced and what admitted requests may still write.
    pub used: u64,
    /// The cap, in bytes.
    pub cap: u64,
    /// Synced terminals that the controller has not booked.
    pub unreported: u64,
    /// Admitted requests without a terminal.
    pub outstanding: u64,
    /// 80 % of the cap are used.
    pub alarm: bool,
    /// Requests are admitted.
    pub admitting: bool,
    /// The last synced terminal of this epoch.
    pub last_sequence: u64,
}

#[derive(Default)]
struct Gauges {
    bytes: AtomicU64,
    used: AtomicU64,
    outstanding: AtomicU64,
}

impl Gauges {
    fn set(&self, bytes: u64, used: u64, outstanding: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
        self.outstanding.store(outstanding, Ordering::Relaxed);
    }
}

struct Inner {
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    epoch: BootEpoch,
    rings: Mutex<Vec<Arc<Ring>>>,
    shelf: Mutex<Shelf>,
    admission: Arc<Admission>,
    bell: Arc<Bell>,
    vitals: Gauges,
    closing: AtomicBool,
    synced: watch::Sender<u64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        locked(&self.shelf)
    }

    fn rings(&self) -> MutexGuard<'_, Vec<Arc<Ring>>> {
        locked(&self.rings)
    }

    fn path(&self, epoch: u64, index: u32) -> PathBuf {
        self.config.dir.join(file_name(epoch, index))
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

/// The spool of this process. Clones share it.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

impl Spool {
    /// Reads what earlier processes left, closes their open intents, and starts the threads.
    ///
    /// # Errors
    /// Whatever the disk reports; nothing is lost by trying again.
    pub fn open(config: Config, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<(Spool, Replay), Error> {
        let (spool, replay, (flusher, syncer)) = Spool::assemble(config, disk, clock)?;
        let start = |name: &str, life: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(life).map_err(Error::Thread)
        };
        // The second ends when the first is gone.
        let syncing = start("spool-sync", Box::new(move || syncer.run()))?;
        let writing = start("spool", Box::new(move || flusher.run()))?;
        *locked(&spool.inner.threads) = vec![writing, syncing];
        Ok((spool, replay))
    }

    /// A spool that keeps nothing and is never reported, for a rehearsal.
    ///
    /// # Errors
    /// None that its disk could cause.
    pub(crate) fn of_nothing(clock: Arc<dyn Clock>) -> Result<Spool, Error> {
        let config = Config { dir: PathBuf::new(), cap: 1 << 20, segment: 1 << 20, flush: Duration::ZERO };
        Spool::assemble(config, Arc::new(disk::Nowhere), clock).map(|(spool, ..)| spool)
    }

    fn assemble(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Spool, Replay, (Flusher, Syncer)), Error> {
        let (mut shelf, replay, newest) = replay::replay(&config.dir, disk.as_ref())?;
        let now = u64::try_from(clock.now_us()).unwrap_or(0);
        let epoch = BootEpoch(now.max(newest.saturating_add(1)));
        shelf.epochs.insert(epoch.0, Position::default());
        let inner = Arc::new(Inner {
            config,
            disk,
            clock,
            epoch,
            rings: Mutex::default(),
            shelf: Mutex::new(shelf),
            admission: Arc::default(),
            bell: Arc::default(),
            vitals: Gauges::default(),
            closing: AtomicBool::new(false),
            synced: watch::Sender::new(0),
            threads: Mutex::default(),
        });
        let threads = flusher::threads(inner.clone());
        Ok((Spool { inner }, replay, threads))
    }

    /// The epoch of this process: larger than any that was ever used in the folder.
    pub fn epoch(&self) -> BootEpoch {
        self.inner.epoch
    }

    /// A worker's way in.
    pub fn writer(&self) -> SpoolWriter {
        let ring = Ring::new(self.inner.admission.clone(), self.inner.bell.clone());
        self.inner.rings().push(ring.clone());
        SpoolWriter { ring }
    }

    /// How the spool is.
    pub fn vitals(&self) -> Vitals {
        let gauges = &self.inner.vitals;
        let used = gauges.used.load(Ordering::Relaxed);
        let (unreported, last_sequence) = {
            let shelf = self.inner.shelf();
            let last = shelf.epochs.get(&self.inner.epoch.0).map_or(0, |position| position.last);
            (shelf.unreported(), last)
        };
        Vitals {
            bytes: gauges.bytes.load(Ordering::Relaxed),
            used,
            cap: self.inner.config.cap,
            unreported,
            outstanding: gauges.outstanding.load(Ordering::Relaxed),
            alarm: used >= self.inner.config.cap / 10 * 8,
            admitting: self.inner.admission.check().is_ok(),
            last_sequence,
        }
    }

    /// Requests that are admitted and have no terminal yet, counted now.
    pub fn outstanding(&self) -> usize {
        self.inner.rings().iter().map(|ring| ring.outstanding()).sum()
    }

    /// The last synced terminal of this epoch, and every one to come.
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.inner.synced.subscribe()
    }

    /// How far an epoch is.
    pub fn position(&self, epoch: BootEpoch) -> Position {
        self.inner.shelf().epochs.get(&epoch.0).copied().unwrap_or_default()
    }

    /// The same as [`Spool::read`], but only from memory; none when the disk has to be read.
    pub fn recent(&self, epoch: BootEpoch, after: u64, limit: usize) -> Option<Vec<Bytes>> {
        if epoch == self.inner.epoch { self.inner.shelf().take_recent(after, limit) } else { None }
    }

    /// At most `limit` synced terminals of `epoch` from `after + 1` on, without gaps, each an encoded `UsageRecord`. May
    /// read from the disk, so not to be called where waiting hurts.
    ///
    /// # Errors
    /// What the disk reports, or [`Error::Damaged`] when a synced record cannot be read any more.
    pub fn read(&self, epoch: BootEpoch, after: u64, limit: usize) -> Result<Vec<Bytes>, Error> {
        if let Some(records) = self.recent(epoch, after, limit) {
            return Ok(records);
        }
        let Some(place) = self.inner.shelf().place(epoch.0, after) else { return Ok(Vec::new()) };
        let (records, offset) = self.read_from(&place, after, limit)?;
        self.inner.shelf().remember(&place, after.saturating_add(1).saturating_add(records.len() as u64), offset);
        Ok(records)
    }

    fn read_from(&self, place: &shelf::Place, after: u64, limit: usize) -> Result<(Vec<Bytes>, u64), Error> {
        let segment = &place.segment;
        let header = Header { epoch: segment.epoch, index: segment.index, first: segment.first };
        let path = self.inner.path(segment.epoch, segment.index);
        let (mut offset, mut terminals) = (place.offset, Vec::new());
        while terminals.len() < limit && offset < segment.bytes {
            let chunk = (segment.bytes - offset).min(CHUNK);
            let bytes = Bytes::from(self.inner.disk.read(&path, offset, chunk).map_err(Error::disk("read", &path))?);
            let mut reader = Records::new(&header, &bytes);
            for record in reader.by_ref() {
                let Record::Terminal { sequence, message, .. } = record else { continue };
                if sequence != after.saturating_add(1).saturating_add(terminals.len() as u64) {
                    continue;
                }
                terminals.push(bytes.slice_ref(message));
                if terminals.len() >= limit {
                    break;
                }
            }
            if reader.whole() == 0 {
                return Err(Error::Damaged { path, offset });
            }
            offset = offset.saturating_add(reader.whole() as u64);
        }
        Ok((terminals, offset))
    }

    /// The controller has booked everything of `epoch` up to `high_water_mark`.
    pub fn acknowledge(&self, epoch: BootEpoch, high_water_mark: u64) {
        self.inner.shelf().acknowledge(epoch, high_water_mark);
    }

    /// The controller knows that no more will come of `epoch`.
    pub fn set_drained(&self, epoch: BootEpoch) {
        self.inner.shelf().set_drained(epoch);
    }

    /// Writes and syncs everything that was pushed and ends the threads. Blocks. What is pushed later is lost, so the
    /// workers have to be gone; what was synced can still be read.
    pub fn close(&self) {
        self.inner.closing.store(true, Ordering::SeqCst);
        self.inner.bell.wake();
        let threads = std::mem::take(&mut *locked(&self.inner.threads));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the spool panicked");
            }
        }
    }

    /// After [`Spool::close`]: keeps what was acknowledged since.
    ///
    /// # Errors
    /// What the disk reports; it only costs the next start some reading.
    pub fn keep_marks(&self) -> Result<(), Error> {
        let bytes = self.inner.shelf().write_marks();
        let path = self.inner.config.dir.join(MARKS);
        self.inner.disk.replace(&path, &bytes).map_err(Error::disk("write", &path))
    }
}
