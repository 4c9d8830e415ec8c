use serde_json::json;

use super::*;
use crate::model::{Effort, Reasoning, ToolChoice};

fn thinking(reasoning: Reasoning<'static>) -> Request<'static> {
    let mut asked = request(vec![user("Hi")]);
    asked.params.reasoning = Some(reasoning);
    asked
}

fn effort(effort: Effort) -> Reasoning<'static> {
    Reasoning { effort: Some(effort), ..Reasoning::default() }
}

fn budget(budget: u64) -> Reasoning<'static> {
    Reasoning { enabled: Some(true), budget: Some(budget), ..Reasoning::default() }
}

#[test]
fn t13_thinking_is_said_in_the_words_of_the_models_maker() {
    const ADAPTIVE: Endpoint = with(CLAUDE, &["adaptive-thinking"]);
    let limited = |model| Endpoint { max_output: Some(10_000), ..of(model) };
    let off = || Reasoning { enabled: Some(false), ..Reasoning::default() };
    let shown = || Reasoning { shown: Some(false), summary: Some("detailed".into()), ..effort(Effort::XHigh) };
    for (reasoning, endpoint, additional, output, lost) in [
        (
            effort(Effort::High),
            limited(CLAUDE),
            json!({"thinking": {"type": "enabled", "budget_tokens": 8_000}}),
            Value::Null,
            "",
        ),
        (
            effort(Effort::Low),
            of(CLAUDE),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}}),
            Value::Null,
            "",
        ),
        (
            budget(5_000),
            limited(CLAUDE),
            json!({"thinking": {"type": "enabled", "budget_tokens": 5_000}}),
            Value::Null,
            "",
        ),
        (
            budget(50_000),
            limited(CLAUDE),
            json!({"thinking": {"type": "enabled", "budget_tokens": 9_999}}),
            Value::Null,
            "reasoning_budget",
        ),
        (
            budget(50_000),
            of(CLAUDE),
            json!({"thinking": {"type": "enabled", "budget_tokens": 50_000}}),
            Value::Null,
            "",
        ),
        (
            budget(7),
            limited(CLAUDE),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}}),
            Value::Null,
            "reasoning_budget",
        ),
        (
            effort(Effort::High),
            Endpoint { token_limit: Some(500), ..of(CLAUDE) },
            Value::Null,
            Value::Null,
            "reasoning_budget",
        ),
        (off(), of(CLAUDE), Value::Null, Value::Null, ""),
        (off(), ADAPTIVE, json!({"thinking": {"type": "disabled"}}), Value::Null, ""),
        (off(), with(CLAUDE, &["thinks-always"]), Value::Null, Value::Null, "reasoning_switch"),
        (
            shown(),
            ADAPTIVE,
            json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
            json!({"effort": "xhigh"}),
            "reasoning_summary",
        ),
        (
            effort(Effort::Minimal),
            ADAPTIVE,
            json!({"thinking": {"type": "adaptive"}}),
            json!({"effort": "low"}),
            "reasoning_effort",
        ),
        (
            budget(50_000),
            ADAPTIVE,
            json!({"thinking": {"type": "adaptive"}}),
            json!({"effort": "xhigh"}),
            "reasoning_budget",
        ),
        (
            effort(Effort::High),
            of(NOVA),
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
            Value::Null,
            "",
        ),
        (
            effort(Effort::High),
            Endpoint { token_limit: Some(500), ..of(NOVA) },
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
            Value::Null,
            "reasoning_effort",
        ),
        (effort(Effort::High), of("amazon.nova-pro-v1:0"), Value::Null, Value::Null, "reasoning_switch"),
        (off(), of(NOVA), Value::Null, Value::Null, ""),
        (effort(Effort::Medium), of(GPT), json!({"reasoning_effort": "medium"}), Value::Null, ""),
        (effort(Effort::Max), of(GPT), json!({"reasoning_effort": "high"}), Value::Null, "reasoning_effort"),
        (effort(Effort::High), of(QWEN), Value::Null, Value::Null, "reasoning_switch"),
        (off(), of(QWEN), Value::Null, Value::Null, "reasoning_switch"),
        (Reasoning::default(), of(QWEN), Value::Null, Value::Null, ""),
    ] {
        let asked = thinking(reasoning);
        let (body, losses) = encode(&asked, endpoint);
        let said = format!("{:?} of {}", asked.params.reasoning, endpoint.model);
        assert_eq!(body["additionalModelRequestFields"], additional, "{said}");
        assert_eq!((&body["outputConfig"], losses.as_str()), (&output, lost), "{said}");
    }
}

#[test]
fn t13_who_thinks_with_a_budget_is_not_forced_to_call_and_is_not_sampled() {
    let mut asked = thinking(budget(2_000));
    (asked.params.temperature, asked.params.top_k, asked.params.max_output) = (Some("0.3"), Some("5"), Some(8_000));
    let (body, losses) = encode(&asked, of(CLAUDE));
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 8_000}));
    assert_eq!(losses, "temperature, top_k");
    (asked.params.temperature, asked.params.top_k) = (Some("1"), None);
    assert_eq!(encode(&asked, of(CLAUDE)).1, "");
    asked.tools = vec![tool("f")];
    asked.tool_choice = Some(ToolChoice::Required);
    let (body, losses) = encode(&asked, of(CLAUDE));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    assert!(body.get("additionalModelRequestFields").is_none() && losses == "reasoning_switch");
}

#[test]
fn t42_t45_sealed_thoughts_go_back_exactly_where_they_came_from_and_nowhere_else() {
    let own = |sealed: &'static str| Some(Signature::Own(sealed.into()));
    let parts = vec![
        thought("first", own("EqQB+/=")),
        thought("", own("only sealed")),
        redacted("c2VhbGVk"),
        thought("another model's", Some(Signature::Foreign("x".into()))),
        thought("nobody's", None),
        Part::text("said"),
    ];
    let (body, losses) = encode(&request(vec![user("Hi"), turn(Role::Assistant, parts), user("go on")]), of(CLAUDE));
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"reasoningContent": {"reasoningText": {"text": "first", "signature": "EqQB+/="}}},
            {"reasoningContent": {"reasoningText": {"text": "", "signature": "only sealed"}}},
            {"reasoningContent": {"redactedContent": "c2VhbGVk"}},
            {"text": "said"},
        ])
    );
    assert_eq!(losses, "reasoning, reasoning_signature");
    let mere = request(vec![user("Hi"), turn(Role::Assistant, vec![thought("hm", own("s"))]), user("go on")]);
    let (body, losses) = encode(&mere, of(CLAUDE));
    assert_eq!(body["messages"], json!([{"role": "user", "content": [{"text": "Hi"}, {"text": "go on"}]}]));
    assert_eq!(losses, "reasoning");
}

#[test]
fn t45_who_lost_its_thoughts_amid_its_calls_does_not_think_on() {
    let talk = |first: Option<Part<'static>>, last: Vec<Part<'static>>| {
        let calls = first.into_iter().chain([call("1", "f", "{}")]).collect();
        let mut asked = request(vec![user("Hi"), turn(Role::Assistant, calls), turn(Role::User, last)]);
        asked.tools = vec![tool("f")];
        asked.params.reasoning = Some(budget(2_000));
        asked.params.max_output = Some(8_000);
        asked
    };
    let answered = || vec![result("1", vec![Part::text("ok")], false)];
    let kept = thought("t", Some(Signature::Own("s".into())));
    let (body, losses) = encode(&talk(Some(kept), answered()), of(CLAUDE));
    assert_eq!(body["additionalModelRequestFields"]["thinking"]["budget_tokens"], 2_000);
    assert_eq!(losses, "");
    let lost = thought("t", Some(Signature::Foreign("s".into())));
    let (body, losses) = encode(&talk(Some(lost), answered()), of(CLAUDE));
    assert!(body.get("additionalModelRequestFields").is_none());
    assert_eq!(losses, "reasoning_signature, reasoning_switch");
    let (body, losses) = encode(&talk(None, answered()), with(CLAUDE, &["adaptive-thinking"]));
    assert_eq!(body["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
    assert_eq!(losses, "reasoning_budget", "who thinks adaptively need not have begun with it");
    let mut done = talk(None, answered());
    done.turns.extend([assistant("done"), user("and now?")]);
    assert_eq!(encode(&done, of(CLAUDE)).1, "", "what is finished does not count");
}
