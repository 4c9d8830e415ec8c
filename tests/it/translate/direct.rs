//! The clients and the provider of these tests, with nothing between them: what fails through the gateway and not here
//! is the gateway's.

use serde_json::{Value, json};
use tollgate_tests::clients::Client;
use tollgate_tests::fake::Fake;
use tollgate_tests::fake::strict::{Family, instance};

use super::rounds::{ROUNDS, play, question};
use super::speak::{Choice, Finish, Part, Speaker};
use super::{clock, weather};

/// A client of each family at its own provider, whole and streamed.
fn speakers(fake: &Fake) -> Vec<Speaker> {
    let client = Client::new(&fake.strict().origin(), "");
    let mut speakers = Vec::new();
    for family in Family::ALL {
        for is_stream in [false, true] {
            let mut speaker = Speaker::new(family, &client, "sk-direct", "gemini-strict-3", is_stream);
            speaker.prefix = match family {
                Family::Chat => "/strict/openai",
                Family::Responses => "/strict/responses",
                Family::Anthropic => "/strict/anthropic",
                Family::Gemini => "/strict/gemini",
            };
            speakers.push(speaker);
        }
    }
    speakers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rounds_of_tools_with_reasoning_need_no_gateway() {
    let fake = Fake::start();
    for mut speaker in speakers(&fake) {
        speaker.say(&question(0));
        let shows = speaker.family != Family::Chat;
        play(&mut speaker, true, shows).await;
    }
    let seen = fake.strict().seen();
    assert_eq!(seen.len(), 8 * 3 * ROUNDS);
    assert_eq!(fake.strict().violations(), []);
    assert_eq!(seen.iter().map(|one| one.dummies).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_a_client_can_ask_for_is_answered() {
    let fake = Fake::start();
    for mut speaker in speakers(&fake) {
        speaker.system("Be brief.");
        speaker.say("!system !split 3");
        assert_eq!(speaker.hear().await.heard.text, "system: Be brief.");
        speaker.say_parts(&[
            Part::Text("look".to_owned()),
            Part::Image("image/png", "iVBORw0K"),
            Part::Pdf("JVBERi0xLjQK"),
        ]);
        let heard = speaker.hear().await.heard;
        assert_eq!(heard.text, "you said: look [image image/png 6 bytes] [file application/pdf 9 bytes]");
        speaker.say("!params");
        speaker.temperature(0.5);
        speaker.limit(600);
        speaker.stop(&["STOP"]);
        let params: Value = serde_json::from_str(&speaker.hear().await.heard.text).unwrap();
        assert_eq!((&params["temperature"], &params["max_tokens"]), (&json!(0.5), &json!(600)));
        speaker.say("hello");
        speaker.tools(&[clock(), weather()]);
        speaker.choose(Choice::Named("get_weather"));
        let heard = speaker.hear().await.heard;
        assert_eq!((&heard.finish, &heard.calls[0].arguments), (&Finish::Calls, &json!({"city": "toll"})));
        speaker.choose(Choice::None);
        speaker.give(&heard, &["fog"]);
        assert_eq!(speaker.hear().await.heard.text, "results: fog");
        speaker.say("as JSON please");
        speaker.schema(&weather().schema);
        let value: Value = serde_json::from_str(&speaker.hear().await.heard.text).unwrap();
        assert!(instance::is_instance(&value, &weather().schema));
    }
    assert_eq!(fake.strict().violations(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_end_is_told() {
    let fake = Fake::start();
    for speaker in speakers(&fake) {
        let said = |text: &str| {
            let mut one = speaker.clone();
            one.say(text);
            one
        };
        for status in [400, 429, 500, 503] {
            let failed = said(&format!("!error {status}")).try_hear().await.expect_err("an error");
            assert_eq!(failed.status, status);
        }
        let heard = said("a story !length").hear().await.heard;
        assert_eq!(heard.finish, Finish::Length);
        for command in ["!refuse", "!block"] {
            assert_eq!(said(command).hear().await.heard.finish, Finish::Refused, "{command}");
        }
        // The others end a broken stream as no gateway may.
        if speaker.is_stream && matches!(speaker.family, Family::Responses | Family::Anthropic) {
            let failed = said("a text of some length !inband").try_hear().await.expect_err("an error");
            assert_eq!(failed.status, 200);
        }
    }
    assert_eq!(fake.strict().violations(), []);
}
