//! What comes back from a provider, read as far as it is needed: kinds and waiting times from its headers, pieces of its
//! body, all of it bounded. Never judges; that is `judge`.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::Body as _;

use crate::upstream::{self, ReplyBody};

/// Whether a body came unpacked, as it was asked for.
pub(super) fn is_identity(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether a body is a stream of events.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..KIND.len()).is_some_and(|start| start.eq_ignore_ascii_case(KIND))
}

/// When a provider wants to be asked again: milliseconds, or whole seconds. Dates are not read; they need a shared clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |value: &HeaderValue| value.to_str().ok()?.trim().parse::<u64>().ok();
    let ms = headers.get("retry-after-ms").and_then(number).map(Duration::from_millis);
    ms.or_else(|| headers.get(RETRY_AFTER).and_then(number).map(Duration::from_secs))
}

/// The next piece of an answer; none at its end.
pub(super) async fn next(body: &mut ReplyBody) -> Option<Result<Bytes, upstream::UpstreamError>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // Trailers say nothing that is passed on.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The beginning of a body, or all of it; what was cut off is left out.
pub(super) async fn read(mut body: ReplyBody, most: usize) -> Bytes {
    let mut pieces = Pieces::default();
    while let Some(Ok(data)) = next(&mut body).await {
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

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn streams_are_known_by_their_media_type() {
        assert!(is_event_stream(&headers(&[("content-type", "text/event-stream; charset=utf-8")])));
        assert!(is_event_stream(&headers(&[("content-type", "Text/Event-Stream")])));
        assert!(!is_event_stream(&headers(&[("content-type", "application/json")])));
        assert!(!is_event_stream(&headers(&[])));
    }

    #[test]
    fn answers_that_are_packed_all_the_same_are_not_understood() {
        assert!(is_identity(&headers(&[])));
        assert!(is_identity(&headers(&[("content-encoding", "Identity")])));
        assert!(!is_identity(&headers(&[("content-encoding", "gzip")])));
    }

    #[test]
    fn waiting_times_are_read_in_both_units() {
        assert_eq!(retry_after(&headers(&[("retry-after", "3")])), Some(Duration::from_secs(3)));
        assert_eq!(
            retry_after(&headers(&[("retry-after", "3"), ("retry-after-ms", "250")])),
            Some(Duration::from_millis(250))
        );
        assert_eq!(retry_after(&headers(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")])), None);
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
