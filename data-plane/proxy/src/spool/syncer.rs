//! The thread that waits for the disk, so that the one that writes need not: syncs what was written, keeps the marks and
//! removes segments that nobody needs. It decides nothing about records: the flusher hears how a sync ended.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::disk::Appender;
use super::{Inner, MARKS};

/// How often it is looked what may go when nothing else happens.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often the small file of marks is written at most, unless something is to be removed.
const MARKS_EVERY: Duration = Duration::from_secs(5);

/// A file that is to be synced, as far as it is written.
pub(super) struct Asked {
    pub file: Arc<dyn Appender>,
    /// The segment.
    pub index: u32,
    /// Number of the first row that is not in it.
    pub rows: u64,
    /// Bytes that were given to it.
    pub bytes: u64,
}

/// How a sync ended.
pub(super) struct Answer {
    pub asked: Asked,
    pub result: io::Result<()>,
}

pub(super) struct Syncer {
    inner: Arc<Inner>,
    asked: Receiver<Asked>,
    answers: Sender<Answer>,
    housekeeping_at: Duration,
    marks_at: Duration,
}

impl Syncer {
    pub(super) fn new(inner: Arc<Inner>, asked: Receiver<Asked>, answers: Sender<Answer>) -> Syncer {
        Syncer { inner, asked, answers, housekeeping_at: Duration::ZERO, marks_at: Duration::ZERO }
    }

    /// The thread's life: until the flusher is gone.
    pub(super) fn run(mut self) {
        loop {
            match self.asked.recv_timeout(HOUSEKEEPING) {
                Ok(asked) => self.sync(asked),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.keep_house();
        }
        self.write_marks();
    }

    /// What is asked for, then the house.
    #[cfg(test)]
    pub(super) fn turn(&mut self) {
        while let Ok(asked) = self.asked.try_recv() {
            self.sync(asked);
        }
        self.keep_house();
    }

    fn sync(&self, asked: Asked) {
        let result = asked.file.sync();
        // A flusher that is gone asks for nothing more.
        let _ = self.answers.send(Answer { asked, result });
        self.inner.bell.wake();
    }

    fn keep_house(&mut self) {
        let now = self.inner.clock.monotonic();
        if now < self.housekeeping_at {
            return;
        }
        self.housekeeping_at = now + HOUSEKEEPING;
        if now >= self.marks_at {
            self.marks_at = now + MARKS_EVERY;
            self.write_marks();
        }
        self.remove_old();
    }

    fn remove_old(&self) {
        let crowded = self.inner.config.cap / 10 * 8;
        let going = self.inner.shelf().going(self.inner.clock.now_us(), crowded);
        // The next start must know that what is gone was booked, or it would see a hole.
        if going.is_empty() || !self.write_marks() {
            return;
        }
        for (epoch, index) in going {
            if let Err(error) = self.inner.disk.remove(&self.inner.path(epoch, index))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "a reported segment of the spool cannot be removed");
                return;
            }
            self.inner.shelf().forget(epoch, index);
        }
    }

    /// Whether the marks are as they should be.
    fn write_marks(&self) -> bool {
        let bytes = {
            let mut shelf = self.inner.shelf();
            if !std::mem::take(&mut shelf.is_dirty) {
                return true;
            }
            shelf.write_marks()
        };
        let written = self.inner.disk.replace(&self.inner.config.dir.join(MARKS), &bytes);
        if let Err(error) = &written {
            // Only costs the next start some reading.
            tracing::warn!(%error, "the spool's marks cannot be written");
            self.inner.shelf().is_dirty = true;
        }
        written.is_ok()
    }
}
