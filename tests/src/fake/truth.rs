//! The truth log: what arrived, byte for byte, and what really happened to it.

use std::sync::Mutex;

use super::lock;
use super::wire::Asked;
use crate::money::Tokens;

/// One request as the provider saw it.
#[derive(Debug)]
pub struct Served {
    pub sequence: u64,
    /// The id that the answer carries.
    pub id: String,
    /// The first segment of the path.
    pub provider: String,
    pub path: String,
    /// Request line and headers as they came.
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub tag: String,
    pub model: String,
    pub is_stream: bool,
    progress: Mutex<Produced>,
}

/// What was produced so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// Pieces of text that left.
    pub chunks: usize,
    /// Bytes of the answer's body that left.
    pub bytes: usize,
    /// The usage that was told, if it was.
    pub usage: Option<Tokens>,
    pub end: End,
}

/// How it ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Still at it.
    Open,
    /// Everything was sent.
    Finished,
    /// Answered with this error status.
    Refused(u16),
    /// Broken by the script.
    Broken,
    /// The gateway hung up.
    Left,
}

impl Served {
    pub(super) fn new(sequence: u64, asked: Asked) -> Served {
        let progress = Produced { chunks: 0, bytes: 0, usage: None, end: End::Open };
        Served {
            sequence,
            id: format!("chatcmpl-fake{sequence:012}"),
            provider: asked.path.split('/').nth(1).unwrap_or_default().to_owned(),
            tag: asked.text("fake"),
            model: asked.model(),
            is_stream: asked.is_stream(),
            path: asked.path,
            head: asked.head,
            headers: asked.headers,
            body: asked.body,
            progress: Mutex::new(progress),
        }
    }

    pub fn produced(&self) -> Produced {
        *lock(&self.progress)
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(present, _)| present.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Produced)) {
        change(&mut lock(&self.progress));
    }
}
