//! A provider's bad days, in the words of all four families: each fault is a list of moves on the wire, and the healthy
//! answer is one of them. What comes of a fault is not known here. `words` and `refusals` say it, `moves` does it.

mod moves;
mod refusals;
mod words;

use std::time::Duration;

use serde_json::Value;

use super::strict::Family;
use super::truth::{End, Served};
pub(super) use moves::{Move, play};
use refusals::Kind;
use words::Words;

/// What every healthy answer says its tokens are.
pub use words::{FAST, PIECE, TOLD};

/// A line that is longer than an event may be.
const HUGE_LINE_BYTES: usize = 17 << 20;
/// A head that is longer than any.
const HUGE_HEAD_LINES: usize = 4_000;
const DRIBBLE: Duration = Duration::from_millis(2);
const PULSE: Duration = Duration::from_millis(100);
/// Long for a network, short for a provider.
const SLOW: Duration = Duration::from_millis(400);

/// One way to answer, or not to. Where it matters, `Early…` is before the first output of a stream and `Late…` behind
/// it, once the client has seen some; a whole answer has only one form of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    Healthy,

    // Odd, but an answer.
    /// The head takes a moment.
    SlowHead,
    /// A few bytes at a time, with time between them.
    Dribble,
    /// One byte in each write.
    OneByteSlices,
    /// Lines end in CR LF, and comments stand between the events.
    CrLf,
    /// An interim answer comes first.
    EarlyHints,
    /// More bytes behind the end.
    LateBytes,
    /// The content is withheld in the end.
    Withheld,
    /// Usage is never told.
    UsageMissing,
    /// Told twice; the last word counts.
    UsageTwice,
    /// In words and not in numbers.
    UsageInWords,
    /// More than anything could have used.
    UsageAbsurd,

    // No head.
    Silent,
    HangUp,
    Reset,
    CutInHead,
    ResetInHead,
    StallInHead,
    EndlessHead,
    NotHttp,
    TwoLengths,

    // A refusal.
    Status(u16),
    /// With `Retry-After`, in seconds.
    Later(u16, u32),
    /// Our account is out of money.
    OutOfMoney,
    /// The prompt is too long for the model.
    TooLong,
    /// The prompt is against the model's rules.
    AgainstRules,
    BadKey,
    /// A page of a machine in between.
    Page(u16),
    /// To the same place, where a healthy answer waits.
    Redirect,
    /// The body of the refusal never ends.
    StatusStall(u16),

    // 200, and no answer.
    ErrorBody,
    EmptyBody,
    NotJson,
    PageFor200,
    WrongKind,
    OtherForm,
    Packed,
    /// An end without a beginning: neither output nor a reason.
    Nothing,

    // Broken off.
    EarlyError,
    LateError,
    EarlyStall,
    LateStall,
    EarlyReset,
    LateReset,
    EarlyCut,
    LateCut,
    /// The body ends well, the answer does not.
    EarlyEnd,
    LateEnd,
    EarlyBadChunk,
    LateBadChunk,
    EarlyNonsense,
    LateNonsense,
    EarlyHugeLine,
    LateHugeLine,
    BadText,
    /// Signs of life and nothing else.
    EndlessPings,
    /// Pieces without end, as fast as they are taken.
    Endless,
    /// The same, slowly.
    EndlessSlowly,
}

impl Fault {
    /// What is done with a request to a provider of this family.
    pub(super) fn moves(self, family: Family, served: &Served) -> Vec<Move> {
        let stage =
            Stage { words: Words { family, id: &served.id, model: &served.model }, is_stream: served.is_stream };
        match self {
            Fault::Healthy => stage.good(),
            Fault::SlowHead => [vec![Move::Wait(SLOW)], stage.good()].concat(),
            Fault::Dribble => sliced(stage.good(), 48, DRIBBLE),
            Fault::OneByteSlices => sliced(stage.good(), 1, Duration::ZERO),
            Fault::CrLf => stage.with_crlf(),
            Fault::EarlyHints => {
                [vec![Move::Send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_vec())], stage.good()].concat()
            }
            Fault::LateBytes => [stage.good(), vec![Move::Send(b"and one more thing".to_vec()), Move::Close]].concat(),
            Fault::Withheld => stage.answer(&words::Say { is_withheld: true, ..words::Say::default() }),
            Fault::UsageMissing => stage.usage(words::Usage::Missing),
            Fault::UsageTwice => stage.usage(words::Usage::Twice),
            Fault::UsageInWords => stage.usage(words::Usage::InWords),
            Fault::UsageAbsurd => stage.usage(words::Usage::Absurd),

            Fault::Silent => vec![Move::Hang],
            Fault::HangUp => vec![Move::Close],
            Fault::Reset => vec![Move::Reset],
            Fault::CutInHead => vec![half_a_head(), Move::Close],
            Fault::ResetInHead => vec![half_a_head(), Move::Reset],
            Fault::StallInHead => vec![half_a_head(), Move::Hang],
            Fault::EndlessHead => vec![huge_head(), Move::Hang],
            Fault::NotHttp => vec![Move::Send(b"SSH-2.0-OpenSSH_9.2\r\nhello\r\n\r\n".to_vec()), Move::Close],
            Fault::TwoLengths => vec![
                Move::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\n{}     ".to_vec()),
                Move::Close,
            ],

            Fault::Status(status) => stage.refusal(status, &[], Kind::Plain),
            Fault::Later(status, seconds) => {
                stage.refusal(status, &[("retry-after", &seconds.to_string())], Kind::Plain)
            }
            Fault::OutOfMoney => {
                stage.refusal(if family == Family::Anthropic { 400 } else { 429 }, &[], Kind::OutOfMoney)
            }
            Fault::TooLong => stage.refusal(400, &[], Kind::TooLong),
            Fault::AgainstRules => stage.refusal(400, &[], Kind::AgainstRules),
            Fault::BadKey => stage.refusal(if family == Family::Gemini { 400 } else { 401 }, &[], Kind::BadKey),
            Fault::Page(status) => stage.page(status),
            Fault::Redirect => {
                let place = format!("/{}{}", served.provider, "/v1/elsewhere");
                vec![Move::Send(head(307, &[("location", &place), ("content-length", "0")]))]
            }
            Fault::StatusStall(status) => {
                vec![
                    Move::Send(head(status, &[("content-type", "application/json"), ("content-length", "100")])),
                    Move::Hang,
                ]
            }

            Fault::ErrorBody => stage.refused_with_200(),
            Fault::EmptyBody => stage.body(b"".to_vec()),
            Fault::NotJson => stage.body(b"data: {\"this is no JSON\n\n".to_vec()),
            Fault::PageFor200 => stage.page(200),
            Fault::WrongKind => stage.of_kind("text/plain"),
            Fault::OtherForm => Stage { is_stream: !stage.is_stream, ..stage }.good(),
            Fault::Packed => stage.packed(),
            Fault::Nothing => stage.nothing(),

            Fault::EarlyError => stage.early(vec![Move::Send(chunk(&stage.words.error_event())), stage.end_of_body()]),
            Fault::LateError => stage.late(vec![Move::Send(chunk(&stage.words.error_event())), stage.end_of_body()]),
            Fault::EarlyStall => stage.early(vec![Move::Hang]),
            Fault::LateStall => stage.late(vec![Move::Hang]),
            Fault::EarlyReset => stage.early(vec![Move::Reset]),
            Fault::LateReset => stage.late(vec![Move::Reset]),
            Fault::EarlyCut => stage.early(vec![Move::Close]),
            Fault::LateCut => stage.late(vec![Move::Close]),
            Fault::EarlyEnd => stage.early(vec![stage.end_of_body()]),
            Fault::LateEnd => stage.late(vec![stage.end_of_body()]),
            Fault::EarlyBadChunk => stage.early(vec![bad_chunk(), Move::Close]),
            Fault::LateBadChunk => stage.late(vec![bad_chunk(), Move::Close]),
            Fault::EarlyNonsense => stage.early(vec![nonsense(), stage.end_of_body()]),
            Fault::LateNonsense => stage.late(vec![nonsense(), stage.end_of_body()]),
            Fault::EarlyHugeLine => stage.early(vec![huge_line(), Move::Hang]),
            Fault::LateHugeLine => stage.late(vec![huge_line(), Move::Hang]),
            Fault::BadText => stage.bad_text(),
            Fault::EndlessPings => stage.early(vec![Move::Again(chunk(b": ping\n\n"), PULSE)]),
            Fault::Endless => stage.endless(&FAST.repeat(50_000), Duration::ZERO),
            Fault::EndlessSlowly => stage.endless(PIECE, PULSE),
        }
    }
}

/// Where a fault happens.
#[derive(Clone, Copy)]
struct Stage<'a> {
    words: Words<'a>,
    is_stream: bool,
}

impl Stage<'_> {
    fn good(&self) -> Vec<Move> {
        self.answer(&words::Say::default())
    }

    fn usage(&self, usage: words::Usage) -> Vec<Move> {
        self.answer(&words::Say { usage, ..words::Say::default() })
    }

    fn answer(&self, say: &words::Say) -> Vec<Move> {
        let told = matches!(say.usage, words::Usage::Once | words::Usage::Twice).then_some(Move::Told(TOLD));
        let mut moves = if self.is_stream {
            let mut moves = vec![self.stream_head()];
            moves.extend(self.words.opening(say).iter().map(|frame| Move::Send(chunk(frame))));
            moves.extend((0..words::PIECES).map(|at| Move::Piece(chunk(&self.words.piece(at, PIECE)))));
            moves.extend(self.words.closing(say).iter().map(|frame| Move::Send(chunk(frame))));
            moves.push(self.end_of_body());
            moves
        } else {
            self.body(self.words.whole(say).to_string().into_bytes())
        };
        moves.extend(told);
        moves.push(Move::End(End::Finished));
        moves
    }

    fn stream_head(&self) -> Move {
        Move::Send(head(200, &[("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked")]))
    }

    fn end_of_body(&self) -> Move {
        Move::Send(chunk(b""))
    }

    /// A body of the kind that was asked for, as a whole.
    fn body(&self, body: Vec<u8>) -> Vec<Move> {
        self.body_of(if self.is_stream { "text/event-stream" } else { "application/json" }, &[], body)
    }

    fn body_of(&self, kind: &str, more: &[(&str, &str)], body: Vec<u8>) -> Vec<Move> {
        let length = body.len().to_string();
        let headers = [&[("content-type", kind), ("content-length", &length)], more].concat();
        vec![Move::Send([head(200, &headers), body].concat())]
    }

    fn refusal(&self, status: u16, more: &[(&str, &str)], kind: Kind) -> Vec<Move> {
        let body = self.words.error(status, kind).to_string();
        let length = body.len().to_string();
        let headers = [&[("content-type", "application/json"), ("content-length", &length)], more].concat();
        vec![Move::Send([head(status, &headers), body.into_bytes()].concat()), Move::End(End::Refused(status))]
    }

    fn page(&self, status: u16) -> Vec<Move> {
        let body =
            format!("<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>a page</h1></body>\r\n</html>\r\n");
        let length = body.len().to_string();
        let head = head(status, &[("content-type", "text/html"), ("content-length", &length)]);
        vec![Move::Send([head, body.into_bytes()].concat()), Move::End(End::Refused(status))]
    }

    /// An error as a body in JSON, whatever was asked for.
    fn refused_with_200(&self) -> Vec<Move> {
        self.body_of("application/json", &[], self.words.error(500, Kind::Plain).to_string().into_bytes())
    }

    /// A healthy answer under a name that it does not have.
    fn of_kind(&self, kind: &str) -> Vec<Move> {
        let body = match self.is_stream {
            true => self.words.stream(&words::Say::default()),
            false => b"brick by brick, and none of it JSON".to_vec(),
        };
        self.body_of(kind, &[], body)
    }

    fn packed(&self) -> Vec<Move> {
        let kind = if self.is_stream { "text/event-stream" } else { "application/json" };
        // What stands behind such a head is never looked at.
        self.body_of(kind, &[("content-encoding", "gzip")], b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec())
    }

    fn nothing(&self) -> Vec<Move> {
        match self.is_stream {
            true => self.body(self.words.empty_stream()),
            false => self.body(self.words.empty().to_string().into_bytes()),
        }
    }

    fn bad_text(&self) -> Vec<Move> {
        let spoil = |bytes: Vec<u8>| -> Vec<u8> {
            let place = bytes.windows(5).position(|five| five == b"brick").unwrap_or(0);
            let mut bytes = bytes;
            bytes[place..place + 5].copy_from_slice(b"br\xff\xfek");
            bytes
        };
        if !self.is_stream {
            return self.body(spoil(self.words.whole(&words::Say::default()).to_string().into_bytes()));
        }
        self.early(vec![Move::Send(chunk(&spoil(self.words.piece(0, PIECE)))), self.end_of_body()])
    }

    /// A healthy stream as another server would frame it.
    fn with_crlf(&self) -> Vec<Move> {
        if !self.is_stream {
            let pretty = serde_json::to_string_pretty(&self.words.whole(&words::Say::default())).expect("JSON");
            let body = self.body(pretty.replace('\n', "\r\n").into_bytes());
            return [body, vec![Move::Told(TOLD), Move::End(End::Finished)]].concat();
        }
        let frames = String::from_utf8(self.words.stream(&words::Say::default())).expect("text");
        let frames = frames.replace("\n\n", "\n\n: and a comment\n\n").replace('\n', "\r\n");
        let body = [chunk(b": it begins\r\n\r\n"), chunk(frames.as_bytes()), chunk(b"")].concat();
        vec![self.stream_head(), Move::Send(body), Move::Told(TOLD), Move::End(End::Finished)]
    }

    /// Then this, before there is output. In a whole answer: in the middle of it.
    fn early(&self, then: Vec<Move>) -> Vec<Move> {
        if !self.is_stream {
            return self.half(then);
        }
        let mut moves = vec![self.stream_head()];
        moves.extend(self.words.opening(&words::Say::default()).iter().map(|frame| Move::Send(chunk(frame))));
        moves.extend(then);
        moves
    }

    /// Then this, after the client has seen some output.
    fn late(&self, then: Vec<Move>) -> Vec<Move> {
        let said = (0..2).map(|at| Move::Piece(chunk(&self.words.piece(at, PIECE))));
        self.early([said.collect(), vec![Move::Seen], then].concat())
    }

    fn half(&self, then: Vec<Move>) -> Vec<Move> {
        let body = self.words.whole(&words::Say::default()).to_string().into_bytes();
        let head = head(200, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
        [vec![Move::Send([head, chunk(&body[..body.len() / 2])].concat())], then].concat()
    }

    fn endless(&self, text: &str, every: Duration) -> Vec<Move> {
        if !self.is_stream {
            return self.half(vec![Move::Again(chunk(&b" ".repeat(text.len())), every)]);
        }
        let piece = String::from_utf8(self.words.piece(2, text)).expect("text");
        let numbered = piece.replace(&words::number(2), &words::number(moves::NUMBER));
        self.late(vec![Move::Pieces(numbered, 2, every)])
    }
}

fn half_a_head() -> Move {
    Move::Send(b"HTTP/1.1 200 OK\r\ncontent-type: applica".to_vec())
}

fn huge_head() -> Move {
    let lines = "x-more: and more and more and more\r\n".repeat(HUGE_HEAD_LINES);
    Move::Send(format!("HTTP/1.1 200 OK\r\n{lines}").into_bytes())
}

/// The length of a piece is no number.
fn bad_chunk() -> Move {
    Move::Send(b"brick\r\n".to_vec())
}

/// An event that is no JSON, behind its last line.
fn nonsense() -> Move {
    Move::Send(chunk(b"data: {\"choices\":[{\"delta\":{\"cont\n\n"))
}

fn huge_line() -> Move {
    Move::Send([chunk(b"data: {\"x\":\""), chunk(&vec![b'x'; HUGE_LINE_BYTES])].concat())
}

/// The same bytes in slices.
fn sliced(moves: Vec<Move>, size: usize, every: Duration) -> Vec<Move> {
    let slice = |one| match one {
        Move::Send(bytes) => Move::Slices(bytes, size, every),
        other => other,
    };
    moves.into_iter().map(slice).collect()
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    super::wire::head(status, headers)
}

/// One piece of a chunked body; the last one is empty.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// One event as this family frames it.
fn event(name: Option<&str>, data: &Value) -> Vec<u8> {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n").into_bytes(),
        None => format!("data: {data}\n\n").into_bytes(),
    }
}
