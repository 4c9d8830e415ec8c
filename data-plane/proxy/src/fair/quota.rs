//! What a provider's answer tells of an account's limits. Believed only where it asks for less than we would send: it can
//! slow us down, never let more through than our own limits do. Tolerant of whatever stands there; pure.

use std::time::Duration;

use domain::time::Timestamp;

/// OpenAI's words, which most others use as well, and Anthropic's: limit, what is left of it, when all of it is left.
const WORDS: [[&str; 3]; 6] = [
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"],
    [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ],
    [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ],
];
/// The share of a limit that is kept for others who use the account, in parts of the whole.
const KEPT: f64 = 0.1;
/// The longest pause: the next answer says more.
const LONGEST: Duration = Duration::from_secs(5);

/// How long to leave the account alone until a tenth of each limit is left again; none when there is as much.
pub(crate) fn pause<'f>(field: impl Fn(&str) -> Option<&'f [u8]>, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| field(name).and_then(|value| std::str::from_utf8(value).ok()).map(str::trim);
    let pauses = WORDS.iter().filter_map(|[limit, left, reset]| {
        let left: f64 = text(left)?.parse().ok().filter(|left: &f64| *left >= 0.0)?;
        let limit: f64 = text(limit)?.parse().ok().filter(|limit: &f64| limit.is_finite() && *limit > left)?;
        let missing = KEPT * limit - left;
        if missing <= 0.0 {
            return None;
        }
        // What is missing of the whole comes back at an even pace.
        Some(until(text(reset)?, now)?.min(Duration::from_secs(86_400)).mul_f64(missing / (limit - left)).min(LONGEST))
    });
    pauses.max().filter(|pause| !pause.is_zero())
}

/// A moment, seconds, or a duration such as `6m0s`, `1.5s` or `120ms`.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(then) = text.parse::<Timestamp>() {
        return Some(Duration::from_micros(u64::try_from(then.since_us(now)).unwrap_or(0)));
    }
    let (mut sum, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        (sum, rest) = (sum.checked_add(part)?, after);
    }
    Some(sum).filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Option<Duration> {
        let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        pause(field, "2026-11-21T12:00:00Z".parse().unwrap())
    }

    fn openai(limit: &str, left: &str, reset: &str) -> Option<Duration> {
        read(&[
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", left),
            ("x-ratelimit-reset-requests", reset),
        ])
    }

    #[test]
    fn who_has_enough_left_goes_on() {
        assert_eq!(openai("500", "499", "120ms"), None);
        assert_eq!(openai("500", "50", "54s"), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn what_is_missing_comes_back_at_its_pace() {
        // Twenty a second; of fifty that are to be left thirty are missing.
        let pause = openai("1200", "90", "55.5s").unwrap();
        assert!((1.49..1.51).contains(&pause.as_secs_f64()), "{pause:?}");
        assert_eq!(openai("100", "0", "6m0s"), Some(LONGEST));
    }

    #[test]
    fn the_tightest_limit_counts() {
        let pause = read(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:01Z"),
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-11-21T12:00:20Z"),
        ]);
        assert_eq!(pause, Some(Duration::from_secs(2)));
    }

    #[test]
    fn times_are_read_however_they_are_written_and_nonsense_is_not() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let read = |text| until(text, now);
        for (text, ms) in [
            ("6m0s", 360_000),
            ("1h2m3.5s", 3_723_500),
            ("120ms", 120),
            ("0s", 0),
            ("7.66s", 7_660),
            ("30", 30_000),
            ("2026-11-21T12:00:09Z", 9_000),
            ("2026-11-21T11:00:00Z", 0),
        ] {
            assert_eq!(read(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for odd in ["", "soon", "-5", "1e400", "NaN", "5x", "s", "1.2.3s", "9999999999999999999999s"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(openai("NaN", "0", "1s"), None);
        assert_eq!(openai("inf", "0", "1s"), None);
        assert_eq!(openai("100", "-1", "1s"), None);
    }
}
