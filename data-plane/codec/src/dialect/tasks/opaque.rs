//! An answer that means nothing here, such as sound: its bytes pass as they are and as they come. What it costs is known
//! from the request alone. Must never hold a byte back.

use domain::usage::TokenUsage;

use super::whole::DONE;
use crate::tap::Tap;

/// What is known of such an answer. To be made when its first bytes are there.
#[derive(Debug, Clone)]
pub struct Opaque {
    tap: Tap,
}

impl Opaque {
    /// An answer that has begun; `units` is what is billed by the piece, as the request says.
    pub fn begun(units: TokenUsage) -> Opaque {
        let mut tap = Tap::default();
        tap.note_choice(0);
        tap.note_content(0);
        tap.note_usage(units, true);
        Opaque { tap }
    }

    /// The last byte has come, and nothing is missing.
    pub fn finish(&mut self) {
        self.tap.note_finish(0, DONE);
    }

    /// What is known so far.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }
}

#[cfg(test)]
mod tests {
    use domain::usage::UsageSource;

    use super::*;

    #[test]
    fn what_was_asked_for_is_billed_from_the_first_byte_on_and_only_the_end_is_a_finish() {
        let units = TokenUsage { characters: 12, ..TokenUsage::default() };
        let mut answer = Opaque::begun(units);
        assert_eq!((answer.tap().usage(), answer.tap().usage_source()), (Some(units), UsageSource::ProviderFinal));
        assert!(answer.tap().has_output() && !answer.tap().has_finish());
        answer.finish();
        assert_eq!((answer.tap().finish_reason().as_ref(), answer.tap().all_finished()), ("stop", true));
    }
}
