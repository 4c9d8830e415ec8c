//! The spool thread: drains the rings, numbers terminals, writes and syncs a group at a time, and only then shows the
//! terminals to the reporter. After an error of the disk the file is given up, the same group goes to a new one, and
//! no request is admitted until that one is synced. Next room: `shelf`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::RequestId;
use domain::usage::Intent;
use proto::sync as wire;

use super::disk::Appender;
use super::replay::closing;
use super::ring::{Entry, Ring, SpoolFull};
use super::segment::{HEADER_LEN, Header, Pen};
use super::shelf::Segment;
use super::{Inner, MARKS};

/// Bytes that one admitted request may still write.
const SLOT_BYTES: u64 = 2048;
/// How often retention and the cap are looked at when nothing else happens.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long after an error of the disk a new file is tried.
const RETRY: Duration = Duration::from_secs(1);
/// How often the small file of marks is written at most.
const MARKS_EVERY: Duration = Duration::from_secs(5);
/// How often a closing spool tries a failing disk before it gives up.
const LAST_TRIES: u32 = 3;

/// A numbered entry that is not known to be synced.
enum Row {
    Intent(Arc<Intent>),
    Terminal {
        sequence: u64,
        request: RequestId,
        record: Box<wire::UsageRecord>,
        /// The segment that has its intent on disk.
        intent_in: Option<u32>,
    },
    /// An intent whose terminal is in the same group: that says all. It also keeps the order in which a replay must see
    /// the two: a group that was half kept by a failing disk is written again, and an intent behind its own terminal
    /// would be closed a second time.
    Over,
}

/// Where the intent of an open request is.
enum OpenIn {
    /// Among the rows, by index.
    Group(usize),
    /// Synced in this segment.
    Segment(u32),
}

struct Open {
    file: Box<dyn Appender>,
    pen: Pen,
    index: u32,
    bytes: u64,
}

pub(super) struct Flusher {
    inner: Arc<Inner>,
    rings: Vec<Arc<Ring>>,
    batch: Vec<Entry>,
    rows: Vec<Row>,
    buffer: Vec<u8>,
    file: Option<Open>,
    next_index: u32,
    last_sequence: u64,
    /// Requests without a terminal.
    open: HashMap<RequestId, OpenIn>,
    failing: bool,
    retry_at: Duration,
    housekeeping_at: Duration,
    marks_at: Duration,
}

impl Flusher {
    pub(super) fn new(inner: Arc<Inner>) -> Flusher {
        Flusher {
            inner,
            rings: Vec::new(),
            batch: Vec::new(),
            rows: Vec::new(),
            buffer: Vec::new(),
            file: None,
            next_index: 0,
            last_sequence: 0,
            open: HashMap::new(),
            failing: false,
            retry_at: Duration::ZERO,
            housekeeping_at: Duration::ZERO,
            marks_at: Duration::ZERO,
        }
    }

    /// The thread's life: until the spool is closed and everything is written.
    pub(super) fn run(mut self) {
        self.inner.bell.listen();
        while !self.inner.is_closing() {
            self.rest();
            // Gathers a group: whoever comes in this time shares one sync.
            std::thread::sleep(self.inner.config.flush);
            self.turn();
        }
        self.finish();
    }

    fn rest(&mut self) {
        self.inner.bell.set_asleep(true);
        self.look_for_rings();
        let is_idle = self.rings.iter().all(|ring| ring.is_empty());
        if is_idle && !self.inner.is_closing() {
            let wait = if self.rows.is_empty() { HOUSEKEEPING } else { RETRY };
            std::thread::park_timeout(wait);
        }
        self.inner.bell.set_asleep(false);
    }

    fn finish(&mut self) {
        for _ in 0..LAST_TRIES {
            self.retry_at = Duration::ZERO;
            self.turn();
            if self.rows.is_empty() {
                break;
            }
        }
        if !self.rows.is_empty() {
            tracing::error!(rows = self.rows.len(), "the spool was closed with records that its disk did not take");
        }
        self.write_marks();
    }

    fn look_for_rings(&mut self) {
        let rings = self.inner.rings();
        if rings.len() != self.rings.len() {
            self.rings = rings.clone();
        }
    }

    /// One group: what is waiting is written, synced and published.
    pub(super) fn turn(&mut self) {
        self.look_for_rings();
        self.drain();
        let now = self.inner.clock.monotonic();
        if !self.rows.is_empty() && now >= self.retry_at {
            match self.write() {
                Ok(()) => {
                    self.publish();
                    self.set_admission();
                }
                Err(error) => self.give_up_file(&error, now),
            }
        }
        if now >= self.housekeeping_at || self.failing {
            self.keep_house(now);
        }
    }

    fn drain(&mut self) {
        for ring in &self.rings {
            let before = self.batch.len();
            ring.drain_into(&mut self.batch);
            ring.release(self.batch.len() - before);
        }
        let mut batch = std::mem::take(&mut self.batch);
        for entry in batch.drain(..) {
            match entry {
                Entry::Intent(intent) => {
                    self.open.insert(intent.request, OpenIn::Group(self.rows.len()));
                    self.rows.push(Row::Intent(intent));
                }
                Entry::Terminal(record) => self.number(record.request, (*record).into()),
                Entry::Abandoned(intent) => self.number(intent.request, closing(&intent.as_ref().into())),
            }
        }
        self.batch = batch;
    }

    fn number(&mut self, request: RequestId, record: wire::UsageRecord) {
        self.last_sequence = self.last_sequence.saturating_add(1);
        let intent_in = match self.open.remove(&request) {
            Some(OpenIn::Segment(index)) => Some(index),
            Some(OpenIn::Group(at)) => {
                if let Some(row) = self.rows.get_mut(at) {
                    *row = Row::Over;
                }
                None
            }
            None => None,
        };
        let record = Box::new(record);
        self.rows.push(Row::Terminal { sequence: self.last_sequence, request, record, intent_in });
    }

    fn first_unsynced(&self) -> u64 {
        let first = self.rows.iter().find_map(|row| match row {
            Row::Terminal { sequence, .. } => Some(*sequence),
            Row::Intent(_) | Row::Over => None,
        });
        first.unwrap_or_else(|| self.last_sequence.saturating_add(1))
    }

    fn write(&mut self) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|open| open.bytes >= self.inner.config.segment) {
            self.seal_file();
        }
        let mut open = match self.file.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        self.buffer.clear();
        for row in &self.rows {
            match row {
                Row::Intent(intent) => {
                    open.pen.intent(&mut self.buffer, intent.request.to_u128(), &intent.as_ref().into());
                }
                Row::Terminal { sequence, request, record, .. } => {
                    open.pen.terminal(&mut self.buffer, *sequence, request.to_u128(), record);
                }
                Row::Over => {}
            }
        }
        let written = open.file.append(&self.buffer).and_then(|()| open.file.sync());
        open.bytes = open.bytes.saturating_add(self.buffer.len() as u64);
        self.file = Some(open);
        written
    }

    fn open_file(&mut self) -> io::Result<Open> {
        let header = Header { epoch: self.inner.epoch.0, index: self.next_index, first: self.first_unsynced() };
        // Whatever happens, this number is used up: half a file may be there.
        self.next_index = self.next_index.saturating_add(1);
        let mut file = self.inner.disk.create(&self.inner.path(header.epoch, header.index))?;
        file.append(&header.write())?;
        self.inner.shelf().segments.push(Segment {
            epoch: header.epoch,
            index: header.index,
            first: header.first,
            last: header.first.saturating_sub(1),
            bytes: HEADER_LEN as u64,
            open: 0,
            is_sealed: false,
            modified_us: self.inner.clock.now_us(),
        });
        Ok(Open { file, pen: Pen::new(&header), index: header.index, bytes: HEADER_LEN as u64 })
    }

    fn seal_file(&mut self) {
        if let Some(open) = self.file.take()
            && let Some(segment) = self.inner.shelf().segment_mut(self.inner.epoch.0, open.index)
        {
            segment.is_sealed = true;
        }
    }

    fn publish(&mut self) {
        let epoch = self.inner.epoch.0;
        let Some((index, bytes)) = self.file.as_ref().map(|open| (open.index, open.bytes)) else { return };
        let mut shelf = self.inner.shelf();
        let (mut opened, mut last) = (0u32, None);
        for row in self.rows.drain(..) {
            match row {
                Row::Intent(intent) => {
                    self.open.insert(intent.request, OpenIn::Segment(index));
                    opened = opened.saturating_add(1);
                }
                Row::Terminal { sequence, record, intent_in, .. } => {
                    if let Some(segment) = intent_in.and_then(|index| shelf.segment_mut(epoch, index)) {
                        segment.open = segment.open.saturating_sub(1);
                    }
                    last = Some(sequence);
                    shelf.publish(epoch, sequence, record);
                }
                Row::Over => {}
            }
        }
        if let Some(segment) = shelf.segment_mut(epoch, index) {
            segment.bytes = bytes;
            segment.last = last.unwrap_or(segment.last);
            segment.open = segment.open.saturating_add(opened);
            segment.modified_us = self.inner.clock.now_us();
        }
        drop(shelf);
        if let Some(last) = last {
            self.inner.synced.send_replace(last);
        }
        if std::mem::take(&mut self.failing) {
            tracing::warn!("the spool's disk works again; requests are admitted");
        }
    }

    fn give_up_file(&mut self, error: &io::Error, now: Duration) {
        self.inner.admission.set(Some(SpoolFull::Disk));
        if !self.failing {
            tracing::error!(%error, "the spool cannot be written; no request is admitted until it can");
        }
        self.failing = true;
        self.retry_at = now + RETRY;
        // What the file holds beyond its last sync is unknown, so nothing is ever added to it again.
        self.seal_file();
    }

    fn keep_house(&mut self, now: Duration) {
        self.housekeeping_at = now + HOUSEKEEPING;
        self.remove_old();
        self.set_admission();
        if now >= self.marks_at {
            self.marks_at = now + MARKS_EVERY;
            self.write_marks();
        }
    }

    fn remove_old(&mut self) {
        loop {
            let crowded_at = self.inner.config.cap / 10 * 8;
            let next = {
                let shelf = self.inner.shelf();
                let is_crowded = shelf.sizes().0 > crowded_at;
                shelf.next_to_remove(self.inner.clock.now_us(), is_crowded)
            };
            let Some((epoch, index)) = next else { return };
            if let Err(error) = self.inner.disk.remove(&self.inner.path(epoch, index))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "a reported segment of the spool cannot be removed");
                return;
            }
            self.inner.shelf().forget(epoch, index);
        }
    }

    /// Room is what cannot go yet, and what admitted requests may still write.
    pub(super) fn set_admission(&self) {
        let outstanding: usize = self.rings.iter().map(|ring| ring.outstanding()).sum();
        let (all, needed) = self.inner.shelf().sizes();
        let promised = SLOT_BYTES.saturating_mul(outstanding as u64);
        let used = needed.saturating_add(promised);
        self.inner.vitals.set(all, used, outstanding as u64);
        let refusal = match (self.failing, used >= self.inner.config.cap / 100 * 95) {
            (true, _) => Some(SpoolFull::Disk),
            (false, true) => Some(SpoolFull::Cap),
            (false, false) => None,
        };
        self.inner.admission.set(refusal);
    }

    fn write_marks(&mut self) {
        let bytes = {
            let mut shelf = self.inner.shelf();
            if !std::mem::take(&mut shelf.is_dirty) {
                return;
            }
            shelf.write_marks()
        };
        let path: PathBuf = self.inner.config.dir.join(MARKS);
        if let Err(error) = self.inner.disk.replace(&path, &bytes) {
            // Only costs the next start some reading.
            tracing::warn!(%error, "the spool's marks cannot be written");
            self.inner.shelf().is_dirty = true;
        }
    }
}
