//! What workers put into the spool: one ring for each worker, so that none waits for another. Room for an intent and a
//! terminal is taken at admission, since a request that is dropped cannot wait for it. Allocates nothing for a request.
//! Never touches the disk: next room `flusher`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use domain::ids::RequestId;
use domain::usage::{Intent, UsageRecord};
use prost::Message as _;

use super::encode;
use super::replay::closing;

/// Entries that one ring holds at most. A request counts for two until its intent is taken, then for one.
const RING: usize = 1 << 16;
/// Bytes that a ring is given room for at most before they come.
const ROOM: usize = 64 * 1024;

/// Why a request cannot be admitted: it could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpoolFull {
    /// What is not yet reported fills the spool.
    #[error("the spool is full of records that are not reported yet")]
    Cap,
    /// Too many requests of one worker are open.
    #[error("too many requests are open on this worker")]
    Crowded,
    /// The disk is so slow that too much of what is written is not synced.
    #[error("the spool's disk is behind")]
    Behind,
    /// The disk does not keep what it is given.
    #[error("the spool's disk fails")]
    Disk,
}

/// Whether requests may be admitted, as the flusher last saw it.
#[derive(Default)]
pub(super) struct Admission(AtomicU8);

impl Admission {
    pub(super) fn set(&self, refusal: Option<SpoolFull>) {
        let code = match refusal {
            None => 0,
            Some(SpoolFull::Cap) => 1,
            Some(SpoolFull::Crowded) => 2,
            Some(SpoolFull::Behind) => 3,
            Some(SpoolFull::Disk) => 4,
        };
        self.0.store(code, Ordering::Release);
    }

    pub(super) fn check(&self) -> Result<(), SpoolFull> {
        match self.0.load(Ordering::Acquire) {
            0 => Ok(()),
            1 => Err(SpoolFull::Cap),
            2 => Err(SpoolFull::Crowded),
            3 => Err(SpoolFull::Behind),
            _ => Err(SpoolFull::Disk),
        }
    }
}

/// Wakes the spool thread when it sleeps.
#[derive(Default)]
pub(super) struct Bell {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

impl Bell {
    /// Names the thread that is to be woken.
    pub(super) fn listen(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Says whether the thread is about to sleep. To be said before it looks for work the last time, so that whoever
    /// brings work after that look sees it.
    pub(super) fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    /// Wakes the thread if it said that it sleeps.
    pub(super) fn ring(&self) {
        // Looking first keeps the line shared between workers while the thread is awake.
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the thread, or keeps it from its next sleep.
    pub(super) fn wake(&self) {
        self.thread.get().inspect(|thread| thread.unpark());
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Intent,
    Terminal,
}

/// What is handed to the spool thread.
pub(super) struct Entry {
    pub kind: Kind,
    pub request: RequestId,
    /// Where its message ends among the messages; it begins where the one before ends.
    pub end: usize,
}

/// What a worker has pushed, in order.
#[derive(Default)]
pub(super) struct Tray {
    pub entries: Vec<Entry>,
    pub messages: Vec<u8>,
}

pub(super) struct Ring {
    tray: Mutex<Tray>,
    /// Entries that are in here or promised.
    taken: AtomicUsize,
    /// Requests that are admitted and not ended.
    outstanding: AtomicUsize,
    admission: Arc<Admission>,
    bell: Arc<Bell>,
}

impl Ring {
    pub(super) fn new(admission: Arc<Admission>, bell: Arc<Bell>) -> Arc<Ring> {
        Arc::new(Ring {
            tray: Mutex::default(),
            taken: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            admission,
            bell,
        })
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry whose message `write` appends.
    fn push(&self, kind: Kind, request: RequestId, write: impl FnOnce(&mut Vec<u8>)) {
        let mut tray = self.tray();
        write(&mut tray.messages);
        let end = tray.messages.len();
        tray.entries.push(Entry { kind, request, end });
        drop(tray);
        self.bell.ring();
    }

    /// Takes everything, and leaves room for as much again. `entries` is given in exchange and has to be empty.
    pub(super) fn take(&self, entries: Vec<Entry>) -> Tray {
        let mut tray = self.tray();
        if tray.entries.is_empty() {
            return Tray { entries, messages: Vec::new() };
        }
        let messages = Vec::with_capacity(tray.messages.len().min(ROOM));
        std::mem::replace(&mut *tray, Tray { entries, messages })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tray().entries.is_empty()
    }

    /// Gives room back, once entries are taken or will never come.
    pub(super) fn release(&self, entries: usize) {
        self.taken.fetch_sub(entries, Ordering::AcqRel);
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }
}

/// A worker's way into the spool. Clones share one ring.
#[derive(Clone)]
pub struct SpoolWriter {
    pub(super) ring: Arc<Ring>,
}

impl SpoolWriter {
    /// Takes room for one intent and one terminal; after this neither can fail.
    ///
    /// # Errors
    /// [`SpoolFull`] when a request could not be recorded and so must not be admitted.
    pub fn reserve(&self) -> Result<Slot, SpoolFull> {
        let ring = &self.ring;
        ring.admission.check()?;
        if ring.taken.fetch_add(2, Ordering::AcqRel) + 2 > RING {
            ring.release(2);
            return Err(SpoolFull::Crowded);
        }
        ring.outstanding.fetch_add(1, Ordering::AcqRel);
        Ok(Slot { ring: ring.clone(), intent: None, is_over: false })
    }
}

/// The room of one admitted request. Dropped after its intent without a terminal, it ends the request as aborted by
/// the gateway; dropped before, it gives the room back.
pub struct Slot {
    ring: Arc<Ring>,
    intent: Option<Intent>,
    is_over: bool,
}

impl Slot {
    /// Notes what is about to be tried; only the first call counts.
    pub fn intent(&mut self, intent: Intent) {
        if self.intent.is_none() {
            self.ring.push(Kind::Intent, intent.request, |out| encode::intent(out, &intent));
            self.intent = Some(intent);
        }
    }

    /// Ends the request. May be called from any thread, from `Drop` too.
    pub fn terminal(mut self, record: UsageRecord) {
        self.is_over = true;
        if self.intent.is_none() {
            self.ring.release(1);
        }
        self.end(record.request, |out| encode::terminal(out, &record));
    }

    fn end(&self, request: RequestId, write: impl FnOnce(&mut Vec<u8>)) {
        // The count falls after the push: who sees no outstanding request also sees its last entry.
        self.ring.push(Kind::Terminal, request, write);
        self.ring.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        match self.intent.take() {
            Some(intent) => {
                let record = closing(&(&intent).into());
                self.end(intent.request, |out| out.extend_from_slice(&record.encode_to_vec()));
            }
            None => {
                self.ring.release(2);
                self.ring.outstanding.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}
