//! How a request went to its endpoint: what a usage record remembers of the plan and of the attempts. Ids, statuses and
//! words of ours; never a word of a provider, never one of a prompt. Next room: the record itself, one floor up.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::UsageRecord;
use crate::ids::EndpointId;

/// The name of the strategy that most requests have: it is not written down.
const USUAL: &str = "balanced";
/// More failed attempts than any request may make: what comes behind them was damaged on its way.
const STEPS_MOST: usize = 16;

/// The code of an attempt that took longer than the client, or its rules, allow: that says nothing against the provider.
pub const CLIENT_TIMEOUT: &str = "client_timeout";

/// How a request was routed. The attempt that answered is not in it: the rest of the record says all of that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trail {
    /// The strategy as explanations call it; empty for the usual one.
    #[serde(skip_serializing_if = "str::is_empty")]
    strategy: Cow<'static, str>,
    /// Endpoints that could have served it; 0 where the proxy did not say, as old ones did not.
    #[serde(skip_serializing_if = "is_zero")]
    pub candidates: u32,
    /// Candidates that were passed over without being asked, because they could not be.
    #[serde(skip_serializing_if = "is_zero")]
    pub passed_over: u32,
    /// The region that was preferred; empty for none.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub region: String,
    /// From arrival to when the last attempt began, in milliseconds.
    #[serde(skip_serializing_if = "is_nothing")]
    pub begun_ms: u64,
    /// The attempts that did not answer, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missed: Vec<Step>,
}

/// One attempt that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub endpoint: EndpointId,
    /// The provider's status, or the one that says best what happened; 0 when the client left before there was any.
    pub status: u16,
    /// What happened.
    pub code: Cow<'static, str>,
    /// What kind of failure it was, in the words of rules; empty where it was none of the provider's.
    pub trigger: Cow<'static, str>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// One attempt as people are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    pub endpoint: &'a EndpointId,
    pub status: u16,
    /// Empty for the one that answered.
    pub code: &'a str,
    pub trigger: &'a str,
    pub ms: u64,
}

impl Trail {
    /// Of a request that is about to be sent.
    pub fn new(strategy: Cow<'static, str>, candidates: u32, region: String) -> Trail {
        let strategy = if strategy == USUAL { Cow::Borrowed("") } else { strategy };
        Trail { strategy, candidates, region, ..Trail::default() }
    }

    /// The strategy's name.
    pub fn strategy(&self) -> &str {
        if self.strategy.is_empty() { USUAL } else { &self.strategy }
    }

    /// The strategy's name as it is written down: empty for the usual one.
    pub fn unusual_strategy(&self) -> &str {
        &self.strategy
    }

    /// Whether anything is known of the way. It is not in records of proxies that did not say, nor in those of requests
    /// whose proxy died.
    pub fn is_known(&self) -> bool {
        self.candidates > 0
    }

    /// Adds an attempt that did not answer.
    pub fn miss(&mut self, step: Step) {
        if self.missed.len() < STEPS_MOST {
            self.missed.push(step);
        }
    }

    /// The attempts that did not answer, in order.
    pub fn missed(&self) -> &[Step] {
        &self.missed
    }
}

impl UsageRecord {
    /// All attempts of this request in order, the one that answered last; as many as `attempt` says. None where the record
    /// does not know.
    pub fn attempts(&self) -> impl Iterator<Item = Attempt<'_>> {
        let answered = self.endpoint.as_ref().filter(|_| self.trail.is_known()).map(|endpoint| Attempt {
            endpoint,
            status: 200,
            code: "",
            trigger: "",
            ms: self.latency_ms.saturating_sub(self.trail.begun_ms),
        });
        self.trail.missed.iter().map(Step::told).chain(answered)
    }
}

impl Step {
    fn told(&self) -> Attempt<'_> {
        Attempt { endpoint: &self.endpoint, status: self.status, code: &self.code, trigger: &self.trigger, ms: self.ms }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_nothing(ms: &u64) -> bool {
    *ms == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(status: u16) -> Step {
        let endpoint = "a/b@c".parse().unwrap();
        Step { endpoint, status, code: "provider_error".into(), trigger: "overload".into(), ms: 7 }
    }

    #[test]
    fn the_usual_strategy_is_not_written_down() {
        let (plain, wished) =
            (Trail::new("balanced".into(), 1, String::new()), Trail::new("order".into(), 2, "us".into()));
        assert_eq!((plain.strategy(), plain.unusual_strategy()), ("balanced", ""));
        assert_eq!((wished.strategy(), wished.unusual_strategy()), ("order", "order"));
        assert_eq!(Trail::default().strategy(), "balanced");
    }

    #[test]
    fn no_more_steps_are_kept_than_can_be() {
        let mut trail = Trail::default();
        (0..100).for_each(|_| trail.miss(step(500)));
        assert_eq!(trail.missed().len(), STEPS_MOST);
    }
}
