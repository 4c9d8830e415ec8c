//! The one form of a request that both sides of AWS Signature Version 4 compute. Pure; never sees a key.

use std::collections::BTreeMap;

use crate::upstream::route::digit;

/// What is signed of a request.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// As it stands in the request line, encoded.
    pub(super) path: &'a str,
    /// Without its question mark.
    pub(super) query: &'a str,
    /// Names in small letters.
    pub(super) headers: Vec<(&'a str, &'a [u8])>,
    /// The hash of the body.
    pub(super) payload: &'a str,
}

impl Request<'_> {
    /// The canonical request, and the names of its headers.
    pub(super) fn canonical(self) -> (String, String) {
        let mut headers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in self.headers {
            let values = headers.entry(name).or_default();
            values.push_str(if values.is_empty() { "" } else { "," });
            values.push_str(&trimmed(value));
        }
        let names = headers.keys().copied().collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (method, path, query, payload) = (self.method, path(self.path), query(self.query), self.payload);
        (format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"), names)
    }
}

/// A value without white space at its ends, and one space for each run of them within.
fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path without its redundant parts, encoded once more than it is.
fn path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let mut text: String = segments.iter().flat_map(|segment| ["/".to_owned(), encoded(segment.bytes())]).collect();
    if text.is_empty() || is_folder {
        text.push('/');
    }
    text
}

/// The query's pairs in order, encoded in the one right way.
fn query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(decoded(name)), encoded(decoded(value)))
        })
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte => text.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
        text
    })
}

fn decoded(text: &str) -> Vec<u8> {
    let (mut rest, mut bytes) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let Some((byte, behind)) = rest.split_first() {
        let pair = behind.get(..2).filter(|_| *byte == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|pair| !pair.starts_with('+')).and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    bytes
}

/// Bytes in small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| digit(half).to_ascii_lowercase()).collect()
}
