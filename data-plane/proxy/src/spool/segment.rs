//! The bytes of one segment: a header, then records, each with its length and a CRC-32 (the IEEE polynomial). Pure.
//! The checksum of a record also covers its segment's header, so that old blocks of another file, shown after a crash,
//! are never taken for records of this one. Reading stops at the first record that does not check out.
//!
//! Header: `tgspool1` | epoch (8) | index (4) | zero (4) | first sequence (8) | CRC-32 of these (4) | zero (4).
//! Record: length of the body (4) | CRC-32 (4) | body = kind (1) | sequence (8, terminals only) | request (16) | protobuf.
//! All numbers little-endian.

use crc32fast::Hasher;
use prost::Message as _;
use proto::sync as wire;

const MAGIC: &[u8; 8] = b"tgspool1";
/// Bytes of a header.
pub const HEADER_LEN: usize = 40;
/// Bytes in front of a record's body.
const FRAME_LEN: usize = 8;
/// The longest body that is believed.
pub const MAX_BODY: usize = 64 * 1024;
const INTENT: u8 = 1;
const TERMINAL: u8 = 2;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub epoch: u64,
    /// Rises by one with each segment of an epoch.
    pub index: u32,
    /// The sequence of the first terminal in here, whether or not there is one.
    pub first: u64,
}

impl Header {
    fn body(&self) -> Vec<u8> {
        let parts: [&[u8]; 5] =
            [MAGIC, &self.epoch.to_le_bytes(), &self.index.to_le_bytes(), &[0; 4], &self.first.to_le_bytes()];
        parts.concat()
    }

    /// The header's bytes.
    pub fn write(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0u8; HEADER_LEN];
        let body = self.body();
        let sum = crc32fast::hash(&body).to_le_bytes();
        for (slot, byte) in bytes.iter_mut().zip(body.iter().chain(&sum)) {
            *slot = *byte;
        }
        bytes
    }

    /// Reads a header; none when it is torn, altered or of another format.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let (body, rest) = bytes.split_at_checked(32)?;
        let sum = u32::from_le_bytes(*rest.first_chunk()?);
        let tail = rest.get(4..8)?;
        let (magic, body_rest) = body.split_first_chunk::<8>()?;
        let (epoch, body_rest) = body_rest.split_first_chunk::<8>()?;
        let (index, body_rest) = body_rest.split_first_chunk::<4>()?;
        let (zero, body_rest) = body_rest.split_first_chunk::<4>()?;
        let first = body_rest.first_chunk::<8>()?;
        let is_whole = magic == MAGIC && *zero == [0; 4] && tail == [0; 4] && crc32fast::hash(body) == sum;
        is_whole.then(|| Header {
            epoch: u64::from_le_bytes(*epoch),
            index: u32::from_le_bytes(*index),
            first: u64::from_le_bytes(*first),
        })
    }

    /// The start of every checksum in this segment. Without the header's own sum: a CRC over a text and its CRC is the
    /// same for every text.
    fn seed(&self) -> Hasher {
        let mut hasher = Hasher::new();
        hasher.update(&self.body());
        hasher
    }
}

/// Writes records of one segment into a buffer.
pub struct Pen {
    seed: Hasher,
}

impl Pen {
    /// A pen for the segment with this header.
    pub fn new(header: &Header) -> Pen {
        Pen { seed: header.seed() }
    }

    /// Adds an intent: `message` is an encoded `Intent`.
    pub fn intent(&self, out: &mut Vec<u8>, request: u128, message: &[u8]) {
        self.record(out, &[INTENT], request, message);
    }

    /// Adds a terminal: `message` is an encoded `UsageRecord`.
    pub fn terminal(&self, out: &mut Vec<u8>, sequence: u64, request: u128, message: &[u8]) {
        let mut head = [TERMINAL; 9];
        for (slot, byte) in head.iter_mut().skip(1).zip(sequence.to_le_bytes()) {
            *slot = byte;
        }
        self.record(out, &head, request, message);
    }

    fn record(&self, out: &mut Vec<u8>, head: &[u8], request: u128, message: &[u8]) {
        let frame = out.len();
        out.extend_from_slice(&[0; FRAME_LEN]);
        let start = out.len();
        out.extend_from_slice(head);
        out.extend_from_slice(&request.to_le_bytes());
        out.extend_from_slice(message);
        let body = out.get(start..).unwrap_or_default();
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let sum = checksum(&self.seed, len, body).to_le_bytes();
        if let Some(slots) = out.get_mut(frame..start) {
            for (slot, byte) in slots.iter_mut().zip(len.into_iter().chain(sum)) {
                *slot = byte;
            }
        }
    }
}

fn checksum(seed: &Hasher, len: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = seed.clone();
    hasher.update(&len);
    hasher.update(body);
    hasher.finalize()
}

/// One whole record, as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    Intent {
        request: u128,
        message: &'a [u8],
    },
    Terminal {
        sequence: u64,
        request: u128,
        message: &'a [u8],
    },
    /// Of a kind that a later build writes.
    Strange,
}

/// Walks over the whole records of a segment, or of a part of one that begins at a record.
pub struct Records<'a> {
    seed: Hasher,
    bytes: &'a [u8],
    whole: usize,
}

impl<'a> Records<'a> {
    /// `bytes` begin at a record of the segment with this header.
    pub fn new(header: &Header, bytes: &'a [u8]) -> Self {
        Records { seed: header.seed(), bytes, whole: 0 }
    }

    /// How many bytes the records so far take.
    pub fn whole(&self) -> usize {
        self.whole
    }

    fn read(&self) -> Option<(Record<'a>, usize)> {
        let rest = self.bytes.get(self.whole..)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|size| *size <= MAX_BODY)?;
        let body = rest.get(..size)?;
        if checksum(&self.seed, *len, body) != u32::from_le_bytes(*sum) {
            return None;
        }
        Some((read_body(body)?, FRAME_LEN + size))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (record, size) = self.read()?;
        self.whole += size;
        Some(record)
    }
}

fn read_body(body: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = body.split_first()?;
    match *kind {
        INTENT => {
            let (request, message) = rest.split_first_chunk::<16>()?;
            Some(Record::Intent { request: u128::from_le_bytes(*request), message })
        }
        TERMINAL => {
            let (sequence, rest) = rest.split_first_chunk::<8>()?;
            let (request, message) = rest.split_first_chunk::<16>()?;
            let sequence = u64::from_le_bytes(*sequence);
            Some(Record::Terminal { sequence, request: u128::from_le_bytes(*request), message })
        }
        _ => Some(Record::Strange),
    }
}

/// Reads any bytes as a segment and counts the whole records whose messages can be decoded: what a fuzzer drives.
pub fn check(bytes: &[u8]) -> usize {
    let Some(header) = Header::read(bytes) else { return 0 };
    let Some(rest) = bytes.get(HEADER_LEN..) else { return 0 };
    Records::new(&header, rest)
        .filter(|record| match record {
            Record::Intent { message, .. } => wire::Intent::decode(*message).is_ok(),
            Record::Terminal { message, .. } => wire::UsageRecord::decode(*message).is_ok(),
            Record::Strange => false,
        })
        .count()
}

/// The file name of a segment.
pub fn file_name(epoch: u64, index: u32) -> String {
    format!("{epoch:016x}-{index:08x}.spool")
}

/// Epoch and index of a segment's file name.
pub fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (epoch, index) = name.strip_suffix(".spool")?.split_once('-')?;
    if epoch.len() != 16 || index.len() != 8 {
        return None;
    }
    Some((u64::from_str_radix(epoch, 16).ok()?, u32::from_str_radix(index, 16).ok()?))
}
