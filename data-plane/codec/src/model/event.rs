//! A streamed answer, event by event. Egress halves make well-formed sequences, ingress halves rely on it:
//! `Begin` first, once; then for each part `Start`, pieces, `End`, with part numbers that rise from 0 in each choice (parts
//! of one choice may overlap only where the provider interleaves calls); all parts of a choice ended before its `Finish`;
//! usage anywhere, the last one counts. Nothing is held back but the pieces of one frame.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::{Finish, Media, Signature};

#[derive(Debug, Clone)]
pub(crate) enum Event<'a> {
    Begin {
        /// The provider's id; empty when it gave none.
        id: Cow<'a, str>,
        /// Unix seconds; 0 when the provider does not say.
        created: u64,
    },
    Start {
        choice: u32,
        part: u32,
        start: Start<'a>,
    },
    Piece {
        choice: u32,
        part: u32,
        piece: Piece<'a>,
    },
    End {
        choice: u32,
        part: u32,
    },
    Finish {
        choice: u32,
        finish: Finish,
        /// The provider's own word.
        native: Cow<'a, str>,
        stopped_at: Option<Cow<'a, str>>,
    },
    Usage {
        usage: TokenUsage,
        is_final: bool,
    },
}

/// What kind of part begins.
#[derive(Debug, Clone)]
pub(crate) enum Start<'a> {
    Text,
    Refusal,
    Thought {
        id: Option<Cow<'a, str>>,
        is_summary: bool,
        is_redacted: bool,
    },
    ToolCall {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        /// Known at once where calls come whole; clients of other dialects get it inside the id.
        signature: Option<Signature<'a>>,
    },
    /// Comes whole: no pieces follow.
    Media(Media<'a>),
    /// What only the provider's dialect can say, whole and as it was written.
    Other {
        #[allow(
            dead_code,
            reason = "streams are translated to other dialects only, which have no place for it; tests fold it"
        )]
        raw: Cow<'a, str>,
    },
}

/// A piece of the part that is open.
#[derive(Debug, Clone)]
pub(crate) enum Piece<'a> {
    /// Text, refusal or reasoning.
    Text(Cow<'a, str>),
    /// A piece of a call's arguments: JSON text.
    Arguments(Cow<'a, str>),
    /// The signature of this part, whole.
    Signature(Signature<'a>),
    /// Log probabilities of the last text, as OpenAI's chat writes them.
    Logprobs(Cow<'a, str>),
    /// A citation as the provider's dialect writes it.
    Annotation(Cow<'a, str>),
}
