//! What was pushed and is not known to be synced, in order and numbered, and the intents that are open. So whatever
//! happens to a file, the next one can be given everything that a replay needs. Pure bookkeeping, no I/O.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;
use domain::ids::RequestId;

use super::ring::Kind;
use super::segment::Pen;

/// An entry that is not known to be synced.
pub(super) enum Row {
    Intent {
        request: RequestId,
        message: Bytes,
    },
    Terminal {
        sequence: u64,
        request: RequestId,
        message: Bytes,
    },
    /// An intent whose terminal is among these rows too: that says all. It also keeps the order in which a replay must
    /// see the two: rows may be in a file that was left and in the next one, and an intent behind its own terminal
    /// would be closed a second time.
    Over,
}

impl Row {
    fn bytes(&self) -> u64 {
        match self {
            Row::Intent { message, .. } | Row::Terminal { message, .. } => message.len() as u64,
            Row::Over => 0,
        }
    }
}

struct Opened {
    /// Number of the row that has the intent.
    row: u64,
    message: Bytes,
}

/// See the module's head. Rows are counted from the start of the process.
#[derive(Default)]
pub(super) struct Rows {
    rows: VecDeque<Row>,
    /// Number of the first of `rows`; all before it are synced.
    first: u64,
    /// Bytes of their messages.
    bytes: u64,
    last_sequence: u64,
    /// Requests without a terminal.
    open: HashMap<RequestId, Opened, BuildHasherDefault<IdHasher>>,
}

impl Rows {
    /// Takes in what a worker pushed; terminals get their number here.
    pub fn push(&mut self, kind: Kind, request: RequestId, message: Bytes) {
        match kind {
            Kind::Intent => {
                self.open.insert(request, Opened { row: self.end(), message: message.clone() });
                self.add(Row::Intent { request, message });
            }
            Kind::Terminal => {
                if let Some(opened) = self.open.remove(&request) {
                    self.forget_intent(opened.row);
                }
                self.last_sequence = self.last_sequence.saturating_add(1);
                self.add(Row::Terminal { sequence: self.last_sequence, request, message });
            }
        }
    }

    fn add(&mut self, row: Row) {
        self.bytes = self.bytes.saturating_add(row.bytes());
        self.rows.push_back(row);
    }

    fn forget_intent(&mut self, number: u64) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(row) = at.and_then(|at| self.rows.get_mut(at)) {
            self.bytes = self.bytes.saturating_sub(row.bytes());
            *row = Row::Over;
        }
    }

    /// Adds the open intents that are synced once more, for a file that begins: the older ones need not stay for them.
    pub fn carry_over(&mut self) {
        let mut carried = Vec::new();
        for (request, opened) in self.open.iter_mut().filter(|(_, opened)| opened.row < self.first) {
            // A copy: what else was pushed together with it is not to be kept in memory for its sake.
            opened.message = Bytes::copy_from_slice(&opened.message);
            opened.row = self.first + (self.rows.len() + carried.len()) as u64;
            carried.push(Row::Intent { request: *request, message: opened.message.clone() });
        }
        carried.into_iter().for_each(|row| self.add(row));
    }

    /// Writes the rows from number `from` on.
    pub fn write(&self, from: u64, pen: &Pen, out: &mut Vec<u8>) {
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.rows.len());
        for row in self.rows.range(skip..) {
            match row {
                Row::Intent { request, message } => pen.intent(out, request.to_u128(), message),
                Row::Terminal { sequence, request, message } => {
                    pen.terminal(out, *sequence, request.to_u128(), message);
                }
                Row::Over => {}
            }
        }
    }

    /// Gives out the rows before number `to`, which are synced.
    pub fn synced(&mut self, to: u64) -> impl Iterator<Item = Row> {
        let count = usize::try_from(to.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.rows.len());
        self.first = self.first.saturating_add(count as u64);
        self.rows.drain(..count).inspect(|row| self.bytes = self.bytes.saturating_sub(row.bytes()))
    }

    /// The sequence of the first terminal that is not synced, or of the next one.
    pub fn first_sequence(&self) -> u64 {
        let first = self.rows.iter().find_map(|row| match row {
            Row::Terminal { sequence, .. } => Some(*sequence),
            Row::Intent { .. } | Row::Over => None,
        });
        first.unwrap_or_else(|| self.last_sequence.saturating_add(1))
    }

    /// Number of the first row that is not synced.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number of the row to come.
    pub fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// Bytes that are not synced.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// Request ids are made here, of random bits: they need no hash that withstands anybody.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
