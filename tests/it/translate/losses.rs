//! What a family cannot say is named in a header, and nothing is named where nothing is lost.

use tollgate_tests::fake::strict::Family;

use super::{Pair, among, clock, everywhere};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_the_common_ground() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.speaker();
        speaker.system("Be brief.");
        speaker.say(&pair.tagged("call get_time({})"));
        speaker.tools(&[clock()]);
        speaker.temperature(0.5);
        speaker.limit(500);
        let answered = speaker.hear().await;
        assert_eq!(answered.losses(), [""; 0]);
        speaker.give(&answered.heard, &["noon"]);
        assert_eq!(speaker.hear().await.losses(), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_family_has_no_word_for_is_named() {
    among(
        |from, to| from == Family::Chat && from != to,
        async |pair: Pair| {
            let mut speaker = pair.asking("hello");
            speaker.body["seed"] = 7.into();
            speaker.body["presence_penalty"] = 0.5.into();
            speaker.body["logit_bias"] = serde_json::json!({"50256": -100});
            let answered = speaker.hear().await;
            let losses = answered.losses();
            assert!(losses.iter().any(|loss| loss.contains("logit_bias")), "{losses:?}");
            let has_seed = pair.to == Family::Gemini;
            assert_eq!(losses.iter().any(|loss| loss.contains("seed")), !has_seed, "{losses:?}");
            assert!(losses.iter().all(|loss| loss.len() < 80 && !loss.contains(' ')), "{losses:?}");
            pair.clean();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_the_same_families() {
    among(
        |from, to| from == to,
        async |pair: Pair| {
            let mut speaker = pair.asking("hello");
            match pair.from {
                Family::Chat => {
                    speaker.body["seed"] = 7.into();
                    speaker.body["logit_bias"] = serde_json::json!({"50256": -100});
                    speaker.body["user"] = "somebody".into();
                }
                Family::Responses => speaker.body["truncation"] = "auto".into(),
                Family::Anthropic => {
                    speaker.body["top_k"] = 5.into();
                    speaker.body["metadata"] = serde_json::json!({"user_id": "somebody"});
                }
                Family::Gemini => {
                    speaker.body["safetySettings"] =
                        serde_json::json!([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}])
                }
            }
            let sent = speaker.body.clone();
            let answered = speaker.hear().await;
            assert_eq!(answered.losses(), [""; 0]);
            let arrived = pair.last().body.clone();
            for (name, value) in sent.as_object().unwrap().iter().filter(|(name, _)| *name != "model") {
                assert_eq!(&arrived[name], value, "{name}");
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_requires_parameters_is_refused_rather_than_cut_short() {
    among(
        |from, to| from == Family::Chat && from != to,
        async |pair: Pair| {
            let mut speaker = pair.asking("hello");
            speaker.body["logit_bias"] = serde_json::json!({"50256": -100});
            speaker.body["provider"] = serde_json::json!({"require_parameters": true});
            let failed = speaker.try_hear().await.expect_err("a parameter that this provider does not have");
            assert!(matches!(failed.status, 400 | 404), "{failed:?}");
            assert!(pair.house.fake.strict().tagged(&pair.tag).is_empty(), "it went out all the same");
        },
    )
    .await;
}
