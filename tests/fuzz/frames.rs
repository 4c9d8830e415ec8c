//! AWS event streams: however the bytes are cut the same messages come out, and what is damaged is never taken for one.

use bytes::Bytes;
use codec::frame::aws::Splitter;

use crate::driver::{Corpus, drive};

/// A message of this payload, as AWS frames it.
fn message(kind: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", kind)] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut out = [length.to_be_bytes(), u32::try_from(headers.len()).unwrap().to_be_bytes()].concat();
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut splitter = Splitter::default();
    let mut messages = Vec::new();
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        loop {
            match splitter.next_message() {
                Ok(Some(message)) => messages.push(message.payload.to_vec()),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fn target(input: &[u8]) {
    let whole = read(std::iter::once(input));
    for size in [1, 5, 37] {
        assert_eq!(read(input.chunks(size)), whole, "in pieces of {size}");
    }
}

#[test]
fn any_frames_are_read_the_same_however_they_are_cut() {
    let one = message("contentBlockDelta", r#"{"delta":{"text":"x"},"contentBlockIndex":0}"#);
    let two = [one.clone(), message("messageStop", r#"{"stopReason":"end_turn"}"#)].concat();
    let inputs = vec![one, two, message("", ""), vec![0; 16]];
    drive("frames", &Corpus { inputs, words: &["\u{0}\u{0}\u{0}", ":event-type", "{}", "\u{1}", "\u{7f}"] }, target);
}
