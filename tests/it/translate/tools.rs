//! Tools: definitions and choices arrive, calls come back with their arguments, results find their calls.

use serde_json::json;
use tollgate_tests::fake::strict::Family;

use super::speak::{Choice, Finish, Tool};
use super::{Pair, among, clock, everywhere, weather};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_is_called_and_its_result_is_told() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking(r#"call get_weather({"city": "Zürich", "days": 12345678901234})"#);
        speaker.tools(&[clock(), weather()]);
        let heard = speaker.hear().await.heard;
        assert_eq!(heard.finish, Finish::Calls);
        assert_eq!(heard.calls.len(), 1);
        assert_eq!(heard.calls[0].name, "get_weather");
        assert_eq!(heard.calls[0].arguments, json!({"city": "Zürich", "days": 12_345_678_901_234_u64}));
        speaker.give(&heard, &["sunny, 20 °C"]);
        let heard = speaker.hear().await.heard;
        assert_eq!((heard.text.as_str(), &heard.finish), ("results: sunny, 20 °C", &Finish::Stop));
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_calls_keep_their_ids_and_their_order() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking(
            r#"call get_weather({"city":"A"}) call get_weather({"city":"B"}) call get_time({}) call get_weather({"city":"C"})"#,
        );
        speaker.tools(&[clock(), weather()]);
        let heard = speaker.hear().await.heard;
        let names: Vec<&str> = heard.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["get_weather", "get_weather", "get_time", "get_weather"]);
        let mut ids: Vec<&str> = heard.calls.iter().map(|call| call.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "ids are unique in an answer: {:?}", heard.calls);
        assert_eq!(heard.calls[2].arguments, json!({}));
        assert_eq!(heard.calls[3].arguments, json!({"city": "C"}));
        speaker.give(&heard, &["one", "two", r#"{"hour": 12}"#, "four"]);
        assert_eq!(speaker.hear().await.heard.text, r#"results: one | two | {"hour":12} | four"#);
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_in_another_order_still_find_their_calls() {
    among(
        |from, _| matches!(from, Family::Chat | Family::Responses),
        async |pair: Pair| {
            let mut speaker = pair.asking(r#"call get_weather({"city":"A"}) call get_time({})"#);
            speaker.tools(&[clock(), weather()]);
            let mut heard = speaker.hear().await.heard;
            heard.calls.reverse();
            speaker.give(&heard, &["the time", "the weather"]);
            let told = speaker.hear().await.heard.text;
            assert!(told == "results: the time | the weather" || told == "results: the weather | the time", "{told}");
            pair.clean();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_steps_of_tools_follow_each_other() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("call get_time({})");
        speaker.tools(&[clock(), weather()]);
        let heard = speaker.hear().await.heard;
        speaker.give(&heard, &[r#"noon, then call get_weather({"city":"B"})"#]);
        let heard = speaker.hear().await.heard;
        assert_eq!(heard.calls[0].arguments, json!({"city": "B"}));
        speaker.give(&heard, &["rain"]);
        let told = speaker.hear().await.heard.text;
        assert_eq!(told, r#"results: noon, then call get_weather({"city":"B"}) | rain"#);
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_before_calls_and_beside_results_survives() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("call get_time({}) !say Let me look.");
        speaker.tools(&[clock()]);
        let heard = speaker.hear().await.heard;
        assert!(heard.text.starts_with("Let me look."), "{heard:?}");
        assert_eq!((heard.calls.len(), &heard.finish), (1, &Finish::Calls));
        speaker.give(&heard, &["noon"]);
        speaker.say("and now?");
        assert_eq!(speaker.hear().await.heard.text, "results: noon & you said: and now?");
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_of_tools_is_kept() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("call get_time({})");
        speaker.tools(&[clock(), weather()]);
        speaker.choose(Choice::Named("get_weather"));
        let heard = speaker.hear().await.heard;
        assert_eq!((heard.calls.len(), heard.calls[0].name.as_str()), (1, "get_weather"));
        assert_eq!(heard.calls[0].arguments, json!({"city": "toll"}));
        speaker.choose(Choice::None);
        speaker.give(&heard, &["fog"]);
        assert_eq!(speaker.hear().await.heard.text, "results: fog");

        let mut speaker = pair.asking("hello");
        speaker.tools(&[clock(), weather()]);
        speaker.choose(Choice::Any);
        assert_eq!(speaker.hear().await.heard.calls[0].name, "get_time");

        let mut speaker = pair.asking("call get_time({})");
        speaker.tools(&[clock(), weather()]);
        speaker.choose(Choice::None);
        assert_eq!(speaker.hear().await.heard.finish, Finish::Stop);
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_come_one_at_a_time_when_that_is_asked_for() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking(r#"call get_time({}) call get_weather({"city":"A"})"#);
        speaker.tools(&[clock(), weather()]);
        if !speaker.one_at_a_time() {
            return;
        }
        let answered = speaker.hear().await;
        if pair.to == Family::Gemini {
            // Google has no word for it.
            assert!(!answered.losses().is_empty(), "a wish went lost without a word");
            return;
        }
        assert_eq!(answered.heard.calls.len(), 1, "{:?}", answered.heard);
        speaker.give(&answered.heard, &["noon"]);
        assert_eq!(speaker.hear().await.heard.calls[0].name, "get_weather");
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_a_family_does_not_have_are_mended_and_mended_back() {
    const NAME: &str = "my.tools:of-a-server_with.a.very.long.name.that.goes.on.and.on.x";
    assert_eq!(NAME.len(), 64);
    among(
        |from, _| from == Family::Gemini,
        async |pair: Pair| {
            let mut speaker = pair.asking(&format!("call {NAME}({{\"city\":\"A\"}})"));
            speaker.tools(&[Tool { name: NAME, ..weather() }]);
            let heard = speaker.hear().await.heard;
            assert_eq!(heard.calls[0].name, NAME);
            speaker.give(&heard, &["sun"]);
            assert_eq!(speaker.hear().await.heard.text, "results: sun");
            pair.clean();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rich_schema_arrives_or_is_named_as_a_loss() {
    everywhere(async |pair: Pair| {
        let schema = json!({
            "type": "object", "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
            "properties": {
                "from": {"$ref": "#/$defs/place"}, "to": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
                "kind": {"type": "string", "enum": ["bus", "train"]}, "$ref": {"type": "string"},
                "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10}, "on": {"type": ["string", "null"], "format": "date"},
            },
            "required": ["from", "kind"], "additionalProperties": false,
        });
        let mut speaker = pair.asking("hello");
        speaker.tools(&[Tool { name: "travel", schema }]);
        speaker.choose(Choice::Any);
        let heard = speaker.hear().await.heard;
        assert_eq!(heard.calls[0].arguments, json!({"from": {"city": "toll"}, "kind": "bus"}));
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_from_elsewhere_is_taken() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("call get_time({})");
        speaker.tools(&[clock()]);
        let answered = speaker.hear().await;
        // Another provider's ids, which nobody signed.
        let mut text = speaker.body.to_string();
        for call in answered.heard.calls.iter().filter(|call| !call.id.is_empty()) {
            text = text.replace(&call.id, "call_from_elsewhere_1");
        }
        let mut body: serde_json::Value = serde_json::from_str(&text).unwrap();
        strip(&mut body, &["thoughtSignature", "thought_signature"]);
        speaker.body = body;
        if pair.is_same() && pair.to == Family::Gemini {
            return; // Bytes go through there, and Google refuses such a history.
        }
        let mut heard = answered.heard;
        heard
            .calls
            .iter_mut()
            .filter(|call| !call.id.is_empty())
            .for_each(|call| call.id = "call_from_elsewhere_1".to_owned());
        speaker.give(&heard, &["noon"]);
        assert_eq!(speaker.hear().await.heard.text, "results: noon");
        pair.clean();
    })
    .await;
}

fn strip(value: &mut serde_json::Value, names: &[&str]) {
    match value {
        serde_json::Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|member| strip(member, names));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| strip(item, names)),
        _ => {}
    }
}
