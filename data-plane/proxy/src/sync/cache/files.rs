//! The bytes of the snapshot cache: files of records, each with its length and a CRC-32 over all that was before it in
//! the chain of files, so that a record that is missing, altered, doubled or out of place ends the reading. Two kinds of
//! file: a base (chunks of changes, then an end that says how many) and a log (deltas). Pure but for readers and writers.
//!
//! Header: magic (8) | generation (8) | known restrictions (8) | revision (8) | CRC of the chain before (4) | CRC-32 (4).
//! Record: length of the body (4) | CRC-32 (4) | body = kind (1) | protobuf. Numbers little-endian.

use std::io::{self, Read, Write};

use bytes::Bytes;
use crc32fast::Hasher;
use prost::Message as _;
use proto::sync as wire;

/// Bytes of a header.
const HEADER_LEN: usize = 40;
/// The longest record body that is believed.
const MAX_BODY: u32 = 64 << 20;

const CHANGES: u8 = 1;
const END: u8 = 2;
const DELTA: u8 = 3;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    Log,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Kind::Base => b"tgbase01",
            Kind::Log => b"tgdlog01",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Base => "base-",
            Kind::Log => "log-",
        }
    }

    /// The file's name.
    pub(super) fn name(self, generation: u64) -> String {
        format!("{}{generation:016x}", self.prefix())
    }

    /// Kind and generation of a file name.
    pub(super) fn parse(name: &str) -> Option<(Kind, u64)> {
        [Kind::Base, Kind::Log].into_iter().find_map(|kind| {
            let digits = name.strip_prefix(kind.prefix()).filter(|digits| digits.len() == 16)?;
            Some((kind, u64::from_str_radix(digits, 16).ok()?))
        })
    }
}

/// What a file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub generation: u64,
    /// What the writer understood: a build that understands something else may find refusals that are not due.
    pub known: u64,
    /// A base's revision; a log's at its start.
    pub revision: u64,
    /// The end of the chain that this file goes on from.
    pub chain: u32,
}

impl Header {
    fn write(&self) -> Vec<u8> {
        let parts: [&[u8]; 5] = [
            self.kind.magic(),
            &self.generation.to_le_bytes(),
            &self.known.to_le_bytes(),
            &self.revision.to_le_bytes(),
            &self.chain.to_le_bytes(),
        ];
        let mut bytes = parts.concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn read(kind: Kind, bytes: &[u8; HEADER_LEN]) -> Option<Header> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (known, rest) = rest.split_first_chunk::<8>()?;
        let (revision, rest) = rest.split_first_chunk::<8>()?;
        let (chain, rest) = rest.split_first_chunk::<4>()?;
        let header = Header {
            kind,
            generation: u64::from_le_bytes(*generation),
            known: u64::from_le_bytes(*known),
            revision: u64::from_le_bytes(*revision),
            chain: u32::from_le_bytes(*chain),
        };
        let sum = u32::from_le_bytes(*rest.first_chunk()?);
        let is_whole = magic == kind.magic() && crc32fast::hash(bytes.split_at(HEADER_LEN - 4).0) == sum;
        is_whole.then_some(header)
    }
}

/// One record.
pub(super) enum Record {
    /// Part of a base.
    Changes(Vec<wire::Change>),
    /// The last record of a base: how many changes it has.
    End(u64),
    /// One delta of a log.
    Delta(wire::Delta),
}

fn link(chain: u32, len: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&chain.to_le_bytes());
    hasher.update(&len);
    hasher.update(body);
    hasher.finalize()
}

/// Writes the records of one file.
pub(super) struct Pen<W> {
    out: W,
    chain: u32,
    written: u64,
}

impl<W: Write> Pen<W> {
    /// Begins a file.
    pub(super) fn begin(mut out: W, header: &Header) -> io::Result<Pen<W>> {
        out.write_all(&header.write())?;
        Ok(Pen { out, chain: header.chain, written: HEADER_LEN as u64 })
    }

    /// The chain up to here.
    pub(super) fn chain(&self) -> u32 {
        self.chain
    }

    /// Bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What is written to.
    pub(super) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Adds a part of a base.
    pub(super) fn changes(&mut self, changes: Vec<wire::Change>) -> io::Result<()> {
        self.record(CHANGES, &wire::Changes { changes }.encode_to_vec())
    }

    /// Ends a base.
    pub(super) fn end(&mut self, changes: u64) -> io::Result<()> {
        self.record(END, &changes.to_le_bytes())
    }

    /// Adds an encoded delta to a log.
    pub(super) fn delta(&mut self, encoded: &[u8]) -> io::Result<()> {
        self.record(DELTA, encoded)
    }

    fn record(&mut self, kind: u8, message: &[u8]) -> io::Result<()> {
        let body = [&[kind], message].concat();
        let len = u32::try_from(body.len()).ok().filter(|len| *len <= MAX_BODY);
        let len = len.ok_or(io::ErrorKind::FileTooLarge)?.to_le_bytes();
        let chain = link(self.chain, len, &body);
        self.out.write_all(&[len, chain.to_le_bytes()].concat())?;
        self.out.write_all(&body)?;
        self.chain = chain;
        self.written += 8 + body.len() as u64;
        Ok(())
    }
}

/// Reads the records of one file, up to the first that does not check out.
pub(super) struct Records<R> {
    input: R,
    header: Header,
    chain: u32,
}

impl<R: Read> Records<R> {
    /// Reads the header; nothing when it is torn, altered or another file's.
    pub(super) fn begin(mut input: R, kind: Kind, generation: u64) -> Option<Records<R>> {
        let mut bytes = [0u8; HEADER_LEN];
        input.read_exact(&mut bytes).ok()?;
        let header = Header::read(kind, &bytes).filter(|header| header.generation == generation)?;
        Some(Records { input, header, chain: header.chain })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The chain up to the last whole record.
    pub(super) fn chain_end(&self) -> u32 {
        self.chain
    }

    fn read(&mut self) -> Option<Record> {
        let (mut len, mut sum) = ([0u8; 4], [0u8; 4]);
        self.input.read_exact(&mut len).ok()?;
        self.input.read_exact(&mut sum).ok()?;
        let size = u32::from_le_bytes(len);
        if size > MAX_BODY {
            return None;
        }
        let mut body = Vec::new();
        // Grows as bytes come: a length that lies costs nothing.
        (&mut self.input).take(u64::from(size)).read_to_end(&mut body).ok()?;
        if body.len() as u64 != u64::from(size) || link(self.chain, len, &body) != u32::from_le_bytes(sum) {
            return None;
        }
        let record = read_body(body.into())?;
        self.chain = u32::from_le_bytes(sum);
        Some(record)
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.read()
    }
}

fn read_body(mut body: Bytes) -> Option<Record> {
    if body.is_empty() {
        return None;
    }
    let kind = body.split_to(1);
    match *kind.first()? {
        CHANGES => wire::Changes::decode(body).ok().map(|list| Record::Changes(list.changes)),
        END => Some(Record::End(u64::from_le_bytes(*body.first_chunk()?))),
        DELTA => wire::Delta::decode(body).ok().map(Record::Delta),
        _ => None,
    }
}
