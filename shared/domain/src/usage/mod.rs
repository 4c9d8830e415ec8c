//! What one request used and cost, and how it ended.

mod trail;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ids::{EndpointId, KeyId, ModelId, OrgId, PlanId, ProviderId, RequestId};
use crate::money::Money;
use crate::orgs::BillingMode;
use crate::pools::PoolId;
use crate::time::Timestamp;

pub use trail::{Attempt, CLIENT_TIMEOUT, Step, Trail};

/// Tokens by class. The classes are disjoint: what was read from a cache is not in `prompt`, what was reasoned is not
/// in `completion`, audio is in neither. So sums are sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub prompt: u64,
    pub cache_read: u64,
    /// Written to a cache that lives minutes.
    pub cache_write: u64,
    /// Written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Visible answer tokens.
    pub completion: u64,
    pub reasoning: u64,
    pub audio_input: u64,
    pub audio_output: u64,
    /// Images made or read where they are billed by the piece.
    pub images: u64,
    pub web_searches: u64,
    /// Letters that were spoken, where speech is billed by them.
    pub characters: u64,
}

impl TokenUsage {
    /// Everything that went in, as OpenAI counts `prompt_tokens`.
    pub fn prompt_total(&self) -> u64 {
        [self.prompt, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Everything that came out, as OpenAI counts `completion_tokens`.
    pub fn completion_total(&self) -> u64 {
        [self.completion, self.reasoning, self.audio_output].into_iter().fold(0, u64::saturating_add)
    }

    /// Whether anything was produced.
    pub fn has_output(&self) -> bool {
        self.completion_total() > 0 || self.images > 0 || self.characters > 0
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word in books, logs and answers.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }

            /// The value with this word.
            pub fn parse(word: &str) -> Option<$name> {
                Self::ALL.iter().copied().find(|value| value.name() == word)
            }
        }
    };
}

words! {
    /// How an admitted request ended, and so whether it is charged (`reliability-security` 2.6).
    Outcome {
        /// The answer was finished; its usage is charged.
        Finished = "finished",
        /// The upstream gave nothing or failed before the first output: free.
        UpstreamError = "upstream_error",
        /// The upstream failed in mid-stream: free.
        UpstreamCut = "upstream_cut",
        /// Finished without output and without a reason: free.
        Empty = "empty",
        /// The client left before the upstream accepted: free.
        ClientLeftEarly = "client_left_early",
        /// The client left in mid-stream: what was produced is charged.
        ClientLeft = "client_left",
        /// The client read too slowly and was cut: charged like `ClientLeft`.
        SlowReader = "slow_reader",
        /// The hold ran out in mid-stream and could not be extended: what was used is charged.
        HoldExhausted = "hold_exhausted",
        /// Our own cap or deadline ended it: delivered output is charged.
        Capped = "capped",
        /// The proxy's shutdown deadline ended it: free.
        ShutDown = "shut_down",
        /// The proxy died with this request open: free; our cost is written off.
        AbortedByGateway = "aborted_by_gateway",
    }
}

impl Outcome {
    /// Whether the customer pays for what was used.
    pub fn is_charged(self) -> bool {
        matches!(
            self,
            Outcome::Finished | Outcome::ClientLeft | Outcome::SlowReader | Outcome::HoldExhausted | Outcome::Capped
        )
    }
}

words! {
    /// Where the token counts come from. An estimate never replaces a number that a provider gave.
    UsageSource {
        /// The provider's last word.
        ProviderFinal = "provider_final",
        /// The provider's running count when the stream ended early.
        ProviderPartial = "provider_partial",
        /// Our own count of what passed.
        Estimated = "estimated",
        /// Nothing was used.
        None = "none",
    }
}

/// One finished request: the terminal record. Carries no prompt, no answer, no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    pub request: RequestId,
    pub org: OrgId,
    pub key: KeyId,
    /// The key's budget pool that held money for this request, if the key has a budget.
    pub budget: Option<PoolId>,
    pub billing: BillingMode,
    pub plan: PlanId,
    /// The model as the caller wrote it, cut to 256 bytes.
    pub requested_model: String,
    /// What answered; none when nothing did.
    pub model: Option<ModelId>,
    pub provider: Option<ProviderId>,
    pub endpoint: Option<EndpointId>,
    /// Dialect names; `dialect_out` is empty when no attempt was made.
    pub dialect_in: Cow<'static, str>,
    pub dialect_out: Cow<'static, str>,
    /// Ordinal of the attempt that answered, from 1; the number of attempts made when none did.
    pub attempt: u32,
    /// The answer's id at the provider, cut to 256 bytes.
    pub upstream_id: String,
    pub usage: TokenUsage,
    pub usage_source: UsageSource,
    /// What the customer is charged.
    pub cost: Money,
    /// What was reserved at the end, for judging holds.
    pub held: Money,
    /// What we lose by not charging: our estimate of the provider's bill for a free outcome.
    pub written_off: Money,
    pub price_version: u64,
    pub is_byok: bool,
    pub outcome: Outcome,
    /// The finish reason in the caller's dialect, if any.
    pub finish_reason: Cow<'static, str>,
    /// What the client saw; 0 when it saw nothing.
    pub status: u16,
    pub streamed: bool,
    pub started_at: Timestamp,
    /// From arrival to the last byte.
    pub latency_ms: u64,
    /// From arrival to the first output byte; none when there was none.
    pub ttft_ms: Option<u64>,
    /// How it found its endpoint.
    #[serde(default)]
    pub trail: Trail,
}

/// The note a proxy makes before it calls a provider. Each has exactly one [`UsageRecord`] in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub request: RequestId,
    pub org: OrgId,
    pub key: KeyId,
    pub budget: Option<PoolId>,
    pub billing: BillingMode,
    pub plan: PlanId,
    pub requested_model: String,
    pub held: Money,
    pub started_at: Timestamp,
    pub streamed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_word() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.name()), Some(*outcome));
        }
    }

    #[test]
    fn errors_are_free_and_leaving_is_not() {
        assert!(!Outcome::UpstreamCut.is_charged());
        assert!(!Outcome::AbortedByGateway.is_charged());
        assert!(Outcome::ClientLeft.is_charged());
    }
}
