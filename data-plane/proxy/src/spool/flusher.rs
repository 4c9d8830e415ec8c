//! The spool thread: drains the rings, numbers terminals and writes a group at a time, whether or not the one before is
//! synced, since what is written outlives this process. Only what is synced is shown to the reporter. After an error of
//! the disk the file is given up, everything that is not known to be synced goes to a new one, and no request is
//! admitted until that one is synced. Next rooms: `syncer`, which waits for the disk, and `shelf`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;

use super::Inner;
use super::disk::Appender;
use super::ring::{Entry, Ring, SpoolFull};
use super::rows::{Row, Rows};
use super::segment::{HEADER_LEN, Header, Pen};
use super::shelf::Segment;
use super::syncer::{Answer, Asked, Syncer};

/// Bytes that one admitted request may still write.
const SLOT_BYTES: u64 = 2048;
/// How long the thread sleeps when nobody wakes it: then it looks at the cap, or tries a failing disk again.
const REST: Duration = Duration::from_secs(1);
/// How long after it had something to do, and after the start, it stays awake.
const LINGER: Duration = Duration::from_secs(1);
/// How long it sleeps at least while it stays awake.
const NAP: Duration = Duration::from_millis(1);
/// How long after an error of the disk a new file is tried.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes that the buffer of a group keeps between groups at most.
const PAGE: usize = 1 << 20;
/// How often a closing spool tries a failing disk before it gives up.
const LAST_TRIES: u32 = 3;

/// The file that is written. All rows that are not synced are in it or come next.
struct Open {
    file: Arc<dyn Appender>,
    pen: Pen,
    index: u32,
    /// Bytes that were given to it, and those of them that are synced.
    bytes: u64,
    synced: u64,
    /// Number of the first row that is not in it.
    rows: u64,
}

pub(super) struct Flusher {
    inner: Arc<Inner>,
    rings: Vec<Arc<Ring>>,
    /// An empty list, given to a ring for its full one.
    entries: Vec<Entry>,
    rows: Rows,
    page: Vec<u8>,
    file: Option<Open>,
    next_index: u32,
    asked: Sender<Asked>,
    answers: Receiver<Answer>,
    /// A sync is under way.
    is_syncing: bool,
    asked_at: Duration,
    /// Nothing came lately.
    is_quiet: bool,
    /// When there was something to do, or the start.
    busy_at: Duration,
    failing: bool,
    retry_at: Duration,
}

/// The two threads of a spool.
pub(super) fn threads(inner: Arc<Inner>) -> (Flusher, Syncer) {
    let (asked, to_sync) = channel();
    let (synced, answers) = channel();
    let syncer = Syncer::new(inner.clone(), to_sync, synced);
    let busy_at = inner.clock.monotonic();
    let flusher = Flusher {
        inner,
        rings: Vec::new(),
        entries: Vec::new(),
        rows: Rows::default(),
        page: Vec::new(),
        file: None,
        next_index: 0,
        asked,
        answers,
        is_syncing: false,
        asked_at: Duration::ZERO,
        is_quiet: true,
        busy_at,
        failing: false,
        retry_at: Duration::ZERO,
    };
    flusher.set_admission();
    (flusher, syncer)
}

impl Flusher {
    /// The thread's life: until the spool is closed and everything is written.
    pub(super) fn run(mut self) {
        self.inner.bell.listen();
        while !self.inner.is_closing() {
            if !self.lingers() {
                self.rest();
            }
            if self.lingers() || self.is_called() {
                // Gathers a group. As long as some come, nobody has to ring the bell.
                std::thread::sleep(self.inner.config.flush.max(NAP));
            }
            self.turn();
        }
        self.finish();
    }

    /// Whether it looks by itself from time to time, so that nobody has to wake it: a worker that does gives up its core
    /// in the middle of a request.
    fn lingers(&self) -> bool {
        self.inner.clock.monotonic() < self.busy_at + LINGER
    }

    /// Sleeps until it is called, or for a while.
    pub(super) fn rest(&mut self) {
        self.inner.bell.set_asleep(true);
        self.look_for_rings();
        if !self.is_called() && !self.inner.is_closing() {
            std::thread::park_timeout(REST);
            // Whoever called may be new; unseen, it would be served at once, while it still has its hands full itself.
            self.look_for_rings();
        }
        self.inner.bell.set_asleep(false);
    }

    /// Whether something waits to be written.
    pub(super) fn is_called(&self) -> bool {
        self.rings.iter().any(|ring| !ring.is_empty())
    }

    /// Everything that was pushed is synced.
    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.rows.is_empty() && !self.is_called()
    }

    fn finish(&mut self) {
        let mut tries = LAST_TRIES;
        while tries > 0 {
            self.retry_at = Duration::ZERO;
            self.turn();
            if self.rows.is_empty() {
                return;
            }
            if self.is_syncing {
                let Ok(answer) = self.answers.recv() else { break };
                self.hear(answer);
            }
            tries -= u32::from(self.failing);
        }
        if !self.rows.is_empty() {
            tracing::error!(rows = self.rows.len(), "the spool was closed with records that its disk did not take");
        }
    }

    fn look_for_rings(&mut self) {
        let rings = self.inner.rings();
        if rings.len() != self.rings.len() {
            self.rings = rings.clone();
        }
    }

    /// One group: what is waiting is written, and what is synced meanwhile is published.
    pub(super) fn turn(&mut self) {
        if let Ok(answer) = self.answers.try_recv() {
            self.hear(answer);
        }
        let now = self.inner.clock.monotonic();
        self.is_quiet = true;
        // What a failing disk does not take stays in the rings, which have room for what is admitted and no more.
        if now >= self.retry_at {
            self.drain();
            let written = self.file.as_ref().map_or(self.rows.first(), |open| open.rows);
            if written < self.rows.end()
                && let Err(error) = self.write()
            {
                self.give_up_file(&error);
            }
        }
        if !self.is_quiet {
            self.busy_at = now;
        }
        self.ask(now);
        self.set_admission();
    }

    fn drain(&mut self) {
        self.look_for_rings();
        for ring in &self.rings {
            let mut tray = ring.take(std::mem::take(&mut self.entries));
            ring.release(tray.entries.len());
            self.is_quiet &= tray.entries.is_empty();
            let messages = Bytes::from(tray.messages);
            let mut start = 0;
            for Entry { kind, request, end } in tray.entries.drain(..) {
                self.rows.push(kind, request, messages.slice(start..end));
                start = end;
            }
            self.entries = tray.entries;
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|open| open.synced >= self.inner.config.segment) {
            self.leave_file();
        }
        let mut open = match self.file.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        self.page.clear();
        // A new file may have begun with much more than a group.
        self.page.shrink_to(PAGE);
        self.rows.write(open.rows, &open.pen, &mut self.page);
        let written = open.file.append(&self.page);
        open.bytes = open.bytes.saturating_add(self.page.len() as u64);
        open.rows = self.rows.end();
        self.file = Some(open);
        written
    }

    /// Begins a file, which will hold all that the older ones are still needed for, but for their terminals.
    fn open_file(&mut self) -> io::Result<Open> {
        self.rows.carry_over();
        let header = Header { epoch: self.inner.epoch.0, index: self.next_index, first: self.rows.first_sequence() };
        // Whatever happens, this number is used up: half a file may be there.
        self.next_index = self.next_index.saturating_add(1);
        let path = self.inner.path(header.epoch, header.index);
        let file = self.inner.disk.create(&path)?;
        if let Err(error) = file.append(&header.write()) {
            // On a full disk this happens again and again; what is left of it would only be read at the next start.
            let _ = self.inner.disk.remove(&path);
            return Err(error);
        }
        self.inner.shelf().segments.push(Segment {
            epoch: header.epoch,
            index: header.index,
            first: header.first,
            last: header.first.saturating_sub(1),
            bytes: HEADER_LEN as u64,
            tail: 0,
            is_sealed: false,
            modified_us: self.inner.clock.now_us(),
        });
        let (pen, bytes) = (Pen::new(&header), HEADER_LEN as u64);
        Ok(Open { file, pen, index: header.index, bytes, synced: 0, rows: self.rows.first() })
    }

    /// Nothing more is written to the file: what is not known to be synced goes to a new one.
    fn leave_file(&mut self) {
        if let Some(open) = self.file.take()
            && let Some(segment) = self.inner.shelf().segment_mut(self.inner.epoch.0, open.index)
        {
            segment.tail = open.bytes.saturating_sub(segment.bytes);
        }
    }

    /// Has the file synced as far as it is written. One sync at a time; under load, one for two groups.
    fn ask(&mut self, now: Duration) {
        let is_early = !self.is_quiet && now < self.asked_at + self.inner.config.flush * 2;
        let Some(open) = self.file.as_ref().filter(|_| !self.is_syncing && !is_early) else { return };
        if open.rows == self.rows.first() {
            return;
        }
        let asked = Asked { file: open.file.clone(), index: open.index, rows: open.rows, bytes: open.bytes };
        self.asked_at = now;
        self.is_syncing = self.asked.send(asked).is_ok();
        // Without the other thread nothing is ever synced again.
        self.failing |= !self.is_syncing;
    }

    fn hear(&mut self, answer: Answer) {
        self.is_syncing = false;
        let Answer { asked, result } = answer;
        // A file that was left does not matter any more: whatever of it was not synced is in the present one.
        let Some(open) = self.file.as_mut().filter(|open| open.index == asked.index) else { return };
        match result {
            Ok(()) => {
                open.synced = asked.bytes;
                self.publish(&asked);
            }
            Err(error) => self.give_up_file(&error),
        }
    }

    fn publish(&mut self, asked: &Asked) {
        let place = (self.inner.epoch.0, asked.index);
        let terminals = self.rows.synced(asked.rows).filter_map(|row| match row {
            Row::Terminal { message, .. } => Some(message),
            Row::Intent { .. } | Row::Over => None,
        });
        let last = self.inner.shelf().publish(place, asked.bytes, terminals, self.inner.clock.now_us());
        self.inner.synced.send_if_modified(|synced| std::mem::replace(synced, last) != last);
        if std::mem::take(&mut self.failing) {
            tracing::warn!("the spool's disk works again; requests are admitted");
        }
    }

    fn give_up_file(&mut self, error: &io::Error) {
        self.inner.admission.set(Some(SpoolFull::Disk));
        if !self.failing {
            tracing::error!(%error, "the spool cannot be written; no request is admitted until it can");
        }
        self.failing = true;
        self.retry_at = self.inner.clock.monotonic() + RETRY;
        // What the file holds beyond its last sync is unknown, so nothing is ever added to it again.
        self.leave_file();
    }

    /// Room is what cannot go yet, what is not synced, and what admitted requests may still write.
    fn set_admission(&self) {
        let outstanding: usize = self.rings.iter().map(|ring| ring.outstanding()).sum();
        let (all, needed) = self.inner.shelf().sizes();
        let promised = SLOT_BYTES.saturating_mul(outstanding as u64);
        let unsynced = self.rows.bytes();
        let used = needed.saturating_add(unsynced).saturating_add(promised);
        self.inner.vitals.set(all.saturating_add(unsynced), used, outstanding as u64);
        let cap = self.inner.config.cap;
        let refusal = if self.failing {
            Some(SpoolFull::Disk)
        } else if used >= cap / 100 * 95 {
            Some(SpoolFull::Cap)
        } else if unsynced >= cap / 16 {
            // These are in memory, too.
            Some(SpoolFull::Behind)
        } else {
            None
        };
        self.inner.admission.set(refusal);
    }
}
