//! What comes back from a provider, read as far as it is needed: kinds and waiting times from its headers, pieces of its
//! body, all of it bounded. Never judges; that is `judge`.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use domain::time::Timestamp;

use crate::upstream::{ReplyBody, reading::Fields};

/// Whether a body came unpacked, as it was asked for.
pub(super) fn is_identity(fields: &Fields) -> bool {
    fields.get("content-encoding").is_none_or(|value| value.eq_ignore_ascii_case(b"identity"))
}

/// Whether a body is a stream of this kind.
pub(super) fn is_stream(fields: &Fields, wanted: &str) -> bool {
    let kind = fields.get("content-type").unwrap_or_default();
    kind.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Whether a body is neither JSON nor text: sound, pictures, anything that is of use to a client piece by piece. What does
/// not say what it is may be an error, and is none.
pub(super) fn is_media(fields: &Fields) -> bool {
    let kind = fields.get("content-type").unwrap_or_default();
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let is_json = essence == b"application/json" || essence.ends_with(b"+json");
    !(essence.is_empty() || is_json || essence.starts_with(b"text/"))
}

/// When a provider wants to be asked again: milliseconds, seconds, or a date, which is as good as both clocks are.
pub(super) fn retry_after(fields: &Fields, now: impl FnOnce() -> Timestamp) -> Option<Duration> {
    let text = |name| std::str::from_utf8(fields.get(name)?).ok().map(str::trim);
    let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
    let until = |text: &str| {
        let then = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(then.saturating_sub(Duration::from_micros(u64::try_from(now().us()).ok()?)))
    };
    if let Some(ms) = text("retry-after-ms").and_then(seconds) {
        return Some(ms / 1_000);
    }
    let after = text("retry-after")?;
    seconds(after).or_else(|| until(after))
}

/// The beginning of a body, or all of it; what was cut off is left out.
pub(super) async fn read(mut body: ReplyBody, most: usize) -> Bytes {
    let mut pieces = Pieces::default();
    while let Some(Ok(data)) = body.data().await {
        pieces.add(data);
        if pieces.len() > most {
            break;
        }
    }
    pieces.join()
}

/// A body in the making; one that comes in a single piece is never copied.
#[derive(Default)]
pub(super) struct Pieces {
    first: Bytes,
    rest: BytesMut,
}

impl Pieces {
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    pub fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.rest.extend_from_slice(&first);
        self.rest.extend_from_slice(&data);
    }

    pub fn join(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.add(name, value.as_bytes()));
        fields
    }

    #[test]
    fn streams_are_known_by_their_media_type() {
        const EVENTS: &str = "text/event-stream";
        assert!(is_stream(&fields(&[("content-type", "text/event-stream; charset=utf-8")]), EVENTS));
        assert!(is_stream(&fields(&[("content-type", "Text/Event-Stream")]), EVENTS));
        assert!(!is_stream(&fields(&[("content-type", "application/json")]), EVENTS));
        assert!(!is_stream(&fields(&[]), EVENTS));
    }

    #[test]
    fn only_what_says_that_it_is_no_text_is_passed_on_unread() {
        for (kind, is) in [
            ("audio/mpeg", true),
            ("Audio/PCM; rate=24000", true),
            ("application/octet-stream", true),
            ("Application/JSON; charset=utf-8", false),
            ("application/problem+json", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_media(&fields(&[("content-type", kind)])), is, "{kind}");
        }
        assert!(!is_media(&fields(&[])));
    }

    #[test]
    fn answers_that_are_packed_all_the_same_are_not_understood() {
        assert!(is_identity(&fields(&[])));
        assert!(is_identity(&fields(&[("content-encoding", "Identity")])));
        assert!(!is_identity(&fields(&[("content-encoding", "gzip")])));
    }

    #[test]
    fn waiting_times_are_read_however_they_are_written() {
        let now = || Timestamp::from_us(1_792_567_650_000_000);
        let wait = |pairs: &[(&str, &str)]| retry_after(&fields(pairs), now);
        assert_eq!(wait(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(wait(&[("retry-after", "3"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), Some(Duration::from_secs(30)));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2020 07:28:00 GMT")]), Some(Duration::ZERO), "it has passed");
        for odd in ["-1", "soon", "1e400", "NaN", ""] {
            assert_eq!(wait(&[("retry-after", odd)]), None, "{odd}");
        }
    }

    #[test]
    fn a_body_in_one_piece_is_not_copied() {
        let one = Bytes::from_static(b"one");
        let mut pieces = Pieces::default();
        pieces.add(one.clone());
        assert_eq!(pieces.join().as_ptr(), one.as_ptr());
        let mut pieces = Pieces::default();
        for piece in ["a", "bc", "d"] {
            pieces.add(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(pieces.join(), "abcd");
    }
}
