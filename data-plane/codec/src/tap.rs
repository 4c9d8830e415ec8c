//! What is learnt from an answer while its bytes go by: id, usage, finish, how much was produced. Filled by the dialects,
//! read by whoever settles. A tap that understands nothing never stops the bytes. Must never keep text of an answer.

use std::borrow::Cow;

use domain::usage::{TokenUsage, UsageSource};

use crate::fault::UpstreamError;

/// Bytes kept of ids and reasons that a provider writes.
const MAX_WORD: usize = 256;

/// What one answer has told so far.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    upstream_id: String,
    created: u64,
    finish_reason: Cow<'static, str>,
    usage: Option<TokenUsage>,
    usage_is_final: bool,
    /// Pieces and bytes relayed when it was told.
    told_at: (u64, u64),
    is_done: bool,
    has_output: bool,
    /// One bit for each choice met, and for each that said why it ended.
    opened: u128,
    finished: u128,
    has_failed: bool,
    deltas: u64,
    bytes: u64,
    unread: u64,
    upstream_error: Option<UpstreamError>,
    sequence: u64,
}

impl Tap {
    /// The answer's id at the provider; empty when it gave none.
    pub fn upstream_id(&self) -> &str {
        &self.upstream_id
    }

    /// When the answer was begun by the provider's clock, in unix seconds; 0 when it does not say.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// Why the (first) choice ended, in the words of the dialect; empty when it has not.
    pub fn finish_reason(&self) -> &Cow<'static, str> {
        &self.finish_reason
    }

    /// Whether it ended with the provider's own failure, though in good form: such an answer is passed on and is free.
    pub fn has_failed(&self) -> bool {
        self.has_failed || self.finish_reason == "error"
    }

    /// The provider's last word about usage. An explicit zero is a word.
    pub fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Whether that word came where it is the final one.
    pub fn usage_is_final(&self) -> bool {
        self.usage_is_final
    }

    /// What the usage to book rests on: the provider's final or running count, else our estimate of what was relayed,
    /// else nothing.
    pub fn usage_source(&self) -> UsageSource {
        match (self.usage.is_some(), self.usage_is_final) {
            (true, true) => UsageSource::ProviderFinal,
            (true, false) => UsageSource::ProviderPartial,
            (false, _) if self.has_output => UsageSource::Estimated,
            (false, _) => UsageSource::None,
        }
    }

    /// Whether anything was produced that a person or program could use.
    pub fn has_output(&self) -> bool {
        self.has_output
    }

    /// Whether the stream said that it was done.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether any choice said why it ended.
    pub fn has_finish(&self) -> bool {
        self.finished != 0
    }

    /// Whether every choice that was begun has ended.
    pub fn all_finished(&self) -> bool {
        self.opened != 0 && self.opened & !self.finished == 0
    }

    /// Pieces of the answer that could not be read.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// The error the provider reported in place of an answer, or within it.
    pub fn upstream_error(&self) -> Option<&UpstreamError> {
        self.upstream_error.as_ref()
    }

    /// The number that the next event for the client has, in dialects that number them.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn note_sequence(&mut self, next: u64) {
        self.sequence = next;
    }

    /// Tokens relayed, estimated without a vocabulary: providers send about one token a piece, and a token is seldom
    /// shorter than four bytes on average, so the larger of the number of pieces with content and a quarter of the
    /// bytes of text, reasoning and tool arguments, rounded up.
    pub fn estimated_output_tokens(&self) -> u64 {
        self.estimated_since((0, 0))
    }

    fn estimated_since(&self, (deltas, bytes): (u64, u64)) -> u64 {
        self.deltas.saturating_sub(deltas).max(self.bytes.saturating_sub(bytes).div_ceil(4))
    }

    /// The usage to book, and to tell: the provider's final word; its running count and an estimate of what was relayed
    /// since; or an estimate of everything. `likely_prompt` is what the request is taken for.
    pub fn booked_usage(&self, likely_prompt: u64) -> TokenUsage {
        match self.usage {
            Some(usage) if self.usage_is_final => usage,
            Some(usage) => {
                let told = usage.completion_total();
                // An output told before there was any, or none beside some, is a placeholder.
                let likely = match told == 0 || self.told_at == (0, 0) {
                    true => told.max(self.estimated_output_tokens()),
                    false => told.saturating_add(self.estimated_since(self.told_at)),
                };
                TokenUsage { completion: usage.completion.saturating_add(likely - told), ..usage }
            }
            None => {
                let completion = self.estimated_output_tokens();
                TokenUsage { prompt: likely_prompt, completion, ..TokenUsage::default() }
            }
        }
    }

    pub(crate) fn note_id(&mut self, id: &str) {
        self.upstream_id = cut(id);
    }

    pub(crate) fn note_created(&mut self, created: u64) {
        self.created = created;
    }

    pub(crate) fn note_choice(&mut self, index: u64) {
        self.opened |= bit(index);
    }

    pub(crate) fn note_finish(&mut self, index: u64, reason: &str) {
        self.opened |= bit(index);
        self.finished |= bit(index);
        if self.finish_reason.is_empty() || (index == 0 && self.finish_reason != reason) {
            self.finish_reason = usual_reason(reason).map_or_else(|| cut(reason).into(), Cow::Borrowed);
        }
    }

    /// The reason it ended for is a failure in the words of its dialect.
    pub(crate) fn note_failed(&mut self) {
        self.has_failed = true;
    }

    /// `bytes` of text, reasoning or arguments in one piece.
    pub(crate) fn note_content(&mut self, bytes: u64) {
        self.has_output = true;
        if bytes > 0 {
            self.deltas += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    pub(crate) fn note_usage(&mut self, usage: TokenUsage, is_final: bool) {
        self.usage = Some(usage);
        self.usage_is_final = is_final;
        self.told_at = (self.deltas, self.bytes);
    }

    pub(crate) fn note_done(&mut self) {
        self.is_done = true;
    }

    pub(crate) fn note_unread(&mut self) {
        self.unread += 1;
    }

    pub(crate) fn note_error(&mut self, error: UpstreamError) {
        self.upstream_error.get_or_insert(error);
    }
}

/// The reasons that nearly all answers end with need no copy.
fn usual_reason(reason: &str) -> Option<&'static str> {
    const USUAL: [&str; 6] = ["stop", "length", "tool_calls", "content_filter", "STOP", "MAX_TOKENS"];
    USUAL.into_iter().find(|usual| *usual == reason)
}

/// Choices above the 128 that may be asked for share the last bit.
fn bit(index: u64) -> u128 {
    1u128 << index.min(127)
}

fn cut(word: &str) -> String {
    let end = (0..=word.len().min(MAX_WORD)).rev().find(|at| word.is_char_boundary(*at)).unwrap_or(0);
    word.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_the_larger_of_pieces_and_bytes() {
        let mut tap = Tap::default();
        assert_eq!(tap.estimated_output_tokens(), 0);
        for _ in 0..3 {
            tap.note_content(1);
        }
        assert_eq!(tap.estimated_output_tokens(), 3);
        tap.note_content(98);
        assert_eq!(tap.estimated_output_tokens(), 26);
    }

    #[test]
    fn a_running_count_is_completed_by_an_estimate_and_a_placeholder_is_replaced() {
        let told = |completion| TokenUsage { prompt: 9, completion, reasoning: 0, ..TokenUsage::default() };
        let mut tap = Tap::default();
        tap.note_usage(told(1), false);
        assert_eq!(tap.booked_usage(5), told(1), "nothing was relayed");
        tap.note_content(40);
        assert_eq!(tap.booked_usage(5), told(10), "a placeholder");
        tap.note_usage(told(0), false);
        assert_eq!(tap.booked_usage(5), told(10), "none beside some");
        tap.note_usage(told(12), false);
        assert_eq!(tap.booked_usage(5), told(12), "a running count");
        tap.note_content(8);
        assert_eq!(tap.booked_usage(5), told(14), "and what came since");
        tap.note_usage(told(0), true);
        assert_eq!(tap.booked_usage(5), told(0), "a final zero is a word");
        assert_eq!(tap.usage_source(), UsageSource::ProviderFinal);
    }

    #[test]
    fn an_answer_is_finished_when_every_choice_is() {
        let mut tap = Tap::default();
        assert!(!tap.all_finished());
        tap.note_choice(0);
        tap.note_finish(1, "stop");
        assert!(!tap.all_finished());
        tap.note_finish(0, "length");
        assert!(tap.all_finished());
        assert_eq!(tap.finish_reason(), "length");
    }

    #[test]
    fn long_words_are_cut_between_letters() {
        let mut tap = Tap::default();
        tap.note_id(&"ä".repeat(1000));
        assert_eq!(tap.upstream_id().len(), 256);
        let mut odd = Tap::default();
        odd.note_id(&format!("x{}", "ä".repeat(1000)));
        assert_eq!(odd.upstream_id().len(), 255);
    }
}
