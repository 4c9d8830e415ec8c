//! What in the messages is not text: it is priced in another way. May see too little, never too much; what it misses is held
//! for as text.

use crate::json::{Text, Watch};

/// Shorter strings are text, whatever they look like.
const MEDIA_FLOOR: usize = 256;
/// Keys under which a message part carries something that is not text.
const MEDIA_KEYS: [&[u8]; 10] = [
    b"image_url",
    b"input_audio",
    b"file",
    b"video_url",
    b"document_url",
    b"input_image",
    b"inlineData",
    b"inline_data",
    b"fileData",
    b"file_data",
];

/// The count, and a word that is looked out for on the way.
#[derive(Default)]
pub(super) struct Media {
    pub keys: u64,
    pub strings: u64,
    pub bytes: u64,
    /// Whether the last key was one that carries bare base64.
    bare_data: bool,
    /// A word to look out for, and whether some text is it.
    word: &'static str,
    pub has_met: bool,
}

impl Media {
    pub fn looking_for(word: &'static str) -> Self {
        Media { word, ..Media::default() }
    }
}

impl Watch for Media {
    #[inline]
    fn key(&mut self, bytes: &[u8], key: Text) {
        let name = key.span.of(bytes);
        self.bare_data = name == b"data";
        if name.len() >= 4 && MEDIA_KEYS.contains(&name) {
            self.keys += 1;
        }
    }

    #[inline]
    fn string(&mut self, bytes: &[u8], text: Text) {
        self.has_met |= text.is(self.word, bytes);
        if text.span.len() >= MEDIA_FLOOR {
            let raw = text.span.of(bytes);
            if raw.starts_with(b"data:") || (self.bare_data && is_base64(raw)) {
                self.strings += 1;
                self.bytes += count(raw.len());
            }
        }
    }
}

fn is_base64(raw: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\');
    raw.iter().fold(true, |all, byte| all & is_digit(byte))
}

/// A length as a count.
pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
