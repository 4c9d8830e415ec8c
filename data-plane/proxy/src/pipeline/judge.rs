//! What a failed attempt means: whether the client's request is at fault, whether another endpoint may do better, whether
//! the same one may if it is asked again, and what the client is told when nothing is left to try. One table. Pure.

use std::time::Duration;

use codec::UpstreamError;
use domain::{
    faults::{Fault, FaultCode},
    ids::ProviderId,
    routing::Trigger,
    usage::Outcome,
};
use serde_json::json;

use super::Refusal;
use crate::telemetry::AttemptResult;

/// The longest that a provider may make us wait before it is asked again.
const WAIT_MOST: Duration = Duration::from_secs(2);
/// Bounds of the wait before the same endpoint is asked again.
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// Why an attempt gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// We have no credential for this provider (yet).
    NoCredential,
    /// The money for this endpoint is not there.
    Unaffordable,
    /// The endpoint's dialect cannot say what is asked.
    Unsupported,
    /// Its provider asked to be left alone.
    Cooling,
    /// The account at its provider is used as much as it may be.
    Crowded,
    /// The provider cannot have seen the request.
    Unreachable,
    /// The connection was lost, and the provider may have seen it.
    Lost,
    /// The head of the answer or its first output took too long.
    Slow,
    /// The limit that the client itself set has passed.
    Late,
    /// An error status.
    Status(u16),
    /// An error in place of an answer, with HTTP 200; with the status it names.
    Reported(Option<u16>),
    /// Not what was asked for: no JSON, no stream, cut off, too large.
    BadReply,
    /// Neither output nor a reason for having none.
    Empty,
    /// Its text is not of the shape that was asked for.
    Broken,
}

impl Trouble {
    /// Whether the endpoint was asked at all.
    fn was_tried(self) -> bool {
        use Trouble::{Cooling, Crowded, NoCredential, Unaffordable, Unsupported};
        !matches!(self, NoCredential | Unaffordable | Unsupported | Cooling | Crowded)
    }
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The request itself is at fault: the client gets this status.
    Refuse(u16),
    /// This model does not take it (too long, or against its rules): another model may, else the client gets this status.
    OtherModel(u16),
    /// Another endpoint, if there is one.
    Elsewhere,
    /// Another endpoint, else the same once more.
    Anywhere,
}

/// The verdict on one failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub then: Then,
    /// Whether it speaks against the endpoint. Being overloaded does not: it is asked less anyway.
    pub is_hard: bool,
    /// None when nothing was sent.
    pub result: Option<AttemptResult>,
}

/// Judges a failed attempt.
pub(super) fn judge(trouble: Trouble, error: &UpstreamError) -> Verdict {
    let verdict = |then, is_hard, result| Verdict { then, is_hard, result: Some(result) };
    match trouble {
        Trouble::NoCredential | Trouble::Unaffordable | Trouble::Unsupported | Trouble::Cooling | Trouble::Crowded => {
            Verdict { then: Then::Elsewhere, is_hard: false, result: None }
        }
        Trouble::Unreachable => verdict(Then::Anywhere, true, AttemptResult::Unreachable),
        // The provider may bill it: it is not asked again, but another one may be.
        Trouble::Lost => verdict(Then::Elsewhere, true, AttemptResult::Cut),
        Trouble::Slow => verdict(Then::Elsewhere, true, AttemptResult::TimedOut),
        // Whoever has little patience must not be able to shut an endpoint for others.
        Trouble::Late => verdict(Then::Elsewhere, false, AttemptResult::TimedOut),
        Trouble::BadReply | Trouble::Empty => verdict(Then::Elsewhere, true, AttemptResult::Failed),
        // Who asks for the impossible must not be able to shut an endpoint for others.
        Trouble::Broken => verdict(Then::Elsewhere, false, AttemptResult::Failed),
        Trouble::Reported(status) => of_status(status.unwrap_or(502), error),
        Trouble::Status(status) => of_status(status, error),
    }
}

fn of_status(status: u16, error: &UpstreamError) -> Verdict {
    let verdict = |then, is_hard, result| Verdict { then, is_hard, result: Some(result) };
    match status {
        // Google's form of a bad key, and xAI's, and Anthropic's of an empty account: ours is at fault here as well.
        400 if is_of_account(error) => verdict(Then::Elsewhere, true, AttemptResult::Failed),
        400 | 413 | 422 if is_of_model(error) => verdict(Then::OtherModel(status), false, AttemptResult::Refused),
        400 | 413 | 422 => verdict(Then::Refuse(status), false, AttemptResult::Refused),
        // Our account is at fault, or our idea of the provider's catalogue.
        401..=404 => verdict(Then::Elsewhere, true, AttemptResult::Failed),
        429 if is_quota(error) => verdict(Then::Elsewhere, true, AttemptResult::RateLimited),
        429 => verdict(Then::Anywhere, false, AttemptResult::RateLimited),
        408 | 409 => verdict(Then::Anywhere, false, AttemptResult::Failed),
        503 | 529 => verdict(Then::Anywhere, false, AttemptResult::Failed),
        504 | 524 => verdict(Then::Anywhere, true, AttemptResult::TimedOut),
        500..=599 => verdict(Then::Anywhere, true, AttemptResult::Failed),
        // Other refusals, and redirects, which are never followed with a credential.
        _ => verdict(Then::Elsewhere, true, AttemptResult::Failed),
    }
}

/// Whether a 429 says that the account has used up its money rather than its turn.
fn is_quota(error: &UpstreamError) -> bool {
    let says =
        |word: &Option<String>| word.as_deref().is_some_and(|word| word.contains("quota") || word.contains("billing"));
    says(&error.code) || says(&error.kind)
}

/// Whether a refusal is one model's own: the prompt is longer than it can read, or against its rules.
fn is_of_model(error: &UpstreamError) -> bool {
    const CODES: [&str; 8] = [
        "context_length_exceeded",
        "string_above_max_length",
        "tokens_limit_reached",
        "request_too_large",
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
        "invalid_prompt",
    ];
    // Those who have no code for it: Anthropic, Google, Mistral and servers of open models.
    const WORDS: [&str; 6] = [
        "prompt is too long",
        "maximum context length",
        "exceeds the maximum number of tokens",
        "too large for model",
        "context window",
        "content filtering policy",
    ];
    let is_known = |word: &Option<String>| word.as_deref().is_some_and(|word| CODES.contains(&word));
    is_known(&error.code) || is_known(&error.kind) || WORDS.iter().any(|word| error.message.contains(word))
}

/// Whether a refusal speaks of the account that asked and not of the request.
fn is_of_account(error: &UpstreamError) -> bool {
    const CODES: [&str; 4] = ["API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_EXPIRED", "invalid_api_key"];
    let has_code = error.code.as_deref().is_some_and(|code| CODES.contains(&code));
    // Those who have no code for it: xAI and Anthropic.
    const BEGINNINGS: [&str; 2] = ["Incorrect API key", "Your credit balance is too low"];
    has_code || BEGINNINGS.iter().any(|beginning| error.message.starts_with(beginning))
}

/// A failed attempt, for the record and for the client.
#[derive(Debug)]
pub(super) struct Miss {
    pub provider: ProviderId,
    pub trouble: Trouble,
    pub error: UpstreamError,
    pub retry_after: Option<Duration>,
    /// What to say when nothing but this stood in the way.
    pub refusal: Option<Refusal>,
}

impl Miss {
    /// The provider's status, or the one that says best what happened.
    pub fn status(&self) -> u16 {
        match self.trouble {
            Trouble::Status(status) => status,
            Trouble::Reported(status) => status.unwrap_or(502),
            Trouble::Slow | Trouble::Late => 504,
            Trouble::Unsupported => 400,
            Trouble::Cooling | Trouble::Crowded => 429,
            Trouble::NoCredential | Trouble::Unaffordable | Trouble::Unreachable => 503,
            Trouble::Lost | Trouble::BadReply | Trouble::Empty | Trouble::Broken => 502,
        }
    }

    /// Its own code, or ours for what happened.
    pub fn code(&self) -> &str {
        match self.trouble {
            Trouble::Status(_) | Trouble::Reported(_) => self.error.code.as_deref().unwrap_or(self.own_code()),
            _ => self.own_code(),
        }
    }

    /// Our code for what happened: never a word of the provider's.
    pub fn own_code(&self) -> &'static str {
        match self.trouble {
            Trouble::NoCredential => "no_credential",
            Trouble::Unaffordable => "insufficient_quota",
            Trouble::Unsupported => "unsupported_parameter",
            Trouble::Cooling => "cooling",
            Trouble::Crowded => "crowded",
            Trouble::Unreachable => "unreachable",
            Trouble::Lost => "connection_lost",
            Trouble::Slow => "timeout",
            Trouble::Late => domain::usage::CLIENT_TIMEOUT,
            Trouble::BadReply => "bad_reply",
            Trouble::Empty => "empty_reply",
            Trouble::Broken => BROKEN,
            Trouble::Status(_) | Trouble::Reported(_) => "provider_error",
        }
    }

    /// What kind of failure it was; none where the request itself was at fault.
    pub fn trigger(&self) -> Option<Trigger> {
        match (self.trouble, self.status()) {
            (_, 408 | 504 | 524) => Some(Trigger::Timeout),
            (_, 429) => Some(Trigger::RateLimit),
            (Trouble::Status(_) | Trouble::Reported(_), 503 | 529) => Some(Trigger::Overload),
            (Trouble::Status(_) | Trouble::Reported(_), 400 | 413 | 422) if !is_of_account(&self.error) => {
                of_model(&self.error)
            }
            _ => Some(Trigger::ProviderError),
        }
    }
}

/// Which of a model's own limits a refusal speaks of.
fn of_model(error: &UpstreamError) -> Option<Trigger> {
    const RULES: [&str; 4] = ["content_policy_violation", "content_filter", "moderation_blocked", "invalid_prompt"];
    let is_known = |word: &Option<String>| word.as_deref().is_some_and(|word| RULES.contains(&word));
    match is_known(&error.code) || is_known(&error.kind) {
        true => Some(Trigger::Moderation),
        false => is_of_model(error).then_some(Trigger::ContextLength),
    }
}

/// How long to wait before the same endpoint is asked again; none when it asked for more patience than we have.
/// `random` is from 0 to 1; `repeats` is how often it was repeated already.
pub(super) fn wait(miss: &Miss, repeats: u32, random: f64) -> Option<Duration> {
    match (miss.retry_after, miss.trouble) {
        (Some(asked), _) => (asked <= WAIT_MOST).then_some(asked),
        // A limit without a word of when it ends is not tested by trying.
        (None, Trouble::Status(429) | Trouble::Reported(Some(429))) => None,
        (None, _) => {
            let bound = WAIT_FIRST.saturating_mul(1 << repeats.min(8)).min(WAIT_MOST);
            Some(bound.mul_f64(random.clamp(0.0, 1.0)))
        }
    }
}

/// Whether fewer requests at a time might have been answered.
pub(super) fn is_crush(miss: &Miss) -> bool {
    miss.trouble == Trouble::Slow || (is_overload(miss) && !is_quota(&miss.error))
}

/// Whether an endpoint had too much to do.
pub(super) fn is_overload(miss: &Miss) -> bool {
    matches!(miss.trouble, Trouble::Status(429 | 503 | 529) | Trouble::Reported(Some(429 | 503 | 529)))
}

/// How long a provider asks every request of ours to leave it alone; none when it says nothing of that, or so little that
/// the request itself waits for it.
pub(super) fn cooling(miss: &Miss) -> Option<Duration> {
    miss.retry_after.filter(|asked| is_overload(miss) && *asked > WAIT_MOST)
}

/// What the client is told when every attempt has failed, and how that is booked.
pub(super) fn give_up(mut misses: Vec<Miss>) -> (Refusal, Outcome) {
    let outcome = match misses.last() {
        Some(Miss { trouble: Trouble::Empty, .. }) => Outcome::Empty,
        _ => Outcome::UpstreamError,
    };
    let own = misses.iter_mut().filter_map(|miss| miss.refusal.take()).last();
    let tried = misses.iter().any(|miss| miss.trouble.was_tried());
    let last = misses.iter().rev().find(|miss| miss.trouble.was_tried());
    if let Some(Miss { trouble: Trouble::Status(_) | Trouble::Reported(_), error, .. }) = last
        && let Some(Verdict { then: Then::Refuse(status) | Then::OtherModel(status), .. }) =
            last.map(|miss| judge(miss.trouble, &miss.error))
    {
        let mut refusal = Refusal::of_provider(status, error.clone());
        refusal.fault = refusal.fault.metadata(previous_errors(&misses));
        return (refusal, outcome);
    }
    match (tried, own) {
        (false, Some(refusal)) => (refusal, outcome),
        _ => (failed(&misses), outcome),
    }
}

/// The code of an answer that is not what was promised.
pub(super) const BROKEN: &str = "schema_mismatch";

/// The same in words.
pub(super) fn broken(code: FaultCode) -> Refusal {
    let mut refusal = Refusal::new(code, "The model's answer does not match the JSON schema that was asked for.");
    refusal.code = Some(BROKEN.into());
    refusal
}

fn failed(misses: &[Miss]) -> Refusal {
    if misses.last().is_some_and(|miss| miss.trouble == Trouble::Broken) {
        let mut refusal = broken(FaultCode::ProviderFailed);
        refusal.fault = refusal.fault.metadata(previous_errors(misses));
        return refusal;
    }

    // An account of ours that is out of money is not mended by waiting.
    let limited = |miss: &Miss| miss.status() == 429 && !is_quota(&miss.error);
    let last = misses.last().map_or(502, Miss::status);
    let (code, message) = if !misses.is_empty() && misses.iter().all(limited) {
        (FaultCode::ProviderRateLimited, "The provider of this model is limiting us.")
    } else {
        match last {
            504 | 408 | 524 => (FaultCode::ProviderTimeout, "The provider took too long to answer."),
            503 | 529 => {
                (FaultCode::ProviderUnavailable, "The provider of this model cannot be reached, or is overloaded.")
            }
            _ => (FaultCode::ProviderFailed, "The provider failed to answer."),
        }
    };
    let mut fault = Fault::new(code, message).metadata(previous_errors(misses));
    let soonest = misses.iter().filter_map(|miss| miss.retry_after).min();
    if code == FaultCode::ProviderRateLimited || soonest.is_some() {
        let wait = soonest.unwrap_or(Duration::from_secs(1));
        fault = fault.retry_after_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
    fault.into()
}

/// Provider, code and status of each; never the raw words of a provider.
fn previous_errors(misses: &[Miss]) -> String {
    let list: Vec<_> = misses
        .iter()
        .map(|miss| json!({ "provider": miss.provider.as_str(), "code": miss.code(), "status": miss.status() }))
        .collect();
    json!({ "previous_errors": list }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss(trouble: Trouble) -> Miss {
        let provider = "acme".parse().unwrap();
        Miss { provider, trouble, error: UpstreamError::default(), retry_after: None, refusal: None }
    }

    #[test]
    fn a_bad_key_is_our_fault_whatever_the_status() {
        for (code, message) in [
            (Some("API_KEY_INVALID"), "API key not valid."),
            (None, "Incorrect API key provided: x."),
            (None, "Your credit balance is too low to access the Anthropic API."),
        ] {
            let error =
                UpstreamError { code: code.map(str::to_owned), message: message.to_owned(), ..Default::default() };
            let verdict = judge(Trouble::Status(400), &error);
            assert_eq!((verdict.then, verdict.is_hard), (Then::Elsewhere, true), "{message}");
            let (refusal, _) = give_up(vec![Miss { error, ..miss(Trouble::Status(400)) }]);
            assert_eq!(refusal.fault.http_status(), 502, "{message}");
        }
    }

    #[test]
    fn the_table_of_verdicts() {
        use AttemptResult::*;
        use Then::*;
        for (trouble, then, is_hard, result) in [
            (Trouble::Status(400), Refuse(400), false, Some(Refused)),
            (Trouble::Status(413), Refuse(413), false, Some(Refused)),
            (Trouble::Status(422), Refuse(422), false, Some(Refused)),
            (Trouble::Status(401), Elsewhere, true, Some(Failed)),
            (Trouble::Status(402), Elsewhere, true, Some(Failed)),
            (Trouble::Status(403), Elsewhere, true, Some(Failed)),
            (Trouble::Status(404), Elsewhere, true, Some(Failed)),
            (Trouble::Status(405), Elsewhere, true, Some(Failed)),
            (Trouble::Status(302), Elsewhere, true, Some(Failed)),
            (Trouble::Status(408), Anywhere, false, Some(Failed)),
            (Trouble::Status(429), Anywhere, false, Some(RateLimited)),
            (Trouble::Status(500), Anywhere, true, Some(Failed)),
            (Trouble::Status(503), Anywhere, false, Some(Failed)),
            (Trouble::Status(504), Anywhere, true, Some(TimedOut)),
            (Trouble::Status(529), Anywhere, false, Some(Failed)),
            (Trouble::Reported(Some(400)), Refuse(400), false, Some(Refused)),
            (Trouble::Reported(None), Anywhere, true, Some(Failed)),
            (Trouble::Unreachable, Anywhere, true, Some(Unreachable)),
            (Trouble::Lost, Elsewhere, true, Some(Cut)),
            (Trouble::Slow, Elsewhere, true, Some(TimedOut)),
            (Trouble::Late, Elsewhere, false, Some(TimedOut)),
            (Trouble::BadReply, Elsewhere, true, Some(Failed)),
            (Trouble::NoCredential, Elsewhere, false, None),
        ] {
            let verdict = judge(trouble, &UpstreamError::default());
            assert_eq!(verdict, Verdict { then, is_hard, result }, "{trouble:?}");
        }
    }

    #[test]
    fn what_one_model_does_not_take_another_may() {
        let said = |code: Option<&str>, message: &str| {
            let error =
                UpstreamError { code: code.map(str::to_owned), message: message.to_owned(), ..Default::default() };
            judge(Trouble::Status(400), &error).then
        };
        assert_eq!(said(Some("context_length_exceeded"), ""), Then::OtherModel(400));
        assert_eq!(said(Some("content_policy_violation"), ""), Then::OtherModel(400));
        assert_eq!(said(None, "prompt is too long: 210000 tokens > 200000 maximum"), Then::OtherModel(400));
        assert_eq!(said(None, "Output blocked by content filtering policy"), Then::OtherModel(400));
        assert_eq!(said(Some("invalid_value"), "temperature must be below 2"), Then::Refuse(400));
        let long = UpstreamError { code: Some("context_length_exceeded".to_owned()), ..Default::default() };
        let (refusal, _) = give_up(vec![Miss { error: long, ..miss(Trouble::Status(400)) }]);
        assert_eq!(refusal.fault.http_status(), 400);
    }

    #[test]
    fn every_failure_but_a_bad_request_has_one_trigger() {
        let said = |trouble, code: Option<&str>| {
            let error = UpstreamError { code: code.map(str::to_owned), ..UpstreamError::default() };
            Miss { error, ..miss(trouble) }.trigger()
        };
        for (trouble, code, trigger) in [
            (Trouble::Status(429), None, Some(Trigger::RateLimit)),
            (Trouble::Reported(Some(429)), None, Some(Trigger::RateLimit)),
            (Trouble::Cooling, None, Some(Trigger::RateLimit)),
            (Trouble::Status(503), None, Some(Trigger::Overload)),
            (Trouble::Reported(Some(529)), None, Some(Trigger::Overload)),
            (Trouble::Slow, None, Some(Trigger::Timeout)),
            (Trouble::Late, None, Some(Trigger::Timeout)),
            (Trouble::Status(408), None, Some(Trigger::Timeout)),
            (Trouble::Status(504), None, Some(Trigger::Timeout)),
            (Trouble::Status(400), Some("context_length_exceeded"), Some(Trigger::ContextLength)),
            (Trouble::Status(413), Some("request_too_large"), Some(Trigger::ContextLength)),
            (Trouble::Status(400), Some("content_policy_violation"), Some(Trigger::Moderation)),
            (Trouble::Status(400), Some("invalid_api_key"), Some(Trigger::ProviderError)),
            (Trouble::Status(400), Some("invalid_value"), None),
            (Trouble::Status(500), None, Some(Trigger::ProviderError)),
            (Trouble::Status(401), None, Some(Trigger::ProviderError)),
            (Trouble::Reported(None), None, Some(Trigger::ProviderError)),
            (Trouble::Unreachable, None, Some(Trigger::ProviderError)),
            (Trouble::NoCredential, None, Some(Trigger::ProviderError)),
            (Trouble::Unsupported, None, Some(Trigger::ProviderError)),
        ] {
            assert_eq!(said(trouble, code), trigger, "{trouble:?} {code:?}");
            let error = UpstreamError { code: code.map(str::to_owned), ..UpstreamError::default() };
            let is_refused = matches!(judge(trouble, &error).then, Then::Refuse(_));
            assert_eq!(trigger.is_none(), is_refused, "{trouble:?} {code:?}");
        }
    }

    #[test]
    fn an_account_without_money_is_not_a_rate_limit() {
        let error = UpstreamError { code: Some("insufficient_quota".to_owned()), ..UpstreamError::default() };
        assert_eq!(judge(Trouble::Status(429), &error).then, Then::Elsewhere);
        let (refusal, _) = give_up(vec![Miss { error, ..miss(Trouble::Status(429)) }]);
        assert_eq!((refusal.fault.http_status(), refusal.fault.retry_after_ms), (502, None));
    }

    #[test]
    fn the_last_word_fits_what_happened() {
        for (troubles, status) in [
            (&[Trouble::Status(500)][..], 502),
            (&[Trouble::Status(401)], 502),
            (&[Trouble::Status(404)], 502),
            (&[Trouble::Status(429)], 429),
            (&[Trouble::Status(429), Trouble::Status(500)], 502),
            (&[Trouble::Status(503)], 503),
            (&[Trouble::Status(529)], 503),
            (&[Trouble::Unreachable], 503),
            (&[Trouble::Slow], 504),
            (&[Trouble::Lost], 502),
            (&[Trouble::NoCredential], 503),
            (&[Trouble::Status(500), Trouble::Status(422)], 422),
        ] {
            let (refusal, outcome) = give_up(troubles.iter().copied().map(miss).collect());
            assert_eq!(refusal.fault.http_status(), status, "{troubles:?}");
            assert_eq!(outcome, Outcome::UpstreamError);
        }
        assert_eq!(give_up(vec![miss(Trouble::Empty)]).1, Outcome::Empty);
    }

    #[test]
    fn a_provider_limit_says_when_to_come_back() {
        let mut limited = miss(Trouble::Status(429));
        assert_eq!(wait(&limited, 0, 1.0), None);
        limited.retry_after = Some(Duration::from_secs(7));
        assert_eq!(wait(&limited, 0, 1.0), None, "too long to wait for");
        let (refusal, _) = give_up(vec![limited]);
        assert_eq!(refusal.fault.retry_after_ms, Some(7_000));
        assert_eq!(
            refusal.fault.metadata.as_deref(),
            Some(r#"{"previous_errors":[{"code":"provider_error","provider":"acme","status":429}]}"#)
        );
    }

    #[test]
    fn only_a_provider_that_names_a_time_is_left_alone_by_all() {
        let asked = |trouble, seconds: Option<u64>| {
            cooling(&Miss { retry_after: seconds.map(Duration::from_secs), ..miss(trouble) }).map(|wait| wait.as_secs())
        };
        for trouble in [Trouble::Status(429), Trouble::Status(503), Trouble::Status(529), Trouble::Reported(Some(429))]
        {
            assert_eq!(asked(trouble, Some(30)), Some(30), "{trouble:?}");
            assert_eq!(asked(trouble, Some(2)), None, "the request itself waits so long");
            assert_eq!(asked(trouble, None), None, "{trouble:?}");
        }
        for trouble in [Trouble::Status(500), Trouble::Status(400), Trouble::Slow, Trouble::Cooling] {
            assert_eq!(asked(trouble, Some(30)), None, "{trouble:?}");
        }
    }

    #[test]
    fn a_request_that_only_met_cooling_endpoints_is_told_when_the_first_is_ready() {
        let cools = |seconds| Miss { retry_after: Some(Duration::from_secs(seconds)), ..miss(Trouble::Cooling) };
        let (refusal, outcome) = give_up(vec![cools(30), cools(12)]);
        assert_eq!((refusal.fault.code, outcome), (FaultCode::ProviderRateLimited, Outcome::UpstreamError));
        assert_eq!(refusal.fault.retry_after_ms, Some(12_000));
        let metadata = refusal.fault.metadata.unwrap();
        assert!(metadata.contains(r#"{"code":"cooling","provider":"acme","status":429}"#), "{metadata}");
    }

    #[test]
    fn waits_grow_and_are_jittered() {
        let failed = miss(Trouble::Status(500));
        assert_eq!(wait(&failed, 0, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(wait(&failed, 1, 0.5), Some(Duration::from_millis(100)));
        assert_eq!(wait(&failed, 20, 1.0), Some(Duration::from_secs(2)));
    }

    #[test]
    fn money_that_is_missing_is_named_when_nothing_else_was_tried() {
        let own = || Some(Refusal::new(FaultCode::InsufficientCredits, "no"));
        let broke = Miss { refusal: own(), ..miss(Trouble::Unaffordable) };
        assert_eq!(give_up(vec![broke]).0.fault.http_status(), 402);
        let broke = Miss { refusal: own(), ..miss(Trouble::Unaffordable) };
        assert_eq!(give_up(vec![broke, miss(Trouble::Slow)]).0.fault.http_status(), 504);
    }
}
