//! What the fake does with a request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::fault::Fault;
use super::strict::Family;
use crate::money::Tokens;

/// What one tag means, provider by provider and turn by turn.
#[derive(Clone, Debug, Default)]
pub struct Script {
    everywhere: Vec<Reply>,
    at: Vec<(String, Vec<Reply>)>,
}

impl Script {
    /// The same at every provider: one reply after the other, the last one for good.
    pub fn turns(replies: impl IntoIterator<Item = Reply>) -> Script {
        Script { everywhere: replies.into_iter().collect(), at: Vec::new() }
    }

    /// At this provider something else.
    pub fn at(mut self, provider: &str, reply: impl Into<Reply>) -> Script {
        self.at.push((provider.to_owned(), vec![reply.into()]));
        self
    }

    pub(super) fn reply(&self, provider: &str, turn: usize) -> Reply {
        let special = self.at.iter().find(|(name, _)| name == provider).map(|(_, replies)| replies);
        let replies = special.unwrap_or(&self.everywhere);
        let reply = replies.get(turn).or(replies.last());
        reply.cloned().unwrap_or_else(|| Reply::from(Answer::default()))
    }
}

impl From<Reply> for Script {
    fn from(reply: Reply) -> Script {
        Script::turns([reply])
    }
}

impl From<Answer> for Script {
    fn from(answer: Answer) -> Script {
        Script::turns([Reply::from(answer)])
    }
}

/// One way to treat a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An answer, streamed if the request asks for that.
    Answer(Box<Answer>),
    /// These bytes, in pieces of `piece` bytes.
    Bytes { status: u16, content_type: &'static str, headers: Vec<(String, String)>, body: Vec<u8>, piece: usize },
    /// Reads the request and says nothing.
    Silence,
    /// Closes without an answer.
    HangUp,
    /// Resets the connection without an answer.
    Reset,
    /// A bad day of a provider that speaks this family.
    Fault(Family, Fault),
}

impl From<(Family, Fault)> for Reply {
    fn from((family, fault): (Family, Fault)) -> Reply {
        Reply::Fault(family, fault)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        Reply::Answer(Box::new(answer))
    }
}

impl Reply {
    /// OpenAI's error object with a status.
    pub fn status(status: u16) -> Reply {
        Reply::error(status, &format!("the fake says {status}"))
    }

    pub fn error(status: u16, message: &str) -> Reply {
        let body = serde_json::json!({"error": {"message": message, "type": "fake_error", "param": null, "code": "fake_code"}});
        Reply::json(status, &body.to_string())
    }

    pub fn json(status: u16, body: &str) -> Reply {
        Reply::Bytes {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            piece: usize::MAX,
        }
    }

    /// 429 with `Retry-After`, or without.
    pub fn too_many(retry_after: Option<u32>) -> Reply {
        Reply::status(429).with(retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())))
    }

    /// The same bytes with these headers.
    pub fn with(self, headers: impl IntoIterator<Item = (String, String)>) -> Reply {
        match self {
            Reply::Bytes { status, content_type, body, piece, .. } => {
                Reply::Bytes { status, content_type, headers: headers.into_iter().collect(), body, piece }
            }
            other => other,
        }
    }

    /// A page of a machine in between.
    pub fn html_502() -> Reply {
        let body = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n";
        Reply::Bytes {
            status: 502,
            content_type: "text/html",
            headers: Vec::new(),
            body: body.to_vec(),
            piece: usize::MAX,
        }
    }

    /// Recorded bytes.
    pub fn replay(body: &[u8], is_stream: bool, piece: usize) -> Reply {
        let content_type = if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
        Reply::Bytes { status: 200, content_type, headers: Vec::new(), body: body.to_vec(), piece }
    }
}

/// An answer of so many tokens.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the usage says.
    pub tokens: Tokens,
    /// Pieces of text, four letters each.
    pub chunks: usize,
    /// The text of every piece; four letters when it is none.
    pub text: Option<String>,
    /// Before the head of the answer.
    pub first_byte: Duration,
    /// Before each piece of text.
    pub pace: Pace,
    pub usage: Usage,
    pub ending: Ending,
    /// Whether the connection is kept.
    pub keeps: bool,
}

impl Default for Answer {
    fn default() -> Answer {
        Answer::of(12, 8)
    }
}

impl Answer {
    /// So many tokens of prompt and of completion; each piece of a stream is one token.
    pub fn of(prompt: u64, completion: u64) -> Answer {
        Answer::tokens(Tokens { prompt, completion, ..Tokens::default() })
    }

    pub fn tokens(tokens: Tokens) -> Answer {
        Answer {
            tokens,
            chunks: usize::try_from(tokens.completion).expect("a small number"),
            text: None,
            first_byte: Duration::ZERO,
            pace: Pace::None,
            usage: Usage::Last,
            ending: Ending::Good,
            keeps: true,
        }
    }

    pub fn chunks(self, chunks: usize) -> Answer {
        Answer { chunks, ..self }
    }

    pub fn text(self, text: &str) -> Answer {
        Answer { text: Some(text.to_owned()), ..self }
    }

    pub fn first_byte(self, first_byte: Duration) -> Answer {
        Answer { first_byte, ..self }
    }

    pub fn every(self, interval: Duration) -> Answer {
        Answer { pace: Pace::Every(interval), ..self }
    }

    /// Each piece waits until the gate lets it through.
    pub fn gated(self, gate: &Gate) -> Answer {
        Answer { pace: Pace::Gate(gate.clone()), ..self }
    }

    pub fn usage(self, usage: Usage) -> Answer {
        Answer { usage, ..self }
    }

    pub fn ending(self, ending: Ending) -> Answer {
        Answer { ending, ..self }
    }
}

/// When the pieces of a stream leave.
#[derive(Clone, Debug)]
pub enum Pace {
    None,
    Every(Duration),
    Gate(Gate),
}

/// Lets pieces of streams through, so that a test decides when.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Gate {
        Gate(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// So many more pieces may pass.
    pub fn let_through(&self, pieces: usize) {
        self.0.add_permits(pieces);
    }

    /// Everything may pass from now on.
    pub fn open(&self) {
        self.let_through(Semaphore::MAX_PERMITS / 2);
    }

    pub(super) async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// How usage is told in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// As OpenAI does: in a last piece of its own, and only when asked.
    Last,
    /// Never, asked or not; nor in whole answers.
    Missing,
    /// On the piece with the finish reason and again in one of its own, as Groq does.
    Twice,
    /// On the piece with the finish reason.
    WithFinish,
    /// A running count on every piece.
    Running,
}

/// How a stream ends. Whole answers know only `Good`, `Reset` and `Torn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Good,
    /// Goes on saying nothing.
    Stall,
    /// The connection is reset.
    Reset,
    /// The HTTP body ends well, without a finish reason and without `[DONE]`.
    Short,
    /// The connection is closed inside the body.
    Torn,
    /// A finish reason, but no `[DONE]`.
    NoDone,
    /// An error event.
    Error,
    /// A line without end.
    HugeLine,
    /// Pieces without end.
    Endless,
}
