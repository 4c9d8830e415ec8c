//! The policy of streams, the same for all dialects: how an end is judged. Dialects only say what they saw.
//! An end without a finish is never called success.

use crate::fault::UpstreamError;
use crate::tap::Tap;

/// How a stream from a provider ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// Every choice that was begun has said why it ended, or the stream said that it was done and one had.
    Finished,
    /// It stopped before that.
    Truncated,
    /// The provider reported an error within the stream.
    InBandError(UpstreamError),
    /// The stream said that it was done, and there was neither output nor a finish.
    Empty,
    /// An event was larger than is held.
    Oversized,
    /// It ended well, but its text is not of the shape that was promised.
    Broken,
}

/// Judges an end. Errors go before everything: what follows one is no answer.
pub(crate) fn judge(tap: &Tap, is_oversized: bool) -> StreamEnd {
    if let Some(error) = tap.upstream_error() {
        return StreamEnd::InBandError(error.clone());
    }
    if is_oversized {
        return StreamEnd::Oversized;
    }
    if tap.all_finished() || (tap.is_done() && tap.has_finish()) {
        return StreamEnd::Finished;
    }
    if tap.is_done() && !tap.has_output() { StreamEnd::Empty } else { StreamEnd::Truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_judged_by_what_was_seen() {
        let mut tap = Tap::default();
        assert_eq!(judge(&tap, false), StreamEnd::Truncated);
        tap.note_choice(0);
        tap.note_content(3);
        assert_eq!(judge(&tap, false), StreamEnd::Truncated);
        tap.note_done();
        assert_eq!(judge(&tap, false), StreamEnd::Truncated, "done without a reason is a cut");
        tap.note_finish(0, "stop");
        assert_eq!(judge(&tap, false), StreamEnd::Finished);
        assert_eq!(judge(&tap, true), StreamEnd::Oversized);
        tap.note_error(UpstreamError::default());
        assert_eq!(judge(&tap, true), StreamEnd::InBandError(UpstreamError::default()));
    }

    #[test]
    fn nothing_at_all_is_empty_only_when_the_provider_says_done() {
        let mut tap = Tap::default();
        tap.note_done();
        assert_eq!(judge(&tap, false), StreamEnd::Empty);
    }
}
