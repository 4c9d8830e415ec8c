//! The numbers of a `usage` object as classes that do not overlap. Bedrock counts what was read from a cache and written to
//! one beside the input; reasoning is in the output and not told apart. Never a price.

use domain::usage::TokenUsage;

use crate::json::Value;

/// More tokens than anybody has ever used at once. A larger count is a mistake and says nothing.
const MOST: u64 = 10_000_000_000;

/// The tokens by class; none when there is no count at all. An explicit zero is a count.
pub(super) fn read(usage: Value<'_>) -> Option<TokenUsage> {
    let [input, output, total, cache_read, written] =
        ["inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
            .map(|name| usage.count(name));
    let details = || usage.get("cacheDetails").into_iter().flat_map(|details| details.items());
    let sum = |hours: Option<bool>| {
        details()
            .filter(|detail| hours.is_none_or(|hours| is_hour(*detail) == hours))
            .filter_map(|detail| detail.count("inputTokens"))
            .fold(0, u64::saturating_add)
    };
    let (all_details, hour_details) = (sum(None), sum(Some(true)));
    let counts = [input, output, total, cache_read, written, Some(all_details)];
    if counts.into_iter().flatten().any(|count| count > MOST) {
        return None;
    }
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    let written = written.unwrap_or(all_details);
    let cache_write_1h = hour_details.min(written);
    let cache_read = cache_read.unwrap_or(0);
    let rest = |known: Option<u64>| {
        let known = known.unwrap_or(0).saturating_add(cache_read).saturating_add(written);
        total.unwrap_or(0).saturating_sub(known)
    };
    Some(TokenUsage {
        prompt: input.unwrap_or_else(|| rest(output)),
        cache_read,
        cache_write: written - cache_write_1h,
        cache_write_1h,
        completion: output.unwrap_or_else(|| rest(input)),
        ..TokenUsage::default()
    })
}

fn is_hour(detail: Value<'_>) -> bool {
    detail.str("ttl").is_some_and(|ttl| ttl.eq_ignore_ascii_case("1h"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;
    use domain::catalog::PriceList;
    use domain::money::Price;
    use domain::pricing::cost;
    use proptest::prelude::*;

    fn tokens(json: &str) -> Option<TokenUsage> {
        read(Tape::default().read(json.as_bytes()).unwrap())
    }

    #[test]
    fn t32_classes_do_not_overlap_and_caches_stand_beside_the_input() {
        let json = r#"{"inputTokens":10,"outputTokens":20,"totalTokens":1080,"cacheReadInputTokens":700,
            "cacheWriteInputTokens":350,"cacheDetails":[{"ttl":"1h","inputTokens":300},{"ttl":"5m","inputTokens":50}],
            "serverToolUsage":{},"cacheReadInputTokenCount":700}"#;
        let usage = tokens(json).unwrap();
        let expected = TokenUsage {
            prompt: 10,
            cache_read: 700,
            cache_write: 50,
            cache_write_1h: 300,
            completion: 20,
            ..TokenUsage::default()
        };
        assert_eq!(usage, expected);
        assert_eq!(usage.prompt_total() + usage.completion_total(), 1_080);
    }

    #[test]
    fn t36_missing_is_not_zero_and_impossible_counts_say_nothing() {
        for (json, prompt_and_completion) in [
            ("{}", None),
            ("[]", None),
            ("null", None),
            (r#"{"cacheReadInputTokens":5}"#, None),
            (r#"{"inputTokens":"5"}"#, None),
            (r#"{"inputTokens":0,"outputTokens":0}"#, Some((0, 0))),
            (r#"{"inputTokens":7}"#, Some((7, 0))),
            (r#"{"inputTokens":7,"totalTokens":9}"#, Some((7, 2))),
            (r#"{"outputTokens":2,"totalTokens":19,"cacheReadInputTokens":10}"#, Some((7, 2))),
            (r#"{"inputTokens":7,"outputTokens":18446744073709551615}"#, None),
            (r#"{"inputTokens":7,"cacheDetails":[{"inputTokens":99999999999}]}"#, None),
        ] {
            assert_eq!(tokens(json).map(|usage| (usage.prompt, usage.completion)), prompt_and_completion, "{json}");
        }
        let few =
            tokens(r#"{"inputTokens":1,"cacheWriteInputTokens":2,"cacheDetails":[{"ttl":"1h","inputTokens":9}]}"#);
        assert_eq!(few.map(|usage| (usage.cache_write, usage.cache_write_1h)), Some((0, 2)));
        let details = tokens(r#"{"inputTokens":1,"cacheDetails":[{"ttl":"5m","inputTokens":9}]}"#);
        assert_eq!(details.map(|usage| (usage.cache_write, usage.cache_write_1h)), Some((9, 0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// T50.
        #[test]
        fn t50_what_bedrock_counts_costs_what_the_classes_cost(
            counts in proptest::array::uniform4(0u64..2_000_000),
            hours in 0u64..2_000_000,
        ) {
            let [prompt, cache_read, cache_write, completion] = counts;
            let usage = TokenUsage { prompt, cache_read, cache_write, cache_write_1h: hours, completion, ..TokenUsage::default() };
            let written = cache_write + hours;
            let total = prompt + completion + cache_read + written;
            let json = format!(
                r#"{{"inputTokens":{prompt},"outputTokens":{completion},"totalTokens":{total},"cacheReadInputTokens":{cache_read},
                "cacheWriteInputTokens":{written},"cacheDetails":[{{"ttl":"1h","inputTokens":{hours}}},{{"ttl":"5m","inputTokens":{cache_write}}}]}}"#
            );
            let prices = PriceList {
                prompt: Price::per_million("3").ok(),
                completion: Price::per_million("15").ok(),
                cache_read: Price::per_million("0.3").ok(),
                cache_write: Price::per_million("3.75").ok(),
                cache_write_1h: Price::per_million("6").ok(),
                ..PriceList::default()
            };
            let read = tokens(&json).unwrap();
            prop_assert_eq!(read, usage);
            prop_assert_eq!(cost(&read, &prices), cost(&usage, &prices));
        }
    }
}
