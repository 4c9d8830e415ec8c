//! What a start makes of the epochs before it: reads their segments, cuts torn tails, closes the intents that have no
//! terminal, each with exactly one, and says which epochs are still to be reported.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use domain::ids::BootEpoch;
use domain::usage::{Outcome, UsageSource};
use prost::Message as _;
use proto::sync as wire;

use super::disk::{Disk, Found};
use super::segment::{HEADER_LEN, Header, Pen, Record, Records, file_name, parse_name};
use super::shelf::{Mark, Position, Segment, Shelf, read_marks};
use super::{Error, MARKS};

/// The epochs before this one that the controller has not heard out.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Oldest first.
    pub epochs: Vec<BootEpoch>,
    /// Intents that a crash left open and that are closed now.
    pub closed: u64,
}

/// The terminal of a request whose gateway died: free for the customer, and what it may have cost us is written off.
pub(super) fn closing(intent: &wire::Intent) -> wire::UsageRecord {
    wire::UsageRecord {
        request: intent.request.clone(),
        org: intent.org.clone(),
        key: intent.key.clone(),
        budget: intent.budget.clone(),
        billing: intent.billing.clone(),
        plan: intent.plan.clone(),
        requested_model: intent.requested_model.clone(),
        usage_source: UsageSource::None.name().to_owned(),
        held_nano: intent.held_nano,
        written_off_nano: intent.held_nano,
        outcome: Outcome::AbortedByGateway.name().to_owned(),
        streamed: intent.streamed,
        started_at_us: intent.started_at_us,
        ..wire::UsageRecord::default()
    }
}

/// Reads the folder: the shelf as it is, what is to be reported, and the newest epoch ever used in it.
pub(super) fn replay(folder: &Path, disk: &dyn Disk) -> Result<(Shelf, Replay, u64), Error> {
    let files = disk.list(folder).map_err(Error::disk("list", folder))?;
    let marks = read_mark_file(folder, disk, &files)?;
    let mut found: BTreeMap<u64, BTreeMap<u32, Found>> = BTreeMap::new();
    for mark in &marks {
        found.entry(mark.epoch).or_default();
    }
    for file in files {
        if let Some((epoch, index)) = parse_name(&file.name) {
            found.entry(epoch).or_default().insert(index, file);
        }
    }
    let newest = found.keys().next_back().copied().unwrap_or(0);
    let mut shelf = Shelf::default();
    shelf.is_dirty = true;
    let mut replay = Replay::default();
    for (epoch, files) in found {
        let mark = marks.iter().find(|mark| mark.epoch == epoch).copied();
        let mark = mark.unwrap_or(Mark { epoch, acked: 0, floor: 0, drained: false });
        let mut scan = Scan::new(folder, disk, mark);
        for (index, file) in &files {
            scan.file(*index, file)?;
        }
        replay.closed = replay.closed.saturating_add(scan.close()?);
        if !mark.drained {
            replay.epochs.push(BootEpoch(epoch));
        }
        shelf.segments.append(&mut scan.segments);
        shelf.epochs.insert(epoch, scan.position);
    }
    Ok((shelf, replay, newest))
}

fn read_mark_file(folder: &Path, disk: &dyn Disk, files: &[Found]) -> Result<Vec<Mark>, Error> {
    let Some(file) = files.iter().find(|file| file.name == MARKS) else { return Ok(Vec::new()) };
    let path = folder.join(MARKS);
    let bytes = disk.read(&path, 0, file.len.min(1 << 20)).map_err(Error::disk("read", &path))?;
    Ok(read_marks(&bytes))
}

/// One epoch on the way through its segments.
struct Scan<'a> {
    folder: &'a Path,
    disk: &'a dyn Disk,
    mark: Mark,
    segments: Vec<Segment>,
    position: Position,
    /// Intents without a terminal so far: the segment they are in, and their message.
    open: HashMap<u128, (u32, Vec<u8>)>,
    /// The sequence of the next terminal, once any is known.
    expected: Option<u64>,
}

impl<'a> Scan<'a> {
    fn new(folder: &'a Path, disk: &'a dyn Disk, mark: Mark) -> Self {
        let position = Position { acked: mark.acked, last: mark.acked, drained: mark.drained, damaged: false };
        Scan { folder, disk, mark, segments: Vec::new(), position, open: HashMap::new(), expected: None }
    }

    fn file(&mut self, index: u32, file: &Found) -> Result<(), Error> {
        let mut segment = Segment {
            epoch: self.mark.epoch,
            index,
            first: 0,
            last: 0,
            bytes: file.len,
            tail: 0,
            is_sealed: true,
            modified_us: file.modified_us,
        };
        if !self.mark.drained && index >= self.mark.floor {
            self.read(&mut segment, file.len)?;
        }
        self.segments.push(segment);
        Ok(())
    }

    fn read(&mut self, segment: &mut Segment, len: u64) -> Result<(), Error> {
        let path = self.folder.join(file_name(segment.epoch, segment.index));
        // What is read now is reported as kept; so it has to be kept before it is read.
        self.disk.sync(&path).map_err(Error::disk("sync", &path))?;
        let bytes = self.disk.read(&path, 0, len).map_err(Error::disk("read", &path))?;
        let header =
            Header::read(&bytes).filter(|header| (header.epoch, header.index) == (segment.epoch, segment.index));
        let (Some(header), Some(rest)) = (header, bytes.get(HEADER_LEN..)) else {
            // Nothing was ever synced behind a header that was not; if something was, the next sequence shows the gap.
            return Ok(());
        };
        segment.first = header.first;
        segment.last = header.first.saturating_sub(1);
        // A segment is begun when everything before its first sequence is kept.
        self.expect(header.first);
        self.position.last = self.position.last.max(segment.last);
        let mut records = Records::new(&header, rest);
        for record in records.by_ref() {
            self.record(segment, record);
        }
        segment.bytes = (HEADER_LEN as u64).saturating_add(records.whole() as u64);
        Ok(())
    }

    fn record(&mut self, segment: &mut Segment, record: Record<'_>) {
        match record {
            Record::Intent { request, message } => {
                self.open.insert(request, (segment.index, message.to_vec()));
            }
            Record::Terminal { sequence, request, .. } => {
                self.open.remove(&request);
                self.count(sequence);
                segment.last = segment.last.max(sequence);
            }
            Record::Strange => {}
        }
    }

    /// Sequences run on without gaps, but that a group may be there twice, in a file that was left and in the next one,
    /// and that what is booked need not be there any more.
    fn count(&mut self, sequence: u64) {
        self.expect(sequence);
        self.expected = self.expected.max(Some(sequence.saturating_add(1)));
        self.position.last = self.position.last.max(sequence);
    }

    fn expect(&mut self, sequence: u64) {
        let expected = self.expected.unwrap_or_else(|| self.mark.acked.saturating_add(1).min(sequence));
        if sequence > expected && sequence.saturating_sub(1) > self.mark.acked {
            self.position.damaged = true;
        }
        self.expected = Some(expected.max(sequence));
    }

    /// Gives every open intent its terminal, in a segment of its own behind the others.
    fn close(&mut self) -> Result<u64, Error> {
        if self.position.damaged {
            tracing::error!(
                epoch = self.mark.epoch,
                "a part of the spool cannot be read: what comes after it is kept and not reported"
            );
            return Ok(0);
        }
        let mut open: Vec<(u128, wire::Intent)> = self
            .open
            .drain()
            .filter_map(|(request, (_, message))| Some((request, wire::Intent::decode(message.as_slice()).ok()?)))
            .collect();
        if open.is_empty() {
            return Ok(0);
        }
        open.sort_by_key(|(request, intent)| (intent.started_at_us, *request));
        let index = self.segments.iter().map(|segment| segment.index).max().map_or(0, |index| index.saturating_add(1));
        let first = self.position.last.saturating_add(1);
        let header = Header { epoch: self.mark.epoch, index, first };
        let pen = Pen::new(&header);
        let mut bytes = header.write().to_vec();
        let mut sequence = first;
        for (request, intent) in &open {
            pen.terminal(&mut bytes, sequence, *request, &closing(intent).encode_to_vec());
            sequence = sequence.saturating_add(1);
        }
        self.write(index, &bytes)?;
        let last = sequence.saturating_sub(1);
        self.position.last = last;
        self.segments.push(Segment {
            epoch: self.mark.epoch,
            index,
            first,
            last,
            bytes: bytes.len() as u64,
            tail: 0,
            is_sealed: true,
            modified_us: i64::MAX,
        });
        Ok(open.len() as u64)
    }

    fn write(&self, index: u32, bytes: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(file_name(self.mark.epoch, index));
        let file = self.disk.create(&path).map_err(Error::disk("create", &path))?;
        file.append(bytes).and_then(|()| file.sync()).map_err(Error::disk("write", &path))
    }
}
