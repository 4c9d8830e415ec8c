//! Writes JSON in pieces: short texts are copied into one buffer, long ones that lie in a source (an image in a request)
//! are shared with it. Commas come by themselves. Never reads what it writes.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::patch::Segments;

/// Texts from this length on are shared rather than copied, where they can be.
const SHARED: usize = 4 * 1024;

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// A JSON text in the making.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What long texts may be slices of: mostly one.
    sources: SmallVec<[Bytes; 1]>,
    parts: Vec<Bytes>,
    buffer: Vec<u8>,
    /// The last byte written; says whether a comma is due.
    last: u8,
}

impl Writer {
    /// A writer that shares long texts with `source`.
    pub fn new(source: &Bytes) -> Writer {
        let sources = SmallVec::from([source.clone()]);
        Writer { sources, parts: Vec::new(), buffer: Vec::with_capacity(1024), last: b'[' }
    }

    /// Lets long texts be shared with these as well.
    pub fn share(&mut self, more: impl Iterator<Item = Bytes>) {
        self.sources.extend(more);
    }

    /// A writer that goes on behind what is in `buffer`, as one more text: nothing is shared.
    pub fn into(buffer: Vec<u8>) -> Writer {
        Writer { sources: SmallVec::new(), parts: Vec::new(), buffer, last: b'[' }
    }

    /// The buffer again; only of a writer made by [`Writer::into`].
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Everything written.
    pub fn finish(mut self) -> Segments {
        if self.parts.is_empty() {
            return Bytes::from(self.buffer).into();
        }
        self.flush();
        self.parts.into()
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.parts.push(std::mem::take(&mut self.buffer).into());
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn comma(&mut self) {
        if !matches!(self.last, b'{' | b'[' | b':' | b',') {
            self.put(b",");
        }
    }

    /// Bytes around the JSON, such as the framing of an event. What follows starts afresh.
    pub fn frame(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.last = b'[';
    }

    pub fn begin_object(&mut self) {
        self.comma();
        self.put(b"{");
    }

    pub fn end_object(&mut self) {
        self.put(b"}");
    }

    pub fn begin_array(&mut self) {
        self.comma();
        self.put(b"[");
    }

    pub fn end_array(&mut self) {
        self.put(b"]");
    }

    /// The name of the next value.
    pub fn key(&mut self, name: &str) {
        self.string(name);
        self.put(b":");
    }

    pub fn string(&mut self, text: &str) {
        self.begin_string();
        self.text(text);
        self.end_string();
    }

    /// Begins a string that is written in several parts.
    pub fn begin_string(&mut self) {
        self.comma();
        self.put(b"\"");
    }

    /// A part of a string.
    pub fn text(&mut self, text: &str) {
        if !is_plain(text.as_bytes()) {
            return self.escaped(text);
        }
        match self.shared(text) {
            Some(slice) => {
                self.flush();
                self.parts.push(slice);
            }
            None => self.buffer.extend_from_slice(text.as_bytes()),
        }
    }

    pub fn end_string(&mut self) {
        self.put(b"\"");
    }

    /// The same bytes where they lie in a source.
    fn shared(&self, text: &str) -> Option<Bytes> {
        if text.len() < SHARED {
            return None;
        }
        let inner = text.as_bytes().as_ptr_range();
        let has = |source: &&Bytes| {
            let source = source.as_ptr_range();
            source.start <= inner.start && inner.end <= source.end
        };
        self.sources.iter().find(has).map(|source| source.slice_ref(text.as_bytes()))
    }

    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.buffer.reserve(bytes.len() + bytes.len() / 16 + 8);
        let (mut plain, mut at) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            // Most of a text needs no escapes: it is looked at in blocks.
            if bytes.get(at..at + BLOCK).is_some_and(is_plain) {
                at += BLOCK;
                continue;
            }
            if is_plain(&[*byte]) {
                at += 1;
                continue;
            }
            self.buffer.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
            self.escape(*byte);
            at += 1;
            plain = at;
        }
        self.buffer.extend_from_slice(bytes.get(plain..).unwrap_or_default());
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let short = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x8 => b'b',
            0xc => b'f',
            0..0x20 => {
                return self.buffer.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            other => other,
        };
        self.buffer.extend_from_slice(&[b'\\', short]);
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.comma();
        match self.shared(json) {
            Some(slice) => {
                self.flush();
                self.last = slice.last().copied().unwrap_or(self.last);
                self.parts.push(slice);
            }
            None => self.put(json.as_bytes()),
        }
    }

    /// The same on one line, for framings in which a line ends a value: clients and providers may write JSON over several.
    pub fn line(&mut self, json: &str) {
        if json.bytes().all(|byte| byte >= 0x20) {
            return self.raw(json);
        }
        self.comma();
        let (mut is_string, mut is_escaped) = (false, false);
        for byte in json.bytes() {
            match byte {
                0..0x20 if is_string => self.escaped(std::str::from_utf8(&[byte]).unwrap_or_default()),
                0..0x20 => {}
                _ => self.put(&[byte]),
            }
            is_string ^= byte == b'"' && !is_escaped;
            is_escaped = is_string && byte == b'\\' && !is_escaped;
        }
    }

    pub fn u64(&mut self, number: u64) {
        self.comma();
        let mut digits = itoa::Buffer::new();
        self.put(digits.format(number).as_bytes());
    }

    pub fn bool(&mut self, flag: bool) {
        self.raw(if flag { "true" } else { "false" });
    }

    pub fn null(&mut self) {
        self.raw("null");
    }

    // A field and its value in one; the `opt_` forms leave the field out when there is nothing.

    pub fn field_str(&mut self, name: &str, text: &str) {
        self.key(name);
        self.string(text);
    }

    pub fn field_raw(&mut self, name: &str, json: &str) {
        self.key(name);
        self.raw(json);
    }

    pub fn field_u64(&mut self, name: &str, number: u64) {
        self.key(name);
        self.u64(number);
    }

    pub fn field_bool(&mut self, name: &str, flag: bool) {
        self.key(name);
        self.bool(flag);
    }

    pub fn field_null(&mut self, name: &str) {
        self.key(name);
        self.null();
    }

    pub fn opt_str(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.field_str(name, text);
        }
    }

    pub fn opt_raw(&mut self, name: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.field_raw(name, json);
        }
    }

    pub fn opt_u64(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.field_u64(name, number);
        }
    }

    pub fn opt_bool(&mut self, name: &str, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.field_bool(name, flag);
        }
    }
}

/// Whether a text needs no escapes.
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, byte| plain & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_escapes_come_by_themselves() {
        let mut out = Writer::new(&Bytes::new());
        out.begin_object();
        out.field_str("a", "x\"\\\n\u{1}ä");
        out.field_u64("n", 7);
        out.opt_str("no", None);
        out.key("list");
        out.begin_array();
        out.begin_object();
        out.end_object();
        out.raw("{\"k\":[]}");
        out.null();
        out.begin_string();
        out.text("data:");
        out.text("x");
        out.end_string();
        out.end_array();
        out.field_bool("b", false);
        out.end_object();
        let text = out.finish().into_bytes();
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            r#"{"a":"x\"\\\n\u0001ä","n":7,"list":[{},{"k":[]},null,"data:x"],"b":false}"#
        );
    }

    #[test]
    fn what_is_json_already_can_be_put_on_one_line() {
        for (json, line) in [
            ("{\"a\":[1, 2]}", "{\"a\":[1, 2]}"),
            ("{\n  \"a\" :\t[1,\r\n2] }", "{  \"a\" :[1,2] }"),
            ("\n\"ä\\\" \\\\\"\n", "\"ä\\\" \\\\\""),
            ("[\"a\nb\",\n\"\\n\"]", "[\"a\\nb\",\"\\n\"]"),
            ("{\n}", "{}"),
        ] {
            let mut out = Writer::into(Vec::new());
            out.begin_array();
            out.null();
            out.line(json);
            out.end_array();
            assert_eq!(String::from_utf8(out.into_buffer()).unwrap(), format!("[null,{line}]"), "{json:?}");
        }
    }

    #[test]
    fn long_texts_of_the_source_are_shared_and_others_copied() {
        let body = Bytes::from(format!("\"{}\"", "A".repeat(5_000)));
        let inner = std::str::from_utf8(&body[1..5_001]).unwrap();
        let mut out = Writer::new(&body);
        out.begin_array();
        out.string(inner);
        out.string(&"B".repeat(5_000));
        out.raw(inner);
        out.end_array();
        let segments = out.finish();
        assert_eq!(segments.parts().iter().filter(|part| part.as_ptr() == inner.as_ptr()).count(), 2);
        let text = segments.into_bytes();
        assert_eq!(text.len(), 3 * 5_000 + 2 + 4 + 2);
        assert!(text.ends_with(b"A]"));
    }
}
