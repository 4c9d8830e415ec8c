//! A provider's answer in HTTP/1, read wherever the network cuts it: its head, then the data of its body. Strict wherever
//! two programs could read differently: such an answer is refused, since nobody knows where the next one begins.
//! Pure. The bytes come from `line`; what the data means is the codec's business.

use std::mem::MaybeUninit;

use http::StatusCode;
use httparse::{ParserConfig, Response, Status};

/// The largest head, in bytes.
const HEAD_MOST: usize = 128 * 1024;
/// Fields that a head may have.
const FIELDS_MOST: usize = 100;
/// Heads that only say that another one will come.
const INTERIM_MOST: usize = 8;
/// What may stand beside the data of chunks and behind the last of them, in bytes each time.
const ASIDE_MOST: u32 = 8 * 1024;

/// It is not HTTP, or it could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The fields of a head, as they came.
#[derive(Debug, Default)]
pub struct Fields {
    /// For each field the lengths of its name and of its value, and then both.
    text: Vec<u8>,
}

impl Fields {
    /// Adds a field. One that is longer than any head may be is left out.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let (Ok(name_length), Ok(value_length)) = (u32::try_from(name.len()), u32::try_from(value.len())) else {
            return;
        };
        for part in [&name_length.to_le_bytes(), &value_length.to_le_bytes(), name.as_bytes(), value] {
            self.text.extend_from_slice(part);
        }
    }

    /// The value of the first field of this name, in any case of letters.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut rest = &self.text[..];
        loop {
            let (name_length, after) = rest.split_first_chunk()?;
            let (value_length, after) = after.split_first_chunk()?;
            let (known, after) = after.split_at_checked(u32::from_le_bytes(*name_length) as usize)?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
            if known.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(value);
            }
            rest = after;
        }
    }
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// What the provider says about the request.
    pub status: StatusCode,
    /// What it says about its answer.
    pub fields: Fields,
}

/// How far an answer has been read.
#[derive(Debug)]
pub struct Reading {
    /// The beginning of a head whose end has not come.
    begun: Vec<u8>,
    stage: Stage,
    /// The connection can carry another request after this answer.
    is_kept: bool,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Head,
    Length(u64),
    Chunks(Chunks),
    UntilClosed,
    Over,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { begun: Vec::new(), stage: Stage::Head, is_kept: true }
    }
}

impl Reading {
    /// Takes bytes until the head is there: the head, and how many of these bytes belong to it.
    ///
    /// # Errors
    /// [`Malformed`] when it is not HTTP, ambiguous, or too large.
    pub fn head(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        if self.begun.is_empty() {
            let found = self.parse_lines(bytes)?;
            if found.is_none() {
                self.begun = bytes.to_vec();
            }
            return Ok(found);
        }
        let mut begun = std::mem::take(&mut self.begun);
        let known = begun.len();
        begun.extend_from_slice(bytes);
        // A head ends with a line: without one there is nothing to look at again, however slowly it comes.
        let is_line = bytes.contains(&b'\n') || begun.len() > HEAD_MOST;
        let found = if is_line { self.parse_lines(&begun)? } else { None };
        if found.is_none() {
            self.begun = begun;
        }
        Ok(found.map(|(head, used)| (head, used.saturating_sub(known))))
    }

    /// Parses what came so far. An end of it that is no whole line is not judged yet, so that it does not matter where the
    /// network cuts.
    fn parse_lines(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        match self.parse(bytes) {
            Ok(Some(found)) => Ok(Some(found)),
            _ if bytes.len() > HEAD_MOST => Err(Malformed),
            Ok(None) => Ok(None),
            Err(Malformed) => match memchr::memrchr(b'\n', bytes).and_then(|at| bytes.get(..=at)) {
                Some(lines) => self.parse(lines),
                None => Ok(None),
            },
        }
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        let mut used = 0;
        for _ in 0..INTERIM_MOST {
            let Some((head, framing, length)) = parse(bytes.get(used..).unwrap_or_default())? else { return Ok(None) };
            used += length;
            if !head.status.is_informational() {
                (self.stage, self.is_kept) = framing;
                return Ok(Some((head, used)));
            }
            // Nobody asked for another protocol.
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Malformed);
            }
        }
        Err(Malformed)
    }

    /// Takes bytes of the body and adds its data to `data`: how many of these bytes belong to the answer.
    ///
    /// # Errors
    /// [`Malformed`] when chunks are; the data before that is there.
    pub fn body(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, Malformed> {
        match &mut self.stage {
            Stage::Head | Stage::Over => Ok(0),
            Stage::UntilClosed => {
                data.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Stage::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                data.extend_from_slice(bytes.get(..here).unwrap_or_default());
                *left -= here as u64;
                if *left == 0 {
                    self.stage = Stage::Over;
                }
                Ok(here)
            }
            Stage::Chunks(chunks) => {
                let used = chunks.take(bytes, data)?;
                if chunks.step == Step::Over {
                    self.stage = Stage::Over;
                }
                Ok(used)
            }
        }
    }

    /// The other side closed the connection: whether the answer is whole.
    pub fn close(&mut self) -> bool {
        if matches!(self.stage, Stage::UntilClosed) {
            self.stage = Stage::Over;
        }
        self.is_over()
    }

    /// Whether all of the answer was read.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether the connection may carry another request once the answer is over.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }
}

type Parsed = (Head, (Stage, bool), usize);

fn parse(bytes: &[u8]) -> Result<Option<Parsed>, Malformed> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MOST];
    let mut response = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
    let used = match parsed {
        Ok(Status::Complete(used)) if used <= HEAD_MOST => used,
        Ok(Status::Partial) if bytes.len() <= HEAD_MOST => return Ok(None),
        Ok(_) | Err(_) => return Err(Malformed),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    let framing = framing(response.version == Some(1), status, response.headers)?;
    // The lengths take more room than the separators that they stand for.
    let mut fields = Fields { text: Vec::with_capacity(used + 8 * response.headers.len()) };
    for field in response.headers.iter() {
        fields.add(field.name, field.value);
    }
    Ok(Some((Head { status, fields }, framing, used)))
}

/// Where the body ends, and whether the connection lives on.
fn framing(is_http11: bool, status: StatusCode, fields: &[httparse::Header<'_>]) -> Result<(Stage, bool), Malformed> {
    let (mut length, mut is_chunked, mut is_kept) = (None, false, is_http11);
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            let said = number(field.value)?;
            if length.replace(said).is_some_and(|known| known != said) {
                return Err(Malformed);
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            let is_known = field.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if is_chunked || !is_known || !is_http11 {
                return Err(Malformed);
            }
            is_chunked = true;
        } else if field.name.eq_ignore_ascii_case("connection") {
            let mut words = field.value.split(|byte| *byte == b',');
            is_kept &= !words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
    }
    Ok(match (is_chunked, length) {
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => (Stage::Over, is_kept),
        // With both, whoever stands between us and the provider may believe the other one.
        (true, length) => (Stage::Chunks(Chunks::default()), is_kept && length.is_none()),
        (false, Some(0)) => (Stage::Over, is_kept),
        (false, Some(length)) => (Stage::Length(length), is_kept),
        (false, None) => (Stage::UntilClosed, false),
    })
}

fn number(text: &[u8]) -> Result<u64, Malformed> {
    let text = text.trim_ascii();
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_plain).ok_or(Malformed)?;
    text.parse().map_err(|_| Malformed)
}

/// A body in chunks.
#[derive(Debug, Default, Clone, Copy)]
struct Chunks {
    step: Step,
    /// Bytes of the present chunk that are still to come.
    left: u64,
    /// Bytes that were no data since the last data.
    aside: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The first digit of a size.
    #[default]
    Begin,
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line behind the last chunk.
    Line,
    Trailer,
    LastLf,
    Over,
}

impl Chunks {
    fn take(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while let (Some((byte, after)), true) = (rest.split_first(), self.step != Step::Over) {
            if self.step != Step::Data {
                self.step(*byte)?;
                rest = after;
                continue;
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(here);
            data.extend_from_slice(now);
            self.left -= here as u64;
            self.aside = 0;
            if self.left == 0 {
                self.step = Step::DataCr;
            }
            rest = later;
        }
        Ok(bytes.len() - rest.len())
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.aside += 1;
        self.step = match (self.step, byte) {
            _ if self.aside > ASIDE_MOST => return Err(Malformed),
            (Step::Begin | Step::Size, digit) if digit.is_ascii_hexdigit() => {
                let digit = char::from(digit).to_digit(16).map(u64::from).ok_or(Malformed)?;
                self.left = self.left.checked_mul(16).and_then(|left| left.checked_add(digit)).ok_or(Malformed)?;
                Step::Size
            }
            (Step::Size, b'\r') | (Step::Extension, b'\r') => Step::SizeEnd,
            (Step::Size, b';' | b' ' | b'\t') => Step::Extension,
            (Step::Extension, byte) if byte != b'\n' => Step::Extension,
            (Step::SizeEnd, b'\n') if self.left == 0 => Step::Line,
            (Step::SizeEnd, b'\n') => Step::Data,
            (Step::DataCr, b'\r') => Step::DataLf,
            (Step::DataLf, b'\n') => Step::Begin,
            (Step::Line, b'\r') => Step::LastLf,
            (Step::Line, byte) if byte != b'\n' => Step::Trailer,
            (Step::Trailer, b'\n') => Step::Line,
            (Step::Trailer, _) => Step::Trailer,
            (Step::LastLf, b'\n') => Step::Over,
            _ => return Err(Malformed),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read of an answer that comes in these pieces: its status, its data, whether it was whole and what is left of
    /// the connection.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(u16, Vec<u8>, bool, bool), Malformed> {
        let (mut reading, mut status, mut data) = (Reading::default(), 0, Vec::new());
        for piece in pieces {
            let mut rest = piece;
            if status == 0 {
                let Some((head, used)) = reading.head(piece)? else { continue };
                status = head.status.as_u16();
                rest = &piece[used..];
            }
            reading.body(rest, &mut data)?;
        }
        let is_whole = status != 0 && reading.close();
        Ok((status, data, is_whole, reading.is_kept()))
    }

    fn whole(text: &str) -> Result<(u16, Vec<u8>, bool, bool), Malformed> {
        let at_once = read(std::iter::once(text.as_bytes()));
        for size in 1..12 {
            assert_eq!(read(text.as_bytes().chunks(size)), at_once, "{text:?} in pieces of {size}");
        }
        at_once
    }

    #[test]
    fn an_answer_is_read_the_same_however_it_is_cut() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", (200, "hi", true, true)),
            ("HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", (200, "hi", true, true)),
            ("HTTP/1.1 429 Slow\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n", (429, "", true, false)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", (200, "a", true, true)),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, "until the end", true, false)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", (200, "a", true, false)),
            ("HTTP/1.1 204 No\r\n\r\n", (204, "", true, true)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", (200, "half", false, true)),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
                (200, "hi0123456789", true, true),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\nz: w\r\n\r\n",
                (200, "a", true, true),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", (200, "hal", false, true)),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                (200, "", true, false),
            ),
        ] {
            let (status, data, is_whole, is_kept) = expected;
            assert_eq!(whole(text), Ok((status, data.as_bytes().to_vec(), is_whole, is_kept)), "{text:?}");
        }
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        for text in [
            "SSH-2.0-nothing\r\n\r\n",
            "HTTP/1.1 101 Switch\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n folded: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
        ] {
            assert_eq!(whole(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn nothing_an_answer_carries_is_without_bound() {
        let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(HEAD_MOST));
        assert_eq!(read(head.as_bytes().chunks(1_000)), Err(Malformed));
        assert_eq!(read(std::iter::once(head.as_bytes())), Err(Malformed));
        let interim = "HTTP/1.1 103 Hints\r\n\r\n".repeat(INTERIM_MOST);
        assert_eq!(read(std::iter::once(interim.as_bytes())), Err(Malformed));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for aside in ["1;", "0000", "0\r\nx: "] {
            let text = format!("{chunked}{aside}{}", "0".repeat(ASIDE_MOST as usize));
            assert_eq!(read(std::iter::once(text.as_bytes())), Err(Malformed), "{aside}");
        }
    }

    #[test]
    fn what_follows_an_answer_is_not_part_of_it() {
        let mut reading = Reading::default();
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi more";
        let (_, used) = reading.head(text).unwrap().unwrap();
        let mut data = Vec::new();
        assert_eq!(reading.body(&text[used..], &mut data), Ok(2));
        assert!(reading.is_over());
        assert_eq!(reading.body(b" more", &mut data), Ok(0));
        assert_eq!(data, b"hi");
    }

    #[test]
    fn fields_are_found_by_name_in_any_case() {
        let (head, _) =
            Reading::default().head(b"HTTP/1.1 200 OK\r\nRetry-After: 3\r\nx: \r\nX: 2\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.fields.get("retry-after"), Some(&b"3"[..]));
        assert_eq!(head.fields.get("x"), Some(&b""[..]));
        assert_eq!(head.fields.get("y"), None);
    }

    proptest! {
        #[test]
        fn data_comes_out_of_any_chunks_as_it_went_in(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..12),
            cuts in 1usize..700,
        ) {
            let mut text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for part in &parts {
                text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let read = read(text.chunks(cuts)).unwrap();
            prop_assert_eq!(read, (200, parts.concat(), true, true));
        }
    }
}
