//! What a request asks of a model, in the words of the catalogue's `supported_parameters`, whatever family it is written
//! in. For clients that want endpoints which support all of it (`require_parameters`). Must never fail a request: what
//! cannot be read is refused elsewhere, in better words.

use crate::carry::Carry;
use crate::dialect::{Dialect, openai_chat};
use crate::json::Tape;
use crate::model::{Format, Request};
use crate::scan::Scan;

/// Fields of a chat request that say nothing about the model's abilities.
const PLAIN: [&str; 12] = [
    "store",
    "stream_options",
    "usage",
    "cache_control",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "user",
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "modalities",
];

/// The parameters that an endpoint's model must support. Empty for families that are not translated: they have no choice.
pub(crate) fn of(dialect: &Dialect, body: &[u8], scan: &Scan) -> Vec<String> {
    let Some(ingress) = dialect.ingress else { return Vec::new() };
    let (mut tape, carry) = (Tape::default(), Carry::default());
    let Ok(value) = tape.read(body) else { return Vec::new() };
    let Ok(request) = ingress.decode(value, scan, &carry) else { return Vec::new() };
    let mut names: Vec<String> = known(&request).into_iter().map(str::to_owned).collect();
    // Other families put half their words into objects; of those only the known ones can be compared.
    if request.from == openai_chat::DIALECT.id {
        let unknown = request.extra.iter().map(|extra| &*extra.name).filter(|name| !PLAIN.contains(name));
        names.extend(unknown.map(str::to_owned));
    }
    names
}

fn known(request: &Request<'_>) -> Vec<&'static str> {
    let params = &request.params;
    let asked = [
        ("top_p", params.top_p.is_some()),
        ("top_k", params.top_k.is_some()),
        ("min_p", params.min_p.is_some()),
        ("top_a", params.top_a.is_some()),
        ("frequency_penalty", params.frequency_penalty.is_some()),
        ("presence_penalty", params.presence_penalty.is_some()),
        ("repetition_penalty", params.repetition_penalty.is_some()),
        ("seed", params.seed.is_some()),
        ("stop", !params.stop.is_empty()),
        ("logprobs", params.logprobs == Some(true)),
        ("top_logprobs", params.top_logprobs.is_some()),
        ("logit_bias", params.logit_bias.is_some()),
        ("verbosity", params.verbosity.is_some()),
        ("tools", !request.tools.is_empty()),
        ("tool_choice", request.tool_choice.is_some()),
        ("parallel_tool_calls", request.parallel_tools.is_some()),
        ("response_format", matches!(params.format, Some(Format::Json))),
        ("structured_outputs", matches!(params.format, Some(Format::Schema { .. }))),
        ("reasoning", params.reasoning.as_ref().is_some_and(|reasoning| reasoning.enabled != Some(false))),
    ];
    asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| name).collect()
}

/// Whether a parameter is among those that a row lists, under one of its names.
pub fn is_listed(name: &str, listed: &[String]) -> bool {
    let others: &[&str] = match name {
        "reasoning" => &["reasoning_effort", "include_reasoning"],
        "structured_outputs" => &["response_format"],
        "response_format" => &["structured_outputs"],
        "top_logprobs" => &["logprobs"],
        _ => &[],
    };
    listed.iter().any(|known| known == name || others.contains(&known.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::dialect::{Dialect, anthropic, gemini, openai_chat, openai_responses};

    fn asked(dialect: &'static Dialect, body: &str) -> Vec<String> {
        let scan = dialect.scan(body.as_bytes()).unwrap().at(Some("m".to_owned()), false);
        dialect.parameters(body.as_bytes(), &scan)
    }

    #[test]
    fn every_family_asks_in_the_same_words() {
        for (dialect, body) in [
            (
                &openai_chat::DIALECT,
                r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":9,"top_p":0.5,"stop":["a"],"reasoning_effort":"low","store":false}"#,
            ),
            (
                &anthropic::DIALECT,
                r#"{"model":"m","system":"s","messages":[{"role":"user","content":"x"}],"max_tokens":9000,"top_p":0.5,"stop_sequences":["a"],"thinking":{"type":"enabled","budget_tokens":2000}}"#,
            ),
            (
                &gemini::DIALECT,
                r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"topP":0.5,"stopSequences":["a"],"thinkingConfig":{"thinkingBudget":2000}}}"#,
            ),
        ] {
            assert_eq!(asked(dialect, body), ["top_p", "stop", "reasoning"], "{}", dialect.id);
        }
        let plain = r#"{"model":"m","input":"hi","instructions":"x","store":false,"temperature":1}"#;
        assert_eq!(asked(&openai_responses::DIALECT, plain), Vec::<String>::new());
        let tools = r#"{"model":"m","input":"hi","tools":[{"type":"function","name":"f"}],"tool_choice":"auto","text":{"format":{"type":"json_object"}}}"#;
        assert_eq!(asked(&openai_responses::DIALECT, tools), ["tools", "tool_choice", "response_format"]);
    }

    #[test]
    fn what_nobody_knows_is_asked_for_by_its_name() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"web_search_options":{},"provider":{}}"#;
        assert_eq!(asked(&openai_chat::DIALECT, body), ["web_search_options"]);
    }

    #[test]
    fn one_thing_may_be_listed_under_several_names() {
        let row = ["reasoning_effort".to_owned(), "response_format".to_owned()];
        assert!(super::is_listed("reasoning", &row) && super::is_listed("structured_outputs", &row));
        assert!(!super::is_listed("tools", &row));
    }
}
