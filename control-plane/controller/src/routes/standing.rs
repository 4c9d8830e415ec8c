//! How an endpoint did in the records of a period: how often it answered, how soon and how fast. Pure counting.

use domain::usage::{Attempt, CLIENT_TIMEOUT, Outcome, UsageRecord};

/// What was seen of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    answered: u64,
    failed: u64,
    /// Milliseconds to the first output, over answers that tell.
    first_ms: u64,
    firsts: u64,
    /// Output tokens, and the milliseconds that they took.
    tokens: u64,
    writing_ms: u64,
}

impl Standing {
    /// Counts the attempt of this record that was sent here.
    pub fn count(&mut self, record: &UsageRecord, attempt: &Attempt<'_>) {
        match fate(record, attempt) {
            Some(Fate::Failed) => self.failed += 1,
            Some(Fate::Answered) => {
                self.answered += 1;
                self.measure(record);
            }
            None => {}
        }
    }

    fn measure(&mut self, record: &UsageRecord) {
        let Some(first) = record.ttft_ms else { return };
        self.first_ms = self.first_ms.saturating_add(first.saturating_sub(record.trail.begun_ms));
        self.firsts += 1;
        let writing = record.latency_ms.saturating_sub(first);
        if record.streamed && writing > 0 {
            self.tokens = self.tokens.saturating_add(record.usage.completion_total());
            self.writing_ms = self.writing_ms.saturating_add(writing);
        }
    }

    /// The two together.
    pub fn with(self, other: Standing) -> Standing {
        Standing {
            answered: self.answered + other.answered,
            failed: self.failed + other.failed,
            first_ms: self.first_ms.saturating_add(other.first_ms),
            firsts: self.firsts + other.firsts,
            tokens: self.tokens.saturating_add(other.tokens),
            writing_ms: self.writing_ms.saturating_add(other.writing_ms),
        }
    }

    /// The part of its attempts that failed, from 0 to 1; none when there were none.
    pub fn failing(&self) -> Option<f64> {
        let all = self.answered + self.failed;
        (all > 0).then(|| self.failed as f64 / all as f64)
    }

    /// Mean milliseconds to the first output.
    pub fn latency(&self) -> Option<u64> {
        self.first_ms.checked_div(self.firsts)
    }

    /// Output tokens in a thousand seconds.
    pub fn throughput(&self) -> Option<u64> {
        self.tokens.saturating_mul(1_000_000).checked_div(self.writing_ms)
    }
}

/// What became of something, as far as it speaks for or against a provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    Failed,
}

/// What became of an attempt. Whoever left, was at fault, or was ended by us says nothing of the provider.
fn fate(record: &UsageRecord, attempt: &Attempt<'_>) -> Option<Fate> {
    match attempt.code {
        "" => of_request(record),
        _ if is_of_client(attempt) => None,
        _ => Some(Fate::Failed),
    }
}

/// Whether an attempt failed by the client's doing.
fn is_of_client(attempt: &Attempt<'_>) -> bool {
    attempt.code == CLIENT_TIMEOUT || !attempt.code.is_empty() && attempt.trigger.is_empty()
}

/// What became of a request.
pub fn of_request(record: &UsageRecord) -> Option<Fate> {
    let is_refused =
        matches!(record.status, 400 | 413 | 422) || record.attempts().last().is_some_and(|last| is_of_client(&last));
    match record.outcome {
        Outcome::Finished | Outcome::Capped | Outcome::HoldExhausted | Outcome::ClientLeft | Outcome::SlowReader => {
            Some(Fate::Answered)
        }
        Outcome::UpstreamError if is_refused => None,
        Outcome::UpstreamError | Outcome::UpstreamCut | Outcome::Empty => Some(Fate::Failed),
        Outcome::ClientLeftEarly | Outcome::ShutDown | Outcome::AbortedByGateway => None,
    }
}
