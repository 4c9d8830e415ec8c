//! Plain conversation: what is said arrives, word for word, and what is answered comes back.

use serde_json::{Value, json};
use tollgate_tests::fake::strict::Family;

use super::speak::Finish;
use super::{Pair, everywhere, model};

const PHRASE: &str = "Grüße aus 東京 \"quoted\" \\ and 🦀, with  two spaces";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_through_every_pair() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking(PHRASE);
        let answered = speaker.hear().await;
        let heard = &answered.heard;
        assert_eq!(heard.text, format!("you said: {}", pair.tagged(PHRASE)));
        assert_eq!((&heard.finish, heard.model.as_str()), (&Finish::Stop, pair.model()));
        assert!(heard.calls.is_empty() && heard.thought.is_empty() && heard.refusal.is_empty());
        assert!(answered.request_id().starts_with("req_"));
        assert_eq!(answered.header("x-tollgate-model"), pair.model());
        assert!(answered.header("x-tollgate-provider").starts_with("strict-"));
        assert_eq!(pair.clean().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_of_several_turns_goes_on() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("first");
        speaker.hear().await;
        speaker.say("second");
        speaker.hear().await;
        speaker.say("third");
        let heard = speaker.hear().await.heard;
        assert_eq!(heard.text, "you said: third");
        // What was answered before went along, once.
        let seen = pair.last().body.to_string();
        for said in ["you said: first", "you said: second"] {
            assert_eq!(seen.matches(said).count(), 1, "{said}: {seen}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_text_arrives_as_system_text() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.speaker();
        speaker.system("You are a toll keeper.\nBe brief.");
        speaker.say(&pair.tagged("!system"));
        assert_eq!(speaker.hear().await.heard.text, "system: You are a toll keeper.\nBe brief.");
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_arrive() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("!params");
        speaker.temperature(0.5);
        speaker.limit(500);
        let has_stop = speaker.stop(&["ENOUGH"]);
        // OpenAI's responses have no stop sequences: that is said, or refused.
        let must_miss = has_stop && pair.to == Family::Responses;
        let answered = match speaker.try_hear().await {
            Ok(answered) => answered,
            Err(failed) => return assert!(must_miss && failed.status == 400, "{failed:?}"),
        };
        let params: Value = serde_json::from_str(&answered.heard.text).unwrap();
        assert_eq!((&params["temperature"], &params["max_tokens"]), (&json!(0.5), &json!(500)), "{params}");
        if must_miss {
            assert!(answered.losses().contains(&"stop"), "stop sequences went lost without a word");
        } else if has_stop {
            assert_eq!(params["stop"], json!(["ENOUGH"]), "{params}");
        }
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_limit_is_filled_in_where_the_family_needs_one() {
    everywhere(async |pair: Pair| {
        pair.asking("hello").hear().await;
        if pair.to == Family::Anthropic && !pair.is_same() {
            let limit = pair.last().body["max_tokens"].as_u64().expect("a limit");
            assert!((1..=32_000).contains(&limit), "a limit above the model's own: {limit}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_nobody_has_is_not_found_in_every_family() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("hello");
        speaker.model = "nobody/nothing".to_owned();
        if speaker.body.get("model").is_some() {
            speaker.body["model"] = "nobody/nothing".into();
        }
        let failed = speaker.try_hear().await.expect_err("no such model");
        assert_eq!(failed.status, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_in_small_pieces_are_the_same() {
    everywhere(async |pair: Pair| {
        let text = format!("{PHRASE} !slow 1 !split 7");
        let mut speaker = pair.asking(&text);
        assert_eq!(speaker.hear().await.heard.text, format!("you said: {}", pair.tagged(&text)));
    })
    .await;
}

#[test]
fn every_family_has_a_model() {
    let all: Vec<&str> = Family::ALL.into_iter().map(model).collect();
    assert_eq!(all.len(), 4);
}
