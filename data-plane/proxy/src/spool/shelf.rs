//! What is in the spool's folder: segments, how far each epoch is reported, and what may go. Holds no records but the
//! newest synced ones, which the reporter would otherwise read back at once. Pure bookkeeping, no I/O.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use domain::ids::BootEpoch;

/// Synced terminals kept in memory for the reporter; older or more of them are read from disk.
const RECENT: usize = 16_384;
/// Segments that are fully reported are kept this long, for a controller that was restored from a backup.
pub(super) const KEPT_US: i64 = 24 * 3600 * 1_000_000;

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub epoch: u64,
    pub index: u32,
    /// Sequence of the first terminal in it, if there is one.
    pub first: u64,
    /// Sequence of the last terminal in it, or the one before `first`.
    pub last: u64,
    /// Whole, synced bytes.
    pub bytes: u64,
    /// Bytes behind those, which are in the next segment again.
    pub tail: u64,
    /// A later segment has, synced, what this one holds: open intents, and what was not synced when it was left. All that
    /// it may be needed for are its terminals.
    pub is_sealed: bool,
    pub modified_us: i64,
}

/// How far one epoch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Everything up to here is booked by the controller.
    pub acked: u64,
    /// The last synced terminal.
    pub last: u64,
    /// The controller knows that no more will come.
    pub drained: bool,
    /// A part in the middle cannot be read: what comes after it is not reported, and the epoch never counts as drained.
    pub damaged: bool,
}

/// Where the reporter stopped reading.
#[derive(Debug, Clone, Copy)]
struct Hint {
    epoch: u64,
    index: u32,
    next: u64,
    offset: u64,
}

/// A place in a segment from which terminals can be read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub segment: Segment,
    pub offset: u64,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Shelf {
    pub segments: Vec<Segment>,
    pub epochs: BTreeMap<u64, Position>,
    recent: VecDeque<Bytes>,
    /// Sequence of the first of `recent`.
    recent_first: u64,
    hint: Option<Hint>,
    /// Something that `marks` should keep has moved.
    pub is_dirty: bool,
}

impl Shelf {
    /// Bytes in all segments, and in those that cannot go yet.
    pub fn sizes(&self) -> (u64, u64) {
        self.segments.iter().fold((0, 0), |(all, needed), segment| {
            let size = segment.bytes.saturating_add(segment.tail);
            let kept = if self.may_go(segment) { 0 } else { size };
            (all.saturating_add(size), needed.saturating_add(kept))
        })
    }

    /// Terminals that are synced and not booked, over all epochs.
    pub fn unreported(&self) -> u64 {
        self.epochs.values().map(|position| position.last.saturating_sub(position.acked)).sum()
    }

    fn may_go(&self, segment: &Segment) -> bool {
        let position = self.epochs.get(&segment.epoch).copied().unwrap_or_default();
        segment.is_sealed && !position.damaged && (position.drained || segment.last <= position.acked)
    }

    /// The segments that go now, because they are old or because all together are above `crowded` bytes. Of an epoch the
    /// oldest go first: a replay that saw an intent without the terminal behind it would end that request once more.
    pub fn going(&self, now_us: i64, crowded: u64) -> Vec<(u64, u32)> {
        let (mut left, mut held, mut going) = (self.sizes().0, None, Vec::new());
        for segment in &self.segments {
            let is_due = left > crowded || now_us.saturating_sub(segment.modified_us) > KEPT_US;
            if held == Some(segment.epoch) || !is_due || !self.may_go(segment) {
                held = Some(segment.epoch);
                continue;
            }
            left = left.saturating_sub(segment.bytes.saturating_add(segment.tail));
            going.push((segment.epoch, segment.index));
        }
        going
    }

    /// Forgets a segment that was removed.
    pub fn forget(&mut self, epoch: u64, index: u32) {
        self.segments.retain(|segment| (segment.epoch, segment.index) != (epoch, index));
        self.is_dirty = true;
    }

    /// The segment being written or read.
    pub fn segment_mut(&mut self, epoch: u64, index: u32) -> Option<&mut Segment> {
        // The newest is asked for most.
        self.segments.iter_mut().rev().find(|segment| (segment.epoch, segment.index) == (epoch, index))
    }

    /// The first segment of an epoch that a replay would have to read.
    pub fn floor(&self, epoch: u64) -> u32 {
        let own = || self.segments.iter().filter(|segment| segment.epoch == epoch);
        let needed = own().filter(|segment| !self.may_go(segment)).map(|segment| segment.index).min();
        needed.unwrap_or_else(|| own().map(|segment| segment.index).max().map_or(0, |index| index.saturating_add(1)))
    }

    /// Takes in what is synced of a segment: so many bytes in all, and these terminals, which are the next. What the older
    /// ones of the epoch hold besides terminals is in this one, too. Returns the last sequence.
    pub fn publish(
        &mut self,
        (epoch, index): (u64, u32),
        bytes: u64,
        terminals: impl Iterator<Item = Bytes>,
        now_us: i64,
    ) -> u64 {
        let position = self.epochs.entry(epoch).or_default();
        if self.recent.is_empty() {
            self.recent_first = position.last.saturating_add(1);
        }
        for terminal in terminals {
            position.last = position.last.saturating_add(1);
            let is_next = self.recent_first.saturating_add(self.recent.len() as u64) == position.last;
            if is_next && self.recent.len() < RECENT {
                self.recent.push_back(terminal);
            }
        }
        for segment in self.segments.iter_mut().rev().take_while(|segment| segment.epoch == epoch) {
            if segment.index == index {
                segment.last = position.last;
                segment.bytes = bytes;
                segment.modified_us = now_us;
            } else {
                segment.is_sealed = true;
            }
        }
        position.last
    }

    /// The terminals after `after` from memory; none when they have to be read from disk.
    pub fn take_recent(&mut self, after: u64, limit: usize) -> Option<Vec<Bytes>> {
        let skip = after.saturating_add(1).checked_sub(self.recent_first)?;
        let skip = usize::try_from(skip).ok().filter(|skip| *skip < self.recent.len())?;
        let end = self.recent.len().min(skip.saturating_add(limit));
        let taken = self.recent.drain(..end).skip(skip).collect();
        self.recent_first = self.recent_first.saturating_add(end as u64);
        Some(taken)
    }

    /// Where the terminal after `after` can be read.
    pub fn place(&self, epoch: u64, after: u64) -> Option<Place> {
        let want = after.saturating_add(1);
        let segment = self
            .segments
            .iter()
            .filter(|segment| segment.epoch == epoch && segment.first <= want && want <= segment.last)
            .min_by_key(|segment| segment.index)?;
        let hint = self.hint.filter(|hint| (hint.epoch, hint.index) == (epoch, segment.index) && hint.next <= want);
        let offset = hint.map_or(super::segment::HEADER_LEN as u64, |hint| hint.offset);
        Some(Place { segment: segment.clone(), offset })
    }

    /// Remembers that the terminal `next` begins at or after `offset`.
    pub fn remember(&mut self, place: &Place, next: u64, offset: u64) {
        self.hint = Some(Hint { epoch: place.segment.epoch, index: place.segment.index, next, offset });
    }

    /// What the controller says it has booked; it may be less than before, when it was restored from a backup.
    pub fn acknowledge(&mut self, epoch: BootEpoch, high_water_mark: u64) {
        let position = self.epochs.entry(epoch.0).or_default();
        if position.acked != high_water_mark {
            position.acked = high_water_mark;
            self.is_dirty = true;
        }
    }

    /// The controller knows that no more will come of this epoch.
    pub fn set_drained(&mut self, epoch: BootEpoch) {
        self.epochs.entry(epoch.0).or_default().drained = true;
        self.is_dirty = true;
    }

    /// The small file that saves a start from reading everything: one line for each epoch.
    pub fn write_marks(&self) -> Vec<u8> {
        let mut text = String::new();
        for (epoch, position) in &self.epochs {
            let has_files = self.segments.iter().any(|segment| segment.epoch == *epoch);
            let is_newest = self.epochs.keys().next_back() == Some(epoch);
            if position.drained && !has_files && !is_newest {
                continue;
            }
            let floor = self.floor(*epoch);
            text.push_str(&format!("{epoch} {} {floor} {}\n", position.acked, u8::from(position.drained)));
        }
        let sum = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("end {sum:08x}\n"));
        text.into_bytes()
    }
}

/// What a replay may take for granted about an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub epoch: u64,
    pub acked: u64,
    pub floor: u32,
    pub drained: bool,
}

/// Reads what [`Shelf::write_marks`] wrote; nothing when any of it is wrong, since everything can be found out again.
pub(super) fn read_marks(bytes: &[u8]) -> Vec<Mark> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let Some((body, end)) = text.rfind("end ").and_then(|at| text.split_at_checked(at)) else { return Vec::new() };
    if end != format!("end {:08x}\n", crc32fast::hash(body.as_bytes())) {
        return Vec::new();
    }
    body.lines().map(read_mark).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn read_mark(line: &str) -> Option<Mark> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (epoch, acked, floor, drained) = (number()?, number()?, number()?, number()?);
    Some(Mark { epoch, acked, floor: u32::try_from(floor).ok()?, drained: drained == 1 })
}
