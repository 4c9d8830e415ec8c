//! How answers end: each family's word for it is the right word in the other.

use tollgate_tests::fake::strict::Family;

use super::speak::Finish;
use super::{Pair, everywhere};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_reached_is_told() {
    everywhere(async |pair: Pair| {
        let heard = pair.asking("a long story !length").hear().await.heard;
        assert_eq!(heard.finish, Finish::Length);
        assert!("you said: a long story !length".starts_with(&heard.text[..10]));
        let mut speaker = pair.asking("!long 500");
        speaker.limit(20);
        let heard = speaker.hear().await.heard;
        assert_eq!((heard.finish, heard.text.len()), (Finish::Length, 80));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_no_ordinary_end() {
    everywhere(async |pair: Pair| {
        for command in ["!refuse", "!block"] {
            let heard = pair.asking(&format!("something bad {command}")).hear().await.heard;
            assert_eq!(heard.finish, Finish::Refused, "{command}: {heard:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_sequence_stops() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("!stop ENOUGH");
        if !speaker.stop(&["NEVER", "ENOUGH"]) {
            return;
        }
        // OpenAI's responses have no stop sequences: that is said, or refused.
        let must_miss = pair.to == Family::Responses;
        let answered = match speaker.try_hear().await {
            Ok(answered) => answered,
            Err(failed) => return assert!(must_miss && failed.status == 400, "{failed:?}"),
        };
        if must_miss {
            return assert!(answered.losses().contains(&"stop"), "stop sequences went lost without a word");
        }
        let heard = &answered.heard;
        assert_eq!(heard.text, "before ");
        let wanted = match (pair.from, pair.to) {
            (Family::Anthropic, Family::Anthropic) => Finish::Word("ENOUGH".to_owned()),
            _ => Finish::Stop,
        };
        // A provider that does not say which one it was leaves it open.
        let is_good = heard.finish == wanted || matches!(&heard.finish, Finish::Word(word) if word == "ENOUGH");
        assert!(is_good, "{heard:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_answers_are_several_or_refused() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("!n");
        match pair.from {
            Family::Chat => speaker.body["n"] = 2.into(),
            Family::Gemini => speaker.body["generationConfig"]["candidateCount"] = 2.into(),
            _ => return,
        }
        match speaker.try_hear().await {
            Err(failed) => {
                assert_eq!(failed.status, 400, "{failed:?}");
                assert!(!matches!(pair.to, Family::Chat | Family::Gemini), "this provider knows several answers");
            }
            Ok(answered) => {
                let list =
                    if pair.from == Family::Chat { &answered.whole["choices"] } else { &answered.whole["candidates"] };
                assert!(list.as_array().is_some_and(|all| all.len() == 2), "{answered:?}");
                assert!(answered.heard.text.starts_with("n: 2 #0"), "{answered:?}");
            }
        }
    })
    .await;
}
