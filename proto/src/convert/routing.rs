//! Rules of routing. They travel as the JSON that people write, so that one reader knows their words: a word that it does not
//! know refuses the rules, and with them whatever they bind.

use std::sync::Arc;

use domain::routing::Rules;

/// The JSON text of rules; empty where there are none.
pub fn write_rules(rules: Option<&Arc<Rules>>) -> String {
    // Texts, numbers and lists can always be written. If they could not, no reader may take them for none.
    rules.map_or_else(String::new, |rules| serde_json::to_string(&**rules).unwrap_or_else(|_| "?".to_owned()))
}

/// Reads the JSON text of rules; none where it is empty, or says nothing. The reason names the field.
pub fn read_rules(text: &str) -> Result<Option<Arc<Rules>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let rules: Rules = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok((rules != Rules::default()).then(|| Arc::new(rules)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"provider":{"order":["a","b/us"],"only":["a"],"ignore":["c"],"allow_fallbacks":false,
        "require_parameters":true,"data_collection":"deny","zdr":true,"enforce_distillable_text":false,
        "quantizations":["fp8"],"sort":{"by":"throughput","partition":"none"},"preferred_min_throughput":{"p90":50},
        "preferred_max_latency":0.25,"region":["eu","us"],"max_price":{"prompt":"1","completion":2.5,"request":0.01}},
        "fallbacks":{"triggers":["moderation","rate_limit"],"models":["a/b","c/d"]},"timeout":1.5}"#;

    #[test]
    fn rules_are_written_as_they_were_read() {
        for text in [FULL, r#"{"timeout":30}"#, r#"{"fallbacks":{"triggers":[]}}"#, r#"{"provider":{"sort":"price"}}"#]
        {
            let rules = read_rules(text).unwrap();
            let written = write_rules(rules.as_ref());
            assert_eq!(read_rules(&written), Ok(rules), "{written}");
        }
        let written = write_rules(read_rules(FULL).unwrap().as_ref());
        for part in [
            r#""max_price":{"prompt":"1","completion":"2.5","request":"0.01"}"#,
            r#""preferred_max_latency":0.25"#,
            r#""triggers":["rate_limit","moderation"]"#,
            r#""timeout":1.5"#,
        ] {
            assert!(written.contains(part), "{part} in {written}");
        }
        assert_eq!((read_rules(""), read_rules("{}"), write_rules(None)), (Ok(None), Ok(None), String::new()));
    }

    #[test]
    fn what_is_not_known_or_says_nothing_is_refused_by_name() {
        let long = format!(r#"{{"provider":{{"only":["{}"]}}}}"#, "x".repeat(201));
        let many = format!(r#"{{"fallbacks":{{"models":[{}]}}}}"#, ["\"a/b\""; 16].join(","));
        for (text, named) in [
            (r#"{"providers":{}}"#, "providers"),
            (r#"{"provider":{"ordre":["a"]}}"#, "ordre"),
            (r#"{"provider":["a"]}"#, "an object"),
            (r#"[{}]"#, "an object"),
            (r#"{"provider":{"only":[]}}"#, "`only` is empty"),
            (r#"{"provider":{"region":"auto"}}"#, "`region` is empty"),
            (r#"{"provider":{"region":[]}}"#, "`region` is empty"),
            (r#"{"provider":{"options":{"a":{}}}}"#, "`options`"),
            (r#"{"provider":{"only":["a\u0000b"]}}"#, "control"),
            (r#"{"provider":{"max_price":{"token":1}}}"#, "token"),
            (r#"{"provider":{"max_price":{"prompt":-1}}}"#, "below zero"),
            (r#"{"fallbacks":{"triggers":["bad_weather"]}}"#, "bad_weather"),
            (r#"{"fallbacks":{"retries":1}}"#, "retries"),
            (r#"{"timeout":0}"#, "`timeout`"),
            (r#"{"timeout":-1}"#, "`timeout`"),
            (r#"{"timeout":86401}"#, "`timeout`"),
            (r#"{"timeout":"5"}"#, "a number"),
            (r#"{"provider":{"zdr":true,"zdr":false}}"#, "zdr"),
            ("zdr", "line 1"),
            (long.as_str(), "`only`"),
            (many.as_str(), "`models` has more than 15"),
        ] {
            let reason = read_rules(text).unwrap_err();
            assert!(reason.contains(named), "{text}: {reason}");
        }
    }
}
